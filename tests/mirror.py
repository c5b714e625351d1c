"""A server of files for downloads, which answers well, badly and in pieces."""

import contextlib
import dataclasses
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclasses.dataclass
class Served:
    """A file of the server.

    Attributes:
      content: Its bytes.
      status: The status of the answer.
      kind: Its content type.
      breaks: For each request in turn, the number of bytes after which the
        connection is closed; the last holds for those that follow, None is never.
      ranges: Whether parts are sent on demand.
      version: The entity tag.
      encoding: The content's encoding, which nobody asked for.
      stalls: The connection stays open until this event, after `breaks` bytes.
    """

    content: bytes = b""
    status: int = 200
    kind: str = "application/octet-stream"
    breaks: tuple[int | None, ...] = (None,)
    ranges: bool = True
    version: str = '"1"'
    encoding: str = ""
    stalls: threading.Event | None = None


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *arguments):
        pass

    def do_GET(self):
        served = self.server.files.get(self.path)
        asked = self.headers.get("Range", "")
        self.server.requests.append((self.path, asked))
        if served is None:
            self.send_error(404)
            return
        start = 0
        if asked and served.ranges and self.headers.get("If-Range") == served.version:
            start = int(asked.removeprefix("bytes=").rstrip("-"))
        body = served.content[start:]
        self.send_response(206 if start else served.status)
        if start:
            whole = len(served.content)
            self.send_header("Content-Range", f"bytes {start}-{whole - 1}/{whole}")
        self.send_header("Content-Type", served.kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", served.version)
        if served.encoding:
            self.send_header("Content-Encoding", served.encoding)
        self.end_headers()
        end = served.breaks[0]
        if len(served.breaks) > 1:
            served.breaks = served.breaks[1:]
        with contextlib.suppress(OSError):
            self.wfile.write(body[:end])
            self.wfile.flush()
            if served.stalls:
                served.stalls.wait(60)


@contextlib.contextmanager
def running():
    """Run a server, with its `files` by path, the `requests` that came, and its `url`."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.files, server.requests = {}, []
        server.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
