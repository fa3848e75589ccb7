"""How long an experiment and the whole pipeline take from Enter to result, and which stage takes how much of it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.processes import ROOT, dvc, folder, path_with_python

REPEATS = 3
COMMAND = ["exp", "run", "--set-param", "train.epochs=1", "--name"]

# Stages call python by its name: this one notes script, seconds, and user and system CPU seconds of each.
SHIM = """#!/bin/bash
TIMEFORMAT="$1 %R %U %S"
{{ time "{python}" "$@" 2>&3; }} 3>&2 2>>"{notes}"
"""


def experiment() -> dict[str, Any]:
    """`dvc exp run -S train.epochs=1` in a clone of HEAD, without DVC's run cache."""
    with folder() as here:
        clone = here / "clone"
        subprocess.run(["git", "clone", "-q", ROOT, clone], check=True)
        shutil.copytree(ROOT / ".dvc" / "cache" / "files", clone / ".dvc" / "cache" / "files")
        dvc(clone, "checkout")
        runs = []
        for number in range(REPEATS):
            runs.append(timed_dvc(clone, here, *COMMAND, f"run-{number}"))
            assert "validate" not in runs[-1]["stages"], "the committed results are not of this code: dvc repro first"
            shutil.rmtree(clone / ".dvc" / "cache" / "runs")
            subprocess.run(["git", "checkout", "-q", "."], cwd=clone, check=True)
            dvc(clone, "checkout")
    return {"runs": runs}


def fresh_clone() -> dict[str, Any]:
    """The whole pipeline in a clone with an empty DVC cache, download included: three times, and by stage."""
    runs = []
    for _ in range(REPEATS):
        with folder() as here:
            clone = here / "clone"
            subprocess.run(["git", "clone", "-q", ROOT, clone], check=True)
            runs.append(timed_dvc(clone, here, "repro", "--force"))
            changed = subprocess.run(
                ["git", "status", "--porcelain"], cwd=clone, capture_output=True, text=True, check=True
            ).stdout
            assert not changed, f"the clone gave results other than those committed:\n{changed}"
    return {"runs": runs}


def timed_dvc(clone: Path, here: Path, *command: str) -> dict[str, Any]:
    """Run a command of DVC; return seconds in all, to its first line, and those of each stage: wall, CPU."""
    notes, shim = here / "notes", here / "bin" / "python"
    notes.unlink(missing_ok=True)
    shim.parent.mkdir(exist_ok=True)
    shim.write_text(SHIM.format(python=sys.executable, notes=notes))
    shim.chmod(0o755)
    environment = {**os.environ, "PATH": f"{shim.parent}:{path_with_python()}", "DVC_NO_ANALYTICS": "1"}
    before, started = os.times(), time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "dvc", *command], cwd=clone, env=environment, text=True, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.readline()
    first_line = time.perf_counter() - started
    process.stdout.read()
    status = process.wait()
    seconds, after = time.perf_counter() - started, os.times()
    assert status == 0
    lines = [line.split() for line in notes.read_text("utf-8").splitlines()]
    stages = {Path(script).stem: [float(wall), float(user) + float(system)] for script, wall, user, system in lines}
    cpu = sum(after[2:4]) - sum(before[2:4])
    return {"seconds": seconds, "cpu_seconds": cpu, "first_line": first_line, "stages": stages}
