"""tycho doctor --node: what an observer would miss on this node and of this API server, and what to do about it."""
import ctypes
import errno
import http.server
import json
import os
import socket
import struct
import subprocess
import threading
import time
from email.utils import formatdate

import pytest

from observer import BIN
from pki import Authority
from test_kubernetes import Api, folder  # noqa: F401: a fixture

libc = ctypes.CDLL(None)
KINDS = ['Namespace', 'Node', 'Pod', 'Service', 'EndpointSlice', 'NetworkPolicy', 'CiliumNetworkPolicy',
         'CiliumClusterwideNetworkPolicy', 'CiliumCIDRGroup', 'CiliumEndpoint', 'CiliumIdentity']


def doctor(*words, code=0, program='tycho-observer', format='json', **env):
    p = subprocess.run([os.path.join(BIN, program), *words], capture_output=True, text=True, timeout=60, env=dict(os.environ, **env))
    assert p.returncode == code, p.stdout + p.stderr
    return [json.loads(line) for line in p.stdout.splitlines()] if format == 'json' else p.stdout


def of(lines, check):
    return [(x['result'], x['detail']) for x in lines if x['check'] == check]


class Server(http.server.ThreadingHTTPServer):
    """An API server that knows who may what: no = {path: status}."""
    daemon_threads = True

    def __init__(self, no=(), ahead_s=0, nodes=('node-a',), may=()):
        super().__init__(('127.0.0.1', 0), Handler)
        self.no, self.ahead_s, self.nodes, self.may, self.asked = dict(no), ahead_s, nodes, may, []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def config(self, folder):  # noqa: F811
        path = os.path.join(folder, 'kubeconfig')
        with open(path, 'w') as f:
            f.write('current-context: c\ncontexts: [{name: c, context: {cluster: k}}]\n'
                    'clusters: [{name: k, cluster: {server: "http://127.0.0.1:%d"}}]\n' % self.server_address[1])
        return path


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def log_message(self, *_):
        pass

    def date_time_string(self, timestamp=None):
        return formatdate(time.time() + self.server.ahead_s, usegmt=True)

    def do_POST(self):
        """What we may do, as every API server answers it."""
        review = json.loads(self.rfile.read(int(self.headers['Content-Length'])))
        assert self.path == '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews'
        assert (review['apiVersion'], review['kind']) == ('authorization.k8s.io/v1', 'SelfSubjectAccessReview')
        what = review['spec']['resourceAttributes']
        assert (what['group'], what['resource']) == ('', 'events')
        status = self.server.no.get(self.path, 201)
        body = json.dumps(dict(review, status={'allowed': what['verb'] in self.server.may}) if status == 201
                          else {'kind': 'Status', 'message': 'not now'}).encode()
        self.send_response(status)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        path, _, query = self.path.partition('?')
        watch = 'watch=true' in query
        self.server.asked.append(self.path)
        status = self.server.no.get((path, 'watch') if watch else path, 200)
        items = [{}]
        if 'fieldSelector=' in query:
            items = [{} for n in self.server.nodes if query.endswith('metadata.name%3D' + n)]
        body = json.dumps({'items': items, 'metadata': {}} if status == 200 else {
            'kind': 'Status', 'message': 'you may not do that to ' + path}).encode()
        self.send_response(status)
        if watch and status == 200:
            self.send_header('Transfer-Encoding', 'chunked')
            self.end_headers()
            self.wfile.flush()
            return  # and keeps it open
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def kubernetes(config, *words, node='node-a', code=0):
    return doctor('--doctor', 'json', '--no-bpf', '--replay', '-', '--kubernetes', '--kubeconfig', config, '--node-name', node,
                  '--state-dir', os.path.dirname(config), *words, code=code)


def test_a_cluster_that_gives_all_of_it_is_well(folder):  # noqa: F811
    server = Server()
    lines = kubernetes(server.config(folder))
    assert of(lines, 'kubernetes') == [('ok', kind + ' can be listed and watched') for kind in KINDS]
    assert of(lines, 'node') == [('ok', "'node-a' is a node of the cluster")]
    assert of(lines, 'clock')[0][0] == 'ok'
    assert not any(x['result'] == 'fail' or 'fix' in x and x['result'] == 'ok' for x in lines)


