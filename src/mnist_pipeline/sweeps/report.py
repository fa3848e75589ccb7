"""What a sweep found: a table, how much each setting matters, a figure, and the best settings."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from mnist_pipeline.core.tables import text_table
from mnist_pipeline.experiments.best import compare_rows
from mnist_pipeline.experiments.overview import Row, load_entries
from mnist_pipeline.experiments.runs import SEED
from mnist_pipeline.experiments.significance import verdict_of
from mnist_pipeline.figures.style import BLUE, GREY, ORANGE, new_figure
from mnist_pipeline.params.overrides import settings_of
from mnist_pipeline.sweeps.search import Trial
from mnist_pipeline.sweeps.spec import Sweep

FEW = 8
"""With fewer trials, importance is noise."""


def describe(sweep: Sweep, rounds: Sequence[Sequence[Trial]], scores: Mapping[str, float]) -> str:
    """Return a table of the trials, those that got furthest first, and then the best."""
    furthest = {trial.number: trial for trials in rounds for trial in trials}
    order = sorted(furthest.values(), key=lambda trial: (-trial.amount, -scores[trial.name], trial.number))
    amounts = [trials[0].amount for trials in rounds]
    rows = [["trial", *(name.split(".")[-1] for name in sweep.space), *(f"{sweep.halving.param}={a}" for a in amounts)]]
    for trial in order:
        names = [next((each.name for each in trials if each.number == trial.number), "") for trials in rounds]
        shown = ["" if name not in scores else _score(scores[name]) for name in names]
        rows.append([f"{trial.number:03d}", *(str(trial.settings[name]) for name in sweep.space), *shown])
    return text_table(rows)


def _score(score: float) -> str:
    return "diverged" if score == -math.inf else f"{score:.4f}"


def best_settings(winner: Trial) -> str:
    """Return the arguments of `dvc exp run` that give the winner."""
    return " ".join(f"-S {shlex.quote(each)}" for each in settings_of(winner.settings) if not each.startswith(SEED))


def importance(sweep: Sweep, trials: Sequence[Trial], scores: Mapping[str, float]) -> dict[str, float]:
    """Return how much each setting matters, from trials with the same amount of training.

    It is the permutation importance (Breiman 2001) of a random forest that predicts the rank of a trial from its
    settings: by how much R² falls if one setting is shuffled, as a share of the sum. Negative ones count as 0.
    """
    from scipy.stats import rankdata
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.inspection import permutation_importance

    places = np.array([[axis.place(trial.settings[name]) for name, axis in sweep.space.items()] for trial in trials])
    ranks = rankdata([scores[trial.name] for trial in trials])
    forest = RandomForestRegressor(300, random_state=0).fit(places, ranks)
    found = permutation_importance(forest, places, ranks, n_repeats=20, random_state=0).importances_mean.clip(0)
    return dict(zip(sweep.space, (found / (found.sum() or 1)).tolist(), strict=True))


def draw_trials(sweep: Sweep, trials: Sequence[Trial], scores: Mapping[str, float], winner: int) -> Figure:
    """Draw parallel coordinates: a line for each trial, that of the winner orange, those that diverged grey."""
    figure = new_figure(2.2 * (len(sweep.space) + 1) + 1, 4.6)
    axes = figure.subplots()
    known = [scores[trial.name] for trial in trials if scores[trial.name] > -math.inf]
    low, high = min(known), max(known)
    for trial in sorted(trials, key=lambda trial: (trial.number == winner, scores[trial.name])):
        score = scores[trial.name]
        height = (score - low) / (high - low or 1) if score > -math.inf else -0.06
        line = [axis.place(trial.settings[name]) for name, axis in sweep.space.items()] + [height]
        colour = ORANGE if trial.number == winner else GREY if score == -math.inf else BLUE
        axes.plot(line, color=colour, alpha=1 if trial.number == winner else 0.15 + 0.6 * max(height, 0), linewidth=1.6)
    for place, (name, axis) in enumerate([*sweep.space.items(), (sweep.metric, None)]):
        axes.axvline(place, color="black", linewidth=0.8)
        ticks = [0.0, 0.5, 1.0]
        texts = [f"{low + tick * (high - low):.4f}" for tick in ticks]
        if axis is not None:
            ticks = [axis.place(each) for each in axis.choices] if axis.choices else ticks
            texts = [str(each) for each in axis.choices] if axis.choices else [str(axis.at(tick)) for tick in ticks]
        for tick, text in zip(ticks, texts, strict=True):
            axes.annotate(text, (place, tick), xytext=(4, 0), textcoords="offset points", va="center", fontsize=8)
        axes.annotate(name, (place, 1.08), ha="center", fontsize=9)
    axes.set_axis_off()
    axes.set_ylim(-0.1, 1.15)
    figure.suptitle(f"{len(trials)} trials with {sweep.halving.param} = {trials[0].amount}")
    return figure


def confirmed(repository: Path, sides: Mapping[str, Sequence[Trial]]) -> str:
    """Say whether the winner is better than params.yaml as it is, on seeds that no trial had."""
    entries = {each.name: each for each in reversed(load_entries(repository))}  # the newest of a name
    rows = {side: Row(side, [entries[trial.name] for trial in trials]) for side, trials in sides.items()}
    estimate = compare_rows(repository, rows["default"], rows["best"])
    means = [f"{side} {row.validation or 0:.4f} ± {row.std('validation') or 0:.4f}" for side, row in rows.items()]
    said = f"With {len(sides['best'])} fresh seeds, on the validation set: {', '.join(means)}"
    if estimate is None:
        return f"{said}; no test is possible: the predictions are not in DVC's cache, or the seeds are too few."
    low, high = estimate.interval()
    interval = f"{100 * estimate.difference:+.2f} points ({100 * low:+.2f} to {100 * high:+.2f}), p = {estimate.p:.2g}"
    return f"{said}; {interval}: {verdict_of(low, high)}."
