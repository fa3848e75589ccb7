"""Preprocess a photo or scan of handwritten digits like the training images.

The form is that of MNIST (LeCun, Cortes and Burges, http://yann.lecun.com/exdb/mnist): light ink on black, in grey,
scaled into a box of 20 × 20 pixels with its proportions kept, and placed in 28 × 28 pixels with its centre of mass in
the middle. Other image sides get the same proportions.
"""

from __future__ import annotations

import io
import warnings

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from scipy import ndimage

from mnist_pipeline.core.errors import PipelineError
from mnist_pipeline.deploy.segmentation import digits_of

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")
LARGEST_FILE = 32 * 2**20  # bytes
LARGEST_PICTURE = 64_000_000  # pixels
LARGE_IN_MEMORY = 64 * 2**20  # bytes: from here on a picture must not be compressed more than photos and scans are
HIGHEST_COMPRESSION = 500
WORKING_SIDE = 400  # pixels: more does not show in 28
BOX = 20 / 28  # of the image side

LEAST_CONTRAST = 24  # grey levels between ink and paper
LEAST_CONTRAST_TO_NOISE = 4.0  # standard deviations of the paper
EDGE = 0.25  # of the level that parts ink from paper: from here on a grey pixel belongs to the digit
SMALLEST_PART = 0.03  # of the largest connected part; less is dust
THINNEST_STROKE = 1.7  # pixels of a 28 × 28 image

BLANK = "it is blank: no ink stands out from the paper"
NOISE = "no strokes stand out from its noise or shadows"


def read_photo(content: bytes) -> NDArray[np.uint8]:
    """Read the grey levels, (height, width), of an image file, upright, on white where it is transparent.

    Raises:
        PipelineError: it is empty, too large, damaged, in no known format, or has several frames.
    """
    if not content:
        raise PipelineError("it is empty")
    if len(content) > LARGEST_FILE:
        raise PipelineError(f"it is too large; at most {LARGEST_FILE / 2**20:.0f} MB are read")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of damaged metadata, and of many pixels, which are checked below
            picture = Image.open(io.BytesIO(content), formats=FORMATS)
            _check_size(picture, len(content))
            return _grey(ImageOps.exif_transpose(picture))
    except PipelineError:
        raise
    except UnidentifiedImageError:
        raise PipelineError(f"it is not an image in a supported format ({', '.join(FORMATS)})") from None
    except Image.DecompressionBombError:
        raise PipelineError(f"it has more than {LARGEST_PICTURE // 10**6} million pixels") from None
    except MemoryError:
        raise PipelineError("it does not fit into memory; save it smaller") from None
    except Exception as error:  # a decoder may raise anything: OSError, struct.error, zlib.error, KeyError, ...
        raise PipelineError(f"it is damaged; {error or type(error).__name__}") from None


def _check_size(picture: Image.Image, file_size: int) -> None:
    """Refuse a picture with too many pixels or frames, before any is decoded."""
    pixels = picture.width * picture.height
    if pixels > LARGEST_PICTURE:
        raise PipelineError(
            f"it has {picture.width} × {picture.height} pixels; at most {LARGEST_PICTURE // 10**6} million are read"
        )
    in_memory = pixels * (1 if picture.mode in ("1", "L", "P") else 4)
    if in_memory > max(LARGE_IN_MEMORY, HIGHEST_COMPRESSION * file_size):
        raise PipelineError(
            f"{file_size / 1000:,.0f} kB would become {in_memory / 10**6:,.0f} MB in memory, unlike a photo or a scan; "
            "save it smaller"
        )
    if (frames := getattr(picture, "n_frames", 1)) > 1:
        raise PipelineError(f"it has {frames} frames and must have one; save one of them")


