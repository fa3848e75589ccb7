"""Results in benchmarks/results/: a folder for quality, one for each machine's times, and a JSON file a section."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import statistics
import subprocess
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import yaml

from benchmarks.processes import ROOT
from mnist_pipeline.core.hardware import describe_machine
from mnist_pipeline.params.overrides import used_settings, with_overrides
from mnist_pipeline.params.schema import Params

RESULTS = ROOT / "benchmarks" / "results"
QUALITY = "quality"
WIDEST = {"avx2": "AVX2", "avx512f": "AVX-512", "amx_tile": "AMX"}


def settings_digest(overrides: Mapping[str, Any]) -> str:
    """Return a hash of params.yaml with these overrides, without the seed."""
    content = yaml.safe_load((ROOT / "params.yaml").read_text("utf-8"))
    params = Params.model_validate(with_overrides(content, {**overrides, "train.seed": 0}))
    return hashlib.sha256(json.dumps(used_settings(params), sort_keys=True).encode()).hexdigest()[:12]


def write_results(group: str, name: str, found: dict[str, Any]) -> None:
    """Write the results of a section of a group, with the machine, the versions and the commit."""
    (RESULTS / group).mkdir(parents=True, exist_ok=True)
    content = json.dumps({"environment": environment(), **found}, indent=2)
    (RESULTS / group / f"{name}.json").write_text(content + "\n", "utf-8")


def read_results(group: str) -> dict[str, Any]:
    """Return the results of a group by section."""
    return {path.stem: json.loads(path.read_text("utf-8")) for path in sorted((RESULTS / group).glob("*.json"))}


def machines() -> list[str]:
    """Return the groups of times, one for each machine; that with the most sections first."""
    groups = [path.name for path in RESULTS.iterdir() if path.is_dir() and path.name != QUALITY]
    return sorted(groups, key=lambda group: (-len(read_results(group)), group))


def this_machine() -> str:
    """Return the name of the group of this machine's times."""
    return re.sub("[^a-z0-9]+", "-", short(f"{os.cpu_count()} cores of {cpu_name()}").lower()).strip("-")


def environment() -> dict[str, str]:
    """Describe the CPU, the versions of the software, and the commit."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "numpy", "dvc"))
    commit = git("rev-parse", "--short=10", "HEAD")
    if git("status", "--porcelain", "--", "src", "stages", "benchmarks/*.py", "*.yaml"):
        commit += " with changes"
    return {
        "cpu": f"{os.cpu_count()} cores of {cpu_name()}",
        "software": f"Python {platform.python_version()}, {packages}",
        "commit": commit,
    }


def git(*arguments: str) -> str:
    """Run git in this checkout; return what it prints."""
    return subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()


def own_seconds(by_numerics: dict[str, list[float]]) -> list[float]:
    """Return the training times with a preset's own numerics: without bfloat16, mixed ones are fast ones."""
    return next(by_numerics[kind] for kind in ("mixed", "fast", "portable") if kind in by_numerics)


def cpu_name() -> str:
    """Return the name of the CPU, as its maker writes it, and the most that its instruction set has."""
    machine = describe_machine()
    widest = [name for flag, name in WIDEST.items() if flag in machine["instruction_sets"]]
    return " with ".join([machine["cpu"], *widest[-1:]])


def short(cpu: str) -> str:
    """Return the name of a CPU without what says nothing."""
    return re.sub(r"\(R\)| Processor", "", cpu)


def column(runs: list[dict[str, Any]], name: str) -> list[float]:
    """Return one figure of every run."""
    return [run[name] for run in runs]


def spread(values: list[float], digits: int) -> str:
    """Format mean ± standard deviation (n)."""
    if len(values) == 1:
        return f"{values[0]:.{digits}f} (n = 1)"
    return f"{statistics.mean(values):.{digits}f} ± {statistics.stdev(values):.{digits}f} (n = {len(values)})"
