"""Real HTTP servers on this machine that answer as they are told to: rightly, wrongly, or not at all."""

from __future__ import annotations

import ssl
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import BaseServer

Answer = Callable[["Exchange"], None]


class Exchange(BaseHTTPRequestHandler):
    """One request, and the means to answer it in any way at all."""

    server: _Listener

    def do_GET(self) -> None:
        self.server.log.append((self.path, dict(self.headers.items())))
        self.server.answer(self)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the name that the base class gives it
        pass

    def send(self, status: int, content: bytes = b"", **headers: str | None) -> None:
        """An answer whose Content-Length is right unless it is given; None leaves a header out."""
        self.send_response(status)
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        for name, value in ({"Content-Length": str(len(content))} | given).items():
            if value is not None:
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)


class _Listener(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, answer: Answer) -> None:
        super().__init__(("127.0.0.1", 0), Exchange)
        self.answer = answer
        self.log: list[tuple[str, dict[str, str]]] = []
        self.closing = threading.Event()
        self.mistakes: list[BaseException | None] = []

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002
        if not isinstance(sys.exception(), OSError):  # an OSError: the client hung up, as it should
            self.mistakes.append(sys.exception())


class Server:
    """A running server.

    Attributes:
        url: where it is, without a slash at the end.
        log: the path and the headers of each request so far.
    """

    def __init__(self, listener: _Listener, scheme: str) -> None:
        self.url = f"{scheme}://127.0.0.1:{listener.server_port}"
        self.log = listener.log

    @property
    def ranges(self) -> list[str | None]:
        """The Range that each request asked for."""
        return [headers.get("Range") for _, headers in self.log]


@contextmanager
def serving(answer: Answer, certificate: ssl.SSLContext | None = None) -> Iterator[Server]:
    """Run a server, over TLS if it has a certificate, which answers each request by ``answer``."""
    listener = _Listener(answer)
    if certificate is not None:
        listener.socket = certificate.wrap_socket(listener.socket, server_side=True)
    thread = threading.Thread(target=BaseServer.serve_forever, args=(listener, 0.01), daemon=True)
    thread.start()
    try:
        yield Server(listener, "http" if certificate is None else "https")
    finally:
        listener.closing.set()
        listener.shutdown()
        listener.server_close()
        thread.join()
    assert not listener.mistakes


def in_turn(*answers: Answer) -> Answer:
    """The first request gets the first answer, and so on; the last answer is for all that follow."""
    remaining = list(answers)

    def answer(exchange: Exchange) -> None:
        current = remaining.pop(0) if len(remaining) > 1 else remaining[0]
        current(exchange)

    return answer


def files(contents: Mapping[str, bytes | Answer]) -> Answer:
    """Each path has its content, or its own answer; any other is not found."""

    def answer(exchange: Exchange) -> None:
        content = contents.get(exchange.path)
        if content is None:
            exchange.send(404)
        elif isinstance(content, bytes):
            exchange.send(200, content)
        else:
            content(exchange)

    return answer


def reply(status: int, content: bytes = b"", **headers: str | None) -> Answer:
    """Always the same answer."""
    return lambda exchange: exchange.send(status, content, **headers)


def redirect(location: str) -> Answer:
    return reply(302, Location=location)


def raw(content: bytes) -> Answer:
    """Bytes that need not be HTTP."""

    def answer(exchange: Exchange) -> None:
        exchange.wfile.write(content)

    return answer


def cut_off(content: bytes, after: int, **headers: str | None) -> Answer:
    """All of ``content`` is promised, and its start is sent."""
    return reply(200, content[:after], **({"Content_Length": str(len(content))} | headers))


def resumable(content: bytes, etag: str) -> Answer:
    """What a server does that knows Range and If-Range."""

    def answer(exchange: Exchange) -> None:
        wanted = exchange.headers.get("Range")
        if wanted is None or exchange.headers.get("If-Range") != etag:
            exchange.send(200, content, ETag=etag)
            return
        start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        if start >= len(content):
            exchange.send(416, Content_Range=f"bytes */{len(content)}")
        else:
            place = f"bytes {start}-{len(content) - 1}/{len(content)}"
            exchange.send(206, content[start:], ETag=etag, Content_Range=place)

    return answer


def silent(exchange: Exchange) -> None:
    """No answer, for as long as the server runs."""
    exchange.server.closing.wait()


def then_silent(content: bytes) -> Answer:
    """The start of a file, and then nothing more."""

    def answer(exchange: Exchange) -> None:
        exchange.send(200, content, Content_Length=str(len(content) + 1000))
        exchange.wfile.flush()
        silent(exchange)

    return answer


def trickling(exchange: Exchange) -> None:
    """A large file, a byte at a time: never silent, and never done."""
    exchange.send(200, Content_Length="1000000", ETag='"slow"')
    while not exchange.server.closing.wait(0.02):
        exchange.wfile.write(b"x")
        exchange.wfile.flush()
