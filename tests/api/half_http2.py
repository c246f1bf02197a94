"""Just enough HTTP/2 (RFC 9113) to open one gRPC call by hand and then behave as no library would."""
import socket
import struct

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY = 0, 1, 3, 4, 6, 7
END_STREAM, ACK, END_HEADERS = 0x1, 0x1, 0x4
INITIAL_WINDOW_SIZE = 4


def frame(kind, flags, stream, payload=b''):
    return struct.pack('>I', len(payload))[1:] + struct.pack('>BBI', kind, flags, stream) + payload


def literal(name, value):
    """A header field that is not indexed, with a new name (RFC 7541 §6.2.2); texts below 127 bytes."""
    return b'\x00' + bytes([len(name)]) + name + bytes([len(value)]) + value


class Stuck:
    """A call whose client reads the connection but never gives room for more than window_bytes of messages."""

    def __init__(self, address, path, request, window_bytes=65535):
        host, _, port = address.rpartition(':')
        self.socket = socket.create_connection((host, int(port)), 30)
        headers = (literal(b':method', b'POST') + literal(b':scheme', b'http') + literal(b':path', path.encode())
                   + literal(b':authority', b'test') + literal(b'content-type', b'application/grpc')
                   + literal(b'te', b'trailers'))
        self.socket.sendall(b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'
                            + frame(SETTINGS, 0, 0, struct.pack('>HI', INITIAL_WINDOW_SIZE, window_bytes))
                            + frame(HEADERS, END_HEADERS, 1, headers)
                            + frame(DATA, END_STREAM, 1, struct.pack('>BI', 0, len(request)) + request))

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.socket.close()

    def _exactly(self, n):
        data = b''
        while len(data) < n:
            part = self.socket.recv(n - len(data))
            if not part:
                raise EOFError('the server closed the connection')
            data += part
        return data

    def frames(self):
        while True:
            head = self._exactly(9)
            length, (kind, flags, stream) = int.from_bytes(head[:3], 'big'), struct.unpack('>BBI', head[3:])
            payload = self._exactly(length)
            if kind == SETTINGS and not flags & ACK:
                self.socket.sendall(frame(SETTINGS, ACK, 0))
            if kind == PING and not flags & ACK:
                self.socket.sendall(frame(PING, ACK, 0, payload))
            yield kind, flags, stream, payload

    def until_cut_off(self):
        """Reads until the server ends the stream; returns the bytes of messages that came before."""
        got = 0
        for kind, flags, stream, payload in self.frames():
            if stream != 1:
                assert kind != GOAWAY
                continue
            if kind == DATA:
                got += len(payload)
            if kind == RST_STREAM or flags & END_STREAM and kind in (DATA, HEADERS):
                return got
