"""One run in a clone of this worker: data, `dvc exp run`, publication of the result."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from mnist_pipeline.cluster.checkpoints import Checkpoints
from mnist_pipeline.cluster.clones import MARK, differing_packages, locked_clone, prepare, turn
from mnist_pipeline.cluster.data import pull_data, push_data
from mnist_pipeline.cluster.jobs import Job, Locations, Result, differing_settings, is_portable
from mnist_pipeline.cluster.origin import (
    CONFIRMED,
    SET_ASIDE,
    Origin,
    set_environment,
    tree_of,
    with_retries,
    with_trailers,
)
from mnist_pipeline.core import progress
from mnist_pipeline.core.errors import PipelineError
from mnist_pipeline.core.hardware import describe_machine
from mnist_pipeline.core.yaml import parse_yaml
from mnist_pipeline.provenance.dvc import with_python
from mnist_pipeline.provenance.git import (
    MACHINE,
    SECONDS,
    WORKER,
    git_lines,
    git_text,
    read_file,
    run_git,
    trailer,
)
from mnist_pipeline.provenance.paths import LOCK, PARAMS

LOG_LINES = 12
START_SECONDS, POLL_SECONDS = 0.1, 0.5
TRAINED = re.compile(r"^train: \d+ epochs in ([0-9.]+) s\b", re.MULTILINE)
RESUMED = "train: resuming"
STAGE = b"Running stage"
"""What DVC prints when it starts one."""

Report = Callable[[str], None]
Complete = Callable[[Path, Job], Job]


def work(
    job: Job,
    locations: Locations,
    report: Report,
    *,
    again: bool = False,
    worker: str = "",
    complete: Complete | None = None,
) -> Result:
    """Run a job here, unless its result is at the origin, and publish what it gave.

    Args:
        job: the run.
        locations: where everything is.
        report: takes a few words about what happens now.
        again: run it even if its result is there, without DVC's run cache, and compare.
        worker: a name for this worker; by default that of the host.
        complete: takes the clone and the job, and returns the job with its settings.

    Raises:
        PipelineError: the origin or the remote was away for too long, or the name is that of another run.
    """
    set_environment()
    worker = worker or platform.node()
    here: dict[str, Any] = {}
    with locked_clone(locations.clones, locations.origin) as clone, ExitStack() as start:
        os.environ[MARK] = str(clone)
        start.enter_context(turn(clone.parent))
        report("checks out")
        with_retries(lambda: prepare(clone, locations.origin, job.commit, locations.store), report)
        job = replace(job, commit=git_text(clone, "rev-parse", "HEAD"))  # of a short hash, too
        job = complete(clone, job) if complete else job
        origin = Origin(clone, "origin")
        if (known := _known(origin, job)) and not again:
            return Result(job.name, "known", trailer(clone, known, WORKER), known)
        if refused := _refused(clone, job, locations):
            return Result(job.name, "refused", worker, log="\n".join(refused))
        report("pulls data")
        with_retries(lambda: pull_data(clone, job), report)
        checkpoints = Checkpoints(clone, job, locations.checkpoints)
        checkpoints.fetch()
        report("runs")

        def on_stage() -> None:
            start.close()
            here.update(describe_machine())  # while the stage works: it reads the metadata of every package

        log = clone.with_name(f"{clone.name}.log")
        commit = _run(clone, job, checkpoints, log, report, on_stage, again=again)
        if commit is None:
            return Result(job.name, "failed", worker, log=_end_of(log))
        seconds, here = _seconds(log), here or describe_machine()
        machine = f"{platform.node()}: {here['cpu']}, {here['system']}, {here['libc']}, Python {here['python']}"
        trailers = {WORKER: worker, MACHINE: machine} | ({SECONDS: f"{seconds:g}"} if seconds else {})
        commit = with_trailers(clone, commit, trailers)
        report("pushes data")
        with_retries(lambda: push_data(clone, job, commit), report)
        report("publishes")
        found = with_retries(lambda: origin.publish(commit, job.ref), report)
        result = _compared(origin, job, commit, found, worker, seconds, exact=not locations.any_numerics)
        checkpoints.discard()
        return result


def _known(origin: Origin, job: Job) -> str | None:
    """Return the commit of the job's result, if it is at the origin.

    Raises:
        PipelineError: it is of another run.
    """
    clone = origin.repository
    known = with_retries(lambda: origin.refs(job.ref).get(job.ref), print)
    if known is not None:
        with_retries(lambda: origin.fetch([job.ref]), print)
        run_git(clone, "update-ref", "-d", job.ref)  # DVC would refuse to run what it has
        params = parse_yaml(read_file(clone, known, PARAMS), PARAMS)
        if differing := differing_settings(params, job.settings):
            raise PipelineError(
                f"{job.name} of commit {job.commit[:10]} is another run at the origin: {', '.join(differing)}; "
                "choose another name"
            )
    return known


def _refused(clone: Path, job: Job, locations: Locations) -> list[str]:
    """Why this worker must not run a job."""
    differing = differing_packages(clone, job.commit)
    if differing:
        return ["packages differ from requirements.lock of the commit; make setup installs them:", *differing]
    params = parse_yaml(read_file(clone, job.commit, PARAMS), PARAMS)
    if locations.store is None and not locations.any_numerics and not is_portable(params, job.settings):
        return ["its bits depend on the machine: runtime.numerics is not portable; --any-numerics runs it all the same"]
    return []


def _run(
    clone: Path,
    job: Job,
    checkpoints: Checkpoints,
    log: Path,
    report: Report,
    on_stage: Callable[[], None],
    *,
    again: bool,
) -> str | None:
    """Run the experiment, and call ``on_stage`` when its first stage runs; its commit, or None if it failed."""
    options = [word for setting in job.settings for word in ("--set-param", setting)]
    options += ["--message", job.message] if job.message else []
    command = [sys.executable, "-m", "dvc", "exp", "run", "--allow-missing", "--name", job.name, *options, *job.targets]
    if again:
        shutil.rmtree(clone / ".dvc" / "cache" / "runs", ignore_errors=True)  # DVC's run cache, which would answer
    shutil.rmtree(clone / progress.FOLDER, ignore_errors=True)
    environment = {name: value for name, value in os.environ.items() if name != "MALLOC_TRIM_THRESHOLD_"}  # Dask's
    environment = with_python(environment) | {"PYTHONUNBUFFERED": "1"}
    with log.open("wb") as output:
        pipes: Any = {"stdin": subprocess.DEVNULL, "stdout": output, "stderr": subprocess.STDOUT}
        process = subprocess.Popen(command, cwd=clone, env=environment, **pipes)
        said, runs = "", False
        while True:
            try:
                status = process.wait(POLL_SECONDS if runs else START_SECONDS)
                break
            except subprocess.TimeoutExpired:
                if not runs and STAGE in log.read_bytes():
                    runs = True
                    on_stage()
                checkpoints.send()
                if (now := progress_in(clone)) not in ("", said):
                    report(said := now)
    found = git_text(clone, "for-each-ref", "--format=%(objectname)", job.ref)
    return found if status == 0 and found else None


def progress_in(clone: Path) -> str:
    """Say how far a run is, in a few words; empty: unknown."""
    if not (known := progress.read_progress(clone).values()):
        return ""
    now = max(known, key=lambda each: each.seen)
    return f"{now.stage}, epoch {now.epoch} of {now.epochs}" if now.epochs else now.stage


def _end_of(log: Path) -> str:
    lines = [line for line in log.read_text("utf-8", errors="replace").splitlines() if line.strip()]
    return "\n".join(lines[-LOG_LINES:]) or "it printed nothing"


def _seconds(log: Path) -> float | None:
    """Return how long training took, from what it printed; None: it was not trained here, or not from its start."""
    text = log.read_text("utf-8", errors="replace")
    found = TRAINED.findall(text)
    return float(found[-1]) if found and RESUMED not in text else None


def _compared(
    origin: Origin, job: Job, commit: str, found: str, worker: str, seconds: float | None, *, exact: bool
) -> Result:
    """Compare a result with the one that counts."""
    clone = origin.repository
    tree = tree_of(clone, commit)
    if found == commit:
        return Result(job.name, "published", worker, commit, tree, seconds=seconds)
    first = trailer(clone, found, WORKER)
    if tree_of(clone, found) == tree:
        computed = read_file(clone, commit, LOCK) != read_file(clone, job.commit, LOCK)
        if first == worker or not computed:
            return Result(job.name, "known", first, found, tree)
        with_retries(lambda: origin.keep(commit, CONFIRMED, job.where, worker), print)
        return Result(job.name, "confirmed", worker, found, tree, first, seconds)
    if not exact:
        return Result(job.name, "known", first, found, tree)
    with_retries(lambda: origin.keep(commit, SET_ASIDE, job.where, worker), print)
    files = git_lines(clone, "diff", "--name-only", found, commit)
    machines = [f"{name} ({trailer(clone, each, MACHINE)})" for name, each in ((first, found), (worker, commit))]
    log = f"{job.name} came out otherwise on {machines[1]} than on {machines[0]}: {', '.join(files)} differ"
    return Result(job.name, "different", worker, commit, tree, first, seconds, log)
