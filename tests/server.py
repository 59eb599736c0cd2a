"""A small file server on 127.0.0.1 with configurable failures; it stops with its test."""

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Server:
    """The files of the server and its failures, which a test may change at any time.

    Attributes:
        files: content by path (``/val_15fps.zip``).
        cuts: for each of the next answers, the bytes after which the connection is cut; None for no cut.
        silent: a cut leaves the connection open and sends nothing, rather than closing it.
        status: answers with this instead of the file.
        ranges: whether Range headers are honoured.
        tag: ETag of every file.
        linked: sha256 by path that a redirection announces, as Hugging Face does.
        content_type: of every answer.
        pace: seconds between pieces of 16 kB; 0 sends as fast as can be.
        asked: (path, Range header) of every request that reached a file.
    """

    address: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    cuts: list[int | None] = field(default_factory=list)
    silent: bool = False
    status: int = 200
    ranges: bool = True
    tag: str = '"1"'
    linked: dict[str, str] = field(default_factory=dict)
    content_type: str = "application/zip"
    pace: float = 0.0
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    stopped: threading.Event = field(default_factory=threading.Event)


class _Handler(BaseHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        state: Server = self.server.state  # type: ignore[attr-defined]
        if self.path in state.linked:
            self.send_response(302)
            self.send_header("X-Linked-ETag", f'"{state.linked[self.path]}"')
            self.send_header("Location", f"/store{self.path}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        content = state.files.get(self.path.removeprefix("/store"))
        if content is None or state.status != 200:
            self.send_error(404 if state.status == 200 else state.status)
            return
        asked = self.headers.get("Range")
        state.asked.append((self.path, asked))
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and state.ranges else 0
        if start and start >= len(content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(content)}")
            self.send_header("ETag", state.tag)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("ETag", state.tag)
        self.send_header("Content-Type", state.content_type)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        cut = state.cuts.pop(0) if state.cuts else None
        with contextlib.suppress(ConnectionError):
            body = content[start:] if cut is None else content[start : start + cut]
            for begin in range(0, len(body), 1 << 14 if state.pace else len(body) or 1):
                self.wfile.write(body[begin : begin + (1 << 14)] if state.pace else body)
                self.wfile.flush()
                time.sleep(state.pace)
        if cut is not None and state.silent:
            state.stopped.wait(30)
        self.close_connection = True


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        """Clients that disconnect are part of the tests."""


@contextlib.contextmanager
def serving(port: int = 0) -> Iterator[Server]:
    """A running server, at any free port if none is given; its port is free again afterwards."""
    state = Server()
    server = _Quiet(("127.0.0.1", port), _Handler)
    server.state = state  # type: ignore[attr-defined]
    state.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        state.stopped.set()
        server.shutdown()
        server.server_close()
        thread.join(5)
