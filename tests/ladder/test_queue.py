"""The runs of the ladder: which are done, and how the others go through DVC's queue."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mnist_pipeline.cli.main import main
from mnist_pipeline.core.errors import PipelineError
from mnist_pipeline.ladder import done, queue
from mnist_pipeline.ladder.done import check_ready, finished
from mnist_pipeline.ladder.queue import Outcome, run_all, seconds_of
from mnist_pipeline.ladder.spec import Ladder, Run, load_ladder
from mnist_pipeline.provenance.dvc import cached_output
from mnist_pipeline.provenance.recovery import exclusive
from tests.ladder.runs import make_ladder
from tests.repository import ROWS, Repository, git, make_experiment, make_quick_repository

RUNGS: dict[str, Any] = {
    "base": {"overrides": {"train.epochs": 1}},
    "longer": {"builds_on": "base", "overrides": {"train.epochs": 3}},
    "unlucky": {"builds_on": "base", "overrides": {"train.epochs": 13}},
    "lost": {},
}
RUN = Run("longer", 1)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """A pipeline and a ladder, of which the experiment longer-1 is done."""
    repository = make_quick_repository(tmp_path_factory.mktemp("original"))
    ladder = make_ladder(repository.path, RUNGS, seeds=2)
    (repository.path / "README.md").write_text("The ladder\n")
    repository.commit("A ladder")
    make_experiment(repository, RUN.name, {**ladder.overrides[RUN.rung], "train.seed": RUN.seed})
    return repository


@pytest.fixture
def repository(original: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    """A copy, in which commands run in this process."""
    repository = Repository(tmp_path / "clone")
    shutil.copytree(original.path, repository.path, symlinks=True)
    for name, value in repository.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(repository.path)
    return repository


def load(repository: Repository) -> Ladder:
    return load_ladder(repository.path / "experiments.yaml", repository.path / "params.yaml")


def commits_of(repository: Repository, name: str) -> list[str]:
    return git(repository.path, "for-each-ref", "--format=%(objectname)", f"refs/exps/*/*/{name}").split()


@pytest.mark.parametrize(
    ("name", "edit", "committed", "stands"),
    [
        ("code/stage.py", ("import json", "import  json"), False, False),
        ("code/stage.py", ("import json", "import  json"), True, False),
        ("code/new.py", ("", "# of a folder that stages depend on"), True, False),
        ("README.md", ("ladder", "rungs"), False, True),
        ("README.md", ("ladder", "rungs"), True, True),
        ("params.yaml", ("mistakes: 20", "mistakes: 30"), False, True),
        ("params.yaml", ("batch_size: 128", "batch_size: 64"), False, False),
        ("dvc.lock", (hashlib.md5(ROWS.encode()).hexdigest(), "d" * 32), True, False),
        ("experiments.yaml", ("train.epochs: 3", "train.epochs: 4"), False, False),
    ],
)
def test_an_experiment_stands_until_its_code_data_or_params_change(
    repository: Repository, name: str, edit: tuple[str, str], committed: bool, stands: bool
) -> None:
    runs = [Run("longer", 0), RUN, Run("base", 1)]
    (commit,) = commits_of(repository, RUN.name)
    assert finished(repository.path, load(repository), runs) == {RUN: commit}
    path = repository.path / name
    path.write_text((path.read_text("utf-8") if path.exists() else "").replace(*edit), "utf-8")
    if committed:
        repository.commit("A change")
    assert finished(repository.path, load(repository), runs) == ({RUN: commit} if stands else {})


def test_of_several_experiments_of_a_name_the_one_that_stands_is_found(repository: Repository) -> None:
    (commit,) = commits_of(repository, RUN.name)
    repository.commit("Later")
    make_experiment(repository, RUN.name, {"train.epochs": 5, "train.seed": 1})
    assert len(commits_of(repository, RUN.name)) == 2
    assert finished(repository.path, load(repository), load(repository).runs()) == {RUN: commit}


def test_a_ladder_needs_committed_changes_and_data(repository: Repository) -> None:
    check_ready(repository.path)
    (repository.path / "data" / "prepared" / "train.txt").unlink()
    with pytest.raises(PipelineError, match=r"data/prepared/train\.txt is missing.*run dvc repro"):
        check_ready(repository.path)
    (repository.path / "rows.txt").write_text("other rows")
    with pytest.raises(PipelineError, match=r"commit or stash rows\.txt"):
        check_ready(repository.path)


FAKE_DVC = r"""
import json, subprocess, sys
from pathlib import Path

