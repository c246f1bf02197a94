"""tycho-ui as a process of its own, and a page that is no browser: a websocket client written from RFC 6455 alone."""
import base64
import concurrent.futures
import contextlib
import functools
import hashlib
import json
import os
import socket
import ssl
import struct
import time

from daemon import LONG_S, Daemon, until

TEXT, CLOSE, PING, PONG = 1, 8, 9, 10
PARTS = 'namespaces', 'coverage', 'history'  # of a status

_WAITING, _STARTED = [], {}


def side_by_side(test):
    """For tests that mostly wait for somebody to be missed: they run all at once, each with processes of its own."""
    _WAITING.append(test)

    @functools.wraps(test)
    def wait():
        if not _STARTED:
            pool = concurrent.futures.ThreadPoolExecutor(len(_WAITING))
            _STARTED.update((t.__name__, pool.submit(t)) for t in _WAITING)
        _STARTED[test.__name__].result()
    return wait


class Ui(Daemon):
    """with Ui(server, '--option', …) as ui: serving while the block runs."""
    program = 'tycho-ui'

    def __init__(self, server, *options):
        super().__init__()
        self.server, self.options = server, options

    def argv(self):
        return super().argv() + ['--server', self.server, '--listen', '127.0.0.1:0', *self.options]

    @property
    def url(self):
        return self.addresses[0]

    @property
    def host(self):
        return self.url.split('//')[1]

    @property
    def is_tls(self):
        return self.url.startswith('https')

    def wait_log(self, words):
        until(lambda: words in self.log() or self.process.poll() is not None, fault=self.log)
        assert words in self.log(), self.log()

    def connect(self, tls=None):
        """A connection, of TLS where the server speaks it; believes anybody unless @tls says otherwise."""
        host, port = self.host.rsplit(':', 1)
        s = socket.create_connection((host, int(port)), timeout=LONG_S)
        if not self.is_tls:
            return s
        if tls is None:
            tls = ssl.create_default_context()
            tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
        return tls.wrap_socket(s, server_hostname=host)

    def ask(self, path, method='GET', body=b'', **headers):
        """One request on a connection of its own: (status, headers, body)."""
        head = {'Host': self.host, 'Connection': 'close', **{k.replace('_', '-'): v for k, v in headers.items()}}
        if body:
            head['Content-Length'] = str(len(body))
        text = '%s %s HTTP/1.1\r\n%s\r\n' % (method, path, ''.join('%s: %s\r\n' % kv for kv in head.items() if kv[1] is not None))
        with self.connect() as s:
            s.sendall(text.encode() + body)
            return read_answer(s)


def read_answer(s):
    """(status, headers, body up to the connection's end); status 0: closed without a word."""
    answer = b''
    with contextlib.suppress(ConnectionResetError):
        while True:
            more = s.recv(65536)
            if not more:
                break
            answer += more
    return split_answer(answer)


def split_answer(answer):
    head, _, body = answer.partition(b'\r\n\r\n')
    lines = head.decode('latin-1').split('\r\n')
    if not lines[0]:
        return 0, {}, b''
    headers = {}
    for line in lines[1:]:
        k, _, v = line.partition(':')
        headers[k.lower()] = v.strip()
    return int(lines[0].split()[1]), headers, body


class Refused(Exception):
    """The upgrade was; .status is HTTP's, 0 for a connection that was closed without a word."""

    def __init__(self, status):
        super().__init__('the upgrade was answered with %d' % status)
        self.status = status


class Closed(Exception):
    """The server closed the websocket; .code is RFC 6455's, None without one."""

    def __init__(self, code):
        super().__init__('closed with %s' % code)
        self.code = code


