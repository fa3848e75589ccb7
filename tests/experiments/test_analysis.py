"""What each rung is worth, its claims, its table: from runs whose truth is known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from mnist_pipeline.experiments.claims import claims
from mnist_pipeline.core.statistics import wilson
from mnist_pipeline.experiments.spec import Ladder, Run, load_ladder
from mnist_pipeline.experiments.significance import mcnemar
from mnist_pipeline.experiments.results import RunResult, PipelineError, uniform_loss, read_runs, write_runs
from mnist_pipeline.remaining import Remaining
from mnist_pipeline.experiments.report import COLUMNS, describe, row_of, table, with_sections
from mnist_pipeline.experiments.analysis import compare_runs, standings
from tests.conftest import ROOT

SAMPLES = 2000


def make_run(rung: str, seed: int, wrong: set[int], **changes: Any) -> RunResult:
    run = RunResult(
        rung=rung,
        seed=seed,
        params="0" * 12,
        accuracy=1 - len(wrong) / SAMPLES,
        validation_accuracy=None,
        samples=SAMPLES,
        seconds=3.0,
        early_loss=0.5,
        swing=0.2,
        wrong=tuple(sorted(wrong)),
    )
    return replace(run, **changes)


def seeds_of(rung: str, errors: float, number: int, generator: int) -> list[RunResult]:
    """Runs that each get a sample wrong with this probability, apart from the hard ones that all get wrong."""
    random = np.random.default_rng(generator)
    hard = set(range(20))
    return [make_run(rung, seed, hard | set(np.flatnonzero(random.random(SAMPLES) < errors).tolist()))
            for seed in range(number)]  # fmt: skip


@pytest.fixture
def ladder(tmp_path: Path) -> Ladder:
    rungs = {
        "base": {"title": "Base", "why": "A start"},
        "up": {"title": "Up", "why": "Helps", "builds_on": "base", "published": 0.97},
        "same": {"title": "Same", "why": "Does not", "builds_on": "up", "published": "about 0.97"},
        "down": {"title": "Down", "why": "Harms", "builds_on": "up"},
        "absent": {"title": "Absent", "why": "Was never run", "builds_on": "up"},
    }
    (tmp_path / "experiments.yaml").write_text(yaml.safe_dump({"seeds": 5, "rungs": rungs}, sort_keys=False))
    return load_ladder(tmp_path / "experiments.yaml", ROOT / "params.yaml")


@pytest.fixture
def runs() -> list[RunResult]:
    return [
        *seeds_of("base", 0.10, 5, 0),
        *seeds_of("up", 0.03, 5, 1),
        *seeds_of("same", 0.03, 5, 2),
        *seeds_of("down", 0.08, 5, 3),
    ]


def test_real_changes_are_told_and_others_not(ladder: Ladder, runs: list[RunResult]) -> None:
    found = {each.rung: each for each in standings(ladder, runs)}
    assert list(found) == ["base", "up", "same", "down"]
    assert found["base"].change is None
    verdicts = {name: each.change.verdict for name, each in found.items() if each.change is not None}
    assert verdicts == {"up": "better", "same": "cannot tell", "down": "worse"}


def test_the_figures_of_a_rung(ladder: Ladder, runs: list[RunResult]) -> None:
    up = next(each for each in standings(ladder, runs) if each.rung == "up")
    accuracies = [run.accuracy for run in runs if run.rung == "up"]
    assert up.accuracy == pytest.approx(np.mean(accuracies))
    assert up.sd == pytest.approx(np.std(accuracies, ddof=1))
    assert (up.low, up.high) == wilson_interval(round(np.mean(accuracies) * SAMPLES), SAMPLES)
    assert (up.published, up.seeds, up.seconds) == (0.97, 5, 3.0)


def test_p_values_are_corrected_for_the_number_of_rungs(ladder: Ladder, runs: list[RunResult]) -> None:
    changes = [each.change for each in standings(ladder, runs) if each.change is not None]
    smallest = min(changes, key=lambda change: change.p_samples)
    assert smallest.p_samples_corrected == pytest.approx(3 * smallest.p_samples)
    for change in changes:
        assert change.difference.p is not None
        assert change.p_seeds_corrected is not None
        assert change.p_seeds_corrected >= change.difference.p


def test_one_seed_is_mcnemar_and_no_verdict() -> None:
    before, after = make_run("a", 0, set(range(60))), make_run("b", 0, set(range(40, 70)))
    change = compare_runs([before], [after])
    assert change is not None
    assert change.p_samples == pytest.approx(mcnemar(40, 10))
    assert (change.difference.p, change.detectable, change.verdict) == (None, None, "cannot tell")


def test_only_common_seeds_are_compared() -> None:
    before = [make_run("a", seed, set(range(50 + seed))) for seed in (0, 1, 2)]
    after = [make_run("b", seed, set(range(20 + seed))) for seed in (1, 2, 3)]
    change = compare_runs(before, after)
    assert change is not None
    assert change.seeds == 2
    assert change.difference.mean == pytest.approx(30 / SAMPLES)
    assert compare_runs(before, [make_run("b", 9, set())]) is None


def test_few_seeds_can_show_less_than_many() -> None:
    few, many = (compare_runs(seeds_of("a", 0.05, number, 4), seeds_of("b", 0.05, number, 5)) for number in (3, 12))
    assert few is not None
    assert many is not None
    assert few.detectable is not None
    assert many.detectable is not None
    assert few.detectable > 2 * many.detectable > 0


def test_a_false_difference_is_rare() -> None:
    """Recipes that are the same: the verdict is wrong in at most 5 % of the comparisons."""
    verdicts = []
    for trial in range(120):
        change = compare_runs(seeds_of("a", 0.05, 4, 1000 + trial), seeds_of("b", 0.05, 4, 5000 + trial))
        assert change is not None
        verdicts.append(change.verdict)
    assert sum(verdict != "cannot tell" for verdict in verdicts) <= 6


def test_the_record_comes_back_as_it_was(tmp_path: Path, runs: list[RunResult]) -> None:
    runs = [*runs, make_run("base", 9, set(), validation_accuracy=0.9, seconds=None, early_loss=None, swing=None)]
    write_runs(runs, tmp_path / "runs.csv")
    assert read_runs(tmp_path / "runs.csv") == runs
    assert read_runs(tmp_path / "none.csv") == []


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [("rung,seed", "rung,sed", "its header must be rung,seed"), ("base,0", "base,zero", "runs.csv:2: invalid literal")],
)
def test_a_damaged_record_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = tmp_path / "runs.csv"
    write_runs([make_run("base", 0, {1, 2})], path)
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(PipelineError, match=message):
        read_runs(path)


def test_the_uniform_loss() -> None:
    import torch
    from torch.nn import functional as F  # noqa: N812

    outputs, labels = torch.full((1, 10), 0.1), torch.tensor([3])
    target = F.one_hot(labels, 10).float()
    assert uniform_loss("mse", 10) == pytest.approx(F.mse_loss(outputs, target).item())
    assert uniform_loss("bce", 10) == pytest.approx(F.binary_cross_entropy(outputs, target).item())
    assert uniform_loss("cross_entropy", 10) == pytest.approx(F.cross_entropy(outputs, labels).item())


def test_tables_say_what_the_standings_say(ladder: Ladder, runs: list[RunResult]) -> None:
    found = standings(ladder, runs)
    rows = [dict(zip(COLUMNS, row_of(each), strict=True)) for each in found]
    assert [row["verdict"] for row in rows] == [None, "better", "cannot tell", "worse"]
    assert rows[1]["difference"] == pytest.approx(0.07, abs=0.01)
    markdown = table(found).splitlines()
    assert len(markdown) == 2 + len(found)
    assert "about 0.97" in markdown[4]
    assert "cannot tell (below " in markdown[4]
    assert len({line.count("|") for line in markdown}) == 1
    assert "better" in describe(found).splitlines()[2]


def test_sections_are_written_between_their_marks(ladder: Ladder, runs: list[RunResult]) -> None:
    page = "# A\n<!-- ladder -->\nold\n<!-- /ladder -->\nB\n<!-- claims -->\n<!-- /claims -->\nC\n"
    written = with_sections(page, ladder, runs)
    assert "old" not in written
    assert table(standings(ladder, runs)) in written
    assert with_sections(written, ladder, runs) == written
    assert with_sections("no marks", ladder, runs) == "no marks"


def test_claims_hold_fail_or_cannot_be_told() -> None:
    def some(rung: str, errors: float, generator: int, **changes: Any) -> list[RunResult]:
        random = np.random.default_rng(generator)
        return [replace(run, **{name: value + 0.01 * random.standard_normal() for name, value in changes.items()})
                for run in seeds_of(rung, errors, 5, generator)]  # fmt: skip

    runs = [
        *some("start", 0.12, 1, early_loss=0.6, swing=0.3),
        *some("bce", 0.08, 2, early_loss=0.5, swing=0.4),
        *some("leaky-relu", 0.03, 3, swing=0.2),
        *some("adam", 0.04, 4, swing=0.2),
        *some("adam-sigmoid-mse", 0.03, 5, swing=0.2),
        *some("layer-norm", 0.02, 6, swing=0.1),
        *some("input-norm", 0.03, 7, swing=0.2),
        *some("shuffle", 0.03, 8, swing=0.5),
        *some("mini-batches", 0.03, 9, swing=0.05),
        *some("default", 0.005, 10, swing=0.05),
    ]
    found = claims(runs)
    assert [claim.verdict for claim in found] == [
        "holds in part", "holds", "holds", "LayerNorm: holds; inputs: cannot be told", "holds", "fails",
    ]  # fmt: skip
    assert " times as small (0.49 → 0.05)" in found[4].numbers
    assert [claim.text for claim in claims([run for run in runs if run.rung == "default"])] == [found[5].text]


def test_the_time_left_is_that_of_the_rungs_left() -> None:
    left = [Run("slow", 0), Run("slow", 1), Run("quick", 0), Run("new", 0)]
    remaining = Remaining({"slow": 92.0, "quick": 12.0}, left, jobs=2)
    assert remaining.seconds == pytest.approx((100 + 100 + 20 + 60) / 2)
    assert str(remaining) == "about 2 min left"
    for run in left[:2]:
        remaining.note(run, 92.0)
    assert str(remaining) == "about 40 s left"
    remaining.note(left[2], None)
    remaining.note(left[3], 1.0)
    assert str(remaining) == "all done"
    assert str(Remaining({}, left, jobs=2)) == "time left not known yet"


def test_claims_need_two_seeds_in_common_whose_losses_were_kept() -> None:
    one, other = seeds_of("start", 0.1, 3, 1), seeds_of("bce", 0.05, 3, 2)
    assert len(claims([*one, *other])) == 1
    assert claims([*one, *(replace(run, seed=run.seed + 2) for run in other)]) == []
    assert claims([*one, *(replace(run, swing=None) for run in other)]) == []
