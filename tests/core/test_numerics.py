"""The settings that decide which bits a computation gives reach the libraries."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from mnist_pipeline.core import numerics
from mnist_pipeline.core.numerics import PORTABLE_ENVIRONMENT, WAITING


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The environment of a process that has imported neither NumPy nor torch."""
    for name in ("numpy", "torch"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    variables = {"OMP_NUM_THREADS": "8"}
    monkeypatch.setattr(numerics, "os", SimpleNamespace(environ=variables))
    return variables


@pytest.mark.parametrize("name", ["fast", "mixed"])
def test_fast_and_mixed_set_only_how_threads_wait(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setitem(sys.modules, "numpy", sys)
    numerics.configure(name)
    assert environment == {"OMP_NUM_THREADS": "8", **WAITING}
    environment["GOMP_SPINCOUNT"] = "7"  # the user's own choice
    numerics.configure(name)
    assert environment["GOMP_SPINCOUNT"] == "7"


@pytest.mark.parametrize("imported", ["numpy", "torch", "numpy and torch"])
def test_portable_must_come_first(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, imported: str) -> None:
    for name in imported.split(" and "):
        monkeypatch.setitem(sys.modules, name, sys)
    with pytest.raises(RuntimeError, match=f"^{imported} imported before numerics.configure$"):
        numerics.configure("portable")
    assert environment == {"OMP_NUM_THREADS": "8", **WAITING}


def test_another_name_is_refused() -> None:
    with pytest.raises(ValueError, match="must be 'portable', 'fast' or 'mixed', was 'Portable'"):
        numerics.configure("Portable")


@pytest.mark.parametrize("supported", [True, False])
def test_portable_warns_where_the_bits_may_differ(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], supported: bool
) -> None:
    monkeypatch.setattr(numerics, "supports_portable", lambda: supported)
    numerics.configure("portable")
    assert ("numerics: not x86-64 Linux with AVX2" in capsys.readouterr().err) is not supported
    assert environment == PORTABLE_ENVIRONMENT | WAITING


@pytest.mark.parametrize("supported", [True, False])
def test_training_uses_mixed_precision_where_it_is_chosen_and_supported(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], supported: bool
) -> None:
    monkeypatch.setattr(numerics, "has_bfloat16", lambda: supported)
    assert numerics.uses_mixed_precision("mixed", "cuda")
    assert not numerics.uses_mixed_precision("fast", "cpu")
    assert not numerics.uses_mixed_precision("portable", "cpu")
    assert capsys.readouterr().err == ""
    assert numerics.uses_mixed_precision("mixed", "cpu") is supported
    assert ("training in float32" in capsys.readouterr().err) is not supported


PROBE = """
import json, os, sys
from mnist_pipeline.core import numerics
before = dict(os.environ)
numerics.configure("portable")
after = dict(os.environ)
imported = [name for name in ("numpy", "torch") if name in sys.modules]
import numpy as np
import torch
from threadpoolctl import threadpool_info
np.ones((2, 2)) @ np.ones((2, 2))
torch.ones(2, 2) @ torch.ones(2, 2)
print(json.dumps({
    "before": before,
    "after": after,
    "imported": imported,
    "capability": torch.backends.cpu.get_cpu_capability(),
    "threads": [torch.get_num_threads(), *(pool["num_threads"] for pool in threadpool_info())],
    "numpy": np.show_config(mode="dicts")["SIMD Extensions"].get("found", []),
}))
"""


def test_portable_sets_its_variables_alone_and_they_reach_torch_and_numpy() -> None:
    environment = {name: value for name, value in os.environ.items() if name not in {*PORTABLE_ENVIRONMENT, *WAITING}}
    environment |= {"OMP_NUM_THREADS": "8", "ATEN_CPU_CAPABILITY": "avx512"}
    ran = subprocess.run([sys.executable, "-c", PROBE], env=environment, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")  # no library warns of a value that it does not know
    found = json.loads(ran.stdout)
    assert found["after"] == found["before"] | WAITING | PORTABLE_ENVIRONMENT
    assert found["imported"] == []
    assert set(found["threads"]) == {1}
    assert found["capability"] in {"DEFAULT", "AVX2"}  # at most AVX2
    assert not [name for name in found["numpy"] if "AVX512" in name or name == "X86_V4"]
