"""What dispatch and publication cost, and whether it grows: the figures of docs/scale-out.md.

    python -m benchmarks.scale                      all sections, about an hour on two quiet cores
    python -m benchmarks.scale overhead refs        some sections
    python -m benchmarks.scale efficiency --runs 32 --workers 8 --seconds 20

- overhead: the time of a run beyond `dvc exp run` of the same settings on the same machine.
- idle: the share of all cores that workers of Dask take while they wait.
- efficiency: runs that sleep, on workers of Dask; 1 would be no time but their sleep.
- many: many runs with a stub in place of DVC, so that only dispatch, git and `mnist work` are measured.
- refs: git's commands at an origin with more and more results.
- queue: the same rungs of the real ladder through `mnist ladder run` and through DVC's own queue.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import fmean, median
from typing import Any

import psutil
import yaml

from benchmarks.machines import QUIET, run, stub_repository
from benchmarks.results import environment, short
from mnist_pipeline.core.tables import between_marks, markdown_table
from tests.repository import git

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "scale-out.md"
RESULTS = Path(__file__).parent / "results" / "scale.json"
PORT = 18786

PRETENCE = """
import json, subprocess, sys
from pathlib import Path

words = sys.argv[1:]
if words[:3] == ["data", "status", "--not-in-remote"]:
    print("{}")
if words[:2] == ["exp", "run"]:
    settings = [word for flag, word in zip(words, words[1:]) if flag == "--set-param"]
    name = words[words.index("--name") + 1]
    commit = subprocess.check_output(["git", "rev-parse", "HEAD"], text=True).strip()
    params = Path("params.yaml").read_text()
    for setting in settings:
        key, value = setting.split("=")
        if key == "train.seed":
            params = params.replace("seed: 0", f"seed: {value}")
        if key == "train.epochs":
            params = params.replace("epochs: 2", f"epochs: {value}")
    Path("params.yaml").write_text(params)
    lock = Path("dvc.lock").read_text()
    Path("dvc.lock").write_text(lock + f"# {settings}\\n")
    Path("metrics/test_details.json").write_text('{"accuracy": 0.5}')
    subprocess.run("git commit -qam result", shell=True, check=True)
    subprocess.run(["git", "update-ref", f"refs/exps/{commit[:2]}/{commit[2:]}/{name}", "HEAD"], check=True)
"""


def make_world(folder: Path, seeds: int, *, pretence: bool = False) -> Path:
    """A stub of the pipeline with a bare origin and a folder as DVC's remote; the repository."""
    mine = folder / "mine"
    stub_repository(mine, str(folder / "store"), str(folder / "origin"))
    content = yaml.safe_load((mine / "experiments.yaml").read_text())
    content["seeds"] = 1000 if pretence else seeds
    (mine / "experiments.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    if pretence:
        (mine / "dvc").mkdir()
        (mine / "dvc" / "__init__.py").touch()
        (mine / "dvc" / "__main__.py").write_text(PRETENCE)
    git(mine, "add", ".")
    git(mine, "commit", "-q", "-m", "Seeds")
    run("git", "init", "-q", "--bare", "-b", "main", folder / "origin")
    git(mine, "push", "-q", "origin", "main")
    if not pretence:
        subprocess.run(["dvc", "push", "-q"], cwd=mine, check=True)
    return mine


@contextmanager
def cluster(
    folder: Path, processes: int, threads: int = 1, seconds: float = 0.0, settings: dict[str, str] = QUIET
) -> Iterator[str]:
    """A scheduler and workers on the loopback address; the address of the scheduler."""
    environment = os.environ | {"XDG_CACHE_HOME": str(folder / "cache"), "STUB_SECONDS": str(seconds)} | settings
    address = f"tcp://127.0.0.1:{PORT}"
    words = {
        "scheduler": f"dask scheduler --host 127.0.0.1 --port {PORT} --no-dashboard",
        "worker": f"dask worker {address} --nworkers {processes} --nthreads {threads} --no-dashboard --memory-limit 0 "
        f"--name w --local-directory {folder / 'dask'}",
    }
    started = []
    for name, command in words.items():
        with (folder / f"{name}.log").open("wb") as log:
            started.append(subprocess.Popen(command.split(), env=environment, stdout=log, stderr=log))
    try:
        from distributed import Client

        with Client(address, timeout=60) as client:
            client.wait_for_workers(processes, timeout=300)
        yield address
    finally:
        for process in reversed(started):
            for each in [*psutil.Process(process.pid).children(recursive=True), process]:
                each.kill()
            process.wait()


def drive(mine: Path, address: str, *words: str) -> tuple[float, float, list[float]]:
    """Run `mnist ladder run`; its seconds, its largest memory in MB, and when each result came."""
    command = [sys.executable, "-m", "mnist_pipeline.cli.main", "ladder", "run", "--scheduler", address, *words]
    began, largest, times = time.monotonic(), 0.0, []
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, cwd=mine, stdout=subprocess.PIPE, text=True, env=environment) as process:
        for line in process.stdout or ():
            if line.startswith("["):
                times.append(time.monotonic() - began)
                largest = max(largest, psutil.Process(process.pid).memory_info().rss / 1e6)
            if "FAILED" in line:
                print(line, end="")
    assert process.returncode == 0
    return time.monotonic() - began, largest, times


