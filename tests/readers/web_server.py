"""A web server that serves a folder to tests, with ranges, and counts what it sends: web_server.py FOLDER.

A process of its own: rasterio holds Python's lock in some of its calls, and a thread could not answer then.

The first part of a path says how the rest is served: `/half/` breaks off in the middle of every answer, `/closed/` is
never answered, `/silent/` keeps the line open besides, `/plain/` comes whole whatever range is asked for, anything else
as it should be. `/count` tells how many bytes were sent of what.
"""

import json
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COUNT = {"sent": 0, "asked": []}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    folder = Path()

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        kind, _, name = self.path.partition("?")[0].lstrip("/").partition("/")
        if kind == "count":
            self.answer(200, json.dumps(COUNT).encode())
            return
        COUNT["asked"].append(f"{self.command} {self.path}")
        path = self.folder / name
        if kind in {"closed", "silent"}:
            time.sleep(600 if kind == "silent" else 0)
            self.close_connection = True
        elif not path.is_file():
            self.answer(404, b"no such page")
        else:
            self.serve(path.read_bytes(), kind)

    def serve(self, data, kind):
        first, _, last = self.headers.get("Range", "").removeprefix("bytes=").partition("-")
        ranged = first.isdecimal() and kind != "plain"
        span = (int(first), min(int(last or len(data)), len(data) - 1)) if ranged else (0, len(data) - 1)
        if span[0] > span[1]:
            self.answer(416, b"")
            return
        headers = {} if kind == "plain" else {"Accept-Ranges": "bytes"}
        if ranged:
            headers["Content-Range"] = f"bytes {span[0]}-{span[1]}/{len(data)}"
        part = data[span[0] : span[1] + 1]
        self.answer(206 if ranged else 200, part, headers, half=kind == "half")

    def answer(self, status, body, headers=None, *, half=False):
        self.send_response(status)
        for name, value in {"Content-Length": len(body), **(headers or {})}.items():
            self.send_header(name, str(value))
        self.end_headers()
        if self.command == "HEAD":
            return
        if half:
            body = body[: len(body) // 2]
            self.close_connection = True
        try:
            self.wfile.write(body)
            COUNT["sent"] += len(body)
        except OSError:  # the client has seen enough
            self.close_connection = True

    def log_message(self, *args):
        pass


if __name__ == "__main__":
    Handler.folder = Path(sys.argv[1])
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    sys.stdout.write(f"{server.server_port}\n")
    sys.stdout.flush()
    server.serve_forever()
