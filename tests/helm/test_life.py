"""Observer, relay and page with the options, certificates, secrets and rights of the chart, in a network of their own.

What Kubernetes would do is done by hand: folders for volumes, the service's name in /etc/hosts, capabilities, a read-only root."""
import base64
import contextlib
import ctypes
import http.client
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import urllib.parse

import pytest

from chart import BIN, Case, render, values

NODE = '10.77.0.1'
# linux/capability.h, linux/prctl.h
CAPABILITIES = {'NET_ADMIN': 12, 'PERFMON': 38, 'BPF': 39}
PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 24, 38
libc = ctypes.CDLL(None, use_errno=True)


class Place:
    """A network and mount namespace: loopback, a device that leads nowhere, a read-only root without bpffs and tracefs."""

    def __init__(self, folder, hosts):
        self.folder = str(folder)
        path = os.path.join(self.folder, 'hosts')
        with open(path, 'w') as f:
            f.write('127.0.0.1 localhost\n' + ''.join('%s %s\n' % (NODE, h) for h in hosts))
        script = '''set -e
            ip link set lo up
            echo 0 >/proc/sys/net/ipv4/ip_unprivileged_port_start
            ip link add v0 type veth peer name v1
            ip addr add %s/24 dev v0; ip link set v0 up; ip link set v1 up
            ip neigh add 10.77.0.2 lladdr 02:00:00:00:00:02 dev v0
            mount -t sysfs -o ro sysfs /sys
            mount --bind "%s" /etc/hosts
            mount --bind "%s" "%s"
            mount -o remount,bind,ro /
            echo up; read end''' % (NODE, path, self.folder, self.folder)
        self.holder = subprocess.Popen(['unshare', '-m', '-n', '--propagation', 'private', 'sh', '-c', script], stdin=subprocess.PIPE,
                                       stdout=subprocess.PIPE, text=True)
        assert self.holder.stdout.readline() == 'up\n'
        self.started = []

    def argv(self, words):
        return ['nsenter', '-t', str(self.holder.pid), '-m', '-n', '--', *words]

    def run(self, *words):
        return subprocess.run(self.argv(words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60)

    def start(self, container, paths, env=(), rights=None):
        """A container's command and options, with its paths in our folder; until it serves."""
        words = [os.path.join(BIN, container['command'][0])] + container['args']
        for old, new in paths.items():
            words = [w.replace(old, new) for w in words]
        words = [re.sub(r'\$\((\w+)\)', lambda m: dict(env)[m.group(1)], w) for w in words]
        r, w = os.pipe()
        log = open(os.path.join(self.folder, container['name'] + '.log'), 'wb')

        def limit():  # as root, exec gives what the bounding set leaves
            if rights is not None:
                for cap in range(64):
                    if cap not in rights:
                        libc.prctl(PR_CAPBSET_DROP, cap, 0, 0, 0)
                libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)

        inner = [*words, '--ready-fd', str(w)]
        pid = os.fork()
        if pid == 0:
            try:
                for kind in ('mnt', 'net'):
                    fd = os.open('/proc/%d/ns/%s' % (self.holder.pid, kind), os.O_RDONLY)
                    if libc.setns(fd, 0) != 0:
                        os._exit(126)
                os.chdir('/')
                os.set_inheritable(w, True)
                os.dup2(log.fileno(), 2)
                limit()
                os.execv(inner[0], inner)
            finally:
                os._exit(127)
        os.close(w)
        log.close()
        self.started.append(pid)
        with os.fdopen(r) as ready:
            line = ready.readline()
        assert line.startswith('ready '), self.log(container['name'])
        return pid

    def log(self, name):
        with open(os.path.join(self.folder, name + '.log'), errors='replace') as f:
            return f.read()

    def stop(self):
        """Ends the programs; their exit codes."""
        codes = []
        while self.started:
            pid = self.started.pop()
            os.kill(pid, signal.SIGTERM)
            codes.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        return codes

    def close(self):
        self.stop()
        self.holder.communicate('\n', timeout=20)


def write(folder, data):
    os.makedirs(folder, exist_ok=True)
    for name, text in data.items():
        with open(os.path.join(folder, name), 'wb') as f:
            f.write(text)
        os.chmod(os.path.join(folder, name), 0o400)


