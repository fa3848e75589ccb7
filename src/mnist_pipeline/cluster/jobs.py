"""A run, where it gets and leaves its files, its results and its state."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from ruamel.yaml import YAML

from mnist_pipeline.core.yaml import flatten

Status = Literal["published", "confirmed", "known", "different", "failed", "refused"]
"""published: its result is new at the origin. confirmed: it was there, and came out again. known: it was there, and
nothing ran. different: it was there, and came out otherwise. failed: see its log. refused: not on this worker."""

LOCAL = "local"
"""In the place of a scheduler's address: workers run in this process."""

PORTABLE = {"numerics": "portable", "device": "cpu"}
"""The settings of ``runtime`` that give the same bits on every machine."""


@dataclass(frozen=True)
class Job:
    """One experiment.

    Attributes:
        name: of the experiment.
        commit: full hash of the commit that it starts from.
        settings: arguments of -S, such as ("train.seed=3",).
        targets: stages to run; (): all.
        message: what the experiment's commit says.
    """

    name: str
    commit: str
    settings: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    message: str = ""

    @property
    def ref(self) -> str:
        """The ref of its result, as DVC names it."""
        return f"refs/exps/{self.where}"

    @property
    def where(self) -> str:
        """The commit and the name, as in refs."""
        return f"{self.commit[:2]}/{self.commit[2:]}/{self.name}"


@dataclass(frozen=True)
class Locations:
    """Where runs get what they need, and leave what they made.

    Attributes:
        origin: git's address of the repository.
        clones: folder for the clones of a worker; None: in the user's cache.
        store: a folder to use as DVC's remote, on the one machine where all run; None: the remote of the repository.
        checkpoints: a folder, or the name of a DVC remote, through which checkpoints travel; None: they do not.
        any_numerics: whether to run numerics whose bits depend on the machine.
    """

    origin: str
    clones: str | None = None
    store: str | None = None
    checkpoints: str | None = None
    any_numerics: bool = False


@dataclass(frozen=True)
class Result:
    """What became of a run.

    Attributes:
        name: of the run.
        status: how it ended.
        worker: who ran it; for "known" who had published it.
        commit: of its result; None: there is none.
        tree: hash of all its files; None: nothing ran.
        other: who published the result that it was compared with.
        seconds: of training; None: unknown.
        log: the end of what it printed, or why it was refused.
    """

    name: str
    status: Status
    worker: str
    commit: str | None = None
    tree: str | None = None
    other: str | None = None
    seconds: float | None = None
    log: str = ""


@dataclass
class JobState:
    """A run and all that happened to it.

    Attributes:
        job: the run.
        result: that counts; None: none yet.
        attempts: every result so far, the failed ones, too.
        confirmed_by: workers that gave the same bits again.
        disputes: results with other bits than the one that counts, until it is known who is right.
        submitted: how often it was given to workers.
    """

    job: Job
    result: Result | None = None
    attempts: list[Result] = field(default_factory=list)
    confirmed_by: list[str] = field(default_factory=list)
    disputes: list[Result] = field(default_factory=list)
    submitted: int = 0


@dataclass
class Task:
    """Something that a worker is to do.

    Attributes:
        job: the run.
        again: whether to repeat a run whose result is published.
        without: workers that must not do it.
        addresses: of the workers that may, once it is submitted; None: all.
    """

    job: Job
    again: bool = False
    without: set[str] = field(default_factory=set)
    addresses: list[str] | None = None


def is_portable(params: dict[str, Any], settings: Iterable[str] = ()) -> bool:
    """Whether the bits of a run are the same on every machine.

    Args:
        params: content of params.yaml; one without ``runtime`` is taken for portable.
        settings: that change it, as for -S.
    """
    values = {**flatten(params), **dict(setting.split("=", 1) for setting in settings)}
    return [values.get(f"runtime.{name}", usual) for name, usual in PORTABLE.items()] == list(PORTABLE.values())


def differing_settings(params: dict[str, Any], settings: Iterable[str]) -> list[str]:
    """List the settings, as for -S, that a params.yaml does not have, each with what it has instead."""
    values = flatten(params)
    pairs = [setting.split("=", 1) for setting in settings]
    return [
        f"{name} is {values.get(name)}, not {text}"
        for name, text in pairs
        if values.get(name) != YAML(typ="safe").load(text)
    ]
