"""The settings that decide which bits a computation gives reach the libraries."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from threading import Event, get_ident
from types import SimpleNamespace

import pytest

from mnist_pipeline.core import numerics
from mnist_pipeline.core.numerics import ONE_THREAD, PORTABLE_ENVIRONMENT, WAITING, Threads


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The environment of a process that has imported neither NumPy nor torch."""
    for name in ("numpy", "torch"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setattr(numerics.threads, "number", 1)
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
    assert numerics.threads.number == 1
    environment["GOMP_SPINCOUNT"] = "7"  # the user's own choice
    numerics.configure(name)
    assert environment["GOMP_SPINCOUNT"] == "7"


@pytest.mark.parametrize(("wanted", "number"), [("8", 8), ("1", 1), ("0", 3), ("4,2", 3), ("", 3)])
@pytest.mark.parametrize("name", ["portable", "fast"])
def test_libraries_get_one_thread_and_we_as_many_as_are_wanted_or_as_there_are_cores(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, name: str, wanted: str, number: int
) -> None:
    monkeypatch.setattr(numerics, "usable_cores", lambda: 3)
    environment["OMP_NUM_THREADS"] = wanted
    numerics.configure(name, library_threads=name == "portable")
    assert numerics.threads.number == number
    assert environment == (PORTABLE_ENVIRONMENT if name == "portable" else ONE_THREAD) | WAITING


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


@pytest.mark.parametrize("number", [1, 2, 5])
def test_threads_give_results_in_order_whichever_is_ready_first(number: int) -> None:
    threads = Threads()
    threads.number = number

    def double(each: int, inner: bool = True) -> int:
        time.sleep(0.002 * (7 - each % 7))
        return sum(threads.in_order(double, [each] * 3, [False] * 3)) - 4 * each if inner else 2 * each

    for method in (threads.in_order, threads.one_ahead):
        assert list(method(double, range(12))) == [2 * each for each in range(12)]
    with pytest.raises(ZeroDivisionError):
        threads.in_order(lambda each: 1 // (5 - each), range(12))


def test_a_single_piece_leaves_the_other_threads_to_its_own_pieces() -> None:
    for number in range(20, 40):  # a thread that has just started takes what there is
        threads = Threads()
        threads.number = number
        assert threads.in_order(lambda _: get_ident(), [0]) == [get_ident()]
    assert threads.in_order(lambda _: get_ident(), []) == []


def test_the_next_result_is_computed_while_one_is_used() -> None:
    threads, begun = Threads(), [Event() for _ in range(3)]
    threads.number = 2
    for number, _ in enumerate(threads.one_ahead(lambda each: begun[each].set(), range(3))):
        assert begun[min(number + 1, 2)].wait(timeout=10)
        assert not any(each.is_set() for each in begun[number + 2 :])


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