state = Path("queue.json")
tasks = json.loads(state.read_text())
words = sys.argv[1:]
with Path("calls.txt").open("a") as calls:
    print(*words[:4], file=calls)
match words[:2]:
    case ["queue", "status"]:
        print("Task     Name        Created    Status")
        for task, name, status in tasks:
            print(f"{task:<9}{name:<12}07:00 PM   {status}")
        print("\nWorker status: 0 active, 0 idle")
    case ["queue", "kill"]:
        tasks = [task for task in tasks if task[0] != words[3]]
    case ["queue", "start"]:
        for task in tasks:
            if task[1] != "lost-0" and task[2] == "Queued":
                task[2] = "Failed" if task[1] == "unlucky-0" else "Success"
            if task[2] == "Success":
                subprocess.run(["git", "update-ref", f"refs/exps/aa/bb/{task[1]}", "HEAD"], check=True)
    case ["queue", "logs"]:
        print("\n".join(["first", *["line"] * 20, "train: 2 epochs in 2.5 s"]))
    case ["exp", "run"] if Path("busy").exists():
        Path("busy").unlink()
        sys.exit("ERROR: 'refs/exps/celery/stash' is busy, it is being blocked by:\n  (PID 1): dvc")
    case ["exp", "run"]:
        tasks.append([f"new{len(tasks)}", words[words.index("--name") + 1], "Queued"])
state.write_text(json.dumps(tasks))
"""
RunFake = Callable[..., tuple[list[Outcome], list[str]]]


@pytest.fixture
def run_fake(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> RunFake:
    """Run rungs with a fake of DVC, whose queue has some tasks and no worker; the outcomes, and DVC's commands."""
    (repository.path / "dvc").mkdir()  # `python -m dvc` looks in the current folder first
    (repository.path / "dvc" / "__init__.py").touch()
    (repository.path / "dvc" / "__main__.py").write_text(FAKE_DVC)
    (repository.path / "queue.json").write_text("[]")
    for name, seconds in (("POLL_SECONDS", 0.0), ("STATUS_SECONDS", 0.0), ("LOST_AFTER_SECONDS", 0.1)):
        monkeypatch.setattr(queue, name, seconds)
    monkeypatch.setattr(queue, "done_with", lambda _, __, runs, commit: dict.fromkeys(runs, commit))

    def run(names: list[str], tasks: list[list[str]]) -> tuple[list[Outcome], list[str]]:
        (repository.path / "queue.json").write_text(json.dumps(tasks))
        outcomes = list(run_all(repository.path, load(repository), [Run(name, 0) for name in names], 2))
        return outcomes, (repository.path / "calls.txt").read_text().splitlines()

    return run


def test_queued_runs_are_waited_for_and_running_ones_without_a_worker_are_run_again(run_fake: RunFake) -> None:
    """As after Ctrl-C, and after a power cut, when DVC still calls them running."""
    tasks = [["a1", "base-0", "Queued"], ["a2", "longer-0", "Running"], ["a3", "base-0", "Failed"]]
    outcomes, calls = run_fake(["base", "longer"], tasks)
    assert sorted(outcome.run.name for outcome in outcomes if outcome.commit) == ["base-0", "longer-0"]
    assert "queue kill --force a2" in calls
    assert calls.count("exp run --queue --force") == 1


def test_a_run_is_queued_again_while_a_worker_holds_the_lock_of_dvc(repository: Repository, run_fake: RunFake) -> None:
    (repository.path / "busy").touch()
    (outcome,), calls = run_fake(["base"], [])
    assert outcome.commit is not None
    assert calls.count("exp run --queue --force") == 2


def test_workers_that_end_are_started_again_a_few_times(run_fake: RunFake) -> None:
    (outcome,), calls = run_fake(["lost"], [])
    assert outcome.commit is None
    assert "it left the queue without a result" in outcome.log
    assert calls.count("queue start --jobs 1") == 1 + queue.MOST_RESTARTS


