"""Repair what a kill or a full disk left in the files of DVC and git, and let one command at a time change a workspace.

`dvc exp run` sets the user's changes aside in a stash commit, takes HEAD off its branch, and puts both back at its end.
DVC writes its lock files in place. After a kill in between, commands fail, or start from somewhere else.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from itertools import takewhile
from pathlib import Path

import psutil

from mnist_pipeline.core.errors import PipelineError, RevisionError
from mnist_pipeline.provenance.dvc import parse_lock
from mnist_pipeline.provenance.git import git_lines, read_file, restore, run_git
from mnist_pipeline.provenance.paths import LOCK, PARAMS

DVC_FILES = ".dvc/tmp"
CHANGING = {"repro", "run", "apply", "checkout", "commit", "pull", "save"}
"""Commands of DVC that change the workspace."""

CLONES = Path(".scratch/workers")
"""The clones in which runs of ladders and sweeps work: repositories of their own."""

STASH, QUEUED = "refs/stash", "refs/exps/stash"
EXECUTION = "refs/exps/exec"
MARKS = {name: f"{EXECUTION}/EXEC_{name}" for name in ("BASELINE", "BRANCH", "MERGE")}
EXPERIMENT = "dvc-exp:"
"""In the message of a stash that DVC makes of an experiment."""

STASH_SECONDS = 10
"""DVC stashes the user's changes within so many seconds of when it locks the workspace, or frees it after an error."""


@dataclass(frozen=True)
class Finding:
    """What is wrong, in a sentence; what to do, or what ``fix`` does; what repairs it without a loss, if anything."""

    problem: str
    remedy: str
    fix: Callable[[], object] | None = None


