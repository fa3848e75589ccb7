"""Files that fetching must replace or leave alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mnist_pipeline.core.errors import PipelineError

Targets = dict[str, Path]
BEFORE = b"what was there before"


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def targets(tmp_path: Path) -> Targets:
    """Where the two CSV files go, which are there already with other content."""
    (tmp_path / "data").mkdir()
    paths = {split: tmp_path / "data" / f"{split}.csv" for split in ("train", "test")}
    for path in paths.values():
        path.write_bytes(BEFORE)
    return paths


def assert_alone(targets: Targets) -> None:
    """Nothing else is left beside the two files."""
    assert sorted(targets["train"].parent.iterdir()) == sorted(targets.values())


def refusal(targets: Targets, call: Callable[[], object]) -> str:
    """Why fetching fails, which must leave what was there, and nothing else."""
    with pytest.raises(PipelineError) as caught:
        call()
    assert {path.read_bytes() for path in targets.values()} == {BEFORE}
    assert_alone(targets)
    return str(caught.value)
