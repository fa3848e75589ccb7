"""The table of quality: what is found, chosen and reproduced."""

from __future__ import annotations

from typing import Any

from benchmarks.accuracies import accuracy_lines
from benchmarks.results import spread


def quality_table(found: dict[str, Any]) -> str:
    """Return the table of all figures of quality with their targets."""
    lines = ["| what | target | measured |", "|---|---|---|", *accuracy_lines(found)]
    if "twenty_runs" in found:
        hashes = found["twenty_runs"]["hashes"]
        most = max(hashes.count(each) for each in hashes)
        lines.append(f"| identical results among runs of the default settings | 20 of 20 | {most} of {len(hashes)} |")
    lines += choice_lines(found) + ghost_norm_lines(found) + shuffle_lines(found)
    lines += picture_lines(found) + outlier_lines(found) + audit_lines(found)
    if "verdicts" in found:
        lines += verdict_lines(found["verdicts"])
    return "\n".join(lines)


def choice_lines(found: dict[str, Any]) -> list[str]:
    """Return the lines about settings that were chosen on validation rows."""
    lines = []
    if "choice" in found:
        runs = found["choice"]["runs"].items()
        each = [f"{name} {run['mistakes']} ({run['loss']:.4f})" for name, run in runs]
        lines.append(
            f"| errors on 20,000 validation rows (mean loss), sixteen epochs of `cnn-20min` | | {'; '.join(each)} |"
        )
    if "ensembles" in found:
        by_number = ", ".join(f"{errors:.1f}" for errors in found["ensembles"]["errors"])
        lines.append(
            "| errors on 20,000 validation rows, ensembles of 1 to 8 networks of `cnn-2min`: means over all "
            f"| | {by_number} |"
        )
    return lines


def compared(variants: dict[str, Any]) -> str:
    """Format the errors of each variant, and the two-way test of all but the first against the first."""
    said: list[str] = []
    for name, result in variants.items():
        low, high = (100 * bound for bound in result["interval"])
        test = f", {100 * result['difference']:+.3f} points ({low:+.3f} to {high:+.3f}), p = {result['p']:.2g}"
        said.append(f"{name}: {spread(result['errors'], 1)}{test if said else ''}")
    return "; ".join(said)


def ghost_norm_lines(found: dict[str, Any]) -> list[str]:
    """Return the lines about the accuracy by batch size and number of shards."""
    lines = []
    for name, variants in found.get("ghost_norm", {}).items():
        if name == "environment":
            continue
        lines.append(
            f"| `{name}`, two epochs: errors on 20,000 validation rows, and the two-way test against the first "
            f"| within ±0.1 | {compared(variants)} |"
        )
    return lines


def shuffle_lines(found: dict[str, Any]) -> list[str]:
    """Return the lines about shuffling in blocks: errors."""
    lines = []
    for order, kinds in found.get("shuffles", {}).items():
        if order == "environment":
            continue
        where = {"file": "in the order of MNIST", "label": "sorted by label"}[order]
        lines.append(f"| errors on 20,000 validation rows by what is shuffled, file {where} | | {compared(kinds)} |")
    return lines


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


def audit_lines(found: dict[str, Any]) -> list[str]:
    """Return the lines about the audit of the data."""
    if "audit" not in found:
        return []
    result = found["audit"]
    judged = result["judged"]
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
