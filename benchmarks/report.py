"""The tables and charts of the benchmarks, from their results."""

from __future__ import annotations

import itertools
import statistics
from typing import Any

from benchmarks.accuracies import accuracy_lines, current_runs
from benchmarks.charts import draw_contenders, draw_growth
from benchmarks.processes import ROOT
from benchmarks.results import RESULTS, column, read_results, settings_digest, short
from mnist_pipeline.core.tables import between_marks, markdown_table
from mnist_pipeline.figures.style import save_figure
from mnist_pipeline.ladder.spec import Preset, load_ladder

PAGE = ROOT / "benchmarks" / "README.md"
PRESETS_PAGE = ROOT / "docs" / "presets.md"


def spread(values: list[float], digits: int) -> str:
    """Format mean ± standard deviation (n)."""
    if len(values) == 1:
        return f"{values[0]:.{digits}f} (n = 1)"
    return f"{statistics.mean(values):.{digits}f} ± {statistics.stdev(values):.{digits}f} (n = {len(values)})"


def median_ratio(ours: list[float], theirs: list[float]) -> str:
    """Format the median of the ratios of paired seconds, with both medians."""
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    return (
        f"median {statistics.median(ratios):.2f} (n = {len(ratios)}; {statistics.median(ours):.2f} s, "
        f"{statistics.median(theirs):.2f} s)"
    )


def figures_table(found: dict[str, Any]) -> str:
    """Return the table of all figures with their targets."""
    lines = ["| what | target | measured |", "|---|---|---|"]
    if runs := found.get("default", {}).get("runs"):
        lines += [
            f"| default: test accuracy over seeds | ≥ 0.983 | {spread(column(runs, 'accuracy'), 4)} |",
            f"| default: train stage: seconds | ≤ 20 | {spread(column(runs, 'train_stage_seconds'), 1)} |",
        ]
    lines += accuracy_lines(found) + experiment_lines(found)
    if "nothing_to_do" in found:
        lines.append(
            f"| `dvc repro` with nothing to do: ratio to an empty project | ≤ 1.25 | "
            f"{median_ratio(found['nothing_to_do']['ours'], found['nothing_to_do']['empty'])} |"
        )
    if "data" in found:
        lines += [
            f"| validate, both CSV files: seconds | ≤ 4 | {spread(found['data']['validate_seconds'], 2)} |",
            f"| loading the training arrays: seconds | ≤ 0.1 | {spread(found['data']['load_seconds'], 4)} |",
        ]
    if "numerics" in found:
        portable, fast = found["numerics"]["portable"], found["numerics"]["fast"]
        ratios = [a / b for a, b in zip(portable, fast, strict=True)]
        lines.append(
            f"| training time, portable numerics: ratio to fast, on two cores | ≤ 4 | {spread(ratios, 2)}; "
            f"{statistics.mean(portable):.1f} s, {statistics.mean(fast):.1f} s |"
        )
    lines += shard_lines(found) + ghost_norm_lines(found) + large_data_lines(found)
    if "matrix_product" in found:
        mkl, onednn = found["matrix_product"]["mkl"], found["matrix_product"]["onednn"]
        lines.append(
            f"| matrix product 128 × 784 × 200, portable numerics: ms with MKL (PyTorch's default), oneDNN (ours) | | "
            f"{statistics.median(mkl):.2f}, {statistics.median(onednn):.2f} (medians, n = {len(mkl)}) |"
        )
    if "twenty_runs" in found:
        hashes = found["twenty_runs"]["hashes"]
        most = max(hashes.count(each) for each in hashes)
        lines.append(f"| identical results among runs of the default settings | 20 of 20 | {most} of {len(hashes)} |")
    if "verification" in found:
        result = found["verification"]
        outcome = "passed" if result["passed"] else "failed"
        lines.append(
            f"| `mnist verify`: seconds | ≤ 120 | {result['seconds']:.0f}, {outcome}, {result['files']} files |"
        )
    lines += shared_lines(found)
    lines += picture_lines(found)
    lines += outlier_lines(found)
    lines += contender_lines(found)
    lines += augmentation_lines(found)
    lines += audit_lines(found)
    lines += choice_lines(found)
    lines += growth_lines(found)
    lines += ladder_lines(found)
    return "\n".join([*lines, "", *machines(found)])


