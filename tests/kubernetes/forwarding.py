"""An API server and a node's kubelet as far as a port-forward goes: a service, its pods, and a WebSocket to a pod's port.

Written from RFC 6455 and from what k8s.io/kubelet's streaming/portforward/websocket.go says of its messages, not from our client.
"""
import base64
import contextlib
import hashlib
import json
import os
import re
import select
import socket
import ssl
import struct
import threading

GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'
PROTOCOL = 'v4.channel.k8s.io'
LABELS = 'app.kubernetes.io%2Fname%3Dtycho%2Capp.kubernetes.io%2Fcomponent%3Drelay'  # of the chart's relays
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


def service(name='hubble-relay', target='grpc', **spec):
    return {'metadata': {'name': name}, 'spec': {'selector': {'k8s-app': name}, 'ports': [{'port': 80, 'targetPort': target}], **spec}}


def pod(name='hubble-relay-abc', port=4245, app='hubble-relay', ready='True', phase='Running', **metadata):
    return {'metadata': {'name': name, 'labels': {'k8s-app': app}, **metadata},
            'spec': {'containers': [{'ports': [{'name': 'metrics', 'containerPort': 9965}, {'name': 'grpc', 'containerPort': port}]}]},
            'status': {'phase': phase, 'conditions': [{'type': 'Initialized', 'status': 'True'}, {'type': 'Ready', 'status': ready}]}}


class Gone(Exception):
    pass


class WebSocket:
    """The server's side of one. One thread: a TLS connection is not to be read and written at once."""

    def __init__(self, sock, early):
        self.sock, self.early, self.pongs = sock, early, []

    def feed(self):
        """Reads what has come; Gone at the end."""
        piece = self.sock.recv(65536)
        if not piece:
            raise Gone
        self.early += piece

    def frames(self):
        """(opcode, bytes) of each that has come whole."""
        while len(self.early) >= 2:
            a, b = self.early[:2]
            assert a & 0xf0 == 0x80, 'reserved bits, or a fragment: a kubelet takes each frame for a message'
            assert b & 0x80, 'a client masks (RFC 6455 5.1)'
            n, at = b & 0x7f, {126: 4, 127: 10}.get(b & 0x7f, 2)
            if len(self.early) < at + 4:
                return
            n = int.from_bytes(self.early[2:at], 'big') if at > 2 else n
            if len(self.early) < at + 4 + n:
                return
            mask, data = self.early[at:at + 4], self.early[at + 4:at + 4 + n]
            self.early = self.early[at + 4 + n:]
            yield a & 0x0f, _unmask(data, mask)

    def send(self, opcode, data, fin=True):
        n = len(data)
        size = bytes([n]) if n < 126 else b'\x7e' + struct.pack('>H', n) if n < 65536 else b'\x7f' + struct.pack('>Q', n)
        self.sock.sendall(bytes([opcode | (0x80 if fin else 0)]) + size + data)


