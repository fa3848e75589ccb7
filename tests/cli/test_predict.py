"""`mnist predict`: what it prints, writes and refuses."""

from __future__ import annotations

import hashlib
import io
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from numpy.typing import NDArray
from PIL import Image

from mnist_pipeline.cli.main import main
from mnist_pipeline.cli.predict import EXTENSIONS, MODEL
from mnist_pipeline.core import numerics
from mnist_pipeline.deploy.photo import preprocess, read_photo
from mnist_pipeline.models.classifier import UNIT, Classifier, load_classifier, new_classifier, save_classifier
from mnist_pipeline.params.schema import Params
from tests.conftest import DIGITS
from tests.deploy.drawn import draw, encoded, written
from tests.repository import Repository, git, name_experiment

WARNING = "this does not look like the training images (no class is likely); the prediction may be meaningless"


@pytest.fixture(autouse=True)
def classifier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_params: Callable[..., Params]) -> Classifier:
    """An untrained model, at its place in the current folder, beside pictures of a 3 and a 7."""
    classifier = new_classifier(28, DIGITS, UNIT, make_params().model, 0).eval()
    save_classifier(tmp_path / MODEL, classifier)
    for digit in ("3", "7"):
        (tmp_path / f"{digit}.png").write_bytes(encoded(draw(digit, size=(90, 90))))
    monkeypatch.setattr(numerics, "configure", lambda _: None)  # too late: the tests have imported torch
    monkeypatch.chdir(tmp_path)
    return classifier


def seen_by(classifier: Classifier, name: str) -> tuple[NDArray[np.uint8], list[float]]:
    """What the network sees of a picture, and the probabilities that it gives."""
    image = preprocess(read_photo(Path(name).read_bytes()), 28)
    with torch.no_grad():
        outputs = classifier(torch.from_numpy(image)[None])
    return image, classifier.probabilities(outputs)[0].tolist()


def test_images_are_preprocessed_classified_and_shown(
    classifier: Classifier, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["predict", "3.png", "7.png", "--json", "--show", "seen"])
    found = json.loads(capsys.readouterr().out)
    assert [each["image"] for each in found] == ["3.png", "7.png"]
    assert sorted(path.name for path in Path("seen").iterdir()) == ["000-3.png", "001-7.png"]
    for number, each in enumerate(found):
        image, probabilities = seen_by(classifier, each["image"])
        assert list(each["probabilities"]) == list(DIGITS)
        assert list(each["probabilities"].values()) == pytest.approx(probabilities, rel=1e-5)
        assert each["answer"] == DIGITS[int(np.argmax(probabilities))]
        assert each["confidence"] == max(each["probabilities"].values())
        with Image.open(f"seen/{number:03d}-{each['image']}") as seen:
            assert np.array_equal(np.asarray(seen), image)


def test_standard_input_is_an_image_too(
    classifier: Classifier, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(Path("7.png").read_bytes())))
    main(["predict", "-"])
    lines = capsys.readouterr().out.splitlines()
    _, probabilities = seen_by(classifier, "7.png")
    assert lines[0] == f"-: {DIGITS[int(np.argmax(probabilities))]}  ({max(probabilities):.1%})"
    assert " ".join(lines[1:3]).split() == f"warning: {WARNING}".split()  # an untrained model is unsure
    for digit, probability, line in zip(DIGITS, probabilities, lines[3:], strict=True):
        assert line.startswith(f"  {digit} {100 * probability:5.1f} % {'█' * int(30 * probability)}")


def test_an_image_that_cannot_be_read_does_not_stop_the_others(capsys: pytest.CaptureFixture[str]) -> None:
    Path("page.png").write_bytes(b"<html>")
    with pytest.raises(SystemExit) as ended:
        main(["predict", "page.png", "missing.png", "models", "/dev/zero", "3.png", "--json"])
    assert ended.value.code == 1
    printed = capsys.readouterr()
    assert [each["image"] for each in json.loads(printed.out)] == ["3.png"]
    assert printed.err.splitlines() == [
        f"mnist predict: models: the folder has no image; names must end in {', '.join(EXTENSIONS)}",
        "mnist predict: page.png: it is not an image in a supported format (PNG, JPEG, WEBP, BMP, GIF, TIFF)",
        "mnist predict: missing.png: No such file or directory",
        "mnist predict: /dev/zero: it is too large; at most 32 MB are read",
    ]


