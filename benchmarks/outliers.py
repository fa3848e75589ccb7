"""How often `mnist predict` warns of digits by mistake, finds what is no digit, and separates digits.

    python -m benchmarks.outliers

Prints one line of JSON. The digits are those of the validation set; they are compared with the other training images.
Everything else is drawn. Needs the outputs of `dvc repro`.
"""

from __future__ import annotations

import json

from mnist_pipeline.core import numerics
from mnist_pipeline.provenance import paths

numerics.configure("portable")

from collections import Counter  # noqa: E402
from pathlib import Path  # noqa: E402

import numpy as np  # noqa: E402
from numpy.typing import NDArray  # noqa: E402
from PIL import Image, ImageDraw, ImageFont  # noqa: E402
from scipy import ndimage  # noqa: E402

from mnist_pipeline.core.errors import PipelineError  # noqa: E402
from mnist_pipeline.data.dataset import load_dataset  # noqa: E402
from mnist_pipeline.data.split import stratified_split  # noqa: E402
from mnist_pipeline.deploy.outliers import descriptors  # noqa: E402
from mnist_pipeline.deploy.reading import Reader, Reading  # noqa: E402
from mnist_pipeline.models.classifier import load_classifier  # noqa: E402
from mnist_pipeline.params.schema import load_params  # noqa: E402
from tests.deploy.drawn import encoded  # noqa: E402

Levels = NDArray[np.uint8]
FONTS = ("DejaVuSans", "DejaVuSerif-Bold", "DejaVuSansMono-Oblique", "STIXGeneralItalic")
NUMBER = 200  # of each kind


def letter(number: int, _: np.random.Generator) -> Levels:
    """Return A to Z in each font, as light ink; those of the shape of a digit (B, G, I, J, L, O, Q, S, Z) too."""
    import matplotlib as mpl

    folder = Path(mpl.get_data_path()) / "fonts" / "ttf"
    font = ImageFont.truetype(folder / f"{FONTS[number // 26 % len(FONTS)]}.ttf", 100)
    picture = Image.new("L", (200, 200))
    ImageDraw.Draw(picture).text((100, 100), chr(ord("A") + number % 26), fill=255, font=font, anchor="mm")
    return np.asarray(picture)


def strokes(_: int, random: np.random.Generator) -> Levels:
    """Return a line through three to eight random points."""
    picture = Image.new("L", (200, 200))
    points = random.uniform(40, 160, (int(random.integers(3, 9)), 2))
    ImageDraw.Draw(picture).line([(x, y) for x, y in points.tolist()], fill=255, width=10, joint="curve")
    return np.asarray(picture)


def shape(_: int, random: np.random.Generator) -> Levels:
    """Return a polygon of three to six sides, solid or as an outline."""
    picture, solid = Image.new("L", (200, 200)), bool(random.integers(2))
    ImageDraw.Draw(picture).regular_polygon(
        (100, 100, float(random.uniform(30, 70))), int(random.integers(3, 7)), rotation=int(random.integers(360)),
        fill=255 if solid else None, outline=255, width=8,
    )  # fmt: skip
    return np.asarray(picture)


def texture(_: int, random: np.random.Generator) -> Levels:
    """Return smooth noise, of grains of two to twelve pixels."""
    grains = ndimage.gaussian_filter(random.normal(size=(120, 120)), random.uniform(2, 12))
    scaled: Levels = (255 * (grains - grains.min()) / np.ptp(grains)).astype(np.uint8)
    return scaled


def trimmed(image: Levels) -> Levels:
    picture = Image.fromarray(image)
    return np.asarray(picture.crop(picture.getbbox()))


def row(images: list[Levels], gap: int, random: np.random.Generator) -> Levels:
    """Return digits side by side, up to six pixels up or down, so many pixels between them; below 0 they overlap."""
    paper = np.zeros((40, 12 + sum(image.shape[1] + gap for image in images)), np.uint8)
    left = 6
    for image in images:
        top = int(random.integers(6, 13))
        place = paper[top : top + image.shape[0], left : left + image.shape[1]]
        np.maximum(place, image, out=place)
        left += image.shape[1] + gap
    return paper.repeat(4, axis=0).repeat(4, axis=1)


def read(reader: Reader, levels: Levels) -> Reading | None:
    try:
        return reader.read(encoded(Image.fromarray(levels)))
    except PipelineError:
        return None


def found(readings: list[Reading | None]) -> float:
    """Return the share that is refused, warned of, or not taken for one digit."""
    return sum(each is None or len(each.digits) > 1 or bool(each.digits[0].doubt) for each in readings) / len(readings)


def main() -> None:
    params, dataset = load_params(Path(paths.PARAMS)), load_dataset(Path(paths.TRAIN_ARRAYS))
    rest, held_out = stratified_split(dataset.labels, params.data.validation_size, params.train.seed)
    images, labels = dataset.images[held_out], dataset.labels[held_out]
    reader = Reader(load_classifier(Path(paths.MODEL)), Path())
    reader.training = descriptors(dataset.images[rest])
    random = np.random.default_rng(0)
    digits = [read(reader, image) for image in images]
    doubts = Counter(each.digits[0].doubt for each in digits if each and each.digits[0].doubt)
    inputs = {make.__name__: [make(number, random) for number in range(NUMBER)]
              for make in (letter, strokes, shape, texture)}  # fmt: skip
    inputs["digit 3, 4, 7 upside down"] = list(images[np.isin(labels, (3, 4, 7))][:NUMBER, ::-1, ::-1])
    inputs["digit 3, 4, 5, 7, 9 mirrored"] = list(images[np.isin(labels, (3, 4, 5, 7, 9))][:NUMBER, :, ::-1])
    groups = [[trimmed(image) for image in images[random.integers(0, len(images), 2 + number % 3)]]
              for number in range(NUMBER)]  # fmt: skip
    inputs["two digits that overlap"] = [row(group[:2], -3, random) for group in groups]
    numbers = [read(reader, row(group, 4, random)) for group in groups]
    separated = [
        each is not None and len(each.digits) == len(group) for each, group in zip(numbers, groups, strict=True)
    ]
    print(json.dumps({
        "rows": len(images), "number": NUMBER,
        "warned": {doubt: count / len(images) for doubt, count in doubts.items()},
        "not one digit": sum(each is None or len(each.digits) > 1 for each in digits) / len(images),
        "found": {kind: found([read(reader, levels) for levels in each]) for kind, each in inputs.items()},
        "separated": sum(separated) / NUMBER,
    }))  # fmt: skip


if __name__ == "__main__":
    main()
