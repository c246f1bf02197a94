"""tycho --port-forward: a relay in a cluster is asked as if it were here, whoever the cluster thinks we are."""
import contextlib
import json
import os
import signal
import socket
import subprocess
import threading

import pytest

from daemon import BIN, until
from forwarding import ApiServer, kubeconfig, pod, service
from observer import Observer, flow
from pki import Authority

TYCHO = os.path.join(BIN, 'tycho')
POD = ('kube-system', 'hubble-relay-abc', 4245)


@pytest.fixture(scope='module')
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp('pki'), 'cluster-ca')


@pytest.fixture(scope='module')
def relay():
    """Who answers on the pod's port."""
    with Observer(lines=[flow(i) for i in range(3000)]) as ob:
        ob.wait_seen(3000)
        yield ob


def address(ob):
    host, port = ob.tcp.rsplit(':', 1)
    return host, int(port)


@pytest.fixture
def api(authority, relay):
    with ApiServer(authority, ports={POD: address(relay)}) as s:
        yield s


def environment(**more):
    env = {k: v for k, v in os.environ.items() if not k.startswith(('TYCHO_SERVER', 'HUBBLE_', 'KUBE')) and not k.lower().endswith('_proxy')}
    return {**env, 'HOME': '/nonexistent', 'XDG_CONFIG_HOME': '/nonexistent', 'LC_ALL': 'C.UTF-8', **more}


def tycho(*words, env=None, port=0):
    p = subprocess.run([TYCHO, *words, '-P', '--port-forward-port', str(port)], timeout=120, capture_output=True, text=True,
                       env=environment(**(env or {})), stdin=subprocess.DEVNULL)
    return p.returncode, p.stdout, p.stderr


def observe(config, *words, **kw):
    return tycho('observe', *(words or ('--last', '5', '-o', 'json')), '--kubeconfig', config, **kw)


def asked_directly(relay, *words):
    return subprocess.run([TYCHO, 'observe', *words, '--server', relay.tcp], timeout=120, capture_output=True, text=True, check=True,
                          env=environment()).stdout


def refused(result, *sentences):
    """One line that says all this, nothing on stdout, and exit status 1."""
    code, out, err = result
    assert code == 1 and out == '' and err.count('\n') == 1, result
    for s in sentences:
        assert s in err, (s, err)


def test_flows_come_through_as_they_are(api, relay, tmp_path):
    config = kubeconfig(tmp_path / 'config', api)
    code, out, err = observe(config)
    assert (code, out) == (0, asked_directly(relay, '--last', '5', '-o', 'json')), err
    # and a second time, how whole that is
    assert api.asked == ['/api/v1/namespaces/kube-system/services/tycho-relay', '/api/v1/namespaces/kube-system/services/hubble-relay',
                         '/api/v1/namespaces/kube-system/pods?limit=500&labelSelector=k8s-app%3Dhubble-relay',
                         '/api/v1/namespaces/kube-system/pods/hubble-relay-abc/portforward?ports=4245'] + api.asked[3:4]


def test_every_command_that_asks_a_server_can(api, tmp_path):
    config = kubeconfig(tmp_path / 'config', api)
    for words in (['status'], ['list', 'nodes'], ['coverage'], ['map'], ['doctor']):
        code, out, err = tycho(*words, '--kubeconfig', config)
        assert code == 0 and out, (words, out, err)
    assert 'Healthcheck (via localhost:' in tycho('status', '--kubeconfig', config)[1]


@pytest.mark.parametrize('shred', [False, True])
def test_nothing_is_lost_or_changed_on_the_way(api, relay, tmp_path, shred):
    api.shred = shred
    words = ['--all', '-o', 'json']
    code, out, err = observe(kubeconfig(tmp_path / 'config', api), *words)
    direct = asked_directly(relay, *words)
    assert code == 0 and out == direct and out.count('\n') >= 3000, err
    if shred:  # each ping was answered with what it held (RFC 6455 5.5.3)
        until(lambda: hasattr(api, 'ponged'))
        assert api.ponged[:3] == [b'1', b'2', b'4']


