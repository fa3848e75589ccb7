"""metrics/ladder_runs.csv: the results of each run of the ladder, all that its report needs in a fresh clone."""

from __future__ import annotations

import json
import math
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from statistics import fmean, pstdev
from typing import Any

import pandas as pd

from mnist_pipeline.core.errors import PipelineError
from mnist_pipeline.core.files import DECIMALS, read_csv, write_csv
from mnist_pipeline.experiments.runs import digest
from mnist_pipeline.ladder.spec import Ladder, Run
from mnist_pipeline.provenance.dvc import cached_output, hashes_of, stages_of
from mnist_pipeline.provenance.finished import finished, seconds_by_commit
from mnist_pipeline.provenance.git import commits_by_name, object_hashes, read_file
from mnist_pipeline.provenance.paths import (
    CORRECTIONS,
    PACKAGES,
    PREDICTIONS,
    STEPS,
    TEST_DETAILS,
    TRAIN_DETAILS,
    is_data,
)

RUNS = Path("metrics/ladder_runs.csv")

DECISIVE_STAGES = ("train", "evaluate")
"""The stages whose inputs say whether an experiment is still a result of its run."""


@dataclass(frozen=True)
class RunResult:
    """The results of one run.

    Attributes:
        rung: which rung.
        seed: its train.seed.
        params: ``Ladder.digest`` of its params: whether it is a run of the rung as it is now.
        accuracy: on the test set, 0-1.
        corrected_accuracy: on the test set's corrected labels; None: unknown, or there are none.
        validation_accuracy: on the validation set; None: there was none.
        samples: of the test set.
        seconds: of training; None: not known.
        early_loss: mean loss of the first epoch's steps, over that of a uniform prediction; None: train.log_every
            kept none of them.
        swing: standard deviation of the last epoch's losses, over the same; None: fewer than two were kept.
        code: hash of the code that made it.
        packages: hash of requirements.lock at that time.
        data: hash of the training and test data.
        wrong: the test samples that it got wrong, by index.
    """

    rung: str
    seed: int
    params: str
    accuracy: float
    corrected_accuracy: float | None
    validation_accuracy: float | None
    samples: int
    seconds: float | None
    early_loss: float | None
    swing: float | None
    code: str
    packages: str
    data: str
    wrong: tuple[int, ...]

    @property
    def provenance(self) -> tuple[str, str, str, int]:
        """What it was made of beside its settings: runs are compared only where this is equal."""
        return self.code, self.packages, self.data, self.samples


KINDS = {"int": int, "str": str, "tuple[int, ...]": str}
COLUMNS = {field.name: KINDS.get(str(field.type), float) for field in fields(RunResult)}


def read_runs(path: Path = RUNS) -> list[RunResult]:
    """Read the results; none if there is no file.

    Raises:
        PipelineError: the file is not such a table.
    """
    if not path.exists():
        return []
    hint = f"git checkout {path} restores it"
    try:
        table = read_csv(path, COLUMNS)
        return [_parsed(row) for row in table.to_dict("records")]
    except (PipelineError, ValueError) as error:
        raise PipelineError(f"{error}; {hint}") from None


def _parsed(row: dict[Any, Any]) -> RunResult:
    unknown = [each.name for each in fields(RunResult) if "None" in str(each.type) and pd.isna(row[each.name])]
    return RunResult(**{**row, **dict.fromkeys(unknown), "wrong": tuple(map(int, row["wrong"].split()))})


def write_runs(runs: list[RunResult], path: Path = RUNS) -> None:
    """Write results in the order given."""
    rows = ([*astuple(run)[:-1], " ".join(map(str, run.wrong))] for run in runs)
    write_csv(path, list(COLUMNS), rows)


def gather(repository: Path, ladder: Ladder, recorded: list[RunResult]) -> list[RunResult]:
    """Collect the results of the rungs as they are now: from the experiments made here, else from the table.

    Args:
        repository: where DVC's experiments are.
        ladder: the rungs.
        recorded: the table so far; runs of other params than a rung has now are left out.
    """
    here = {(run.rung, run.seed): run for run in results_here(repository, ladder, recorded)}
    earlier = {
        (run.rung, run.seed): run
        for run in recorded
        if run.rung in ladder.rungs and run.params == ladder.digest(Run(run.rung, run.seed))
    }
    order = list(ladder.rungs)
    keys = sorted(here.keys() | earlier.keys(), key=lambda key: (order.index(key[0]), key[1]))
    return [here.get(key) or earlier[key] for key in keys]


