"""dvc.lock files are read as DVC writes them, and refused by name."""

from __future__ import annotations

import pytest
import yaml

from mnist_pipeline.provenance.dvc import parse_lock
from mnist_pipeline.core.yaml import PipelineError, parse_yaml
from tests.conftest import ROOT


def test_the_quick_parser_reads_what_the_strict_one_reads() -> None:
    text = (ROOT / "dvc.lock").read_text("utf-8")
    stages = parse_lock(text, "dvc.lock")
    assert stages == parse_yaml(text, "dvc.lock")["stages"]
    assert stages["train"]["params"]["params.yaml"]["optimizers"]["adam"]["epsilon"] == pytest.approx(1e-8)


def test_numbers_are_those_of_yaml_1_2() -> None:
    assert parse_lock("stages: {a: [1e-08, 010, on, true]}", "x") == {"a": [1e-08, 10, "on", True]}
    assert yaml.safe_load("1e-08") == "1e-08"  # what it guards against


@pytest.mark.parametrize("text", ["", "a: 1", "- a", "stages: [", b"\xff\xfe\x00"])
def test_what_is_no_lock_is_refused(text: str | bytes) -> None:
    with pytest.raises(PipelineError, match=r"dvc\.lock of abc must be YAML with stages"):
        parse_lock(text, "dvc.lock of abc")