def test_what_is_forbidden_and_what_is_not_there_are_told_apart(folder):  # noqa: F811
    server = Server({'/api/v1/pods': 403, ('/api/v1/services', 'watch'): 403,
                     '/apis/discovery.k8s.io/v1/endpointslices': 404, '/apis/cilium.io/v2/ciliumendpoints': 404})
    lines = kubernetes(server.config(folder), code=1)
    said = of(lines, 'kubernetes')
    assert ('fail', 'Pod cannot be listed: status 403: you may not do that to /api/v1/pods') in said
    assert ('fail', 'Service cannot be watched: status 403: you may not do that to /api/v1/services') in said
    assert ('ok', 'EndpointSlice can be listed and watched') in said  # v1beta1
    assert ('ok', 'CiliumEndpoint: not in this cluster') in said
    assert len(said) == len(KINDS)
    assert all('list and watch' in x['fix'] for x in lines if '403' in x['detail'])


def test_the_right_to_tell_of_drops_is_asked_for_where_it_is_needed(folder):  # noqa: F811
    server = Server(may=('create', 'patch'))
    assert not any('Event' in x['detail'] for x in kubernetes(server.config(folder)))
    said = of(kubernetes(server.config(folder), '--drop-events'), 'kubernetes')
    assert said[-2:] == [('ok', 'Event: the right to create is given'), ('ok', 'Event: the right to patch is given')]
    server.may = ('patch',)
    lines = kubernetes(server.config(folder), '--drop-events', code=1)
    assert of(lines, 'kubernetes')[-2:] == [('fail', 'Event: the right to create is not given'), ('ok', 'Event: the right to patch is given')]
    assert all('create and patch on events' in x['fix'] for x in lines if x['result'] == 'fail')
    server.no = {'/apis/authorization.k8s.io/v1/selfsubjectaccessreviews': 500}
    lines = kubernetes(server.config(folder), '--drop-events')
    assert of(lines, 'kubernetes')[-1] == ('warn', 'whether the right to patch events is given is not known: status 500: not now')


def test_a_node_name_that_the_cluster_does_not_know_and_a_clock_that_is_wrong(folder):  # noqa: F811
    server = Server(ahead_s=60)
    lines = kubernetes(server.config(folder), node='my-host', code=1)
    assert of(lines, 'node') == [('fail', "there is no node 'my-host': no pod would be this node's own")]
    (result, detail), = of(lines, 'clock')
    assert result == 'fail' and detail.startswith("the API server's clock is ") and detail.endswith('ahead, known to a second')


def test_a_token_that_is_refused_is_said_once(folder):  # noqa: F811
    with Api(folder, 'world', token='right') as api:
        lines = kubernetes(api.config(user='token: wrong'), code=1)
    (result, detail), = of(lines, 'kubernetes')
    assert result == 'fail' and 'status 401' in detail
    assert 'wrong' not in json.dumps(lines)


def test_the_recorded_server_is_asked_for_what_it_has(folder):  # noqa: F811
    with Api(folder, 'world') as api:
        lines = kubernetes(api.config(), code=1)  # its Date is that of the recording
    said = of(lines, 'kubernetes')
    assert ('ok', 'Pod can be listed and watched') in said
    assert ('ok', 'CiliumIdentity: not in this cluster') in said


def test_a_server_that_is_away_and_one_that_is_not_believed(folder, tmp_path):  # noqa: F811
    ca, other = Authority(tmp_path, 'ca'), Authority(tmp_path, 'other')
    cert, key = ca.issue('server')
    with Api(folder, 'world', options=['--tls-cert', cert, '--tls-key', key]) as api:
        config = api.config(cluster=', certificate-authority: ' + other.cert)
        line, = [x for x in kubernetes(config, code=1) if x['check'] == 'kubernetes']
        assert 'certificate-authority' in line['fix']
    line, = [x for x in kubernetes(config, code=1) if x['check'] == 'kubernetes']
    assert 'onnect' in line['detail'] and "server's address" in line['fix']


