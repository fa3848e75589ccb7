"""Downloads from servers that fail in every way; each is a real one, on this machine."""

from __future__ import annotations

import io
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trustme

from mnist_pipeline.core.errors import SourceError
from mnist_pipeline.ingest.download import Limits, download
from tests.ingest.servers import Answer, dripping, in_turn, raw, redirect, reply, serving, silent, trickling

CONTENT = np.random.default_rng(0).bytes(200_000)  # more than is read at once
LIMITS = Limits(timeout=10, retries=2, min_rate=0, max_bytes=1_000_000)
HASTY = replace(LIMITS, timeout=0.3, retries=1)
STEADY = Limits(timeout=0.5, retries=0, min_rate=1000, max_bytes=10_000_000)
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
CUT_OFF = reply(200, CONTENT[:130_000], Content_Length="200000")
Issue = Callable[..., ssl.SSLContext]


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits between attempts, none of which is waited; and nothing leaves this machine."""
    waited: list[float] = []
    resolve = socket.getaddrinfo

    def resolve_here(host: str, *args: Any, **settings: Any) -> Any:
        assert host == "127.0.0.1"
        return resolve(host, *args, **settings)

    monkeypatch.setattr(time, "sleep", waited.append)
    monkeypatch.setattr(socket, "getaddrinfo", resolve_here)
    return waited


def downloaded(url: str, limits: Limits = LIMITS) -> bytes:
    file = io.BytesIO(bytes(300_000))  # what was there before is longer
    download(url, file, limits)
    return file.getvalue()


def refusal(url: str, limits: Limits = LIMITS) -> str:
    """Why a download fails."""
    with pytest.raises(SourceError) as caught:
        downloaded(url, limits)
    return str(caught.value)


@pytest.mark.parametrize(
    ("answer", "limits", "message", "requests"),
    [
        (reply(404), LIMITS, "HTTP 404 Not Found", 1),
        (reply(302), LIMITS, "HTTP 302", 1),
        (reply(206, CONTENT), LIMITS, "HTTP 206", 1),
        (reply(503), replace(LIMITS, retries=0), "HTTP 503 Service Unavailable", 1),
        (reply(429), LIMITS, "HTTP 429 Too Many Requests (3 attempts)", 3),
        (in_turn(reply(500), reply(404)), LIMITS, "HTTP 404", 2),
        (silent, HASTY, "no answer within 0.3 s (2 attempts)", 2),
        (trickling(200, pause=60), replace(HASTY, retries=0), "no data for 0.3 s", 1),
        (dripping(b"HTTP/1.1 200 OK\r\nX-More: and more\r\n"), replace(HASTY, retries=0), "no answer within 0.6 s", 1),
        (dripping(b"HTTP/1.1 100 Continue\r\n\r\n", 1e-3), replace(HASTY, retries=0), "no answer within 0.6 s", 1),
        (dripping(CHUNKED + b"5;" + b"x" * 60_000, 1e-4), replace(HASTY, retries=0), "no answer within 0.6 s", 1),
        (trickling(200), STEADY, "too slow: 0.0 kB/s, fetch.min_kilobytes_per_second is 1", 1),
        (trickling(302, location="/again"), STEADY, "redirects", 6),
        (raw(b"\x00\x01\x02 no HTTP at all\r\n\r\n"), LIMITS, "the connection broke", 3),
        (raw(CHUNKED + b"5\r\nhello\r\n"), LIMITS, "the connection broke: IncompleteRead", 3),
        (CUT_OFF, LIMITS, "IncompleteRead(130000 bytes read, 70000 more expected) (3 attempts)", 3),
        (reply(200, Content_Length="1000001"), LIMITS, "too large: 1000001 bytes, fetch.max_megabytes", 1),
        (reply(200, bytes(1_000_001), Content_Length=None), LIMITS, "too large: over the 1000000 bytes", 1),
        (raw(CHUNKED + b"186a0\r\n%b\r\n" % bytes(100_000) * 11), LIMITS, "too large: over the 1000000 bytes", 1),
        (redirect("/again"), LIMITS, "more than 5 redirects", 6),
        (redirect("http://192.0.2.1/file"), LIMITS, "http://192.0.2.1/file must be an https address", 1),
        (redirect("file:///etc/passwd"), LIMITS, "file:///etc/passwd must be an https address", 1),
        (redirect("http://[oops/"), LIMITS, "malformed address", 1),
        (redirect("https://" + "a" * 70 + ".example/"), LIMITS, "malformed address", 1),
    ],
)
def test_a_failure_says_why(answer: Answer, limits: Limits, message: str, requests: int, waits: list[float]) -> None:
    with serving(answer) as server:
        assert message in refusal(f"{server.url}/file", limits)
    assert len(server.log) == requests
    assert waits == ([] if "redirects" in message else [0.5, 1][: requests - 1])


def test_a_refused_connection_is_not_tried_again(waits: list[float]) -> None:
    with socket.socket() as bound:  # bound, but nobody listens: no other process can take the port meanwhile
        bound.bind(("127.0.0.1", 0))
        assert "unreachable: [Errno 111]" in refusal(f"http://127.0.0.1:{bound.getsockname()[1]}/file")
    assert not waits


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://192.0.2.1/file", "must be an https address"),
        ("http://127.0.0.1.example/file", "must be an https address"),
        ("http://127.0.0.1@192.0.2.1/file", "must be an https address"),
        (r"http://192.0.2.1\@127.0.0.1/file", "must be an https address"),
        ("file:///etc/passwd", "must be an https address"),
        ("ftp://127.0.0.1/file", "malformed address"),
        ("https://127.0.0.1:port/file", "malformed address"),
        ("", "malformed address"),
    ],
)
def test_an_address_that_is_not_allowed_is_never_asked(url: str, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(*_: Any) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket.socket, "connect", connect)
    monkeypatch.setattr(socket, "getaddrinfo", connect)
    assert reason in refusal(url)


@pytest.mark.parametrize("url", ["http://localhost/", "http://[::1]/", "https://mnist.example/"])
def test_an_unknown_host_is_asked_once(url: str, waits: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    assert "unreachable: [Errno -2] Name or service not known" in refusal(url)
    assert not waits


@pytest.mark.parametrize(
    "answer",
    [
        reply(200, CONTENT),
        reply(200, CONTENT, Content_Length=None),
        reply(200, CONTENT, Content_Length="²"),
        raw(CHUNKED + b"30d40\r\n" + CONTENT + b"\r\n0\r\n\r\n"),
        in_turn(reply(503), raw(b""), reply(200, CONTENT)),
        in_turn(CUT_OFF, reply(200, CONTENT)),
        in_turn(*[redirect("/again")] * 5, reply(200, CONTENT)),
        # As Apache sends .gz files by default: the file is what is sent, not what that unpacks to.
        reply(200, CONTENT, Content_Encoding="gzip"),
    ],
)
def test_a_whole_file_replaces_what_was_there(answer: Answer) -> None:
    with serving(answer) as server:
        assert downloaded(f"{server.url}/file", replace(LIMITS, max_bytes=len(CONTENT))) == CONTENT
    assert server.log[0][1]["Accept-Encoding"] == "identity"


@pytest.fixture
def certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Issue:
    """Certificates of an authority that is trusted, for the address of this machine or another name."""
    authority, bundle = trustme.CA(), tmp_path / "bundle.pem"
    authority.cert_pem.write_to_path(str(bundle))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))

    def issue(name: str = "127.0.0.1", issuer: trustme.CA = authority) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        issuer.issue_cert(name).configure_cert(context)
        return context

    return issue


def test_a_redirect_from_https_to_http_is_refused(certificate: Issue) -> None:
    with serving(reply(200, CONTENT)) as plain, serving(redirect(f"{plain.url}/file"), certificate()) as server:
        assert f"{plain.url}/file must be an https address" in refusal(server.url)
    assert len(server.log) == 1
    assert not plain.log


def test_redirects_from_http_to_https_and_on_are_followed(certificate: Issue) -> None:
    answer = in_turn(redirect("/again"), reply(200, CONTENT))
    with serving(answer, certificate()) as last, serving(redirect(last.url)) as first:
        assert downloaded(first.url) == CONTENT


@pytest.mark.parametrize("problem", ["authority", "name"])
@pytest.mark.parametrize("redirected", [False, True])
def test_a_bad_certificate_is_refused(certificate: Issue, waits: list[float], problem: str, redirected: bool) -> None:
    bad = certificate("mnist.example") if problem == "name" else certificate(issuer=trustme.CA())
    with serving(reply(200, CONTENT), bad) as server, serving(redirect(server.url), certificate()) as first:
        assert "its certificate cannot be verified" in refusal(first.url if redirected else server.url)
    assert not server.log
    assert not waits