def _grey(picture: Image.Image) -> NDArray[np.uint8]:
    if picture.mode.startswith("I") or picture.mode == "F":  # more than 8 bits
        levels = np.asarray(picture)
        largest = 65535 if levels.max(initial=0) > 255 else 255
        grey = np.empty(levels.shape, np.uint8)
        for row, of_row in zip(grey, levels, strict=True):  # one by one: float64 takes eight times the memory
            row[:] = np.clip(of_row.astype(np.float64) * (255 / largest), 0, 255)
        return grey
    if picture.has_transparency_data:
        coloured = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", coloured.size, "white"), coloured)
    return np.asarray(picture.convert("L"))


def preprocess(grey: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Return the one digit of a photo like the training images: uint8 (side, side), 0 (paper) to 255 (ink).

    Args:
        grey: grey levels, (height, width), dark ink on light paper or light ink on dark.
        side: of the result, in pixels.

    Raises:
        PipelineError: there is no ink to be seen.
    """
    ink = _ink(grey)
    return _like_training(ink, _parts(ink), side)


def preprocess_digits(grey: NDArray[np.uint8], side: int) -> list[list[NDArray[np.uint8]]]:
    """Return every digit of a photo as ``preprocess`` returns one: line by line, each from left to right.

    Raises:
        PipelineError: there is no ink to be seen, or too many separate parts.
    """
    ink = _ink(grey)
    return [[_like_training(ink, parts, side) for parts in line] for line in digits_of(_parts(ink))]


def _parts(ink: NDArray[np.float64]) -> NDArray[np.bool_]:
    return _without_dust(ink > EDGE * _threshold(ink))


def _like_training(ink: NDArray[np.float64], parts: NDArray[np.bool_], side: int) -> NDArray[np.uint8]:
    ink = np.where(ndimage.binary_dilation(parts, iterations=2), ink, 0.0)  # grey edges belong to the stroke
    rows, columns = np.flatnonzero(parts.any(axis=1)), np.flatnonzero(parts.any(axis=0))
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    scale = BOX * side / max(bottom - top, right - left)  # from pixels of the picture to those of the result
    margin = 0
    if (radius := _lacking_thickness(parts, scale * 28 / side)) > 0:
        margin = radius
        ink = np.pad(ink, margin)
        ink = ndimage.grey_dilation(ink, footprint=_disc(radius))
    cropped = ink[top : bottom + 2 * margin, left : right + 2 * margin]
    full = np.percentile(cropped[cropped > 0], 97)
    return _centred(_scaled(np.clip(cropped / full, 0, 1), round(BOX * side)), side)


def _shrunk(grey: NDArray[np.uint8]) -> NDArray[np.float64]:
    largest = max(grey.shape)
    if largest > WORKING_SIDE:
        picture = Image.fromarray(grey)
        picture.thumbnail((WORKING_SIDE, WORKING_SIDE), Image.Resampling.BOX, reducing_gap=2.0)
        grey = np.asarray(picture)
    return grey.astype(np.float64)


def _ink(picture: NDArray[np.uint8]) -> NDArray[np.float64]:
    """How far each pixel differs from the paper towards the ink, at least 0; the paper's shade may vary smoothly."""
    grey = _shrunk(picture)
    away = grey - _paper(grey)
    noise = 1.4826 * float(np.median(np.abs(away)))
    beyond = np.where(np.abs(away) > 3 * noise, away, 0.0)
    ink = away if beyond.sum() > 0 else -away
    ink = np.clip(ink, 0, None)
    contrast = float(np.percentile(ink, 99.9)) if ink.size > 10_000 else float(ink.max())
    if contrast < max(LEAST_CONTRAST, LEAST_CONTRAST_TO_NOISE * noise):
        raise PipelineError(NOISE if max(contrast, _grain(picture)) >= LEAST_CONTRAST else BLANK)
    return np.where(ink > 2 * noise, ink, 0.0)


def _grain(picture: NDArray[np.uint8]) -> float:
    """About three standard deviations of the noise between neighbouring pixels, which shrinking averages out."""
    rows = picture[:: max(1, len(picture) // WORKING_SIDE)].astype(np.float64)
    return 3 * float(np.median(np.abs(np.diff(rows, axis=1)))) if rows.shape[1] > 1 else 0.0


def _paper(grey: NDArray[np.float64]) -> NDArray[np.float64]:
    """A smooth surface (a polynomial of degree two) through the paper, by least squares without the ink."""
    height, width = grey.shape
    y, x = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
    terms = np.stack([np.ones_like(x), x, y, x * y, x**2, y**2], axis=-1).reshape(-1, 6)
    values = grey.reshape(-1)
    surface = np.full_like(values, np.median(_border(grey)))
    for _ in range(4):
        away = np.abs(values - surface)
        near = away <= max(8.0, 3 * 1.4826 * float(np.median(away)))
        if near.sum() < 12:
            break
        surface = terms @ np.linalg.lstsq(terms[near], values[near], rcond=None)[0]
    return surface.reshape(grey.shape)


def _border(grey: NDArray[np.float64]) -> NDArray[np.float64]:
    depth = max(1, min(grey.shape) // 30)
    edges = (grey[:depth], grey[-depth:], grey[:, :depth], grey[:, -depth:])
    return np.concatenate([edge.reshape(-1) for edge in edges])


def _threshold(ink: NDArray[np.float64]) -> float:
    """The level that parts two groups of pixels best (Otsu 1979)."""
    counts, edges = np.histogram(ink, bins=128)
    middles = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)[:-1]
    above = below[-1] + counts[-1] - below
    sums = np.cumsum(counts * middles)
    with np.errstate(divide="ignore", invalid="ignore"):
        between = below * above * (sums[:-1] / below - (sums[-1] - sums[:-1]) / above) ** 2
    return float(edges[1 + np.nanargmax(between)])


def _without_dust(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The connected parts of some size; those that run off the picture only if there is nothing else."""
    labels, number = ndimage.label(mask, structure=np.ones((3, 3)))
    if number == 0:
        raise PipelineError(BLANK)
    sizes = np.bincount(labels.reshape(-1), minlength=number + 1)
    sizes[0] = 0
    outer = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
    inner_sizes = sizes.copy()
    inner_sizes[outer] = 0
    if inner_sizes.max() >= SMALLEST_PART * sizes.max():
        sizes = inner_sizes
    kept: NDArray[np.bool_] = (sizes >= SMALLEST_PART * sizes.max()) & (sizes > 0)
    return kept[labels]


def _lacking_thickness(mask: NDArray[np.bool_], scale: float) -> int:
    """By how many pixels strokes have to grow on each side not to fade when they are scaled down."""
    width = 4 * float(ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1][mask].mean()) - 1
    return max(0, round((THINNEST_STROKE / scale - width) / 2))


def _disc(radius: int) -> NDArray[np.bool_]:
    y, x = np.ogrid[-radius : radius + 1, -radius : radius + 1]
    disc: NDArray[np.bool_] = x**2 + y**2 <= radius**2 + 0.5
    return disc


def _scaled(ink: NDArray[np.float64], longest: int) -> NDArray[np.float64]:
    """Ink of 0-1 with its longer side at ``longest`` pixels."""
    height, width = ink.shape
    factor = longest / max(height, width)
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    picture = Image.fromarray(ink.astype(np.float32))
    return np.clip(np.asarray(picture.resize(size, Image.Resampling.BICUBIC), np.float64), 0, 1)


def _centred(ink: NDArray[np.float64], side: int) -> NDArray[np.uint8]:
    """Ink in the middle of an image by its centre of mass, as far as it fits."""
    result = np.zeros((side, side))
    height, width = ink.shape
    centre_y, centre_x = ndimage.center_of_mass(ink)
    top = min(max(round(side / 2 - centre_y), 0), side - height)
    left = min(max(round(side / 2 - centre_x), 0), side - width)
    result[top : top + height, left : left + width] = ink
    return np.round(255 * result).astype(np.uint8)
