"""Real HTTP servers on this machine that answer as they are told to: rightly, wrongly, or not at all."""

from __future__ import annotations

import itertools
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import BaseServer

Answer = Callable[["Exchange"], None]


class Exchange(BaseHTTPRequestHandler):
    """One request, and the means to answer it in any way at all."""

    server: Server

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
        self.wfile.flush()


class Server(ThreadingHTTPServer):
    """A server.

    Attributes:
        url: where it is, without a slash at the end.
        log: the path and the headers of each request so far.
    """

    daemon_threads = True

    def __init__(self, answer: Answer, certificate: ssl.SSLContext | None) -> None:
        super().__init__(("127.0.0.1", 0), Exchange)
        if certificate is not None:
            self.socket = certificate.wrap_socket(self.socket, server_side=True)
        self.url = f"{'http' if certificate is None else 'https'}://127.0.0.1:{self.server_port}"
        self.answer = answer
        self.log: list[tuple[str, dict[str, str]]] = []
        self.closing = threading.Event()

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: the client hung up, as it should."""


@contextmanager
def serving(answer: Answer, certificate: ssl.SSLContext | None = None) -> Iterator[Server]:
    """Run a server, over TLS if it has a certificate, which answers each request by ``answer``."""
    server = Server(answer, certificate)
    thread = threading.Thread(target=BaseServer.serve_forever, args=(server, 0.01), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()


def in_turn(*answers: Answer) -> Answer:
    """The first request gets the first answer, and so on; the last answer is for all that follow."""
    remaining = iter(answers)

    def answer(exchange: Exchange) -> None:
        next(remaining, answers[-1])(exchange)

    return answer


def files(contents: Mapping[str, bytes]) -> Answer:
    """Each path has its content; any other is not found."""

    def answer(exchange: Exchange) -> None:
        content = contents.get(exchange.path)
        exchange.send(404 if content is None else 200, content or b"")

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


def silent(exchange: Exchange) -> None:
    """No answer, for as long as the server runs."""
    exchange.server.closing.wait()


def trickling(status: int, pause: float = 0.02, location: str | None = None) -> Answer:
    """A large file, a byte at a time, with a pause before each: never done."""

    def answer(exchange: Exchange) -> None:
        exchange.send(status, Content_Length="1000000", Location=location)
        while not exchange.server.closing.wait(pause):
            exchange.wfile.write(b"x")
            exchange.wfile.flush()

    return answer


def dripping(text: bytes, pause: float = 0.02) -> Answer:
    """A text again and again, a byte at a time, instead of an answer or within one: never done."""

    def answer(exchange: Exchange) -> None:
        for place in itertools.count():
            if exchange.server.closing.wait(pause):
                return
            start = place % len(text)
            exchange.wfile.write(text[start : start + 1])

    return answer