def test_a_run_of_other_settings_is_no_result(run_fake: RunFake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "done_with", done.done_with)  # the experiment of the fake has the params of HEAD
    (outcome,), _ = run_fake(["base"], [])
    assert outcome.commit is None
    assert outcome.log == "it ran with other code, data or settings than the last commit has"


def test_settings_that_change_while_runs_are_queued_stop_it(
    repository: Repository, run_fake: RunFake, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue_one = queue._queue

    def edit_and_queue(*arguments: Any) -> None:
        queue_one(*arguments)
        (repository.path / "params.yaml").write_text("edited")

    monkeypatch.setattr(queue, "_queue", edit_and_queue)
    with pytest.raises(PipelineError, match=r"uncommitted changes; commit or stash params\.yaml"):
        run_fake(["base", "longer"], [])
    assert (repository.path / "calls.txt").read_text().count("exp run") == 1


def test_one_ladder_runs_at_a_time(repository: Repository, run_fake: RunFake) -> None:
    with (
        exclusive(repository.path, "ladder", "mnist ladder run"),
        pytest.raises(PipelineError, match=r"^mnist ladder run \(process \d+\) is at work here; wait for its end"),
    ):
        run_fake(["base"], [])


def test_what_dvc_gc_removed_is_run_again(repository: Repository) -> None:
    runs, (commit,) = [RUN], commits_of(repository, RUN.name)
    assert finished(repository.path, load(repository), runs) == {RUN: commit}
    cached_output(repository.path, commit, "models/steps.csv").unlink()
    assert finished(repository.path, load(repository), runs) == {}


@pytest.mark.parametrize("place", ["shallow", "grün", "100%"])
def test_a_place_where_dvc_loses_runs_is_refused(repository: Repository, tmp_path: Path, place: str) -> None:
    clone = tmp_path / place
    depth = ["--depth", "1"] if place == "shallow" else []
    git(tmp_path, "clone", "-q", *depth, f"file://{repository.path}", str(clone))
    with pytest.raises(PipelineError, match=r"^DVC's queue loses runs in "):
        check_ready(clone)


@pytest.mark.usefixtures("run_fake")
def test_the_command_prints_each_outcome_and_fails_with_a_run(
    repository: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    git(repository.path, "update-ref", "refs/exps/cc/dd/base-0", "HEAD~1")
    with pytest.raises(SystemExit) as ended:
        main(["ladder", "run", "base", "unlucky", "--jobs", "2", "--seeds", "1"])
    assert "mnist ladder: 1 of 2 failed: unlucky-0; run the command again" in str(ended.value.code)
    printed = capsys.readouterr().out
    assert printed.startswith("2 runs, 0 of them done, 2 at once\n")
    assert "base-0                   test accuracy 0.1000" in printed
    assert "unlucky-0                FAILED; the end of its log:\n    line\n" in printed
    assert "\n    train: 2 epochs in 2.5 s\n" in printed
    head = git(repository.path, "rev-parse", "HEAD")
    assert commits_of(repository, "base-0") == [head]  # the earlier one is gone
    assert seconds_of(repository.path, head) == 2.5
    assert seconds_of(repository.path, "0" * 40) is None


@pytest.mark.slow
def test_dvcs_queue_itself_runs_a_ladder(repository: Repository) -> None:
    make_experiment(repository, "longer-0", {"train.epochs": 5})
    repository.commit("Later")
    running = repository.start("mnist ladder run longer unlucky --jobs 2 --seeds 1")
    printed, _ = running.communicate()
    assert running.returncode == 1
    assert "longer-0                 test accuracy 0.1500" in printed
    assert "    train: 13 epochs bring bad luck" in printed
    (commit,) = commits_of(repository, "longer-0")
    assert finished(repository.path, load(repository), [Run("longer", 0)]) == {Run("longer", 0): commit}
    assert git(repository.path, "log", "-1", "--format=%s", commit) == "Longer (seed 0): To see."
    assert seconds_of(repository.path, commit) == 2.5
    assert repository.run("mnist ladder run longer --jobs 2 --seeds 1") == "1 runs, 1 of them done, 2 at once\n"
