"""What each rung is worth, from runs whose truth is known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mnist_pipeline.experiments.significance import PAIRED, compare_scores, holm
from mnist_pipeline.ladder.analysis import Change, RungResult, analyse, scores_of
from mnist_pipeline.ladder.results import RunResult
from tests.ladder.runs import make_ladder, make_run, random_runs

BASE, UP, SAME, DOWN = (
    random_runs(name, errors, 20, number)
    for number, (name, errors) in enumerate([("base", 0.1), ("up", 0.04), ("same", 0.1), ("down", 0.15)])
)


def analysed(folder: Path, runs: list[RunResult], **rungs: dict[str, Any]) -> dict[str, RungResult]:
    """Analyse rungs that build on "base" unless they say otherwise."""
    complete = {"base": {}, **{name: {"builds_on": "base", **rung} for name, rung in rungs.items()}}
    return {each.name: each for each in analyse(make_ladder(folder, complete), runs)}


def change_of(result: RungResult) -> Change:
    assert result.change is not None
    return result.change


def test_each_rung_is_tested_against_the_rung_below(tmp_path: Path) -> None:
    runs = [*BASE[:5], *UP[:4], *SAME[:5], *DOWN[:5]]
    found = analysed(tmp_path, runs, up={"seeds": 3}, same={}, down={"builds_on": "same"}, absent={})
    assert list(found) == ["base", "up", "same", "down"]
    changes = {name: change_of(found[name]) for name in ("up", "same", "down")}
    assert [each.tested.verdict for each in changes.values()] == ["better", "inconclusive", "worse"]
    assert changes["up"].estimate == compare_scores(scores_of(BASE[:5]), scores_of(UP[:4]))
    assert (changes["up"].runs_before, changes["up"].runs_after) == (5, 4)
    corrected = [each.tested.p_corrected for each in changes.values()]
    assert corrected == holm([each.tested.p for each in changes.values()])
    assert (found["up"].planned, found["same"].planned, found["base"].change) == (3, 5, None)
    assert (len(found["up"].runs), found["up"].seconds, found["up"].validation_accuracy) == (4, 3, None)


def test_a_rung_of_another_family_changes_no_verdict(tmp_path: Path) -> None:
    runs = [*BASE[:5], *UP[:5], *SAME[:5]]
    alone = analysed(tmp_path, runs, up={})["up"]
    other = analysed(tmp_path, runs, same={"family": "other"}, up={})["up"]
    together = analysed(tmp_path, runs, same={}, up={})["up"]
    assert alone == other
    assert change_of(together).tested.p_corrected == 2 * change_of(alone).tested.p_corrected


def test_a_paired_rung_is_compared_on_common_seeds_if_there_are_any(tmp_path: Path) -> None:
    found = analysed(tmp_path, [*BASE[:4], *UP[1:6]], up={"paired": True})
    assert change_of(found["up"]).estimate == compare_scores(scores_of(BASE[1:4]), scores_of(UP[1:4]), paired=True)
    assert change_of(analysed(tmp_path, [*BASE[:3], *UP[3:6]], up={"paired": True})["up"]).estimate.method != PAIRED


def test_runs_of_other_code_are_never_mixed(tmp_path: Path) -> None:
    old = [make_run("up", seed, set(), code="old") for seed in (5, 6)]
    new = analysed(tmp_path, [*BASE[:3], *UP[:3]], up={}, same={})
    mixed = analysed(tmp_path, [*BASE[:3], *UP[:3], *old], up={}, same={})
    assert mixed == {**new, "up": replace(new["up"], left_out=2)}
    found = analysed(tmp_path, [*BASE[:3], *old, *SAME[:3]], up={}, same={})
    assert [found[name].other_code for name in ("base", "up", "same")] == [False, True, False]
    assert (len(found["up"].runs), found["up"].change) == (2, None)


CLOSE = random_runs("up", 0.0985, 20, 9)
"""Hardly better than "base": found with 20 seeds."""


@pytest.mark.parametrize(
    ("runs", "seeds", "at", "decided"),
    [(UP, 3, None, False), (UP, 4, 4, True), (UP, 20, 4, True), (CLOSE, 8, 4, False), (CLOSE, 20, 20, False)],
)
def test_looks_stop_early_and_seeds_between_two_looks_wait(
    tmp_path: Path, runs: list[RunResult], seeds: int, at: int | None, decided: bool
) -> None:
    found = analysed(tmp_path, [*BASE, *runs[:seeds]], up={"looks": [4, 10, 20]})["up"]
    assert len(found.runs) == seeds
    assert (found.change is None) == (at is None)
    if (change := found.change) is not None:
        assert (change.runs_before, change.runs_after, change.decided) == (at, at, decided)
        share = {4: 0.2, 10: 0.3, 20: 0.5}[change.runs_after]
        assert change.tested.p_corrected == pytest.approx(min(1, change.tested.p / share))


@pytest.mark.parametrize("errors", [0.085, 0.087, 0.089, 0.091])
def test_a_look_that_stops_early_always_has_a_verdict(tmp_path: Path, errors: float) -> None:
    rungs: dict[str, Any] = {f"other-{number}": {} for number in range(6)}
    runs = [*BASE, *random_runs("up", errors, 10, 3)]
    runs += [run for number, name in enumerate(rungs) for run in random_runs(name, 0.1, 4, number)]
    change = change_of(analysed(tmp_path, runs, up={"looks": [4, 8]}, **rungs)["up"])
    assert not (change.decided and change.tested.verdict == "inconclusive")