def test_ours_is_asked_before_hubbles_and_ports_are_numbers_or_names(api, relay, tmp_path):
    api.services.append(service('tycho-relay', target=4245, ports=[{'name': 'metrics', 'port': 9, 'targetPort': 9},
                                                                    {'name': 'grpc', 'port': 80, 'targetPort': 777}]))
    api.pods.append(pod('tycho-relay-1', app='tycho-relay'))
    api.ports[('kube-system', 'tycho-relay-1', 777)] = address(relay)
    assert observe(kubeconfig(tmp_path / 'config', api))[0] == 0
    assert api.asked[-1].endswith('/tycho-relay-1/portforward?ports=777')


def test_a_pod_that_is_not_ready_is_not_asked(api, tmp_path):
    api.pods[:0] = [pod('a', ready='False'), pod('b', phase='Pending'), pod('c', deletionTimestamp='2026-01-01T00:00:00Z')]
    config = kubeconfig(tmp_path / 'config', api)
    assert observe(config)[0] == 0
    del api.pods[3]
    refused(observe(config), "no pod of service 'hubble-relay' is ready")
    api.pods[:] = [pod(port=0)]
    refused(observe(config), "no pod of service 'hubble-relay' has the port that it names")


def test_what_the_cluster_lacks_is_said(api, tmp_path):
    config = kubeconfig(tmp_path / 'config', api)
    refused(observe(config, '--last', '1', '--kube-namespace', 'elsewhere'), "context 'c'",
            "there is no service 'tycho-relay' or 'hubble-relay' in namespace 'elsewhere'")
    refused(observe(config, '--last', '1', '--kube-namespace', '../nodes'), "'../nodes' cannot be a namespace")
    refused(observe(config, '--last', '1', '--kube-context', 'other'), "there is no context 'other'")
    refused(observe(str(tmp_path / 'missing')), 'missing', 'No such file')
    refused(tycho('status'), "there is no kubeconfig ('/nonexistent/.kube/config'); give --kubeconfig")
    assert api.upgrades == 0


def test_what_the_server_refuses_is_said_in_its_words(api, tmp_path):
    config = kubeconfig(tmp_path / 'config', api)
    api.refuse = 403, 'pods "hubble-relay-abc" is forbidden: User "me" cannot create resource "pods/portforward"'
    refused(observe(config), 'status 403', 'cannot create resource "pods/portforward"')
    api.refuse = 404, 'pods "hubble-relay-abc" not found'
    refused(observe(config), 'status 404')
    api.tokens = ['right']
    refused(observe(config), 'status 401: Unauthorized')


def test_a_release_of_another_name_is_found_by_its_labels(api, tmp_path):
    config = kubeconfig(tmp_path / 'config', api)
    metrics, grpc = service('mine-metrics'), service('mine-relay', ports=[{'name': 'grpc', 'port': 443, 'targetPort': 'grpc'}])
    api.services, api.labelled, api.pods[0]['metadata']['labels'] = [], [metrics, grpc], {'k8s-app': 'mine-relay'}
    assert observe(config)[0] == 0
    api.pods[0]['status']['phase'] = 'Failed'
    refused(observe(config), "no pod of service 'mine-relay' is ready")
    api.labelled = None
    refused(observe(config), "there is no service 'tycho-relay' or 'hubble-relay' in namespace 'kube-system'")


def test_who_may_not_see_one_service_may_see_the_other(api, tmp_path):
    config = kubeconfig(tmp_path / 'config', api)
    api.hidden = ['tycho-relay']
    assert observe(config)[0] == 0
    api.hidden = ['tycho-relay', 'hubble-relay']
    refused(observe(config), 'status 403: services "tycho-relay" is forbidden')


@pytest.mark.parametrize('answer', [
    b'HTTP/1.1 101 Switching Protocols\r\n\r\n', b'HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: x\r\n\r\n', b'\r\n\r\n', b'SSH-2.0-x\r\n\r\n',
    b'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK', b'HTTP/1.1 101 ' + b'x' * 40000, b''], ids=range(7))
def test_what_is_no_such_answer_is_refused(api, tmp_path, answer):
    api.answer = answer or b'H'
    refused(observe(kubeconfig(tmp_path / 'config', api)))


def test_a_server_that_breaks_off_is_told(api, tmp_path):
    config = kubeconfig(tmp_path / 'config', api)
    api.said = 'error forwarding port 4245 to pod x: connection refused'
    code, out, err = observe(config)
    assert code == 1 and not out and "pod 'hubble-relay-abc': error forwarding port 4245 to pod x: connection refused" in err, err