SECRETS = '/var/run/secrets/kubernetes.io/serviceaccount'
IN_A_POD = '''set -e
    cd "$1" && shift
    mount -t tmpfs none "$(realpath /var/run)"
    mkdir -p %s && cp * %s/
    KUBERNETES_SERVICE_HOST=127.0.0.1 KUBERNETES_SERVICE_PORT=$PORT exec "$@"''' % (SECRETS, SECRETS)


def in_a_pod(secrets, port):
    """With the service account's files, and nothing else, where Kubernetes puts them."""
    p = subprocess.run(['unshare', '-m', '--propagation', 'private', 'sh', '-c', IN_A_POD, 'sh', str(secrets), os.path.join(BIN, 'tycho-observer'),
                        '--doctor', 'json', '--no-bpf', '--replay', '-', '--kubernetes', '--node-name', 'a', '--state-dir', '/'],
                       env=dict(os.environ, PORT=str(port)), capture_output=True, text=True, timeout=60)
    line, = [x for x in map(json.loads, p.stdout.splitlines()) if x['check'] == 'kubernetes']
    return line


def test_in_a_pod_it_speaks_of_what_a_pod_has(folder, tmp_path):  # noqa: F811
    ca, other = Authority(tmp_path, 'ca'), Authority(tmp_path, 'other')
    cert, key = ca.issue('server')
    secrets = tmp_path / 'secrets'
    secrets.mkdir()
    (secrets / 'ca.crt').write_bytes(open(other.cert, 'rb').read())
    with Api(folder, 'world', options=['--tls-cert', cert, '--tls-key', key]) as api:
        line = in_a_pod(secrets, api.port)
        assert line['result'] == 'fail' and 'open the token' in line['detail'] and 'automountServiceAccountToken' in line['fix']
        (secrets / 'token').write_text('secret')
        line = in_a_pod(secrets, api.port)
        assert 'certificate' in line['detail'] and 'ca.crt' in line['fix']
    line = in_a_pod(secrets, api.port)
    assert 'onnect' in line['detail'] and 'service kubernetes' in line['fix'] and 'kubeconfig' not in line['fix']


@pytest.mark.parametrize('expired', [False, True])
def test_certificates_and_ports_of_its_own(folder, tmp_path, expired):  # noqa: F811
    ca = Authority(tmp_path, 'ca')
    cert, key = ca.issue('server', san='DNS:observer.example', expired=expired)
    with socket.socket() as taken:
        taken.bind(('127.0.0.1', 0))
        taken.listen()
        port = '127.0.0.1:%d' % taken.getsockname()[1]
        lines = doctor('--doctor', 'json', '--no-bpf', '--replay', '-', '--state-dir', folder, '--listen', port,
                       '--tls-cert-file', cert, '--tls-key-file', key, code=1)
    (result, detail), = of(lines, 'port')
    assert result == 'fail' and port in detail
    (result, detail), = of(lines, 'certificate')
    assert (result, 'has expired' in detail) == ('fail', True) if expired else (
        result == 'ok' and 'observer.example' in detail)


def test_rights_that_are_missing_are_named():
    p = subprocess.run(['setpriv', '--bounding-set', '-all,+bpf', os.path.join(BIN, 'tycho-observer'), '--doctor', 'json',
                        '--nflog-group', '5'], capture_output=True, text=True, timeout=30)
    assert p.returncode == 1
    said = dict(reversed(x) for x in of([json.loads(line) for line in p.stdout.splitlines()], 'rights'))
    assert said == {'CAP_BPF, for kernel programs': 'ok', 'CAP_PERFMON, for kernel programs: not given': 'fail',
                    'CAP_NET_ADMIN, for hooks and netfilter logs: not given': 'fail'}


