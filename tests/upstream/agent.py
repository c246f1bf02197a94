"""A Cilium agent as Tycho sees it: its REST socket (shapes of Cilium's api/v1/openapi.yaml), and its monitor socket."""
import http.server
import json
import os
import socket
import socketserver
import struct
import threading

CLIENTS = '&LabelSelector{MatchLabels:map[string]string{any.app: client,},MatchExpressions:[]LabelSelectorRequirement{},}'


def labels(policy):
    return ['k8s:io.cilium.k8s.policy.derived-from=CiliumNetworkPolicy', 'k8s:io.cilium.k8s.policy.name=' + policy,
            'k8s:io.cilium.k8s.policy.namespace=shop', 'k8s:io.cilium.k8s.policy.uid=u-1']


def endpoint(id_, ip, pod, identity, ingress=()):
    rules = [{'rule': json.dumps({'port': port, 'protocol': 'TCP', 'l7-rules': [{CLIENTS: {'verdict': 1} if deny else None}]}),
              'derived-from-rules': [labels(policy)], 'rules-by-selector': {CLIENTS: [labels(policy)]}}
             for port, policy, deny in ingress]
    return {'id': id_, 'status': {
        'state': 'ready', 'external-identifiers': {'k8s-namespace': 'shop', 'k8s-pod-name': pod},
        'identity': {'id': identity, 'labels': ['k8s:app=db', 'k8s:io.cilium.k8s.policy.cluster=east']},
        'networking': {'addressing': [{'ipv4': ip}]},
        'policy': {'realized': {'policy-revision': 7, 'l4': {'ingress': rules, 'egress': []}}}}}


