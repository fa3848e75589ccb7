"""``mnist predict``."""

from __future__ import annotations

import argparse
import json
import os
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mnist_pipeline.core.errors import PipelineError, printable
from mnist_pipeline.provenance import paths

if TYPE_CHECKING:
    from mnist_pipeline.deploy.reading import Digit, Reader, Reading

DESCRIPTION = (
    "Classify photos or scans of handwritten digits. Each digit is preprocessed like the training images; several in "
    "one picture are read from left to right. Exit status 1 if any picture cannot be read."
)
MODEL = Path(paths.MODEL)
BAR_WIDTH = 30
EXTENSIONS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "images", nargs="+", metavar="IMAGE",
        help="an image file, such as PNG or JPEG, or a folder of them; - for standard input",
    )  # fmt: skip
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--model", type=Path, default=MODEL, metavar="FILE", help=f"the model (default: {MODEL})")
    source.add_argument("--rev", metavar="NAME", help="the model of a git revision or an experiment")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--brief", action="store_true", help="print one line for each picture")
    form.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--show", type=Path, metavar="FOLDER", help="write the preprocessed images there, as PNG")


Failure = tuple[str, str]
"""What cannot be read, and why."""


def run(args: argparse.Namespace) -> None:
    """Predict and print; an image that cannot be read does not stop the others."""
    from mnist_pipeline.core import numerics

    numerics.configure("portable")  # before torch is imported: the same answer on every machine
    from mnist_pipeline.deploy.reading import Reader
    from mnist_pipeline.models.classifier import load_classifier

    try:
        classifier = load_classifier(_model_of(args.rev) if args.rev is not None else args.model)
    except PipelineError as error:
        hint = "; run dvc repro or dvc pull" if args.rev is None and args.model == MODEL and not MODEL.exists() else ""
        raise PipelineError(f"{error}{hint}") from None
    names, failed = _expanded(args.images)
    readings = _read(Reader(classifier, Path(paths.TRAIN_ARRAYS)), names, args.show, failed)
    if args.json:
        print(json.dumps([each for name, reading in readings for each in _as_json(name, reading)], indent=2))
    elif readings:
        form, between = (brief, "\n") if args.brief else (describe, "\n\n")
        print(between.join(form(name, reading) for name, reading in readings))
    for name, problem in failed:
        print(f"mnist predict: {printable(name)}: {printable(problem)}", file=sys.stderr)
    if failed:
        sys.exit(1)


def _model_of(revision: str) -> Path:
    from mnist_pipeline.provenance.dvc import cached_output
    from mnist_pipeline.provenance.git import resolve

    here = Path.cwd()
    return cached_output(here, resolve(here, revision), paths.MODEL)


def _expanded(names: list[str]) -> tuple[list[str], list[Failure]]:
    """The names with those of their images in the place of folders, and the folders that have none."""
    expanded: list[str] = []
    failed: list[Failure] = []
    for name in names:
        try:
            if name == "-" or not Path(name).is_dir():
                expanded.append(name)
                continue
            inside = sorted(Path(name).iterdir())
        except OSError as error:
            failed.append((name, error.strerror or str(error)))
            continue
        images = [str(path) for path in inside if path.suffix.lower() in EXTENSIONS and not path.name.startswith(".")]
        expanded += images
        if not images:
            failed.append((name, f"the folder has no image; names must end in {', '.join(EXTENSIONS)}"))
    return expanded, failed


def _read(reader: Reader, names: list[str], folder: Path | None, failed: list[Failure]) -> list[tuple[str, Reading]]:
    """Read images; add those that cannot be read to ``failed``."""
    readings = []
    for number, name in enumerate(names):
        try:
            reading = reader.read(_content_of(name))
            if folder is not None:
                _save(folder, f"{number:03d}-{'stdin' if name == '-' else Path(name).stem}", reading)
        except (PipelineError, OSError) as error:
            failed.append((name, getattr(error, "strerror", None) or str(error)))
            continue
        readings.append((name, reading))
    return readings


def _content_of(name: str) -> bytes:
    """Read a file or standard input, but no more than shows that it is too large."""
    from mnist_pipeline.deploy.photo import LARGEST_FILE

    if name == "-":
        return sys.stdin.buffer.read(LARGEST_FILE + 1)
    with Path(name).open("rb") as file:
        return file.read(LARGEST_FILE + 1)


def _save(folder: Path, stem: str, reading: Reading) -> None:
    from PIL import Image

    from mnist_pipeline.core.files import atomic_write

    for number, digit in enumerate(reading.digits, 1):
        name = f"{stem}.png" if len(reading.digits) == 1 else f"{stem}-digit-{number}.png"
        with atomic_write(folder / name) as temporary:
            Image.fromarray(digit.image).save(temporary, format="PNG")


def _as_json(name: str, reading: Reading) -> list[dict[str, Any]]:
    """An object for each digit."""
    return [
        {
            "image": name,
            "digit": number,
            "digits": len(reading.digits),
            "reading": reading.text,
            "answer": digit.answer,
            "confidence": digit.confidence,
            "warning": _warning(digit.doubt) if digit.doubt else None,
            "probabilities": dict(zip(digit.classes, digit.probabilities, strict=True)),
        }
        for number, digit in enumerate(reading.digits, 1)
    ]


def _warning(doubt: str) -> str:
    return f"this does not look like the training images ({doubt}); the prediction may be meaningless"


def brief(name: str, reading: Reading) -> str:
    """Return the reading in one line."""
    warned = "  warning" if any(digit.doubt for digit in reading.digits) else ""
    return f"{printable(name)}: {_bold(reading.text)}  {100 * reading.confidence:.1f} %{warned}"


def describe(name: str, reading: Reading) -> str:
    """Return the reading, and for each digit the probability of each class as a bar."""
    image, number = printable(name), len(reading.digits)
    if number == 1:
        return _describe_digit(image, reading.digits[0])
    parts = [f"{image}: {_bold(reading.text)}  ({reading.confidence:.1%})"]
    for place, digit in enumerate(reading.digits, 1):
        parts.append(_describe_digit(f"{image}, digit {place} of {number}", digit))
    return "\n\n".join(parts)


def _describe_digit(title: str, digit: Digit) -> str:
    names = [printable(name) for name in digit.classes]
    width = max(map(len, names))
    lines = [f"{title}: {_bold(digit.answer)}  ({digit.confidence:.1%})"]
    if digit.doubt:
        lines += textwrap.wrap(f"warning: {_warning(digit.doubt)}", 78, initial_indent="  ", subsequent_indent="  ")
    for name, probability in zip(names, digit.probabilities, strict=True):
        lines.append(f"  {name:>{width}} {100 * probability:5.1f} % {_bar(probability)}".rstrip())
    return "\n".join(lines)


def _bar(share: float) -> str:
    """A bar of up to BAR_WIDTH characters, in eighths of one."""
    eighths = round(8 * BAR_WIDTH * share)
    return "█" * (eighths // 8) + " ▏▎▍▌▋▊▉"[eighths % 8].strip()


def _bold(text: str) -> str:
    plain = not sys.stdout.isatty() or "NO_COLOR" in os.environ
    return printable(text) if plain else f"\033[1m{printable(text)}\033[0m"
