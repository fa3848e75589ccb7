"""Keep recorded runs after a change of code that gives the same bits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from mnist_pipeline.core.errors import PipelineError
from mnist_pipeline.ladder.results import RunResult

LOG = Path("metrics/ladder_log.csv")
"""Every rung whose recorded runs were adopted as results of other code."""

LOG_COLUMNS = (
    "rung", "runs", "repeated_seed", "code_before", "packages_before", "data_before", "code", "packages", "data",
)  # fmt: skip


def adopt(recorded: list[RunResult], here: list[RunResult]) -> tuple[list[RunResult], list[list[object]]]:
    """Take recorded runs for results of the code here, rung by rung, where one of them came out again, bit for bit.

    Args:
        recorded: runs of earlier code.
        here: runs of the code here.

    Returns:
        The runs with their new provenance, and for each adopted rung a line for the log: rung, runs, seed that was
        repeated, code, packages and data before, and now.

    Raises:
        PipelineError: a repeated run has another result.
    """
    again = {(run.rung, run.seed): run for run in here}
    repeated: dict[tuple[object, ...], RunResult] = {}
    for run in recorded:
        new = again.get((run.rung, run.seed))
        if new is None or new.provenance == run.provenance or new.params != run.params:
            continue
        # Seconds differ by nature, and an old record lacks the accuracy on corrected labels.
        same = replace(new, **_provenance(run), seconds=run.seconds, corrected_accuracy=run.corrected_accuracy)
        if same != run:
            raise PipelineError(f"{run.rung}-{run.seed} has another result than the recorded one; run the rung again")
        repeated.setdefault(_key(run), new)
    log: list[list[object]] = []
    for key, new in repeated.items():
        old = [run for run in recorded if _key(run) == key]
        log.append([new.rung, len(old), new.seed, *old[0].provenance[:3], *new.provenance[:3]])
    adopted = [replace(run, **_provenance(repeated.get(_key(run), run))) for run in recorded]
    return adopted, log


def _key(run: RunResult) -> tuple[object, ...]:
    """Return what the runs have in common that one repeated run speaks for: the rung and the provenance."""
    return run.rung, *run.provenance


def _provenance(run: RunResult) -> dict[str, Any]:
    return {"code": run.code, "packages": run.packages, "data": run.data}
