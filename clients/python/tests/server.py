"""An OAuth server that answers what a test says."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Optional
from urllib.parse import parse_qsl


@dataclass
class Reply:
    status: int
    body: str = "{}"
    kind: str = "application/json"
    date: Optional[float] = None
    fails: bool = False


Answering = Callable[[dict[str, str]], Reply]


def json_reply(status: int, body: Any, date: Optional[float] = None) -> Reply:
    return Reply(status, json.dumps(body), date=date)


@contextmanager
def serving(answer: Answering) -> Iterator[str]:
    """Gives the URL. `answer` is given the form of a request, in the server's threads."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            text = self.rfile.read(int(self.headers.get("content-length", 0))).decode()
            reply = answer(dict(parse_qsl(text)))
            if reply.fails:
                self.close_connection = True
                return
            # `send_response` would add a Date of its own.
            self.send_response_only(reply.status)
            if reply.date is not None:
                self.send_header("date", formatdate(reply.date, usegmt=True))
            self.send_header("content-type", reply.kind)
            self.send_header("content-length", str(len(reply.body.encode())))
            self.end_headers()
            self.wfile.write(reply.body.encode())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/oauth/token"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
