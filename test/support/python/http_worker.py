"""An HTTP worker of the standard library alone: says which process it is, how many requests it has had, and what it was sent."""
import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body are two writes; the second must not wait for the first to be acknowledged.
    disable_nagle_algorithm = True

    requests = 0

    # Like many a handler it reads no body behind a GET.
    def do_GET(self):
        self.answer(b"")

    def do_POST(self):
        self.answer(self.rfile.read(int(self.headers["content-length"])))

    def answer(self, sent):
        Handler.requests += 1
        said = {
            "pid": os.getpid(),
            "requests": Handler.requests,
            "path": self.path,
            "forwarded": self.headers["forwarded"],
            "bytes": len(sent),
        }
        body = json.dumps(said).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


ThreadingHTTPServer((os.environ["HOST"], int(os.environ["PORT"])), Handler).serve_forever()
