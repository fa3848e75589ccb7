"""Results in benchmarks/results/: a JSON file for each section."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import yaml

from benchmarks.processes import ROOT
from mnist_pipeline.core.hardware import describe_machine
from mnist_pipeline.params.overrides import used_settings, with_overrides
from mnist_pipeline.params.schema import Params

RESULTS = ROOT / "benchmarks" / "results"
WIDEST = {"avx2": "AVX2", "avx512f": "AVX-512", "amx_tile": "AMX"}


def settings_digest(overrides: Mapping[str, Any]) -> str:
    """Return a hash of params.yaml with these overrides, without the seed."""
    content = yaml.safe_load((ROOT / "params.yaml").read_text("utf-8"))
    params = Params.model_validate(with_overrides(content, {**overrides, "train.seed": 0}))
    return hashlib.sha256(json.dumps(used_settings(params), sort_keys=True).encode()).hexdigest()[:12]


def write_results(name: str, found: dict[str, Any]) -> None:
    """Write the results of a section, with the machine and the versions."""
    content = json.dumps({"environment": environment(), **found}, indent=2)
    (RESULTS / f"{name}.json").write_text(content + "\n", "utf-8")


def read_results() -> dict[str, Any]:
    """Return all results by section."""
    return {path.stem: json.loads(path.read_text("utf-8")) for path in sorted(RESULTS.glob("*.json"))}


def environment() -> dict[str, str]:
    """Describe the CPU and the versions of the software."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "numpy", "dvc"))
    return {
        "cpu": f"{os.cpu_count()} cores of {cpu_name()}",
        "software": f"Python {platform.python_version()}, {packages}",
    }


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
