"""Where faults happen: small repositories, copied for each case, and what they must be again at its end."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

import psutil

from mnist_pipeline.core.yaml import parse_yaml
from tests.conftest import ROOT
from tests.ladder.runs import make_ladder
from tests.repository import Repository, git, make_quick_repository, make_repository

STUCK_SECONDS = 60
TRACEBACK = "Traceback (most recent call last)"
(RECIPE,) = re.findall(r"^repro:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
MAKE_REPRO = " && ".join(re.findall(r"\$\(RUN\) ([^#\n]+)", RECIPE))


class Wrong(Exception):  # noqa: N818
    """A case that did not end as it must: how (silent, traceback, stuck, lost), and the details."""

    def __init__(self, how: str, details: str) -> None:
        super().__init__(f"{how}: {details}")
        self.how = how


class World(Repository):
    """A copy of a repository, which has a folder for temporary files and DVC's state of its own beside it."""

    def __init__(self, base: Path, folder: Path) -> None:
        super().__init__(folder / "repository")
        self.folder = folder
        (folder / "tmp").mkdir(parents=True, exist_ok=True)
        subprocess.run(["cp", "-a", base, self.path], check=True)

    @property
    def environment(self) -> dict[str, str]:
        own = {"TMPDIR": str(self.folder / "tmp"), "DVC_SITE_CACHE_DIR": str(self.folder / "state")}
        return super().environment | own | {"OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}

    def ended(self, process: subprocess.Popen[str], command: str) -> tuple[int, str]:
        """Wait for a command: its exit status, and what it printed, which is no traceback."""
        crowd = max(1.0, os.getloadavg()[0] / len(os.sched_getaffinity(0)))  # slow beside others is not stuck
        try:
            printed, _ = process.communicate(timeout=STUCK_SECONDS * crowd)
        except subprocess.TimeoutExpired:
            raise Wrong("stuck", command) from None
        if TRACEBACK in printed:
            raise Wrong("traceback", f"{command}\n{printed}")
        return process.returncode, printed

    def must(self, command: str) -> None:
        """Run a command, which must succeed."""
        status, printed = self.ended(self.start(command), command)
        if status:
            raise Wrong("lost", f"{command}\n{printed}")

    def processes(self, pattern: str = "") -> list[psutil.Process]:
        """All processes that work here, in the background too, whose command matches a pattern."""
        found = []
        for process in psutil.process_iter(["cwd", "cmdline"]):
            inside = self.folder in Path(process.info["cwd"] or "/", "any").parents
            if inside and re.search(pattern, " ".join(process.info["cmdline"] or [])):
                found.append(process)
        return found

    def clear(self, *, unmount: bool) -> None:
        """End all that works here, and remove it."""
        while found := self.processes():
            for each in found:
                with suppress(psutil.Error):
                    each.kill()
            psutil.wait_procs(found, timeout=5)
        if unmount:
            subprocess.run(["umount", "--lazy", self.folder], check=True)
        shutil.rmtree(self.folder)

    def state(self) -> dict[str, str]:
        """What the repository is: outputs and files of git, its branch, what git holds back, finished experiments."""
        lock = parse_yaml((self.path / "dvc.lock").read_bytes(), "dvc.lock")
        outs = [out["path"] for stage in lock["stages"].values() for out in stage.get("outs", [])]
        names = [*outs, *git(self.path, "ls-files").split("\n")]
        files = {name: self.path / name for name in names}
        found = {name: hashlib.md5(file.read_bytes()).hexdigest() for name, file in files.items() if file.is_file()}
        refs = git(self.path, "for-each-ref", "--format=%(refname)", "refs/heads", "refs/stash", "refs/exps").split()
        experiments = {ref.split("/")[4]: ref for ref in refs if ref.count("/") == 4}
        found |= {f"exp {name}": git(self.path, "show", f"{ref}:dvc.lock") for name, ref in experiments.items()}
        left = [*self.path.rglob(".*.tmp"), *self.path.rglob("index.lock"), *self.folder.glob("tmp/*")]
        # onnxruntime's, and those of DVC, which git ignores and mnist doctor --fix removes
        left = [path for path in left if not re.fullmatch(r"\.ses|\.[\w-]{22}\.tmp", path.name)]
        return found | {
            "HEAD": (self.path / ".git" / "HEAD").read_text("utf-8"),
            "status": git(self.path, "status", "--porcelain"),
            "held back": " ".join(ref for ref in refs if ref in ("refs/stash", "refs/exps/stash")),
            "left": " ".join(map(str, left)),
        }


def difference(found: dict[str, str], expected: dict[str, str], command: str) -> str:
    """In what a state differs from an expected one; experiments that ``command`` does not run may be there or not."""
    runs = "mnist preset" in command or "mnist ladder run" in command
    keys = [key for key in {**expected, **found} if not key.startswith("exp ") or (runs and key in expected)]
    return "\n".join(
        f"{key}: {found.get(key)!r}, not {expected.get(key)!r}" for key in keys if found.get(key) != expected.get(key)
    )


def make_small(folder: Path) -> None:
    """Three stages that compute next to nothing, a ladder and a preset."""
    repository = make_quick_repository(folder)
    presets = {"quick": {"title": "A preset", "budget_seconds": 10, "overrides": {"train.epochs": 4}}}
    rungs = {"base": {}, "more": {"builds_on": "base", "overrides": {"train.epochs": 5}}}
    make_ladder(folder, rungs, seeds=1, presets=presets)
    (folder / "README.md").write_text("A text\n")
    (folder / "docs").mkdir()
    (folder / "docs" / "ladder.md").write_text("<!-- ladder -->\n<!-- /ladder -->\n")
    repository.commit("A ladder and a preset")


def make_ladder_done(folder: Path) -> None:
    """The same, with the runs of the ladder."""
    make_small(folder)
    repository = Repository(folder)
    repository.run("mnist ladder run && mnist ladder report")
    repository.commit("Results")


def make_real(folder: Path) -> None:
    """The pipeline itself, on images of 8 × 8 pixels, with the checkpoint of a training that was killed."""
    folder.mkdir()
    repository = make_repository(folder, folder.with_name("data"), epochs=30)
    running = repository.start("exec dvc repro --single-item --force train")
    while not list(folder.glob(".scratch/train/*.safetensors")):
        assert running.poll() is None
    os.killpg(running.pid, signal.SIGKILL)
    running.communicate()
    repository.run(f"{MAKE_REPRO} && git diff --exit-code")


BASES = {"small": make_small, "ladder": make_ladder_done, "real": make_real}
"""The repositories that cases copy."""