def choice_lines(found: dict[str, Any]) -> list[str]:
    """Return the lines about settings that were chosen on validation rows."""
    lines = []
    if "choice" in found:
        runs = found["choice"]["runs"].items()
        each = [f"{worded(name)} {run['mistakes']} ({run['loss']:.4f})" for name, run in runs]
        lines.append(
            f"| errors on 20,000 validation rows (mean loss), sixteen epochs of `cnn-20min` | | {'; '.join(each)} |"
        )
    if "ensembles" in found:
        by_number = ", ".join(f"{errors:.1f}" for errors in found["ensembles"]["errors"])
        lines.append(
            "| errors on 20,000 validation rows, ensembles of 1, 2, … networks of `cnn-2min`: mean over all of eight "
            f"| | {by_number} |"
        )
    return lines


def shard_lines(found: dict[str, Any]) -> list[str]:
    """Return the lines about the time of training by numerics and cores, and the share of the matrix-product peak."""
    lines = []
    for name, result in found.get("shards", {}).items():
        if name == "environment":
            continue
        rounds = result["rounds"]

        def ratio(one: str, other: str, rounds: list[Any] = rounds) -> str:
            return f"{statistics.median(each[one]['seconds'] / each[other]['seconds'] for each in rounds):.2f}"

        def share(contender: str, rounds: list[Any] = rounds) -> str:
            return f"{100 * statistics.median(each[contender]['share'] for each in rounds):.0f} %"

        one, two = "portable, 1 core", "portable, 2 cores"
        plain = name.startswith("default")
        parts = ", ".join(f"{part} {100 * part_share:.0f} %" for part, part_share in result["parts"].items())
        lines += [
            f"| `{name}`: training time, portable numerics: ratio to fast limited to AVX2, to fast, on two cores | "
            f"{'≤ 1.5' if plain else '≤ 1.2'} | {ratio(two, 'fast, AVX2')}, {ratio(two, 'fast')} "
            f"(medians, n = {len(rounds)}) |",
            f"| `{name}`, portable: ratio of one core to two | {'' if plain else '≥ 1.7'} | {ratio(one, two)} |",
            f"| `{name}`: share of the machine's matrix-product peak: portable on one core, on two, fast, in shards "
            f"| ≥ 50 % | {share(one)}, {share(two)}, {share('fast')}, {share('fast, in shards')} |",
            f"| `{name}`, portable on one core: CPU time by part | | {parts} |",
        ]
    return lines


def ghost_norm_lines(found: dict[str, Any]) -> list[str]:
    """Return the lines about the accuracy by batch size and number of shards."""
    lines = []
    for name, variants in found.get("ghost_norm", {}).items():
        if name == "environment":
            continue
        said: list[str] = []
        for variant, result in variants.items():
            low, high = (100 * bound for bound in result["interval"])
            test = f", {100 * result['difference']:+.3f} points ({low:+.3f} to {high:+.3f}), p = {result['p']:.2g}"
            said.append(f"{variant}: {spread(result['errors'], 1)}{test if said else ''}")
        lines.append(
            f"| `{name}`, two epochs: errors on 20,000 validation rows, and the two-way test against the first "
            f"| within ±0.1 | {'; '.join(said)} |"
        )
    return lines


