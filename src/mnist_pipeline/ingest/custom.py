"""Fetch a data set of the user's own: CSV files of this machine or of a web server."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from mnist_pipeline.core.errors import PipelineError, SourceError
from mnist_pipeline.core.files import atomic_write, sha256_of
from mnist_pipeline.ingest.download import Limits, download
from mnist_pipeline.params.data import CustomParams

LARGE = 5 * 2**20
"""Bytes of a file from which on a warning says that DVC should track it."""

TEST_SEED = 0
"""Which rows of a single file become the test set: always the same, so that results can be compared."""


def fetch_custom(params: CustomParams, targets: dict[str, Path], limits: Limits) -> str:
    """Write both CSV files: two as they are, or one split in two, each class in proportion.

    Args:
        params: where they are.
        targets: where the CSV of "train" and of "test" goes. Both are replaced, or neither.
        limits: of a download.

    Returns:
        Where they came from, for a message.

    Raises:
        PipelineError: a file is missing, cannot be downloaded, has another hash, or is not valid where it has to be
            split. ``targets`` are unchanged.
    """
    with ExitStack() as stack:
        new = {split: stack.enter_context(atomic_write(target)) for split, target in targets.items()}
        # A hidden name with this ending is ignored by git, should the process be killed.
        folder = stack.enter_context(tempfile.TemporaryDirectory(".tmp", ".fetch-", targets["train"].parent))
        train = _local_file("train", params.train, params.sha256.train, Path(folder), limits)
        if params.test is None:
            _split(train, new, params, Path(folder))
            return f"{params.train}, with {params.test_fraction:g} of its rows as the test set"
        test = _local_file("test", params.test, params.sha256.test, Path(folder), limits)
        shutil.copyfile(train, new["train"])
        shutil.copyfile(test, new["test"])
        return f"{params.train} and {params.test}"


def _local_file(split: str, place: str, expected: str | None, folder: Path, limits: Limits) -> Path:
    """Return the file at a path, or that at an address, downloaded; verified against its SHA-256."""
    try:
        if "://" in place:
            path = folder / split
            with path.open("wb") as file:
                download(place, file, limits)
        else:
            path = Path(place).expanduser()
    except (RuntimeError, SourceError) as error:  # "~name" of an unknown user
        raise PipelineError(f"custom.{split}: {place}: {error}") from None
    if not path.is_file():
        raise PipelineError(
            f"custom.{split}: {place}: no such file; put it there, or name another one in data.yaml "
            "(a path from the root of the repository, or an address, https://...); experiments of DVC's queue see only "
            f"what git or DVC tracks: dvc add {place}"
        )
    if "://" not in place and path.stat().st_size > LARGE and not Path(f"{path}.dvc").exists():
        print(
            f"fetch: warning: {place} is large and DVC does not track it, so that no commit can restore it: dvc add it"
        )
    if expected is not None and (found := sha256_of(path)) != expected:
        raise PipelineError(
            f"{place} has the SHA-256 {found}, custom.sha256.{split} is {expected}: it is another version of the file, "
            f"or damaged; if it is the one you want, set custom.sha256.{split} to its hash, or to null"
        )
    return path


def _split(source: Path, new: dict[str, Path], params: CustomParams, folder: Path) -> None:
    """Write the rows of one CSV file into two, groups and similar images together, with the numbers of its rows.

    It is read twice, so that memory need not hold it.
    """
    from mnist_pipeline.data.csv import named_header, read_blocks, write_named_rows
    from mnist_pipeline.data.dataset import load_dataset, save_dataset
    from mnist_pipeline.data.relations import Relations
    from mnist_pipeline.data.schema import Schema
    from mnist_pipeline.data.split import stratified_split

    schema, relations = Schema(params.image_side, params.classes), Relations()
    arrays = folder / "arrays"
    save_dataset(arrays, relations.collect(read_blocks(source, schema)), params.classes, relations.groups)
    dataset = load_dataset(arrays)
    size, setting = params.test_fraction or 0, "custom.test_fraction"
    try:
        _, test_rows = stratified_split(dataset.labels, size, TEST_SEED, dataset.groups, setting)
    except PipelineError as error:
        raise PipelineError(f"{source}: {error}") from None
    in_test = np.zeros(len(dataset.labels), bool)
    in_test[test_rows] = True
    done = 0
    with new["train"].open("wb") as train, new["test"].open("wb") as test:
        for block in read_blocks(source, schema):
            if done == 0:
                train.write(named_header(block))
                test.write(named_header(block))
            chosen = in_test[done : done + len(block.labels)]
            write_named_rows(train, block.part(~chosen), params.classes)
            write_named_rows(test, block.part(chosen), params.classes)
            done += len(block.labels)