def test_a_certificate_of_somebody_else_is_not_believed(api, tmp_path):
    other = Authority(tmp_path, 'other-ca')
    refused(observe(kubeconfig(tmp_path / 'config', api, cluster={'certificate-authority': other.cert})), 'certificate')
    assert not api.asked


def test_a_port_that_is_taken_is_said_before_anybody_is_asked(api, tmp_path):
    with socket.create_server(('127.0.0.1', 0)) as taken:
        port = taken.getsockname()[1]
        refused(observe(kubeconfig(tmp_path / 'config', api), port=port), '127.0.0.1:%d' % port, '--port-forward-port 0')
    assert not api.asked


# --- who we are ---------------------------------------------------------------------------------------------------


def test_tokens_and_certificates(api, authority, tmp_path):
    api.tokens = ['right']
    assert observe(kubeconfig(tmp_path / 'config', api, user={'token': 'right'}))[0] == 0
    (tmp_path / 'token').write_text('right\n')
    assert observe(kubeconfig(tmp_path / 'config', api, user={'tokenFile': 'token'}))[0] == 0
    refused(observe(kubeconfig(tmp_path / 'config', api, user={'token': 'wrong'})), 'status 401')
    api.tokens = 'certificate'
    cert, key = authority.issue('me')
    assert observe(kubeconfig(tmp_path / 'config', api, user={'client-certificate': cert, 'client-key': key}))[0] == 0
    refused(observe(kubeconfig(tmp_path / 'config', api)), 'status 401')


PLUGIN = '''#!/usr/bin/python3
import json, os, sys
said = %r
with open(os.environ['SEEN'], 'a') as f:
    f.write(json.dumps([sys.argv[1:], os.environ['KUBERNETES_EXEC_INFO'], sys.stdin.isatty()]) + '\\n')
n = sum(1 for _ in open(os.environ['SEEN']))
print(json.dumps({'kind': 'ExecCredential', 'apiVersion': 'client.authentication.k8s.io/v1', 'status': said[min(n, len(said)) - 1]}))
'''


def plugin(tmp_path, *said, **more):
    path, seen = tmp_path / 'bin' / 'login', tmp_path / 'seen'
    path.parent.mkdir(exist_ok=True)
    path.write_text(PLUGIN % (list(said),))
    path.chmod(0o755)
    seen.write_text('')
    return {'exec': {'apiVersion': 'client.authentication.k8s.io/v1', 'command': 'bin/login', 'args': ['get', 'it'], 'interactiveMode': 'IfAvailable',
                     'env': [{'name': 'SEEN', 'value': str(seen)}], **more}}


def seen(tmp_path):
    return [json.loads(x) for x in (tmp_path / 'seen').read_text().splitlines()]


def test_a_plugin_is_asked_for_a_token(api, tmp_path):
    api.tokens = ['right']
    config = kubeconfig(tmp_path / 'config', api, user=plugin(tmp_path, {'token': 'right'}))
    assert observe(config)[0] == 0
    (args, info, _), = seen(tmp_path)
    assert args == ['get', 'it']
    assert json.loads(info) == {'kind': 'ExecCredential', 'apiVersion': 'client.authentication.k8s.io/v1', 'spec': {'interactive': False}}


def test_a_plugin_is_told_of_the_cluster_if_it_wants_to_know(api, authority, tmp_path):
    import base64
    api.tokens = ['right']
    extension = [{'name': 'client.authentication.k8s.io/exec', 'extension': {'audience': 'a'}}, {'name': 'other', 'extension': 1}]
    config = kubeconfig(tmp_path / 'config', api, user=plugin(tmp_path, {'token': 'right'}, provideClusterInfo=True), cluster={'extensions': extension})
    assert observe(config)[0] == 0
    with open(authority.cert, 'rb') as f:
        ca = base64.b64encode(f.read()).decode()
    assert json.loads(seen(tmp_path)[0][1])['spec']['cluster'] == {'server': api.url, 'certificate-authority-data': ca, 'config': {'audience': 'a'}}


def test_a_plugin_may_give_a_certificate(api, authority, tmp_path):
    api.tokens = 'certificate'
    cert, key = authority.issue('mine')
    said = {'clientCertificateData': open(cert).read(), 'clientKeyData': open(key).read()}
    assert observe(kubeconfig(tmp_path / 'config', api, user=plugin(tmp_path, said)))[0] == 0


