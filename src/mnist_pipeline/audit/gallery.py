"""The most suspect images of an audit, as a figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from mnist_pipeline.audit.findings import Finding
from mnist_pipeline.audit.images import images_of
from mnist_pipeline.data.dataset import Dataset
from mnist_pipeline.figures.style import new_gallery

SHOWN = {"contradiction": 10, "label": 40, "near_duplicate": 10, "outlier": 10}
"""Kinds of findings that a picture helps to judge, in this order, and how many of each are drawn."""


def draw_suspects(datasets: Mapping[str, Dataset], findings: Sequence[Finding]) -> Figure:
    """Draw the most suspect images, those of the test set first, each with its labels, file and row."""
    shown = [finding for kind, most in SHOWN.items() for finding in _worst(findings, kind, most)]
    title = "Most suspect images of the audit: label → suggested label, file and row"
    return new_gallery(images_of(datasets, shown), [*map(caption, shown)], title if shown else "Nothing suspect found")


def _worst(findings: Sequence[Finding], kind: str, most: int) -> list[Finding]:
    of_kind = [each for each in findings if each.kind == kind]
    halves = [[each for each in of_kind if each.file == file] for file in ("test", "train")]
    first = halves[0][: max(most // 2, most - len(halves[1]))]
    return [*first, *halves[1][: most - len(first)]]


def caption(finding: Finding) -> str:
    """Return what to write above the image of a finding."""
    what = {"near_duplicate": "near duplicate", "label": "", "contradiction": "contradiction", "outlier": "outlier"}
    change = f"{finding.given} → {finding.suggested}" if finding.suggested else finding.given
    return "\n".join(filter(None, [change, what[finding.kind], f"{finding.file} {finding.row}"]))