def volumes(case, pod, folder):
    """Fills folders as the kubelet would, and says which path is where: {path in the container: path here}."""
    paths = {}
    for mount in pod['containers'][0]['volumeMounts']:
        volume, = [v for v in pod['volumes'] if v['name'] == mount['name']]
        here = os.path.join(folder, pod['containers'][0]['name'], mount['name'])
        os.makedirs(here)
        if 'secret' in volume:
            data = case.get('Secret', volume['secret']['secretName'])['data']
            wanted = {i['key'] for i in volume['secret'].get('items', [])} or set(data)
            write(here, {k: base64.b64decode(v) for k, v in data.items() if k in wanted})
        elif 'configMap' in volume:
            write(here, {k: v.encode() for k, v in case.get('ConfigMap', volume['configMap']['name'])['data'].items()})
        paths[mount['mountPath']] = here
    return paths


def pod_of(case, kind, name):
    return case.get(kind, name)['spec']['template']['spec']


@pytest.fixture
def installed(tmp_path):
    """The chart's default but for the API server, with the page; ports of services are those of the pods here."""
    case, = render([Case(values(kubernetes__enabled=False, cluster__name='east', observer__interfaces=['v0'], observer__interval='100ms',
                                hubble__ui__enabled=True, hubble__relay__listenPort=443, hubble__relay__peerInterval='1s', hubble__ui__login__user='ada',
                                prometheus__enabled=True))])
    assert case.error is None, case.error
    place = Place(tmp_path, ['tycho-peer.obs.svc.cluster.local', 'tycho-relay.obs.svc', 'tycho-ui.obs.svc'])
    pods = {'observer': pod_of(case, 'DaemonSet', 'tycho-observer'), 'relay': pod_of(case, 'Deployment', 'tycho-relay'),
            'ui': pod_of(case, 'Deployment', 'tycho-ui')}
    with contextlib.ExitStack() as stack:
        stack.callback(place.close)
        case.paths = {}
        for name, pod in pods.items():
            case.paths[name] = volumes(case, pod, str(tmp_path))
            container = pod['containers'][0]
            added = container['securityContext']['capabilities'].get('add', [])
            place.start(container, case.paths[name], env={'NODE_NAME': 'node-1'}, rights={CAPABILITIES[c] for c in added})
        case.place, case.pods, case.folder = place, pods, str(tmp_path)
        yield case


def client_of(case, secret, *words, server='tls://tycho-relay.obs.svc:443'):
    folder = os.path.join(case.folder, 'as-' + secret)
    if not os.path.exists(folder):
        write(folder, {k: base64.b64decode(v) for k, v in case.get('Secret', secret)['data'].items()})
    return case.place.argv([os.path.join(BIN, 'tycho'), *words, '--server', server, '--tls-ca-cert-files', folder + '/ca.crt',
                            '--tls-client-cert-file', folder + '/tls.crt', '--tls-client-key-file', folder + '/tls.key'])


