"""How often `mnist predict` gives the answer for a picture that the model gives for the raw image.

    python -m benchmarks.pictures

Prints one line of JSON: for images of the validation set, saved as pictures in several ways, the fraction with the same
prediction as the raw image; and for ten digits that a program draws in several styles, the number of correct
predictions. Needs the outputs of `dvc repro`.
"""

from __future__ import annotations

import json

from mnist_pipeline.core import numerics
from mnist_pipeline.core.errors import PipelineError
from mnist_pipeline.provenance import paths

numerics.configure("portable")

from collections.abc import Callable  # noqa: E402
from pathlib import Path  # noqa: E402

import numpy as np  # noqa: E402
import torch  # noqa: E402
from numpy.typing import NDArray  # noqa: E402
from PIL import Image, ImageDraw  # noqa: E402

from mnist_pipeline.data.dataset import load_dataset  # noqa: E402
from mnist_pipeline.data.split import stratified_split  # noqa: E402
from mnist_pipeline.deploy.photo import preprocess, read_photo  # noqa: E402
from mnist_pipeline.models.classifier import Classifier, load_classifier  # noqa: E402
from mnist_pipeline.models.prediction import predict  # noqa: E402
from mnist_pipeline.params.schema import load_params  # noqa: E402
from tests.deploy.drawn import STROKES, STYLES, encoded, photographed  # noqa: E402

ROWS = 1000
TRAIN_ARRAYS = Path("data/prepared/train.safetensors")


def enlarged(image: NDArray[np.uint8]) -> Image.Image:
    """Return dark ink on white paper, ten times as large."""
    side = 10 * len(image)
    return Image.fromarray(255 - image).resize((side, side), Image.Resampling.BICUBIC).convert("RGB")


def shadowed(picture: Image.Image) -> Image.Image:
    """Add a shadow with a sharp edge over one corner, as of a hand or a phone."""
    width, height = picture.size
    shade = Image.new("L", picture.size, 255)
    ImageDraw.Draw(shade).polygon([(width * 0.45, 0), (width, 0), (width, height), (width * 0.8, height)], fill=150)
    levels = np.asarray(picture, np.float64) * (np.asarray(shade, np.float64)[..., None] / 255)
    return Image.fromarray(levels.astype(np.uint8))


KINDS: dict[str, Callable[[NDArray[np.uint8]], Image.Image]] = {
    "unchanged": Image.fromarray,
    "inverted": lambda image: Image.fromarray(255 - image),
    "ten times as large, on white": enlarged,
    "the same, photographed": lambda image: photographed(enlarged(image)),
    "the same, with a sharp shadow": lambda image: shadowed(enlarged(image)),
}


def answer(classifier: Classifier, picture: Image.Image) -> int:
    """Return the class that `mnist predict` prints; -1 if it fails."""
    try:
        image = preprocess(read_photo(encoded(picture)), classifier.image_side)
    except PipelineError:
        return -1
    return int(predict(classifier, torch.from_numpy(image)[None]).argmax())


def main() -> None:
    params = load_params(Path(paths.PARAMS))
    classifier = load_classifier(Path(paths.MODEL))
    dataset = load_dataset(TRAIN_ARRAYS)
    images = dataset.images[stratified_split(dataset.labels, params.data.validation_size, params.train.seed)[1][:ROWS]]
    raw = predict(classifier, torch.from_numpy(images)).argmax(dim=1).tolist()
    agreeing = {
        kind: sum(answer(classifier, make(image)) == given for image, given in zip(images, raw, strict=True)) / len(raw)
        for kind, make in KINDS.items()
    }
    drawn = {
        style: sum(answer(classifier, draw(digit)) == int(digit) for digit in STROKES) for style, draw in STYLES.items()
    }
    drawn["with a sharp shadow"] = sum(
        answer(classifier, shadowed(STYLES["pen on white paper"](digit))) == int(digit) for digit in STROKES
    )
    print(json.dumps({"rows": len(raw), "agreeing": agreeing, "drawn": drawn}))


if __name__ == "__main__":
    main()
