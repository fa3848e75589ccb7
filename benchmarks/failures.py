"""What goes wrong on a cluster, on real processes: nothing is lost, doubled or falsified.

    python -m benchmarks.failures                    every case 20 times, and the table of docs/scale-out.md
    python -m benchmarks.failures disk-full -n 3     some cases
    python -m benchmarks.failures --seed 10 -n 10    ten more of each; those of other seeds stay in the table

Each repetition starts `mnist ladder run` on four workers in network namespaces, does something at a random moment, and
starts the command again until it succeeds. Then every run must be at the git server exactly once, its files at the DVC
remote, its hashes those of one machine, no clone locked, no process left.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from statistics import median

import psutil

from benchmarks.machines import ADDRESS, GIT, Machines, machines, run
from mnist_pipeline.cluster.clones import prepare
from mnist_pipeline.core.tables import between_marks, markdown_table
from tests.repository import git

PAGE = Path(__file__).parents[1] / "docs" / "scale-out.md"
RESULTS = Path(__file__).parent / "results" / "failures.json"
RUNS = [f"{rung}-{seed}" for seed in range(2) for rung in ("base", "longer")]
SEEDS = "--seeds=2"
MOST_STARTS = 6
MOST_SECONDS = 600

Case = Callable[["Drive", random.Random], None]


class Drive:
    """The command that dispatches, started again until it succeeds."""

    def __init__(self, world: Machines, *options: str) -> None:
        self.world, self.options, self.starts, self.printed = world, (SEEDS, *options), 0, ""
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        self.starts += 1
        self.process = self.world.drive(*self.options)

    def finish(self) -> None:
        """Wait; start again while it fails."""
        end = time.monotonic() + MOST_SECONDS
        while True:
            assert self.process is not None
            printed, _ = self.process.communicate(timeout=max(1.0, end - time.monotonic()))
            self.printed += printed
            if self.process.returncode == 0:
                return
            assert self.starts < MOST_STARTS, f"failed {self.starts} times:\n{self.printed}"
            time.sleep(1)
            self.start()

    def wait_for_result(self, commit: str, number: int = 1) -> None:
        """Wait until some runs are published, or all workers had time for one."""
        end = time.monotonic() + 30
        while time.monotonic() < end and len(self.world.published(commit)) < number:
            time.sleep(0.1)


def _kill(processes: list[psutil.Process], how: int = signal.SIGKILL) -> None:
    for each in processes:
        with suppress(psutil.Error):
            each.send_signal(how)


def _named(world: Machines, worker: str, part: str) -> list[psutil.Process]:
    found = []
    for each in world.processes(worker):
        with suppress(psutil.Error):
            if part in " ".join(each.cmdline()):
                found.append(each)
    return found


def _somewhen(chance: random.Random, longest: float = 7.0) -> None:
    time.sleep(chance.uniform(0.5, longest))


def kill_worker(drive: Drive, chance: random.Random) -> None:
    """Kill -9 of a worker."""
    world = drive.world
    drive.start()
    _somewhen(chance)
    _kill(_named(world, chance.choice(world.workers), "dask"))


def kill_training(drive: Drive, chance: random.Random) -> None:
    """Kill -9 of a worker's training process."""
    world = drive.world
    drive.start()
    end = time.monotonic() + 20
    while time.monotonic() < end and not (found := _named(world, chance.choice(world.workers), "stage.py")):
        time.sleep(0.05)
    _kill(found[-1:])


def kill_work(drive: Drive, chance: random.Random) -> None:
    """Kill -9 of a worker's `mnist work`."""
    world = drive.world
    drive.start()
    _somewhen(chance)
    _kill(_named(world, chance.choice(world.workers), "cli.main work")[:1])


def kill_scheduler(drive: Drive, chance: random.Random) -> None:
    """Kill -9 of the scheduler."""
    world = drive.world
    drive.start()
    _somewhen(chance)
    _kill(_named(world, "sched", "dask"))


def kill_driver(drive: Drive, chance: random.Random) -> None:
    """Kill -9 of the command that dispatches."""
    drive.start()
    _somewhen(chance)
    assert drive.process is not None
    drive.process.kill()


def interrupt_driver(drive: Drive, chance: random.Random) -> None:
    """Ctrl-C of the command that dispatches."""
    drive.start()
    _somewhen(chance)
    assert drive.process is not None
    drive.process.send_signal(signal.SIGINT)


def stop_worker(drive: Drive, chance: random.Random) -> None:
    """SIGSTOP of a worker and its run until it is given up, then SIGCONT."""
    world = drive.world
    drive.start()
    _somewhen(chance, 4.0)
    stopped = world.processes(chance.choice(world.workers))
    _kill(stopped, signal.SIGSTOP)
    time.sleep(16)
    _kill(stopped, signal.SIGCONT)
    time.sleep(2)


