"""Dask: connect to a scheduler, or start workers here; and what runs on a worker.

A task is a process of `mnist work`, so that a worker stays small and survives whatever a run does. The process ends
when its standard input does, which the kernel closes when the worker ends, however that happens.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import dask
from distributed import Client, LocalCluster, get_worker

from mnist_pipeline.cluster.jobs import LOCAL, Job, Locations, Result
from mnist_pipeline.core.errors import PipelineError
from mnist_pipeline.core.hardware import usable_cores

TOPIC = "mnist-runs"
"""Of Dask's events: what runs say."""

KEYS = "mnist-run"
"""With what the names of our tasks begin."""

QUIET = {
    "distributed.worker.profile.enabled": False,
    "distributed.admin.tick.interval": "1s",
    "distributed.admin.system-monitor.interval": "5s",
}
"""Dask's settings with which a worker that waits takes little of a core: benchmarks/scale.py, idle."""

LINES = 12
CONNECT_SECONDS = 15

_running: set[subprocess.Popen[str]] = set()
"""The runs of this process, which may be several workers."""


@contextmanager
def connected(scheduler: str, jobs: int) -> Iterator[Client]:
    """Connect to a scheduler, or start one here, with so many workers in this process.

    Raises:
        PipelineError: there is no scheduler at the address, or it and we do not trust each other.
    """
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # what matters is said here
    if scheduler == LOCAL:
        # Runs share the cores. With portable numerics, the number of threads changes no bit.
        os.environ.setdefault("OMP_NUM_THREADS", str(max(1, usable_cores() // jobs)))
        # Threads, as each run is a process anyway.
        options: dict[str, Any] = {"processes": False, "threads_per_worker": 1, "dashboard_address": "127.0.0.1:0"}
        with (
            dask.config.set(QUIET | {"temporary-directory": ".scratch"}),
            LocalCluster(n_workers=jobs, silence_logs=50, **options) as cluster,
            Client(cluster) as client,
        ):
            yield client
        return
    try:
        client = Client(scheduler, timeout=CONNECT_SECONDS)
    except (OSError, ValueError, TypeError, RuntimeError) as error:
        cause = error.__cause__ or error
        raise PipelineError(
            f"no scheduler answers at {scheduler}, or not with certificates that both sides accept ({cause}); start "
            "dask scheduler there, or see docs/scale-out.md for the settings of TLS"
        ) from None
    with client:
        yield client


def arguments_of(job: Job, locations: Locations, *, again: bool) -> list[str]:
    """Return the arguments of `mnist work` for a run."""
    pairs: dict[str, str | None] = {"--commit": job.commit, "--message": job.message, "--origin": locations.origin}
    pairs |= {"--clones": locations.clones, "--store": locations.store, "--checkpoints": locations.checkpoints}
    words = [job.name, *(f"{name}={value}" for name, value in pairs.items() if value)]
    words += [f"--set-param={setting}" for setting in job.settings] + [f"--target={each}" for each in job.targets]
    return words + ["--any-numerics"] * locations.any_numerics + ["--again"] * again


def run_here(name: str, words: list[str]) -> dict[str, Any]:
    """Run `mnist work` on this worker; its result as a dict."""
    worker = get_worker()
    identity = identity_of(worker.name, worker.address)
    with tempfile.TemporaryDirectory(dir=worker.local_directory) as folder:
        path = Path(folder) / "result.json"
        command = [sys.executable, "-m", "mnist_pipeline.cli.main", "work", *words]
        command += [f"--worker={identity}", f"--json={path}", "--with-parent"]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        lines: deque[str] = deque(maxlen=LINES)
        with subprocess.Popen(command, text=True, errors="replace", start_new_session=True, **pipes) as process:
            _running.add(process)
            try:
                for line in process.stdout or ():
                    lines.append(line.rstrip())
                    if line.startswith("> "):
                        worker.log_event(TOPIC, {"run": name, "who": identity, "says": line[2:].strip()})
                process.wait()
            finally:
                _running.discard(process)
                with suppress(ProcessLookupError):  # of a run that was killed, what it had started may be left
                    os.killpg(process.pid, signal.SIGKILL)
        if path.exists():
            found: dict[str, Any] = json.loads(path.read_text("utf-8"))
            return found
    return asdict(Result(name, "failed", identity, log="\n".join(lines) or f"it ended with {process.returncode}"))


def stop_here() -> None:
    """End the runs of this process; each cleans up behind itself."""
    for process in list(_running):
        if process.stdin is not None:
            process.stdin.close()


def identity_of(name: object, address: str) -> str:
    """Name a worker: by what its user calls it, or by its host, so that it has the same name after a restart."""
    host = urlsplit(address).hostname or "here"
    if address.startswith("inproc:"):
        return f"here-{name}"
    return f"{name}@{host}" if isinstance(name, int) else host if name in (None, address) else str(name)


def workers_of(client: Client) -> dict[str, tuple[str, int]]:
    """Return the identity of each worker and how many runs it takes at once, by address; none without a scheduler."""
    found: Mapping[str, Any] = client.scheduler_info(n_workers=-1).get("workers", {})
    return {address: (identity_of(each["name"], address), each["nthreads"]) for address, each in found.items()}


def dashboard_of(client: Client) -> str:
    """Return the address of Dask's dashboard, which workers in this process serve to this machine alone."""
    link = str(client.dashboard_link or "")
    return link.replace(urlsplit(link).hostname or "", "127.0.0.1") if "inproc:" in client.scheduler.address else link


def check_alone(client: Client, commit: str) -> None:
    """Check that nobody else dispatches runs of another commit to these workers.

    Raises:
        PipelineError: somebody does.
    """
    # A lambda, since the scheduler need not have this package, from which a named function would be imported.
    keys = client.run_on_scheduler(
        lambda dask_scheduler: [str(key) for key, task in dask_scheduler.tasks.items() if task.who_wants]
    )
    others = {key.split(":")[1] for key in keys if key.startswith(f"{KEYS}:")} - {commit}
    if others:
        raise PipelineError(
            f"runs of commit {others.pop()[:10]} are on these workers now, and HEAD is {commit[:10]}; wait for them, "
            "or stop the other command"
        )