def overhead(folder: Path, args: argparse.Namespace) -> dict[str, Any]:
    """The cost of a run beyond `dvc exp run`."""
    mine = make_world(folder, 5)
    commit = git(mine, "rev-parse", "HEAD")
    plain: list[float] = []
    worked: list[float] = []
    user: list[float] = []
    for seed in range(args.repeats + 1):
        words = ["-S", "train.epochs=1", "-S", f"train.seed={seed}"]
        environment = os.environ | {"STUB_SECONDS": "0", "XDG_CACHE_HOME": str(folder / "cache")}
        for times, command in (
            (plain, ["dvc", "exp", "run", "-q", "-n", f"plain-{seed}", *words]),
            (worked, ["mnist", "work", f"work-{seed}", "--commit", commit, *words]),
        ):
            before, began = os.times(), time.monotonic()
            subprocess.run(command, cwd=mine, env=environment, check=True, capture_output=True)
            times.append(time.monotonic() - began)
            after = os.times()
            user.append(after.children_user + after.children_system - before.children_user - before.children_system)
        git(mine, "checkout", "-q", ".")
    cpu = median(user[3::2]) - median(user[2::2])  # without the first of each, which makes the clone
    return {
        "dvc exp run, s": round(median(plain[1:]), 2),
        "mnist work, s": round(median(worked[1:]), 2),
        "beyond, s": round(median(worked[1:]) - median(plain[1:]), 2),
        "beyond, CPU s": round(cpu, 2),
        "repetitions": args.repeats,
    }


def idle(folder: Path, args: argparse.Namespace) -> dict[str, Any]:
    """The share of all cores that workers take which wait, with Dask's own settings and with those of the docs."""

    def cpu_seconds() -> float:
        times = [each.cpu_times() for each in psutil.Process().children(recursive=True)]
        return float(sum(each.user + each.system for each in times))

    found: dict[str, Any] = {"workers": args.workers}
    for name, settings in (("Dask's own", {}), ("recommended", QUIET)):
        place = folder / name.replace("'", "").replace(" ", "-")
        place.mkdir()
        with cluster(place, args.workers, settings=settings):
            time.sleep(5)
            before, began = cpu_seconds(), time.monotonic()
            time.sleep(20)
            used = (cpu_seconds() - before) / (time.monotonic() - began)
        found[name] = round(used / (os.cpu_count() or 1), 3)
    return found


