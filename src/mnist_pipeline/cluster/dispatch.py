"""Many runs on Dask's workers: attempts, repetitions, and workers whose results cannot be trusted.

What a run gave is decided at the origin (``work``), so that nothing here must survive: a dispatcher that is started
again does what is not done.
"""

from __future__ import annotations

import hashlib
import logging
import queue
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable

from distributed import Client, Future

from mnist_pipeline.cluster.jobs import Job, JobState, Locations, Result, Task
from mnist_pipeline.cluster.origin import Origin
from mnist_pipeline.cluster.workers import KEYS, arguments_of, run_here, stop_here, workers_of
from mnist_pipeline.core.errors import PipelineError
from mnist_pipeline.provenance.git import WORKER, trailer

TICK_SECONDS = 1.0
MOST_FAILURES = 2
"""On so many workers a run must fail to count as failed."""

NO_WORKER_SECONDS = 60.0
"""How long to wait for a worker that may do what is left."""


class Dispatcher:
    """Runs jobs on workers.

    Args:
        client: of Dask.
        origin: where results are published.
        locations: where everything is, for the workers.
        repeat: the share of runs to do twice, on different workers; besides the first run of each worker.
        on_result: is called with each result as it comes.
        on_tick: is called about once a second.

    Attributes:
        states: what happened, by the name of the run.
        distrusted: why the results of a worker do not count, by worker.
        refusing: why a worker takes no runs, by worker.
    """

    def __init__(
        self,
        client: Client,
        origin: Origin,
        locations: Locations,
        repeat: float = 0.0,
        on_result: Callable[[JobState, Result], None] = lambda *_: None,
        on_tick: Callable[[Collection[str]], None] = lambda _: None,
    ) -> None:
        self.states: dict[str, JobState] = {}
        self.distrusted: dict[str, str] = {}
        self.refusing: dict[str, str] = {}
        self._client, self._origin, self._locations, self._repeat = client, origin, locations, repeat
        self._on_result, self._on_tick = on_result, on_tick
        self._waiting: deque[Task] = deque()
        self._running: dict[Future, Task] = {}
        self._ended: queue.SimpleQueue[Future] = queue.SimpleQueue()
        self._repeated: set[str] = set()  # workers of which a run was repeated
        self._earlier: list[Job] = []

    def run(self, jobs: Iterable[Job], earlier: Iterable[Job] = ()) -> list[JobState]:
        """Run jobs; return what happened to them.

        Args:
            jobs: what is to do.
            earlier: what is done, and is to be done again if its worker turns out to give wrong bits.

        Raises:
            PipelineError: the scheduler is gone.
        """
        self._earlier += earlier
        wanted = list(jobs)
        for job in wanted:
            self._add(Task(job))
        idle_since = time.monotonic()
        try:
            while self._waiting or self._running:
                self._submit()
                if self._running:
                    idle_since = time.monotonic()
                elif time.monotonic() - idle_since > NO_WORKER_SECONDS:
                    self._give_up()
                self._collect()
                self._on_tick([task.job.name for task in self._running.values()])
        except BaseException:
            self._stop()
            raise
        return [self.states[job.name] for job in wanted]

    def _add(self, task: Task, *, first: bool = False) -> None:
        self.states.setdefault(task.job.name, JobState(task.job))
        (self._waiting.appendleft if first else self._waiting.append)(task)

    def _submit(self) -> None:
        """Give the workers enough to do; not more, since which worker may do what can change."""
        if not self._waiting:
            return
        present = workers_of(self._client)
        room = 2 * sum(threads for _, threads in present.values()) + 2
        held = []
        while self._waiting and len(self._running) < room:
            task = self._waiting.popleft()
            without = task.without | self.distrusted.keys() | self.refusing.keys()
            allowed = [address for address, (worker, _) in present.items() if worker not in without]
            if not allowed:
                held.append(task)
                continue
            task.addresses = allowed if without else None
            job, state = task.job, self.states[task.job.name]
            future = self._client.submit(
                run_here,
                job.name,
                arguments_of(job, self._locations, again=task.again),
                pure=False,
                workers=task.addresses,
                key=f"{KEYS}:{job.commit}:{job.name}:{state.submitted}",  # the same for a second dispatcher
                priority=int(task.again),
            )
            state.submitted += 1
            self._running[future] = task
            future.add_done_callback(self._ended.put)
        self._waiting.extendleft(reversed(held))

    def _collect(self) -> None:
        """Wait for a moment, and take what ended."""
        try:
            ended = [self._ended.get(timeout=TICK_SECONDS)]
            while not self._ended.empty():
                ended.append(self._ended.get_nowait())
        except queue.Empty:
            ended = []
        for future in ended:
            if (task := self._running.pop(future, None)) is not None:
                self._take(task, future)
        if self._client.status not in ("running", "connecting"):
            raise PipelineError("the scheduler is gone; what is done is at the origin: run the command again")
        present = workers_of(self._client)
        for future, task in list(self._running.items()):
            if task.addresses is not None and not present.keys() & set(task.addresses):
                del self._running[future]  # those that could do it are gone
                future.cancel()
                self._add(task, first=True)

    def _take(self, task: Task, future: Future) -> None:
        if future.status in ("cancelled", "lost"):  # the scheduler forgot it, as after a restart
            self._add(task, first=True)
            return
        if future.status == "finished":
            result = Result(**future.result())
        else:
            result = Result(task.job.name, "failed", "", log=f"no worker finished it: {future.exception()!r}")
        state = self.states[result.name]
        state.attempts.append(result)
        match result.status:
            case "published" | "known" | "confirmed":
                self._accept(state, task, result)
            case "different":
                self._dispute(state, task, result)
            case "refused":
                self.refusing[result.worker] = result.log
                self._add(Task(task.job, task.again, task.without), first=True)
            case "failed":
                self._retry(state, task, result)
        self._on_result(state, result)

    def _accept(self, state: JobState, task: Task, result: Result) -> None:
        """Take a result that counts, or one that is equal to it."""
        if result.status == "confirmed":
            state.confirmed_by.append(result.worker)
            for each in state.disputes:
                self._distrust(each.worker, each.log)
        if result.status != "confirmed" and result.worker in self.distrusted:
            self._redo(state.job, result.worker)
        elif state.result is None:
            state.result = result
            maker = result.other or result.worker
            chosen = int(hashlib.sha256(result.name.encode()).hexdigest()[:8], 16) < self._repeat * 16**8
            if self._repeat and not state.confirmed_by and (chosen or maker not in self._repeated):
                self._repeated.add(maker)
                self._add(Task(task.job, again=True, without={maker}), first=True)

    def _dispute(self, state: JobState, task: Task, result: Result) -> None:
        """Two workers gave different bits: a third one says which of them was right."""
        first, others = result.other or "", list(state.disputes)
        if {first, result.worker} & self.distrusted.keys():
            return  # it is known who was wrong, and what they made is done again
        state.disputes.append(result)
        if any(each.tree == result.tree and each.worker != result.worker for each in others):
            self._distrust(first, result.log)  # sets its runs aside, this one too
        elif others:
            state.result = Result(result.name, "failed", result.worker, log=f"no two workers agree: {result.log}")
        else:
            self._add(Task(task.job, again=True, without={first, result.worker}), first=True)

    def _retry(self, state: JobState, task: Task, result: Result) -> None:
        failures = [each for each in state.attempts if each.status == "failed"]
        without = task.without | {each.worker for each in failures if each.worker}
        others = {worker for worker, _ in workers_of(self._client).values()}
        others -= without | self.distrusted.keys() | self.refusing.keys()
        local = self._locations.store is not None  # the same machine would fail in the same way
        if len(failures) < MOST_FAILURES and others and not local:
            self._add(Task(task.job, task.again, without), first=True)
        elif not task.again:
            state.result = result

    def _distrust(self, worker: str, why: str) -> None:
        """Give a worker no more runs; set aside what it published and nobody confirmed, to be done elsewhere."""
        if worker in self.distrusted:
            return
        self.distrusted[worker] = why
        for state in self.states.values():
            made = state.result
            if made and made.status != "confirmed" and made.worker == worker and not state.confirmed_by:
                self._redo(state.job, worker)
        for job in self._earlier:
            if trailer(self._origin.repository, job.ref, WORKER) == worker:
                self._redo(job, worker)

    def _redo(self, job: Job, worker: str) -> None:
        self._origin.set_aside(job.ref, job.where, worker)
        state = self.states.setdefault(job.name, JobState(job))
        state.result, state.disputes = None, []
        self._add(Task(job, without={worker}), first=True)

    def _give_up(self) -> None:
        """No worker may do what is left: it fails, or stays unconfirmed."""
        for task in self._waiting:
            state = self.states[task.job.name]
            if state.disputes or not task.again:
                reason = state.disputes[0].log if state.disputes else "no worker is there that may run it"
                state.result = Result(task.job.name, "failed", "", log=reason)
                self._on_result(state, state.result)
        self._waiting.clear()

    def _stop(self) -> None:
        """End what runs, as after Ctrl-C."""
        futures, self._running = list(self._running), {}
        try:
            self._client.cancel(futures, force=True)
            self._client.run(stop_here, on_error="ignore")
        except Exception as error:  # the scheduler may be gone, too; what stopped us is what matters
            logging.getLogger(__name__).debug("%r", error)
