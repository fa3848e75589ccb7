"""gzip and tar archives, unpacked in memory and never beyond a limit: a few kilobytes can claim to be terabytes."""

from __future__ import annotations

import io
import tarfile
import zlib
from collections.abc import Collection
from pathlib import PurePosixPath

from mnist_pipeline.core.errors import SourceError


def gunzip(content: bytes, name: str, max_bytes: int) -> bytes:
    """Unpack a gzip file.

    Args:
        content: of the file.
        name: of the file, for errors.
        max_bytes: the most that it may unpack to.

    Raises:
        SourceError: it is not a gzip file, is damaged or truncated, or unpacks to more.
    """
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


def read_tarball(content: bytes, wanted: Collection[str], max_bytes: int) -> dict[str, bytes]:
    """Read some files of a .tar.gz by name; nothing is written to the disk.

    Args:
        content: of the tarball.
        wanted: names of files, without their folders.
        max_bytes: the most that it may unpack to.

    Raises:
        SourceError: it is damaged, too large, or has a member whose path leaves the archive.
    """
    raw = gunzip(content, "its tarball", max_bytes)  # all of it: headers can be bombs, too
    found = {}
    total = 0
    try:
        with tarfile.open(fileobj=io.BytesIO(raw), mode="r:") as archive:
            for member in archive:
                name = PurePosixPath(member.name)
                if name.is_absolute() or ".." in name.parts:
                    raise SourceError(f"its tarball has the member {member.name!r}, a path outside the archive")
                total += member.size
                if total > max_bytes:
                    raise SourceError(f"its tarball holds more than the {max_bytes} bytes of fetch.max_megabytes")
                if name.name in wanted and member.isfile() and (file := archive.extractfile(member)):
                    found[name.name] = file.read()
    except SourceError:
        raise
    except Exception as error:  # a damaged header makes tarfile raise almost anything, TypeError and OverflowError too
        raise SourceError(f"its tarball is damaged: {error}") from None
    return found
