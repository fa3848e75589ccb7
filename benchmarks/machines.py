"""Several machines on one: network namespaces with their own addresses, a git server, a DVC remote, workers of Dask.

Needs root, iproute2 and OpenSSH's server. All addresses are of a bridge that exists only here.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import random
import select
import shutil
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import yaml

from mnist_pipeline.cluster import workers
from mnist_pipeline.cluster.clones import MARK
from mnist_pipeline.core.yaml import read_yaml
from mnist_pipeline.params.overrides import with_overrides
from tests.conftest import PARAMS
from tests.repository import git

NETWORK = "10.77.0"
GIT, STORE, SCHEDULER = f"{NETWORK}.2", f"{NETWORK}.3", f"{NETWORK}.4"
ADDRESS = f"tcp://{SCHEDULER}:8786"
SSHD = "/usr/sbin/sshd"
QUIET = {
    f"DASK_{name.upper().replace('.', '__').replace('-', '_')}": str(value) for name, value in workers.QUIET.items()
}
"""As docs/scale-out.md recommends."""
PIPELINE = """
stages:
  train:
    cmd: python code/stage.py train
    deps: [code, data/prepared/train.txt]
    params: [train]
    outs: [models/steps.csv]
    metrics: [metrics/train_details.json: {cache: false}]
  evaluate:
    cmd: python code/stage.py evaluate
    deps: [code, models/steps.csv]
    params: [train]
    metrics: [metrics/test_details.json: {cache: false}]
  validate:
    cmd: python code/stage.py validate
    deps: [rows.txt]
    outs: [data/prepared/train.txt]
"""
STAGE = """
import json, os, sys, time, yaml
from pathlib import Path

def write(path, text):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text)

train = yaml.safe_load(Path("params.yaml").read_text())["train"]
wrong = int(os.environ.get("FALSIFIED", "0"))
if sys.argv[1] == "validate":
    write("data/prepared/train.txt", Path("rows.txt").read_text())
elif sys.argv[1] == "train":
    time.sleep(float(os.environ.get("STUB_SECONDS", "1")))
    write("models/steps.csv", "step,loss\\n" + "".join(
        f"{i},{train['seed'] + wrong + 1 / i}\\n" for i in range(1, 999)))
    write("metrics/train_details.json", json.dumps({"train_rows": 256, "validation_accuracy": 0.5}))
    print(f"train: {train['epochs']} epochs in 2.5 s")
else:
    write("metrics/test_details.json", json.dumps({"accuracy": (train["epochs"] + train["seed"] + wrong) / 100}))