def refuse_bpf():
    """Before exec: a seccomp profile without the call bpf, as containers have (linux/filter.h, linux/seccomp.h, linux/prctl.h)."""
    load, jump_if, give, refused, allowed = 0x20, 0x15, 0x06, 0x00050000 | errno.EPERM, 0x7fff0000
    number = {'x86_64': 321, 'aarch64': 280}[os.uname().machine]
    rules = ctypes.create_string_buffer(b''.join(struct.pack('HBBI', *rule) for rule in (
        (load, 0, 0, 0), (jump_if, 0, 1, number), (give, 0, 0, refused), (give, 0, 0, allowed))))
    program = ctypes.create_string_buffer(struct.pack('HP', 4, ctypes.addressof(rules)))
    if libc.prctl(38, 1, 0, 0, 0) != 0 or libc.prctl(22, 2, program, 0, 0) != 0:
        os._exit(126)


def test_a_seccomp_profile_that_refuses_bpf_is_told_from_missing_rights(folder):  # noqa: F811
    observer = [os.path.join(BIN, 'tycho-observer'), '--state-dir', folder]
    for refused in (False, True):
        p = subprocess.run([*observer, '--doctor', 'json'], capture_output=True, text=True, timeout=30, preexec_fn=refuse_bpf if refused else None)
        lines = [json.loads(line) for line in p.stdout.splitlines()]
        assert of(lines, 'drops') == [('ok', 'this kernel tells why it drops packets')]
        assert {result for result, _ in of(lines, 'rights')} == {'ok'}
        assert of(lines, 'bpf') == [('fail', 'the call bpf is refused, though CAP_BPF is given: Operation not permitted') if refused else (
            'ok', 'the call bpf is let through')]
        assert p.returncode == refused
    p = subprocess.run([*observer, '--listen', 'unix://%s/o.sock' % folder], capture_output=True, text=True, timeout=30, preexec_fn=refuse_bpf)
    assert p.returncode == 1 and 'though we have the capabilities: a seccomp profile' in p.stderr


def test_the_command_asks_the_observer_and_prints_it_for_people(folder):  # noqa: F811
    server = Server({'/api/v1/pods': 403})
    text = doctor('doctor', '--node', '--no-bpf', '--kubernetes', '--kubeconfig', server.config(folder), '--node-name', 'node-a',
                  code=1, program='tycho', format='compact')
    assert 'fail  kubernetes  Pod cannot be listed: status 403' in text
    assert '                  to do: give the role list and watch' in text
    assert 'Event' not in text
    text = doctor('doctor', '--node', '--no-bpf', '--kubernetes', '--drop-events', '--kubeconfig', server.config(folder), '--node-name',
                  'node-a', code=1, program='tycho', format='compact')
    assert 'fail  kubernetes  Event: the right to create is not given' in text


def test_a_kubeconfig_of_the_environment_counts_where_kubernetes_is_asked_about(folder):  # noqa: F811
    command = 'doctor', '--node', '--no-bpf', '-o', 'json'
    away = {'TYCHO_KUBECONFIG': '/nowhere', 'TYCHO_KUBE_CONTEXT': 'nobody'}
    assert not of(doctor(*command, program='tycho', **away), 'kubernetes')
    server = Server()
    lines = doctor(*command, '--kubernetes', '--node-name', 'node-a', program='tycho', TYCHO_KUBECONFIG=server.config(folder))
    assert of(lines, 'node') == [('ok', "'node-a' is a node of the cluster")]
    lines = doctor(*command, '--kubernetes', program='tycho', code=1, TYCHO_KUBE_CONTEXT='nobody')
    (result, detail), = of(lines, 'kubernetes')
    assert result == 'fail' and 'nobody' not in detail  # as a pod, which has no contexts


@pytest.mark.parametrize('words, sentence', [
    (['--kubeconfig', '/nowhere'], '--kubeconfig needs --kubernetes'),
    (['--kubernetes', '--kube-context', 'c'], '--kube-context needs --kubeconfig'),
    (['--drop-events'], '--drop-events needs --kubernetes')])
def test_what_was_typed_is_not_passed_over(words, sentence):
    p = subprocess.run([os.path.join(BIN, 'tycho'), 'doctor', '--node', *words], capture_output=True, text=True, timeout=30)
    assert (p.returncode, p.stdout, p.stderr) == (1, '', 'tycho-observer: %s\n' % sentence)
