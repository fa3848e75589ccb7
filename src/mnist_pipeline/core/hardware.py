"""The machine and the installed packages: what a result can depend on besides code, data and settings."""

from __future__ import annotations

import os
import platform
import re
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

INSTRUCTION_SETS = ("sse4_2", "avx", "avx2", "fma", "avx512f", "avx512bw", "avx512vl", "avx512_bf16", "amx_tile")


def describe_machine() -> dict[str, Any]:
    """Describe CPU, instruction sets, system, Python and the version of every installed package."""
    return {
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "instruction_sets": [name for name in INSTRUCTION_SETS if name in _cpu_flags()],
        "system": f"{platform.system()} {platform.machine()}",
        "libc": " ".join(platform.libc_ver()),
        "python": platform.python_version(),
        "packages": dict(sorted((each.name.lower(), each.version) for each in distributions())),
    }


def usable_cores() -> int:
    """Return how many CPU cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def supports_portable() -> bool:
    """Whether ``portable`` numerics give the same bits on this machine: x86-64 Linux with AVX2 and FMA."""
    return platform.system() == "Linux" and platform.machine() == "x86_64" and {"avx2", "fma"} <= _cpu_flags()


def has_bfloat16() -> bool:
    """Whether this CPU has instructions for matrix products in bfloat16."""
    return not {"amx_bf16", "avx512_bf16"}.isdisjoint(_cpu_flags())


def differences(recorded: dict[str, Any], here: dict[str, Any]) -> list[str]:
    """List what differs between two machines, a line each."""
    lines = []
    for name in recorded | here:
        before, now = recorded.get(name), here.get(name)
        if isinstance(before, dict) and isinstance(now, dict):
            lines += differences(before, now)
        elif before != now:
            lines.append(f"{name}: {_shown(before)} when recorded, {_shown(now)} here")
    return lines


def _shown(value: Any) -> str:
    return "none" if value is None else " ".join(value) if isinstance(value, list) else str(value)


def _cpuinfo() -> str:
    path = Path("/proc/cpuinfo")
    return path.read_text("utf-8") if path.exists() else ""


def _cpu_name() -> str:
    found = re.search(r"model name\s*: (.*)", _cpuinfo())
    return found[1] if found else platform.processor() or platform.machine()


def _cpu_flags() -> set[str]:
    found = re.search(r"flags\s*: (.*)", _cpuinfo())
    return set(found[1].split()) if found else set()
