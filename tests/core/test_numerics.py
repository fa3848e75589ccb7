"""The settings that decide which bits a computation gives reach the libraries."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from mnist_pipeline.core import numerics
from mnist_pipeline.core.numerics import PORTABLE_ENVIRONMENT


def run(code: str, **variables: str) -> Any:
    """What code prints as JSON, in a process of its own, in which only ``variables`` are set of those of portable."""
    environment = {name: value for name, value in os.environ.items() if name not in PORTABLE_ENVIRONMENT}
    ran = subprocess.run(
        [sys.executable, "-c", code], env=environment | variables, capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stderr) == (0, "")  # no library warns of a value that it does not know
    return json.loads(ran.stdout)


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The environment of a process that has imported neither NumPy nor torch."""
    for name in ("numpy", "torch"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    variables = {"OMP_NUM_THREADS": "8"}
    monkeypatch.setattr(numerics, "os", SimpleNamespace(environ=variables))
    return variables


CONFIGURE = """
import json, os, sys
from mnist_pipeline.core import numerics
before = dict(os.environ)
numerics.configure("portable")
imported = [name for name in ("numpy", "torch") if name in sys.modules]
print(json.dumps([before, dict(os.environ), imported]))
"""


def test_portable_sets_its_variables_and_no_others_and_imports_no_library() -> None:
    before, after, imported = run(CONFIGURE, OMP_NUM_THREADS="8", ATEN_CPU_CAPABILITY="avx512")
    assert after == before | PORTABLE_ENVIRONMENT
    assert (after["OMP_NUM_THREADS"], after["ATEN_CPU_CAPABILITY"]) == ("1", "avx2")
    assert imported == []


@pytest.mark.parametrize("name", ["fast", "mixed"])
def test_fast_and_mixed_set_nothing_and_may_come_after_numpy(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setitem(sys.modules, "numpy", sys)
    numerics.configure(name)
    assert environment == {"OMP_NUM_THREADS": "8"}


@pytest.mark.parametrize("imported", ["numpy", "torch", "numpy and torch"])
def test_portable_is_refused_after_numpy_or_torch(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, imported: str
) -> None:
    for name in imported.split(" and "):
        monkeypatch.setitem(sys.modules, name, sys)
    with pytest.raises(RuntimeError, match=f"^{imported} imported before numerics.configure$"):
        numerics.configure("portable")
    assert environment == {"OMP_NUM_THREADS": "8"}


@pytest.mark.parametrize("name", ["", "Portable", "none"])
def test_another_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"must be 'portable', 'fast' or 'mixed', was '{name}'"):
        numerics.configure(name)


@pytest.mark.parametrize("supported", [True, False])
def test_portable_warns_where_the_bits_may_differ(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], supported: bool
) -> None:
    monkeypatch.setattr(numerics, "supports_portable", lambda: supported)
    numerics.configure("portable")
    assert ("numerics: not x86-64 Linux with AVX2" in capsys.readouterr().err) is not supported
    assert environment == PORTABLE_ENVIRONMENT


@pytest.mark.parametrize(
    ("name", "device", "supported", "expected"),
    [
        ("mixed", "cpu", True, True),
        ("mixed", "cpu", False, False),
        ("mixed", "cuda", False, True),
        ("fast", "cpu", True, False),
        ("portable", "cpu", False, False),
    ],
)
def test_training_uses_mixed_precision_where_it_is_chosen_and_supported(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    device: str,
    supported: bool,
    expected: bool,
) -> None:
    monkeypatch.setattr(numerics, "has_bfloat16", lambda: supported)
    assert numerics.uses_mixed_precision(name, device) is expected
    assert ("training in float32" in capsys.readouterr().err) is (name == "mixed" and not expected)


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
    "numpy": np.show_config(mode="dicts")["SIMD Extensions"].get("found", []),
}))
"""


def test_portable_reaches_torch_and_numpy() -> None:
    found = run(PROBE)
    assert found["torch threads"] == 1
    assert found["capability"] in {"DEFAULT", "AVX2"}  # at most AVX2
    assert found["pools"]
    assert set(found["pools"].values()) == {1}
    assert not [name for name in found["numpy"] if "AVX512" in name or name == "X86_V4"]
