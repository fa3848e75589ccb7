"""Ordinary photos come out in the form of MNIST; what is no photo of a digit is refused with the reason."""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from mnist_pipeline.core.errors import PipelineError
from mnist_pipeline.deploy import photo
from mnist_pipeline.deploy.photo import preprocess, read_photo
from tests.deploy.drawn import STYLES, draw, encoded, grey_levels, photographed

PLAIN = draw("5")
LEVELS = grey_levels(PLAIN)
TURNED = Image.Exif()
TURNED[0x0112] = 6  # rotate by 90° clockwise to see it upright
DEEP = Image.fromarray(LEVELS.astype(np.uint16) * 257)
TRANSPARENT = Image.fromarray(np.stack([0 * LEVELS, 0 * LEVELS, 0 * LEVELS, 255 - LEVELS], axis=2))


def correlation(one: NDArray[Any], other: NDArray[Any]) -> float:
    blurred = np.stack([ndimage.gaussian_filter(each.astype(float), 1).reshape(-1) for each in (one, other)])
    return float(np.corrcoef(blurred)[0, 1])


def difference(one: NDArray[Any], other: NDArray[Any]) -> float:
    return float(np.abs(one.astype(int) - other.astype(int)).mean())


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("digit", ["0", "1", "4"])
def test_every_style_gets_the_form_of_mnist(style: str, digit: str) -> None:
    image = preprocess(read_photo(encoded(STYLES[style](digit))), 28)
    assert image.shape == (28, 28)
    assert image.dtype == np.uint8
    assert image.max() >= 230
    assert (image == 0).mean() > 0.6
    ink = image > 25
    assert 18 <= max(1 + np.ptp(place) for place in np.nonzero(ink)) <= 20
    assert ndimage.center_of_mass(image) == pytest.approx((14, 14), abs=0.6)
    if style in ("chalk on a blackboard", "photographed", "thin pencil, small on a large sheet"):
        assert correlation(image, preprocess(grey_levels(draw(digit)), 28)) > 0.8  # only paper, light and place differ


@pytest.mark.parametrize("side", [8, 20, 64])
def test_the_side_is_the_one_asked_for(side: int) -> None:
    image = preprocess(LEVELS, side)
    assert image.shape == (side, side)
    assert 1 + np.ptp(np.nonzero(image > 25)[0]) == pytest.approx(side * 20 / 28, abs=1.5)


def test_an_image_in_the_form_of_mnist_stays_as_it_is_and_its_negative_gives_the_same() -> None:
    image = preprocess(grey_levels(draw("3")), 28)
    again = preprocess(image, 28)
    assert difference(image, again) < 3
    assert np.array_equal(again, preprocess(255 - image, 28))


def test_dust_and_a_frame_are_ignored_and_a_second_stroke_is_not() -> None:
    clean = preprocess(grey_levels(draw("4")), 28)
    dusty = draw("4")
    for x, y in ((5, 290), (280, 12), (20, 20)):
        dusty.putpixel((x, y), (0, 0, 0))
    assert difference(clean, preprocess(grey_levels(dusty), 28)) < 1
    framed = Image.new("RGB", (320, 320), "black")
    framed.paste(draw("4"), (10, 10))
    assert difference(clean, preprocess(grey_levels(framed), 28)) < 6
    assert ndimage.label(clean > 60, structure=np.ones((3, 3)))[1] == 1  # both strokes are there, and cross


PHOTOS: dict[str, tuple[Image.Image, dict[str, Any]]] = {
    **{f"PNG {mode}": (PLAIN.convert(mode), {}) for mode in ("L", "RGBA", "P", "1", "LA")},
    **{f"{form} RGB": (PLAIN, {"form": form}) for form in ("JPEG", "WEBP", "BMP", "GIF", "TIFF")},
    "TIFF CMYK": (PLAIN.convert("CMYK"), {"form": "TIFF"}),
    "PNG of 16 bits": (DEEP, {}),
    "TIFF of 16 bits": (DEEP, {"form": "TIFF"}),
    "turned by the camera": (
        PLAIN.transpose(Image.Transpose.ROTATE_90),
        {"form": "JPEG", "exif": TURNED, "quality": 95},
    ),
    "transparent paper": (TRANSPARENT, {}),
}


