"""The commands that the pages show: each runs here, as it stands there, or another test runs it.

Minutes long: `make test-slow`.
"""

from __future__ import annotations

import re
import shlex
import shutil
import time
from pathlib import Path

import pytest
import yaml

from mnist_pipeline.cli.main import make_parser
from tests.conftest import ROOT
from tests.repository import Repository, make_repository

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
RUN_HERE = ("pipeline.md", "experiments.md", "own-data.md")

# By what a command begins with: the file that runs it, and what stands there. (.ci/run: the real thing.)
ELSEWHERE = {
    "git clone": (".ci/run", "fresh clone"),
    "make repro": (".ci/run", "make repro"),
    "make test": (".ci/run", "make check"),
    "make verify": (".ci/run", "make verify"),
    "mnist predict": ("tests/test_predict.py", '"predict"'),
    "mnist preset": ("tests/test_preset.py", '"preset"'),
    "mnist ladder": ("tests/test_experiments.py", "mnist ladder run"),
}
SHARING = "tests/test_sharing.py"


def commands_of(page: Path) -> list[str]:
    """The command lines in a page's blocks for a console, without comments."""
    blocks = re.findall(r"```console\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines() if line.startswith("$ ")]
    return [re.sub(r"\s+# .*", "", line.removeprefix("$ ")) for line in lines]


def elsewhere(command: str) -> tuple[str, str] | None:
    return next((place for start, place in ELSEWHERE.items() if command.startswith(start)), None)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_of_a_page_is_run_somewhere(page: Path) -> None:
    commands = commands_of(page)
    for command in commands:
        if command.startswith("mnist "):
            words = shlex.split(command)[1:]
            make_parser(words[:1]).parse_args(words)  # exits where a flag or a name is not known
        if place := elsewhere(command):
            assert place[1] in (ROOT / place[0]).read_text("utf-8"), command
        elif page.name == "sharing.md":
            start = " ".join(command.split()[:3])
            verb = start.removesuffix(" --default").removesuffix(" --local")
            assert verb in (ROOT / SHARING).read_text("utf-8"), command
        else:
            shown = [each for name in RUN_HERE for each in commands_of(ROOT / "docs" / name)]
            assert command in shown, command


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    return make_repository(tmp_path_factory.mktemp("original"), tmp_path_factory.mktemp("data"))


@pytest.mark.slow
@pytest.mark.parametrize("name", RUN_HERE)
def test_commands_run_as_they_stand_there(original: Repository, tmp_path: Path, name: str) -> None:
    repository = Repository(tmp_path / "clone")
    shutil.copytree(original.path, repository.path, symlinks=True)
    (repository.path / "docs").mkdir()
    shutil.copyfile(ROOT / "docs" / "digits.py", repository.path / "docs" / "digits.py")
    for command in commands_of(ROOT / "docs" / name):
        if elsewhere(command) is not None:
            continue
        said = repository.run(command)
        print(f"$ {command}\n{said}")
        if command.startswith("dvc queue start"):
            wait_for_the_queue(repository)
    found = repository.run("dvc exp list --name-only").split()
    if name == "experiments.md":
        assert {"adam", "lr-low", "lr-high"} <= set(found)
        assert "wide" not in found
    if name == "own-data.md":
        assert {"digits", "digits-cnn"} <= set(found)
        assert repository.metrics()["accuracy"] > 0.95


@pytest.mark.slow
def test_a_preset_runs_as_an_experiment_of_its_name(original: Repository, tmp_path: Path) -> None:
    repository = Repository(tmp_path / "clone")
    shutil.copytree(original.path, repository.path, symlinks=True)
    shutil.copyfile(ROOT / "experiments.yaml", repository.path / "experiments.yaml")
    repository.run("dvc exp run -S model.optimizer=adam")
    repository.run("mnist preset mlp-10s -S train.epochs=1")
    assert "mlp-10s" in repository.run("dvc exp list --name-only").split()
    params = yaml.safe_load((repository.path / "params.yaml").read_text("utf-8"))
    assert (params["model"]["optimizer"], params["data"]["deskew"], params["train"]["epochs"]) == ("sgd", True, 1)
    repository.run("mnist preset mlp-10s --force -S train.epochs=2")  # without --force DVC refuses a name that is taken
    repository.run("mnist preset mlp-10s -n mine -S train.epochs=1 -S train.seed=1")
    assert {"mlp-10s", "mine"} <= set(repository.run("dvc exp list --name-only").split())


def wait_for_the_queue(repository: Repository) -> None:
    for _ in range(300):
        states = repository.run("dvc queue status")
        if "Running" not in states and "Queued" not in states:
            assert "Failed" not in states, states
            return
        time.sleep(1)
    pytest.fail("the queue took over five minutes")
