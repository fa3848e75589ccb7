"""A repository of the pipeline with tiny data, in which commands run as a user would type them."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from tests.conftest import ROOT, synthetic_dataset, write_csv_file

COPIED = (
    "dvc.yaml",
    "requirements.lock",
    "stages",
    "src",
    ".dvc/config",
    ".dvc/plots.html",
    ".dvcignore",
    ".gitignore",
    "data/own/.gitkeep",
)


class Repository:
    """A clone in which commands run as a user would type them."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def environment(self) -> dict[str, str]:
        """This process's, with this Python's commands first and no settings of the user's."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "DVC_"))}
        environment |= {
            "PATH": f"{Path(sys.executable).parent}:{environment['PATH']}",
            "GIT_CONFIG_GLOBAL": os.devnull,
            **{
                f"GIT_{role}_{what}": "test@localhost" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
            },
        }
        return environment

    def run(self, command: str) -> str:
        """Run a command line, which must succeed; its standard output."""
        ran = subprocess.run(
            command, shell=True, cwd=self.path, env=self.environment, capture_output=True, text=True, check=False
        )
        assert ran.returncode == 0, f"{command}\n{ran.stdout}\n{ran.stderr}"
        return ran.stdout

    def start(self, command: str) -> subprocess.Popen[str]:
        """Start a command line and leave it running, in a process group of its own."""
        return subprocess.Popen(
            command,
            shell=True,
            cwd=self.path,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def metrics(self) -> Any:
        return json.loads((self.path / "metrics" / "test.json").read_text("utf-8"))

    def lock(self) -> str:
        return (self.path / "dvc.lock").read_text("utf-8")


def make_repository(folder: Path, data: Path, epochs: int = 3) -> Repository:
    """The pipeline for images of 8 × 8 pixels, run once and committed."""
    for name in COPIED:
        source, target = ROOT / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        else:
            shutil.copyfile(source, target)
    write_csv_file(data / "mnist_train.csv", synthetic_dataset(600, seed=0))
    write_csv_file(data / "mnist_test.csv", synthetic_dataset(200, seed=1))
    params: Any = yaml.safe_load((ROOT / "params.yaml").read_text("utf-8"))
    params["fetch"]["sources"] = [{"kind": "folder", "path": str(data)}]
    for split in ("train", "test"):
        params["fetch"]["sha256"][split] = hashlib.sha256((data / f"mnist_{split}.csv").read_bytes()).hexdigest()
    params["csv"] |= {"image_side": 8, "rows": {"train": 600, "test": 200}}
    params["data"]["validation_size"] = 100
    params["train"] |= {"epochs": epochs, "batch_size": 20}
    (folder / "params.yaml").write_text(yaml.safe_dump(params), "utf-8")
    repository = Repository(folder)
    repository.run("git init -q -b main")
    repository.run("dvc repro")
    repository.run("git add . && git commit -q -m 'First run'")
    return repository
