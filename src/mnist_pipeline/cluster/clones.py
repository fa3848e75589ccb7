"""The clones of a worker: made once, locked while in use, and repaired after whatever happened to the last run."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import psutil
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from mnist_pipeline.core.errors import PipelineError, RevisionError
from mnist_pipeline.core.files import write_text
from mnist_pipeline.core.hardware import usable_cores
from mnist_pipeline.provenance.git import EXPERIMENTS, git_lines, read_file, run_git
from mnist_pipeline.provenance.paths import PACKAGES
from mnist_pipeline.provenance.recovery import DVC_FILES, exclusive, repair

MARK = "MNIST_CLONE"
"""Environment variable of all processes of a run: the clone in which they work."""

MOST_CLONES = 1000

LONGEST_WAIT = 30.0
"""Seconds after which a run no longer waits for its turn: one that was stopped may have it."""


@contextmanager
def locked_clone(folder: str | None, origin: str) -> Iterator[Path]:
    """Yield the path of a clone that nobody else uses; it need not exist yet.

    The lock is the kernel's, and ends with the process that holds it, however that ends.

    Args:
        folder: of the clones; None: one in the user's cache. The name of the host is part of a clone's name, so that
            the folder may be shared.
        origin: git's address.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    root = Path(folder).expanduser().resolve() if folder else cache / "mnist-pipeline"
    root.mkdir(parents=True, exist_ok=True)
    prefix = f"{platform.node()}-{hashlib.sha256(origin.encode()).hexdigest()[:8]}"
    for number in range(MOST_CLONES):
        clone = root / f"{prefix}-{number}"
        with ExitStack() as lock:
            try:
                lock.enter_context(exclusive(clone.with_name(f"{clone.name}.lock"), "a run"))
            except PipelineError:
                continue
            end_processes(clone)
            try:
                yield clone
            finally:
                end_processes(clone)
            return
    raise PipelineError(f"{root}: all {MOST_CLONES} clones are in use")


@contextmanager
def turn(folder: Path) -> Iterator[None]:
    """Wait while as many runs get ready on this machine as it has cores: all at once, all would be late.

    Args:
        folder: of the clones.
    """
    end = time.monotonic() + LONGEST_WAIT
    with ExitStack() as lock:
        while time.monotonic() < end:
            for core in range(usable_cores()):
                with suppress(PipelineError):
                    lock.enter_context(exclusive(folder / f"{platform.node()}-ready-{core}.lock", "a run"))
                    end = 0.0
                    break
            else:
                time.sleep(0.1)
        yield


def end_processes(clone: Path) -> None:
    """Kill what still works in a clone, such as the stage of a run that was killed itself."""
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == str(clone):
                process.kill()
                process.wait(10)
        except (psutil.Error, OSError):
            continue  # it ended, or is another user's


def prepare(clone: Path, origin: str, commit: str, store: str | None) -> None:
    """Check out a commit in a clone, as if nothing had ever happened there; clone again if that does not go.

    Raises:
        RevisionError: the origin cannot be reached, or does not have the commit.
    """
    if (clone / ".git").exists():
        try:
            _check_out(clone, origin, commit, store)
            return
        except (RevisionError, OSError):
            run_git(Path.cwd(), "ls-remote", origin, "HEAD")  # if this fails, the clone is not to blame
            shutil.rmtree(clone)
    half = clone.with_name(f"{clone.name}.new")
    for folder in (clone, half):
        shutil.rmtree(folder, ignore_errors=True)
    run_git(clone.parent, "clone", "--quiet", "--no-checkout", origin, str(half))
    half.rename(clone)  # so that a clone is there as a whole or not at all
    _check_out(clone, origin, commit, store)


def _check_out(clone: Path, origin: str, commit: str, store: str | None) -> None:
    shutil.rmtree(clone / DVC_FILES / "exps", ignore_errors=True)
    repair(clone)
    run_git(clone, "remote", "set-url", "origin", origin)
    try:
        run_git(clone, "cat-file", "-e", f"{commit}^{{commit}}")
    except RevisionError:
        heads = ["+refs/heads/*:refs/remotes/origin/*", "+HEAD:refs/remotes/head"]
        run_git(clone, "fetch", "--quiet", "--no-auto-gc", "origin", *heads)
    for ref in git_lines(clone, "for-each-ref", "--format=%(refname)", EXPERIMENTS):
        run_git(clone, "update-ref", "--no-deref", "-d", ref)  # of earlier runs, and what DVC left of killed ones
    run_git(clone, "checkout", "--quiet", "--force", "--detach", commit)
    run_git(clone, "clean", "-ffdq")
    if store is not None:
        remote = f"['remote \"here\"']\n    url = {store}\n[core]\n    remote = here\n"
        write_text(clone / ".dvc" / "config.local", remote)


def differing_packages(clone: Path, commit: str) -> list[str]:
    """Compare the packages of this Python with requirements.lock of a commit; a line for each that differs.

    A build label, such as that of ``2.13.0+cpu``, makes no difference.
    """
    try:
        lines = read_file(clone, commit, PACKAGES).decode().splitlines()
    except RevisionError:
        return []
    here = _installed_packages()
    wanted = [Requirement(text) for line in lines if (text := line.split("#")[0].strip())]
    return [
        f"{each} wanted, {here.get(canonicalize_name(each.name), 'none')} here"
        for each in wanted
        if each.marker is None or each.marker.evaluate()
        if not each.specifier.contains(here.get(canonicalize_name(each.name), "0"), prereleases=True)
    ]


def _installed_packages() -> dict[str, str]:
    """Map packages to their versions, by the names of the folders of their metadata, which take 0.2 s to read.

    https://packaging.python.org/en/latest/specifications/recording-installed-packages/
    """
    folders = [path for folder in sys.path for path in Path(folder).glob("*.dist-info")]
    named = (path.stem.partition("-") for path in reversed(folders))  # the first on the path counts
    return {canonicalize_name(name): version for name, _, version in named}
