"""``mnist predict``."""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mnist_pipeline import layout

DESCRIPTION = (
    "Read ordinary pictures of handwritten digits, bring each into the form of the training images, and say what the "
    "model takes it for. Exit status 1 if any of them cannot be read."
)
MODEL = Path(layout.MODEL)
BAR_WIDTH = 30


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    parser.add_argument(
        "images", nargs="+", metavar="IMAGE", help="a picture, such as a PNG or JPEG; -: standard input"
    )
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--model", type=Path, default=MODEL, metavar="FILE", help=f"the model (default: {MODEL})")
    source.add_argument("--rev", metavar="NAME", help="the model of a git revision or an experiment")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--show", type=Path, metavar="FOLDER", help="write what the network saw of each there, as PNG")


@dataclass(frozen=True)
class Prediction:
    """What the model takes a picture for: the probability of each class, in the order of the classes."""

    image: str
    classes: tuple[str, ...]
    probabilities: list[float]

    @property
    def answer(self) -> str:
        """The likeliest class."""
        return self.classes[self.probabilities.index(max(self.probabilities))]


def run(args: argparse.Namespace) -> None:
    """Predict and print; a picture that cannot be read does not stop the others."""
    from mnist_pipeline import numerics

    numerics.configure("portable")  # before torch is imported: the same answer on every machine
    from mnist_pipeline.classifier import load_classifier
    from mnist_pipeline.lockfile import NotCachedError
    from mnist_pipeline.modelfile import ModelFileError
    from mnist_pipeline.revisions import RevisionError
    from mnist_pipeline.yaml12 import YamlError

    try:
        classifier = load_classifier(_model_of(args.rev) if args.rev is not None else args.model)
    except (ModelFileError, NotCachedError, RevisionError, YamlError, OSError) as error:
        hint = "; run dvc repro or dvc pull" if args.rev is None and args.model == MODEL and not MODEL.exists() else ""
        sys.exit(f"mnist predict: {error}{hint}")
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
    from mnist_pipeline.lockfile import output_of
    from mnist_pipeline.revisions import resolve

    here = Path.cwd()
    return output_of(here, resolve(here, revision), "train", layout.MODEL)


def _predict(classifier: Any, names: list[str], folder: Path | None) -> tuple[list[Prediction], list[tuple[str, str]]]:
    import torch

    from mnist_pipeline.classifier import predict
    from mnist_pipeline.picture import PictureError, read_picture, to_form

    predictions, failed = [], []
    for number, name in enumerate(names):
        try:
            image = to_form(read_picture(_content_of(name)), classifier.image_side)
            if folder is not None:
                _save(folder / f"{number:03d}-{'stdin' if name == '-' else Path(name).stem}.png", image)
        except (PictureError, OSError) as error:
            failed.append((name, getattr(error, "strerror", None) or str(error)))
            continue
        outputs = predict(classifier, torch.from_numpy(image)[None])
        predictions.append(Prediction(name, classifier.classes, classifier.probabilities(outputs)[0].tolist()))
    return predictions, failed


def _content_of(name: str) -> bytes:
    """A file, or standard input; of one that is too large, no more than shows that it is."""
    from mnist_pipeline.picture import LARGEST_FILE

    if name == "-":
        return sys.stdin.buffer.read(LARGEST_FILE + 1)
    with Path(name).open("rb") as file:
        return file.read(LARGEST_FILE + 1)


def _save(path: Path, image: Any) -> None:
    from PIL import Image

    from mnist_pipeline.files import replacing

    with replacing(path) as temporary:
        Image.fromarray(image).save(temporary, format="PNG")


def _as_json(prediction: Prediction) -> dict[str, Any]:
    return {
        "image": prediction.image,
        "answer": prediction.answer,
        "confidence": max(prediction.probabilities),
        "probabilities": dict(zip(prediction.classes, prediction.probabilities, strict=True)),
    }


def describe(prediction: Prediction) -> str:
    """The answer, and the probability of each class as a bar."""
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
