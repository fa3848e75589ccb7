"""The refs of results at git's origin: published once, compared, confirmed, set aside.

::

    refs/exps/<commit>/<name>                  the result that counts, as DVC names it
    refs/confirmed/<commit>/<name>/<worker>    the same tree, made by another worker
    refs/set-aside/<commit>/<name>/<worker>    a result that does not count: another tree, or of a worker that gave one

The message of each commit says who made it, in git's trailers.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from mnist_pipeline.core.errors import PipelineError, RevisionError
from mnist_pipeline.provenance.git import WORKER, git_lines, git_text, run_git, trailer

CONFIRMED, SET_ASIDE = "refs/confirmed", "refs/set-aside"

Found = TypeVar("Found")

RETRY_SECONDS = 600.0
"""How long a server may be away before what needs it fails."""

LONGEST_PAUSE = 30.0
WAITS = "waits"
"""With what begins that a run says when it waits for a server."""

ENVIRONMENT = {
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_SSH_COMMAND": "ssh -o BatchMode=yes -o ConnectTimeout=15 -o ServerAliveInterval=10 -o ServerAliveCountMax=3",
    "GIT_HTTP_LOW_SPEED_LIMIT": "1",
    "GIT_HTTP_LOW_SPEED_TIME": "60",
}
"""So that git fails where it would ask, or wait for a server that is gone."""


def with_retries(what: Callable[[], Found], report: Callable[[str], None]) -> Found:
    """Try something again, with growing pauses, until it succeeds.

    Raises:
        RevisionError, PipelineError: what it raised when the time was up.
    """
    pause, end = 1.0, time.monotonic() + RETRY_SECONDS
    while True:
        try:
            return what()
        except PipelineError as error:
            if time.monotonic() + pause > end:
                raise
            report(f"{WAITS}, since {str(error).splitlines()[-1]}")
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)


def set_environment() -> None:
    """Set this process's environment so that git fails rather than waits; what the user has set stays."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)


@dataclass(frozen=True)
class Origin:
    """The repository at which results are published.

    Attributes:
        repository: from which git runs, and to which it fetches.
        address: of the origin, or the name of a remote.
    """

    repository: Path
    address: str

    def refs(self, *patterns: str) -> dict[str, str]:
        """Return the commits of the refs that match, by ref."""
        listed = git_lines(self.repository, "ls-remote", self.address, *patterns)
        return {ref: commit for commit, ref in (line.split("\t") for line in listed)}

    def fetch(self, refs: Iterable[str]) -> None:
        """Fetch refs under the same names; those that are here already as something else are replaced."""
        if wanted := [f"+{ref}:{ref}" for ref in refs]:
            self._git("fetch", "--quiet", "--no-tags", "--no-auto-gc", "--no-write-fetch-head", self.address, *wanted)

    def publish(self, commit: str, ref: str) -> str:
        """Create a ref, unless it is there.

        Returns:
            The commit that the ref has now: this one, or that of the first to publish.

        Raises:
            RevisionError: the origin cannot be reached.
        """
        try:
            self._git("push", "--quiet", f"--force-with-lease={ref}:", self.address, f"{commit}:{ref}")
        except RevisionError:  # somebody was first, or the answer was lost, or nothing arrived
            found = self.refs(ref).get(ref)
            if found is None:
                raise
            if found != commit:
                self._git("fetch", "--quiet", "--no-tags", "--no-auto-gc", self.address, ref)
            return found
        return commit

    def keep(self, commit: str, kind: str, where: str, worker: str) -> None:
        """Keep a result beside the one that counts: ``kind`` is CONFIRMED or SET_ASIDE."""
        self._git("push", "--quiet", self.address, f"+{commit}:{kind}/{where}/{as_ref(worker)}")

    def set_aside(self, ref: str, where: str, worker: str) -> None:
        """Take the result of a worker out of those that count, and keep it beside them; if it still counts."""
        found = self.refs(ref).get(ref)
        if found is None:
            return
        self.fetch([ref])
        if trailer(self.repository, found, WORKER) == worker:
            moved = [f"{found}:{SET_ASIDE}/{where}/{as_ref(worker)}", f":{ref}"]
            self._git("push", "--quiet", "--atomic", f"--force-with-lease={ref}:{found}", self.address, *moved)
            self._git("update-ref", "-d", ref)

    def _git(self, *words: str) -> None:
        run_git(self.repository, *words)


def origin_of(repository: Path) -> str:
    """Return the address of the remote ``origin`` of a repository.

    Raises:
        PipelineError: it has none.
    """
    try:
        return git_text(repository, "remote", "get-url", "origin")
    except RevisionError:
        raise PipelineError("there is no git remote origin, where workers find the commit; git remote add") from None


def with_trailers(repository: Path, commit: str, trailers: Mapping[str, str]) -> str:
    """Return a commit like this one whose message says more, in git's trailers."""
    message, author, email = run_git(repository, "log", "-1", "--format=%B%x00%an%x00%ae", commit).decode().split("\0")
    lines = [f"{name}: {value}" for name, value in trailers.items()]
    identity = ["-c", f"user.name={author}", "-c", f"user.email={email.strip()}"]
    text = "\n".join([message.strip(), "", *lines])
    return git_text(repository, *identity, "commit-tree", f"{commit}^{{tree}}", "-p", f"{commit}^", "-m", text)


def tree_of(repository: Path, commit: str) -> str:
    """Return the hash of all files of a commit."""
    return git_text(repository, "rev-parse", f"{commit}^{{tree}}")


def as_ref(worker: str) -> str:
    """Return the name of a worker in the form that git allows for a part of a ref."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", worker).strip("-") or "worker"
