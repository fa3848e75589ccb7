"""Names of commits, files in them, and what differs from them."""

from __future__ import annotations

from pathlib import Path

import pytest

from mnist_pipeline.core.errors import RevisionError
from mnist_pipeline.provenance.git import changed_files, list_experiments, object_hashes, read_file, resolve
from tests.repository import Repository, git, name_experiment


def commit(folder: Path, path: str, content: str) -> str:
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    (folder / path).write_text(content)
    return Repository(folder).commit(content)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Two commits, a tag on the first, and an experiment on the second."""
    git(tmp_path, "init", "-q", "-b", "main")
    commit(tmp_path, "file.txt", "first")
    git(tmp_path, "tag", "v1")
    commit(tmp_path, "file.txt", "second")
    name_experiment(tmp_path, "adam-0", commit(tmp_path, "file.txt", "experiment"))
    git(tmp_path, "reset", "-q", "--hard", "HEAD~1")
    return tmp_path


def test_an_experiment_a_tag_a_branch_and_a_hash_resolve(repository: Path) -> None:
    for name, content in (("adam-0", b"experiment"), ("v1", b"first"), ("main", b"second"), ("HEAD~1", b"first")):
        assert read_file(repository, resolve(repository, name), "file.txt") == content
    assert resolve(repository, resolve(repository, "main")[:8]) == resolve(repository, "main")
    with pytest.raises(RevisionError, match=f"no.txt is not in commit {resolve(repository, 'v1')[:10]}"):
        read_file(repository, resolve(repository, "v1"), "no.txt")


def test_an_unknown_name_gets_the_nearest_ones(repository: Path) -> None:
    with pytest.raises(RevisionError, match=r"'adam-1' is neither .*; did you mean 'adam-0'"):
        resolve(repository, "adam-1")
    with pytest.raises(RevisionError, match="; see dvc exp list and git branch"):
        resolve(repository, "zzzzzzz")


@pytest.mark.parametrize("name", ["", "-h", "--all", "HEAD:file.txt", "a b", "refs/heads"])
def test_odd_names_are_unknown_names(repository: Path, name: str) -> None:
    with pytest.raises(RevisionError, match="is neither an experiment nor a git revision"):
        resolve(repository, name)


def test_an_experiment_of_several_commits_is_ambiguous(repository: Path) -> None:
    commit(repository, "file.txt", "another base")
    later = commit(repository, "file.txt", "other")
    name_experiment(repository, "adam-0", later)
    with pytest.raises(RevisionError, match="2 experiments are called 'adam-0'; .*" + later[:10]):
        resolve(repository, "adam-0")


def test_dvcs_own_refs_are_no_experiments(repository: Path) -> None:
    git(repository, "update-ref", "refs/exps/celery/stash", "HEAD")
    git(repository, "update-ref", "refs/exps/exec/EXEC_HEAD", "HEAD")
    git(repository, "update-ref", "refs/exps/apply/of/three", "HEAD")
    (only,) = list_experiments(repository)
    assert (only.name, only.commit) == ("adam-0", resolve(repository, "adam-0"))
    assert git(repository, "rev-parse", only.ref) == only.commit


def test_equal_hashes_mean_equal_content(repository: Path) -> None:
    paths = ["file.txt", "code/wörds", "missing.txt"]
    before = object_hashes(repository, commit(repository, "code/wörds/a b.py", "1"), paths)
    changed = object_hashes(repository, commit(repository, "code/wörds/a b.py", "2"), paths)
    restored = object_hashes(repository, commit(repository, "code/wörds/a b.py", "1"), paths)
    assert set(before) == {"file.txt", "code/wörds"}
    assert before == restored
    assert changed["file.txt"] == before["file.txt"]
    assert changed["code/wörds"] != before["code/wörds"]


def test_changed_files_are_tracked_and_not_committed(repository: Path) -> None:
    commit(repository, "code/a.py", "1")
    (repository / "code" / "untracked.py").touch()
    assert changed_files(repository) == []
    (repository / "file.txt").write_text("changed")
    (repository / "code" / "a.py").unlink()
    assert changed_files(repository) == ["code/a.py", "file.txt"]
    assert changed_files(repository, "code", "missing.txt") == ["code/a.py"]
    git(repository, "add", "file.txt")
    assert changed_files(repository, "file.txt") == ["file.txt"]


def test_an_experiment_with_a_name_that_git_knows_is_ambiguous(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "-b", "main")
    first, second, _ = (commit(tmp_path, "file.txt", content) for content in ("first", "second", "third"))
    name_experiment(tmp_path, "HEAD", second)
    git(tmp_path, "branch", "same", second)
    name_experiment(tmp_path, "same", second)
    assert resolve(tmp_path, "same") == second != first
    with pytest.raises(
        RevisionError, match="'HEAD' is an experiment, and git knows another commit by that name; rename"
    ):
        resolve(tmp_path, "HEAD")
