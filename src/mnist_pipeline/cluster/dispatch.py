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

from mnist_pipeline.cluster.jobs import Course, Job, Place, Result, Task
from mnist_pipeline.cluster.origin import Origin
from mnist_pipeline.cluster.workers import KEYS, run_here, stop_here, words_for, workers_of
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
        place: where everything is, for the workers.
        repeat: the share of runs to do twice, on different workers; besides the first run of each worker.
        on_result: is called with each result as it comes.
        on_tick: is called about once a second.

    Attributes:
        courses: what happened, by the name of the run.
        distrusted: why the results of a worker do not count, by worker.
        refusing: why a worker takes no runs, by worker.
    """

    def __init__(
        self,
        client: Client,
        origin: Origin,
        place: Place,
        repeat: float = 0.0,
        on_result: Callable[[Course, Result], None] = lambda *_: None,
        on_tick: Callable[[Collection[str]], None] = lambda _: None,
    ) -> None:
        self.courses: dict[str, Course] = {}
        self.distrusted: dict[str, str] = {}
        self.refusing: dict[str, str] = {}
        self._client, self._origin, self._place, self._repeat = client, origin, place, repeat
        self._on_result, self._on_tick = on_result, on_tick
        self._waiting: deque[Task] = deque()
        self._running: dict[Future, Task] = {}
        self._ended: queue.SimpleQueue[Future] = queue.SimpleQueue()
        self._repeated: set[str] = set()  # workers of which a run was repeated
        self._earlier: list[Job] = []

    def run(self, jobs: Iterable[Job], earlier: Iterable[Job] = ()) -> list[Course]:
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
        return [self.courses[job.name] for job in wanted]

    def _add(self, task: Task, *, first: bool = False) -> None:
        self.courses.setdefault(task.job.name, Course(task.job))
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
            job, course = task.job, self.courses[task.job.name]
            future = self._client.submit(
                run_here,
                job.name,
                words_for(job, self._place, again=task.again),
                pure=False,
                workers=task.addresses,
                key=f"{KEYS}:{job.commit}:{job.name}:{course.submitted}",  # the same for a second dispatcher
                priority=int(task.again),
            )
            course.submitted += 1
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
        course = self.courses[result.name]
        course.attempts.append(result)
        match result.status:
            case "published" | "known" | "confirmed":
                self._accept(course, task, result)
            case "different":
                self._dispute(course, task, result)
            case "refused":
                self.refusing[result.worker] = result.log
                self._add(Task(task.job, task.again, task.without), first=True)
            case "failed":
                self._retry(course, task, result)
        self._on_result(course, result)

    def _accept(self, course: Course, task: Task, result: Result) -> None:
        """Take a result that counts, or one that is equal to it."""
        if result.status == "confirmed":
            course.confirmed_by.append(result.worker)
            for each in course.disputes:
                self._distrust(each.worker, each.log)
        if result.status != "confirmed" and result.worker in self.distrusted:
            self._redo(course.job, result.worker)
        elif course.result is None:
            course.result = result
            maker = result.other or result.worker
            chosen = int(hashlib.sha256(result.name.encode()).hexdigest()[:8], 16) < self._repeat * 16**8
            if self._repeat and not course.confirmed_by and (chosen or maker not in self._repeated):
                self._repeated.add(maker)
                self._add(Task(task.job, again=True, without={maker}), first=True)

    def _dispute(self, course: Course, task: Task, result: Result) -> None:
        """Two workers gave different bits: a third one says which of them was right."""
        first, others = result.other or "", list(course.disputes)
        if {first, result.worker} & self.distrusted.keys():
            return  # it is known who was wrong, and what they made is done again
        course.disputes.append(result)
        if any(each.tree == result.tree and each.worker != result.worker for each in others):
            self._distrust(first, result.log)  # sets its runs aside, this one too
        elif others:
            course.result = Result(result.name, "failed", result.worker, log=f"no two workers agree: {result.log}")
        else:
            self._add(Task(task.job, again=True, without={first, result.worker}), first=True)

    def _retry(self, course: Course, task: Task, result: Result) -> None:
        failures = [each for each in course.attempts if each.status == "failed"]
        without = task.without | {each.worker for each in failures if each.worker}
        others = {worker for worker, _ in workers_of(self._client).values()}
        others -= without | self.distrusted.keys() | self.refusing.keys()
        local = self._place.store is not None  # the same machine would fail in the same way
        if len(failures) < MOST_FAILURES and others and not local:
            self._add(Task(task.job, task.again, without), first=True)
        elif not task.again:
            course.result = result

    def _distrust(self, worker: str, why: str) -> None:
        """Give a worker no more runs; set aside what it published and nobody confirmed, to be done elsewhere."""
        if worker in self.distrusted:
            return
        self.distrusted[worker] = why
        for course in self.courses.values():
            made = course.result
            if made and made.status != "confirmed" and made.worker == worker and not course.confirmed_by:
                self._redo(course.job, worker)
        for job in self._earlier:
            if trailer(self._origin.repository, job.ref, WORKER) == worker:
                self._redo(job, worker)

    def _redo(self, job: Job, worker: str) -> None:
        self._origin.set_aside(job.ref, job.where, worker)
        course = self.courses.setdefault(job.name, Course(job))
        course.result, course.disputes = None, []
        self._add(Task(job, without={worker}), first=True)

    def _give_up(self) -> None:
        """No worker may do what is left: it fails, or stays unconfirmed."""
        for task in self._waiting:
            course = self.courses[task.job.name]
            if course.disputes or not task.again:
                reason = course.disputes[0].log if course.disputes else "no worker is there that may run it"
                course.result = Result(task.job.name, "failed", "", log=reason)
                self._on_result(course, course.result)
        self._waiting.clear()

    def _stop(self) -> None:
        """End what runs, as after Ctrl-C."""
        futures, self._running = list(self._running), {}
        try:
            self._client.cancel(futures, force=True)
            self._client.run(stop_here, on_error="ignore")
        except Exception as error:  # the scheduler may be gone, too; what stopped us is what matters
            logging.getLogger(__name__).debug("%r", error)
