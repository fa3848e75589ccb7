"""Download one file over HTTPS: with a time-out, retries, a size limit and a lowest rate."""

from __future__ import annotations

import ipaddress
import signal
import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from typing import BinaryIO

import requests
from requests.adapters import BaseAdapter
from tqdm import tqdm
from urllib3.exceptions import HTTPError, LocationParseError
from urllib3.util import parse_url

from mnist_pipeline.core.errors import SourceError, TransientError

CHUNK_BYTES = 1 << 16
MAX_REDIRECTS = 5
RETRY_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})
HEADERS = {"Accept-Encoding": "identity", "User-Agent": "mnist-pipeline"}


@dataclass(frozen=True)
class Limits:
    """The limits of a download.

    Attributes:
        timeout: seconds that a server may be silent.
        retries: further attempts after a transient failure.
        min_rate: bytes a second; a server that is slower over ``timeout`` seconds counts as down.
        max_bytes: the most that a file may hold.
    """

    timeout: float
    retries: int
    min_rate: float
    max_bytes: int


def download(url: str, file: BinaryIO, limits: Limits) -> None:
    """Download a file, in the main thread.

    Args:
        url: an https address, or an http address of this machine.
        file: open for writing; its content is replaced.
        limits: see ``Limits``.

    Raises:
        SourceError: the address is not allowed, or the last attempt failed.
    """
    for attempt in range(limits.retries + 1):
        file.seek(0)
        file.truncate()
        try:
            _attempt(url, file, limits)
        except TransientError as error:
            if attempt == limits.retries:
                attempts = f" ({attempt + 1} attempts)" if attempt else ""
                raise SourceError(f"{error}{attempts}") from None
            time.sleep(0.5 * 2**attempt)
        else:
            return


class _SecureSession(requests.Session):
    """Follows redirects, but never from HTTPS to HTTP, nor over HTTP to another machine."""

    def __init__(self) -> None:
        super().__init__()
        self.max_redirects = MAX_REDIRECTS
        self._https_only = False
        self.hooks["response"].append(_close_redirect)

    def get_adapter(self, url: str) -> BaseAdapter:
        """Return the adapter for an address; called for each redirect, too."""
        parts = parse_url(url)  # the parser of what connects: another may see another host in an odd address
        if parts.scheme == "https":
            self._https_only = True
        elif self._https_only or not _is_this_machine((parts.host or "").strip("[]")):
            raise SourceError(f"{url} must be an https address (http only for this machine)")
        return super().get_adapter(url)


def _close_redirect(response: requests.Response, **_: object) -> None:
    """Close a redirect without its body, which requests would read to its end, however long or slow it is."""
    if response.is_redirect:
        response.close()


def _is_this_machine(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _attempt(url: str, file: BinaryIO, limits: Limits) -> None:
    try:
        with _SecureSession() as session, ExitStack() as stack:
            with _within(2 * limits.timeout):
                got = stack.enter_context(session.get(url, headers=HEADERS, stream=True, timeout=limits.timeout))
            if got.status_code in RETRY_STATUS:
                raise TransientError(f"HTTP {got.status_code} {got.reason}")
            if got.status_code != 200:
                raise SourceError(f"HTTP {got.status_code} {got.reason}")
            _save(got, file, limits)
    except requests.exceptions.TooManyRedirects:
        raise SourceError(f"more than {MAX_REDIRECTS} redirects") from None
    except (ValueError, LocationParseError) as error:  # of requests, urllib3 or urllib: each refuses some
        raise SourceError(f"{url!r} is, or redirects to, a malformed address: {error}") from None
    except requests.exceptions.Timeout:
        raise TransientError(f"no answer within {limits.timeout:g} s") from None
    except (requests.exceptions.ConnectionError, HTTPError) as error:
        raise _connection_error(error, limits) from None
    except requests.exceptions.RequestException as error:
        raise TransientError(f"the connection broke: {_root_message(error)}") from None


@contextmanager
def _within(seconds: float) -> Iterator[None]:
    """Raise a ``TransientError`` after so many seconds: the time-out of a socket begins again with every byte."""

    def expire(*_: object) -> None:
        raise TransientError(f"no answer within {seconds:g} s")

    signal.signal(signal.SIGALRM, expire)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _save(response: requests.Response, file: BinaryIO, limits: Limits) -> None:
    stated = response.headers.get("Content-Length", "")
    total = int(stated) if stated.isdecimal() else None
    if total is not None and total > limits.max_bytes:
        raise SourceError(f"too large: {total} bytes, fetch.max_megabytes allows {limits.max_bytes}")
    received = 0
    name = (parse_url(str(response.url)).path or "").rpartition("/")[2]
    with tqdm(total=total, unit="B", unit_scale=True, desc=name, disable=None) as progress:
        for data in _steady(_arriving(response, limits), limits):
            received += len(data)
            if received > limits.max_bytes:
                raise SourceError(f"too large: over the {limits.max_bytes} bytes that fetch.max_megabytes allows")
            file.write(data)
            progress.update(len(data))
    if total is not None and received != total:
        raise TransientError(f"cut off after {received} of {total} bytes")


def _arriving(response: requests.Response, limits: Limits) -> Iterator[bytes]:
    """Yield the bytes as soon as any arrive; ``iter_content`` would wait until a chunk is full."""
    while True:
        with _within(2 * limits.timeout):
            data = response.raw.read1(CHUNK_BYTES, decode_content=False)
        if not data:
            return
        yield data


def _steady(chunks: Iterator[bytes], limits: Limits) -> Iterator[bytes]:
    """Yield the chunks as long as every ``timeout`` seconds bring ``min_rate`` bytes a second."""
    started, received = time.monotonic(), 0
    for data in chunks:
        yield data
        received += len(data)
        seconds = time.monotonic() - started
        if seconds > limits.timeout:
            if received < limits.min_rate * seconds:
                raise TransientError(
                    f"too slow: {received / seconds / 1000:.1f} kB/s, "
                    f"fetch.min_kilobytes_per_second is {limits.min_rate / 1000:g}"
                )
            started, received = time.monotonic(), 0


def _connection_error(error: Exception, limits: Limits) -> SourceError:
    root, cause = _root(error), _root_message(error)
    if isinstance(root, ssl.SSLCertVerificationError):
        return SourceError(f"its certificate cannot be verified: {cause}")
    if "timed out" in cause:
        return TransientError(f"no data for {limits.timeout:g} s")
    if "Failed to establish" in str(error) or "NameResolution" in str(error) or "ProxyError" in str(error):
        return SourceError(f"unreachable: {cause}")  # at once and for good: no use in another attempt
    return TransientError(f"the connection broke: {cause}")


def _root_message(error: BaseException) -> str:
    """Return the innermost message, without the names of the library's own classes around it."""
    root = _root(error)
    return str(root) or type(root).__name__


def _root(error: BaseException) -> BaseException:
    while (inner := error.__cause__ or error.__context__) is not None:
        if isinstance(error, HTTPException):  # clearer than what is in it: IncompleteRead, not int() of nothing
            break
        error = inner
    return error