class Page:
    """One websocket. next() is the next message; what it does not find it waits for, LONG_S at most."""

    def __init__(self, ui, path='/live', protocols=('tycho-ui.v1',), tls=None, **headers):
        self.socket, self.watched = ui.connect(tls), 0
        key = base64.b64encode(os.urandom(16)).decode()
        head = {'Host': ui.host, 'Origin': ui.url, 'Connection': 'Upgrade', 'Upgrade': 'websocket',
                'Sec-WebSocket-Version': '13', 'Sec-WebSocket-Key': key}
        if protocols:
            head['Sec-WebSocket-Protocol'] = ', '.join(protocols)
        head.update((k.replace('_', '-'), v) for k, v in headers.items())
        self.socket.sendall(('GET %s HTTP/1.1\r\n%s\r\n' % (path, ''.join(
            '%s: %s\r\n' % kv for kv in head.items() if kv[1] is not None))).encode())
        self.bytes, self.known = b'', {}
        while b'\r\n\r\n' not in self.bytes and self._more():
            pass
        status, answer, self.bytes = split_answer(self.bytes)
        if status != 101:
            self.socket.close()
            raise Refused(status)
        want = hashlib.sha1((key + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11').encode()).digest()  # RFC 6455 §4.2.2
        assert answer['sec-websocket-accept'] == base64.b64encode(want).decode()
        self.protocol = answer.get('sec-websocket-protocol')

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.socket.close()

    # --- frames ---

    def _more(self):
        try:
            more = self.socket.recv(1 << 18)
        except (ConnectionResetError, ssl.SSLEOFError):
            more = b''
        self.bytes += more
        return bool(more)

    def _take(self, n):
        while len(self.bytes) < n:
            if not self._more():
                raise Closed(None)
        taken, self.bytes = self.bytes[:n], self.bytes[n:]
        return taken

    def _frame(self):
        first, second = self._take(2)
        assert not second & 0x80, 'a server does not mask (RFC 6455 §5.1)'
        length = second & 0x7f
        if length > 125:
            length = int.from_bytes(self._take(2 if length == 126 else 8), 'big')
        return first >> 7, first & 15, self._take(length)

    def send_frame(self, opcode, payload, final=True):
        mask = os.urandom(4)
        n = len(payload)
        head = bytes([final << 7 | opcode])
        head += (bytes([0x80 | n]) if n < 126 else bytes([0xfe]) + struct.pack('>H', n) if n < 65536
                 else bytes([0xff]) + struct.pack('>Q', n))
        masked = bytes(b ^ mask[i & 3] for i, b in enumerate(payload))
        self.socket.sendall(head + mask + masked)

    # --- messages ---

    def next_text(self):
        parts = []
        while True:
            final, opcode, payload = self._frame()
            if opcode == CLOSE:
                raise Closed(int.from_bytes(payload[:2], 'big') if payload else None)
            if opcode == PING:
                self.send_frame(PONG, payload)
            elif opcode != PONG:
                parts.append(payload)
                if final:
                    return b''.join(parts).decode()

    def next(self):
        m = json.loads(self.next_text())
        if m['type'] == 'status':  # parts of it that have not changed are not told again
            self.known = {**{k: v for k, v in self.known.items() if k in PARTS}, **m}
        return m

    def until(self, holds):
        """Messages up to and with the first for which @holds is true; that one."""
        end = time.monotonic() + LONG_S
        while True:
            m = self.next()
            if holds(m):
                return m
            assert time.monotonic() < end, 'the last was %s' % m

    def of(self, kind, holds=lambda m: True):
        return self.until(lambda m: m['type'] == kind and holds(m))

    def status(self, holds=lambda m: True):
        """What is known of the upstream, as a page keeps it; as soon as @holds is true of it."""
        if not self.known or not holds(self.known):
            self.of('status', lambda m: holds(self.known))
        return self.known

    def watch(self, allow=(), deny=(), **more):
        """Asks a question; its number."""
        self.watched += 1
        self.send_frame(TEXT, json.dumps({'type': 'watch', 'watch': self.watched, 'allow': list(allow), 'deny': list(deny),
                                          **more}).encode())
        return self.watched

    def taken(self, messages):
        """Says how many it has read."""
        self.send_frame(TEXT, json.dumps({'type': 'taken', 'messages': messages}).encode())

    def whatever_came(self):
        """Messages that the server had sent when it read a ping of now."""
        token, messages, parts = os.urandom(8), [], []
        self.send_frame(PING, token)
        while True:
            final, opcode, payload = self._frame()
            if opcode == PONG and payload == token:
                return messages
            if opcode == PING:
                self.send_frame(PONG, payload)
            elif opcode == TEXT or opcode == 0:
                parts.append(payload)
                if final:
                    messages.append(json.loads(b''.join(parts)))
                    parts = []

    def update(self, holds=lambda m: True):
        """The next answer to the last question for which @holds is true."""
        return self.until(lambda m: m['type'] == 'update' and m['watch'] == self.watched and holds(m))

    def until_closed(self):
        with contextlib.suppress(BrokenPipeError):
            while True:
                try:
                    self.next_text()
                except Closed as e:
                    return e.code
