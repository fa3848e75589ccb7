"""Downloads from servers that fail in every way; each is a real one, on this machine."""

from __future__ import annotations

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

from mnist_pipeline.ingest.download import SourceError, Limits, download
from tests.ingest.servers import (
    Answer,
    Server,
    cut_off,
    files,
    in_turn,
    raw,
    redirect,
    reply,
    resumable,
    serving,
    silent,
    then_silent,
    trickling,
)

CONTENT = np.random.default_rng(0).bytes(200_000)  # more than is read at once
OTHER = np.random.default_rng(1).bytes(200_000)
CUT = 130_000
BEFORE = b"what was there before"
LIMITS = Limits(timeout=10, retries=2, min_rate=0, max_bytes=1_000_000)
HASTY = replace(LIMITS, timeout=0.3, retries=1)
STEADY = Limits(timeout=1, retries=0, min_rate=1000, max_bytes=10_000_000)
Issue = Callable[..., ssl.SSLContext]

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


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
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("no_proxy", "*")
    return waited


@pytest.fixture
def target(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(BEFORE)
    return path


def leave_part(target: Path, content: bytes, version: str | None) -> None:
    """What a process leaves that is killed while it downloads."""
    target.with_name("file.part").write_bytes(content)
    if version is not None:
        target.with_name("file.part-of").write_text(version)


def assert_done(target: Path, content: bytes = CONTENT) -> None:
    assert target.read_bytes() == content
    assert [path.name for path in target.parent.iterdir()] == ["file"]


def refusal(url: str, target: Path, limits: Limits = LIMITS) -> str:
    """Why a download fails, which must leave what was there."""
    with pytest.raises(SourceError) as caught:
        download(url, target, limits)
    assert target.read_bytes() == BEFORE
    return str(caught.value)


def part_of_the_rest(start: int, end: int, **headers: str | None) -> Answer:
    """A 206 with the bytes from ``start`` to before ``end``."""
    place = f"bytes {start}-{end - 1}/{len(CONTENT)}"
    return reply(206, CONTENT[start:end], **({"Content_Range": place} | headers))


@pytest.mark.parametrize(
    ("answer", "limits", "message", "requests"),
    [
        (reply(404), LIMITS, "HTTP 404 Not Found", 1),
        (reply(302), LIMITS, "HTTP 302", 1),
        (reply(416), LIMITS, "HTTP 416", 1),
        (reply(503), LIMITS, "HTTP 503 Service Unavailable (3 attempts)", 3),
        (reply(503), replace(LIMITS, retries=0), "HTTP 503 Service Unavailable", 1),
        (reply(429), LIMITS, "HTTP 429 Too Many Requests (3 attempts)", 3),
        (in_turn(reply(500), reply(404)), LIMITS, "HTTP 404", 2),
        (silent, HASTY, "no answer within 0.3 s (2 attempts)", 2),
        (then_silent(b"some"), replace(HASTY, timeout=1, retries=0), "no data for 1 s", 1),
        (trickling, STEADY, "too slow: 0.0 kB/s, fetch.min_kilobytes_per_second is 1", 1),
        (raw(b""), LIMITS, "the connection broke", 3),
        (raw(b"\x00\x01\x02 no HTTP at all\r\n\r\n"), LIMITS, "the connection broke", 3),
        (raw(CHUNKED + b"5\r\nhello\r\n"), LIMITS, "the connection broke: IncompleteRead", 3),
        (raw(CHUNKED + b"what?\r\nhello\r\n0\r\n\r\n"), LIMITS, "the connection broke", 3),
        (cut_off(CONTENT, CUT), LIMITS, "IncompleteRead(130000 bytes read, 70000 more expected) (3 attempts)", 3),
        (cut_off(CONTENT, 0), LIMITS, "IncompleteRead(0 bytes read, 200000 more expected)", 3),
        (reply(200, Content_Length="1000001"), LIMITS, "too large: 1000001 bytes, fetch.max_megabytes", 1),
        (reply(200, bytes(1_000_001), Content_Length=None), LIMITS, "too large: over the 1000000 bytes", 1),
        (raw(CHUNKED + b"186a0\r\n%b\r\n" % bytes(100_000) * 11), LIMITS, "too large: over the 1000000 bytes", 1),
        (part_of_the_rest(CUT, len(CONTENT)), LIMITS, "did not go on at byte 0", 3),
        (redirect("/again"), LIMITS, "redirects more than 5 times", 6),
        (redirect("http://192.0.2.1/file"), LIMITS, "redirects to http://192.0.2.1/file, which is not HTTPS", 1),
        (redirect("//192.0.2.1/file"), LIMITS, "redirects to http://192.0.2.1/file, which is not HTTPS", 1),
        (redirect("ftp://127.0.0.1/file"), LIMITS, "redirects to ftp://127.0.0.1/file, which is not HTTPS", 1),
        (redirect("file:///etc/passwd"), LIMITS, "redirects to file:///etc/passwd, which is not HTTPS", 1),
        (redirect("http://[oops/"), LIMITS, "malformed address", 1),
        (redirect("https://" + "a" * 70 + ".example/"), LIMITS, "malformed address", 1),
    ],
)
def test_failure_says_why_and_keeps_what_was_there(
    answer: Answer, limits: Limits, message: str, requests: int, target: Path, waits: list[float]
) -> None:
    with serving(answer) as server:
        assert message in refusal(f"{server.url}/file", target, limits)
    redirected = "redirects more" in message
    assert len(server.log) == requests
    assert len(waits) == (0 if redirected else requests - 1)


@pytest.mark.parametrize("answer", [reply(404), cut_off(CONTENT, CUT, ETag='"v1"'), reply(200, bytes(1_000_001))])
def test_failure_leaves_nothing_under_the_final_name(answer: Answer, tmp_path: Path) -> None:
    with serving(answer) as server, pytest.raises(SourceError):
        download(server.url, tmp_path / "new" / "file", LIMITS)
    assert not (tmp_path / "new" / "file").exists()


def test_refused_connection_is_not_tried_again(target: Path, waits: list[float]) -> None:
    with socket.socket() as bound:  # bound, but nobody listens: no other process can take the port meanwhile
        bound.bind(("127.0.0.1", 0))
        message = refusal(f"http://127.0.0.1:{bound.getsockname()[1]}/file", target)
    assert "cannot be reached" in message
    assert "refused" in message
    assert not waits


def test_unknown_host_is_not_tried_again(target: Path, waits: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    assert "cannot be reached: [Errno -2] Name or service not known" in refusal("https://mnist.invalid/", target)
    assert not waits


@pytest.mark.parametrize(
    "url",
    [
        "http://192.0.2.1/file",
        "http://mnist.example/file",
        "http://127.0.0.1.example/file",
        "http://127.0.0.1@192.0.2.1/file",
        r"http://192.0.2.1\@127.0.0.1/file",
        "ftp://127.0.0.1/file",
        "file:///etc/passwd",
        "127.0.0.1/file",
        "https://",
        "https:///file",
        "https://[oops/file",
        "https://127.0.0.1:port/file",
        "",
    ],
)
def test_refused_address_is_never_asked(url: str, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(*_: Any) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket.socket, "connect", connect)
    monkeypatch.setattr(socket, "getaddrinfo", connect)
    assert f"{url} must be an https address" in refusal(url, target)


@pytest.mark.parametrize(
    "answer",
    [
        reply(200, CONTENT),
        reply(200, CONTENT, Content_Length=None),
        reply(200, CONTENT, Content_Length="²"),
        raw(CHUNKED + b"30d40\r\n" + CONTENT + b"\r\n0\r\n\r\n"),
        in_turn(reply(500), reply(200, CONTENT)),
        in_turn(reply(503), raw(b""), reply(200, CONTENT)),
        part_of_the_rest(0, len(CONTENT)),
        in_turn(*[redirect("/again")] * 5, reply(200, CONTENT)),
        # As Apache sends .gz files by default: the file is what is sent, not what that unpacks to.
        reply(200, CONTENT, Content_Encoding="x-gzip"),
        reply(200, CONTENT, Content_Encoding="gzip"),
    ],
)
def test_whole_file_replaces_what_was_there(answer: Answer, target: Path) -> None:
    with serving(answer) as server:
        download(f"{server.url}/file", target, LIMITS)
    assert_done(target)


def test_empty_file(target: Path) -> None:
    with serving(reply(200)) as server:
        download(server.url, target, LIMITS)
    assert_done(target, b"")


def test_folders_are_made(tmp_path: Path) -> None:
    with serving(reply(200, CONTENT)) as server:
        download(server.url, tmp_path / "a" / "b" / "file", LIMITS)
    assert_done(tmp_path / "a" / "b" / "file")


def test_file_of_exactly_the_largest_size(target: Path) -> None:
    with serving(reply(200, CONTENT)) as server:
        download(server.url, target, replace(LIMITS, max_bytes=len(CONTENT)))
    assert_done(target)


def test_waits_grow(target: Path, waits: list[float]) -> None:
    with serving(reply(500)) as server:
        refusal(server.url, target, replace(LIMITS, retries=3))
    assert waits == [0.5, 1, 2]


def test_asks_for_the_bytes_of_the_file_itself(target: Path) -> None:
    with serving(reply(200, CONTENT)) as server:
        download(server.url, target, LIMITS)
    assert server.log[0][1]["Accept-Encoding"] == "identity"


@pytest.mark.parametrize("version", [{"ETag": '"v1"'}, {"Last_Modified": "Wed, 21 Oct 2015 07:28:00 GMT"}])
def test_resumes_where_it_was_cut_off(version: dict[str, str | None], target: Path) -> None:
    name = str(next(iter(version.values())))
    with serving(in_turn(cut_off(CONTENT, CUT, **version), resumable(CONTENT, name))) as server:
        download(server.url, target, LIMITS)
    assert server.ranges == [None, f"bytes={CUT}-"]
    assert server.log[1][1]["If-Range"] == name
    assert_done(target)


@pytest.mark.parametrize(
    "more",
    [
        part_of_the_rest(CUT, 150_000),  # less than all that was asked for, and no name of the version
        part_of_the_rest(CUT, 150_000, ETag='"v1"'),
        part_of_the_rest(CUT, 150_000, Content_Length=str(len(CONTENT) - CUT)),
        part_of_the_rest(CUT, 150_000, Content_Length=None),
    ],
)
def test_resumes_a_second_time(more: Answer, target: Path) -> None:
    answer = in_turn(cut_off(CONTENT, CUT, ETag='"v1"'), more, resumable(CONTENT, '"v1"'))
    with serving(answer) as server:
        download(server.url, target, LIMITS)
    assert server.ranges == [None, f"bytes={CUT}-", "bytes=150000-"]
    assert server.log[2][1]["If-Range"] == '"v1"'
    assert_done(target)


def test_resumes_through_a_redirect(target: Path) -> None:
    leave_part(target, CONTENT[:CUT], '"v1"')
    with serving(files({"/old": redirect("/new"), "/new": resumable(CONTENT, '"v1"')})) as server:
        download(f"{server.url}/old", target, LIMITS)
    assert server.ranges == [f"bytes={CUT}-"] * 2
    assert_done(target)


def test_resumes_after_slowness(target: Path) -> None:
    with serving(in_turn(trickling, resumable(b"x" * 1_000_000, '"slow"'))) as server:
        download(server.url, target, replace(STEADY, retries=1))
    assert server.ranges[1] is not None
    assert_done(target, b"x" * 1_000_000)


@pytest.mark.parametrize("version", [{}, {"ETag": 'W/"v1"'}])
def test_starts_anew_where_the_server_does_not_vouch_for_the_bytes(
    version: dict[str, str | None], target: Path
) -> None:
    with serving(in_turn(cut_off(OTHER, CUT, **version), reply(200, CONTENT, **version))) as server:
        download(server.url, target, LIMITS)
    assert server.ranges == [None, None]
    assert_done(target)


@pytest.mark.parametrize(
    ("after", "requests"),
    [
        ([reply(200, CONTENT)], 2),  # a server that knows no Range
        ([resumable(CONTENT, '"v2"')], 2),  # the file changed
        ([part_of_the_rest(CUT, len(CONTENT), ETag='"v2"'), resumable(CONTENT, '"v2"')], 3),  # it knows no If-Range
        ([part_of_the_rest(CUT + 1, len(CONTENT)), reply(200, CONTENT)], 3),
        ([part_of_the_rest(CUT, len(CONTENT), Content_Range=None), reply(200, CONTENT)], 3),
        ([part_of_the_rest(CUT, len(CONTENT), Content_Range="bytes 13-200000/200001"), reply(200, CONTENT)], 3),
        ([part_of_the_rest(CUT, len(CONTENT), Content_Range="garbage"), reply(200, CONTENT)], 3),
        ([reply(416), reply(200, CONTENT)], 3),
    ],
)
def test_starts_anew_where_the_rest_does_not_come(after: list[Answer], requests: int, target: Path) -> None:
    with serving(in_turn(cut_off(OTHER, CUT, ETag='"v1"'), *after)) as server:
        download(server.url, target, LIMITS)
    assert server.ranges == [None, f"bytes={CUT}-", None][:requests]
    assert_done(target)


def test_wrong_part_keeps_what_was_there(target: Path) -> None:
    leave_part(target, CONTENT[:CUT], '"v1"')
    with serving(part_of_the_rest(CUT + 1, len(CONTENT))) as server:
        message = refusal(server.url, target, replace(LIMITS, retries=0))
    assert f"did not go on at byte {CUT}" in message


def test_later_call_resumes_what_an_earlier_one_left(target: Path) -> None:
    with serving(in_turn(cut_off(CONTENT, CUT, ETag='"v1"'), resumable(CONTENT, '"v1"'))) as server:
        refusal(server.url, target, replace(LIMITS, retries=0))
        download(server.url, target, LIMITS)
    assert server.ranges == [None, f"bytes={CUT}-"]
    assert_done(target)


@pytest.mark.parametrize(
    ("content", "version", "ranges"),
    [
        (CONTENT[:CUT], '"v1"', [f"bytes={CUT}-"]),
        (OTHER[:CUT], '"v0"', [f"bytes={CUT}-"]),
        (OTHER[:CUT], None, [None]),
        (b"", '"v1"', [None]),
        (CONTENT, '"v1"', ["bytes=200000-", None]),  # killed after the last byte, before the file got its name
        (OTHER + OTHER, '"v1"', ["bytes=400000-", None]),
    ],
)
def test_killed_process(content: bytes, version: str | None, ranges: list[str | None], target: Path) -> None:
    leave_part(target, content, version)
    with serving(resumable(CONTENT, '"v1"')) as server:
        download(server.url, target, LIMITS)
    assert server.ranges == ranges
    assert_done(target)


def test_version_without_its_part(target: Path) -> None:
    target.with_name("file.part-of").write_text('"v1"')
    with serving(resumable(CONTENT, '"v1"')) as server:
        download(server.url, target, LIMITS)
    assert server.ranges == [None]
    assert_done(target)


def test_killed_while_a_new_version_replaces_the_old(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leave_part(target, OTHER[:CUT], '"v1"')
    write_text = Path.write_text

    def write_and_die(path: Path, *args: Any, **settings: Any) -> int:
        write_text(path, *args, **settings)
        raise KeyboardInterrupt

    with serving(resumable(CONTENT, '"v2"')) as server:
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(Path, "write_text", write_and_die)
            download(server.url, target, LIMITS)
        download(server.url, target, LIMITS)
    assert_done(target)


@pytest.mark.parametrize(
    "rest",
    [
        resumable(CONTENT, '"v1"'),
        part_of_the_rest(CUT, len(CONTENT), Content_Length=None, Content_Range=f"bytes {CUT}-199999/*"),
    ],
)
def test_too_large_in_all_though_the_rest_is_not(rest: Answer, target: Path) -> None:
    leave_part(target, CONTENT[:CUT], '"v1"')
    with serving(rest) as server:
        assert "too large" in refusal(server.url, target, replace(LIMITS, max_bytes=len(CONTENT) - 1))


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def certificate(authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Issue:
    """Certificates of an authority that is trusted, for the address of this machine or another name."""
    bundle = tmp_path / "trusted" / "bundle.pem"
    bundle.parent.mkdir()
    authority.cert_pem.write_to_path(str(bundle))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))

    def issue(name: str = "127.0.0.1", issuer: trustme.CA = authority) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        issuer.issue_cert(name).configure_cert(context)
        return context

    return issue


def test_https(certificate: Issue, target: Path) -> None:
    answer = in_turn(cut_off(CONTENT, CUT, ETag='"v1"'), resumable(CONTENT, '"v1"'))
    with serving(answer, certificate()) as server:
        download(server.url, target, LIMITS)
    assert server.ranges == [None, f"bytes={CUT}-"]
    assert target.read_bytes() == CONTENT


@pytest.mark.parametrize("steps", [0, 1])
def test_redirect_from_https_to_http_is_refused(steps: int, certificate: Issue, target: Path) -> None:
    with serving(reply(200, CONTENT)) as plain:
        answer = in_turn(*[redirect("/again")] * steps, redirect(f"{plain.url}/file"))
        with serving(answer, certificate()) as server:
            message = refusal(server.url, target)
    assert f"redirects from HTTPS to {plain.url}/file" in message
    assert len(server.log) == steps + 1
    assert not plain.log


def test_redirect_to_https_is_followed(certificate: Issue, target: Path) -> None:
    with (
        serving(reply(200, CONTENT), certificate()) as last,
        serving(redirect(f"{last.url}/file"), certificate()) as middle,
        serving(redirect(middle.url)) as first,
    ):
        download(first.url, target, LIMITS)
    assert target.read_bytes() == CONTENT


def assert_not_trusted(server: Server, target: Path, waits: list[float]) -> None:
    assert "its certificate is not to be trusted" in refusal(server.url, target)
    assert not server.log
    assert not waits


def test_unknown_authority(certificate: Issue, target: Path, waits: list[float]) -> None:
    with serving(reply(200, CONTENT), certificate(issuer=trustme.CA())) as server:
        assert_not_trusted(server, target, waits)


def test_certificate_of_another_name(certificate: Issue, target: Path, waits: list[float]) -> None:
    with serving(reply(200, CONTENT), certificate("mnist.example")) as server:
        assert_not_trusted(server, target, waits)


def test_redirect_to_an_unknown_authority(certificate: Issue, target: Path) -> None:
    with (
        serving(reply(200, CONTENT), certificate(issuer=trustme.CA())) as other,
        serving(redirect(other.url), certificate()) as server,
    ):
        assert "its certificate is not to be trusted" in refusal(server.url, target)
    assert not other.log


def test_no_tls_where_https_was_expected(target: Path, waits: list[float]) -> None:
    with serving(reply(200, CONTENT)) as server:
        message = refusal(server.url.replace("http:", "https:"), target)
    assert "the connection broke" in message
    assert "certificate" not in message
    assert len(waits) == LIMITS.retries
