"""An HTTP worker with Python's standard library alone."""

import json
import os
import signal
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    # Keeps connections, which the edge uses again; a reply then needs its length.
    protocol_version = "HTTP/1.1"
    # Head and body leave in one write.
    wbufsize = -1

    def do_GET(self):
        if self.path == "/ping":
            self.reply(200, {"message": "pong"})
        elif self.path == "/":
            self.reply(200, {"hello": self.headers.get("x-auth-email", "nobody")})
        else:
            self.reply(404, {"error": "not_found"})

    def reply(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_request(self, *_):
        """The edge has a line for each request."""


# Before the port opens: whoever sees it open may end this.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
server = ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler)
server.serve_forever()
