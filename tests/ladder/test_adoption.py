"""Recorded runs are kept after a change of code only where one of them came out again, bit for bit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mnist_pipeline.cli import ladder
from mnist_pipeline.cli.main import main
from mnist_pipeline.core.errors import PipelineError
from mnist_pipeline.ladder.adoption import LOG, adopt
from mnist_pipeline.ladder.results import RUNS, RunResult, read_runs, write_runs
from tests.conftest import PARAMS
from tests.ladder.runs import make_ladder, random_runs

OLD = [*random_runs("base", 0.1, 3, 0, code="old"), *random_runs("up", 0.05, 2, 1, code="old")]


def again(run: RunResult, **changes: Any) -> RunResult:
    return replace(run, **{"code": "new", "packages": "new", "seconds": 9.0, **changes})


def test_all_runs_of_a_repeated_rung_are_adopted_and_logged() -> None:
    others = [again(OLD[3], params="1" * 12), again(OLD[4], seed=9), OLD[4]]  # repeat none
    adopted, log = adopt(OLD, [again(OLD[1]), *others])
    assert adopted == [*(replace(run, code="new", packages="new") for run in OLD[:3]), *OLD[3:]]
    assert log == [["base", 3, 1, *OLD[0].provenance[:3], *again(OLD[0]).provenance[:3]]]


def test_a_repeated_run_speaks_for_runs_of_the_same_code_alone() -> None:
    older = [replace(run, seed=run.seed + 10, code="older") for run in OLD[:2]]
    adopted, log = adopt([*OLD, *older], [again(OLD[0])])
    assert [run.code for run in adopted] == ["new"] * 3 + ["old"] * 2 + ["older"] * 2
    assert [line[:2] for line in log] == [["base", 3]]


@pytest.mark.parametrize("change", [{"wrong": (1, 2)}, {"swing": 0.3}, {"validation_accuracy": 0.5}, {"accuracy": 0.1}])
def test_another_result_is_refused(change: Any) -> None:
    with pytest.raises(PipelineError, match="base-1 has another result than the recorded one; run the rung again"):
        adopt(OLD, [again(OLD[0]), again(OLD[1], **change)])


def test_the_command_writes_the_runs_and_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    make_ladder(tmp_path, {"base": {}, "up": {"builds_on": "base"}})
    (tmp_path / "params.yaml").write_bytes(PARAMS.read_bytes())
    write_runs(OLD)
    for number, run in enumerate((OLD[0], OLD[3]), start=1):
        monkeypatch.setattr(ladder, "results_here", lambda *_, run=run: [again(run)])
        main(["ladder", "adopt"])
        assert (
            f"1 rungs adopted, {len([each for each in OLD if each.rung == run.rung])} runs" in capsys.readouterr().out
        )
        assert len(LOG.read_text().splitlines()) == 1 + number
    assert {run.code for run in read_runs()} == {"new"}
    before = RUNS.read_bytes()
    for code, message in (("new", "no experiment here repeats a recorded run of other code"), ("x", "another result")):
        monkeypatch.setattr(ladder, "results_here", lambda *_, code=code: [again(OLD[0], code=code, wrong=())])
        with pytest.raises(SystemExit, match=message):
            main(["ladder", "adopt"])
    assert (RUNS.read_bytes(), len(LOG.read_text().splitlines())) == (before, 3)