def finished_runs(repository: Path, ladder: Ladder, runs: list[Run]) -> dict[Run, str]:
    """Find the runs that are done, with the code, data and params of HEAD; the commit of each."""
    wanted = {run.name: ladder.params_of(run).model_dump(mode="json", exclude_unset=True) for run in runs}  # as written
    found = finished(repository, wanted, DECISIVE_STAGES, STEPS)
    return {run: found[run.name] for run in runs if run.name in found}


def results_here(repository: Path, ladder: Ladder, recorded: list[RunResult]) -> list[RunResult]:
    """Read the results of the experiments here that belong to the rungs as they are now, however many seeds."""
    seconds = {(run.rung, run.seed, run.params): run.seconds for run in recorded}
    named = (name.rpartition("-") for name in commits_by_name(repository))
    runs = [Run(rung, int(seed)) for rung, _, seed in named if rung in ladder.rungs and seed.isdecimal()]
    found, here = finished_runs(repository, ladder, runs), seconds_by_commit(repository)
    return [
        # A repetition may be on another machine, or a busy one: a time that is recorded stays.
        _from_experiment(
            repository, ladder, run, commit, seconds.get((run.rung, run.seed, ladder.digest(run))) or here.get(commit)
        )
        for run, commit in found.items()
    ]


def _from_experiment(repository: Path, ladder: Ladder, run: Run, commit: str, seconds: float | None) -> RunResult:
    training, test = (json.loads(read_file(repository, commit, path)) for path in (TRAIN_DETAILS, TEST_DETAILS))
    predictions = read_csv(
        read_file(repository, commit, PREDICTIONS), {"index": int, "actual": str, "predicted": str}, PREDICTIONS
    )
    wrong = tuple(predictions["index"][predictions["actual"] != predictions["predicted"]].tolist())
    early_loss, swing = _course(
        repository, ladder, run, commit, training["train_rows"], predictions["actual"].nunique()
    )
    return RunResult(
        rung=run.rung,
        seed=run.seed,
        params=ladder.digest(run),
        accuracy=round(1 - len(wrong) / len(predictions), DECIMALS),
        corrected_accuracy=test.get("corrected", {}).get("accuracy"),
        validation_accuracy=training["validation_accuracy"],
        samples=len(predictions),
        seconds=seconds,
        early_loss=early_loss,
        swing=swing,
        **provenance_of(repository, commit),
        wrong=wrong,
    )


def provenance_of(repository: Path, commit: str) -> dict[str, str]:
    """Return hashes of the code, the packages and the data of a commit's results: ``code``, ``packages``, ``data``."""
    stages = stages_of(repository, commit)
    deps = {path: md5 for name in DECISIVE_STAGES for path, md5 in hashes_of(stages.get(name, {}), "deps").items()}
    deps.pop(CORRECTIONS, None)
    objects = object_hashes(repository, commit, sorted(deps))
    packages = objects.pop(PACKAGES, "")
    data = {path: md5 for path, md5 in deps.items() if is_data(path)}
    return {"code": digest(objects), "packages": packages[:12], "data": digest(data)}


def _course(
    repository: Path, ladder: Ladder, run: Run, commit: str, rows: int, classes: int
) -> tuple[float | None, float | None]:
    """Return mean loss of the first epoch's steps and standard deviation of the last's, over the uniform loss."""
    try:
        steps = read_csv(cached_output(repository, commit, STEPS), {"step": int, "loss": float})
    except PipelineError as error:
        raise PipelineError(f"experiment {run.name}: {error}") from None
    params = ladder.params_of(run)
    losses = steps["loss"] / uniform_loss(params.model.loss, classes)
    in_epoch = math.ceil(rows / params.train.batch_size)
    first = losses[steps["step"] <= in_epoch].tolist()
    last = losses[steps["step"] > in_epoch * (params.train.epochs - 1)].tolist()
    return (
        round(fmean(first), DECIMALS) if first else None,
        round(pstdev(last), DECIMALS) if len(last) > 1 else None,
    )


def uniform_loss(loss: str, classes: int) -> float:
    """Return the loss of a uniform prediction, by which losses of different kinds can be compared."""
    share = 1 / classes
    match loss:
        case "mse":
            return share * (1 - share)
        case "bce":
            return -(share * math.log(share) + (1 - share) * math.log(1 - share))
        case "cross_entropy":
            return math.log(classes)
    raise ValueError(f"unknown loss {loss!r}")
