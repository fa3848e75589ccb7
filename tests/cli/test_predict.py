"""mnist predict: what it prints, writes and refuses, with a small model trained on drawn digits."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from mnist_pipeline.core import numerics
from mnist_pipeline.models.classifier import UNIT, new_classifier, save_classifier
from mnist_pipeline.cli.main import main
from mnist_pipeline.cli.predict import MODEL, Prediction, describe
from mnist_pipeline.provenance.dvc import NotCachedError, output_of
from mnist_pipeline.params.schema import load_params
from mnist_pipeline.deploy.photo import to_form
from mnist_pipeline.training.loop import Samples, fit
from tests.conftest import DIGITS, ROOT
from tests.deploy.drawn import STROKES, draw, encoded, grey_levels
from tests.test_revisions import git


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier of drawn digits, whatever their slant and the width of the pen."""
    random = np.random.default_rng(0)
    images, labels = [], []
    for digit in STROKES:
        for _ in range(12):
            drawn = draw(digit, size=(70, 70), pen=random.uniform(0.04, 0.1), slant=random.uniform(-0.2, 0.3))
            images.append(preprocess(grey_levels(drawn), 28))
            labels.append(int(digit))
    params = load_params(ROOT / "params.yaml")
    classifier = new_classifier(28, DIGITS, UNIT, params.model, 0)
    samples = Samples(torch.from_numpy(np.stack(images)), torch.tensor(labels))
    nothing = Samples(torch.zeros((0, 28, 28), dtype=torch.uint8), torch.zeros(0, dtype=torch.int64))
    fit(classifier, samples, nothing, params.train.model_copy(update={"batch_size": 20}), params.optimizers)
    path = tmp_path_factory.mktemp("model") / "classifier.safetensors"
    save_classifier(path, classifier)
    return path


@pytest.fixture
def workspace(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the model at its place, and pictures of a 3 and a 7."""
    monkeypatch.setattr(numerics, "configure", lambda _: None)  # too late: the tests have imported torch
    (tmp_path / MODEL).parent.mkdir()
    (tmp_path / MODEL).write_bytes(model.read_bytes())
    for digit in ("3", "7"):
        (tmp_path / f"{digit}.png").write_bytes(encoded(draw(digit)))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_digits_are_read(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["predict", "3.png", "7.png", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert [(each["image"], each["answer"]) for each in found] == [("3.png", "3"), ("7.png", "7")]
    for each in found:
        assert sum(each["probabilities"].values()) == pytest.approx(1)
        assert each["confidence"] == max(each["probabilities"].values())
        assert list(each["probabilities"]) == list(DIGITS)
    assert workspace.exists()


def test_for_a_person_there_are_bars(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["predict", str(workspace / "3.png")])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"{workspace / '3.png'}: 3  (")
    assert len(lines) == 11
    assert max(lines[1:], key=lambda line: line.count("█")).split()[0] == "3"


@pytest.mark.parametrize(("share", "bar"), [(0.0, ""), (1.0, "█" * 30), (0.5, "█" * 15), (0.02, "▋")])
def test_a_bar_is_as_long_as_its_share(share: float, bar: str) -> None:
    text = describe(Prediction("x", ("no", "yes"), [1 - share, share]))
    assert text.splitlines()[2] == f"  yes {100 * share:5.1f} % {bar}".rstrip()


def test_standard_input_is_a_picture_too(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO((workspace / "7.png").read_bytes())))
    main(["predict", "-"])
    assert capsys.readouterr().out.startswith("-: 7  (")


def test_show_writes_what_the_network_saw(workspace: Path) -> None:
    main(["predict", "3.png", "7.png", "--show", "seen"])
    assert sorted(path.name for path in (workspace / "seen").iterdir()) == ["000-3.png", "001-7.png"]
    with Image.open(workspace / "seen" / "000-3.png") as picture:
        assert np.array_equal(np.asarray(picture), preprocess(grey_levels(draw("3")), 28))


def test_one_that_cannot_be_read_does_not_stop_the_others(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (workspace / "blank.png").write_bytes(encoded(Image.new("L", (50, 50), 255)))
    (workspace / "page.png").write_bytes(b"<html>")
    with pytest.raises(SystemExit) as ended:
        main(["predict", "blank.png", "page.png", "missing.png", ".", "3.png", "--json"])
    assert ended.value.code == 1
    printed = capsys.readouterr()
    assert [each["answer"] for each in json.loads(printed.out)] == ["3"]
    assert printed.err.splitlines() == [
        "mnist predict: blank.png: it is blank: no ink stands out from the paper",
        "mnist predict: page.png: it is no picture in a known format (PNG, JPEG, WEBP, BMP, GIF, TIFF)",
        "mnist predict: missing.png: No such file or directory",
        "mnist predict: .: Is a directory",
    ]


def test_of_a_file_that_is_too_large_little_is_read(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["predict", "/dev/zero"])
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == "mnist predict: /dev/zero: it is too large; at most 32 MB are read\n"
    assert workspace.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "none.safetensors"], "none.safetensors"),
        (["--model", "3.png"], "3.png"),
        (["--rev", "nothing"], "not a git repository"),
    ],
)
def test_a_model_that_is_none_is_named(workspace: Path, arguments: list[str], message: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["predict", "3.png", *arguments])
    assert message in str(ended.value.code)
    assert workspace.exists()


def test_without_a_model_it_says_how_to_get_one(workspace: Path) -> None:
    (workspace / MODEL).unlink()
    with pytest.raises(SystemExit) as ended:
        main(["predict", "3.png"])
    assert str(ended.value.code).endswith("; run dvc repro or dvc pull")


def test_the_model_of_an_experiment(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Found by the hash in its dvc.lock, in DVC's cache; the workspace has none."""
    import hashlib

    content = (workspace / MODEL).read_bytes()
    md5 = hashlib.md5(content).hexdigest()
    (workspace / MODEL).unlink()
    outs: Any = [{"path": str(MODEL), "md5": md5}]
    (workspace / "dvc.lock").write_text(yaml.safe_dump({"stages": {"train": {"outs": outs}}}))
    (workspace / ".dvc").mkdir()
    (workspace / ".dvc" / "config").touch()
    git(workspace, "init", "-q", "-b", "main")
    git(workspace, "add", "dvc.lock", ".dvc")
    git(workspace, "commit", "-q", "-m", "an experiment")
    commit = git(workspace, "rev-parse", "HEAD")
    git(workspace, "update-ref", f"refs/exps/{commit[:2]}/{commit[2:]}/adam-0", commit)
    with pytest.raises(NotCachedError, match="is not in DVC's cache; check"):
        cached_output(workspace, commit, "train", str(MODEL))
    cached = workspace / ".dvc" / "cache" / "files" / "md5" / md5[:2] / md5[2:]
    cached.parent.mkdir(parents=True)
    cached.write_bytes(content)
    main(["predict", "7.png", "--rev", "adam-0"])
    assert capsys.readouterr().out.startswith("7.png: 7  (")


@pytest.mark.slow
def test_the_readme_shows_what_the_committed_model_says() -> None:
    """After make repro, whose model it needs."""
    readme = (ROOT / "README.md").read_text("utf-8")
    (shown,) = re.findall(r"\$ (mnist predict [^\n]*)\n(.*?)```", readme, re.DOTALL)
    command = [sys.executable, "-m", "mnist_pipeline.cli.main", *shown[0].split()[1:]]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert ran.stdout == shown[1]