def large_data_lines(found: dict[str, Any]) -> list[str]:
    """Return the lines about shuffling in blocks: accuracy, and memory by rows."""
    if "large_data" not in found:
        return []
    lines = []
    for order, kinds in found["large_data"]["errors"].items():
        said: list[str] = []
        for name, result in kinds.items():
            low, high = (100 * bound for bound in result["interval"])
            test = f", {100 * result['difference']:+.3f} points ({low:+.3f} to {high:+.3f}), p = {result['p']:.2g}"
            said.append(f"{name}: {spread(result['errors'], 1)}{test if said else ''}")
        where = {"file": "in the order of MNIST", "label": "sorted by label"}[order]
        lines.append(f"| errors on 20,000 validation rows by what is shuffled, file {where} | | {'; '.join(said)} |")
    runs = found["large_data"]["memory"]
    each = ", ".join(f"{run['rows']:,} rows {run['megabytes']:.0f} MB and {run['seconds']:.0f} s" for run in runs)
    return [*lines, f"| `train.shuffle: blocks`, an epoch: memory beyond pages of files, and time | bounded | {each} |"]


def worded(name: str) -> str:
    """Return the name of a choice; earlier results call augmentation distortions."""
    return name.replace("distortions", "augmentation")


def experiment_lines(found: dict[str, Any]) -> list[str]:
    """Return the lines about the whole pipeline and an experiment of one epoch: seconds, and those of each stage."""
    lines = []
    if "fresh_clone" in found:
        runs = found["fresh_clone"]["runs"]
        rest = [run["seconds"] - run["stages"]["audit"][0] for run in runs]
        lines += [
            f"| all stages in a fresh clone, download included: seconds | | {spread(column(runs, 'seconds'), 1)} |",
            f"| the same without the audit, on which nothing depends | ≤ 18 | {spread(rest, 1)} |",
            f"| seconds of it by stage | | {seconds_by_stage(runs)} |",
        ]
    if "experiment" in found:
        runs = found["experiment"]["runs"]
        lines += [
            "| `dvc exp run -S train.epochs=1`: seconds; CPU seconds; seconds to the first line | ≤ 8; ; ≤ 2 | "
            f"{spread(column(runs, 'seconds'), 1)}; {spread(column(runs, 'cpu_seconds'), 1)}; "
            f"{spread(column(runs, 'first_line'), 1)} |",
            f"| seconds of it by stage | | {seconds_by_stage(runs)} |",
        ]
    return lines


def seconds_by_stage(runs: list[dict[str, Any]]) -> str:
    """Format the mean seconds of each stage, and of DVC around them."""
    stages = {name: statistics.mean(run["stages"][name][0] for run in runs) for name in runs[0]["stages"]}
    rest = statistics.mean(column(runs, "seconds")) - sum(stages.values())
    return ", ".join(f"{name} {seconds:.1f}" for name, seconds in (stages | {"DVC itself": rest}).items())


def shared_lines(found: dict[str, Any]) -> list[str]:
    """Return the lines about a machine that others use, too."""
    return [
        f"| training time of `{name}`, fast numerics: with one busy process beside it to alone | ≤ 2.2 "
        f"| {median_ratio(seconds['neighbour'], seconds['alone'])} |"
        for name, seconds in found.get("shared_machine", {}).items()
        if name != "environment"
    ]


def picture_lines(found: dict[str, Any]) -> list[str]:
    """Return the lines about photos."""
    if "pictures" not in found:
        return []
    agreeing, drawn = found["pictures"]["agreeing"], found["pictures"]["drawn"]
    return [
        f"| `mnist predict` on {found['pictures']['rows']} validation images as pictures: "
        f"same prediction as for the raw image | | "
        f"{'; '.join(f'{kind} {100 * share:.1f} %' for kind, share in agreeing.items())} |",
        f"| `mnist predict` on ten drawn digits: correct | | "
        f"{'; '.join(f'{style} {number}' for style, number in drawn.items())} |",
    ]


