"""One file over HTTP: with a time-out, retries, resumption, a size limit, and never from HTTPS to plain HTTP."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import requests
from tqdm import tqdm

CHUNK_BYTES = 1 << 16
MAX_REDIRECTS = 5
RETRY_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})


class DownloadError(OSError):
    """A file could not be brought; the message says why."""


class _PassingError(DownloadError):
    """A failure that another attempt may not meet."""


@dataclass(frozen=True)
class Limits:
    """How patient and how trusting a download is.

    Attributes:
        timeout: seconds that a server may be silent.
        retries: further attempts after a failure that may pass.
        min_rate: bytes a second below which, over ``timeout`` seconds, a server counts as down.
        max_bytes: the most that a file may hold.
    """

    timeout: float
    retries: int
    min_rate: float
    max_bytes: int


def download(url: str, target: Path, limits: Limits) -> None:
    """Bring a file; after an interruption, continue where it ended if the server confirms it is the same file.

    What has arrived is kept in ``target`` with ``.part`` appended until it is whole, and beside it the
    server's name for that version of the file (its ETag, or its date).

    Args:
        url: an https address, or an http address of this machine.
        target: where the whole file goes; replaced in one step.
        limits: see ``Limits``.

    Raises:
        DownloadError: the address is not allowed, or the last attempt failed.
    """
    if not _allowed(url):
        raise DownloadError(f"{url} must be an https address (http is for this machine alone)")
    target.parent.mkdir(parents=True, exist_ok=True)
    for attempt in range(limits.retries + 1):
        try:
            _attempt(url, target, limits)
        except _PassingError as error:
            if attempt == limits.retries:
                attempts = f" ({attempt + 1} attempts)" if attempt else ""
                raise DownloadError(f"{error}{attempts}") from None
            time.sleep(0.5 * 2**attempt)
        else:
            return


def discard(target: Path) -> None:
    """Remove what an unfinished or unusable download of ``target`` left."""
    for path in (target, _part(target), _validator(target)):
        path.unlink(missing_ok=True)


def _part(target: Path) -> Path:
    return target.with_name(f"{target.name}.part")


def _validator(target: Path) -> Path:
    return target.with_name(f"{target.name}.part-of")


def _allowed(url: str) -> bool:
    parts = urlsplit(url)
    return bool(parts.hostname) and (
        parts.scheme == "https" or (parts.scheme == "http" and _is_this_machine(parts.hostname or ""))
    )


def _is_this_machine(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _attempt(url: str, target: Path, limits: Limits) -> None:
    part, validator = _part(target), _validator(target)
    have = part.stat().st_size if part.exists() and validator.exists() else 0
    # The file's own bytes, not the server's compression of them: a range of those cannot be resumed.
    headers = {"Accept-Encoding": "identity", "User-Agent": "mnist-pipeline"}
    if have:
        headers |= {"Range": f"bytes={have}-", "If-Range": validator.read_text("utf-8")}
    with requests.Session() as session:
        try:
            with _follow(session, url, headers, limits.timeout) as response:
                resumed = response.status_code == 206 and response.headers.get("Content-Range", "").startswith(
                    f"bytes {have}-"
                )
                if response.status_code == 206 and not resumed:
                    discard(target)
                    raise _PassingError("the server sent another part than the one asked for")
                _save(response, part, validator, have if resumed else 0, limits)
        except requests.exceptions.SSLError as error:
            raise DownloadError(f"its certificate is not to be trusted: {_root_cause(error)}") from None
        except requests.exceptions.Timeout:
            raise _PassingError(f"no answer within {limits.timeout:g} s") from None
        except requests.exceptions.ConnectionError as error:
            raise _connection_error(error, limits) from None
        except requests.exceptions.RequestException as error:
            raise _PassingError(f"the connection broke: {_root_cause(error)}") from None
    part.replace(target)
    validator.unlink(missing_ok=True)


def _follow(session: requests.Session, url: str, headers: dict[str, str], timeout: float) -> requests.Response:
    """The response at the end of all redirects, none of which leaves HTTPS."""
    response = session.get(url, headers=headers, stream=True, timeout=timeout, allow_redirects=False)
    for _ in range(MAX_REDIRECTS):
        request = response.next
        if request is None:
            break
        if str(response.url).startswith("https:") and not str(request.url).startswith("https:"):
            raise DownloadError(f"it redirects from HTTPS to {request.url}, which anyone on the way could change")
        if not _allowed(str(request.url)):
            raise DownloadError(f"it redirects to {request.url}, which is not HTTPS")
        response.close()
        response = session.send(request, stream=True, timeout=timeout, allow_redirects=False)
    else:
        raise DownloadError(f"it redirects more than {MAX_REDIRECTS} times")
    if response.status_code in RETRY_STATUS:
        raise _PassingError(f"HTTP {response.status_code} {response.reason}")
    if response.status_code not in (200, 206):
        raise DownloadError(f"HTTP {response.status_code} {response.reason}")
    return response


def _save(response: requests.Response, part: Path, validator: Path, start: int, limits: Limits) -> None:
    stated = response.headers.get("Content-Length")
    total = start + int(stated) if stated and stated.isdigit() else None
    if total is not None and total > limits.max_bytes:
        raise DownloadError(f"too large: {total} bytes, fetch.max_megabytes allows {limits.max_bytes}")
    version = response.headers.get("ETag") or response.headers.get("Last-Modified")
    if version and not version.startswith("W/"):  # a weak ETag does not vouch for the bytes
        validator.write_text(version, "utf-8")
    else:
        validator.unlink(missing_ok=True)
    received = start
    name = urlsplit(str(response.url)).path.rpartition("/")[2]
    with (
        part.open("ab" if start else "wb") as file,
        tqdm(total=total, initial=start, unit="B", unit_scale=True, desc=name, disable=None) as progress,
    ):
        for data in _steady(response.iter_content(CHUNK_BYTES), limits):
            received += len(data)
            if received > limits.max_bytes:
                raise DownloadError(f"too large: over the {limits.max_bytes} bytes that fetch.max_megabytes allows")
            file.write(data)
            progress.update(len(data))
    if total is not None and received != total:
        raise _PassingError(f"cut off after {received} of {total} bytes")


def _steady(chunks: Iterator[bytes], limits: Limits) -> Iterator[bytes]:
    """The chunks, as long as every ``timeout`` seconds bring ``min_rate`` bytes a second."""
    started, received = time.monotonic(), 0
    for data in chunks:
        yield data
        received += len(data)
        seconds = time.monotonic() - started
        if seconds > limits.timeout:
            if received < limits.min_rate * seconds:
                raise _PassingError(
                    f"too slow: {received / seconds / 1000:.1f} kB/s, "
                    f"fetch.min_kilobytes_per_second is {limits.min_rate / 1000:g}"
                )
            started, received = time.monotonic(), 0


def _connection_error(error: requests.exceptions.ConnectionError, limits: Limits) -> DownloadError:
    cause = _root_cause(error)
    if "timed out" in cause:
        return _PassingError(f"no data for {limits.timeout:g} s")
    if "Failed to establish" in str(error) or "NameResolution" in str(error) or "ProxyError" in str(error):
        return DownloadError(f"it cannot be reached: {cause}")  # at once and for good: another attempt is a waste
    return _PassingError(f"the connection broke: {cause}")


def _root_cause(error: BaseException) -> str:
    """The innermost message, without the names of the library's own classes around it."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return str(error) or type(error).__name__
