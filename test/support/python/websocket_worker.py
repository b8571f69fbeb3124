"""A WebSocket worker of the standard library alone (RFC 6455): sends back every message of up to 64 KiB."""
import base64
import hashlib
import os
import socketserver

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
CLOSE, PING, PONG = 8, 9, 10


class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        if not self.rfile.readline():
            return
        fields = {}
        while (line := self.rfile.readline().strip()) != b"":
            name, value = line.split(b":", 1)
            fields[name.strip().lower()] = value.strip()
        accept = base64.b64encode(hashlib.sha1(fields[b"sec-websocket-key"] + GUID).digest())
        self.wfile.write(
            b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n"
            b"sec-websocket-accept: " + accept + b"\r\n\r\n"
        )
        while (head := self.rfile.read(2)) != b"":
            opcode, length = head[0] & 15, head[1] & 127
            if length == 126:
                length = int.from_bytes(self.rfile.read(2), "big")
            mask = self.rfile.read(4)
            payload = bytes(byte ^ mask[i % 4] for i, byte in enumerate(self.rfile.read(length)))
            self.send(PONG if opcode == PING else opcode, payload)
            if opcode == CLOSE:
                return

    def send(self, opcode, payload):
        size = len(payload)
        extended = bytes([size]) if size < 126 else b"\x7e" + size.to_bytes(2, "big")
        self.wfile.write(bytes([128 | opcode]) + extended + payload)


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


Server((os.environ["HOST"], int(os.environ["PORT"])), Handler).serve_forever()
