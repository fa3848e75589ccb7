"""The commands that the pages show run as they stand there: minutes long."""

from __future__ import annotations

import re
import shutil
import time
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.repository import LONGEST_SECONDS, Repository, git, make_repository

NOT_RUN = re.compile(
    "make |mnist ladder|mnist compare ('?default|a,b)|mnist predict"  # .ci/run or a test of the command runs them
    "|dvc remote add .*(ssh|webdavs|s3):|dvc remote modify"  # these need servers
)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """The pipeline with the presets and pages, and an origin."""
    repository = make_repository(tmp_path_factory.mktemp("original"), tmp_path_factory.mktemp("data"))
    shutil.copyfile(ROOT / "experiments.yaml", repository.path / "experiments.yaml")
    shutil.copyfile(ROOT / "sweep.yaml", repository.path / "sweep.yaml")
    shutil.copytree(ROOT / "docs", repository.path / "docs")
    repository.commit("Pages and presets")
    return repository


@pytest.mark.slow
@pytest.mark.parametrize("page", sorted((ROOT / "docs").glob("*.md")), ids=lambda page: page.name)
def test_commands_of_a_page_run_one_after_the_other(original: Repository, tmp_path: Path, page: Path) -> None:
    blocks = re.findall(r"```console\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
    lines = [
        line.removeprefix("$ ")
        for block in blocks
        for line in block.splitlines()
        if line.startswith("$ ") and "# example" not in line
    ]
    commands = [re.sub(r"\s+# .*", "", line) for line in lines if not NOT_RUN.match(line)]
    repository = Repository(tmp_path / "clone")
    shutil.copytree(original.path, repository.path, symlinks=True)
    git(tmp_path, "init", "-q", "--bare", "origin")
    repository.run("git remote add origin ../origin")
    for command in commands:
        if command == "dvc pull":  # whoever else has cloned it
            git(tmp_path, "clone", "-q", "-b", "main", "origin", "theirs")
            repository = Repository(tmp_path / "theirs")
        here = command.replace("/mnt/shared/mnist", str(tmp_path / "storage"))
        repository.run(here.replace("-j 2", "-j 1"))  # several workers lose a run now and then: dvc#10673
        if command.startswith("dvc remote add"):
            repository.commit("A remote")
            repository.run("git push -q origin main")
        if command.startswith("dvc queue start"):
            end = time.monotonic() + LONGEST_SECONDS
            while re.search("Running|Queued", states := repository.run("dvc queue status")):
                assert time.monotonic() < end, states
                time.sleep(1)
            assert "Failed" not in states