def test_several_digits_are_read_one_by_one(classifier: Classifier, capsys: pytest.CaptureFixture[str]) -> None:
    Path("photo.png").write_bytes(encoded(written("37")))
    main(["predict", "photo.png", "--json", "--show", "seen"])
    found = json.loads(capsys.readouterr().out)
    reading = "".join(each["answer"] for each in found)
    assert [(each["digit"], each["digits"], each["reading"]) for each in found] == [(1, 2, reading), (2, 2, reading)]
    for each in found:
        with Image.open(f"seen/000-photo-digit-{each['digit']}.png") as seen, torch.no_grad():
            outputs = classifier(torch.from_numpy(np.array(seen))[None])
        assert list(each["probabilities"].values()) == pytest.approx(
            classifier.probabilities(outputs)[0].tolist(), rel=1e-5
        )
        assert each["warning"] == WARNING
    main(["predict", "photo.png"])
    titles = [line for line in capsys.readouterr().out.splitlines() if line.startswith("photo")]
    both = found[0]["confidence"] * found[1]["confidence"]
    assert titles[0] == f"photo.png: {reading}  ({both:.1%})"
    assert [title.split(":")[0] for title in titles[1:]] == ["photo.png, digit 1 of 2", "photo.png, digit 2 of 2"]


def test_brief_prints_a_line_for_each_image_of_a_folder_and_escapes_its_name(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("3.png").rename("a\x1b[2J.PNG")
    Path("._7.png").write_bytes(b"of another system")
    main(["predict", ".", "--brief"])
    first, second = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"7\.png: \d  \d+\.\d %  warning", first)
    assert second.startswith("a\\x1b[2J.PNG: ")


def test_an_image_in_other_classes_is_not_segmented(
    make_params: Callable[..., Params], capsys: pytest.CaptureFixture[str]
) -> None:
    save_classifier(MODEL, new_classifier(28, ("a b", "b"), UNIT, make_params().model, 0))
    Path("photo.png").write_bytes(encoded(written("37")))
    main(["predict", "photo.png", "--json"])
    (found,) = json.loads(capsys.readouterr().out)
    assert found["warning"] is None
    assert list(found["probabilities"].values()) == pytest.approx(
        seen_by(load_classifier(MODEL), "photo.png")[1], rel=1e-5
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "none.safetensors"], r"none\.safetensors: .*[^l]$"),
        (["--model", "3.png"], r"3\.png: "),
        (["--rev", "nothing"], "not a git repository"),
        ([], "; run dvc repro or dvc pull$"),
    ],
)
def test_a_model_that_cannot_be_loaded_is_named(arguments: list[str], message: str) -> None:
    MODEL.unlink()
    with pytest.raises(SystemExit, match=message):
        main(["predict", "3.png", *arguments])


def test_the_model_of_an_experiment_comes_from_dvcs_cache(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    md5 = hashlib.md5(MODEL.read_bytes()).hexdigest()
    cached = Path(".dvc", "cache", "files", "md5", md5[:2], md5[2:])
    cached.parent.mkdir(parents=True)
    MODEL.rename(cached)
    Path(".dvc", "config").touch()
    outs = [{"path": str(MODEL), "md5": md5}]
    Path("dvc.lock").write_text(yaml.safe_dump({"stages": {"train": {"outs": outs}}}))
    git(tmp_path, "init", "-q", "-b", "main")
    git(tmp_path, "commit", "-q", "--allow-empty", "-m", "base")
    name_experiment(tmp_path, "adam-0", Repository(tmp_path).commit("an experiment"))
    main(["predict", "7.png", "--rev", "adam-0"])
    assert capsys.readouterr().out.startswith("7.png: ")
