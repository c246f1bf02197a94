"""Just enough HTTP/2 (RFC 9113) to open gRPC calls by hand and then behave as no library would."""
import socket
import struct

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
END_STREAM, ACK, END_HEADERS = 0x1, 0x1, 0x4
INITIAL_WINDOW_SIZE = 4


def frame(kind, flags, stream, payload=b''):
    return struct.pack('>I', len(payload))[1:] + struct.pack('>BBI', kind, flags, stream) + payload


def literal(name, value):
    """A header field that is not indexed, with a new name (RFC 7541 §6.2.2); texts below 127 bytes."""
    return b'\x00' + bytes([len(name)]) + name + bytes([len(value)]) + value


def preface(*settings):
    """How a connection begins; settings: (number, value)."""
    return b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n' + frame(SETTINGS, 0, 0, b''.join(struct.pack('>HI', *s) for s in settings))


def headers_of(path, *more):
    """The block of a gRPC request's headers; more: (name, value)."""
    always = [(':method', 'POST'), (':scheme', 'http'), (':path', path), (':authority', 'test'),
              ('content-type', 'application/grpc'), ('te', 'trailers')]
    return b''.join(literal(name.encode(), value.encode()) for name, value in [*always, *more])


class Connection:
    """A connection that keeps to flow control when it sends, and gives each stream room for window_bytes."""

    def __init__(self, address, window_bytes=1 << 30, acknowledges=True):
        host, _, port = address.rpartition(':')
        self.socket = socket.create_connection((host, int(port)), 30)
        self.socket.sendall(preface((INITIAL_WINDOW_SIZE, window_bytes)) + frame(WINDOW_UPDATE, 0, 0, struct.pack('>I', 1 << 30)))
        self.acknowledges = acknowledges
        self.initial, self.room, self.rooms, self.data = 65535, 65535, {}, b''
        self.ended, self.got = {}, {}  # by stream: grpc-status, or None; bytes of messages
        self.is_over = False  # the server has said goodbye

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.socket.close()

    def open(self, stream, path, *more, end=False):
        self.rooms[stream] = self.initial
        self.socket.sendall(frame(HEADERS, END_HEADERS | (END_STREAM if end else 0), stream, headers_of(path, *more)))

    def send(self, stream, data, end=True):
        """Messages' bytes, as fast as the server gives room."""
        at = 0
        while at < len(data) and stream not in self.ended and not self.is_over:
            n = min(16384, self.room, self.rooms[stream], len(data) - at)
            if n <= 0:
                self.take()
                continue
            self.socket.sendall(frame(DATA, END_STREAM if end and at + n == len(data) else 0, stream, data[at:at + n]))
            at, self.room, self.rooms[stream] = at + n, self.room - n, self.rooms[stream] - n

    def take(self):
        """Reads some, and takes note of the frames that are whole."""
        part = self.socket.recv(1 << 16)
        self.is_over |= not part
        self.data += part
        while len(self.data) >= 9 and len(self.data) >= 9 + (n := int.from_bytes(self.data[:3], 'big')):
            kind, flags, stream = struct.unpack('>BBI', self.data[3:9])
            payload, self.data = self.data[9:9 + n], self.data[9 + n:]
            self._on(kind, flags, stream, payload)

    def _on(self, kind, flags, stream, payload):
        if kind == SETTINGS and not flags & ACK:
            if self.acknowledges:
                self.socket.sendall(frame(SETTINGS, ACK, 0))
            for at in range(0, len(payload), 6):
                number, value = struct.unpack('>HI', payload[at:at + 6])
                if number == INITIAL_WINDOW_SIZE:
                    self.rooms = {s: room + value - self.initial for s, room in self.rooms.items()}
                    self.initial = value
        elif kind == PING and not flags & ACK:
            self.socket.sendall(frame(PING, ACK, 0, payload))
        elif kind == WINDOW_UPDATE and stream == 0:
            self.room += struct.unpack('>I', payload)[0]
        elif kind == WINDOW_UPDATE:
            self.rooms[stream] += struct.unpack('>I', payload)[0]
        elif kind == DATA:
            self.got[stream] = self.got.get(stream, b'') + payload
        elif kind == GOAWAY:
            self.is_over = True
        if kind == RST_STREAM or kind in (DATA, HEADERS) and flags & END_STREAM:
            # gRPC's C core writes its trailers as literals with names in full
            _, is_said, after = payload.partition(b'grpc-status')
            if stream not in self.ended:
                self.ended[stream] = int(after[1:1 + after[0]]) if is_said else None

    def until_ended(self, *streams):
        while not self.is_over and not all(s in self.ended for s in streams):
            self.take()


class Stuck:
    """A call whose client reads the connection but never gives room for more than window_bytes of messages."""

    def __init__(self, address, path, request, window_bytes=65535):
        host, _, port = address.rpartition(':')
        self.socket = socket.create_connection((host, int(port)), 30)
        self.socket.sendall(preface((INITIAL_WINDOW_SIZE, window_bytes))
                            + frame(HEADERS, END_HEADERS, 1, headers_of(path))
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
