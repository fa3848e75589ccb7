"""The table of a machine's times: seconds, memory, and ratios measured in one go."""

from __future__ import annotations

import itertools
import statistics
from typing import Any

from benchmarks.results import column, short, spread


def times_table(found: dict[str, Any]) -> str:
    """Return the table of one machine with the targets, and what it was."""
    lines = ["| what | target | measured |", "|---|---|---|"]
    if runs := found.get("default", {}).get("runs"):
        lines += [
            f"| default: test accuracy over seeds | ≥ 0.983 | {spread(column(runs, 'accuracy'), 4)} |",
            f"| default: training: seconds | | {spread(column(runs, 'training_seconds'), 1)} |",
            f"| default: train stage: seconds | ≤ 20 | {spread(column(runs, 'train_stage_seconds'), 1)} |",
        ]
    lines += experiment_lines(found)
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
    if "verification" in found:
        result = found["verification"]
        outcome = "passed" if result["passed"] else "failed"
        lines.append(
            f"| `mnist verify`: seconds | ≤ 120 | {result['seconds']:.0f}, {outcome}, {result['files']} files |"
        )
    lines += shard_lines(found)
    if "matrix_product" in found:
        mkl, onednn = found["matrix_product"]["mkl"], found["matrix_product"]["onednn"]
        lines.append(
            f"| matrix product 128 × 784 × 200, portable numerics: ms with MKL (PyTorch's default), oneDNN (ours) | | "
            f"{statistics.median(mkl):.2f}, {statistics.median(onednn):.2f} (medians, n = {len(mkl)}) |"
        )
    lines += shared_lines(found) + contender_lines(found) + augmentation_lines(found)
    lines += growth_lines(found) + large_data_lines(found) + audit_lines(found) + ladder_lines(found)
    return "\n".join(lines)


def machine_name(found: dict[str, Any]) -> str:
    """Return the name of the machine of these results."""
    return short(next(iter(found.values()))["environment"]["cpu"])


def conditions(found: dict[str, Any]) -> str:
    """Return the machine, the software and the commits of its results."""
    environments = [result["environment"] for result in found.values()]
    software = " and ".join(sorted({each["software"] for each in environments}))
    commits = ", ".join(sorted({each.get("commit", "not recorded") for each in environments}))
    return f"{machine_name(found)}; {software}; commit {commits}"


def median_ratio(ours: list[float], theirs: list[float]) -> str:
    """Format the median of the ratios of paired seconds, with both medians."""
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    return (
        f"median {statistics.median(ratios):.2f} (n = {len(ratios)}; {statistics.median(ours):.2f} s, "
        f"{statistics.median(theirs):.2f} s)"
    )


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
        parts = ", ".join(f"{part} {round(100 * part_share)} %" for part, part_share in result["parts"].items())
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


def large_data_lines(found: dict[str, Any]) -> list[str]:
    """Return the line about an epoch of many rows, shuffled in blocks."""
    if "large_data" not in found:
        return []
    runs = found["large_data"]["memory"]
    each = ", ".join(f"{run['rows']:,} rows {run['megabytes']:.0f} MB and {run['seconds']:.0f} s" for run in runs)
    return [f"| `train.shuffle: blocks`, an epoch: memory beyond pages of files, and time | bounded | {each} |"]


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
    """Return the lines about time and memory by rows."""
    lines = []
    runs = found.get("growth", {}).get("runs", [])
    for stage_name in ("validate", "train", "evaluate") if runs else ():
        few, many = (
            {unit: [run[f"{stage_name}_{unit}"] for run in runs if run["rows"] == rows]
             for unit in ("seconds", "megabytes")} for rows in (60_000, 600_000)
        )  # fmt: skip
        lines.append(
            f"| {stage_name}{' (one epoch)' * (stage_name == 'train')}, 60,000 rows → 600,000: seconds; peak MB | | "
            f"{spread(few['seconds'], 1)} → {spread(many['seconds'], 1)}; "
            f"{statistics.mean(few['megabytes']):.0f} → {statistics.mean(many['megabytes']):.0f} |"
        )
    return lines


def audit_lines(found: dict[str, Any]) -> list[str]:
    """Return the lines about the time and memory of the audit."""
    if "audit_time" not in found:
        return []
    result = found["audit_time"]
    return [
        f"| audit stage, MNIST: seconds; peak MB | ≤ 90 | {result['stage_seconds']:.0f}; "
        f"{result['stage_megabytes']:.0f} |",
        f"| search for near-duplicates, 600,000 images, one core: seconds; peak MB | ≤ 90 "
        f"| {result['search']['seconds']:.0f}; {result['search']['megabytes']:.0f} |",
    ]


def ladder_lines(found: dict[str, Any]) -> list[str]:
    """Return the lines about the time of the tutorial's loop, of experiments of the ladder, and of comparing runs."""
    lines = []
    if "contenders" in found and "training" in found:
        loops, ours = found["contenders"]["loop"], found["training"]["together-sgd"]["portable"]
        theirs = [sum(run["epoch_seconds"]) for run in loops]
        lines.append(
            f"| time of the tutorial's last network, three epochs of batches of one: ratio of ours to its own loop "
            f"| | {statistics.mean(ours) / statistics.mean(theirs):.2f}; {statistics.mean(ours):.0f} s, "
            f"{spread(theirs, 0)} s |"
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
    return lines
