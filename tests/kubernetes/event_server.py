"""An API server that takes events: the recorded one behind it answers everything else."""
import contextlib
import http.client
import http.server
import json
import re
import socket
import ssl
import threading
import time

NAME = r'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*'  # RFC 1123 subdomain
TIME = r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ'
FIELDS = {'apiVersion', 'kind', 'metadata', 'involvedObject', 'reason', 'message', 'source', 'firstTimestamp', 'lastTimestamp',
          'count', 'type', 'reportingComponent', 'reportingInstance'}  # of v1 Event, without those of series


def faults(event, namespace):
    """What Kubernetes' API reference and validation (core v1 Event) have against it."""
    m, about = event.get('metadata', {}), event.get('involvedObject', {})
    yield from ('unknown field %s' % k for k in set(event) - FIELDS)
    if event.get('apiVersion') != 'v1' or event.get('kind') != 'Event':
        yield 'is no v1 Event'
    if not re.fullmatch(NAME, m.get('name', '')) or len(m['name']) > 253:
        yield 'metadata.name'
    if m.get('namespace') != namespace or about.get('namespace') != namespace:
        yield 'involvedObject.namespace: does not match event.namespace'
    if event.get('type') not in ('Normal', 'Warning'):
        yield 'type'
    if not 0 < len(event.get('message', '').encode()) <= 1024:
        yield 'message: can have at most 1024 characters'
    if not 0 < len(event.get('reason', '')) <= 128 or not re.fullmatch('[A-Z][A-Za-z]*', event['reason']):
        yield 'reason'
    if not re.fullmatch(r'[A-Za-z0-9]([-\w.]*[A-Za-z0-9])?', event.get('reportingComponent', '')):
        yield 'reportingController: a qualified name'
    if not 0 < len(event.get('reportingInstance', '')) <= 128:
        yield 'reportingInstance'
    if not all(re.fullmatch(TIME, event.get(k, '')) for k in ('firstTimestamp', 'lastTimestamp')):
        yield 'timestamps'
    if not isinstance(event.get('count'), int) or event['count'] < 1:
        yield 'count'


class EventServer:
    """with EventServer(api) as server: api is the recorded one. asked: what came, as (method, path, JSON); events: what there is."""

    def __init__(self, api, pair=None, token=None):
        self.api, self.pair, self.token, self.port = api, pair, token, 0
        self.scheme = 'https' if pair else 'http'
        self.asked, self.events, self.answers, self.at = [], {}, [], []
        self.may_answer = threading.Event()
        self.may_answer.set()
        self.lock, self.open = threading.Lock(), set()

    def start(self):
        self.server = Server(('127.0.0.1', self.port), Handler)
        self.server.owner, self.port = self, self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, kwargs={'poll_interval': 0.05}, daemon=True).start()
        return self

    def stop(self):
        """Away: nobody listens, and what was open is cut."""
        self.server.shutdown()
        self.server.server_close()
        with self.lock:
            for s in list(self.open):
                with contextlib.suppress(OSError):
                    s.shutdown(socket.SHUT_RDWR)

    __enter__ = start

    def __exit__(self, *exc):
        self.may_answer.set()
        self.stop()

    def say(self, status, times=1, headers=(), **body):
        """The next requests for events hear this; times None: until it is said otherwise."""
        body = dict({'kind': 'Status', 'apiVersion': 'v1', 'metadata': {}, 'status': 'Failure', 'message': 'no', 'code': status}, **body)
        self.answers = [[times, status, dict(headers), body]]

    def config(self, **config):
        """A kubeconfig that leads here."""
        before = self.api.port, self.api.scheme
        self.api.port, self.api.scheme = self.port, self.scheme
        try:
            return self.api.config(**config)
        finally:
            self.api.port, self.api.scheme = before

    # what is done with an event, by the rules of the API

    def take(self, method, path, text, authorization):
        namespace, _, name = re.fullmatch(r'/api/v1/namespaces/([^/]+)/events(/(.+))?', path).groups()
        body = json.loads(text)
        with self.lock:
            self.asked.append((method, path, body))
            self.at.append(time.monotonic())
            if self.token and authorization != 'Bearer ' + self.token:
                return 401, {}, status(401, 'Unauthorized')
            if self.answers:
                times, code, headers, said = answer = self.answers[0]
                answer[0] = times - 1 if times else None
                if answer[0] == 0:
                    self.answers.pop(0)
                return code, headers, said
            return self.keep(method, namespace, name, body)

    def keep(self, method, namespace, name, body):
        if method == 'PATCH':
            if (namespace, name) not in self.events:
                return 404, {}, status(404, 'events "%s" not found' % name)
            self.events[namespace, name].update(body)
            return 200, {}, self.events[namespace, name]
        wrong = list(faults(body, namespace))
        if wrong:
            return 422, {}, status(422, ', '.join(wrong))
        if (namespace, body['metadata']['name']) in self.events:
            return 409, {}, status(409, 'events "%s" already exists' % body['metadata']['name'])
        self.events[namespace, body['metadata']['name']] = body
        return 201, {}, body

    def messages(self):
        with self.lock:
            return [e['message'] for e in self.events.values()]


def status(code, message):
    return {'kind': 'Status', 'apiVersion': 'v1', 'metadata': {}, 'status': 'Failure', 'message': message, 'code': code}


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def process_request_thread(self, request, address):
        owner = self.owner
        with contextlib.suppress(OSError):  # of a handshake that fails, of a connection that is cut
            if owner.pair:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(*owner.pair)
                request = context.wrap_socket(request, server_side=True)
            with owner.lock:
                owner.open.add(request)
            super().process_request_thread(request, address)
        with owner.lock:
            owner.open.discard(request)

    def handle_error(self, request, address):
        pass


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def log_message(self, *_):
        pass

    def do_POST(self):
        owner = self.server.owner
        text = self.rfile.read(int(self.headers['Content-Length']))
        wanted = 'application/json' if self.command == 'POST' else 'application/merge-patch+json'
        assert self.headers['Content-Type'] == wanted
        code, headers, body = owner.take(self.command, self.path, text, self.headers.get('Authorization'))
        owner.may_answer.wait()
        data = json.dumps(body).encode()
        self.send_response(code)
        for k, v in dict(headers, **{'Content-Type': 'application/json', 'Content-Length': str(len(data))}).items():
            self.send_header(k, v)
        self.end_headers()
        self.wfile.write(data)

    do_PATCH = do_POST

    def do_GET(self):
        """As the recorded server has it, byte for byte."""
        with contextlib.closing(http.client.HTTPConnection('127.0.0.1', self.server.owner.api.port)) as to:
            try:
                to.request('GET', self.path, headers={k: v for k, v in self.headers.items() if k.lower() != 'host'})
                answer = to.getresponse()
            except (OSError, http.client.HTTPException):
                self.close_connection = True
                return
            self.send_response(answer.status)
            self.send_header('Content-Type', answer.headers.get('Content-Type', 'application/json'))
            if answer.headers.get('Content-Encoding'):
                self.send_header('Content-Encoding', answer.headers['Content-Encoding'])
            self.send_header('Transfer-Encoding', 'chunked')
            self.end_headers()
            with contextlib.suppress(OSError, http.client.HTTPException):
                while piece := answer.read1(65536):
                    self.wfile.write(b'%x\r\n%s\r\n' % (len(piece), piece))
                    self.wfile.flush()
                self.wfile.write(b'0\r\n\r\n')
                return
            self.close_connection = True
