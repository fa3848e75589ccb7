"""Two runs side by side: the numbers, what is refused, and the forms in which `mnist compare` prints them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import astuple
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from mnist_pipeline.cli.main import main
from mnist_pipeline.core.errors import PipelineError
from mnist_pipeline.core.statistics import wilson_interval
from mnist_pipeline.data.csv import Block
from mnist_pipeline.data.dataset import save_dataset
from mnist_pipeline.experiments.compare import accuracy_of, compare, load_run
from mnist_pipeline.experiments.significance import mcnemar
from tests.repository import git

LABELS = [index % 3 for index in range(300)]
NAMES = ("zero", "one", "two")


def write_run(folder: Path, wrong: range, labels: list[int] = LABELS, data: str = "f" * 32, **params: Any) -> None:
    """What a run leaves behind: predictions, a lock that fits them, params."""
    lines = ["index,actual,predicted,confidence"]
    for index, label in enumerate(labels):
        lines.append(f"{index},{NAMES[label]},{NAMES[(label + (index in wrong)) % 3]},0.9")
    predictions = "\n".join(lines) + "\n"
    (folder / "metrics").mkdir(exist_ok=True)
    (folder / "metrics" / "predictions.csv").write_text(predictions)
    lock = {
        "deps": [{"path": "data/prepared/test.safetensors", "md5": data}],
        "outs": [{"path": "metrics/predictions.csv", "md5": hashlib.md5(predictions.encode()).hexdigest()}],
    }
    (folder / "dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": {"evaluate": lock}}))
    content = {"train": {"epochs": 3, "seed": 0, **params}, "model": {"loss": "mse"}}
    (folder / "params.yaml").write_text(yaml.safe_dump(content))


@pytest.fixture(autouse=True)
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder. Committed: samples 0-29 wrong. Workspace: samples 20-34 wrong."""
    git(tmp_path, "init", "-q", "-b", "main")
    write_run(tmp_path, range(30))
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "a run")
    write_run(tmp_path, range(20, 35), epochs=10, dropout=0.5)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_comparison_has_what_was_fixed_and_what_was_broken(repository: Path) -> None:
    result = compare(load_run(repository, "HEAD"), load_run(repository, "workspace"))
    assert result.fixed == list(range(20))
    assert result.broken == list(range(30, 35))
    assert result.p == mcnemar(20, 5)
    assert result.difference == pytest.approx(15 / 300)
    assert accuracy_of(result.before) == (0.9, *wilson_interval(270, 300))
    assert result.params == [("train.epochs", 3, 10), ("train.dropout", None, 0.5)]
    assert result.before.commit == git(repository, "rev-parse", "HEAD")
    assert result.after.commit is None
    assert [astuple(each) for each in result.classes] == [
        ("one", 100, 90, 95, 7, 2),
        ("two", 100, 90, 95, 6, 1),
        ("zero", 100, 90, 95, 7, 2),
    ]


@pytest.mark.parametrize(
    ("labels", "data", "message"),
    [
        (LABELS[:100], "f" * 32, r"workspace on 100 samples \(data/prepared/test\.safetensors with MD5 ffffffffff\)"),
        (LABELS[1:] + LABELS[:1], "f" * 32, "different data"),
        (LABELS, "e" * 32, "HEAD on 300 samples .*ffffffffff.; workspace on 300 samples .*eeeeeeeeee"),
    ],
)
def test_runs_on_other_data_are_refused(repository: Path, labels: list[int], data: str, message: str) -> None:
    write_run(repository, range(0), labels, data)
    with pytest.raises(PipelineError, match=message):
        compare(load_run(repository, "HEAD"), load_run(repository, "workspace"))


def test_a_damaged_run_is_named(repository: Path) -> None:
    path = repository / "metrics" / "predictions.csv"
    path.write_text(path.read_text().replace("0.9\n", "0.8\n", 1))
    with pytest.raises(PipelineError, match=r"workspace: its metrics/predictions\.csv is not what evaluate wrote"):
        load_run(repository, "workspace")
    (repository / "dvc.lock").write_text("stages: {}\n")
    with pytest.raises(PipelineError, match=r"workspace: its dvc\.lock has no stage evaluate"):
        load_run(repository, "workspace")
    (repository / "params.yaml").unlink()
    with pytest.raises(PipelineError, match=r"params\.yaml: no such file in the workspace; run dvc repro"):
        load_run(repository, "workspace")
    git(repository, "commit", "-q", "-a", "-m", "nothing left")
    with pytest.raises(PipelineError, match=r"params\.yaml is not in commit"):
        load_run(repository, "HEAD")


def test_a_comparison_is_text_markdown_or_json(capsys: pytest.CaptureFixture[str]) -> None:
    main(["compare"])
    text = capsys.readouterr().out
    assert "workspace fixes 20 samples and breaks 5 (+5.00 points): the model of workspace is better" in text
    assert "train.dropout  –  0.5" in text
    assert "one    100      0.9000     0.9500     +5.00   7      2" in text
    main(["compare", "HEAD", "--md"])
    markdown = capsys.readouterr().out
    assert markdown.startswith("### `HEAD` → `workspace`")
    assert "| HEAD | 0.9000 | 0.8608 to 0.9291 | 30 |" in markdown
    main(["compare", "HEAD", "workspace", "--json"])
    content = json.loads(capsys.readouterr().out)
    assert content["mcnemar_p"] == pytest.approx(mcnemar(20, 5))
    assert (content["before"]["errors"], content["after"]["accuracy"]) == (30, 0.95)
    assert content["params"]["train.epochs"] == {"before": 3, "after": 10}


@pytest.mark.parametrize(
    ("wrong", "verdict"),
    [
        (range(30), "Both classify the same samples correctly."),
        (range(1, 31), "inconclusive (exact McNemar p = 1)"),
        (range(60), "the model of HEAD is better than that of workspace"),
    ],
)
def test_the_verdict_follows_the_test(capsys: pytest.CaptureFixture[str], wrong: range, verdict: str) -> None:
    write_run(Path(), wrong)
    main(["compare"])
    assert verdict in capsys.readouterr().out


def test_the_figure_needs_the_images_of_the_comparison(repository: Path) -> None:
    with pytest.raises(SystemExit, match="mnist compare: the images cannot be drawn; "):
        main(["compare", "--figure", "changes.png"])
    arrays = repository / "data" / "prepared" / "test.safetensors"
    arrays.parent.mkdir(parents=True)
    images = np.zeros((300, 8, 8), np.uint8)
    save_dataset(arrays, [Block(np.array(LABELS[::-1], np.uint8), images)], NAMES)
    with pytest.raises(SystemExit, match="is not the test set of the two runs"):
        main(["compare", "--figure", "changes.png"])
    assert not (repository / "changes.png").exists()
    save_dataset(arrays, [Block(np.array(LABELS, np.uint8), images)], NAMES)
    main(["compare", "--figure", "changes.png"])
    assert (repository / "changes.png").read_bytes().startswith(b"\x89PNG")
