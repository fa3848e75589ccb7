"""Every command under every fault. A case prepares, runs a command under a fault, recovers, and compares."""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random

import psutil

from mnist_pipeline.core.arrays import load_arrays
from mnist_pipeline.core.errors import PipelineError
from mnist_pipeline.data.dataset import load_dataset
from mnist_pipeline.models.classifier import load_classifier
from tests.conftest import ROOT
from tests.torture.worlds import BASES, MAKE_REPRO, STUCK_SECONDS, World, Wrong, difference

QUICK = "mnist doctor --fix --quick"  # DVC cannot read a dvc.lock that it had half written when it was killed
DOCTOR = "{ mnist doctor --fix || true; }"  # what it removed because it was damaged is missing, which is its status
EDIT = "echo edited >> README.md"
BACK = ("mnist reset --yes", "mnist preset quick --force", MAKE_REPRO, f"{DOCTOR} && {MAKE_REPRO}")
"""The documented ways back from an experiment that was killed."""

OTHER_RUN = "sed -i 's/epochs: 2/epochs: 3/' params.yaml && dvc repro -q"
DAMAGE = "for file in $(find .dvc/cache -type f -path '*md5*'); do chmod +w $file; echo x >> $file; done"
NOTED = "git ls-files | xargs touch -d '1 hour ago'; git config core.trustctime false; git status; dvc status -q"
"""Lets git and DVC note files that were not written just now. No program can set the time of a file's last change."""

STAGES = ("check", "fetch", "validate", "check_data", "audit", "train", "evaluate", "plot", "card")
WHO = {
    "mnist": r"mnist (preset|ladder|sweep|verify|reset|doctor)",
    "dvc": r"dvc (exp run|repro|checkout|data)",
    "stage": r"(stages|code)/\w+\.py",
    "worker": r"mnist_pipeline\.cli\.main work",
    "all": "",
}
"""Processes, by a pattern of their command."""


@dataclass(frozen=True)
class Row:
    """A command: the repository, what comes before it, which of its processes are killed, and what recovers from it."""

    base: str
    command: str
    ways: tuple[str, ...] = (MAKE_REPRO,)
    who: tuple[str, ...] = ("dvc", "all")
    before: str = "true"


ROWS = {
    **{
        f"stage {name}": Row(
            "real", one := f"dvc repro --single-item --force {name}", (MAKE_REPRO, f"{QUICK} && {one} && {MAKE_REPRO}"),
            ("stage", "stage", "dvc", "all"),
        )
        for name in STAGES
    },
    "repro": Row("small", "dvc repro --force"),
    "exp run": Row("small", "dvc exp run -n x -S train.epochs=4", BACK, before=EDIT),
    "exp run -m": Row("small", "dvc exp run -n x -m Results -S train.epochs=4", BACK, before=EDIT),
    "preset": Row("small", "mnist preset quick", BACK, ("mnist", "dvc", "all"), EDIT),
    "ladder run": Row("small", again := "mnist ladder run", (again,), ("mnist", "dvc", "worker", "all")),
    "ladder report": Row("ladder", again := "mnist ladder report", (again,), ("all",)),
    "verify": Row("small", again := "mnist verify --quiet", (again,), ("mnist", "dvc", "all")),
    "reset": Row("small", again := "mnist reset --yes", (again,), ("mnist", "dvc", "all"), OTHER_RUN),
    "doctor": Row("small", "mnist doctor --fix", (f"{DOCTOR} && {MAKE_REPRO}",), ("mnist", "dvc", "all"), DAMAGE),
}  # fmt: skip

