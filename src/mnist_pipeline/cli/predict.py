"""``mnist predict``."""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mnist_pipeline.core.errors import PipelineError
from mnist_pipeline.provenance import paths

DESCRIPTION = (
    "Classify photos or scans of handwritten digits. Each is preprocessed like the training images. Exit status 1 if "
    "any cannot be read."
)
MODEL = Path(paths.MODEL)
BAR_WIDTH = 30


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "images", nargs="+", metavar="IMAGE", help="an image file, such as PNG or JPEG; - for standard input"
    )
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--model", type=Path, default=MODEL, metavar="FILE", help=f"the model (default: {MODEL})")
    source.add_argument("--rev", metavar="NAME", help="the model of a git revision or an experiment")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--show", type=Path, metavar="FOLDER", help="write the preprocessed images there, as PNG")


@dataclass(frozen=True)
class Prediction:
    """The prediction for an image: the probability of each class, in the order of the classes."""

    image: str
    classes: tuple[str, ...]
    probabilities: list[float]

    @property
    def answer(self) -> str:
        """Return the most likely class."""
        return self.classes[self.probabilities.index(max(self.probabilities))]


def run(args: argparse.Namespace) -> None:
    """Predict and print; an image that cannot be read does not stop the others."""
    from mnist_pipeline.core import numerics

    numerics.configure("portable")  # before torch is imported: the same answer on every machine
    from mnist_pipeline.models.classifier import load_classifier

    try:
        classifier = load_classifier(_model_of(args.rev) if args.rev is not None else args.model)
    except PipelineError as error:
        hint = "; run dvc repro or dvc pull" if args.rev is None and args.model == MODEL and not MODEL.exists() else ""
        raise PipelineError(f"{error}{hint}") from None
    predictions, failed = _predict(classifier, args.images, args.show)
    if args.json:
        print(json.dumps([_as_json(each) for each in predictions], indent=2))
    elif predictions:
        print("\n\n".join(describe(each) for each in predictions))
    for name, problem in failed:
        print(f"mnist predict: {name}: {problem}", file=sys.stderr)
    if failed:
        sys.exit(1)


def _model_of(revision: str) -> Path:
    from mnist_pipeline.provenance.dvc import cached_output
    from mnist_pipeline.provenance.git import resolve

    here = Path.cwd()
    return cached_output(here, resolve(here, revision), paths.MODEL)


def _predict(classifier: Any, names: list[str], folder: Path | None) -> tuple[list[Prediction], list[tuple[str, str]]]:
    import torch

    from mnist_pipeline.deploy.photo import preprocess, read_photo
    from mnist_pipeline.models.prediction import predict

    predictions, failed = [], []
    for number, name in enumerate(names):
        try:
            image = preprocess(read_photo(_content_of(name)), classifier.image_side)
            if folder is not None:
                _save(folder / f"{number:03d}-{'stdin' if name == '-' else Path(name).stem}.png", image)
        except (PipelineError, OSError) as error:
            failed.append((name, getattr(error, "strerror", None) or str(error)))
            continue
        outputs = predict(classifier, torch.from_numpy(image)[None])
        predictions.append(Prediction(name, classifier.classes, classifier.probabilities(outputs)[0].tolist()))
    return predictions, failed


def _content_of(name: str) -> bytes:
    """Read a file or standard input, but no more than shows that it is too large."""
    from mnist_pipeline.deploy.photo import LARGEST_FILE

    if name == "-":
        return sys.stdin.buffer.read(LARGEST_FILE + 1)
    with Path(name).open("rb") as file:
        return file.read(LARGEST_FILE + 1)


def _save(path: Path, image: Any) -> None:
    from PIL import Image

    from mnist_pipeline.core.files import atomic_write

    with atomic_write(path) as temporary:
        Image.fromarray(image).save(temporary, format="PNG")


def _as_json(prediction: Prediction) -> dict[str, Any]:
    return {
        "image": prediction.image,
        "answer": prediction.answer,
        "confidence": max(prediction.probabilities),
        "probabilities": dict(zip(prediction.classes, prediction.probabilities, strict=True)),
    }


def describe(prediction: Prediction) -> str:
    """Return the prediction, and the probability of each class as a bar."""
    width = max(map(len, prediction.classes))
    lines = [f"{prediction.image}: {_bold(prediction.answer)}  ({max(prediction.probabilities):.1%})"]
    for name, probability in zip(prediction.classes, prediction.probabilities, strict=True):
        lines.append(f"  {name:>{width}} {100 * probability:5.1f} % {_bar(probability)}".rstrip())
    return "\n".join(lines)


def _bar(share: float) -> str:
    """A bar of up to BAR_WIDTH characters, in eighths of one."""
    eighths = round(8 * BAR_WIDTH * share)
    return "█" * (eighths // 8) + " ▏▎▍▌▋▊▉"[eighths % 8].strip()


def _bold(text: str) -> str:
    plain = not sys.stdout.isatty() or "NO_COLOR" in os.environ
    return text if plain else f"\033[1m{text}\033[0m"
