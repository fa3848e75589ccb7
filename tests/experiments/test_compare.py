"""Two groups side by side, and the forms in which `mnist compare` prints them."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mnist_pipeline.cli.compare import conclusion
from mnist_pipeline.cli.main import main
from mnist_pipeline.core.errors import PipelineError
from mnist_pipeline.core.statistics import wilson_interval
from mnist_pipeline.data.dataset import save_dataset
from mnist_pipeline.experiments.compare import Comparison, compare
from mnist_pipeline.experiments.runs import load_group
from mnist_pipeline.experiments.scores import SCORES, scores_of
from mnist_pipeline.experiments.significance import MCNEMAR, PAIRED, TWO_WAY, compare_scores
from mnist_pipeline.provenance.paths import PREDICTIONS
from tests.conftest import make_block
from tests.experiments.repository import CLASSES, LABELS, NAMES, commit_all, make_experiments
from tests.repository import git


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_experiments(tmp_path_factory.mktemp("repository"))


@pytest.fixture(autouse=True)
def repository(made: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder."""
    monkeypatch.chdir(made)
    return made


def of(repository: Path, before: str, after: str, **options: Any) -> Comparison:
    first, second = (load_group(repository, name, PREDICTIONS, CLASSES) for name in (before, after))
    return compare(first, second, SCORES["accuracy"], **options)


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    """What `mnist compare --json` prints."""
    main(["compare", *arguments, "--json"])
    return json.loads(capsys.readouterr().out)


def test_two_groups_are_compared_by_the_two_way_test(capsys: pytest.CaptureFixture[str], repository: Path) -> None:
    result = of(repository, "base-*", "good-*")
    tables = [[run.predictions for run in group.runs] for group in (result.before, result.after)]
    assert result.estimate == compare_scores(*(scores_of(SCORES["accuracy"], each) for each in tables))
    assert result.means_before == pytest.approx([0.8, 239 / 300, 238 / 300])
    assert [(each.name, each.samples) for each in result.classes] == [("one", 100), ("two", 100), ("zero", 100)]
    assert np.mean([each.correct_after for each in result.classes]) == pytest.approx(np.mean(result.means_after))
    low, high = result.estimate.interval()
    expected = {
        "score": "accuracy", "runs_before": 3, "runs_after": 3, "samples": 300, "low": low, "high": high,
        "difference": result.estimate.difference, "p": result.estimate.p, "verdict": "better", "method": TWO_WAY,
        "margin": None, "warnings": [], "params": {"train.epochs": {"before": 3, "after": 9}}, "fixed": [],
    }  # fmt: skip
    content = printed(capsys, "base-*", "good-*")
    assert content | expected == content
    assert [run["name"] for run in content["after"]["runs"]] == ["good-0", "good-1", "good-2"]
    assert content["after"]["std"] == pytest.approx(1 / 300)


def test_two_runs_are_compared_sample_by_sample(repository: Path) -> None:
    result = of(repository, "HEAD", "workspace")
    assert (result.fixed, result.broken) == (list(range(20)), list(range(30, 35)))
    assert (result.estimate.method, result.estimate.discordant) == (MCNEMAR, (20, 5))
    assert result.params == [("train.epochs", 3, 10), ("train.dropout", None, 0.5)]
    same = of(repository, "workspace", "workspace")
    assert (same.verdict, same.estimate.p, same.fixed, same.params) == ("inconclusive", 1, [], [])
    assert conclusion(same).startswith("workspace and workspace are alike on every sample.")


def test_paired_groups_are_compared_on_the_seeds_that_both_have(repository: Path) -> None:
    result = of(repository, "base-*", "good-2,good-1", paired=True)
    assert [run.name for run in (*result.before.runs, *result.after.runs)] == ["base-1", "base-2", "good-1", "good-2"]
    assert result.estimate.method == PAIRED
    with pytest.raises(PipelineError, match="1 seeds in common; pairing needs two"):
        of(repository, "base-*", "good-0", paired=True)