def test_what_the_chart_says_runs_and_answers(installed):
    place = installed.place
    observer = installed.pods['observer']['containers'][0]

    # the observer: the rights of the chart are enough, and the probe says that it is well
    probe = observer['readinessProbe']['exec']['command']
    probe = [w.replace('/run/tycho', installed.paths['observer']['/run/tycho']) for w in probe]
    assert probe[0] == 'tycho'
    answer = place.run(os.path.join(BIN, 'tycho'), *probe[1:])
    assert answer.returncode == 0, answer.stderr
    status = open('/proc/%d/status' % place.started[0]).read()
    assert int(re.search(r'CapEff:\s*(\w+)', status).group(1), 16) == sum(1 << c for c in CAPABILITIES.values())
    assert re.search(r'NoNewPrivs:\s*1', status)
    assert place.run('touch', '/etc/x').returncode != 0  # the root is read-only
    assert place.run('ls', '/sys/fs/bpf', '/sys/kernel/tracing').stdout.split() == ['/sys/fs/bpf:', '/sys/kernel/tracing:']

    # a packet of the node, by way of the relay, to somebody with the client's certificate
    asker = client_of(installed, 'tycho-client-certs', 'observe', '--follow', '--since', '1h', '--protocol', 'udp', '--port', '4711', '-o', 'json')
    with socket_in(place) as s, subprocess.Popen(asker, stdout=subprocess.PIPE, text=True) as p:
        s.sendto(b'hello', ('10.77.0.2', 4711))
        flow = next(m['flow'] for m in map(json.loads, p.stdout) if 'flow' in m)
        p.kill()
    assert flow['node_name'] == 'east/node-1' and flow['IP']['destination'] == '10.77.0.2'

    # what Helm prints at the end: a command in the observer's container, and one on somebody's machine with the client's certificate
    said = installed.notes.replace('\\\n', '')
    env = ['%s=%s' % (v['name'], v['value'].replace('/run/tycho', installed.paths['observer']['/run/tycho'])) for v in observer['env'] if 'value' in v]
    words = re.search(r'exec daemonset/tycho-observer -- (tycho .*)', said).group(1).split()
    answer = place.run('env', '-i', *env, os.path.join(BIN, words[0]), *words[1:], '--port', '4711')
    assert answer.returncode == 0 and ':4711' in answer.stdout, answer.stderr
    # there is no API server here whose way to the relay it could take (tests/kubernetes/test_port_forward.py has one)
    words = re.search(r'tycho observe --verdict DROPPED --follow --port-forward --kube-namespace obs (--tls .*)', said).group(1).split()
    words += ['--server', NODE + ':443']
    words = [os.path.join(installed.folder, 'as-tycho-client-certs', w) if re.fullmatch(r'\w+\.(crt|key)', w) else w for w in words]
    answer = place.run(os.path.join(BIN, 'tycho'), 'observe', '--last', '1', '--port', '4711', *words)
    assert answer.returncode == 0 and ':4711' in answer.stdout, answer.stderr

    # who has another certificate of the same authority is not answered by observers
    direct = client_of(installed, 'tycho-client-certs', 'observe', '--last', '1', server='tls://tycho-peer.obs.svc.cluster.local:4244')
    direct = subprocess.run(direct, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60)
    assert direct.returncode == 1 and 'no rule of this server knows you' in direct.stderr
    bare = place.run(os.path.join(BIN, 'tycho'), 'observe', '--last', '1', '--server', 'tls://tycho-relay.obs.svc:443',
                     '--tls-ca-cert-files', os.path.join(installed.folder, 'as-tycho-client-certs', 'ca.crt'))
    assert bare.returncode == 1

    # the page, by the name and password that Helm has made
    secret = installed.get('Secret', 'tycho-ui-login')['data']
    form = urllib.parse.urlencode({'name': 'ada', 'password': base64.b64decode(secret['password']).decode()})
    trust = ssl.create_default_context(cadata=base64.b64decode(installed.get('Secret', 'tycho-ui-server-certs')['data']['ca.crt']).decode())
    probe = installed.pods['ui']['containers'][0]['readinessProbe']['httpGet']
    assert probe['scheme'] == 'HTTPS' and ask(place, trust, 'GET', probe['path'])[0] == 200
    assert ask(place, trust, 'GET', '/')[0] == 303
    headers = {'Origin': 'https://tycho-ui.obs.svc', 'Content-Type': 'application/x-www-form-urlencoded'}
    code, said = ask(place, trust, 'POST', '/login', form, headers)
    assert code == 303 and said['Location'] == '/' and '__Host-' in said['Set-Cookie']

    # metrics, where the service's port leads
    with in_network(place):
        metrics = http.client.HTTPConnection(NODE, observer['ports'][1]['containerPort'], timeout=30)
        metrics.request('GET', '/metrics')
        assert b'tycho_store_writing 1' in metrics.getresponse().read()
    assert place.stop() == [0, 0, 0]


@contextlib.contextmanager
def in_network(place):
    """This thread in the place's network: for sockets, which stay there."""
    own = os.open('/proc/thread-self/ns/net', os.O_RDONLY)
    fd = os.open('/proc/%d/ns/net' % place.holder.pid, os.O_RDONLY)
    assert libc.setns(fd, 0) == 0
    try:
        yield
    finally:
        assert libc.setns(own, 0) == 0
        os.close(fd)
        os.close(own)


@contextlib.contextmanager
def socket_in(place):
    with in_network(place):
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with s:
        yield s


def ask(place, trust, method, path, body=None, headers=None):
    with in_network(place):
        raw = socket.create_connection((NODE, 12000), 30)
    with contextlib.closing(http.client.HTTPSConnection('tycho-ui.obs.svc', timeout=30)) as c:
        c.sock = trust.wrap_socket(raw, server_hostname='tycho-ui.obs.svc')
        c.request(method, path, body, headers or {})
        r = c.getresponse()
        r.read()
        return r.status, r.headers