def test_a_plugin_is_asked_again_when_the_server_does_not_believe_it(api, tmp_path):
    api.tokens = ['second']
    config = kubeconfig(tmp_path / 'config', api, user=plugin(tmp_path, {'token': 'first'}, {'token': 'second'}))
    assert observe(config)[0] == 0
    assert len(seen(tmp_path)) == 2
    config = kubeconfig(tmp_path / 'config', api, user=plugin(tmp_path, {'token': 'first'}))
    refused(observe(config), 'status 401')
    assert len(seen(tmp_path)) == 2


def test_a_plugin_that_does_not_work_is_told(api, tmp_path):
    def says(user):
        return observe(kubeconfig(tmp_path / 'config', api, user=user))
    refused(says(plugin(tmp_path, {})), 'prints neither a token nor a certificate')
    refused(says(plugin(tmp_path, {'token': 'a', 'expirationTimestamp': 'soon'})), 'expirationTimestamp is no time')
    refused(says(plugin(tmp_path, {'token': 'a'}, apiVersion='client.authentication.k8s.io/v1beta1')), 'is no ExecCredential of')
    refused(says(plugin(tmp_path, {'token': 'a'}, apiVersion='client.authentication.k8s.io/v1alpha1')), 'v1 or v1beta1 is wanted')
    refused(says(plugin(tmp_path, {'token': 'a'}, interactiveMode='Always')), 'wants to ask somebody at a terminal')
    refused(says(plugin(tmp_path, {'token': 'a'}, command='false')), "'false' ended with status 1")
    refused(says(plugin(tmp_path, {'token': 'a'}, command='no-such-plugin', installHint='get it at example.org')),
            "there is no 'no-such-plugin': get it at example.org")
    refused(says(plugin(tmp_path, {'token': 'a'}, command='/usr/bin/yes')), 'prints more than 1048576 bytes')
    assert not api.asked


# --- where it is --------------------------------------------------------------------------------------------------


def test_several_files_are_one_and_the_first_counts(api, authority, tmp_path):
    api.tokens = ['right']
    first = kubeconfig(tmp_path / 'first', api, user={'token': 'right'}, context='mine', current=False)
    with ApiServer(authority, name='other') as other:
        second = kubeconfig(tmp_path / 'second', other, user={'token': 'wrong'}, context='mine')
        both = '%s:/nonexistent/file:%s' % (first, second)
        assert tycho('status', env={'KUBECONFIG': both})[0] == 0
        assert not other.asked and api.upgrades == 1
    home = tmp_path / 'home'
    (home / '.kube').mkdir(parents=True)
    kubeconfig(home / '.kube' / 'config', api, user={'token': 'right'})
    assert tycho('status', env={'HOME': str(home)})[0] == 0


def test_the_name_in_the_certificate_may_be_another(authority, relay, tmp_path):
    with ApiServer(authority, ports={POD: address(relay)}, san='DNS:api.example.test', name='named') as api:
        refused(observe(kubeconfig(tmp_path / 'config', api)), '127.0.0.1')
        assert observe(kubeconfig(tmp_path / 'config', api, cluster={'tls-server-name': 'api.example.test'}))[0] == 0
        assert set(api.hosts) == {'api.example.test:%d' % api.port}


class Proxy:
    """CONNECT, RFC 9110 9.3.6."""

    def __enter__(self):
        self.listener, self.asked = socket.create_server(('127.0.0.1', 0)), []
        self.url = 'http://127.0.0.1:%d' % self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *exc):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                s, _ = self.listener.accept()
                threading.Thread(target=self._serve, args=(s,), daemon=True).start()

    def _serve(self, s):
        head = b''
        while b'\r\n\r\n' not in head:
            head += s.recv(4096)
        self.asked.append(head.split(b' ')[1].decode())
        host, port = self.asked[-1].rsplit(':', 1)
        to = socket.create_connection((host, int(port)))
        s.sendall(b'HTTP/1.1 200 OK\r\n\r\n')

        def copy(a, b):
            with contextlib.suppress(OSError):
                while data := a.recv(65536):
                    b.sendall(data)
                b.shutdown(socket.SHUT_WR)
        threading.Thread(target=copy, args=(to, s), daemon=True).start()
        copy(s, to)