@contextmanager
def exclusive(path: Path, name: str) -> Iterator[None]:
    """Hold a lock, which is the kernel's, and ends with this process, however that ends.

    Raises:
        PipelineError: another process holds it; the message has the name that it gave.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise PipelineError(f"{file.read() or 'another command'} is at work here; wait for its end") from None
        file.truncate(0)
        file.write(f"{name} (process {os.getpid()})")
        file.flush()
        yield


@contextmanager
def alone(repository: Path, name: str) -> Iterator[None]:
    """Work in a repository as the only command that changes it; first repair what a kill left, and say so.

    Raises:
        PipelineError: another command of this package or of DVC works there.
    """
    with exclusive(repository / DVC_FILES / "mnist-workspace.lock", name):
        for words in at_work(repository):
            if "queue-worker" not in words and CHANGING & set(words):
                raise PipelineError(f"dvc is at work here ({' '.join(words[-3:])}); wait for its end")
        for line in repair(repository):
            print(f"{name}: {line}", file=sys.stderr)
        yield


def at_work(repository: Path) -> list[list[str]]:
    """List the processes of dvc and git that work in a repository, each as the words of its command."""
    here, found = repository.resolve(), []
    own = {each.pid for each in (psutil.Process(), *psutil.Process().parents())}
    for process in psutil.process_iter(["cmdline", "cwd"]):
        words = [Path(word).name for word in process.info["cmdline"] or ()]
        if process.pid not in own and {"dvc", "git"} & set(words[:3]):
            folder = Path(process.info["cwd"] or "/")
            found += [words] * (folder.is_relative_to(here) and not folder.is_relative_to(here / CLONES))
    return found


def repair(repository: Path) -> list[str]:
    """Repair what a kill left, unless a process works there; return what was wrong, a line each."""
    findings = [] if at_work(repository) else list(left_by_kills(repository))
    for each in findings:
        if each.fix is not None:
            each.fix()
    return [f"{each.problem}: {each.remedy}" for each in findings]


def left_by_kills(repository: Path) -> Iterator[Finding]:
    """Find what a kill or a full disk left, in the order of its repair, where no process of dvc or git works."""
    for folder in {repository / name for name in git_lines(repository, "rev-parse", "--git-dir", "--git-common-dir")}:
        for file in (*folder.glob("*.lock"), *(folder / "refs").rglob("*.lock")):
            yield Finding(f"git refuses to work, since a kill left {file}", "it is removed", file.unlink)
    locks = [repository / DVC_FILES / name for name in ("rwlock", "exps/rwlock")]
    if stop := _experiment(repository, locks[1]):
        problem = "dvc exp run was killed or failed while git was on no branch, or had your changes in a stash"
        yield Finding(problem, "branch and changes are restored", stop)
    for lock in locks:
        if lock.exists() and _holders(lock) != []:  # DVC waits for a holder until it was reaped
            yield Finding(f"{lock} is left from a kill, and may stop dvc", "it is removed", lock.unlink)
    yield from _half_written(repository)


def _half_written(repository: Path) -> Iterator[Finding]:
    """Find what DVC cannot read, since it writes it in place."""
    for folder in (repository / ".dvc" / "cache" / "runs").glob("*/*"):
        if not any(folder.iterdir()):
            yield Finding(f"dvc stops at {folder}, which is empty", "it is removed", folder.rmdir)
    for file in (repository / DVC_FILES / "exps" / "run").glob("*/*.run"):
        if not file.read_bytes().endswith(b"}"):
            yield Finding(f"dvc runs no experiment, since a kill left half of {file}", "it is removed", file.unlink)
    removed = git_lines(repository, "ls-files", "--deleted", PARAMS)  # by DVC, which then writes it anew
    for name, is_whole in ((PARAMS, bytes.strip), (LOCK, _is_lock)):
        file = repository / name
        if not is_whole(file.read_bytes()) if file.exists() else name in removed:
            fix = partial(restore, repository, name)
            yield Finding(f"{name} is damaged or empty", "that of the last commit is restored", fix)


def _holders(lock: Path) -> list[str] | None:
    """List what a lock file of DVC locks; None: it is damaged, or not there."""
    try:
        content = json.loads(lock.read_bytes())
        return [*content.get("write", {}), *content.get("read", {})]
    except (OSError, ValueError, AttributeError, TypeError):
        return None


def _is_lock(content: bytes) -> bool:
    try:
        stages = parse_lock(content, LOCK).values()
        entries = [entry for stage in stages for kind in ("deps", "outs") for entry in stage.get(kind, [])]
        return all(isinstance(entry[name], str) for entry in entries for name in ("path", "md5"))
    except (PipelineError, AttributeError, KeyError, TypeError):
        return False


def _experiment(repository: Path, lock: Path) -> Callable[[], None] | None:
    """Return what puts everything back after an experiment that was killed; None: there was none."""
    refs = git_lines(repository, "for-each-ref", "--format=%(refname)", QUEUED, *MARKS.values())
    held = _holders(lock) or ()
    locked = "workspace" in held
    aside = _put_aside(repository, lock)
    changes = STASH if aside else MARKS["MERGE"] if MARKS["MERGE"] in refs else None
    branch = _left_branch(repository, marked=locked or bool({QUEUED, MARKS["BASELINE"]} & set(refs)))
    about_to_leave = MARKS["MERGE"] in refs and EXECUTION in held  # the branch; files are already without changes
    if not branch and QUEUED not in refs and not aside and not about_to_leave:
        return None

    def put_back() -> None:
        for _ in takewhile(lambda subject: EXPERIMENT in subject, aside[:-1]):  # which lies upon the user's changes
            run_git(repository, "stash", "drop", "--quiet")
        if changes is not None:
            _bring_back(repository, changes)
        if changes == MARKS["MERGE"] and git_lines(repository, "for-each-ref", f"--points-at={changes}", STASH):
            run_git(repository, "stash", "drop", "--quiet")  # where libgit2 puts what it applies, for that moment
        if branch is not None:
            run_git(repository, "symbolic-ref", "-m", f"mnist: back to {branch}", "HEAD", f"refs/heads/{branch}")
            run_git(repository, "reset", "--quiet")  # of what DVC staged; files stay as they are
        for ref in (QUEUED, *MARKS.values()):  # or the next experiment would run this one, too
            run_git(repository, "update-ref", "--no-deref", "-d", ref)  # not the experiment, which BRANCH names

    return put_back


def _put_aside(repository: Path, lock: Path) -> list[str]:
    """Return the messages of what DVC stashed when it last locked the workspace, the latest first."""
    if not lock.exists():
        return []
    found = []
    for line in git_lines(repository, "stash", "list", "--format=%H %ct %s"):
        commit, time, subject = line.split(" ", 2)
        near = abs(int(time) - int(lock.stat().st_mtime)) <= STASH_SECONDS
        # libgit2, which DVC uses, ends the message with a line break, and git does not: it is not of the user's git.
        if near and run_git(repository, "cat-file", "commit", commit).endswith(b"\n"):
            found.append(subject)
    return found


def _left_branch(repository: Path, *, marked: bool) -> str | None:
    """Return the branch from which DVC took HEAD for an experiment, if HEAD is not back, or files are still staged."""
    if git_lines(repository, "rev-parse", "--symbolic-full-name", "HEAD") != ["HEAD"]:
        return _left_staged(repository)
    for line in git_lines(repository, "reflog", "show", "-2", "--format=%H %gs", "HEAD"):
        commit, _, words = line.partition(" ")
        if marked and (found := re.fullmatch(r"checkout: moving from (\S+) to [0-9a-f]{40}", words)):
            branch = git_lines(repository, "for-each-ref", "--format=%(objectname)", f"refs/heads/{found[1]}")
            return found[1] if branch == [commit] else None
        marked = words.startswith("commit: ") and (  # by DVC, with a message of its own or of the experiment
            marked or "dvc: commit experiment" in words
            or bool(git_lines(repository, "for-each-ref", f"--points-at={commit}", "refs/exps"))
        )  # fmt: skip
    return None


def _left_staged(repository: Path) -> str | None:
    """Return the branch to which DVC put HEAD back, if it has not unstaged files since, and nobody staged any."""
    paths = git_lines(repository, "rev-parse", "--git-path", "index", "--git-path", "logs/HEAD")
    index, log = (repository / path for path in paths)
    found = log.exists() and re.search(r"\tdvc: Restore HEAD to '(\S+)'\n$", log.read_text("utf-8", "replace"))
    if not found or index.stat().st_mtime_ns >= log.stat().st_mtime_ns:
        return None
    return found[1] if git_lines(repository, "diff", "--cached", "--name-only") else None


def _bring_back(repository: Path, ref: str) -> None:
    """Restore the files of a stash commit that are as in the commit from which it was made; drop it if that was all."""
    compare = partial(git_lines, repository, "diff", "--name-only", "--no-renames")
    names = [name for name in compare(f"{ref}^1", ref) if not name.startswith(DVC_FILES)]
    if not names:
        return
    changed, other = (set(compare(commit, "--", *names)) for commit in (f"{ref}^1", ref))
    lost = [name for name in other if name not in changed or _is_part(repository, ref, name)]
    if lost:
        run_git(repository, "restore", f"--source={ref}", "--worktree", "--", *lost)
    if ref == STASH and not other - {*lost, PARAMS}:  # what was edited since stays, and the stash, too
        run_git(repository, "stash", "drop", "--quiet")


def _is_part(repository: Path, ref: str, name: str) -> bool:
    """Whether a file is the beginning of what a commit has, as after a kill in the middle of writing it."""
    file = repository / name
    with suppress(RevisionError, OSError):  # a folder, or the commit has none
        return read_file(repository, ref, name).startswith(file.read_bytes() if file.exists() else b"")
    return False
