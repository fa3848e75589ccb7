"""The commands that the pages show run as they stand there: minutes long. Those of docs/sharing.md need two clones."""

from __future__ import annotations

import re
import shutil
import time
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.repository import Repository, make_repository

PAGES = [page for page in sorted((ROOT / "docs").glob("*.md")) if page.name != "sharing.md"]
NOT_RUN = ("make ", "mnist ladder", "mnist compare leaky-relu-0", "mnist predict")
"""What .ci/run or a test of the command runs."""


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    repository = make_repository(tmp_path_factory.mktemp("original"), tmp_path_factory.mktemp("data"))
    shutil.copyfile(ROOT / "experiments.yaml", repository.path / "experiments.yaml")
    shutil.copytree(ROOT / "docs", repository.path / "docs")
    repository.commit("Pages and presets")
    return repository


def wait_for_the_queue(repository: Repository) -> None:
    deadline = time.monotonic() + 300
    while re.search("Running|Queued|Failed", states := repository.run("dvc queue status")):
        assert "Failed" not in states, states
        assert time.monotonic() < deadline, states
        time.sleep(1)


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_of_a_page_run_one_after_the_other(original: Repository, tmp_path: Path, page: Path) -> None:
    blocks = re.findall(r"```console\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
    lines = [line.removeprefix("$ ") for block in blocks for line in block.splitlines() if line.startswith("$ ")]
    commands = [re.sub(r"\s+# .*", "", line) for line in lines if not line.startswith(NOT_RUN)]
    repository = Repository(tmp_path / "clone")
    shutil.copytree(original.path, repository.path, symlinks=True)
    for command in commands:
        print(f"$ {command}\n{repository.run(command)}")
        if command.startswith("dvc queue start"):
            wait_for_the_queue(repository)
    named = set(re.findall(r"exp run .*-n (\S+)", "\n".join(commands)))
    removed = set(re.findall(r"exp remove (\S+)", "\n".join(commands)))
    assert named - removed <= set(repository.run("dvc exp list --name-only").split())
