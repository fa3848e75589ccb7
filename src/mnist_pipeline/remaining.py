"""How long a queue of runs still takes."""

from __future__ import annotations

from collections import Counter
from statistics import fmean

from mnist_pipeline.ladder import Run

OTHER_STAGES_SECONDS = 8.0
"""What an experiment takes beyond training, roughly: evaluation, pictures, DVC."""


class Remaining:
    """An estimate from the seconds that runs of the same rung took, corrected by how long this queue has taken so far.

    Args:
        known: seconds of training, by rung; a rung not in it counts as the mean of those known.
        left: the runs to come.
        jobs: how many run at once.
    """

    def __init__(self, known: dict[str, float], left: list[Run], jobs: int) -> None:
        self._known = dict(known)
        self._left = Counter(run.rung for run in left)
        self._jobs = jobs
        self._done: Counter[str] = Counter()
        self._elapsed = 0.0

    def note(self, run: Run, seconds: float | None, elapsed: float) -> None:
        """Say that a run ended, after so many seconds of training, and so many since the queue was started."""
        self._left[run.rung] -= 1
        self._done[run.rung] += 1
        self._elapsed = elapsed
        if seconds is not None:
            self._known[run.rung] = seconds

    @property
    def seconds(self) -> float | None:
        """Seconds until all is done; None: nothing is known yet."""
        if not self._known:
            return None
        expected_so_far = self._expected(self._done) / self._jobs
        pace = self._elapsed / expected_so_far if expected_so_far else 1.0
        return pace * self._expected(self._left) / self._jobs

    def _expected(self, runs: Counter[str]) -> float:
        usual = fmean(self._known.values())
        return sum(number * (self._known.get(rung, usual) + OTHER_STAGES_SECONDS) for rung, number in runs.items())

    def __str__(self) -> str:
        if not sum(self._left.values()):
            return "all done"
        if self.seconds is None:
            return "time left not known yet"
        if self.seconds < 90:
            return f"about {self.seconds:.0f} s left"
        return f"about {self.seconds / 60:.0f} min left"
