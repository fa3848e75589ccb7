"""gzip and tar archives of strangers: damaged, too large, or with paths that leave the archive."""

from __future__ import annotations

import gzip
import io
import tarfile

import pytest

from mnist_pipeline.core.errors import SourceError
from mnist_pipeline.ingest.archives import gunzip, read_tarball

LIMIT = 1_000_000
CONTENT = b"content" * 1000
GZIPPED = gzip.compress(CONTENT, mtime=0)


def tarball(*members: tuple[str | tarfile.TarInfo, bytes]) -> bytes:
    """An archive, not compressed."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for member, content in members:
            info = tarfile.TarInfo(member) if isinstance(member, str) else member
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


def special(name: str, kind: bytes) -> tarfile.TarInfo:
    """A link or a device."""
    info = tarfile.TarInfo(name)
    info.type = kind
    info.linkname = "/etc/passwd"
    return info


def sparse(name: str, size: int) -> tarfile.TarInfo:
    """A file that is as large as it claims, all of it holes, and that takes up no space in the tarball."""
    info = tarfile.TarInfo(name)
    info.pax_headers = {"GNU.sparse.map": "0,0", "GNU.sparse.size": str(size)}
    return info


def test_gzip_is_unpacked_up_to_the_limit() -> None:
    assert gunzip(GZIPPED, "a.gz", len(CONTENT)) == CONTENT
    with pytest.raises(
        SourceError, match=r"^a\.gz unpacks to more than the 6999 bytes that fetch\.max_megabytes allow"
    ):
        gunzip(GZIPPED, "a.gz", len(CONTENT) - 1)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "a.gz is truncated"),
        (GZIPPED[:-1], "a.gz is truncated"),
        (GZIPPED[:-8] + bytes(8), "a.gz is not a gzip file, or is damaged: .*incorrect data check"),
        (b"<!DOCTYPE html>", "a.gz is not a gzip file"),
    ],
)
def test_a_damaged_gzip_is_refused(content: bytes, reason: str) -> None:
    with pytest.raises(SourceError, match=reason):
        gunzip(content, "a.gz", LIMIT)


def read(content: bytes) -> dict[str, bytes]:
    return read_tarball(gzip.compress(content, mtime=0), ["a", "b"], LIMIT)


def test_only_the_wanted_files_of_a_tarball_are_read() -> None:
    members = [("package/package.json", b"{}"), ("package/data/a", b"1"), ("b", b"2"), ("package/a/c", b"3")]
    assert read(tarball(*members)) == {"a": b"1", "b": b"2"}


MEMBERS = [("package/a", CONTENT), ("package/b", CONTENT)]
BAD = {
    "climbs": (tarball(*MEMBERS, ("../evil", b"x")), "has the member '../evil', a path outside the archive"),
    "absolute": (tarball(("/tmp/a", b"x")), "has the member '/tmp/a', a path outside the archive"),
    "link that climbs": (tarball((special("../evil", tarfile.SYMTYPE), b"")), "a path outside the archive"),
    "no tar": (b"no tar file at all" * 100, "its tarball is damaged"),
    "truncated": (tarball(*MEMBERS)[:700], "its tarball is damaged"),
    "large": (tarball(("big", bytes(LIMIT))), "its tarball unpacks to more than the 1000000 bytes"),
    "sparse and large": (tarball((sparse("a", 10**15), b"")), "holds more than the 1000000 bytes"),
    "large in sum": (tarball((sparse("a", 600_000), b""), (sparse("b", 600_000), b"")), "holds more than"),
    "large header": (tarball(("n" * 2 * LIMIT, b"")), "its tarball unpacks to more than the 1000000 bytes"),
}


@pytest.mark.parametrize(("content", "reason"), BAD.values(), ids=BAD)
def test_a_bad_tarball_is_refused(content: bytes, reason: str) -> None:
    with pytest.raises(SourceError) as caught:
        read(content)
    assert reason in str(caught.value)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_are_no_files(kind: bytes) -> None:
    assert read(tarball((special("package/a", kind), b""))) == {}
