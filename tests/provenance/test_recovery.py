"""What a kill leaves in the files of DVC and git is repaired; what the user made is not touched."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pygit2
import pytest

from mnist_pipeline.core.errors import PipelineError
from mnist_pipeline.provenance.recovery import CLONES, alone, repair
from tests.repository import Repository, git

LOCK = "stages:\n  train:\n    outs:\n    - {path: model, md5: abc}\n"


@pytest.fixture
def here(tmp_path: Path) -> Path:
    git(tmp_path, "init", "-q", "-b", "main")
    for name, text in (("params.yaml", "epochs: 3\n"), ("dvc.lock", LOCK), ("notes.txt", "old\n")):
        (tmp_path / name).write_text(text)
    (tmp_path / ".gitignore").write_text(".dvc/\n")
    Repository(tmp_path).commit("base")
    (tmp_path / ".dvc" / "tmp" / "exps").mkdir(parents=True)
    (tmp_path / ".dvc" / "tmp" / "rwlock").write_text("{}")
    return tmp_path


def write_holder(here: Path, what: str = "workspace") -> None:
    """DVC's lock of something, held by a process that has ended."""
    held = {"write": {what: {"pid": 2**22 - 1, "cmd": "dvc exp run"}}}
    (here / ".dvc" / "tmp" / "exps" / "rwlock").write_text(json.dumps(held))


def empty_lock(here: Path) -> None:
    (here / ".dvc" / "tmp" / "rwlock").write_bytes(b"")


def leave_git_locks(here: Path) -> None:
    for name in ("index.lock", "refs/heads/main.lock"):
        (here / ".git" / name).touch()


def leave_head(here: Path) -> None:
    """As in the middle of an experiment, of which DVC has staged a file."""
    git(here, "checkout", "-q", "--detach", git(here, "rev-parse", "main"))
    git(here, "update-ref", "refs/exps/exec/EXEC_BASELINE", "main")
    (here / "params.yaml").write_text("epochs: 4\n")
    git(here, "add", "params.yaml")


def stash_as_dvc(here: Path, message: str | None = None) -> None:
    pygit2.Repository(here).stash(pygit2.Signature("A", "a@example.org"), message)


def leave_stash(here: Path) -> None:
    """As before an experiment, while the user's changes are set aside."""
    write_holder(here)
    (here / "notes.txt").write_text("new\n")
    stash_as_dvc(here)
    git(here, "checkout", "-q", "--detach", git(here, "rev-parse", "main"))


def leave_staged(here: Path) -> None:
    """As at its end, when git is on its branch again."""
    git(here, "checkout", "-q", "--detach", git(here, "rev-parse", "main"))
    (here / "notes.txt").write_text("new\n")
    git(here, "add", "notes.txt")
    os.utime(here / ".git" / "index", ns=(0, 0))
    git(here, "symbolic-ref", "-m", "dvc: Restore HEAD to 'main'", "HEAD", "refs/heads/main")


def leave_stash_freed(here: Path) -> None:
    """As after a full disk, of which DVC said that there is no space."""
    leave_stash(here)
    git(here, "checkout", "-q", "main")
    (here / ".dvc" / "tmp" / "exps" / "rwlock").write_text('{"read": {}}')


def leave_half_restored(here: Path) -> None:
    """As at its end, in the middle of writing the file again."""
    leave_stash(here)
    (here / "notes.txt").write_text("ne")


def leave_two_stashes(here: Path) -> None:
    """As another moment later, when DVC has stashed the experiment, too."""
    leave_stash(here)
    (here / "params.yaml").write_text("epochs: 4\n")
    stash_as_dvc(here, "dvc-exp:1:1:adam")


def leave_merge(here: Path) -> None:
    """As a moment later, when DVC has them in a commit of its own."""
    leave_stash(here)
    git(here, "update-ref", "refs/exps/exec/EXEC_MERGE", "refs/stash")
    git(here, "stash", "drop", "-q")


