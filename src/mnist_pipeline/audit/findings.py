"""Findings of an audit: lines of its report, counts, and one-line warnings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from mnist_pipeline.core.files import write_csv
from mnist_pipeline.params.run import AUDIT_KINDS

MOST_LINES = 10_000
"""Findings of one kind in the CSV; all are counted."""


@dataclass(frozen=True)
class Finding:
    """Something about a row, a class or a whole file.

    Attributes:
        file: "train" or "test".
        row: its number in the user's file, as in the messages of ``validate``; None: it is about more than a row.
        kind: one of ``AUDIT_KINDS``.
        score: the meaning depends on the kind: see docs/auditing.md.
        given: the label, or the class that it is about.
        suggested: the label that it should probably have.
        other_file: the file of another row that it is about, too.
        other_row: the number of that row.
        counts: whether it is counted; False: it is listed because nothing in its file is more suspect.
    """

    file: str
    row: int | None
    kind: str
    score: float
    given: str = ""
    suggested: str = ""
    other_file: str = ""
    other_row: int | None = None
    counts: bool = True


def write_findings(path: Path, findings: Sequence[Finding]) -> None:
    """Write findings as CSV, kind by kind, at most ``MOST_LINES`` of each."""
    by_kind = [[each for each in findings if each.kind == kind][:MOST_LINES] for kind in AUDIT_KINDS]
    columns = [field.name for field in fields(Finding) if field.name != "counts"]
    write_csv(path, columns, ([getattr(each, column) for column in columns] for kind in by_kind for each in kind))


def count(findings: Sequence[Finding]) -> dict[str, dict[str, int]]:
    """Return the number of findings of each kind in "train" and in "test"; of contradictions, that of images."""
    first_of_image = {(each.other_file, each.other_row): each for each in findings if each.kind == "contradiction"}
    counted = [each for each in findings if each.counts and each.kind != "contradiction"]
    number = Counter((each.kind, each.file) for each in [*counted, *first_of_image.values()])
    return {kind: {file: number[kind, file] for file in ("train", "test")} for kind in AUDIT_KINDS}


def warnings(findings: Sequence[Finding]) -> dict[str, str]:
    """Return one line for each kind that was found."""
    counts = {kind: sum(files.values()) for kind, files in count(findings).items()}
    across = sum(each.kind == "duplicate" and each.file != each.other_file for each in findings)
    texts = {
        "duplicate": ("image occurs", "images occur", f"again, {across:,} of them in the other file"),
        "contradiction": ("group of identical images carries", "groups of identical images carry", "different labels"),
        "near_duplicate": ("image is", "images are", "nearly identical to another one"),
        "label": ("label is", "labels are", "probably wrong"),
        "outlier": ("image is", "images are", "unlike all others"),
        "small_class": ("class has", "classes have", "too few rows to judge, or far fewer than others"),
        "drift": ("class differs", "classes differ", "between train and test"),
        "order": ("file depends", "files depend", "on the order of rows, which should be random"),
    }
    return {
        kind: f"{counts[kind]:,} {texts[kind][counts[kind] > 1]} {texts[kind][2]}"
        for kind in AUDIT_KINDS
        if counts[kind]
    }