def audit_lines(found: dict[str, Any]) -> list[str]:
    """Return the lines about the audit of the data."""
    if "audit" not in found:
        return []
    result = found["audit"]
    judged, search = result["judged"], result["search"]
    lines = [
        f"| audit: of the {judged['judged']} judged label errors of MNIST's test set, among its 100 most suspect "
        f"| ≥ 11 | {judged['among_100']} |"
    ]
    for each in result["labels"]:
        target = "≥ 0.93" if each["kind"] == "uniform" else ""
        lines.append(
            f"| audit: {100 * each['rate']:g} % of training labels changed ({each['kind']}): average precision; "
            f"precision and recall of the {each['flagged']:,} flagged | {target} | {each['average_precision']:.3f}; "
            f"{each['precision']:.3f}, {each['recall']:.3f} |"
        )
    for name, each in result["images"].items():
        kind = "identical images (copies, contradictions, leaks)" if name == "exact" else f"near-duplicates, {name}"
        target = "all, 0" if name == "exact" else "≥ 95 %, ≤ 1 %"
        lines.append(
            f"| audit: planted {kind}: found, false | {target} "
            f"| {each['found']} of {each['planted']}, {each['false']} |"
        )
    return [
        *lines,
        f"| audit stage, MNIST: seconds; peak MB | ≤ 90 | {result['stage_seconds']:.0f}; "
        f"{result['stage_megabytes']:.0f} |",
        f"| search for near-duplicates, 600,000 images, one core: seconds; peak MB | ≤ 90 | {search['seconds']:.0f}; "
        f"{search['megabytes']:.0f} |",
    ]


def outlier_lines(found: dict[str, Any]) -> list[str]:
    """Return the lines about warnings and about several digits in a picture."""
    if "outliers" not in found:
        return []
    result = found["outliers"]
    warned = "; ".join(f"{reason} {100 * share:.2f} %" for reason, share in result["warned"].items())
    others = "; ".join(f"{kind} {100 * share:.0f} %" for kind, share in result["found"].items())
    wrong = 100 * (sum(result["warned"].values()) + result["not one digit"])
    return [
        f"| `mnist predict` warns of so many of {result['rows']} validation digits, or does not take them for one "
        "digit | ≤ 1 % | "
        f"{wrong:.2f} %: {warned}; not one digit {100 * result['not one digit']:.2f} % |",
        f"| `mnist predict` warns of, or refuses, so many of {result['number']} pictures of each kind | | {others} |",
        f"| `mnist predict` separates two to four validation digits in one picture | | "
        f"{100 * result['separated']:.1f} % of {result['number']} |",
    ]