def leave_applying(here: Path) -> None:
    """As while libgit2 applies this commit, for which it is in the stash again."""
    leave_merge(here)
    git(here, "update-ref", "--create-reflog", "refs/stash", "refs/exps/exec/EXEC_MERGE")
    (here / ".dvc" / "tmp" / "exps" / "rwlock").unlink()
    git(here, "update-ref", "refs/exps/exec/EXEC_BASELINE", "main")


def leave_before_detached(here: Path) -> None:
    """As in the moment between: files are those of the commit, and git is still on its branch."""
    leave_merge(here)
    git(here, "checkout", "-q", "main")
    write_holder(here, "refs/exps/exec")


def leave_empty_run(here: Path) -> None:
    """As before DVC writes a result into its run cache."""
    (here / ".dvc" / "cache" / "runs" / "ab" / "abc").mkdir(parents=True)


def cut_lock(here: Path) -> None:
    (here / "dvc.lock").write_text(LOCK[:-8])


def empty_params(here: Path) -> None:
    (here / "params.yaml").write_bytes(b"")


def remove_params(here: Path) -> None:
    """As before DVC writes it anew."""
    (here / "params.yaml").unlink()


def empty_run(here: Path) -> None:
    """As while DVC writes what it runs."""
    (here / ".dvc" / "tmp" / "exps" / "run" / "workspace").mkdir(parents=True)
    (here / ".dvc" / "tmp" / "exps" / "run" / "workspace" / "workspace.run").touch()


def leave_queued(here: Path) -> None:
    git(here, "update-ref", "refs/exps/stash", "main")


@pytest.mark.parametrize(
    ("leave", "problem", "status"),
    [
        (empty_lock, "is left from a kill, and may stop dvc: it is removed", ""),
        (leave_git_locks, "git refuses to work, since a kill left .*main.lock: it is removed", ""),
        (leave_head, "dvc exp run was killed or failed .*: branch and changes are restored", "M params.yaml"),
        (leave_stash, "dvc exp run was killed or failed .*: branch and changes are restored", "M notes.txt"),
        (leave_staged, "dvc exp run was killed or failed .*: branch and changes are restored", "M notes.txt"),
        (leave_stash_freed, "dvc exp run was killed or failed .*: branch and changes are restored", "M notes.txt"),
        (leave_half_restored, "dvc exp run was killed or failed .*: branch and changes are restored", "M notes.txt"),
        (leave_two_stashes, "dvc exp run was killed or failed .*: branch and changes are restored", "M notes.txt"),
        (leave_merge, "dvc exp run was killed or failed .*: branch and changes are restored", "M notes.txt"),
        (leave_applying, "dvc exp run was killed or failed .*: branch and changes are restored", "M notes.txt"),
        (leave_before_detached, "dvc exp run was killed or failed .*: branch and changes are restored", "M notes.txt"),
        (leave_empty_run, "dvc stops at .*/ab/abc, which is empty: it is removed", ""),
        (cut_lock, "dvc.lock is damaged or empty: that of the last commit is restored", ""),
        (empty_params, "params.yaml is damaged or empty: that of the last commit is restored", ""),
        (remove_params, "params.yaml is damaged or empty: that of the last commit is restored", ""),
        (empty_run, "dvc runs no experiment, since a kill left half of .*/workspace.run: it is removed", ""),
        (leave_queued, "dvc exp run was killed or failed .*: branch and changes are restored", ""),
    ],
)
def test_what_a_kill_left_is_repaired(here: Path, leave: Callable[[Path], None], problem: str, status: str) -> None:
    leave(here)
    repaired = "\n".join(repair(here))
    assert re.search(problem, repaired)
    assert git(here, "symbolic-ref", "HEAD") == "refs/heads/main"
    assert git(here, "status", "--porcelain").strip() == status
    assert git(here, "for-each-ref", "refs/stash", "refs/exps") == ""
    assert (here / "notes.txt").read_text() in ("old\n", "new\n")
    assert repair(here) == []


