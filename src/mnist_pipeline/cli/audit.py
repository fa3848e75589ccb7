"""``mnist audit``."""

from __future__ import annotations

import argparse
import webbrowser
from pathlib import Path
from typing import Any

from mnist_pipeline.core.errors import PipelineError
from mnist_pipeline.core.files import read_csv, write_csv
from mnist_pipeline.core.tables import text_table
from mnist_pipeline.params.run import AUDIT_KINDS
from mnist_pipeline.provenance.paths import AUDIT, AUDIT_FIGURE, CORRECTIONS

DESCRIPTION = (
    "Print the most suspect rows that the audit stage found, or write them as corrections, for you to edit: then set "
    "data.corrections to the name of the file, and validate applies it."
)
COLUMNS = {
    "file": str, "row": str, "kind": str, "score": float, "given": str, "suggested": str, "other_file": str,
    "other_row": str,
}  # fmt: skip
REPEATED = ("duplicate", "near_duplicate")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--kind", action="append", choices=AUDIT_KINDS, help="only these; may be repeated")
    parser.add_argument("--file", choices=("train", "test"), help="only this file")
    parser.add_argument("--worst", type=int, default=20, metavar="N", help="of each kind (default: 20)")
    parser.add_argument("--write", metavar="NAME", help=f"write corrections of these rows to {CORRECTIONS}/NAME")
    parser.add_argument("--show", action="store_true", help="open the gallery of suspects")


def run(args: argparse.Namespace) -> None:
    """Print, write or show."""
    if not Path(AUDIT).exists():
        raise PipelineError(f"{AUDIT}: no such file; run dvc repro audit")
    table = read_csv(Path(AUDIT), COLUMNS)
    chosen = table[
        table["kind"].isin(args.kind or AUDIT_KINDS) & table["file"].isin([args.file or "train", args.file or "test"])
    ]
    rows = chosen.groupby("kind", sort=False).head(args.worst).to_dict("records")
    if args.show:
        webbrowser.open(Path(AUDIT_FIGURE).resolve().as_uri())
    if args.write is not None:
        print(_write(Path(CORRECTIONS) / args.write, rows))
    elif rows:
        print(text_table([("kind", "file", "row", "label", "score", "other row"), *map(_described, rows)]))
        hidden = len(chosen) - len(rows)
        print(f"\n{hidden:,} more in {AUDIT}." if hidden else f"\nAll of {AUDIT}.")
    else:
        print(f"{AUDIT} has no such findings.")


def _described(row: dict[Any, Any]) -> tuple[str, ...]:
    label = f"{row['given']} → {row['suggested']}" if row["suggested"] else row["given"]
    return (
        row["kind"],
        row["file"],
        row["row"],
        label,
        f"{row['score']:.3g}",
        f"{row['other_file']} {row['other_row']}".strip(),
    )


def _write(path: Path, rows: list[dict[Any, Any]]) -> str:
    """Write a correction for each row that one can be made of."""
    if path.parent != Path(CORRECTIONS) or path.suffix != ".csv":
        raise PipelineError(f"--write must be the name of a CSV file, such as mine.csv, was {path.name!r}")
    if path.exists():
        raise PipelineError(f"{path} exists; edit it, or choose another name")
    corrections: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        place = (row["file"], row["row"])
        reason = f"audit: {row['kind']}, score {row['score']:.3g}"
        if row["kind"] in ("label", "contradiction"):
            corrections.setdefault(place, ["relabel", row["given"], row["suggested"], reason])
        elif row["kind"] in (*REPEATED, "outlier"):
            corrections.setdefault(place, ["drop", row["given"], "", reason])
    if not corrections:
        raise PipelineError("there are no rows to correct among these findings")
    write_csv(
        path,
        ["file", "row", "action", "given", "label", "reason"],
        ([*place, *rest] for place, rest in corrections.items()),
    )
    return (
        f"{path} has {len(corrections)} corrections. Look at each row, delete the lines that are wrong, then:\n"
        f"  dvc exp run -n corrected -S data.corrections={path.name}"
    )
