"""Names of commits, and files in them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from mnist_pipeline.provenance.git import RevisionError, experiments, read_file, resolve


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
    ran = subprocess.run(["git", *identity, *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return ran.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Two commits, a tag on the first, and an experiment on the second."""
    git(tmp_path, "init", "-q", "-b", "main")
    for content in ("first", "second", "experiment"):
        (tmp_path / "file.txt").write_text(content)
        git(tmp_path, "add", ".")
        git(tmp_path, "commit", "-q", "-m", content)
        if content == "first":
            git(tmp_path, "tag", "v1")
    base, commit = git(tmp_path, "rev-parse", "HEAD~1"), git(tmp_path, "rev-parse", "HEAD")
    git(tmp_path, "update-ref", f"refs/exps/{base[:2]}/{base[2:]}/adam-0", commit)
    git(tmp_path, "reset", "-q", "--hard", "HEAD~1")
    return tmp_path


def test_an_experiment_a_tag_a_branch_and_a_hash_resolve(repository: Path) -> None:
    for name, content in (("adam-0", b"experiment"), ("v1", b"first"), ("main", b"second"), ("HEAD~1", b"first")):
        assert read_file(repository, resolve(repository, name), "file.txt") == content
    assert resolve(repository, resolve(repository, "main")[:8]) == resolve(repository, "main")


def test_an_unknown_name_gets_the_nearest_ones(repository: Path) -> None:
    with pytest.raises(RevisionError, match="'adam-1' is no experiment and no git revision; did you mean 'adam-0'"):
        resolve(repository, "adam-1")
    with pytest.raises(RevisionError, match="dvc exp list and git branch list them"):
        resolve(repository, "zzzzzzz")


@pytest.mark.parametrize("name", ["", "-h", "--all", "HEAD:file.txt", "a b", "refs/heads"])
def test_odd_names_are_unknown_names(repository: Path, name: str) -> None:
    with pytest.raises(RevisionError, match="is no experiment and no git revision"):
        resolve(repository, name)


def test_an_experiment_of_several_commits_is_ambiguous(repository: Path) -> None:
    base, commit = git(repository, "rev-parse", "v1"), git(repository, "rev-parse", "main")
    git(repository, "update-ref", f"refs/exps/{base[:2]}/{base[2:]}/adam-0", commit)
    with pytest.raises(RevisionError, match="2 experiments are called 'adam-0'; say which: "):
        resolve(repository, "adam-0")
    assert len(experiments(repository)["adam-0"]) == 2


def test_dvcs_own_refs_are_no_experiments(repository: Path) -> None:
    git(repository, "update-ref", "refs/exps/celery/stash", "HEAD")
    git(repository, "update-ref", "refs/exps/exec/EXEC_HEAD", "HEAD")
    assert set(experiments(repository)) == {"adam-0"}


def test_a_file_that_is_not_there(repository: Path) -> None:
    commit = resolve(repository, "v1")
    with pytest.raises(RevisionError, match=f"no.txt is not in commit {commit[:10]}"):
        read_file(repository, commit, "no.txt")


def test_outside_a_repository_git_says_so(tmp_path: Path) -> None:
    with pytest.raises(RevisionError, match="not a git repository"):
        resolve(tmp_path, "HEAD")