def efficiency(folder: Path, args: argparse.Namespace) -> dict[str, Any]:
    """The efficiency of workers whose runs sleep."""
    mine = make_world(folder, args.runs // 2)
    with cluster(folder, args.workers, seconds=args.seconds) as address:
        seconds, largest, _ = drive(mine, address)
    ideal = args.seconds * args.runs / args.workers
    share = round(ideal / seconds, 3)
    return {
        "runs": args.runs, "workers": args.workers, "seconds of a run": args.seconds, "seconds": round(seconds),
        "efficiency": share, "driver, MB": round(largest),
    }  # fmt: skip


def many(folder: Path, args: argparse.Namespace) -> dict[str, Any]:
    """The cost of a run as results grow in number."""
    mine = make_world(folder, args.many // 2, pretence=True)
    with cluster(folder, args.slots // 4, threads=4) as address:
        seconds, largest, times = drive(mine, address, f"--seeds={args.many // 2}")
    tenth = len(times) // 10
    costs = [(times[(i + 1) * tenth - 1] - times[i * tenth]) / (tenth - 1) for i in range(10)]
    return {
        "runs": args.many, "workers": args.slots, "seconds": round(seconds), "driver, MB": round(largest),
        "seconds a run, by tenths": [round(each, 3) for each in costs],
        "the last half against the first without its first tenth": round(fmean(costs[5:]) / fmean(costs[1:5]), 3),
    }  # fmt: skip


def refs(folder: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Seconds of git's commands at an origin with so many results."""
    mine = make_world(folder, 5)
    commit = git(mine, "rev-parse", "HEAD")
    tree = git(mine, "rev-parse", "HEAD^{tree}")
    base = f"refs/exps/{commit[:2]}/{commit[2:]}"
    found: dict[str, Any] = {}
    for number in args.refs:
        origin = folder / f"origin-{number}"
        shutil.copytree(folder / "origin", origin)
        stream = "".join(
            f"commit {base}/r{i}\ncommitter test <test@localhost> {i} +0000\ndata 1\nr\nfrom {commit}\n"
            f"M 100644 inline result\ndata {len(str(i))}\n{i}\n"
            for i in range(number)
        )
        subprocess.run(["git", "fast-import", "--quiet"], cwd=origin, input=stream, text=True, check=True)
        run("git", "-C", origin, "pack-refs", "--all")
        url = f"file://{origin}"

        def timed(*words: str) -> float:
            times = []
            for _ in range(5):
                began = time.monotonic()
                run("git", "-C", mine, *[word.replace("NEW", str(time.monotonic_ns())) for word in words])
                times.append(time.monotonic() - began)
            return round(median(times), 3)

        made = git(mine, "commit-tree", tree, "-p", commit, "-m", "result")
        found[str(number)] = {
            "ls-remote of one": timed("ls-remote", url, f"{base}/r1"),
            "push of one": timed("push", "-q", f"--force-with-lease={base}/NEW:", url, f"{made}:{base}/NEW"),
            "fetch of one": timed("fetch", "-q", "--no-tags", url, f"+{base}/r1:{base}/x1"),
            "ls-remote of all": timed("ls-remote", url, f"{base}/*"),
        }
    return found


def queue(folder: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Rungs of the real ladder, through `mnist ladder run` and through DVC's own queue."""
    found: dict[str, Any] = {"rungs": args.rungs, "seeds": args.seeds}
    names = [f"{rung}-{seed}" for seed in range(args.seeds) for rung in args.rungs]
    from mnist_pipeline.ladder.spec import Run, load_ladder

    ladder = load_ladder(ROOT / "experiments.yaml", ROOT / "params.yaml")
    for way in ("mnist ladder run", "dvc queue"):
        clone = folder / way.replace(" ", "-")
        git(folder, "clone", "-q", str(args.repository), str(clone))
        cache = folder / f"cache-{way[:3]}"
        listed = subprocess.run(
            ["dvc", "cache", "dir"], cwd=args.repository, capture_output=True, text=True, check=True
        )
        shutil.copytree(args.repository / listed.stdout.strip() / "files", cache / "files")
        subprocess.run(["dvc", "config", "--local", "cache.dir", str(cache)], cwd=clone, check=True)
        subprocess.run(["dvc", "checkout", "-q"], cwd=clone, check=True)
        began = time.monotonic()
        if way == "dvc queue":
            for name in names:
                rung, _, seed = name.rpartition("-")
                settings = [word for each in ladder.settings(Run(rung, int(seed))) for word in ("-S", each)]
                words = ["dvc", "exp", "run", "--queue", "-n", name, *settings]
                subprocess.run(words, cwd=clone, check=True, capture_output=True)
            subprocess.run(["dvc", "queue", "start", "-j", "2"], cwd=clone, check=True, stdout=subprocess.DEVNULL)
            while len(run("git", "-C", clone, "for-each-ref", "refs/exps/??/*/*-*").splitlines()) < len(names):
                time.sleep(0.5)
        else:
            words = ["mnist", "ladder", "run", *args.rungs, f"--seeds={args.seeds}", "--jobs=2"]
            subprocess.run(words, cwd=clone, check=True)
        found[f"{way}, s"] = round(time.monotonic() - began)
    return found


SECTIONS: dict[str, Callable[[Path, argparse.Namespace], dict[str, Any]]] = {
    each.__name__: each for each in (overhead, idle, efficiency, many, refs, queue)
}


def main() -> None:
    """Run sections and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="*", choices=[*SECTIONS, []])
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--runs", type=int, default=160)
    parser.add_argument("--workers", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--many", type=int, default=2000)
    parser.add_argument("--slots", type=int, default=64)
    parser.add_argument("--refs", type=int, nargs="*", default=[100, 1000, 10_000, 100_000])
    parser.add_argument("--rungs", nargs="*", default=["momentum", "ten-epochs", "default", "deskew"])
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--repository", type=Path, default=ROOT, help="of section queue: with results of its HEAD")
    args = parser.parse_args()
    for role in ("AUTHOR", "COMMITTER"):
        os.environ |= {f"GIT_{role}_{what}": "test@localhost" for what in ("NAME", "EMAIL")}
    os.environ["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for name in args.sections or SECTIONS:
        with tempfile.TemporaryDirectory(
            prefix="scale-", ignore_cleanup_errors=True
        ) as folder:  # DVC's workers still end
            results[name] = SECTIONS[name](Path(folder), args)
        print(name, json.dumps(results[name], indent=2), flush=True)
        results.setdefault("cpu", {})[name] = environment()["cpu"]
        RESULTS.write_text(json.dumps(results, indent=2) + "\n")
    if PAGE.exists():
        PAGE.write_text(between_marks(PAGE.read_text("utf-8"), "scale", _tables(results)), "utf-8")


def _tables(results: dict[str, Any]) -> str:
    rows = [["what", "target", "measured", "on"]]

    def add(section: str, what: str, target: str, measured: str) -> None:
        rows.append([what, target, measured, short(results["cpu"][section])])

    if found := results.get("overhead"):
        times = [f"{found[name]} s" for name in ("dvc exp run, s", "mnist work, s", "beyond, s")]
        measured = f"{'; '.join(times)} (medians of {found['repetitions']})"
        add("overhead", "a run by `dvc exp run`; by `mnist work`; the difference", "; ; ≤ 3 s", measured)
    if found := results.get("idle"):
        what = f"share of all cores that {found['workers']} workers take that wait: Dask's own settings; recommended"
        add("idle", what, "", "; ".join(f"{found[name]:.0%}" for name in ("Dask's own", "recommended")))
    if found := results.get("efficiency"):
        what = f"{found['runs']} runs that sleep for {found['seconds of a run']:g} s, on {found['workers']} workers"
        add("efficiency", f"{what}: seconds", "", f"{found['seconds']}")
        share = f"{found['efficiency']:.2f}"
        add("efficiency", f"{what}: share of their time in which workers sleep", "≥ 0.85", share)
    if found := results.get("many"):
        what = f"{found['runs']:,} runs on {found['workers']} workers, with a stub in place of DVC"
        tenths = ", ".join(f"{each:.2f}" for each in found["seconds a run, by tenths"])
        add("many", f"{what}: seconds a run, by tenths of all", "not growing", tenths)
        add("many", f"{what}: memory of the command that dispatches", "≤ 500 MB", f"{found['driver, MB']} MB")
    if found := results.get("queue"):
        number = len(found["rungs"]) * found["seeds"]
        what = f"{number} experiments of the ladder by `mnist ladder run`, on two workers; by DVC's queue"
        times = [f"{found[name]} s" for name in ("mnist ladder run, s", "dvc queue, s")]
        add("queue", what, "no slower", "; ".join(times))
    text = markdown_table(rows)
    if "refs" in results:
        columns = list(next(iter(results["refs"].values())))
        timed = [[number, *(f"{each[column]} s" for column in columns)] for number, each in results["refs"].items()]
        header = ["results at the origin", *(f"`git {name}`" for name in columns)]
        text += f"\n\nOn {short(results['cpu']['refs'])}:\n\n" + markdown_table([header, *timed])
    return text


if __name__ == "__main__":
    main()
