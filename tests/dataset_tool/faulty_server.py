"""A web server on this machine that cuts, corrupts, forgets and changes what it serves."""

import base64
import contextlib
import hashlib
import threading
import time
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

_BLOCK = 1 << 12


class FaultyServer:
    """Serves `files`, path to bytes, with the faults that are set.

    Attributes:
        cuts: path to a list: each GET ends its connection after the next number of bytes.
        spoils: path to how many GETs have a byte of theirs flipped.
        failures: path to a list of statuses that come before what is there.
        etags: path to an ETag; by default that of the bytes; None: none is said.
        modified: when all was changed last, as HTTP has dates; None: it is not said.
        ranges: whether a part of a file can be asked for.
        if_range: whether If-Range is heeded.
        md5: whether `x-goog-hash` is said.
        seconds: between blocks of 4 KiB.
        watch: called with a path before every block of it.
        asked: (method, path, Range or None) of every request, in their order.
        conditions: If-Range of every request for a part.
        sent: path to how many bytes of it went out.
        connections: how many are open.
    """

    def __init__(self):
        self.files = {}
        self.cuts, self.failures = defaultdict(list), defaultdict(list)
        self.spoils, self.sent = defaultdict(int), defaultdict(int)
        self.etags, self.modified = {}, None
        self.ranges = self.if_range = True
        self.md5, self.seconds = False, 0.0
        self.watch = lambda path: None
        self.asked, self.conditions = [], []
        self.connections, self._changed = 0, threading.Condition()
        handler = type("Handler", (_Handler,), {"faults": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True, args=(0.02,)).start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()

    @contextlib.contextmanager
    def connection(self):
        """While one is open."""
        with self._changed:
            self.connections += 1
        try:
            yield
        finally:
            with self._changed:
                self.connections -= 1
                self._changed.notify_all()

    def rest(self):
        """Waits until none is open: that of a killed client ends at its next block."""
        with self._changed:
            assert self._changed.wait_for(lambda: not self.connections, timeout=60)

    def gets(self, path):
        """The Range of every GET of a path."""
        return [span for method, own, span in self.asked if (method, own) == ("GET", path)]

    def etag(self, path):
        return self.etags.get(path, f'"{hashlib.sha256(self.files[path]).hexdigest()[:16]}"')


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    faults: FaultyServer

    def handle(self):
        with self.faults.connection():
            super().handle()

    def do_HEAD(self):
        self._answer("HEAD")

    def do_GET(self):
        self._answer("GET")

    def _answer(self, method):
        faults, path = self.faults, unquote(self.path).lstrip("/")
        faults.asked.append((method, path, self.headers["Range"]))
        if faults.failures[path]:
            self._refuse(faults.failures[path].pop(0))
        elif path not in faults.files:
            self._refuse(404)
        else:
            self._serve(method, path)

    def _serve(self, method, path):
        faults = self.faults
        body, first = faults.files[path], self._first(path)
        self.send_response(206 if first else 200)
        if first:
            self.send_header("Content-Range", f"bytes {first}-{len(body) - 1}/{len(body)}")
        self.send_header("Content-Length", str(len(body) - first))
        if faults.etag(path):
            self.send_header("ETag", faults.etag(path))
        if faults.modified:
            self.send_header("Last-Modified", faults.modified)
        if faults.md5:
            self.send_header("x-goog-hash", "crc32c=AAAAAA==")
            md5 = base64.b64encode(hashlib.md5(body).digest()).decode()
            self.send_header("x-goog-hash", f"md5={md5}")
        self.end_headers()
        if method == "GET":
            self._send(path, self._spoilt(path, body)[first:])

    def _first(self, path):
        """Of which byte to begin with."""
        span, same = self.headers["Range"], self.headers["If-Range"]
        if span is not None:
            self.faults.conditions.append(same)
        versions = (self.faults.etag(path), self.faults.modified)
        stale = self.faults.if_range and same not in versions
        if not self.faults.ranges or span is None or stale:
            return 0
        return int(span.removeprefix("bytes=").rstrip("-"))

    def _spoilt(self, path, body):
        if not self.faults.spoils[path]:
            return body
        self.faults.spoils[path] -= 1
        middle = len(body) // 2
        return body[:middle] + bytes([body[middle] ^ 0x10]) + body[middle + 1 :]

    def _send(self, path, body):
        faults = self.faults
        cut = faults.cuts[path].pop(0) if faults.cuts[path] else None
        for i in range(0, len(body[:cut]), _BLOCK):
            faults.watch(path)
            block = body[:cut][i : i + _BLOCK]
            try:
                self.wfile.write(block)
            except OSError:  # the other side was killed
                self.close_connection = True
                return
            faults.sent[path] += len(block)
            time.sleep(faults.seconds)
        if cut is not None:
            self.close_connection = True
            with contextlib.suppress(OSError):
                self.connection.shutdown(2)

    def _refuse(self, status):
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args):
        pass
