"""Bring the user's own data set: CSV files of this machine or of a web server, or one file and a share to test on."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np

from mnist_pipeline.csvs import Schema, read_blocks, write_rows
from mnist_pipeline.download import DownloadError, Limits, download
from mnist_pipeline.files import replacing
from mnist_pipeline.params import CustomParams
from mnist_pipeline.sources import FetchError, scratch_file

TEST_SEED = 0
"""Draws the rows to test on: always the same ones, so that results can be compared."""


def fetch_custom(params: CustomParams, targets: dict[str, Path], scratch: Path, limits: Limits) -> str:
    """Bring both CSV files: two as they are, or one in two parts, each class in proportion.

    Args:
        params: where they are.
        targets: where the CSV of "train" and of "test" goes. Both are replaced, or neither.
        scratch: a folder for unfinished downloads, from which a later call goes on.
        limits: how patient to be with a server.

    Returns:
        Where they came from, for a message.

    Raises:
        FetchError: a file is missing, cannot be brought, or has another hash. What was at ``targets`` is still there.
        CsvError: the one file that was to be parted is not what it must be, likewise.
    """
    with ExitStack() as stack:
        new = {split: stack.enter_context(replacing(target)) for split, target in targets.items()}
        train = stack.enter_context(_brought("train", params.train, params.sha256.train, scratch, limits))
        if params.test is None:
            _part(train, new, params)
            return f"{params.train}, {params.test_fraction:g} of whose rows are to test on"
        test = stack.enter_context(_brought("test", params.test, params.sha256.test, scratch, limits))
        shutil.copyfile(train, new["train"])
        shutil.copyfile(test, new["test"])
        return f"{params.train} and {params.test}"


@contextmanager
def _brought(split: str, place: str, sha256: str | None, scratch: Path, limits: Limits) -> Iterator[Path]:
    """The file at a path or an address, with the hash that it must have; a download is removed afterwards."""
    if "://" not in place:
        try:
            path = Path(place).expanduser()
        except RuntimeError as error:  # "~name" of a user that there is not
            raise FetchError(f"custom.{split}: {place}: {error}") from None
        if not path.is_file():
            raise FetchError(
                f"custom.{split}: {place}: no such file; put it there, or name another one in params.yaml "
                "(from the root of the repository, or an address, https://...)"
            )
        _check(path, split, place, sha256)
        yield path
        return
    scratch.mkdir(parents=True, exist_ok=True)
    path = scratch_file(scratch, place)
    try:
        download(place, path, limits)
        _check(path, split, place, sha256)
        yield path
    except DownloadError as error:
        raise FetchError(f"custom.{split}: {place}: {error}") from None
    finally:
        path.unlink(missing_ok=True)


def _check(path: Path, split: str, place: str, expected: str | None) -> None:
    if expected is None:
        return
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != expected:
        raise FetchError(
            f"{place} hashes to {found}, custom.sha256.{split} is {expected}: it is another version of the file, or "
            f"damaged; if it is the one you want, set custom.sha256.{split} to its hash, or to null"
        )


def _part(source: Path, new: dict[str, Path], params: CustomParams) -> None:
    """Write the rows of one CSV file into two. It is read twice, so that memory need not hold it."""
    from mnist_pipeline.holdout import HoldOutError, hold_out  # takes a second: not for those who do not need it

    schema = Schema(params.image_side, len(params.classes))
    labels = np.concatenate([block.labels for block in read_blocks(source, schema)])
    try:
        _, held_out = hold_out(labels, params.test_fraction or 0, TEST_SEED, "custom.test_fraction")
    except HoldOutError as error:
        raise FetchError(f"{source}: {error}") from None
    to_test = np.zeros(len(labels), bool)
    to_test[held_out] = True
    done = 0
    with new["train"].open("wb") as train, new["test"].open("wb") as test:
        for block in read_blocks(source, schema):
            chosen = to_test[done : done + len(block.labels)]
            for file, part in ((train, ~chosen), (test, chosen)):
                if part.any():
                    write_rows(file, block.labels[part], block.images[part])
            done += len(block.labels)
