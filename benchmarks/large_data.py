"""Shuffling in blocks: as good as shuffling everything, and memory that does not grow with the images."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from benchmarks.processes import ARRAYS, ROOT, folder, run_measured, stage_command
from benchmarks.shards import HELD_OUT, SEEDS, SPLIT
from mnist_pipeline.core import numerics
from mnist_pipeline.params.overrides import with_overrides
from mnist_pipeline.params.schema import Params

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

CHUNK, CHUNKS_IN_POOL = 16, 27
"""For 40,000 rows, so that a pool is as small a part of them as one of 65,536 rows is of 6,000,000."""

SHUFFLES = {"everything": True, "in blocks": "blocks", "nothing": False}
COMPARED = [("file", name) for name in SHUFFLES] + [("label", "everything"), ("label", "in blocks")]
"""Orders of the file and what is shuffled; sorted by label and not shuffled, training diverges."""

ROWS = (60_000, 600_000, 6_000_000)


def large_data() -> dict[str, Any]:
    """Time and memory of an epoch by rows, shuffled in blocks."""
    return {"memory": [memory(rows) for rows in ROWS]}


def shuffles() -> dict[str, dict[str, Any]]:
    """Validation errors by what is shuffled and the order of the file: five seeds, and the two-way test."""
    import numpy as np

    from mnist_pipeline.experiments.significance import compare_scores

    runs = [(order, name, seed) for order, name in COMPARED for seed in range(SEEDS)]
    with ThreadPoolExecutor(2) as pool:
        lines = pool.map(
            lambda run: run_measured("-m", "benchmarks.large_data", *map(str, run), cores=1, first=run[2] % 2), runs
        )
        wrong = {run: json.loads(ran.output) for run, ran in zip(runs, lines, strict=True)}
    found: dict[str, dict[str, Any]] = {}
    for order, name, _ in runs[::SEEDS]:
        sides = np.ones((2, SEEDS, HELD_OUT))
        for side, each in zip(sides, ("everything", name), strict=True):
            for seed in range(SEEDS):
                side[seed, wrong[order, each, seed]] = 0.0
        test = compare_scores(*sides)
        found.setdefault(order, {})[name] = {
            "errors": [len(wrong[order, name, seed]) for seed in range(SEEDS)],
            "difference": test.difference, "interval": test.interval(), "p": test.p,
        }  # fmt: skip
    return found


def memory(rows: int) -> dict[str, float]:
    """Return the time of a training of one epoch, and the most memory that it had beyond pages of files."""
    from mnist_pipeline.core.arrays import save_blocks
    from mnist_pipeline.data.dataset import load_dataset

    dataset = load_dataset(ARRAYS["train"])
    with folder() as here:
        times, many = rows // len(dataset.labels), here / "many.safetensors"
        arrays = {"images": dataset.images, "labels": dataset.labels}
        rows_of = (dataset.rows + place * len(dataset.rows) for place in range(times))
        blocks: Iterator[dict[str, NDArray[Any]]] = (arrays | {"rows": numbers} for numbers in rows_of)
        save_blocks(many, blocks, {"classes": dataset.classes})
        base = yaml.safe_load((ROOT / "params.yaml").read_text("utf-8"))
        changes = {"train.shuffle": "blocks", "train.epochs": 1, "optimizers.sgd.learning_rate": 0.05}
        (here / "params.yaml").write_text(yaml.safe_dump(with_overrides(base, changes)), "utf-8")
        command = [sys.executable, *stage_command("train", here, {"train": many})]
        started, most = time.perf_counter(), 0
        process = subprocess.Popen(command, cwd=ROOT, env={"PYTHONPATH": str(ROOT / "src")}, stdout=subprocess.DEVNULL)
        while process.poll() is None:
            with suppress(OSError, StopIteration):
                status = Path(f"/proc/{process.pid}/status").read_text()
                most = max(most, next(int(line.split()[1]) for line in status.split("\n") if line[:8] == "RssAnon:"))
            time.sleep(0.05)
        if process.returncode:
            raise RuntimeError(f"train ended with {process.returncode}")
        result = {"rows": rows, "seconds": time.perf_counter() - started, "megabytes": most / 1024}
        print(f"  {result}", flush=True)
        return result


def main() -> None:
    """Train on 40,000 rows, in the order of the file or by label, and print the validation rows that are wrong."""
    order, name, seed = sys.argv[1], sys.argv[2], int(sys.argv[3])
    base = yaml.safe_load((ROOT / "params.yaml").read_text("utf-8"))
    changes = {"train.shuffle": SHUFFLES[name], "train.seed": seed, "data.validation_size": 0}
    params = Params.model_validate(with_overrides(base, changes))
    numerics.configure(params.runtime.numerics)  # before NumPy and torch are imported
    import numpy as np

    from mnist_pipeline.data.dataset import load_dataset
    from mnist_pipeline.data.split import stratified_split
    from mnist_pipeline.models.classifier import UNIT, new_classifier
    from mnist_pipeline.models.prediction import predict
    from mnist_pipeline.training import batches
    from mnist_pipeline.training.loop import fit

    batches.CHUNK, batches.CHUNKS_IN_POOL = CHUNK, CHUNKS_IN_POOL
    dataset = load_dataset(ARRAYS["train"])
    train_rows, held_out_rows = stratified_split(dataset.labels, HELD_OUT, SPLIT, dataset.groups)
    if order == "label":
        train_rows = train_rows[np.argsort(dataset.labels[train_rows], kind="stable")]
    train, held_out, nothing = (
        batches.to_samples(dataset, rows) for rows in (train_rows, held_out_rows, held_out_rows[:0])
    )
    classifier = new_classifier(28, dataset.classes, UNIT, params.model, params.train.seed, params.data.deskew)
    fit(classifier, train, nothing, params.train, params.optimizers)
    predicted = predict(classifier, held_out.images).argmax(dim=1).numpy()
    print(json.dumps(np.flatnonzero(predicted != held_out.labels.numpy()).tolist()))


if __name__ == "__main__":
    main()
