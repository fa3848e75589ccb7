"""Two runs side by side: numbers, refusals, forms."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from mnist_pipeline.cli.main import main
from mnist_pipeline.experiments.compare import PipelineError, Comparison, EvaluatedRun, compare, load_run
from mnist_pipeline.data.csv import Block
from mnist_pipeline.experiments.figures import draw_changes
from mnist_pipeline.experiments.significance import mcnemar
from mnist_pipeline.provenance.git import RevisionError
from mnist_pipeline.data.dataset import save_dataset
from tests.test_revisions import git

LABELS = [index % 3 for index in range(300)]
NAMES = ("zero", "one", "two")
TEST_HASH = "f" * 32


def write_run(folder: Path, wrong: set[int], labels: list[int] = LABELS, data: str = TEST_HASH, **params: Any) -> None:
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


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Committed: samples 0-29 wrong. Tagged other: the same on other data. Workspace: samples 20-34 wrong."""
    git(tmp_path, "init", "-q", "-b", "main")
    write_run(tmp_path, set(), labels=LABELS[:100], data="e" * 32)
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "other data")
    git(tmp_path, "tag", "other")
    write_run(tmp_path, set(range(30)))
    git(tmp_path, "commit", "-q", "-a", "-m", "a run")
    write_run(tmp_path, set(range(20, 35)), epochs=10)
    return tmp_path


def comparison(repository: Path) -> Comparison:
    return compare(load_run(repository, "HEAD"), load_run(repository, "workspace"))


def test_what_was_fixed_and_what_was_broken(repository: Path) -> None:
    result = comparison(repository)
    assert result.fixed == list(range(20))
    assert result.broken == list(range(30, 35))
    assert result.p == mcnemar(20, 5)
    assert result.difference == pytest.approx(15 / 300)
    assert result.params == [("train.epochs", 3, 10)]
    assert result.before.commit == git(repository, "rev-parse", "HEAD")
    assert result.after.commit is None
    assert [(each.name, each.samples) for each in result.classes] == [("one", 100), ("two", 100), ("zero", 100)]
    assert sum(each.fixed for each in result.classes) == 20
    assert sum(each.correct_after for each in result.classes) == 285


def test_other_data_is_refused_and_named(repository: Path) -> None:
    with pytest.raises(PipelineError) as raised:
        compare(load_run(repository, "other"), load_run(repository, "HEAD"))
    assert "different data" in str(raised.value)
    assert "other on 100 samples (data/prepared/test.safetensors with MD5 eeeeeeeeee)" in str(raised.value)
    assert "HEAD on 300 samples (data/prepared/test.safetensors with MD5 ffffffffff)" in str(raised.value)


def test_the_same_number_of_other_samples_is_refused_too(repository: Path) -> None:
    write_run(repository, set(), labels=LABELS[1:] + LABELS[:1])
    with pytest.raises(PipelineError, match="different data"):
        comparison(repository)


def test_predictions_that_are_not_the_locks_are_refused(repository: Path) -> None:
    path = repository / "metrics" / "predictions.csv"
    path.write_text(path.read_text().replace("0.9\n", "0.8\n", 1))
    with pytest.raises(PipelineError, match=r"workspace: its metrics/predictions\.csv is not what evaluate wrote"):
        load_run(repository, "workspace")


def test_what_is_missing_is_named(repository: Path) -> None:
    (repository / "params.yaml").unlink()
    with pytest.raises(PipelineError, match=r"params\.yaml: no such file in the workspace; run dvc repro"):
        load_run(repository, "workspace")
    (repository / "dvc.lock").write_text("stages: {}\n")
    git(repository, "commit", "-q", "-a", "-m", "nothing left")
    with pytest.raises(RevisionError, match=r"params\.yaml is not in commit"):
        load_run(repository, "HEAD")


def test_the_forms(repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(repository)
    main(["compare"])
    text = capsys.readouterr().out
    assert "workspace fixes 20 samples and breaks 5 (+5.00 points): this model of workspace is better" in text
    assert "train.epochs  3  10" in text
    main(["compare", "HEAD", "--md"])
    markdown = capsys.readouterr().out
    assert markdown.startswith("### `HEAD` → `workspace`")
    assert "| train.epochs | 3 | 10 |" in markdown
    main(["compare", "HEAD", "workspace", "--json"])
    content = json.loads(capsys.readouterr().out)
    assert content["mcnemar_p"] == pytest.approx(mcnemar(20, 5))
    assert content["before"]["errors"] == 30
    assert content["params"] == {"train.epochs": {"before": 3, "after": 10}}
    main(["compare", "HEAD", "HEAD"])
    assert "Both get the same samples right." in capsys.readouterr().out


def test_a_small_difference_cannot_be_told(
    repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(repository, set(range(1, 31)))
    monkeypatch.chdir(repository)
    main(["compare"])
    assert "no difference can be told (exact McNemar p = 1)" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["nothing", "other"])
def test_a_refusal_is_one_line_and_a_status(repository: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(repository)
    with pytest.raises(SystemExit) as ended:
        main(["compare", name])
    assert str(ended.value.code).startswith("mnist compare: ")


def test_the_picture_shows_both_groups(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = comparison(repository)
    figure = draw_changes(result, np.zeros((300, 8, 8), np.uint8))
    titles = [part.get_suptitle() for part in figure.subfigs]
    assert titles[0].startswith("20 digits fixed by workspace (class")
    assert titles[1].startswith("5 digits broken by workspace (class")
    captions = [axes.get_title() for axes in figure.subfigs[1].axes if axes.get_title()]
    assert captions[0] == "zero: zero → one"
    arrays = repository / "data" / "prepared" / "test.safetensors"
    arrays.parent.mkdir(parents=True)
    save_dataset(arrays, [Block(np.array(LABELS, np.uint8), np.zeros((300, 8, 8), np.uint8))], 8, NAMES)
    monkeypatch.chdir(repository)
    main(["compare", "--figure", "changes.png"])
    assert (repository / "changes.png").read_bytes().startswith(b"\x89PNG")


def test_the_picture_needs_the_data_of_the_comparison(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(repository)
    with pytest.raises(SystemExit) as ended:
        main(["compare", "--figure", "changes.png"])
    assert "the digits cannot be drawn" in str(ended.value.code)
    assert not (repository / "changes.png").exists()


def test_an_evaluated_run_counts_what_is_right(repository: Path) -> None:
    run: EvaluatedRun = load_run(repository, "HEAD")
    assert (run.correct, len(run.samples)) == (270, 300)