def contender_lines(found: dict[str, Any]) -> list[str]:
    """Return the lines that compare with other implementations: time to an accuracy, time of equal epochs, memory."""
    if "contenders" not in found:
        return []
    result = {name: runs for name, runs in found["contenders"].items() if name != "environment"}
    ours = {name: runs for name, runs in result.items() if name.startswith("ours, ")}
    courses = {
        "the tutorial's loop": [loop_course(run) for run in result["loop"]],
        "scikit-learn": [run["course"] for run in result["sklearn"]],
        "PyTorch's example": [run["course"] for run in result["pytorch"]],
    }
    targets = {("the tutorial's loop", 0.97): "≥ 100", ("PyTorch's example", 0.99): "≥ 50"}
    lines = []
    for accuracy in (0.97, 0.98, 0.99):
        reaching = {name: statistics.median(column(runs, "training_seconds")) for name, runs in ours.items()
                    if statistics.mean(column(runs, "accuracy")) >= accuracy}  # fmt: skip
        if not reaching:
            continue
        best = min(reaching, key=lambda name: reaching[name])
        accuracies = spread(column(ours[best], "accuracy"), 4)
        for name, runs in courses.items():
            times = [time_to(course, accuracy) for course in runs]
            reached = [each for each in times if each is not None]
            said = f"not reached in {runs[0][-1]['seconds']:.0f} s" if len(reached) < len(times) else (
                f"{statistics.median(reached) / reaching[best]:.0f} (medians; {spread(reached, 1)} s against "
                f"{spread(column(ours[best], 'training_seconds'), 2)} s)"
            )  # fmt: skip
            target = targets.get((name, accuracy), "")
            lines.append(f"| time to {accuracy}: ratio of {name} to {best} ({accuracies}) | {target} | {said} |")
    theirs, default = courses["scikit-learn"], ours["ours, MLP, 10 epochs (default)"]
    seconds, same = [course[9]["seconds"] for course in theirs], column(default, "training_seconds")
    ratios = [a / b for a, b in zip(seconds, same, strict=True)]
    lines.append(
        f"| time of ten epochs of 784-200-10 in batches of 128: ratio of scikit-learn to ours | ≥ 2.5 | "
        f"{spread(ratios, 2)}; accuracy "
        f"{spread([course[9]['accuracy'] for course in theirs], 4)}, {spread(column(default, 'accuracy'), 4)} |"
    )
    lines += [equal_time_line(seconds, courses, ours) for seconds in (10, 60)]
    memory = {name: statistics.mean(column(runs, "peak_megabytes")) for name, runs in result.items()}
    peaks = ", ".join(f"{name} {megabytes:.0f}" for name, megabytes in memory.items() if "," not in name)
    mine = memory["ours, MLP, 10 epochs (default)"], memory["ours, CNN, 2 epochs"]
    lines.append(f"| peak memory of the process, MB | | {peaks}; ours, MLP {mine[0]:.0f}, CNN {mine[1]:.0f} |")
    return lines


def time_to(course: list[dict[str, float]], accuracy: float) -> float | None:
    """Return the seconds until an accuracy was first reached; None: it was not."""
    return next((each["seconds"] for each in course if each["accuracy"] >= accuracy), None)


def loop_course(run: dict[str, Any]) -> list[dict[str, float]]:
    """Return the tutorial's loop in the form of the other courses: training time so far, and accuracy."""
    return [
        {"seconds": seconds, "accuracy": accuracy}
        for seconds, accuracy in zip(itertools.accumulate(run["epoch_seconds"]), run["accuracies"], strict=True)
    ]


def equal_time_line(
    seconds: float, courses: dict[str, list[list[dict[str, float]]]], ours: dict[str, list[dict[str, Any]]]
) -> str:
    """Return the accuracy of each after so many seconds; of ours, the settings with the best validation accuracy."""
    said = []
    for name, runs in courses.items():
        before = [[each["accuracy"] for each in course if each["seconds"] <= seconds] for course in runs]
        said.append(f"{name} {spread([done[-1] for done in before], 4) if all(before) else 'in its first epoch'}")
    ended = [name for name, runs in ours.items() if max(column(runs, "training_seconds")) <= seconds]
    best = max(ended, key=lambda name: statistics.mean(column(ours[name], "validation_accuracy")))
    said.append(f"{best} {spread(column(ours[best], 'accuracy'), 4)}")
    return f"| test accuracy after {seconds} s of training | | {'; '.join(said)} |"


def augmentation_lines(found: dict[str, Any]) -> list[str]:
    """Return the lines about the time that augmentation takes."""
    return [
        f"| augmentation, share of the default network's training time, {name} numerics | ≤ 0.33 | "
        f"{spread([1 - run['plain'] / run['distorted'] for run in runs], 2)} |"
        for name, runs in found.get("augmentation", {}).items()
        if name != "environment"
    ]


