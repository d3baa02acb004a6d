"""Serves a folder over HTTP: ``web.py FOLDER PORT``. Listens on the address of its container group."""

from __future__ import annotations

import os
import signal
import sys
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer


class Handler(SimpleHTTPRequestHandler):
    """One request; a line on standard output for each."""

    protocol_version = "HTTP/1.1"
    server_version = "windtunnel-stand-in"

    def log_message(self, format: str, *args: object) -> None:
        print(f"{self.client_address[0]} - - [{self.log_date_time_string()}] {format % args}", flush=True)


class Server(ThreadingHTTPServer):
    """Takes as many connections at once as a web server does."""

    request_queue_size = 128


def main() -> None:
    folder, port = sys.argv[1], int(sys.argv[2])
    address = os.environ.get("WINDTUNNEL_ADDRESS", "0.0.0.0")  # noqa: S104  # in a container
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    try:
        server = Server((address, port), partial(Handler, directory=folder))
    except OSError as problem:
        sys.exit(f"cannot listen on {address}:{port}: {problem.strerror}")
    print(f"listening on port {port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
