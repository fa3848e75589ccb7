"""The time of `mnist runs` with many experiments, which are made without running anything."""

from __future__ import annotations

import hashlib
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.processes import ROOT, folder
from mnist_pipeline.core.yaml import parse_yaml
from mnist_pipeline.provenance.paths import LOCK, PARAMS, VALIDATION_PREDICTIONS

EXPERIMENTS = 200


def runs_table() -> dict[str, Any]:
    """`mnist runs` with 200 experiments of this commit, each with settings and predictions of its own."""
    with folder() as here:
        clone = here / "clone"
        subprocess.run(["git", "clone", "-q", ROOT, clone], check=True)
        make_experiments(clone, EXPERIMENTS)
        seconds, computing = [], []
        for _ in range(11):
            started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
            command = [sys.executable, "-m", "mnist_pipeline.cli.main", "runs"]
            table = subprocess.run(command, cwd=clone, check=True, capture_output=True, text=True).stdout
            seconds.append(time.perf_counter() - started)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            computing.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
            assert sum(line.startswith("run-") for line in table.splitlines()) == EXPERIMENTS
            assert "other samples" not in table
    return {"experiments": EXPERIMENTS, "seconds": seconds, "cpu_seconds": computing}


def make_experiments(clone: Path, number: int) -> None:
    """Write what DVC keeps of experiments: commits behind refs, and predictions in the cache."""
    params, lock = (clone / PARAMS).read_text("utf-8"), (clone / LOCK).read_text("utf-8")
    rate = "learning_rate: 0.2\n"
    outs = [out for stage in parse_yaml(lock, LOCK)["stages"].values() for out in stage["outs"]]
    recorded = next(out["md5"] for out in outs if out["path"] == VALIDATION_PREDICTIONS)
    table = pd.read_csv(ROOT / VALIDATION_PREDICTIONS, dtype=str, keep_default_na=False)
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=clone, check=True, capture_output=True, text=True).stdout
    head, random, stream = head.strip(), np.random.default_rng(0), ""
    for run in range(number):
        table.loc[random.choice(len(table), 50), "predicted"] = table["actual"].iloc[0]
        predictions = table.to_csv(index=False)
        md5 = hashlib.md5(predictions.encode()).hexdigest()
        cached = clone / ".dvc" / "cache" / "files" / "md5" / md5[:2] / md5[2:]
        cached.parent.mkdir(parents=True, exist_ok=True)
        cached.write_text(predictions, "utf-8")
        assert rate in params
        files = {
            PARAMS: params.replace(rate, f"learning_rate: {0.2 + run / 1000:g}\n"),
            LOCK: lock.replace(recorded, md5),
        }
        stream += f"commit refs/exps/{head[:2]}/{head[2:]}/run-{run}\n"
        stream += f"committer benchmark <benchmark@localhost> {1_700_000_000 + run} +0000\ndata 0\nfrom {head}\n"
        for path, text in files.items():
            stream += f"M 100644 inline {path}\ndata {len(text.encode())}\n{text}\n"
    subprocess.run(["git", "fast-import", "--quiet"], cwd=clone, input=stream.encode(), check=True)