PATTERNS = {
    "data/raw/*.csv": ("real", "dvc repro -s -f validate"),
    "data/prepared/train.safetensors": ("real", "dvc repro -s -f train"),
    "data/prepared/test.safetensors": ("real", "dvc repro -s -f evaluate"),
    "models/classifier.safetensors": ("real", "dvc repro -s -f evaluate"),
    "models/classifier.onnx": ("real", "dvc repro -s -f evaluate"),
    "models/*.csv": ("real", "dvc repro -s -f plot"),
    "models/e*.safetensors": ("real", "dvc repro -s -f plot"),
    "metrics/*.csv": ("real", "dvc repro -s -f plot"),
    "metrics/*.json": ("real", "dvc repro -s -f card"),
    ".scratch/train/*": ("real", "dvc repro -s -f train"),
    "dvc.lock": ("small", MAKE_REPRO),
    ".dvc/cache/files/md5/*/*": ("small", "rm -r data models metrics && dvc checkout && dvc repro"),
    ".dvc/cache/runs/*/*/*": ("small", "rm dvc.lock && dvc repro"),
    "m*s/*.*": ("small", "mnist compare HEAD workspace"),
    "data/prepared/*": ("small", "dvc repro"),
    "metrics/ladder_runs.csv": ("ladder", "mnist ladder report"),
}
"""Files in which bits flip, and what reads them."""


def _content(path: Path) -> object:
    file = load_arrays(path, "arrays")
    return file.metadata, {name: array.tobytes() for name, array in file.arrays.items()}


def _classifier(path: Path) -> object:
    classifier = load_classifier(path)
    return repr(classifier), {name: weight.numpy().tobytes() for name, weight in classifier.state_dict().items()}


def _dataset(path: Path) -> object:
    return [each.tobytes() if hasattr(each, "tobytes") else each for each in vars(load_dataset(path)).values()]


READERS: dict[str, Callable[[Path], object]] = {
    "data/prepared/train.safetensors": _dataset,
    "data/prepared/test.safetensors": _dataset,
    "models/classifier.safetensors": _classifier,
    "models/examples.safetensors": _content,
    "models/figure_samples.safetensors": _content,
    ".scratch/train/*.safetensors": _content,
}
"""Files with a checksum inside, and what reads them."""

EXAMPLES = 200
"""Damaged inputs of a case."""

CALLS = 470
"""Of files and of git, after which DVC is killed; an experiment makes about 460."""

PAIRED = (
    "dvc repro --force", "dvc exp run -n x -S train.epochs=4", "mnist preset quick --force", "mnist ladder run",
    "mnist ladder report", "mnist verify --quiet", "mnist reset --yes", "mnist doctor --fix", "mnist runs",
    "mnist compare HEAD workspace",
)  # fmt: skip