def cut_link(drive: Drive, chance: random.Random) -> None:
    """A worker's link cut for 30 s."""
    world = drive.world
    drive.start()
    _somewhen(chance, 4.0)
    worker = chance.choice(world.workers)
    world.link(worker, "down")
    time.sleep(30)
    world.link(worker, "up")


def lose_link(drive: Drive, chance: random.Random) -> None:
    """A worker's link cut for good."""
    world = drive.world
    drive.start()
    _somewhen(chance, 4.0)
    worker = chance.choice(world.workers)
    world.link(worker, "down")
    try:
        drive.finish()
    finally:
        world.stop(worker)
        world.link(worker, "up")
        world.start(worker)


def lossy_link(drive: Drive, chance: random.Random) -> None:
    """5 % of a worker's packets lost, 50 ms delay."""
    world = drive.world
    with world.lossy(chance.choice(world.workers), 0.05, 0.05, chance.randrange(10**6)):
        drive.start()
        drive.finish()


def git_down(drive: Drive, chance: random.Random) -> None:
    """Git server down while results are published."""
    world = drive.world
    drive.start()
    _somewhen(chance, 5.0)
    world.git.stop()
    time.sleep(chance.uniform(2, 8))
    world.git.start()


def store_down(drive: Drive, chance: random.Random) -> None:
    """DVC remote down when the first data have arrived."""
    world = drive.world
    files = world.folder / "store" / "files"
    before = sum(1 for _ in files.rglob("*"))
    drive.start()
    end = time.monotonic() + 30
    while time.monotonic() < end and sum(1 for _ in files.rglob("*")) == before:
        time.sleep(0.02)
    world.store.stop()
    time.sleep(chance.uniform(2, 8))
    world.store.start()


def disk_full(drive: Drive, chance: random.Random) -> None:
    """Disk of a worker full."""
    world = drive.world
    worker = chance.choice(world.workers)
    folder = world.folder / worker / "mnist-pipeline"
    run("mount", "-t", "tmpfs", "-o", f"size={chance.choice([200, 400, 800])}k", "tmpfs", folder)
    try:
        drive.start()
        drive.finish()
    finally:
        world.stop(worker)
        run("umount", "-l", folder)
        world.start(worker)


