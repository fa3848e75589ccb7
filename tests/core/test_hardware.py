"""What is recorded of a machine, what differs between two, and what a CPU supports."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mnist_pipeline.core import hardware
from mnist_pipeline.core.hardware import describe_machine, differences, has_bfloat16, supports_portable


def set_machine(
    monkeypatch: pytest.MonkeyPatch, flags: str, system: str = "Linux", architecture: str = "x86_64"
) -> None:
    monkeypatch.setattr("platform.system", lambda: system)
    monkeypatch.setattr("platform.machine", lambda: architecture)
    monkeypatch.setattr(hardware, "_cpuinfo", lambda: f"model name\t: Some CPU\nflags\t\t: {flags}\n")


def test_the_description_names_cpu_system_and_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    set_machine(monkeypatch, "sse fma avx2 avx2_more amx_tile")
    described = describe_machine()
    assert described["cpu"] == "Some CPU"
    assert described["instruction_sets"] == ["avx2", "fma", "amx_tile"]
    assert described["system"] == "Linux x86_64"
    assert described["packages"]["torch"].startswith("2.")
    assert list(described["packages"]) == sorted(described["packages"])
    assert json.loads(json.dumps(described)) == described


def test_differences_name_what_was_recorded_and_what_is_here() -> None:
    recorded: dict[str, Any] = {"cpu": "A", "instruction_sets": ["avx2"], "packages": {"x": "1", "gone": "2"}}
    here: dict[str, Any] = {"cpu": "B", "instruction_sets": ["avx2", "fma"], "packages": {"x": "1", "new": "3"}}
    assert differences(recorded, recorded) == []
    assert differences(recorded, here) == [
        "cpu: A when recorded, B here",
        "instruction_sets: avx2 when recorded, avx2 fma here",
        "gone: 2 when recorded, none here",
        "new: none when recorded, 3 here",
    ]


@pytest.mark.parametrize(
    ("system", "architecture", "flags", "expected"),
    [
        ("Linux", "x86_64", "sse avx2 fma", True),
        ("Linux", "x86_64", "sse avx2", False),
        ("Linux", "x86_64", "sse avx fma", False),
        ("Linux", "aarch64", "avx2 fma", False),
        ("Darwin", "x86_64", "avx2 fma", False),
    ],
)
def test_portable_numerics_need_linux_x86_64_avx2_and_fma(
    monkeypatch: pytest.MonkeyPatch, system: str, architecture: str, flags: str, expected: bool
) -> None:
    set_machine(monkeypatch, flags, system, architecture)
    assert supports_portable() is expected


@pytest.mark.parametrize(
    ("flags", "expected"), [("avx2 amx_bf16 fma", True), ("avx512_bf16", True), ("avx512f avx2 amx_tile", False)]
)
def test_bfloat16_needs_amx_or_avx512_instructions(monkeypatch: pytest.MonkeyPatch, flags: str, expected: bool) -> None:
    set_machine(monkeypatch, flags)
    assert has_bfloat16() is expected
