"""Just enough of an HTTP/2 server (RFC 9113) to be called by gRPC and to see frames that no library shows."""
import socket
import struct
import threading

from half_http2 import (ACK, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, SETTINGS, frame, literal)

WINDOW_UPDATE = 8


class Server:
    """Answers every call with @messages (bytes) and OK. Counts connections, and the pings that came unasked."""

    def __init__(self, messages=()):
        self.messages = list(messages)
        self.listener = socket.create_server(('127.0.0.1', 0))
        self.address = '127.0.0.1:%d' % self.listener.getsockname()[1]
        self.connections, self.pings, self.calls = [], 0, 0
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.listener.close()
        for c in self.connections:
            c.close()

    def _accept(self):
        while True:
            try:
                c, _ = self.listener.accept()
            except OSError:
                return
            self.connections.append(c)
            threading.Thread(target=self._serve, args=(c,), daemon=True).start()

    def _serve(self, c):
        try:
            stream = c.makefile('rb')
            stream.read(24)  # the client's preface
            c.sendall(frame(SETTINGS, 0, 0))
            while True:
                head = stream.read(9)
                if len(head) < 9:
                    return
                length, (kind, flags, number) = int.from_bytes(head[:3], 'big'), struct.unpack('>BBI', head[3:])
                stream.read(length)
                if kind == SETTINGS and not flags & ACK:
                    c.sendall(frame(SETTINGS, ACK, 0))
                elif kind == PING and not flags & ACK:
                    self.pings += 1
                elif kind == GOAWAY:
                    return
                elif flags & END_STREAM and kind in (DATA, HEADERS):
                    self._answer(c, number)
        except OSError:
            pass

    def _answer(self, c, number):
        self.calls += 1
        c.sendall(frame(HEADERS, END_HEADERS, number, literal(b':status', b'200')
                        + literal(b'content-type', b'application/grpc')))
        for m in self.messages:
            c.sendall(frame(DATA, 0, number, struct.pack('>BI', 0, len(m)) + m))
        c.sendall(frame(HEADERS, END_HEADERS | END_STREAM, number, literal(b'grpc-status', b'0')))
