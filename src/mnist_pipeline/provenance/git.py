"""Run git; resolve names of revisions and of DVC experiments; read files of a commit."""

from __future__ import annotations

import difflib
import os
import subprocess
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mnist_pipeline.core.errors import RevisionError

EXPERIMENTS = "refs/exps"
WORKER, MACHINE, SECONDS = "Worker", "Machine", "Training-seconds"
"""What the message of a result's commit says in git's trailers: who made it, on what, and how long training took."""


def run_git(repository: Path, *arguments: str, given: str | None = None) -> bytes:
    """Run git, with ``given`` as its standard input, and return what it printed.

    Raises:
        RevisionError: git failed; the message is git's own.
    """
    content = None if given is None else os.fsencode(given)
    ran = subprocess.run(["git", *arguments], cwd=repository, input=content, capture_output=True, check=False)
    if ran.returncode:
        raise RevisionError(f"git {' '.join(arguments[:2])}: {ran.stderr.decode(errors='replace').strip()}")
    return ran.stdout


def git_text(repository: Path, *arguments: str) -> str:
    """Run git and return what it printed as text, without white space at its ends."""
    return os.fsdecode(run_git(repository, *arguments)).strip()


def git_lines(repository: Path, *arguments: str) -> list[str]:
    """Run git and return the lines that it printed. Names may hold what Python, but not git, takes for a line's end."""
    return [line for line in os.fsdecode(run_git(repository, *arguments)).split("\n") if line]


@dataclass(frozen=True)
class Experiment:
    """An experiment of DVC: its name, its commit, and the ref that keeps the commit."""

    name: str
    commit: str
    ref: str

    @property
    def base(self) -> str:
        """The commit from which it started."""
        return "".join(self.ref.split("/")[2:4])


def list_experiments(repository: Path) -> list[Experiment]:
    """List all experiments of DVC, the newest first."""
    form = "--format=%(objectname) %(refname)"
    found = []
    for line in git_lines(repository, "for-each-ref", "--sort=-committerdate", form, EXPERIMENTS):
        commit, ref = line.split(" ", 1)
        parts = ref.split("/")
        if len(parts) == 5 and len(parts[2]) == 2:  # refs/exps/xx/yyyy.../name; others are DVC's own stashes
            found.append(Experiment(parts[4], commit, ref))
    return found


def commits_by_name(repository: Path) -> dict[str, list[str]]:
    """Map the name of each DVC experiment to its commits, the newest first."""
    found: dict[str, list[str]] = {}
    for each in list_experiments(repository):
        found.setdefault(each.name, []).append(each.commit)
    return found


def resolve(repository: Path, name: str) -> str:
    """Return the hash of the commit of a DVC experiment, or else of whatever git understands.

    Raises:
        RevisionError: neither knows the name, both do, or experiments of several commits have it.
    """
    known = commits_by_name(repository)
    commits = known.get(name, [])
    try:
        found = git_text(repository, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
    except RevisionError:
        found = ""
    if found and commits and found not in commits:
        raise RevisionError(
            f"{name!r} is an experiment, and git knows another commit by that name; rename the experiment: "
            f"dvc exp rename {name} NEW_NAME"
        )
    if len(commits) > 1:
        raise RevisionError(
            f"{len(commits)} experiments are called {name!r}; name one by its commit: "
            f"{', '.join(commit[:10] for commit in commits)}"
        )
    if commits or found:
        return commits[0] if commits else found
    branches = git_lines(repository, "for-each-ref", "--format=%(refname:short)", "refs/heads", "refs/tags")
    close = difflib.get_close_matches(name, [*known, *branches], n=3)
    hint = f"; did you mean {' or '.join(map(repr, close))}?" if close else "; see dvc exp list and git branch"
    raise RevisionError(f"{name!r} is neither an experiment nor a git revision{hint}")


def read_file(repository: Path, commit: str, path: str) -> bytes:
    """Return the content of a file that git tracks, as it is in a commit.

    Raises:
        RevisionError: the commit has no such file.
    """
    try:
        return run_git(repository, "show", f"{commit}:{path}")
    except RevisionError:
        raise RevisionError(f"{path} is not in commit {commit[:10]}") from None


def read_objects(repository: Path, names: Iterable[str]) -> dict[str, bytes]:
    """Read many objects in one process.

    Args:
        repository: of git.
        names: of objects, such as "commit:path"; the content of a folder is git's list of its files.

    Returns:
        The content of those that exist, by name.
    """
    asked = list(dict.fromkeys(names))
    printed = run_git(repository, "cat-file", "--batch", given="\n".join(asked))
    found, place = {}, 0
    for name in asked:
        end = printed.index(b"\n", place)
        size = printed[place:end].split(b" ")[-1]  # of "hash type size"; a line that ends in a word: not found
        place = end + 1
        if size.isdigit():
            found[name] = printed[place : place + int(size)]
            place += int(size) + 1
    return found


def object_hashes(repository: Path, commit: str, paths: list[str]) -> dict[str, str]:
    """Map files and folders to their git hashes in a commit: equal hashes mean equal content."""
    listed = run_git(repository, "ls-tree", "-z", commit, "--", *paths).decode()
    entries = (entry.split("\t", 1) for entry in listed.split("\0") if entry)
    return {path: fields.split()[2] for fields, path in entries}


def index_hashes(repository: Path, *paths: str) -> dict[str, str]:
    """Map the tracked files, all or those below ``paths``, to the git hashes of what is staged."""
    listed = os.fsdecode(run_git(repository, "ls-files", "--stage", "-z", "--", *paths))
    entries = (entry.split("\t", 1) for entry in listed.split("\0") if entry)
    return {path: fields.split()[1] for fields, path in entries}


def file_hashes(repository: Path, paths: Iterable[str]) -> dict[str, str]:
    """Map those of some paths that are files in the workspace to the git hashes of their content."""
    files = [path for path in paths if (repository / path).is_file()]
    hashes = run_git(repository, "hash-object", "--stdin-paths", given="\n".join(files)).decode().split()
    return dict(zip(files, hashes, strict=True))


def changed_files(repository: Path, *paths: str) -> list[str]:
    """List the tracked files, of all or below ``paths``, whose changes are not committed."""
    listed = run_git(repository, "status", "--porcelain", "--untracked-files=no", "--no-renames", "-z", "--", *paths)
    return [line[3:] for line in os.fsdecode(listed).split("\0")[:-1]]


def restore(repository: Path, name: str) -> None:
    """Restore a file as the last commit has it, or remove it."""
    (repository / name).unlink(missing_ok=True)  # where only its content differs, git believes that it is as it was
    with suppress(RevisionError):  # it was never committed: dvc.lock is written again from DVC's run cache
        run_git(repository, "restore", "--source=HEAD", "--", name)


def trailer(repository: Path, commit: str, name: str) -> str:
    """Return what a commit's message says by a name; empty: nothing."""
    form = f"--format=%(trailers:key={name},valueonly)"
    return git_text(repository, "log", "-1", form, commit)