def test_text_and_markdown_say_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    main(["compare"])
    text = capsys.readouterr().out
    low, high = wilson_interval(270, 300)
    assert f"HEAD       1       0.9000    {low:.4f} to {high:.4f}" in text
    assert "workspace is better than HEAD.\nDifference in accuracy: +5.00 points (95 % interval" in text
    assert f"Method: {MCNEMAR}.\nworkspace fixes 20 samples and breaks 5." in text
    assert "train.dropout  –  0.5" in text
    main(["compare", "base-*,other-code", "good-*", "--md"])
    markdown, warning = capsys.readouterr()
    assert markdown.startswith("### `base-*,other-code` → `good-*`")
    assert "| good-\\* | 3 | 0.9633 ± 0.0033 |\n" in markdown
    assert "good-\\* is better than base-\\*,other-code." in markdown
    assert "fixes" not in markdown
    assert warning == "mnist compare: warning: of other code than base-0: other-code\n"


@pytest.mark.parametrize(
    ("arguments", "verdict"),
    [
        ("workspace HEAD", "worse"), ("base-* base-*", "inconclusive"), ("base-* base-* --margin 30", "equivalent"),
        ("base-* good-* --margin 2", "better"), ("base-2 base-0 --margin 5.5", "not worse"),
        ("base-* good-* --score macro-f1", "better"), ("good-* base-* --score log-loss --margin 0.5", "equivalent"),
        ("good-* base-* --column log_loss", "better"), ("good-* base-* --column log_loss --lower-is-better", "worse"),
        ("HEAD workspace --split validation", "better"), ("good-0 base-0 --split validation", "inconclusive"),
    ],
)  # fmt: skip
def test_the_verdict_decides_the_exit_status(arguments: str, verdict: str, capsys: pytest.CaptureFixture[str]) -> None:
    other = "better" if verdict == "worse" else "worse"
    assert printed(capsys, *arguments.split(), "--fail-if", other)["verdict"] == verdict
    with pytest.raises(SystemExit) as ended:
        main(["compare", *arguments.split(), "--fail-if", other, "--fail-if", verdict])
    assert ended.value.code == 1


def test_the_figure_needs_the_images_of_two_runs(repository: Path, tmp_path: Path) -> None:
    picture, arrays = tmp_path / "changes.png", repository / "data" / "prepared" / "test.safetensors"
    draw = ["compare", "--figure", str(picture)]
    with pytest.raises(SystemExit, match="name one run a side"):
        main([*draw, "base-*", "good-*"])
    with pytest.raises(SystemExit, match=r"the images cannot be drawn; .*; run dvc repro or dvc pull"):
        main(draw)
    arrays.parent.mkdir(parents=True)
    for labels in (LABELS[::-1], LABELS):
        assert not picture.exists()
        save_dataset(arrays, [make_block(np.array(labels, np.uint8), np.zeros((300, 8, 8), np.uint8))], NAMES)
        with nullcontext() if labels == LABELS else pytest.raises(SystemExit, match="is not the test set of the two"):
            main(draw)
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_a_project_without_params_and_stages_can_compare_a_column(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The predictions of a regression, three commits for each side."""
    monkeypatch.chdir(tmp_path)
    git(tmp_path, "init", "-q", "-b", "main")
    random = np.random.default_rng(0)
    for spread in (3.0, 3.0, 3.0, 1.0, 1.0, 1.0):
        rows = [f"{i + 0.5},{i + 0.5 + error},{error**2}" for i, error in enumerate(random.normal(0, spread, 80))]
        (tmp_path / "own.csv").write_text("\n".join(["actual,predicted,squared_error", *rows, ""]))
        commit_all(tmp_path)
    arguments = ["HEAD~5,HEAD~4,HEAD~3", "HEAD~2,HEAD~1,HEAD", "--predictions", "own.csv", "--lower-is-better"]
    content = printed(capsys, *arguments, "--column", "squared_error")
    assert (content["verdict"], content["runs_before"], content["samples"]) == ("better", 3, 80)
    assert (content["classes"], content["params"], content["warnings"]) == ([], {}, [])
    with pytest.raises(SystemExit, match="must have the columns mistake; lacks mistake"):
        main(["compare", *arguments, "--column", "mistake"])
