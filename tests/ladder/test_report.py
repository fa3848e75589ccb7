"""The report as CSV, Markdown and text; `mnist ladder plan` and `run --until-decided`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from mnist_pipeline.cli import ladder as command
from mnist_pipeline.cli.main import main
from mnist_pipeline.ladder.report import COLUMNS, FIGURE, PAGE, TABLE, describe, write_report
from mnist_pipeline.ladder.results import RunResult, write_runs
from mnist_pipeline.ladder.spec import Ladder
from tests.conftest import PARAMS
from tests.ladder.runs import make_ladder, random_runs

RUNGS = {
    "base": {"published": "about 0.89"}, "up": {"builds_on": "base", "looks": [4, 10], "family": "looks"},
    "same": {"builds_on": "base", "published": 0.9}, "old": {"builds_on": "base"},
}  # fmt: skip
ALL = [
    *random_runs("base", 0.1, 10, 0),
    *random_runs("up", 0.05, 10, 1),
    *random_runs("same", 0.1, 6, 2, seconds=None),
    *random_runs("old", 0.1, 2, 3, code="old"),
]


@pytest.fixture(autouse=True)
def ladder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ladder:
    """In the current folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_bytes(PARAMS.read_bytes())
    return make_ladder(tmp_path, RUNGS)


def test_the_report_says_what_each_verdict_rests_on(ladder: Ladder, tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    PAGE.write_text("# A page\n<!-- ladder -->\nold\n<!-- /ladder -->\n<!-- claims --><!-- /claims -->\n")
    found = write_report(ladder, ALL)
    table = pd.read_csv(TABLE).set_index("rung")
    assert tuple(table.reset_index().columns) == COLUMNS
    assert table["verdict"].fillna("").tolist() == ["", "better", "inconclusive", ""]
    assert table["look"].fillna(0).tolist() == [0, 4, 0, 0]
    assert table["family"].tolist() == ["own", "looks", "own", "own"]
    assert FIGURE.read_bytes().startswith(b"\x89PNG")
    page = PAGE.read_text()
    assert page.startswith("# A page\n<!-- ladder -->\n| rung |")
    rows = {line.split("`")[1]: line for line in page.splitlines() if line.startswith("| `")}
    assert "better (decided at 4 seeds)" in rows["up"]
    assert "(6, 1 not planned)" in rows["same"]
    assert "(other code)" in rows["old"]
    assert "not compared: too few runs, or other code or data" in describe(found)


@pytest.mark.parametrize(
    ("detect", "answer"),
    [
        ("5", "2 seeds a side detect a difference of 5 points between up and base with a power of 80 %.\n"),
        ("0.5", "No number of seeds detects a difference of 0.5 points between up and base: only a test set of about "),
    ],
)
def test_a_plan_says_how_many_seeds_or_samples(detect: str, answer: str, capsys: pytest.CaptureFixture[str]) -> None:
    always = {"base": range(100, 160), "up": range(200, 260)}  # samples that all runs of a rung get wrong
    runs = [run for number, name in enumerate(always) for run in random_runs(name, 0.1, 3, number)]
    write_runs([replace(run, wrong=tuple(sorted({*run.wrong, *always[run.rung]}))) for run in runs])
    main(["ladder", "plan", "up", "--detect", detect])
    assert capsys.readouterr().out.startswith(answer)


@pytest.mark.parametrize(
    ("up", "asked", "answer"),
    [
        (ALL[10:20], [4], "up: better than base, decided at 4 seeds\n"),
        (random_runs("up", 0.1, 10, 7), [4, 10], "up: not decided at 4 seeds\nup: not decided at 10 seeds\n"),
    ],
)
def test_a_rung_is_run_until_a_look_decides(
    up: list[RunResult], asked: list[int], answer: str,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    ran: list[int] = []
    monkeypatch.setattr(command, "_run", lambda rungs, seeds, jobs: ran.append(seeds))  # noqa: ARG005
    monkeypatch.setattr(command, "gather", lambda *_: [*ALL[: ran[-1]], *up[: ran[-1]]])
    main(["ladder", "run", "--until-decided", "up"])
    assert (ran, capsys.readouterr().out) == (asked, answer)


@pytest.mark.parametrize("arguments", [["plan", "--detect", "1"], ["run", "--until-decided"]])
@pytest.mark.parametrize("rung", ["base", "nothing", "same"])
def test_only_a_rung_with_runs_or_looks_will_do(arguments: list[str], rung: str) -> None:
    with pytest.raises(SystemExit, match=r"must be a rung of experiments\.yaml|need two recorded runs each"):
        main(["ladder", *arguments, rung])
