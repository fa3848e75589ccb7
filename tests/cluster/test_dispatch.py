"""Many runs on workers: attempts, repetitions, and a worker that gives other bits. Here runs are a table of answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from distributed import Client, LocalCluster, get_worker

from mnist_pipeline.cluster import dispatch
from mnist_pipeline.cluster.dispatch import Dispatcher
from mnist_pipeline.cluster.jobs import Job, JobState, Locations, Result
from mnist_pipeline.cluster.origin import Origin

COMMIT = "c" * 40
JOBS = [Job(f"run-{number}", COMMIT) for number in range(12)]


class World:
    """What is published, and how each worker behaves.

    Attributes:
        wrong: workers that give other bits; each the same, or its own.
        breaks: says whether a worker fails at a run.
        refs: who published a run, by its ref.
        aside: what was set aside, and whose it was.
        did: which worker did what, whether again, in order.
    """

    def __init__(self) -> None:
        self.wrong: set[str] = set()
        self.breaks: Callable[[str, str], str | None] = lambda *_: None
        self.refs: dict[str, str] = {}
        self.aside: list[tuple[str, str]] = []
        self.did: list[tuple[str, str, bool]] = []

    def run(self, name: str, words: list[str]) -> dict[str, Any]:
        worker, again = f"w{get_worker().name}", "--again" in words
        self.did.append((worker, name, again))
        if broken := self.breaks(worker, name):
            return asdict(Result(name, broken, worker, log="broken"))  # type: ignore[arg-type]
        tree = f"wrong by {worker}" if worker in self.wrong else "right"
        first = self.refs.setdefault(name, worker)
        if first == worker:
            return asdict(Result(name, "published", worker, "0" * 40, tree))
        if not again:
            return asdict(Result(name, "known", first, "0" * 40))
        same = first not in self.wrong and worker not in self.wrong
        return asdict(Result(name, "confirmed" if same else "different", worker, "0" * 40, tree, first, log="other"))

    def set_aside(self, where: str, worker: str) -> None:
        name = where.rpartition("/")[2]
        assert self.refs.pop(name) == worker
        self.aside.append((name, worker))


WORLDS: list[World] = []
"""That of the test that runs: workers are threads of this process."""


def run_in_world(name: str, words: list[str]) -> dict[str, Any]:
    return WORLDS[-1].run(name, words)


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with LocalCluster(
        n_workers=3, processes=False, threads_per_worker=1, dashboard_address="127.0.0.1:0"
    ) as cluster, Client(cluster) as client:  # fmt: skip
        yield client


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    world = World()
    WORLDS.append(world)
    monkeypatch.setattr(dispatch, "run_here", run_in_world)
    monkeypatch.setattr(dispatch, "NO_WORKER_SECONDS", 0.0)
    monkeypatch.setattr(dispatch, "TICK_SECONDS", 0.05)
    monkeypatch.setattr(Origin, "set_aside", lambda *words: world.set_aside(*words[2:]))
    monkeypatch.setattr("mnist_pipeline.cluster.workers.identity_of", lambda name, _: f"w{name}")
    return world


def run(client: Client, repeat: float = 0.0, store: str | None = None) -> tuple[Dispatcher, list[JobState]]:
    locations = Locations("origin", store=store)
    dispatcher = Dispatcher(client, Origin(Path("mine"), "origin"), locations, repeat)
    states = dispatcher.run(JOBS)
    assert [state.job for state in states] == JOBS
    return dispatcher, states


def test_every_run_is_done_once_and_by_all_workers(client: Client, world: World) -> None:
    _, states = run(client)
    assert [state.result and state.result.status for state in states] == ["published"] * len(JOBS)
    assert Counter(name for _, name, _ in world.did) == {job.name: 1 for job in JOBS}
    assert len({worker for worker, _, _ in world.did}) > 1


def test_the_first_run_of_each_worker_and_a_share_of_all_are_done_twice(client: Client, world: World) -> None:
    _, states = run(client, repeat=0.3)
    assert all(state.result for state in states)
    confirmed = [state for state in states if state.confirmed_by]
    assert {state.result.worker for state in confirmed if state.result} == {worker for worker, *_ in world.did}
    assert all(state.result and state.confirmed_by != [state.result.worker] for state in confirmed)
    assert len(confirmed) < len(JOBS)


@pytest.mark.parametrize("bad", ["w0", "w1", "w2"])
def test_a_worker_that_gives_other_bits_is_named_and_its_runs_are_done_elsewhere(
    client: Client, world: World, bad: str
) -> None:
    world.wrong = {bad}
    dispatcher, states = run(client, repeat=0.05)
    if any(worker == bad for worker, _, _ in world.did):
        assert dispatcher.distrusted == {bad: "other"}
    assert set(world.refs) == {job.name for job in JOBS}
    assert bad not in world.refs.values()
    assert all(state.result and state.result.status in ("published", "known") for state in states)
    assert {worker for _, worker in world.aside} <= {bad}


def test_where_no_two_workers_agree_the_run_fails(client: Client, world: World) -> None:
    world.wrong = {"w0", "w1"}
    _, states = run(client, repeat=1.0)
    assert {state.result and state.result.status for state in states} == {"failed"}
    assert all(state.result and "no two workers agree" in state.result.log for state in states)
    assert not world.aside


@pytest.mark.parametrize(("store", "attempts"), [(None, 2), ("here", 1)])
def test_what_fails_is_tried_on_another_machine(client: Client, world: World, store: str | None, attempts: int) -> None:
    world.breaks = lambda _, name: "failed" if name == "run-3" else None
    _, states = run(client, store=store)
    (failed,) = (state for state in states if state.result and state.result.status == "failed")
    assert failed.job.name == "run-3"
    assert len({each.worker for each in failed.attempts}) == attempts


def test_a_worker_with_other_packages_gets_no_more_runs(client: Client, world: World) -> None:
    world.breaks = lambda worker, _: "refused" if worker == "w1" else None
    dispatcher, states = run(client)
    assert all(state.result and state.result.status == "published" for state in states)
    assert dispatcher.refusing in ({"w1": "broken"}, {})
    assert not dispatcher.distrusted
    world.breaks = lambda *_: "refused"
    dispatcher, states = run(client)
    assert {state.result and state.result.log for state in states} == {"no worker is there that may run it"}
