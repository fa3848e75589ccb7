"""The comment on a pull request, as the script of the workflow writes it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT
from tests.experiments.repository import make_experiments
from tests.repository import git


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Experiments base-0 and good-0, among others."""
    return make_experiments(tmp_path_factory.mktemp("repository"))


def comment(repository: Path, before: str, after: str, folder: Path) -> str:
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    command = ["bash", str(ROOT / ".github" / "compare.sh"), before, after, str(folder)]
    subprocess.run(command, cwd=repository, env=environment, check=True)
    return (folder / "comment.md").read_text("utf-8")


@pytest.mark.slow
def test_the_comment_has_the_verdict_under_short_names(repository: Path, tmp_path: Path) -> None:
    refs = git(repository, "for-each-ref", "--format=%(objectname) %(refname)", "refs/exps").splitlines()
    commits = {line.rpartition("/")[2]: line.split()[0] for line in refs}
    before, after = commits["base-0"], commits["good-0"]
    text = comment(repository, before, after, tmp_path)
    assert text.startswith("<!-- mnist compare -->\n")
    assert f"{after[:10]} is better than {before[:10]}." in text
    assert "McNemar" in text
    assert before not in text


@pytest.mark.slow
def test_commits_that_cannot_be_compared_get_a_comment_that_says_why(repository: Path, tmp_path: Path) -> None:
    before = git(repository, "rev-list", "--max-parents=0", "HEAD")
    text = comment(repository, before, git(repository, "rev-parse", "HEAD"), tmp_path)
    assert "cannot be compared" in text
    assert "    mnist compare: " in text


def test_the_job_that_runs_the_code_cannot_write_and_the_one_that_writes_runs_none_of_it() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "compare.yml").read_text("utf-8"))
    jobs = workflow["jobs"]
    assert jobs["compare"]["permissions"] == {"contents": "read"}
    assert jobs["comment"]["permissions"] == {"pull-requests": "write"}
    assert not any("checkout" in step.get("uses", "") for step in jobs["comment"]["steps"])
    assert "head.repo.full_name == github.repository" in jobs["comment"]["if"]
    assert "pull_request_target" not in workflow[True]  # YAML 1.1 reads "on" as true