def _unmask(data, mask):
    n = len(data)
    key = (mask * (n // 4 + 1))[:n]
    return (int.from_bytes(data, 'big') ^ int.from_bytes(key, 'big')).to_bytes(n, 'big')


class ApiServer:
    """with ApiServer(authority, ports={('kube-system', 'hubble-relay-abc', 4245): ('127.0.0.1', 40000)}) as s: … s.kubeconfig(folder)

    The test changes what it says while it runs: services, pods, refuse (status, message) of an upgrade, tokens that are believed
    (None: everybody), said: what the node says on the channel for errors, shred: messages in small and odd frames.
    """

    def __init__(self, authority, ports=None, services=None, pods=None, san='DNS:localhost,IP:127.0.0.1', name='apiserver'):
        self.ca, self.ports = authority, ports or {}
        self.services = services if services is not None else [service()]
        self.pods = pods if pods is not None else [pod()]
        self.tokens, self.refuse, self.said, self.shred, self.answer, self.hidden = None, None, None, False, None, ()
        self.labelled = []  # services with the labels of Tycho's chart; None: who asks may not list them
        self.asked, self.hosts, self.upgrades, self.sockets, self.faults = [], [], 0, [], []
        cert, key = authority.issue(name, san)
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.load_cert_chain(cert, key)
        self.tls.load_verify_locations(authority.cert)
        self.tls.verify_mode = ssl.CERT_OPTIONAL

    def __enter__(self):
        self.listener = socket.create_server(('127.0.0.1', 0))
        self.port = self.listener.getsockname()[1]
        self.url = 'https://127.0.0.1:%d' % self.port
        self._thread(self._accept)
        return self

    def __exit__(self, *exc):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.drop()
        assert not self.faults, self.faults

    def drop(self):
        """Every connection breaks."""
        for s in self.sockets:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(s, socket.SHUT_RDWR)  # TLS's own shutdown would have whoever reads go on in plain text

    def _thread(self, run, *args):
        threading.Thread(target=run, args=args, daemon=True).start()

    def _accept(self):
        while True:
            try:
                s, _ = self.listener.accept()
            except OSError:
                return
            self._thread(self._serve, s)

    def _serve(self, raw):
        with contextlib.suppress(OSError, Gone):
            s = self.tls.wrap_socket(raw, server_side=True)
            self.sockets.append(s)
            try:
                head = b''
                while b'\r\n\r\n' not in head:
                    piece = s.recv(65536)
                    if not piece:
                        return
                    head += piece
                head, early = head.split(b'\r\n\r\n', 1)
                self._answer(s, head.decode(), early)
            except (AssertionError, LookupError, ValueError) as e:
                self.faults.append(repr(e))
            finally:
                s.close()

    def _answer(self, s, head, early):
        first, *rest = head.split('\r\n')
        method, path, _ = first.split(' ')
        headers = {k.lower(): v.strip() for k, v in (x.split(':', 1) for x in rest)}
        self.asked.append(path)
        self.hosts.append(headers['host'])
        assert method == 'GET' and headers['user-agent'].startswith('tycho/'), head
        believed = s.getpeercert() if self.tokens == 'certificate' else \
            self.tokens is None or headers.get('authorization', '')[len('Bearer '):] in self.tokens
        if not believed:
            return self._status(s, 401, 'Unauthorized')
        if m := re.fullmatch(r'/api/v1/namespaces/([^/]+)/services/([^/?]+)', path):
            if m[2] in self.hidden:
                return self._status(s, 403, 'services "%s" is forbidden' % m[2])
            found = [x for x in self.services if x['metadata']['name'] == m[2] and m[1] == 'kube-system']
            return self._json(s, found[0]) if found else self._status(s, 404, 'services "%s" not found' % m[2])
        if m := re.fullmatch(r'/api/v1/namespaces/([^/]+)/services\?limit=500&labelSelector=' + LABELS, path):
            found = self.labelled if m[1] == 'kube-system' else []
            return self._json(s, {'items': found}) if found is not None else self._status(s, 403, 'services is forbidden')
        if m := re.fullmatch(r'/api/v1/namespaces/kube-system/pods\?limit=500&labelSelector=(.*)', path):
            key, value = m[1].replace('%3D', '=').split('=')
            return self._json(s, {'items': [p for p in self.pods if p['metadata']['labels'].get(key) == value]})
        if m := re.fullmatch(r'/api/v1/namespaces/([^/]+)/pods/([^/]+)/portforward\?ports=(\d+)', path):
            return self._forward(s, headers, early, (m[1], m[2], int(m[3])))
        return self._status(s, 404, 'the server could not find the requested resource')

    def _json(self, s, value, status='200 OK'):
        body = json.dumps(value).encode()
        s.sendall(b'HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s'
                  % (status.encode(), len(body), body))

    def _status(self, s, code, message):
        self._json(s, {'kind': 'Status', 'status': 'Failure', 'message': message, 'code': code}, '%d No' % code)

    def _forward(self, s, headers, early, where):
        assert headers['connection'].lower() == 'upgrade' and headers['upgrade'].lower() == 'websocket', headers
        assert headers['sec-websocket-version'] == '13' and headers['sec-websocket-protocol'] == PROTOCOL, headers
        assert len(base64.b64decode(headers['sec-websocket-key'])) == 16
        self.upgrades += 1
        if headers.get('accept', '*/*') != '*/*':  # as Kubernetes 1.3x answers
            return self._status(s, 406, '406: Not Acceptable\n\nAvailable representations: ')
        if self.answer:
            return s.sendall(self.answer)
        if self.refuse:
            return self._status(s, *self.refuse)
        if where[1] not in [p['metadata']['name'] for p in self.pods]:
            return self._status(s, 404, 'pods "%s" not found' % where[1])
        accept = base64.b64encode(hashlib.sha1((headers['sec-websocket-key'] + GUID).encode()).digest()).decode()
        hello = ('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n'
                 'Sec-WebSocket-Accept: %s\r\nSec-WebSocket-Protocol: %s\r\n\r\n' % (accept, PROTOCOL)).encode()
        port = struct.pack('<H', where[2])
        # with the head in one write: what a client reads with it must not be lost
        s.sendall(hello + b'\x82\x03\x00' + port + b'\x82\x03\x01' + port)
        ws = WebSocket(s, early)
        if self.said:
            ws.send(BINARY, b'\x01' + self.said.encode())
            ws.send(CLOSE, struct.pack('>H', 1000))
            return
        with socket.create_connection(self.ports[where]) as to:
            self._copy(ws, to)

    def _copy(self, ws, to):
        while True:
            for opcode, data in ws.frames():
                if opcode == CLOSE:
                    return
                if opcode == PONG:
                    ws.pongs.append(data)
                    self.ponged = ws.pongs
                elif opcode == PING:
                    ws.send(PONG, data)
                else:
                    assert opcode == BINARY and data[:1] == b'\0', (opcode, data[:1])
                    to.sendall(data[1:])
            ready, _, _ = select.select([ws.sock, to], [], [], 0 if ws.sock.pending() else None)
            if ws.sock.pending() or ws.sock in ready:
                ws.feed()
            if to in ready:
                data = to.recv(65536)
                if not data:
                    return ws.send(CLOSE, struct.pack('>H', 1000))
                self._to_client(ws, b'\0' + data)

    def _to_client(self, ws, data):
        """One message; shredded, in frames of growing size, with empty ones and pings in between."""
        if not self.shred:
            return ws.send(BINARY, data)
        at, n = 1, 1
        ws.send(BINARY, data[:1], fin=False)
        while at < len(data):
            ws.send(PING, b'%d' % n)
            ws.send(CONTINUATION, b'', fin=False)
            ws.send(CONTINUATION, data[at:at + n], fin=False)
            at, n = at + n, 2 * n
        ws.send(CONTINUATION, b'')


def kubeconfig(path, server, user=None, cluster=None, context='c', current=True):
    """Writes one, as JSON, which is YAML; its path."""
    entry = {'cluster': {'server': server.url, 'certificate-authority': server.ca.cert, **(cluster or {})}, 'name': 'k'}
    value = {'apiVersion': 'v1', 'kind': 'Config', 'clusters': [entry], 'users': [{'name': 'me', 'user': user or {}}],
             'contexts': [{'name': context, 'context': {'cluster': 'k', 'user': 'me'}}]}
    if current:
        value['current-context'] = context
    path = str(path)
    with open(path, 'w') as f:
        json.dump(value, f)
    os.chmod(path, 0o600)
    return path