class Suite:
    """Runs cases, each in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._known: dict[object, tuple[dict[str, str], float]] = {}
        self._locks: dict[object, threading.Lock] = defaultdict(threading.Lock)

    def base(self, name: str) -> Path:
        """Return a repository to copy; made when it is first asked for."""
        path = self.folder / f"base-{name}"
        with self._locks[name]:
            if not path.exists():
                BASES[name](path)
        return path

    @contextmanager
    def world(self, base: str, name: str, disk: bool = False) -> Iterator[World]:
        """Make a copy of a repository, on a file system of its own if need be."""
        folder, path = self.folder / re.sub(r"\W+", "-", name), self.base(base)
        folder.mkdir()
        if disk:
            subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1g", "torture", folder], check=True)
        world = World(path, folder)
        try:
            yield world
        finally:
            world.clear(unmount=disk)

    def without_fault(self, base: str, *commands: str) -> tuple[dict[str, str], float]:
        """The state after commands without a fault, and how long they took; each is run once."""
        key = (base, commands)
        with self._locks[key]:
            if key not in self._known:
                with self.world(base, f"expected {len(self._known)} {threading.get_ident()}") as world:
                    started = time.monotonic()
                    for command in commands:
                        world.ended(world.start(command), command)
                    self._known[key] = world.state(), time.monotonic() - started
            return self._known[key]

    def must_be(self, world: World, *histories: tuple[str, ...], base: str, damaged: str = "") -> None:
        """Check that the state is that after one of some histories without a fault, but for files with an MD5."""
        found = world.state()
        copies = [name for name, md5 in found.items() if md5 == damaged]
        found |= dict.fromkeys(copies, "") | {"status": without(copies, found["status"])}
        states = {history: dict(self.without_fault(base, *history)[0]) for history in histories}
        for state in states.values():
            state.update(dict.fromkeys(copies, ""), status=without(copies, state["status"]))
        differences = {history: difference(found, state, history[-1]) for history, state in states.items()}
        if all(differences.values()):
            shown = "\n".join(f"after {' && '.join(history)}:\n{text}" for history, text in differences.items())
            raise Wrong("silent", f"the state is not that\n{shown}")

    def recover(self, world: World, row: Row, random: Random) -> None:
        """Recover in one of the ways, to what it gives without the command, or after it without a fault."""
        way = random.choice(row.ways)
        world.must(way)
        self.must_be(world, (row.before, way), (row.before, row.command, way), base=row.base)

    def kill(self, name: str, random: Random, place: str) -> bool:
        """Kill some process of a command at some moment."""
        row = ROWS[name]
        _, seconds = self.without_fault(row.base, row.before, row.command)
        seconds -= self.without_fault(row.base, row.before)[1]
        with self.world(row.base, place) as world:
            world.must(row.before)
            process = world.start(row.command)
            with suppress(subprocess.TimeoutExpired):
                process.wait(random.uniform(0, seconds))
            number = random.choice([signal.SIGKILL] * 6 + [signal.SIGTERM, signal.SIGHUP])
            hit = world.processes(WHO[random.choice(row.who)]) or world.processes()
            for each in hit:
                with suppress(psutil.Error):
                    each.send_signal(number)
            status, _ = world.ended(process, row.command)
            # DVC takes a process that nobody has reaped for one that holds its lock; what was not hit ends by itself.
            psutil.wait_procs([*hit, *world.processes()], timeout=STUCK_SECONDS)
            self.recover(world, row, random)
        return status != 0

    def kill_at_call(self, name: str, random: Random, place: str) -> bool:
        """Kill DVC right after a call that changes files or git; its number is that of the case."""
        row, number = ROWS[name], int(place.rsplit(" ", 1)[-1]) + 1
        with self.world(row.base, place) as world:
            world.must(row.before)
            killing = f"PYTHONPATH={shlex.quote(str(ROOT))} python -m tests.torture.killed_dvc {number}"
            status, _ = world.ended(world.start(row.command.replace("dvc", killing, 1)), row.command)
            self.recover(world, row, random)
        return status != 0

    def fill_disk(self, name: str, random: Random, place: str) -> bool:
        """Let the disk be full after some pages that a command writes, or let nothing be written to it."""
        row = ROWS[name]
        with self.world(row.base, place, disk=True) as world:
            world.must(row.before)
            usage = os.statvfs(world.folder)
            used = (usage.f_blocks - usage.f_bfree) * usage.f_frsize
            pages = int(2 ** random.uniform(0, 10))
            _remount(world.folder, "ro" if random.random() < 0.1 else f"size={used + 4096 * pages}")
            process = world.start(row.command)
            with suppress(subprocess.TimeoutExpired):  # DVC waits for space where it cannot write its notes of times
                process.wait(STUCK_SECONDS / 2)
            _remount(world.folder, "rw,size=1g")
            status, _ = world.ended(process, row.command)
            self.recover(world, row, random)
        return status != 0

    def flip(self, pattern: str, random: Random, place: str) -> bool:
        """Flip a bit of a file, whose size and time stay as they were, before something reads it."""
        base, command = PATTERNS[pattern]
        row = Row(base, command, (f"{DOCTOR} && {MAKE_REPRO}",))
        with self.world(base, place) as world:
            world.run(NOTED)
            files = [each for each in world.path.glob(pattern) if each.is_file() and each.name != ".gitignore"]
            file = random.choice(sorted(each for each in files if each.stat().st_size))
            flip_bit(file, random)
            damaged = hashlib.md5(file.read_bytes()).hexdigest()
            status, _ = world.ended(world.start(command), command)
            if status == 0:  # nothing read the file, or DVC copied it: the recovery must restore it
                self.must_be(world, (command,), base=base, damaged=damaged)
            self.recover(world, row, random)
        return status != 0

    def flip_and_read(self, pattern: str, random: Random, _: str) -> bool:
        """Flip a bit of a file that has a checksum inside, and read it in this process."""
        base, read = self.base("real"), READERS[pattern]
        (original,) = base.glob(pattern)
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            file = Path(folder, original.name)
            shutil.copyfile(original, file)
            expected = read(file)
            flip_bit(file, random)
            try:
                found = read(file)
            except PipelineError:
                return True
        if found != expected:
            raise Wrong("silent", f"{pattern} is read as another")
        return False

    def fuzz(self, kind: str, random: Random, _: str) -> bool:
        """Read damaged inputs."""
        command = [sys.executable, "-m", "tests.torture.fuzz", kind, str(random.randrange(2**32)), str(EXAMPLES)]
        ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=STUCK_SECONDS * 20)
        if ran.returncode:
            raise Wrong("traceback", f"{' '.join(command)}\n{ran.stdout}{ran.stderr}")
        return True

    def pair(self, name: str, random: Random, place: str) -> bool:
        """Run two commands side by side."""
        first, second = (PAIRED[int(each)] for each in name.split())
        with self.world("small", place) as world:
            processes = [world.start(first)]
            with suppress(subprocess.TimeoutExpired):
                processes[0].wait(random.uniform(0, 2))
            processes.append(world.start(second))
            statuses = [world.ended(each, f"{first} | {second}")[0] for each in processes]
            way = f"{DOCTOR} && mnist reset --yes && {MAKE_REPRO}"
            if first.startswith("dvc exp") and second.startswith("dvc exp"):
                way = f"git checkout -q main && {way}"  # either may put git back to where it found it
            if written := {first, second} & {"mnist ladder report"}:
                way += " && mnist ladder report"  # dvc exp run resets what is written while it begins
            world.must(way)
            self.must_be(world, (MAKE_REPRO, *written), base="small")
        return any(statuses)


def without(names: list[str], status: str) -> str:
    """What git says of other files."""
    return "\n".join(line for line in status.split("\n") if line.split()[-1:] not in [[name] for name in names])


def _remount(folder: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", folder], check=True)


def flip_bit(file: Path, random: Random) -> None:
    """Flip a bit as a disk does: neither the size nor the time changes."""
    content, status = bytearray(file.read_bytes()), file.stat()
    content[random.randrange(len(content))] ^= 1 << random.randrange(8)
    file.chmod(0o644)
    file.write_bytes(content)
    file.chmod(status.st_mode)
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))


FAULTS: dict[str, tuple[Callable[[Suite, str, Random, str], bool], dict[str, int]]] = {
    "kill": (
        Suite.kill,
        {**{f"stage {name}": 25 for name in STAGES}, "repro": 150, "exp run": 180, "preset": 220, "ladder run": 50,
         "ladder report": 50, "verify": 50, "reset": 60, "doctor": 40},
    ),
    "kill at a call": (Suite.kill_at_call, dict.fromkeys(("exp run", "exp run -m"), CALLS)),
    "full disk": (
        Suite.fill_disk,
        {"stage validate": 10, "stage train": 10, "stage plot": 10, "repro": 60, "exp run": 40, "preset": 60,
         "ladder report": 10, "verify": 10, "reset": 20, "doctor": 20},
    ),
    "flipped bit": (Suite.flip, dict.fromkeys(PATTERNS, 16)),
    "flipped bit, read": (Suite.flip_and_read, dict.fromkeys(READERS, 125)),
    "damaged input": (Suite.fuzz, dict.fromkeys(("CSV", "IDX", "YAML", "model", "picture", "HTTP"), 10)),
    "side by side": (
        Suite.pair, {f"{first} {second}": 2 for first in range(len(PAIRED)) for second in range(len(PAIRED))},
    ),
}  # fmt: skip
"""Each fault, with how often it meets what."""
