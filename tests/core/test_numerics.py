"""The settings that decide which bits a computation gives reach the libraries."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mnist_pipeline import machine, numerics
from mnist_pipeline.core.numerics import PORTABLE_ENVIRONMENT

SOURCE = Path(__file__).parents[1] / "src"


def run(code: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run code in a process of its own, in which none of the variables are set but those given."""
    environment = {name: value for name, value in os.environ.items() if name not in PORTABLE_ENVIRONMENT}
    environment |= {"PYTHONPATH": str(SOURCE), **variables}
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)


CONFIGURE = "import json, os, sys; from mnist_pipeline import numerics; before = dict(os.environ); "


def environment_after(numerics: str, **variables: str) -> tuple[dict[str, str], dict[str, str]]:
    """The environment of a process before and after it has called configure."""
    result = run(
        f"{CONFIGURE} numerics.configure({numerics!r}); print(json.dumps([before, dict(os.environ)]))", **variables
    )
    assert result.returncode == 0, result.stderr
    before, after = json.loads(result.stdout)
    return before, after


def test_portable_sets_its_variables_and_no_others() -> None:
    before, after = environment_after("portable")
    assert not set(PORTABLE_ENVIRONMENT) & set(before)
    assert after == before | PORTABLE_ENVIRONMENT


def test_portable_overrides_what_was_set() -> None:
    _, after = environment_after("portable", OMP_NUM_THREADS="8", ATEN_CPU_CAPABILITY="avx512")
    assert (after["OMP_NUM_THREADS"], after["ATEN_CPU_CAPABILITY"]) == ("1", "avx2")


@pytest.mark.parametrize("name", ["fast", "mixed"])
def test_the_others_set_nothing(name: str) -> None:
    before, after = environment_after(name, OMP_NUM_THREADS="8")
    assert before == after


@pytest.mark.parametrize(
    ("name", "device", "flags", "expected"),
    [
        ("mixed", "cpu", "avx2 amx_bf16", True),
        ("mixed", "cpu", "avx2 avx512f", False),
        ("mixed", "cuda", "avx2", True),
        ("fast", "cpu", "avx2 amx_bf16", False),
        ("portable", "cpu", "avx2 amx_bf16", False),
    ],
)
def test_training_uses_mixed_precision_where_it_is_asked_for_and_can_be(
    monkeypatch: pytest.MonkeyPatch, name: str, device: str, flags: str, expected: bool
) -> None:
    monkeypatch.setattr(machine, "_cpuinfo", lambda: f"flags : {flags}\n")
    assert numerics.uses_mixed_precision(name, device) is expected


@pytest.mark.parametrize("name", ["", "Portable", "exact", "none"])
def test_another_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"must be 'portable', 'fast' or 'mixed', was '{name}'"):
        numerics.configure(name)


def test_configuring_imports_neither_numpy_nor_torch() -> None:
    result = run(
        f"{CONFIGURE} numerics.configure('portable'); sys.exit('numpy' in sys.modules or 'torch' in sys.modules)"
    )
    assert result.returncode == 0, result.stderr


def test_portable_is_refused_when_numpy_was_imported_first() -> None:
    result = run(
        "import numpy, os; from mnist_pipeline import numerics\n"
        "try: numerics.configure('portable')\n"
        "except RuntimeError as error: print(error, 'OMP_NUM_THREADS' in os.environ)"
    )
    assert result.stdout == "numpy imported before numerics.configure False\n", result.stderr


def test_fast_may_come_after_numpy() -> None:
    result = run("import numpy; from mnist_pipeline import numerics; numerics.configure('fast')")
    assert result.returncode == 0, result.stderr


def test_torch_is_named_too(monkeypatch: pytest.MonkeyPatch) -> None:
    before = dict(os.environ)
    for name in ("numpy", "torch"):
        monkeypatch.setitem(sys.modules, name, sys)
    with pytest.raises(RuntimeError, match="numpy and torch imported before"):
        numerics.configure("portable")
    assert dict(os.environ) == before


PROBE = """
import json
from mnist_pipeline.core import numerics
numerics.configure("portable")
import numpy as np
import torch
from threadpoolctl import threadpool_info
np.ones((2, 2)) @ np.ones((2, 2))
torch.ones(2, 2) @ torch.ones(2, 2)
print(json.dumps({
    "capability": torch.backends.cpu.get_cpu_capability(),
    "torch threads": torch.get_num_threads(),
    "pools": {pool["internal_api"] + " " + pool["prefix"]: pool["num_threads"] for pool in threadpool_info()},
    "config": torch.__config__.parallel_info(),
    "numpy": np.show_config(mode="dicts")["SIMD Extensions"].get("found", []),
}))
"""


def test_portable_reaches_torch_and_numpy() -> None:
    result = run(PROBE)
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["torch threads"] == 1
    assert found["capability"] in {"DEFAULT", "AVX2"}  # at most AVX2
    assert found["pools"]
    assert set(found["pools"].values()) == {1}
    assert not [name for name in found["numpy"] if "AVX512" in name or name == "X86_V4"]
    assert result.stderr == ""  # no library warns of a value that it does not know