@pytest.mark.parametrize(
    ("message", "ref", "to"),
    [
        ("dvc: commit experiment 0123", "refs/exps/01/23/quick", "HEAD"),
        ("A preset", "refs/exps/01/23/quick", "HEAD"),
        ("A preset", "refs/exps/exec/EXEC_BASELINE", "main"),  # between its commit and its name
    ],
)
def test_after_a_kill_at_its_end_the_results_of_an_experiment_stay_in_the_workspace(
    here: Path, message: str, ref: str, to: str
) -> None:
    git(here, "checkout", "-q", "--detach", git(here, "rev-parse", "main"))
    (here / "params.yaml").write_text("epochs: 4\n")
    git(here, "commit", "-q", "-a", "-m", message)
    git(here, "update-ref", ref, to)
    if named := ref.endswith("quick"):
        git(here, "symbolic-ref", "refs/exps/exec/EXEC_BRANCH", ref)
    assert len(repair(here)) == 1
    assert git(here, "for-each-ref", "--format=%(refname)", "refs/exps") == named * ref
    assert not (here / ".git" / "refs" / "exps" / "exec" / "EXEC_BRANCH").exists()
    assert git(here, "symbolic-ref", "HEAD") == "refs/heads/main"
    assert git(here, "status", "--porcelain").strip() == "M params.yaml"


@pytest.mark.parametrize("own", [True, False])
def test_what_the_user_stashed_and_checked_out_stays(here: Path, own: bool) -> None:
    """With git's own stash, or long before the experiment with that of a program that uses the library of DVC."""
    (here / "notes.txt").write_text("new\n")
    (git(here, "stash", "-q") if own else stash_as_dvc(here))
    write_holder(here)
    if not own:
        lock = here / ".dvc" / "tmp" / "exps" / "rwlock"
        os.utime(lock, (time.time() + 100, time.time() + 100))  # the experiment came later
    git(here, "commit", "-q", "--allow-empty", "-m", "later")
    git(here, "checkout", "-q", git(here, "rev-parse", "main~1"))
    repair(here)
    assert git(here, "stash", "list") != ""
    assert git(here, "rev-parse", "--symbolic-full-name", "HEAD") == "HEAD"


def test_what_the_user_staged_after_an_experiment_stays(here: Path) -> None:
    leave_staged(here)
    git(here, "add", "notes.txt")
    os.utime(here / ".git" / "index")
    assert repair(here) == []
    assert git(here, "status", "--porcelain") == "M  notes.txt"


def test_files_that_were_edited_since_the_kill_are_left_to_the_user(here: Path) -> None:
    leave_stash(here)
    (here / "notes.txt").write_text("newer\n")
    assert len(repair(here)) == 2
    assert (here / "notes.txt").read_text() == "newer\n"
    assert git(here, "stash", "list") != ""


@contextmanager
def running_dvc(here: Path, command: str, folder: Path = Path()) -> Iterator[None]:
    """A process that looks like dvc at work in a folder."""
    (here / folder).mkdir(parents=True, exist_ok=True)
    script = here / ".dvc" / "dvc"
    script.write_text("import time; print(flush=True); time.sleep(60)")
    process = subprocess.Popen([sys.executable, script, *command.split()], cwd=here / folder, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    yield
    process.kill()
    process.communicate()


def test_nothing_is_repaired_while_dvc_works(here: Path) -> None:
    empty_lock(here)
    with running_dvc(here, "exp show"):
        assert repair(here) == []
        with alone(here, "mnist reset"):
            assert (here / ".dvc" / "tmp" / "rwlock").read_bytes() == b""
    with running_dvc(here, "exp run", CLONES / "host-0"), alone(here, "mnist reset"):  # another repository
        assert not (here / ".dvc" / "tmp" / "rwlock").exists()


def test_commands_that_change_the_workspace_exclude_each_other(here: Path) -> None:
    with running_dvc(here, "repro"), pytest.raises(PipelineError, match=r"^dvc is at work here"), alone(here, "a"):
        pass
    busy = pytest.raises(PipelineError, match=r"^mnist preset \(process \d+\) is at work here; wait for its end")
    with alone(here, "mnist preset"), busy, alone(here, "mnist reset"):
        pass
    with alone(here, "mnist reset"):
        pass
