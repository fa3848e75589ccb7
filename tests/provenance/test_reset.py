"""`mnist reset`: back to the last commit; what nothing else keeps is lost only after a yes."""

from __future__ import annotations

import hashlib
import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import yaml

from mnist_pipeline.cli.main import main
from mnist_pipeline.core.yaml import read_yaml
from mnist_pipeline.params.overrides import with_overrides
from mnist_pipeline.provenance import dvc, reset
from tests.repository import Repository, git, make_quick_repository, name_experiment

OUTS = [{"path": path, "md5": "0" * 32} for path in ("metrics/train.json", "models/steps.csv")]
LOCK = yaml.safe_dump({"stages": {"train": {"outs": OUTS}}})
NOTHING = "Nothing to reset: settings and results are those of the last commit.\n"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with a result in git and one in DVC's cache; dvc finds no changed data."""
    git(tmp_path, "init", "-q", "-b", "main")
    (tmp_path / "metrics").mkdir()
    texts = {"params.yaml": "epochs: 3", "dvc.lock": LOCK, "metrics/train.json": "0.5", "metrics/ladder.csv": "1"}
    for name, text in (texts | {"notes.txt": "old"}).items():
        (tmp_path / name).write_text(text)
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "base")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    print_by_dvc(monkeypatch)
    return tmp_path


def print_by_dvc(monkeypatch: pytest.MonkeyPatch, **status: Any) -> list[tuple[str, ...]]:
    """Let dvc print this data status; the list of its calls."""
    calls: list[tuple[str, ...]] = []

    def run_dvc(_: Path, *arguments: str) -> str:
        calls.append(arguments)
        return {"data": json.dumps(status), "cache": ".dvc/cache"}.get(arguments[0], "")

    for module in (dvc, reset):
        monkeypatch.setattr(module, "run_dvc", run_dvc)
    return calls


def keep(folder: Path, name: str) -> None:
    """Keep the workspace as an experiment."""
    git(folder, "commit", "-q", "-a", "-m", name)
    name_experiment(folder, name, "HEAD")
    git(folder, "reset", "-q", "--soft", "HEAD~1")
    git(folder, "reset", "-q")


def change(folder: Path) -> None:
    for name, text in (("params.yaml", "epochs: 4"), ("metrics/train.json", "0.6"), ("metrics/ladder.csv", "2")):
        (folder / name).write_text(text)


def test_what_an_experiment_has_is_reset_and_other_files_stay(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change(here)
    keep(here, "four")
    main(["reset"])
    summary, others = capsys.readouterr().out.splitlines()
    assert summary.endswith("): params.yaml, 1 result.")
    assert others == "Left as they are: metrics/ladder.csv."
    assert [(here / name).read_text() for name in ("params.yaml", "metrics/train.json")] == ["epochs: 3", "0.5"]
    assert (here / "metrics/ladder.csv").read_text() == "2"
    git(here, "checkout", "metrics/ladder.csv")
    main(["reset"])
    assert capsys.readouterr().out == NOTHING


@pytest.mark.parametrize(("answer", "epochs"), [("", 4), ("n", 4), ("y", 3)])
def test_what_nothing_else_has_is_lost_only_after_a_yes(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, answer: str, epochs: int
) -> None:
    change(here)
    git(here, "add", "params.yaml")  # staged, which a plain git checkout would leave
    monkeypatch.setattr("builtins.input", lambda _: answer)
    with nullcontext() if answer == "y" else pytest.raises(SystemExit, match="1"):
        main(["reset"])
    assert capsys.readouterr().out.splitlines()[:3] == [
        "No experiment and no commit has:", "  settings: epochs=4", "  results: metrics/train.json",
    ]  # fmt: skip
    assert (here / "params.yaml").read_text() == f"epochs: {epochs}"


def test_without_a_terminal_nothing_is_lost_unless_yes_was_given(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    change(here)
    monkeypatch.setattr("sys.stdin.isatty", lambda: False)
    with pytest.raises(SystemExit, match="no experiment and no commit has settings: epochs=4; results: metrics/train"):
        main(["reset"])
    assert (here / "params.yaml").read_text() == "epochs: 4"
    main(["reset", "--yes"])
    assert (here / "params.yaml").read_text() == "epochs: 3"


def test_what_dvcs_queue_will_remove_again_is_no_experiment(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    change(here)
    keep(here, "four")
    (ref,) = git(here, "for-each-ref", "--format=%(refname)", "refs/exps").split()
    git(here, "update-ref", "refs/exps/celery/failed", ref)
    git(here, "update-ref", "-d", ref)
    monkeypatch.setattr("sys.stdin.isatty", lambda: False)
    with pytest.raises(SystemExit, match="settings: epochs=4"):
        main(["reset"])


def test_data_are_checked_out_and_lost_only_if_the_cache_lacks_them(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "models").mkdir()
    (here / "models/steps.csv").write_text("new")
    calls = print_by_dvc(monkeypatch, uncommitted={"modified": ["models/steps.csv"]})
    monkeypatch.setattr("sys.stdin.isatty", lambda: False)
    with pytest.raises(SystemExit, match=r"results: models/steps\.csv; dvc exp save -n NAME keeps it"):
        main(["reset"])
    assert "checkout" not in {call[0] for call in calls}
    md5 = hashlib.md5(b"new").hexdigest()
    cached = here / ".dvc/cache/files/md5" / md5[:2] / md5[2:]
    cached.parent.mkdir(parents=True)
    cached.write_text("new")
    main(["reset"])
    assert capsys.readouterr().out.endswith("): 1 data file.\n")
    assert calls[-1] == ("checkout",)
    print_by_dvc(monkeypatch, uncommitted={"deleted": ["models/steps.csv"]}, not_in_cache=["models/steps.csv"])
    main(["reset"])
    assert capsys.readouterr().out == NOTHING


def test_in_a_subfolder_it_says_where_to_run(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(here / "metrics")
    with pytest.raises(SystemExit, match=f"must run in the root folder of the repository, was .*; run cd {here}"):
        main(["reset"])


@pytest.mark.slow
def test_with_dvc_itself_after_experiments_that_failed_or_were_applied(tmp_path: Path) -> None:
    repository = make_quick_repository(tmp_path / "repository")
    before = repository.run("git rev-parse HEAD:metrics"), (tmp_path / "repository/models/steps.csv").read_bytes()
    run = "mnist reset < /dev/null"
    repository.run("dvc exp run -n four -S train.epochs=4")
    repository.run(run)
    repository.run("dvc exp apply four")
    assert _is_reset(repository, run, before)
    repository.run(f"! dvc exp run -S train.epochs=13; ! {run}")
    assert read_yaml(repository.path / "params.yaml")["train"]["epochs"] == 13
    assert _is_reset(repository, run.replace("reset", "reset --yes"), before)
    content = with_overrides(read_yaml(repository.path / "params.yaml"), {"train.epochs": 5})
    (repository.path / "params.yaml").write_text(yaml.safe_dump(content))
    repository.run("dvc repro")
    repository.run(f"! {run}")
    repository.run("dvc exp save -n saved")
    assert _is_reset(repository, run, before)


def _is_reset(repository: Repository, command: str, before: tuple[str, bytes]) -> bool:
    printed = repository.run(command)
    assert printed.startswith("Reset to the last commit")
    assert repository.run("git status --porcelain") == ""
    assert "up to date" in repository.run("dvc status")
    return before[1] == (repository.path / "models/steps.csv").read_bytes()
