"""Names of commits, as people give them: git revisions and DVC experiments; and files as they are in a commit."""

from __future__ import annotations

import difflib
import subprocess
from dataclasses import dataclass
from pathlib import Path

EXPERIMENTS = "refs/exps"


class RevisionError(ValueError):
    """A name stands for no commit, or a commit has no such file."""


@dataclass(frozen=True)
class Experiment:
    """An experiment of DVC: its name, its commit, and the ref that keeps the commit."""

    name: str
    commit: str
    ref: str


def list_experiments(repository: Path) -> list[Experiment]:
    """All experiments of DVC, the newest first."""
    listed = _git(repository, "for-each-ref", "--sort=-committerdate", "--format=%(objectname) %(refname)", EXPERIMENTS)
    found = []
    for line in listed.decode().splitlines():
        commit, ref = line.split(" ", 1)
        parts = ref.split("/")
        if len(parts) == 5 and len(parts[2]) == 2:  # refs/exps/xx/yyyy.../name; others are DVC's own stashes
            found.append(Experiment(parts[4], commit, ref))
    return found


def experiments(repository: Path) -> dict[str, list[str]]:
    """The commits of each DVC experiment's name, the newest first."""
    found: dict[str, list[str]] = {}
    for each in list_experiments(repository):
        found.setdefault(each.name, []).append(each.commit)
    return found


def resolve(repository: Path, name: str) -> str:
    """The hash of the commit that a name stands for: a DVC experiment, or else whatever git understands.

    Raises:
        RevisionError: neither knows the name, or experiments of several commits have it.
    """
    known = experiments(repository)
    if name in known:
        commits = known[name]
        if len(commits) > 1:
            raise RevisionError(
                f"{len(commits)} experiments are called {name!r}; say which: {', '.join(c[:10] for c in commits)}"
            )
        return commits[0]
    ran = subprocess.run(
        ["git", "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}"],
        cwd=repository,
        capture_output=True,
        check=False,
    )
    if ran.returncode == 0:
        return ran.stdout.decode().strip()
    _git(repository, "rev-parse", "--git-dir")  # says so if this is no repository
    branches = _git(repository, "for-each-ref", "--format=%(refname:short)", "refs/heads", "refs/tags").decode()
    close = difflib.get_close_matches(name, [*known, *branches.split()], n=3)
    hint = f"; did you mean {' or '.join(map(repr, close))}?" if close else "; dvc exp list and git branch list them"
    raise RevisionError(f"{name!r} is no experiment and no git revision{hint}")


def read_file(repository: Path, commit: str, path: str) -> bytes:
    """The content of a file that git tracks, as it is in a commit.

    Raises:
        RevisionError: the commit has no such file.
    """
    try:
        return _git(repository, "show", f"{commit}:{path}")
    except RevisionError:
        raise RevisionError(f"{path} is not in commit {commit[:10]}") from None


def _git(repository: Path, *arguments: str) -> bytes:
    ran = subprocess.run(["git", *arguments], cwd=repository, capture_output=True, check=False)
    if ran.returncode:
        raise RevisionError(f"git {' '.join(arguments[:2])}: {ran.stderr.decode().strip()}")
    return ran.stdout
