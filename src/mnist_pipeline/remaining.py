"""How long a queue of runs still takes."""

from __future__ import annotations

from collections import Counter
from statistics import fmean

from mnist_pipeline.ladder import Run

OTHER_SECONDS = 8.0
"""What an experiment takes beyond training, roughly: evaluation, pictures, DVC."""


class Remaining:
    """An estimate from the seconds that the last run of each rung took.

    Args:
        known: seconds of training, by rung; a rung not in it counts as the mean of those known.
        left: the runs to come.
        jobs: how many run at once.
    """

    def __init__(self, known: dict[str, float], left: list[Run], jobs: int) -> None:
        self._known = dict(known)
        self._left = Counter(run.rung for run in left)
        self._jobs = jobs

    def note(self, run: Run, seconds: float | None) -> None:
        """Say that a run ended, after so many seconds of training."""
        self._left[run.rung] -= 1
        if seconds is not None:
            self._known[run.rung] = seconds

    @property
    def seconds(self) -> float | None:
        """Seconds until all is done; None: nothing is known yet."""
        if not self._known:
            return None
        usual = fmean(self._known.values())
        total = sum(number * (self._known.get(rung, usual) + OTHER_SECONDS) for rung, number in self._left.items())
        return total / self._jobs

    def __str__(self) -> str:
        if not sum(self._left.values()):
            return "all done"
        if self.seconds is None:
            return "time left not known yet"
        if self.seconds < 90:
            return f"about {self.seconds:.0f} s left"
        return f"about {self.seconds / 60:.0f} min left"
