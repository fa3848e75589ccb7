"""What is said of the machine, and what differs between two."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from mnist_pipeline.core import hardware
from mnist_pipeline.core.hardware import describe_machine, differences, has_bfloat16, supports_portable


def test_the_description_names_the_packages_and_is_json() -> None:
    described = describe_machine()
    assert described["packages"]["torch"].startswith("2.13.0")
    assert json.loads(json.dumps(described)) == described


def test_a_machine_does_not_differ_from_itself() -> None:
    assert differences(describe_machine(), describe_machine()) == []


def test_differences_name_what_it_was_and_what_it_is() -> None:
    recorded: dict[str, Any] = {"cpu": "A", "instruction_sets": ["avx2"], "packages": {"x": "1", "gone": "2"}}
    here: dict[str, Any] = {"cpu": "B", "instruction_sets": ["avx2", "fma"], "packages": {"x": "1", "new": "3"}}
    assert differences(recorded, here) == [
        "cpu: A when recorded, B here",
        "instruction_sets: avx2 when recorded, avx2 fma here",
        "gone: 2 when recorded, none here",
        "new: none when recorded, 3 here",
    ]


@pytest.mark.parametrize(
    ("system", "processor", "flags", "expected"),
    [
        ("Linux", "x86_64", "sse avx2 fma", True),
        ("Linux", "x86_64", "sse avx2", False),
        ("Linux", "x86_64", "sse avx fma", False),
        ("Linux", "aarch64", "avx2 fma", False),
        ("Darwin", "x86_64", "avx2 fma", False),
    ],
)
def test_which_machines_can_hold_the_bits(
    monkeypatch: pytest.MonkeyPatch, system: str, processor: str, flags: str, expected: bool
) -> None:
    monkeypatch.setattr("platform.system", lambda: system)
    monkeypatch.setattr("platform.machine", lambda: processor)
    monkeypatch.setattr(machine, "_cpuinfo", lambda: f"model name\t: X\nflags\t\t: {flags}\n")
    assert supports_portable() is expected


@pytest.mark.parametrize(
    ("flags", "expected"), [("avx2 amx_bf16 fma", True), ("avx512_bf16", True), ("avx512f avx2 amx_tile", False)]
)
def test_which_cpus_multiply_bfloat16(monkeypatch: pytest.MonkeyPatch, flags: str, expected: bool) -> None:
    monkeypatch.setattr(machine, "_cpuinfo", lambda: f"flags : {flags}\n")
    assert has_bfloat16() is expected


def test_where_they_cannot_hold_one_line_says_so() -> None:
    code = (
        "import platform; platform.machine = lambda: 'arm64'\n"
        "from mnist_pipeline import numerics; numerics.configure('portable')"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stderr == "numerics: this is no x86-64 Linux with AVX2; results may differ in their last digits\n"
