"""Atomic files; JSON and CSV written one way and read one way; SHA-256 of a file."""

from __future__ import annotations

import csv
import glob
import hashlib
import io
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mnist_pipeline.core.errors import PipelineError

if TYPE_CHECKING:
    import pandas as pd

DECIMALS = 6
"""Decimals of every float in JSON and CSV: far below any meaningful difference, above any rounding noise."""


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` that replaces it on a clean exit, and is removed otherwise.

    The temporary file is on the same file system and is flushed to the disk before it is renamed, so that a reader
    sees the old content or the new, never a part.

    Raises:
        OSError: the folder cannot be written to, or the disk is full; ``path`` is unchanged.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.touch()
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _remove_leftovers(path: Path) -> None:
    """Remove temporary files for ``path`` whose process was killed."""
    for leftover in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        process = leftover.suffixes[-2].removeprefix(".")
        if process.isdigit() and not is_owner(int(process), leftover):
            leftover.unlink(missing_ok=True)


def is_owner(process: int, path: Path) -> bool:
    """Whether a process with this number runs, and has done so since before a file or folder was last changed.

    One that is younger has a number that the system uses again; one that ended and was not yet reaped does not run.
    """
    import psutil  # where it is needed: 20 ms

    with suppress(OSError, psutil.NoSuchProcess):
        found = psutil.Process(process)
        return bool(found.status() != psutil.STATUS_ZOMBIE and found.create_time() <= path.stat().st_ctime)
    return False


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    with atomic_write(path) as temporary:
        temporary.write_text(text, "utf-8")


def write_json(path: Path, content: Any) -> None:
    """Write JSON atomically: two spaces, keys in the order given, floats rounded to ``DECIMALS``."""
    write_text(path, json.dumps(_rounded(content), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write CSV atomically: a header, Unix line ends, floats rounded to ``DECIMALS``, None as an empty cell."""
    with atomic_write(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([_rounded(value) for value in row] for row in rows)


def read_csv(source: Path | bytes, types: Mapping[str, type], name: str | None = None) -> pd.DataFrame:
    """Read a CSV that ``write_csv`` wrote.

    Args:
        source: a file, or its content.
        types: the columns that it must have; ``str`` keeps the text as it is (a class may be called "NA"), and an
            empty cell of ``float`` is NaN.
        name: of the source in errors; by default its path.

    Raises:
        PipelineError: the file is missing, lacks a column, or holds a cell of another type.
    """
    import pandas as pd

    where = name or str(source)
    try:
        table = pd.read_csv(
            io.BytesIO(source) if isinstance(source, bytes) else source,
            dtype=dict(types),
            keep_default_na=False,
            na_values={column: [""] for column, kind in types.items() if kind is float},
        )
    except (OSError, ValueError) as error:
        raise PipelineError(f"{where}: cannot be read as CSV; {error}") from None
    if not isinstance(table.index, pd.RangeIndex):  # pandas takes the first of too many cells for the row's name
        raise PipelineError(f"{where}: cannot be read as CSV; its rows have more cells than the header")
    if missing := [column for column in types if column not in table]:
        raise PipelineError(f"{where}: must have the columns {', '.join(types)}; lacks {', '.join(missing)}")
    return table


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def md5_of(path: Path) -> str:
    """MD5 of a file, by which DVC knows it, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, DECIMALS) + 0.0  # a tiny negative number is 0.0, not -0.0
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(item) for item in value]
    return value