"""


def run(*words: str | Path, check: bool = True) -> str:
    """Run a command; what it printed."""
    return subprocess.run(words, check=check, capture_output=True, text=True).stdout


def stub_repository(folder: Path, remote: str, origin: str) -> None:
    """A pipeline whose training sleeps, with a ladder of two rungs, run once and committed."""
    content = with_overrides(read_yaml(PARAMS), {"train.epochs": 2})
    rungs = {
        "base": {"title": "Base", "why": "To see.", "overrides": {"train.epochs": 1}},
        "longer": {"title": "Longer", "why": "To see.", "builds_on": "base", "overrides": {"train.epochs": 3}},
    }
    keyfile = f"    keyfile = {folder.parent / 'user'}\n" if remote.startswith("ssh") else ""
    config = f"[core]\n    analytics = false\n    remote = store\n['remote \"store\"']\n    url = {remote}\n{keyfile}"
    for path, text in {
        "dvc.yaml": PIPELINE,
        "code/stage.py": STAGE,
        "rows.txt": "rows\n",
        ".dvc/config": config,
        ".gitignore": ".scratch/\n",
        "requirements.lock": f"psutil=={psutil.__version__}\n",
        "params.yaml": yaml.safe_dump(content),
        "experiments.yaml": yaml.safe_dump({"seeds": 3, "rungs": rungs}, sort_keys=False),
    }.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, "utf-8")
    git(folder, "init", "-q", "-b", "main")
    git(folder, "remote", "add", "origin", origin)
    subprocess.run(["dvc", "repro", "-q"], cwd=folder, check=True, env=os.environ | {"STUB_SECONDS": "0"})
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "First run")


class Server:
    """An OpenSSH server in a namespace of its own."""

    def __init__(self, folder: Path, namespace: str, address: str) -> None:
        self._command = ["ip", "netns", "exec", namespace, SSHD, "-D", "-f", str(folder / f"{namespace}.conf")]
        (folder / f"{namespace}.conf").write_text(
            f"ListenAddress {address}\nHostKey {folder / 'host'}\nAuthorizedKeysFile {folder / 'user.pub'}\n"
            "PidFile none\nStrictModes no\nPasswordAuthentication no\nUsePAM no\nMaxStartups 100\n"
            "Subsystem sftp internal-sftp\n"
        )
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        Path("/run/sshd").mkdir(exist_ok=True)
        self._process = subprocess.Popen(self._command, stderr=subprocess.DEVNULL, start_new_session=True)

    def stop(self) -> None:
        """End it and every connection."""
        if self._process is not None:
            for each in [*psutil.Process(self._process.pid).children(recursive=True), self._process]:
                with suppress(psutil.Error):
                    each.kill()
            self._process.wait()
            self._process = None


class Machines:
    """A scheduler and workers, each in a namespace, and the repository that dispatches.

    Attributes:
        folder: for everything.
        repository: of the dispatcher.
        workers: their names.
        git, store: the servers.
    """

    def __init__(self, folder: Path, workers: int = 4) -> None:
        self.folder, self.repository = folder, folder / "mine"
        self.workers = [f"w{number}" for number in range(workers)]
        self._loops: dict[str, subprocess.Popen[bytes]] = {}
        self._environment: dict[str, dict[str, str]] = {}
        for name in ("host", "user"):
            run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name)
        os.environ["GIT_SSH_COMMAND"] = (
            f"ssh -i {folder / 'user'} -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null "
            "-o LogLevel=ERROR -o ConnectTimeout=5 -o ServerAliveInterval=3 -o ServerAliveCountMax=3"
        )
        os.environ |= {
            f"GIT_{role}_{what}": "test@localhost" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
        }
        os.environ |= QUIET | {
            "DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "10s",
            "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "20",
            "DASK_DISTRIBUTED__COMM__TIMEOUTS__TCP": "12s",
            "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "8s",
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        }
        run("ip", "link", "add", "mb0", "type", "bridge")
        run("ip", "addr", "add", f"{NETWORK}.1/24", "dev", "mb0")
        run("ip", "link", "set", "mb0", "up")
        hosts = {"git": GIT, "store": STORE, "sched": SCHEDULER}
        for name, address in {**hosts, **{name: self.address(name) for name in self.workers}}.items():
            run("ip", "netns", "add", name)
            run("ip", "link", "add", f"v{name}", "type", "veth", "peer", "name", "eth0", "netns", name)
            run("ip", "link", "set", f"v{name}", "master", "mb0", "up")
            self.within(name, "ip", "addr", "add", f"{address}/24", "dev", "eth0")
            for link in ("lo", "eth0"):
                self.within(name, "ip", "link", "set", link, "up")
        self.git, self.store = Server(folder, "git", GIT), Server(folder, "store", STORE)
        run("git", "init", "-q", "--bare", "-b", "main", folder / "origin")
        time.sleep(1)
        stub_repository(self.repository, f"ssh://root@{STORE}{folder}/store", f"ssh://root@{GIT}{folder}/origin")
        subprocess.run(["git", "push", "-q", "origin", "main"], cwd=self.repository, check=True)
        subprocess.run(["dvc", "push", "-q"], cwd=self.repository, check=True)

    def address(self, worker: str) -> str:
        return f"{NETWORK}.{10 + int(worker[1:])}"

    def within(self, name: str, *words: str) -> str:
        """Run a command on a machine."""
        return run("ip", "netns", "exec", name, *words)

    def start(self, name: str, environment: dict[str, str] | None = None) -> None:
        """Start the scheduler ("sched") or a worker, which starts again whenever it ends, as by systemd."""
        if environment is not None:
            self._environment[name] = environment
        if name == "sched":
            command = f"dask scheduler --host {SCHEDULER} --port 8786 --no-dashboard"
        else:
            (self.folder / name).mkdir(exist_ok=True)
            command = (
                f"dask worker {ADDRESS} --name {name} --nthreads 1 --memory-limit 0 --no-dashboard "
                f"--local-directory {self.folder / name} --death-timeout 20"
            )
        environment = {"XDG_CACHE_HOME": str(self.folder / name), **self._environment.get(name, {})}
        with (self.folder / f"{name}.log").open("ab") as log:
            self._loops[name] = subprocess.Popen(
                ["ip", "netns", "exec", name, "bash", "-c", f"while :; do {command}; sleep 0.5; done"],
                env={**os.environ, **environment}, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def processes(self, name: str) -> list[psutil.Process]:
        """The processes of the scheduler or a worker, without the loop that starts it; those of runs, too."""
        with suppress(psutil.Error):
            return list(psutil.Process(self._loops[name].pid).children(recursive=True))
        return []

    def stop(self, name: str) -> None:
        """End a machine's processes."""
        loop = self._loops.pop(name, None)
        if loop is not None:
            children = psutil.Process(loop.pid).children(recursive=True)
            loop.kill()
            loop.wait()
            for each in children:
                with suppress(psutil.Error):
                    each.kill()

    def link(self, name: str, state: str) -> None:
        """Cut the link of a machine ("down"), or restore it ("up")."""
        run("ip", "link", "set", f"v{name}", state)

    @contextmanager
    def lossy(self, name: str, loss: float, delay: float, seed: int) -> Iterator[None]:
        """Give a machine a link that loses frames and delays them."""
        near, far = _tap("tnear"), _tap("tfar")
        run("ip", "link", "set", "tnear", "master", "mb0", "up")
        run("ip", "link", "set", "tfar", "netns", name)
        self.link(name, "down")
        self.within(name, "ip", "addr", "flush", "dev", "eth0")
        self.within(name, "ip", "addr", "add", f"{self.address(name)}/24", "dev", "tfar")
        self.within(name, "ip", "link", "set", "tfar", "up")
        ended = threading.Event()
        thread = threading.Thread(target=_forward, args=(near, far, loss, delay, random.Random(seed), ended))
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
            os.close(near)
            os.close(far)
            self.within(name, "ip", "addr", "add", f"{self.address(name)}/24", "dev", "eth0")
            self.link(name, "up")

    def new_commit(self, seed: int) -> str:
        """Commit other code, so that everything is to do; the hash."""
        (self.repository / "code" / "stamp.py").write_text(f"# {seed}\n")
        git(self.repository, "add", ".")
        git(self.repository, "commit", "-q", "-m", f"Repetition {seed}")
        subprocess.run(["git", "push", "-q", "origin", "main"], cwd=self.repository, check=True)
        return git(self.repository, "rev-parse", "HEAD")

    def drive(self, *options: str) -> subprocess.Popen[str]:
        """Start `mnist ladder run` on the workers."""
        command = ["mnist", "ladder", "run", "--scheduler", ADDRESS, *options]
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        return subprocess.Popen(command, cwd=self.repository, text=True, start_new_session=True, **pipes)

    def published(self, commit: str) -> dict[str, str]:
        """The results at the git server, by name."""
        form = "--format=%(refname) %(objectname)"
        listed = run("git", "-C", self.folder / "origin", "for-each-ref", form, f"refs/exps/{commit[:2]}/{commit[2:]}")
        return {line.split()[0].split("/")[-1]: line.split()[1] for line in listed.splitlines()}

    def outputs(self, commit: str) -> dict[str, str]:
        """The MD5 of each output of a commit, as its dvc.lock says."""
        lock = yaml.safe_load(run("git", "-C", self.folder / "origin", "show", f"{commit}:dvc.lock"))
        return {out["path"]: out["md5"] for stage in lock["stages"].values() for out in stage["outs"]}

    def store_lacks(self, md5: str) -> bool:
        """Whether the DVC remote has no file with this hash, or one with another content."""
        path = self.folder / "store" / "files" / "md5" / md5[:2] / md5[2:]
        return not path.exists() or hashlib.md5(path.read_bytes()).hexdigest() != md5

    def clones(self) -> list[Path]:
        return [path for name in self.workers for path in (self.folder / name / "mnist-pipeline").glob("*-[0-9]")]

    def locked(self) -> list[str]:
        """The clones that are in use."""
        found = []
        for clone in self.clones():
            with clone.with_name(f"{clone.name}.lock").open("w") as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError:
                    found.append(str(clone))
        return found

    def orphans(self) -> list[str]:
        """Processes of runs."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                if process.environ().get(MARK, "").startswith(str(self.folder)):
                    found.append(" ".join(process.cmdline()))
        return found

    def close(self) -> None:
        """Take everything down."""
        for name in list(self._loops):
            self.stop(name)
        for server in (self.git, self.store):
            server.stop()
        for name in ("git", "store", "sched", *self.workers):
            run("ip", "netns", "del", name, check=False)
        run("ip", "link", "del", "mb0", check=False)


def _tap(name: str) -> int:
    """A network device whose frames this process reads and writes."""
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, 0x400454CA, struct.pack("16sH", name.encode(), 0x0002 | 0x1000))  # TUNSETIFF: tap, no header
    return device


def _forward(near: int, far: int, loss: float, delay: float, chance: random.Random, ended: threading.Event) -> None:
    waiting: list[tuple[float, int, bytes]] = []
    while not ended.is_set():
        ready, _, _ = select.select([near, far], [], [], 0.005)
        for device in ready:
            frame = os.read(device, 65536)
            if chance.random() >= loss:
                waiting.append((time.monotonic() + delay, far if device == near else near, frame))
        while waiting and waiting[0][0] <= time.monotonic():
            _, device, frame = waiting.pop(0)
            with suppress(OSError):
                os.write(device, frame)


@contextmanager
def machines(folder: Path, workers: int = 4) -> Iterator[Machines]:
    """Build the machines, with a scheduler and workers that run."""
    folder.mkdir(parents=True)
    made = Machines(folder, workers)
    try:
        for name in ("sched", *made.workers):
            made.start(name)
        yield made
    finally:
        made.close()
        shutil.rmtree(folder, ignore_errors=True)
