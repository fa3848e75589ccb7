"""One file over HTTP: with a time-out, retries, resumption, a size limit, and never from HTTPS to plain HTTP."""

from __future__ import annotations

import ipaddress
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

import requests
from tqdm import tqdm
from urllib3.exceptions import HTTPError, LocationParseError
from urllib3.util import parse_url

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


def _part(target: Path) -> Path:
    return target.with_name(f"{target.name}.part")


def _validator(target: Path) -> Path:
    return target.with_name(f"{target.name}.part-of")


def _allowed(url: str) -> bool:
    try:
        parts = parse_url(url)  # the parser of what connects: another may see another host in an odd address
    except LocationParseError:
        return False
    return bool(parts.host) and (
        parts.scheme == "https" or (parts.scheme == "http" and _is_this_machine((parts.host or "").strip("[]")))
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
                if response.status_code != 200 and not _continues(response, have, headers.get("If-Range")):
                    part.unlink(missing_ok=True)
                    raise _PassingError(f"it did not go on at byte {have}, as asked (HTTP {response.status_code})")
                _save(response, part, validator, have if response.status_code == 206 else 0, limits)
        except ValueError as error:  # of requests, urllib3 or urllib: each refuses some
            raise DownloadError(f"it leads to a malformed address: {error}") from None
        except requests.exceptions.Timeout:
            raise _PassingError(f"no answer within {limits.timeout:g} s") from None
        except (requests.exceptions.ConnectionError, HTTPError) as error:
            raise _connection_error(error, limits) from None
        except requests.exceptions.RequestException as error:
            raise _PassingError(f"the connection broke: {_root_cause(error)}") from None
    part.replace(target)
    validator.unlink(missing_ok=True)


@contextmanager
def _follow(
    session: requests.Session, url: str, headers: dict[str, str], timeout: float
) -> Iterator[requests.Response]:
    """The response at the end of all redirects, none of which leaves HTTPS."""
    response = session.get(url, headers=headers, stream=True, timeout=timeout, allow_redirects=False)
    try:
        redirects = 0
        while (request := response.next) is not None:
            redirects += 1
            if redirects > MAX_REDIRECTS:
                raise DownloadError(f"it redirects more than {MAX_REDIRECTS} times")
            if str(response.url).startswith("https:") and not str(request.url).startswith("https:"):
                raise DownloadError(f"it redirects from HTTPS to {request.url}, which anyone on the way could change")
            if not _allowed(str(request.url)):
                raise DownloadError(f"it redirects to {request.url}, which is not HTTPS")
            response.close()
            settings = session.merge_environment_settings(str(request.url), {}, True, None, None)  # REQUESTS_CA_BUNDLE
            response = session.send(request, timeout=timeout, allow_redirects=False, **settings)
        if response.status_code in RETRY_STATUS:
            raise _PassingError(f"HTTP {response.status_code} {response.reason}")
        if response.status_code not in (200, 206) and not (response.status_code == 416 and "Range" in headers):
            raise DownloadError(f"HTTP {response.status_code} {response.reason}")
        yield response
    finally:
        response.close()


def _continues(response: requests.Response, have: int, version: str | None) -> bool:
    """Whether the bytes that come now follow those of ``version`` that are there."""
    return (
        response.status_code == 206
        and response.headers.get("Content-Range", "").startswith(f"bytes {have}-")
        and (version is None or _version(response) in (None, version))  # some servers know Range, but not If-Range
    )


def _version(response: requests.Response) -> str | None:
    version = response.headers.get("ETag") or response.headers.get("Last-Modified")
    return None if version is None or version.startswith("W/") else version  # a weak ETag does not vouch for the bytes


def _note(version: str | None, validator: Path) -> None:
    if version is None:
        validator.unlink(missing_ok=True)
    else:
        validator.write_text(version, "utf-8")


def _save(response: requests.Response, part: Path, validator: Path, start: int, limits: Limits) -> None:
    stated = response.headers.get("Content-Length", "")
    total = start + int(stated) if stated.isdecimal() else None
    if response.status_code == 206:  # which may be less than the rest
        whole = response.headers["Content-Range"].rpartition("/")[2]
        total = int(whole) if whole.isdecimal() else total
    if total is not None and total > limits.max_bytes:
        raise DownloadError(f"too large: {total} bytes, fetch.max_megabytes allows {limits.max_bytes}")
    received = start
    name = (parse_url(str(response.url)).path or "").rpartition("/")[2]
    with (
        part.open("ab" if start else "wb") as file,
        tqdm(total=total, initial=start, unit="B", unit_scale=True, desc=name, disable=None) as progress,
    ):
        if not start:  # the old bytes are gone by now: they must never stand beside the name of a new version
            _note(_version(response), validator)
        for data in _steady(_arriving(response), limits):
            received += len(data)
            if received > limits.max_bytes:
                raise DownloadError(f"too large: over the {limits.max_bytes} bytes that fetch.max_megabytes allows")
            file.write(data)
            progress.update(len(data))
    if total is not None and received != total:
        raise _PassingError(f"cut off after {received} of {total} bytes")


def _arriving(response: requests.Response) -> Iterator[bytes]:
    """The file's own bytes as soon as any arrive; ``iter_content`` would wait until a chunk is full."""
    while data := response.raw.read1(CHUNK_BYTES, decode_content=False):
        yield data


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


def _connection_error(error: Exception, limits: Limits) -> DownloadError:
    root, cause = _root(error), _root_cause(error)
    if isinstance(root, ssl.SSLCertVerificationError):
        return DownloadError(f"its certificate is not to be trusted: {cause}")
    if "timed out" in cause:
        return _PassingError(f"no data for {limits.timeout:g} s")
    if "Failed to establish" in str(error) or "NameResolution" in str(error) or "ProxyError" in str(error):
        return DownloadError(f"it cannot be reached: {cause}")  # at once and for good: another attempt is a waste
    return _PassingError(f"the connection broke: {cause}")


def _root_cause(error: BaseException) -> str:
    """The innermost message, without the names of the library's own classes around it."""
    root = _root(error)
    return str(root) or type(root).__name__


def _root(error: BaseException) -> BaseException:
    while (inner := error.__cause__ or error.__context__) is not None:
        if isinstance(error, HTTPException):  # clearer than what is in it: IncompleteRead, not int() of nothing
            break
        error = inner
    return error
