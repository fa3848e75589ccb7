"""Ordinary pictures come out in the form of MNIST; what is no picture of a digit is refused by name."""

from __future__ import annotations

import io
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from mnist_pipeline import picture as picture_module
from mnist_pipeline.deploy.photo import PipelineError, read_photo, to_form
from tests.deploy.drawn import STROKES, STYLES, draw, encoded, grey_levels, photographed

PLAIN = draw("5")


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("digit", ["1", "4", "8"])
def test_every_style_gets_mnists_form(style: str, digit: str) -> None:
    form = preprocess(read_photo(encoded(STYLES[style](digit))), 28)
    assert form.shape == (28, 28)
    assert form.dtype == np.uint8
    assert form.max() >= 230
    assert (form == 0).mean() > 0.6
    ink = form > 25
    height, width = np.ptp(np.flatnonzero(ink.any(axis=1))) + 1, np.ptp(np.flatnonzero(ink.any(axis=0))) + 1
    assert 18 <= max(height, width) <= 20
    assert ndimage.center_of_mass(form) == pytest.approx((14, 14), abs=0.6)


@pytest.mark.parametrize("digit", STROKES)
def test_styles_of_one_digit_agree(digit: str) -> None:
    """Paper, light and place do not matter: the forms correlate, and more than with any other digit's."""
    plain = preprocess(grey_levels(draw(digit)), 28).astype(float)
    for change in ("chalk on a blackboard", "photographed", "thin pencil, small on a large sheet"):
        form = preprocess(grey_levels(STYLES[change](digit)), 28).astype(float)
        assert np.corrcoef(blurred(form), blurred(plain))[0, 1] > 0.8, change


def blurred(form: Any) -> Any:
    return ndimage.gaussian_filter(form, 1).reshape(-1)


@pytest.mark.parametrize("side", [8, 20, 28, 64])
def test_the_side_is_the_models(side: int) -> None:
    form = preprocess(grey_levels(PLAIN), side)
    assert form.shape == (side, side)
    assert np.ptp(np.flatnonzero((form > 25).any(axis=1))) + 1 == pytest.approx(side * 20 / 28, abs=1.5)


def test_what_is_in_the_form_stays_as_it_is() -> None:
    form = preprocess(grey_levels(draw("3")), 28)
    again = preprocess(form, 28)
    assert np.abs(form.astype(int) - again).mean() < 3
    assert np.array_equal(again, preprocess(255 - form, 28))


def test_dust_a_frame_and_a_second_stroke() -> None:
    clean = preprocess(grey_levels(draw("4")), 28)
    dusty = draw("4")
    for x, y in ((5, 290), (280, 12), (20, 20)):
        dusty.putpixel((x, y), (0, 0, 0))
    assert np.abs(clean.astype(int) - preprocess(grey_levels(dusty), 28)).mean() < 1
    framed = Image.new("RGB", (320, 320), "black")
    framed.paste(draw("4"), (10, 10))
    assert np.abs(clean.astype(int) - preprocess(grey_levels(framed), 28)).mean() < 6
    ink = ndimage.label(clean > 60, structure=np.ones((3, 3)))[1]
    assert ink == 1  # both strokes of the 4 are there, and cross


def test_a_picture_lies_as_the_camera_was_held() -> None:
    turned = PLAIN.transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6  # rotate by 90° clockwise to see it upright
    upright = read_photo(encoded(turned, "JPEG", exif=exif, quality=95))
    assert np.abs(upright.astype(int) - grey_levels(PLAIN)).mean() < 2


@pytest.mark.parametrize(
    ("form", "mode"),
    [
        *(("PNG", mode) for mode in ("L", "RGB", "RGBA", "P", "1", "LA", "I;16")),
        *(("JPEG", mode) for mode in ("L", "RGB", "CMYK")),
        *(("TIFF", mode) for mode in ("L", "RGB", "CMYK", "1", "I;16")),
        *((form, mode) for form in ("WEBP", "BMP", "GIF") for mode in ("L", "RGB")),
    ],
)
def test_formats_and_modes(form: str, mode: str) -> None:
    content = encoded(sixteen_bits() if mode == "I;16" else PLAIN.convert(mode), form)
    image = preprocess(read_photo(content), 28)
    assert np.corrcoef(blurred(image.astype(float)), blurred(preprocess(grey_levels(PLAIN), 28).astype(float)))[0, 1] > 0.8


def sixteen_bits() -> Image.Image:
    return Image.fromarray(grey_levels(PLAIN).astype(np.uint16) * 257)


def test_transparent_paper_is_white() -> None:
    levels = grey_levels(PLAIN)
    transparent = np.zeros((*levels.shape, 4), np.uint8)
    transparent[..., 3] = 255 - levels
    assert np.abs(read_photo(encoded(Image.fromarray(transparent))).astype(int) - levels).mean() < 1


def animation() -> bytes:
    buffer = io.BytesIO()
    PLAIN.save(buffer, "GIF", save_all=True, append_images=[draw("6")])
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it is empty"),
        (b"<html>404</html>", "it is no picture in a known format (PNG, JPEG"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "it is no picture in a known format"),
        (encoded(PLAIN)[:300], "it is damaged"),
        (encoded(PLAIN, "JPEG")[:500], "it is damaged"),
        (encoded(Image.new("1", (20_000, 20_000))), "it has more than 64 million pixels"),
        (encoded(Image.new("1", (9_000, 9_000))), "9000 × 9000 pixels; at most 64 million are read"),
        (animation(), "it has 2 frames and must have one"),
    ],
    ids=["empty", "html", "svg", "cut off PNG", "cut off JPEG", "bomb", "large", "animation"],
)
def test_what_is_no_picture_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(PipelineError) as raised:
        read_photo(content)
    assert message in str(raised.value)


def test_a_large_file_is_refused_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture_module, "LARGEST_FILE", 1000)
    with pytest.raises(PipelineError, match="it is too large; at most 0 MB are read"):
        read_photo(bytes(2000))


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
def test_a_blank_picture_is_refused(levels: Any) -> None:
    with pytest.raises(PipelineError, match="it is blank: no ink stands out from the paper"):
        preprocess(levels, 28)


@pytest.mark.parametrize("shape", [(3, 200), (200, 3), (2, 2), (28, 28), (1, 50)])
def test_odd_shapes_give_an_image_or_a_refusal(shape: tuple[int, int]) -> None:
    levels = np.full(shape, 255, np.uint8)
    levels[shape[0] // 2, shape[1] // 2] = 0
    with suppress(PipelineError):
        assert preprocess(levels, 28).shape == (28, 28)
