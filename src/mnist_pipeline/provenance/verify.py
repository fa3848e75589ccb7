"""Verify that a fresh clone reproduces dvc.lock: every dependency, output, metric and plot, hash for hash."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mnist_pipeline.core.errors import PipelineError, RevisionError
from mnist_pipeline.core.files import is_owner
from mnist_pipeline.core.hardware import describe_machine, differences, supports_portable
from mnist_pipeline.core.yaml import flatten
from mnist_pipeline.provenance.dvc import hashes_of, parse_lock, stages_of, watch_dvc, with_upstream
from mnist_pipeline.provenance.git import git_text, read_file, run_git
from mnist_pipeline.provenance.paths import LOCK, MACHINE

# Where the same bits are not to be expected, metrics may differ by this much: absolute for fractions, else relative.
ABSOLUTE_TOLERANCE = 0.005
RELATIVE_TOLERANCE = 0.10

PREFIX = "mnist-verify-"
"""Of the temporary folder; the number of the process follows."""

Kind = Literal["dep", "out"]


@dataclass(frozen=True)
class FileCheck:
    """One file of one stage: its MD5 in the committed dvc.lock and in that of the clone; None: not there."""

    stage: str
    kind: Kind
    path: str
    expected: str | None
    got: str | None

    @property
    def equal(self) -> bool:
        """Whether both are there and the same."""
        return bool(self.expected) and self.expected == self.got


@dataclass(frozen=True)
class MetricCheck:
    """One number of a metrics file, where the same bits are not to be expected; None: the clone has no such number."""

    path: str
    name: str
    expected: float
    got: float | None

    @property
    def within_tolerance(self) -> bool:
        """Whether the two differ no more than another architecture may make them."""
        if self.got is None:
            return False
        return math.isclose(self.expected, self.got, rel_tol=RELATIVE_TOLERANCE, abs_tol=ABSOLUTE_TOLERANCE)


@dataclass(frozen=True)
class Verification:
    """What running a clone of a commit gave.

    Attributes:
        commit: the commit's hash.
        seconds: how long the pipeline took.
        same_bits_expected: whether this machine can hold to the bits of portable numerics.
        files: every file of every stage, in the order of the pipeline.
        metrics: the numbers, if the same bits are not to be expected.
        environment: what differs from the machine on which the committed results were made.
    """

    commit: str
    seconds: float
    same_bits_expected: bool
    files: list[FileCheck]
    metrics: list[MetricCheck]
    environment: list[str]

    @property
    def passed(self) -> bool:
        """Whether everything is as it must be."""
        if self.same_bits_expected:
            return all(each.equal for each in self.files)
        return all(each.within_tolerance for each in self.metrics)

    @property
    def first_divergence(self) -> str | None:
        """The first stage that gave something else, and whether from equal inputs."""
        for stage in dict.fromkeys(each.stage for each in self.files):
            here = [each for each in self.files if each.stage == stage]
            if different := [each.path for each in here if each.kind == "out" and not each.equal]:
                inputs = "equal" if all(each.equal for each in here if each.kind == "dep") else "different"
                return f"{stage} gave other bits from {inputs} inputs: {', '.join(different)}"
        if different := [f"{each.path} ({each.stage})" for each in self.files if not each.equal]:
            return f"none gave other bits, but dvc.lock was made with other inputs: {', '.join(different)}"
        return None


def verify(repository: Path, *, quiet: bool = False) -> Verification:
    """Clone HEAD into a temporary folder, run the whole pipeline there with an empty cache, and compare.

    Uncommitted changes have no effect.

    Raises:
        PipelineError: this is no repository with a committed dvc.lock, or a stage failed in the clone.
    """
    commit = git_text(repository, "rev-parse", "HEAD")
    expected = stages_of(repository, commit)
    recorded = _committed_json(repository, MACHINE)
    for folder in leftovers():
        shutil.rmtree(folder, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=f"{PREFIX}{os.getpid()}-") as temporary:
        clone = Path(temporary) / "clone"
        run_git(repository, "clone", "--quiet", "--no-local", str(repository), str(clone))
        seconds = _run_pipeline(clone, Path(temporary), quiet=quiet)
        got = parse_lock((clone / LOCK).read_text("utf-8"), LOCK)
        same_bits_expected = supports_portable()
        metrics = [] if same_bits_expected else list(_metrics(repository, clone))
    return Verification(
        commit=commit,
        seconds=seconds,
        same_bits_expected=same_bits_expected,
        files=list(compare_locks(*(with_upstream(stages, stages) for stages in (expected, got)))),
        metrics=metrics,
        environment=differences(recorded, describe_machine()) if recorded else [],
    )


def leftovers() -> list[Path]:
    """List the temporary folders of calls that were killed."""
    folders = Path(tempfile.gettempdir()).glob(f"{PREFIX}*-*")
    numbers = ((folder, folder.name.removeprefix(PREFIX).partition("-")[0]) for folder in folders)
    return [folder for folder, number in numbers if number.isdecimal() and not is_owner(int(number), folder)]


def compare_locks(expected: dict[str, Any], got: dict[str, Any]) -> Iterator[FileCheck]:
    """Every dependency and output of two dvc.lock files' stages, in the order of the first."""
    for stage in expected | got:
        kinds: tuple[tuple[Kind, str], ...] = (("dep", "deps"), ("out", "outs"))
        for kind, section in kinds:
            before, now = (hashes_of(stages.get(stage, {}), section) for stages in (expected, got))
            for path in before | now:
                yield FileCheck(stage, kind, path, before.get(path), now.get(path))


def _run_pipeline(clone: Path, temporary: Path, *, quiet: bool) -> float:
    """Run every stage in a clone, with nothing of this machine's DVC: no cache, no settings; the seconds it took."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("DVC_", "GIT_"))}
    environment |= {
        "DVC_GLOBAL_CONFIG_DIR": str(temporary / "no-global-config"),
        "DVC_SYSTEM_CONFIG_DIR": str(temporary / "no-system-config"),
        "DVC_SITE_CACHE_DIR": str(temporary / "site-cache"),
    }
    # --force: stages whose outputs are in git would otherwise be found up to date and never run.
    started = time.monotonic()
    output = subprocess.PIPE if quiet else None
    ran = watch_dvc(clone, "repro", "--force", environment=environment, stdout=output, stderr=output)
    if ran.returncode:
        end = f":\n{(ran.stderr or '')[-2000:]}" if quiet else ""
        raise PipelineError(f"the pipeline failed in the clone (dvc repro ended with {ran.returncode}){end}")
    return time.monotonic() - started


def _metrics(repository: Path, clone: Path) -> Iterator[MetricCheck]:
    """Every number of the committed metrics/*.json files beside the clone's."""
    for path in sorted((clone / "metrics").glob("*.json")):
        name = str(path.relative_to(clone))
        if name == MACHINE:
            continue
        expected, got = _numbers(_committed_json(repository, name)), _numbers(json.loads(path.read_text("utf-8")))
        for key, value in expected.items():
            yield MetricCheck(name, key, value, got.get(key))


def _numbers(content: dict[str, Any] | None) -> dict[str, float]:
    numbers = flatten(content or {}).items()
    return {
        key: float(value) for key, value in numbers if isinstance(value, (int, float)) and not isinstance(value, bool)
    }


def _committed_json(repository: Path, path: str) -> Any:
    try:
        return json.loads(read_file(repository, "HEAD", path))
    except RevisionError:
        return None