def test_a_proxy_is_gone_through_where_one_is_named(api, tmp_path):
    with Proxy() as proxy:
        assert observe(kubeconfig(tmp_path / 'config', api, cluster={'proxy-url': proxy.url}))[0] == 0
        assert set(proxy.asked) == {'127.0.0.1:%d' % api.port}
        count = len(proxy.asked)
        assert observe(kubeconfig(tmp_path / 'config', api), env={'https_proxy': proxy.url})[0] == 0
        assert len(proxy.asked) == 2 * count
        assert observe(kubeconfig(tmp_path / 'config', api), env={'https_proxy': proxy.url, 'no_proxy': '127.0.0.1'})[0] == 0
        assert len(proxy.asked) == 2 * count


def test_tls_to_the_relay_goes_through_too(api, authority, tmp_path):
    cert, key = authority.issue('relay', 'DNS:relay.example.test')
    with Observer('--tls-cert-file', cert, '--tls-key-file', key, lines=[flow(0)], listen=['127.0.0.1:0']) as ob:
        api.ports[POD] = address(ob)
        config = kubeconfig(tmp_path / 'config', api)
        words = ['status', '--kubeconfig', config, '--tls', '--tls-ca-cert-files', authority.cert]
        assert tycho(*words, '--tls-server-name', 'relay.example.test')[0] == 0
        assert tycho(*words)[0] == 1


# --- its life -----------------------------------------------------------------------------------------------------


def children(pid):
    with open('/proc/%d/task/%d/children' % (pid, pid)) as f:
        return [int(x) for x in f.read().split()]


def is_gone(pid):
    return not os.path.exists('/proc/%d' % pid)


@contextlib.contextmanager
def following(config):
    p = subprocess.Popen([TYCHO, 'observe', '-f', '--last', '2', '-P', '--port-forward-port', '0', '--kubeconfig', config], env=environment(),
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        assert p.stdout.readline() and p.stdout.readline()
        yield p
    finally:
        p.kill()
        p.wait()
        p.stdout.close()
        p.stderr.close()


def test_ctrl_c_ends_both_without_a_word(api, tmp_path):
    with following(kubeconfig(tmp_path / 'config', api)) as p:
        child, = children(p.pid)
        os.killpg(p.pid, signal.SIGINT)  # as the terminal does: to both
        assert (p.wait(60), p.stderr.read()) == (0, '')
        until(lambda: is_gone(child))


def test_whoever_is_killed_takes_it_along(api, tmp_path):
    with following(kubeconfig(tmp_path / 'config', api)) as p:
        child, = children(p.pid)
        p.kill()
        p.wait()
        until(lambda: is_gone(child))


def test_a_connection_that_breaks_ends_the_stream_with_a_sentence(api, tmp_path):
    with following(kubeconfig(tmp_path / 'config', api)) as p:
        api.drop()
        assert p.wait(60) == 1
        assert "the connection to pod 'hubble-relay-abc' broke" in p.stderr.read()


def test_by_itself_it_serves_many_and_finds_another_pod(api, relay, tmp_path):
    config = kubeconfig(tmp_path / 'config', api)
    r, w = os.pipe()
    p = subprocess.Popen([os.path.join(BIN, 'tycho-port-forward'), '--kubeconfig', config, '--port-forward-port', '0', '--ready-fd', str(w)],
                         env=environment(), pass_fds=(w,), stderr=subprocess.PIPE, text=True)
    try:
        os.close(w)
        with os.fdopen(r) as ready:
            word, server = ready.read().split()
        assert word == 'ready'

        def ask(_=None):
            return subprocess.run([TYCHO, 'observe', '--last', '3', '--server', server], timeout=120, capture_output=True, text=True, env=environment())
        assert ask().returncode == 0
        api.pods[:] = [pod('hubble-relay-def')]  # a rollout
        api.ports[('kube-system', 'hubble-relay-def', 4245)] = address(relay)
        running = [subprocess.Popen([TYCHO, 'observe', '--last', '3', '--server', server], stdout=subprocess.PIPE, env=environment()) for _ in range(8)]
        assert [(len(x.communicate(timeout=120)[0].splitlines()), x.returncode) for x in running] == [(3, 0)] * 8
        assert 'hubble-relay-def' in api.asked[-1]
        p.send_signal(signal.SIGTERM)
        assert (p.wait(60), p.stderr.read()) == (0, '')
    finally:
        p.kill()
        p.wait()
        p.stderr.close()
