"""A server in front of the service that says no for a while, as a proxy does while one is replaced."""

from __future__ import annotations

import threading
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Front:
    """Answers the next requests of each method with the given statuses, and passes all later ones on."""

    def __init__(self, behind: int, **statuses: list[int]) -> None:
        self.statuses = statuses
        front = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if front.statuses.get(self.command):
                    status = front.statuses[self.command].pop(0)
                    text, retry_after = b'{"title": "not now"}', "1"
                else:
                    backend = HTTPConnection("127.0.0.1", behind, timeout=30)
                    backend.request(self.command, self.path, sent or None, dict(self.headers))
                    answer = backend.getresponse()
                    status, text, retry_after = (
                        answer.status,
                        answer.read(),
                        answer.headers.get("Retry-After"),
                    )
                self.send_response(status)
                self.send_header("Content-Length", str(len(text)))
                if retry_after:
                    self.send_header("Retry-After", retry_after)
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_POST = do_DELETE = answer

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]

    def __enter__(self) -> Front:
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()
