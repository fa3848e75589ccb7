"""Mend what a kill or a full disk left in the files of DVC and git, and let one command at a time change a workspace.

`dvc exp run` sets the user's changes aside in git's stash, takes HEAD off its branch, and puts both back at its end.
DVC writes its lock files in place. After a kill in between, commands fail, or start from somewhere else.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil

from mnist_pipeline.core.errors import PipelineError, RevisionError
from mnist_pipeline.provenance.dvc import parse_lock
from mnist_pipeline.provenance.git import git_lines, run_git
from mnist_pipeline.provenance.paths import LOCK, PARAMS

DVC_FILES = Path(".dvc/tmp")
STASH = "refs/stash"
STASH_SECONDS = 10
"""DVC stashes the user's changes within so many seconds after it has locked the workspace."""

CHANGING = {"repro", "run", "apply", "checkout", "commit", "pull", "save"}
"""Commands of DVC that change the workspace."""


@dataclass(frozen=True)
class Finding:
    """What is wrong.

    Attributes:
        problem: in a sentence.
        remedy: what to do, or what ``fix`` does.
        fix: mends it, without a loss; None: that is left to the user.
    """

    problem: str
    remedy: str
    fix: Callable[[], object] | None = None


@contextmanager
def exclusive(repository: Path, what: str, name: str) -> Iterator[None]:
    """Hold a lock, which ends with this process, however that ends.

    Raises:
        PipelineError: another process holds it; the message has the name that it gave.
    """
    path = repository / DVC_FILES / f"mnist-{what}.lock"
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
def alone(repository: Path, name: str) -> Iterator[list[str]]:
    """Work in a repository as the only command that changes it; mend first what a kill left.

    Yields:
        What was mended, a line each.

    Raises:
        PipelineError: another command of this package or of DVC works there.
    """
    with exclusive(repository, "workspace", name):
        for words in at_work(repository):
            if "queue-worker" not in words and CHANGING & set(words):
                raise PipelineError(f"dvc is at work here ({' '.join(words[-3:])}); wait for its end")
        yield mend(repository)


def at_work(repository: Path) -> list[list[str]]:
    """List the processes of dvc and git that work in a repository, each as the words of its command."""
    here, found = repository.resolve(), []
    own = {each.pid for each in (psutil.Process(), *psutil.Process().parents())}
    for process in psutil.process_iter(["cmdline", "cwd"]):
        words = [Path(word).name for word in process.info["cmdline"] or ()]
        folder = Path(process.info["cwd"] or "/")
        if process.pid not in own and {"dvc", "git"} & set(words[:3]) and here in (folder, *folder.parents):
            found.append(words)
    return found


def mend(repository: Path) -> list[str]:
    """Mend what a kill left, unless a process works there; return what was wrong, a line each."""
    findings = [] if at_work(repository) else list(left_by_kills(repository))
    for each in findings:
        if each.fix is not None:
            each.fix()
    return [f"{each.problem}: {each.remedy}" for each in findings]


def left_by_kills(repository: Path) -> Iterator[Finding]:
    """Find what a kill or a full disk left, in the order in which to mend it, where no process of dvc or git works."""
    for folder in {repository / name for name in git_lines(repository, "rev-parse", "--git-dir", "--git-common-dir")}:
        for file in (*folder.glob("*.lock"), *(folder / "refs").rglob("*.lock")):
            yield Finding(f"git refuses to work, since a kill left {file}", "it is removed", file.unlink)
    locks = [repository / DVC_FILES / name for name in ("rwlock", "exps/rwlock")]
    held = [_holders(lock) for lock in locks]  # DVC itself asks whether they run; they do until they are reaped
    interrupted = "workspace" in (held[1] or ())
    if interrupted:
        yield from _set_aside(repository, STASH, int(locks[1].stat().st_mtime))
    if branch := _left_branch(repository, interrupted):
        yield from _set_aside(repository, "refs/exps/exec/EXEC_MERGE")
        yield Finding(
            f"git is on no branch, since dvc exp run was killed; it was on {branch}",
            "back to that branch",
            partial(_reattach, repository, branch),
        )
    if git_lines(repository, "for-each-ref", "refs/exps/stash"):
        forget = partial(run_git, repository, "update-ref", "-d", "refs/exps/stash")
        yield Finding("an experiment that was killed would run with the next one", "it is forgotten", forget)
    for lock, holders in zip(locks, held, strict=True):
        if lock.exists() and (holders is None or holders):
            yield Finding(f"{lock} is left from a kill, and may stop dvc", "it is removed", lock.unlink)
    for name, is_whole in ((PARAMS, bytes.strip), (LOCK, _is_lock)):
        file = repository / name
        if file.exists() and not is_whole(file.read_bytes()):
            restore = partial(_restore, repository, name)
            yield Finding(f"{name} is damaged or empty", "that of the last commit is restored", restore)


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