class Agent:
    """with Agent(folder) as a: answers until stop(); answers[path] is what it says, a number a status."""

    def __init__(self, folder):
        self.path = os.path.join(folder, 'cilium.sock')
        self.answers, self.server = {}, None
        self.asked = threading.Condition()
        self.rounds = 0
        self.say()

    def say(self, pod='client-0', ingress=((80, 'allow-clients', False), (81, 'deny-clients', True))):
        self.answers = {
            '/v1/endpoint': [endpoint(42, '10.0.1.5', 'db-0', 5000, ingress)],
            '/v1/ip': [{'cidr': '10.0.1.5/32', 'identity': 5000, 'metadata': {'namespace': 'shop', 'name': 'db-0'}},
                       {'cidr': '10.0.2.9/32', 'identity': 1001, 'metadata': {'namespace': 'shop', 'name': pod}}],
            '/v1/identity': [{'id': 1001, 'labels': ['k8s:app=client', 'k8s:io.cilium.k8s.policy.cluster=east']}],
            '/v1/service': [{'spec': {'frontend-address': {'ip': '10.0.1.5', 'port': 80, 'protocol': 'TCP', 'scope': 'external'},
                                      'flags': {'name': 'db', 'namespace': 'shop'}}}],
            '/v1/cgroup-dump-metadata': {'pod-metadatas': []},
            '/v1/fqdn/cache': [{'endpoint-id': 42, 'fqdn': pod + '.shop.example.', 'ips': ['10.0.2.9'], 'source': 'lookup', 'ttl': 60,
                                'lookup-time': '2023-11-14T22:13:10.000Z', 'expiration-time': '2023-11-14T22:14:10.000Z'}],
            '/v1/policy/selectors': [{'selector': CLIENTS, 'identities': [1001], 'users': 1}],
        }

    def __enter__(self):
        agent = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                answer = agent.answers.get(self.path, 404)
                body = b'' if isinstance(answer, int) else json.dumps(answer).encode()
                self.send_response(answer if isinstance(answer, int) else 200)
                self.send_header('Content-Length', str(len(body)))
                self.end_headers()
                self.wfile.write(body)
                if self.path == '/v1/policy/selectors':  # the last question of a round
                    with agent.asked:
                        agent.rounds += 1
                        agent.asked.notify_all()

            def address_string(self):
                return 'tycho'

            def log_message(self, *args):
                pass

        class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
            daemon_threads = True

        self.server = Server(self.path, Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def stop(self):
        if self.server:
            self.server.shutdown()
            self.server.server_close()
            os.unlink(self.path)
            self.server = None

    def __exit__(self, *exc):
        self.stop()


# --- the monitor socket --------------------------------------------------------------------------

# struct Payload { Data []byte; CPU int; Lost uint64; Type int } as observed of Cilium 1.19
DEFINITION = bytes.fromhex('377f0301010750 61796c6f616401ff80000104 01044461746101 0a0001034350550104000104 4c6f737401060001'
                           '045479706501 04000000'.replace(' ', ''))


def gob_uint(v):
    if v < 128:
        return bytes([v])
    digits = v.to_bytes((v.bit_length() + 7) // 8, 'big')
    return bytes([256 - len(digits)]) + digits


def gob_sample(data):
    body = b'\xff\x80\x01' + gob_uint(len(data)) + data + b'\x03\x12\x00'
    return gob_uint(len(body)) + body


def gob_string(field_delta, text):
    return bytes([field_delta]) + gob_uint(len(text)) + text.encode()


def agent_notify(kind, text):
    """130: struct AgentNotify { Type uint32; Text string } in a stream of its own."""
    fields = b'\x01\x04Type\x01\x06\x00' + b'\x01\x04Text\x01\x0c\x00'
    definition = b'\xff\x81\x03\x01\x01\x0bAgentNotify\x01\xff\x82\x00\x01\x02' + fields + b'\x00' + b'\x00'
    value = b'\xff\x82' + b'\x01' + gob_uint(kind) + gob_string(1, text) + b'\x00'
    return b'\x82' + gob_uint(len(definition)) + definition + gob_uint(len(value)) + value


def http_request(headers):
    """129: LogRecord { Type, Timestamp, HTTP { Headers map[string][]string } } in a stream of its own."""
    def message(body):
        return gob_uint(len(body)) + body

    def struct_of(type_id, name, *fields):  # 3: a struct; its id and those of its fields as signed numbers
        return message(gob_uint(2 * type_id - 1) + b'\x03\x01' + gob_string(1, name) + b'\x01' + gob_uint(2 * type_id) + b'\x00' +
                       b'\x01' + gob_uint(len(fields)) +
                       b''.join(gob_string(1, n) + b'\x01' + gob_uint(2 * t) + b'\x00' for n, t in fields) + b'\x00\x00')

    text, record, http, by_name, values = 6, 64, 65, 66, 67
    definitions = (struct_of(record, 'LogRecord', ('Type', text), ('Timestamp', text), ('HTTP', http)) +
                   struct_of(http, 'LogRecordHTTP', ('Headers', by_name)) +
                   message(gob_uint(2 * by_name - 1) + b'\x04\x01\x02' + gob_uint(2 * by_name) + b'\x00\x01' + gob_uint(2 * text) +
                           b'\x01' + gob_uint(2 * values) + b'\x00\x00') +
                   message(gob_uint(2 * values - 1) + b'\x02\x01\x02' + gob_uint(2 * values) + b'\x00\x01' + gob_uint(2 * text) +
                           b'\x00\x00'))
    of_headers = gob_uint(len(headers)) + b''.join(
        gob_uint(len(name)) + name.encode() + gob_uint(len(v)) + b''.join(gob_uint(len(x)) + x.encode() for x in v)
        for name, v in headers.items())
    value = (gob_uint(2 * record) + gob_string(1, 'Request') + gob_string(1, '2026-01-20T10:00:00Z') + b'\x01\x01' + of_headers +
             b'\x00\x00')
    return b'\x81' + definitions + message(value)


def tcp_packet(src, dst, sport, dport):
    tcp = struct.pack('>HHIIBBHHH', sport, dport, 1, 0, 5 << 4, 2, 1000, 0, 0)
    ip = struct.pack('>BBHHHBBH4s4s', 0x45, 0, 20 + len(tcp), 1, 0, 64, 6, 0, socket.inet_aton(src), socket.inet_aton(dst))
    return b'\x02\x00\x00\x00\x00\x01\x02\x00\x00\x00\x00\x02\x08\x00' + ip + tcp


def policy_verdict(endpoint_id, remote, verdict, port, match_type, src, dst):
    """Ingress at that endpoint, as the datapath of 1.19 writes it."""
    packet = tcp_packet(src, dst, 40000, port)
    flags = 1 | match_type << 3
    return struct.pack('<BBHIIHBBIiHBBB3xI4x', 5, 0, endpoint_id, 0, len(packet), len(packet), 1, 0, remote, verdict, port, 6,
                       flags, 0, 0) + packet


class Monitor:
    """with Monitor(folder) as m: a monitor socket; say() goes to who is connected, and to who comes later."""

    def __init__(self, folder):
        self.path = os.path.join(folder, 'monitor1_2.sock')

    def __enter__(self):
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(self.path)
        self.listener.listen(4)
        self.client = None
        return self

    def say(self, *samples):
        if not self.client:
            self.listener.settimeout(20)
            self.client, _ = self.listener.accept()
            self.client.sendall(DEFINITION)
        self.client.sendall(b''.join(gob_sample(s) for s in samples))

    def say_lost(self, count, cpu):
        """To who is connected: what the kernel counted (Type 2)."""
        body = b'\xff\x80\x02' + gob_uint(2 * cpu) + b'\x01' + gob_uint(count) + b'\x01\x04\x00'
        self.client.sendall(gob_uint(len(body)) + body)

    def __exit__(self, *exc):
        if self.client:
            self.client.close()
        self.listener.close()