def growth_lines(found: dict[str, Any]) -> list[str]:
    """Return the lines about time and memory by rows and by cores."""
    if "growth" not in found:
        return []
    result = found["growth"]
    lines = []
    for stage_name in ("validate", "train", "evaluate"):
        few, many = (
            {unit: [run[f"{stage_name}_{unit}"] for run in result["rows"] if run["rows"] == rows]
             for unit in ("seconds", "megabytes")} for rows in (60_000, 600_000)
        )  # fmt: skip
        lines.append(
            f"| {stage_name}{' (one epoch)' * (stage_name == 'train')}, 60,000 rows → 600,000: seconds; peak MB | | "
            f"{spread(few['seconds'], 1)} → {spread(many['seconds'], 1)}; "
            f"{statistics.mean(few['megabytes']):.0f} → {statistics.mean(many['megabytes']):.0f} |"
        )
    for architecture in ("mlp", "cnn"):
        one, two = (
            [run["train_seconds"] for run in result["cores"]
             if run["cores"] == cores and run["architecture"] == architecture] for cores in (1, 2)
        )  # fmt: skip
        lines.append(
            f"| train stage, {architecture}, two epochs: ratio of one core to two | | "
            f"{statistics.mean(one) / statistics.mean(two):.2f}; {spread(one, 1)} s, {spread(two, 1)} s |"
        )
    return lines