def _restore(repository: Path, name: str) -> None:
    (repository / name).unlink()
    with suppress(RevisionError):  # it was never committed: dvc.lock is written again from DVC's run cache
        run_git(repository, "restore", "--source=HEAD", "--", name)


def _set_aside(repository: Path, ref: str, after: int = 0) -> Iterator[Finding]:
    """Find the user's changes in a stash commit of DVC, made from HEAD and not before a time, that are not back."""
    times = git_lines(repository, "for-each-ref", "--format=%(committerdate:unix)", ref)
    if not times or (after and not 0 <= int(times[0]) - after <= STASH_SECONDS):
        return
    if len(set(git_lines(repository, "rev-parse", "HEAD", f"{ref}^1"))) > 1:
        return
    compare = partial(git_lines, repository, "diff", "--name-only", "--no-renames")
    names = [name for name in compare("HEAD", ref) if not name.startswith(str(DVC_FILES))]
    changed, other = (set(compare(commit, "--", *names)) for commit in ("HEAD", ref))
    lost, edited = sorted(other - changed), sorted(other & changed - {PARAMS})

    def restore() -> None:
        if lost:
            run_git(repository, "restore", f"--source={ref}", "--worktree", "--", *lost)
        if ref == STASH and not edited:
            run_git(repository, "stash", "drop", "--quiet")

    if lost or ref == STASH:
        remedy = f"; {', '.join(edited)} was edited since: see git stash show -p" if edited and ref == STASH else ""
        problem = f"dvc exp run was killed while your changes of {', '.join(names)} were set aside"
        yield Finding(problem, f"they are restored{remedy}", restore)


def _left_branch(repository: Path, interrupted: bool) -> str | None:
    """Return the branch from which DVC took HEAD for an experiment, if HEAD is not back."""
    head = git_lines(repository, "rev-parse", "--symbolic-full-name", "HEAD")
    marked = interrupted or git_lines(repository, "for-each-ref", "refs/exps/exec/EXEC_BASELINE", "refs/exps/stash")
    for line in git_lines(repository, "reflog", "show", "-5", "--format=%H %gs", "HEAD") if head == ["HEAD"] else ():
        commit, _, words = line.partition(" ")
        if marked and (found := re.fullmatch(r"checkout: moving from (\S+) to [0-9a-f]{40}", words)):
            branch = git_lines(repository, "for-each-ref", "--format=%(objectname)", f"refs/heads/{found[1]}")
            return found[1] if branch == [commit] else None
        if not words.startswith("commit: dvc: commit experiment"):
            break
        marked = [words]
    return None


def _reattach(repository: Path, branch: str) -> None:
    run_git(repository, "symbolic-ref", "-m", f"mnist: back to {branch}", "HEAD", f"refs/heads/{branch}")
    run_git(repository, "reset", "--quiet")  # of what DVC staged; files stay as they are
    for mark in ("EXEC_BASELINE", "EXEC_MERGE", "EXEC_BRANCH"):
        run_git(repository, "update-ref", "-d", f"refs/exps/exec/{mark}")
