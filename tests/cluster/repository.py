"""A repository whose runs take no time: a pretence of DVC computes in `dvc exp run` and does nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import psutil

from mnist_pipeline.cluster.jobs import Job, Locations
from tests.repository import git

PRETENCE = """
import json, os, subprocess, sys
from pathlib import Path

words = sys.argv[1:]
with Path(".git/calls").open("a") as calls:
    print(*words[:2], file=calls)
if words[:2] == ["exp", "run"]:
    settings = dict(word.split("=") for flag, word in zip(words, words[1:]) if flag == "--set-param")
    if settings["seed"] == "13":
        sys.exit("train: 13 brings bad luck")
    name = words[words.index("--name") + 1]
    commit = subprocess.check_output(["git", "rev-parse", "HEAD"], text=True).strip()
    Path("params.yaml").write_text(f"seed: {settings['seed']}\\n")
    Path("metrics.json").write_text(json.dumps({"score": int(settings["seed"]) + int(os.environ.get("WRONG", "0"))}))
    Path("dvc.lock").write_text(f"stages: {{train: {{outs: [{{path: model, md5: a{settings['seed']}}}]}}}}\\n")
    print("train: 2 epochs in 2.5 s")
    subprocess.run("git commit -qam result", shell=True, check=True)
    subprocess.run(["git", "update-ref", f"refs/exps/{commit[:2]}/{commit[2:]}/{name}", "HEAD"], check=True)
    subprocess.run(["git", "reset", "-q", "--hard", commit], check=True)
"""


@dataclass
class Origin:
    """A bare repository, and where its runs are."""

    folder: Path
    commit: str
    locations: Locations

    def job(self, seed: int, name: str = "") -> Job:
        return Job(name or f"run-{seed}", self.commit, (f"seed={seed}",))

    def refs(self, kind: str = "exps") -> list[str]:
        listed = git(self.folder / "origin", "for-each-ref", "--format=%(refname)", f"refs/{kind}")
        return [ref.split("/", 4)[4] for ref in listed.split()]


def make_origin(folder: Path) -> Origin:
    mine = folder / "mine"
    for path, text in {
        "dvc/__init__.py": "",  # `python -m dvc` looks in the current folder first
        "dvc/__main__.py": PRETENCE,
        "params.yaml": "seed: 0\n",
        "metrics.json": "{}",
        "dvc.lock": "stages: {train: {outs: [{path: model, md5: a0}]}}\n",
        "requirements.lock": f"psutil=={psutil.__version__}\nother==1 ; python_version < '3'\n",
        ".dvc/config": "",
        ".gitignore": ".dvc/config.local\n",
    }.items():
        (mine / path).parent.mkdir(parents=True, exist_ok=True)
        (mine / path).write_text(text)
    git(mine, "init", "-q", "-b", "main")
    git(mine, "add", ".")
    git(mine, "commit", "-q", "-m", "First")
    git(folder, "clone", "-q", "--bare", "mine", "origin")
    locations = Locations(str(folder / "origin"), str(folder / "clones"))
    return Origin(folder, git(mine, "rev-parse", "HEAD"), locations)