def preset_runs(found: dict[str, Any], name: str, preset: Preset) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the runs of a preset, with the settings that it has now: on both cores; five seeds, each on one core."""
    digest = settings_digest(preset.overrides)
    timed = [run for run in found["presets"]["runs"].get(name, []) if run["settings"] == digest]
    return timed, [*current_runs(found).get(name, {}).values()]


def preset_table(found: dict[str, Any]) -> str:
    """Return the table of the presets."""
    if "presets" not in found:
        return ""
    result, ladder = found["presets"], load_ladder(ROOT / "experiments.yaml", ROOT / "params.yaml")
    header = ["preset", "description", "test accuracy", "corrected labels", "validation accuracy", "seconds", "fast"]
    rows = [[*header, "portable", "CPU"]]
    for name, preset in ladder.presets.items():
        timed, scored = preset_runs(found, name, preset)
        runs = max(scored, timed, key=len)
        if not runs:
            rows.append([f"`{name}`", preset.title, "not measured", "", "", "", "", "", ""])
            continue
        validation = [each for each in column(runs, "validation_accuracy") if each is not None]
        corrected = [run["corrected_accuracy"] for run in runs if "corrected_accuracy" in run]
        seconds = spread(column(timed, "training_seconds"), 1).split(" (")[0] if timed else ""
        others = [result.get(f"{kind}_seconds", {}).get(name) if timed else None for kind in ("fast", "portable")]
        estimates = ["" if each is None else f"{each:.0f}" for each in others]
        if preset.overrides["runtime.numerics"] == "fast":
            estimates[0] = "same"
        rows.append([
            f"`{name}`", preset.title, spread(column(runs, "accuracy"), 4), spread(corrected, 4) if corrected else "",
            spread(validation, 4).split(" (")[0] if validation else "no validation set",
            seconds, *estimates, ", ".join(sorted({short(run["cpu"]) for run in [*timed, *runs]})),
        ])  # fmt: skip
    return markdown_table(rows)


def ladder_lines(found: dict[str, Any]) -> list[str]:
    """Return the lines about the ladder: its cost, and how often its verdict is a false positive."""
    lines = []
    if "tutorial" in found:
        loops, ours = found["tutorial"]["loops"].values(), found["tutorial"]["runs_seconds"]
        rows = found["tutorial"]["loop_rows"]
        whole = sum(loop["read_seconds"] + 3 * 60_000 / rows * sum(loop["epoch_seconds"]) for loop in loops)
        lines.append(
            f"| time of the tutorial's {len(loops)} variants: ratio of ours, two at a time, to its own loop "
            f"(extrapolated from {rows:,} rows each) | ≤ 0.33 | {ours / whole:.2f}; {ours:.0f} s, {whole:.0f} s |"
        )
    if "ladder_cost" in found:
        total, stages = found["ladder_cost"]["total"], found["ladder_cost"]["stages"]
        lines.append(
            f"| overhead of `mnist ladder run`: seconds per experiment | ≤ 6 | "
            f"{(total - sum(stages)) / len(stages):.1f} (n = {len(stages)}; the stages {statistics.mean(stages):.1f}) |"
        )
    if "compare_time" in found:
        lines.append(
            f"| time of `mnist compare`: ratio to `dvc metrics diff` | ≤ 1.5 | "
            f"{median_ratio(found['compare_time']['compare'], found['compare_time']['diff'])} |"
        )
    if runs := found.get("runs_table"):
        lines.append(
            f"| `mnist runs` with {runs['experiments']} experiments: seconds; of both cores | ≤ 2 | "
            f"{spread(runs['seconds'], 1)}; {spread(runs['cpu_seconds'], 1)} |"
        )
    if "verdicts" in found:
        lines += verdict_lines(found["verdicts"])
    return lines


def verdict_lines(found: dict[str, Any]) -> list[str]:
    """Return the figures of the simulated verdicts: the range over the scenarios, by the number of seeds."""

    def shares(name: str, gain: float) -> str:
        rows = [row for row in found["rows"] if row["gain"] == gain]
        ranges = []
        for seeds in (3, 5, 10, 20):
            values = [100 * row[f"{name} {seeds}"] for row in rows]
            ranges.append(f"{min(values):.1f}–{max(values):.1f} (n = {seeds})")
        return ", ".join(ranges)

    stopped = [100 * row["sequential"] for row in found["rows"] if not row["gain"]]
    what = f"{found['repetitions']:,} repetitions, {len(found['rows']) // 3} scenarios, %"
    return [
        f"| two-way test, false differences ({what}) | 3.5–6.0 | {shares('found', 0)} |",
        f"| two-way test, interval covers the truth | 93.5–97 | {shares('covered', 0)} |",
        f"| the rule before it (two separate tests), false differences | | {shares('two tests', 0)} |",
        f"| power for 0.3 points | | {shares('found', 0.003)} |",
        f"| the same, by the rule before it | | {shares('two tests', 0.003)} |",
        f"| looks at 5, 10 and 20 seeds: false differences | ≤ 6 | {min(stopped):.1f}–{max(stopped):.1f} |",
        f"| equivalent at a margin of 0.1 points, true difference 0.1 | ≤ 6 | {shares('equivalent', 0.001)} |",
        f"| equivalent at a margin of 0.3 points, true difference 0.3 | ≤ 6 | {shares('equivalent', 0.003)} |",
    ]


def machines(found: dict[str, Any]) -> list[str]:
    """Return a line for each machine, with the sections that ran on it."""
    sections: dict[str, list[str]] = {}
    for name, result in found.items():
        if "environment" not in result or name == "presets":  # their own tables say so
            continue
        on = f"{result['environment']['cpu']}; {result['environment']['software']}"
        sections.setdefault(on, []).append(name.replace("_", " "))
    return [f"- On {on}: {', '.join(names)}." for on, names in sorted(sections.items())]


def with_tables(text: str) -> str:
    """Return the page of the benchmarks with the current table."""
    return between_marks(text, "figures", figures_table(read_results()))


def with_presets(text: str) -> str:
    """Return the page of the presets with the current table."""
    return between_marks(text, "presets", preset_table(read_results()))


def write_report() -> None:
    """Write the tables of both pages, and the charts."""
    PAGE.write_text(with_tables(PAGE.read_text("utf-8")), "utf-8")
    PRESETS_PAGE.write_text(with_presets(PRESETS_PAGE.read_text("utf-8")), "utf-8")
    found = read_results()
    if "contenders" in found:
        save_figure(RESULTS / "contenders.png", draw_contenders(found["contenders"], found.get("presets")))
    if "growth" in found:
        save_figure(RESULTS / "growth.png", draw_growth(found["growth"]))