def half_clone(drive: Drive, chance: random.Random) -> None:
    """A half-made clone."""
    world = drive.world
    for clone in world.clones():
        objects = [path for path in (clone / ".git").rglob("*") if path.is_file()]
        for path in chance.sample(objects, len(objects) // 2):
            path.unlink()
        (clone / ".git" / "index.lock").touch()
    drive.start()


def wrong_package(drive: Drive, chance: random.Random) -> None:
    """A package of another version on a worker."""
    world = drive.world
    worker = chance.choice(world.workers)
    folder = world.folder / "packages" / "psutil-99.dist-info"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: psutil\nVersion: 99\n")
    _with_environment(world, worker, {"PYTHONPATH": str(folder.parent)}, drive)
    makers = _makers(world)
    assert worker not in makers, makers


def falsified(drive: Drive, chance: random.Random) -> None:
    """A worker whose arithmetic is falsified, with --repeat 0.05."""
    world = drive.world
    drive.options = (*drive.options, "--repeat=0.05")
    worker = chance.choice(world.workers)
    _with_environment(world, worker, {"FALSIFIED": "1"}, drive)
    makers = _makers(world)
    assert worker not in makers, f"{worker} is among {makers}\n{drive.printed}"


def _with_environment(world: Machines, worker: str, environment: dict[str, str], drive: Drive) -> None:
    world.stop(worker)
    world.start(worker, environment)
    _wait_for_workers(world)
    try:
        drive.start()
        drive.finish()
    finally:
        world.stop(worker)
        world.start(worker, {})


def _makers(world: Machines) -> set[str]:
    commit = git(world.repository, "rev-parse", "HEAD")
    form = "--format=%(trailers:key=Worker,valueonly)"
    return {
        run("git", "-C", world.folder / "origin", "log", "-1", form, ref).strip()
        for ref in world.published(commit).values()
    }


def two_drivers(drive: Drive, chance: random.Random) -> None:
    """The command started twice."""
    world = drive.world
    drive.start()
    time.sleep(chance.uniform(0, 4))
    other = Drive(world)
    other.start()
    other.finish()


def eight_publish(drive: Drive, chance: random.Random) -> None:
    """8 workers publish the same run at once."""
    world = drive.world
    commit = git(world.repository, "rev-parse", "HEAD")
    command = [
        "mnist",
        "work",
        chance.choice(RUNS),
        f"--commit={commit}",
        "--again",
        f"--origin=ssh://root@{GIT}{world.folder}/origin",
    ]
    running = []
    for number in range(8):
        words = ["ip", "netns", "exec", world.workers[number % len(world.workers)], *command, f"--worker=p{number}"]
        cache = {"XDG_CACHE_HOME": str(world.folder / world.workers[number % len(world.workers)])}
        running.append(subprocess.Popen(words, env=os.environ | cache, stdout=subprocess.PIPE, text=True))
    ended = [process.communicate()[0].splitlines()[-1].split()[1] for process in running]
    assert sorted(ended) == ["confirmed,"] * 7 + ["published,"], ended
    drive.start()


CASES: dict[str, Case] = {
    name.replace("_", "-"): case
    for name, case in list(globals().items())
    if callable(case)
    and getattr(case, "__annotations__", {}).get("chance") == "random.Random"
    and not name.startswith("_")
}


def _wait_for_workers(world: Machines) -> None:
    from distributed import Client

    end = time.monotonic() + 240
    while time.monotonic() < end:
        with suppress(OSError, TimeoutError, RuntimeError), Client(ADDRESS, timeout=10) as client:
            while time.monotonic() < end:
                names = {each["name"] for each in client.scheduler_info(n_workers=-1).get("workers", {}).values()}
                if names == set(world.workers):
                    return
                time.sleep(0.2)
    raise AssertionError("not all workers are there")


def repeat_case(world: Machines, name: str, seed: int, reference: dict[str, dict[str, str]]) -> float:
    """Run a case once and check everything; the seconds it took."""
    chance = random.Random(f"{name} {seed}")
    _wait_for_workers(world)
    commit = world.new_commit(chance.randrange(10**9))
    drive = Drive(world)
    began = time.monotonic()
    CASES[name](drive, chance)
    drive.finish()
    seconds = time.monotonic() - began
    found = world.published(commit)
    assert sorted(found) == sorted(RUNS), f"{sorted(found)}\n{drive.printed}"
    for run_name, result in found.items():
        outputs = world.outputs(result)
        assert outputs == reference[run_name], f"{run_name} has other hashes than on one machine"
        tracked = run("git", "-C", world.folder / "origin", "ls-tree", "-r", "--name-only", result).splitlines()
        lacking = [path for path, md5 in outputs.items() if path not in tracked and world.store_lacks(md5)]
        assert not lacking, f"the remote lacks {lacking} of {run_name}"
    end = time.monotonic() + 20
    while (left := world.orphans() + world.locked()) and time.monotonic() < end:
        time.sleep(0.2)
    assert not left, left
    for clone in world.clones():
        prepare(clone, f"ssh://root@{GIT}{world.folder}/origin", commit, None)
    return seconds


def make_reference(world: Machines) -> dict[str, dict[str, str]]:
    """Run everything on this machine, without Dask's workers; the outputs of each run."""
    words = ["mnist", "ladder", "run", "--jobs=2", SEEDS]
    subprocess.run(words, cwd=world.repository, check=True, capture_output=True)
    commit = git(world.repository, "rev-parse", "HEAD")
    for name in RUNS:
        git(world.repository, "push", "-q", "origin", f"refs/exps/{commit[:2]}/{commit[2:]}/{name}")
    return {name: world.outputs(result) for name, result in world.published(commit).items()}


def _counts(seconds: dict[str, float | None]) -> tuple[int, int]:
    return sum(each is not None for each in seconds.values()), len(seconds)


def main() -> None:
    """Run cases and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", choices=[*CASES, []], help="default: all")
    parser.add_argument("-n", type=int, default=20, help="how often each")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--check", action="store_true", help="write nothing")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # which takes the machines down
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    folder = Path(tempfile.mkdtemp(prefix="machines-")) / "world"
    failures = 0
    with machines(folder) as world:
        reference = make_reference(world)
        for name in args.cases or CASES:
            seconds = results.setdefault(name, {})  # by seed; None if something was wrong
            for seed in range(args.seed, args.seed + args.n):
                try:
                    seconds[str(seed)] = round(repeat_case(world, name, seed, reference), 1)
                except (AssertionError, subprocess.SubprocessError) as error:
                    seconds[str(seed)] = None
                    failures += 1
                    print(f"{name}, seed {seed}: FAILED\n{error}", flush=True)
                if not args.check:
                    RESULTS.write_text(json.dumps(results, indent=2) + "\n")
            print(f"{name}: {' of '.join(map(str, _counts(seconds)))}", flush=True)
    rows = [["what happens", "right", "median time"]]
    for name, seconds in results.items():
        right, number = _counts(seconds)
        typical = f"{median([each for each in seconds.values() if each is not None] or [0]):.0f} s"
        rows.append([(CASES[name].__doc__ or name).rstrip("."), f"{right} of {number}", typical])
    if PAGE.exists() and not args.check:
        PAGE.write_text(between_marks(PAGE.read_text("utf-8"), "failures", markdown_table(rows)), "utf-8")
    sys.exit(failures > 0)


if __name__ == "__main__":
    main()