@pytest.mark.parametrize(("picture", "options"), PHOTOS.values(), ids=PHOTOS)
def test_a_photo_is_read_in_every_format_as_people_see_it(picture: Image.Image, options: dict[str, Any]) -> None:
    found = read_photo(encoded(picture, **options))
    assert found.dtype == np.uint8
    assert difference(found, LEVELS) < 5


def animation() -> bytes:
    buffer = io.BytesIO()
    PLAIN.save(buffer, "GIF", save_all=True, append_images=[draw("6")])
    return buffer.getvalue()


def damaged_tiff() -> bytes:
    """A TIFF that refers to a second page, whose directory is empty."""
    content = encoded(PLAIN.resize((20, 20)), "TIFF")
    reference = 8 + 2 + 12 * content[8]  # behind the entries of the first directory
    return content[:reference] + len(content).to_bytes(4, "little") + content[reference + 4 :] + bytes(6)


NO_PHOTOS: dict[str, tuple[Callable[[], bytes], str]] = {  # made when they are needed: some take their time
    "empty": (bytes, "it is empty"),
    "html": (lambda: b"<html>404</html>", "it is not an image in a supported format (PNG, JPEG"),
    "truncated PNG": (lambda: encoded(PLAIN)[:300], "it is damaged"),
    "truncated JPEG": (lambda: encoded(PLAIN, "JPEG")[:500], "it is damaged"),
    "TIFF with a damaged second page": (damaged_tiff, "it is damaged; Missing dimensions"),
    "small file, large in memory": (
        lambda: encoded(Image.new("I;16", (5_000, 5_000))),
        "kB would become 100 MB in memory, unlike a photo or a scan",
    ),
    "bomb": (lambda: encoded(Image.new("1", (20_000, 20_000))), "it has more than 64 million pixels"),
    "large": (lambda: encoded(Image.new("1", (9_000, 9_000))), "9000 × 9000 pixels; at most 64 million are read"),
    "animation": (animation, "it has 2 frames and must have one"),
}


@pytest.mark.parametrize(("content", "message"), NO_PHOTOS.values(), ids=NO_PHOTOS)
def test_a_file_that_is_no_photo_is_refused(content: Callable[[], bytes], message: str) -> None:
    with pytest.raises(PipelineError) as raised:
        read_photo(content())
    assert message in str(raised.value)


def test_a_large_file_is_refused_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photo, "LARGEST_FILE", 2**20)
    with pytest.raises(PipelineError, match="it is too large; at most 1 MB are read"):
        read_photo(bytes(2**20 + 1))


@pytest.mark.parametrize(
    "levels",
    [
        np.full((100, 100), 255, np.uint8),
        np.zeros((28, 28), np.uint8),
        np.full((1, 1), 7, np.uint8),
        grey_levels(photographed(Image.new("RGB", (300, 200), "white"))),
        np.random.default_rng(0).normal(128, 6, (200, 200)).clip(0, 255).astype(np.uint8),
    ],
    ids=["white", "black", "one pixel", "photographed paper", "noise"],
)
def test_a_blank_photo_is_refused(levels: NDArray[np.uint8]) -> None:
    with pytest.raises(PipelineError, match="it is blank: no ink stands out from the paper"):
        preprocess(levels, 28)


def test_noise_is_not_called_blank() -> None:
    random = np.random.default_rng(0)
    uniform = [random.integers(0, 256, shape, np.uint8) for shape in ((200, 200), (3000, 3000))]  # averaged out
    for levels in (*uniform, random.normal(128, 40, (200, 300)).clip(0, 255).astype(np.uint8)):
        with pytest.raises(PipelineError, match="no strokes stand out from its noise or shadows"):
            preprocess(levels, 28)


@pytest.mark.parametrize("shape", [(3, 200), (200, 3), (2, 2), (28, 28), (1, 50)])
def test_odd_shapes_give_an_image_or_a_refusal(shape: tuple[int, int]) -> None:
    levels = np.full(shape, 255, np.uint8)
    levels[shape[0] // 2, shape[1] // 2] = 0
    with suppress(PipelineError):
        assert preprocess(levels, 28).shape == (28, 28)
