"""metrics/ladder_runs.csv: each run of the ladder with all that its report needs, so that a clone can make it anew."""

from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from statistics import fmean, pstdev

from mnist_pipeline.experiments import finished, seconds_of
from mnist_pipeline.files import DECIMALS, write_csv
from mnist_pipeline.ladder import Ladder, Run
from mnist_pipeline.layout import PREDICTIONS, STEPS, TRAIN_METRICS
from mnist_pipeline.lockfile import NotCachedError, output_of
from mnist_pipeline.revisions import read_file

RUNS = Path("metrics/ladder_runs.csv")


class RecordError(ValueError):
    """The record of runs is no such record, or a run lacks what belongs in it."""


@dataclass(frozen=True)
class RecordedRun:
    """What one run gave.

    Attributes:
        rung: which rung.
        seed: its train.seed.
        params: ``Ladder.digest`` of its params: whether it is a run of the rung as it is now.
        accuracy: on the test set, 0-1.
        validation_accuracy: on the rows held out; None: there were none.
        samples: of the test set.
        seconds: of training; None: not known.
        early_loss: mean loss of the first epoch's steps, over that of a guess that knows nothing; None: train.log_every
            kept none of them.
        swing: standard deviation of the last epoch's losses, over the same; None: fewer than two were kept.
        wrong: the test samples that it got wrong, by index.
    """

    rung: str
    seed: int
    params: str
    accuracy: float
    validation_accuracy: float | None
    samples: int
    seconds: float | None
    early_loss: float | None
    swing: float | None
    wrong: tuple[int, ...]


def read_runs(path: Path = RUNS) -> list[RecordedRun]:
    """Read the record; none if there is no file.

    Raises:
        RecordError: the file is no such record.
    """
    if not path.exists():
        return []
    columns = [field.name for field in fields(RecordedRun)]
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        if reader.fieldnames != columns:
            raise RecordError(f"{path}: its header must be {','.join(columns)}; git checkout {path} brings it back")
        try:
            return [_parsed(row) for row in reader]
        except (TypeError, ValueError) as error:
            raise RecordError(f"{path}:{reader.line_num}: {error}; git checkout {path} brings it back") from None


def _parsed(row: dict[str, str]) -> RecordedRun:
    return RecordedRun(
        rung=row["rung"],
        seed=int(row["seed"]),
        params=row["params"],
        accuracy=float(row["accuracy"]),
        validation_accuracy=_number(row["validation_accuracy"]),
        samples=int(row["samples"]),
        seconds=_number(row["seconds"]),
        early_loss=_number(row["early_loss"]),
        swing=_number(row["swing"]),
        wrong=tuple(map(int, row["wrong"].split())),
    )


def _number(cell: str) -> float | None:
    return float(cell) if cell else None


def write_runs(runs: list[RecordedRun], path: Path = RUNS) -> None:
    """Write the record, in the order given."""
    rows = ([*astuple(run)[:-1], " ".join(map(str, run.wrong))] for run in runs)
    write_csv(path, [field.name for field in fields(RecordedRun)], rows)


def gather(repository: Path, ladder: Ladder, recorded: list[RecordedRun]) -> list[RecordedRun]:
    """The runs of the rungs as they are now: the experiments made here, and what the record has besides.

    Args:
        repository: where DVC's experiments are.
        ladder: the rungs.
        recorded: what was known before; runs of other params than a rung has now are left out.
    """
    earlier = {(run.rung, run.seed): run for run in recorded}
    seeds = {name: max([number, *(run.seed + 1 for run in recorded if run.rung == name)])
             for name, number in ladder.seeds.items()}  # fmt: skip
    runs = [Run(name, seed) for name, number in seeds.items() for seed in range(number)]
    here = finished(repository, ladder, runs)
    result = []
    for run in runs:
        before = earlier.get((run.rung, run.seed))
        if before is not None and before.params != ladder.digest(run):
            before = None
        if run in here:
            result.append(_from_experiment(repository, ladder, run, here[run], before))
        elif before is not None:
            result.append(before)
    return result


def _from_experiment(
    repository: Path, ladder: Ladder, run: Run, commit: str, before: RecordedRun | None
) -> RecordedRun:
    training = json.loads(read_file(repository, commit, TRAIN_METRICS))
    predictions = list(csv.DictReader(io.StringIO(read_file(repository, commit, PREDICTIONS).decode())))
    wrong = tuple(int(row["index"]) for row in predictions if row["actual"] != row["predicted"])
    early_loss, swing = _course(repository, ladder, run, commit, training["train_rows"])
    seconds = seconds_of(repository, commit)
    return RecordedRun(
        rung=run.rung,
        seed=run.seed,
        params=ladder.digest(run),
        accuracy=round(1 - len(wrong) / len(predictions), DECIMALS),
        validation_accuracy=training["validation_accuracy"],
        samples=len(predictions),
        seconds=seconds if seconds is not None or before is None else before.seconds,
        early_loss=early_loss,
        swing=swing,
        wrong=wrong,
    )


def _course(repository: Path, ladder: Ladder, run: Run, commit: str, rows: int) -> tuple[float | None, float | None]:
    """Mean loss of the first epoch's steps and sd of the last's, over the loss of a guess that knows nothing."""
    try:
        losses = output_of(repository, commit, "train", STEPS)
    except NotCachedError as error:
        raise RecordError(f"experiment {run.name}: {error}") from None
    params = ladder.params_of(run)
    guess = loss_of_a_guess(params.model.loss, len(params.form.classes))
    lines = losses.read_text("utf-8").splitlines()
    steps = [(int(row["step"]), float(row["loss"]) / guess) for row in csv.DictReader(lines)]
    in_epoch = math.ceil(rows / params.train.batch_size)
    first = [loss for step, loss in steps if step <= in_epoch]
    last = [loss for step, loss in steps if step > in_epoch * (params.train.epochs - 1)]
    return (
        round(fmean(first), DECIMALS) if first else None,
        round(pstdev(last), DECIMALS) if len(last) > 1 else None,
    )


def loss_of_a_guess(loss: str, classes: int) -> float:
    """The loss of giving each class the same probability: what every loss can be measured by."""
    share = 1 / classes
    match loss:
        case "mse":
            return share * (1 - share)
        case "bce":
            return -(share * math.log(share) + (1 - share) * math.log(1 - share))
        case "cross_entropy":
            return math.log(classes)
    raise ValueError(f"unknown loss {loss!r}")
