"""`mnist predict`: what it prints, writes and refuses, with a model that compares images with drawn digits."""

from __future__ import annotations

import hashlib
import io
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from mnist_pipeline.cli.main import main
from mnist_pipeline.cli.predict import MODEL, Prediction, describe
from mnist_pipeline.core import numerics
from mnist_pipeline.deploy.photo import preprocess
from mnist_pipeline.models.classifier import UNIT, new_classifier, save_classifier
from mnist_pipeline.params.overrides import with_overrides
from mnist_pipeline.params.schema import Params
from tests.conftest import DIGITS
from tests.deploy.drawn import draw, encoded, grey_levels
from tests.repository import git, name_experiment


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, params_content: Any) -> Path:
    """A linear classifier, whose outputs are the higher the closer an image is to a drawn digit."""
    linear = {"model.mlp.hidden_units": [], "model.mlp.layer_norm": False}
    params = Params.model_validate(with_overrides(params_content, linear))
    classifier = new_classifier(28, DIGITS, UNIT, params.model, 0)
    digits = np.stack([preprocess(grey_levels(draw(digit, size=(90, 90))), 28) for digit in DIGITS])
    templates = classifier.inputs(torch.from_numpy(digits))
    weights, bias = classifier.parameters()
    with torch.no_grad():
        weights.copy_(templates)
        bias.copy_(-0.5 * templates.square().sum(dim=1))
    path = tmp_path_factory.mktemp("model") / "classifier.safetensors"
    save_classifier(path, classifier)
    return path


@pytest.fixture(autouse=True)
def workspace(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with the model at its place, and pictures of a 3 and a 7."""
    (tmp_path / MODEL).parent.mkdir()
    (tmp_path / MODEL).write_bytes(model.read_bytes())
    for digit in ("3", "7"):
        (tmp_path / f"{digit}.png").write_bytes(encoded(draw(digit, size=(90, 90), pen=0.07, slant=0.1)))
    monkeypatch.setattr(numerics, "configure", lambda _: None)  # too late: the tests have imported torch
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_digits_are_classified(capsys: pytest.CaptureFixture[str]) -> None:
    main(["predict", "3.png", "7.png", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert [(each["image"], each["answer"]) for each in found] == [("3.png", "3"), ("7.png", "7")]
    for each in found:
        assert sum(each["probabilities"].values()) == pytest.approx(1)
        assert each["confidence"] == max(each["probabilities"].values())
        assert list(each["probabilities"]) == list(DIGITS)


def test_standard_input_is_an_image_and_a_person_sees_bars(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO((workspace / "7.png").read_bytes())))
    main(["predict", "-"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("-: 7  (")
    assert len(lines) == 11
    assert max(lines[1:], key=lambda line: line.count("█")).split()[0] == "7"


@pytest.mark.parametrize(("share", "bar"), [(0.0, ""), (1.0, "█" * 30), (0.5, "█" * 15), (0.02, "▋")])
def test_a_bar_is_as_long_as_its_share(share: float, bar: str) -> None:
    text = describe(Prediction("x", ("no", "yes"), [1 - share, share]))
    assert text.splitlines()[2] == f"  yes {100 * share:5.1f} % {bar}".rstrip()


def test_show_writes_the_preprocessed_images(workspace: Path) -> None:
    main(["predict", "3.png", "7.png", "--show", "seen"])
    assert sorted(path.name for path in (workspace / "seen").iterdir()) == ["000-3.png", "001-7.png"]
    with Image.open(workspace / "seen" / "000-3.png") as seen, Image.open(workspace / "3.png") as picture:
        assert np.array_equal(np.asarray(seen), preprocess(grey_levels(picture), 28))


def test_an_image_that_cannot_be_read_does_not_stop_the_others(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (workspace / "page.png").write_bytes(b"<html>")
    with pytest.raises(SystemExit) as ended:
        main(["predict", "page.png", "missing.png", ".", "/dev/zero", "3.png", "--json"])
    assert ended.value.code == 1
    printed = capsys.readouterr()
    assert [each["answer"] for each in json.loads(printed.out)] == ["3"]
    assert printed.err.splitlines() == [
        "mnist predict: page.png: it is not an image in a supported format (PNG, JPEG, WEBP, BMP, GIF, TIFF)",
        "mnist predict: missing.png: No such file or directory",
        "mnist predict: .: Is a directory",
        "mnist predict: /dev/zero: it is too large; at most 32 MB are read",
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "none.safetensors"], r"none\.safetensors: .*[^l]$"),
        (["--model", "3.png"], r"3\.png: "),
        (["--rev", "nothing"], "not a git repository"),
        ([], "; run dvc repro or dvc pull$"),
    ],
)
def test_a_model_that_cannot_be_loaded_is_named(workspace: Path, arguments: list[str], message: str) -> None:
    (workspace / MODEL).unlink()
    with pytest.raises(SystemExit, match=message):
        main(["predict", "3.png", *arguments])


def test_the_model_of_an_experiment_comes_from_dvcs_cache(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    md5 = hashlib.md5((workspace / MODEL).read_bytes()).hexdigest()
    cached = workspace / ".dvc" / "cache" / "files" / "md5" / md5[:2] / md5[2:]
    cached.parent.mkdir(parents=True)
    (workspace / MODEL).rename(cached)
    (workspace / ".dvc" / "config").touch()
    git(workspace, "init", "-q", "-b", "main")
    git(workspace, "commit", "-q", "--allow-empty", "-m", "base")
    outs = [{"path": str(MODEL), "md5": md5}]
    (workspace / "dvc.lock").write_text(yaml.safe_dump({"stages": {"train": {"outs": outs}}}))
    git(workspace, "add", "dvc.lock", ".dvc/config")
    git(workspace, "commit", "-q", "-m", "an experiment")
    name_experiment(workspace, "adam-0", "HEAD")
    main(["predict", "7.png", "--rev", "adam-0"])
    assert capsys.readouterr().out.startswith("7.png: 7  (")
