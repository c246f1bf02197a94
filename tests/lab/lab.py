"""A small network of namespaces: two nodes, four pods, real servers, nftables as the policy engine.

                     tl-fabric   bridge br0
                      │                  │
        eth0 10.0.0.1 │                  │ eth0 10.0.0.2
     ┌─ tl-node1 ─────┴──────┐  ┌─ tl-node2 ──┴─────────┐
     │ observer, nft, routes │  │ observer, nft, routes │
     │  v-cart      v-db     │  │  v-web       v-dns    │
     └────┬──────────┬───────┘  └────┬───────────┬──────┘
     tl-cart       tl-db         tl-web        tl-dns
     10.0.1.10     10.0.1.20     10.0.2.10     10.0.2.53
     fd00:1::10    fd00:1::20    fd00:2::10    fd00:2::53

A Cluster has a third node with a pod (tl-node3, tl-api) and, on the fabric at 10.0.0.100, a namespace for a relay (tl-relay).

Nothing here leaves the machine: no namespace has a route out. Names begin with the lab's prefix, so that two labs can stand
side by side and a lab that was killed is removed by the next one of that name.
"""
import contextlib
import ctypes
import errno
import json
import os
import pickle
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get('TYCHO_BUILD', os.path.join(ROOT, 'build'))
BIN = os.path.join(BUILD, 'bin')
CLONE_NEWNET = 0x40000000
PATIENCE_S = 120  # for what must come; nothing here waits that long when it is well
_libc = ctypes.CDLL(None, use_errno=True)


def sh(*argv, check=True, **kw):
    """Runs a command given as words or as one line; returns its standard output."""
    words = argv[0].split() if len(argv) == 1 else list(argv)
    p = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **kw)
    if check and p.returncode != 0:
        raise RuntimeError('%s: exit %d: %s' % (' '.join(words), p.returncode, p.stderr.strip()))
    return p.stdout


class Process:
    """A child of ours that is ended, by pid, when it is closed."""

    def __init__(self, popen):
        self.popen = popen

    @property
    def pid(self):
        return self.popen.pid

    def stop(self, sig=signal.SIGTERM, timeout=PATIENCE_S):
        if self.popen.poll() is None:
            self.popen.send_signal(sig)
        try:
            return self.popen.wait(timeout)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()
            raise RuntimeError('process %d did not stop on signal %d' % (self.pid, sig))


class Forked:
    """The same for a function that runs in a forked child."""

    def __init__(self, pid):
        self.pid = pid

    def stop(self):
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, 0)


class Netns:
    def __init__(self, lab, short):
        self.lab, self.short = lab, short
        self.name = lab.prefix + short
        self.path = '/run/netns/' + self.name

    def sh(self, *argv, **kw):
        words = argv[0].split() if len(argv) == 1 else list(argv)
        return sh('ip', 'netns', 'exec', self.name, *words, **kw)

    def ip(self, line):
        return sh('ip', '-n', self.name, *line.split())

    def popen(self, argv, **kw):
        p = Process(subprocess.Popen(['ip', 'netns', 'exec', self.name] + argv, **kw))
        self.lab.children.append(p)
        return p

    def _enter(self):
        fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        if _libc.setns(fd, CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), 'setns ' + self.name)
        os.close(fd)

    def call(self, fn, *args):
        """fn(*args) in a child inside this namespace; returns what it returns, raises what it raises."""
        r, w = os.pipe()
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                try:
                    os.close(r)
                    self._enter()
                    result = (True, fn(*args))
                    code = 0
                except BaseException as e:  # noqa: B902: everything goes to the parent
                    result = (False, '%s: %s' % (type(e).__name__, e))
                with os.fdopen(w, 'wb') as out:
                    pickle.dump(result, out)
            finally:  # also if the parent is gone: nobody but it goes on from here
                os._exit(code)
        os.close(w)
        with os.fdopen(r, 'rb') as inp:
            data = inp.read()
        os.waitpid(pid, 0)
        good, value = pickle.loads(data) if data else (False, 'child died')
        if not good:
            raise RuntimeError('in %s: %s' % (self.name, value))
        return value

    def serve(self, fn, *args):
        """fn(ready, *args) in a child that goes on; returns when it has called ready()."""
        r, w = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                os.close(r)
                self._enter()
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
                fn(lambda: os.write(w, b'+'), *args)
            except BaseException as e:
                sys.stderr.write('server in %s: %s: %s\n' % (self.name, type(e).__name__, e))
            os._exit(0)
        os.close(w)
        child = Forked(pid)
        self.lab.children.append(child)
        got = os.read(r, 1)
        os.close(r)
        if got != b'+':
            raise RuntimeError('a server in %s did not start' % self.name)
        return child

    def mac(self, dev):
        return json.loads(self.ip_json('link show dev ' + dev))[0]['address']

    def ip_json(self, line):
        return sh('ip', '-n', self.name, '-j', *line.split())

    def inode(self):
        return os.stat(self.path).st_ino


class Pod(Netns):
    def __init__(self, lab, short, node, ip4, ip6):
        super().__init__(lab, short)
        self.node, self.ip4, self.ip6 = node, ip4, ip6
        self.host_dev = 'v-' + short


class Observer:
    """A tycho-observer inside a node's namespace, answering on a unix socket."""

    def __init__(self, node, folder, *options):
        self.node, self.folder = node, folder
        self.address = 'unix://' + os.path.join(folder, node.short + '.sock')
        self.state = os.path.join(folder, node.short + '.state')
        self.stderr_path = os.path.join(folder, node.short + '.log')
        self.options = list(options)
        self.process = None

    def start(self):
        r, w = os.pipe()
        with open(self.stderr_path, 'ab') as err:
            self.process = self.node.popen(
                [os.path.join(BIN, 'tycho-observer'), '--listen', self.address, '--node-name', self.node.short,
                 '--cluster', 'lab', '--state-dir', self.state, '--ready-fd', str(w)] + self.options,
                pass_fds=(w,), stderr=err, stdin=subprocess.DEVNULL)
        os.close(w)
        with os.fdopen(r) as ready:
            line = ready.readline()
        if not line.startswith('ready'):
            with open(self.stderr_path, errors='replace') as f:
                raise RuntimeError('observer did not start: ' + f.read())
        return self

    def stop(self, sig=signal.SIGTERM):
        code = self.process.stop(sig)
        self.process = None
        return code

    def tycho(self, *args, check=True):
        return sh(os.path.join(BIN, 'tycho'), *args, '--server', self.address, check=check)

    def flows(self, *filters):
        """Everything in the log that passes the filters, oldest first, as dicts."""
        most = [] if '--last' in filters or '--first' in filters else ['--all']
        out = self.tycho('observe', '-o', 'json', *most, *filters)
        return [json.loads(line)['flow'] for line in out.splitlines() if '"flow"' in line]

    def wait_for(self, enough, *filters, timeout=PATIENCE_S):
        """Asks until enough(flows) is true; flows are reported within tens of milliseconds, or with the interval."""
        end = time.monotonic() + timeout
        while True:
            flows = self.flows(*filters)
            if enough(flows):
                return flows
            if time.monotonic() > end:
                raise AssertionError('not seen within %ds; %d flows:\n%s' % (
                    timeout, len(flows), self.tycho('observe', '--all', *filters)))
            time.sleep(0.05)


class Lab:
    def __init__(self, prefix=None):
        self.prefix = prefix or os.environ.get('TYCHO_LAB_PREFIX', 'tl-')
        self.children = []
        self.folder = tempfile.mkdtemp(prefix='tycho-lab-')
        self.fabric = Netns(self, 'fabric')
        self.node1, self.node2 = Netns(self, 'node1'), Netns(self, 'node2')
        self.cart = Pod(self, 'cart', self.node1, '10.0.1.10', 'fd00:1::10')
        self.db = Pod(self, 'db', self.node1, '10.0.1.20', 'fd00:1::20')
        self.web = Pod(self, 'web', self.node2, '10.0.2.10', 'fd00:2::10')
        self.dns = Pod(self, 'dns', self.node2, '10.0.2.53', 'fd00:2::53')
        self.pods = [self.cart, self.db, self.web, self.dns]
        self.nodes = [self.node1, self.node2]
        self.guests = []  # further namespaces on the fabric, with their addresses

    # --- building -------------------------------------------------------------------------------------------

    def __enter__(self):
        self.remove()
        try:
            self._build()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *exc):
        self.close()

    def _build(self):
        for ns in [self.fabric] + self.nodes + self.pods + [ns for ns, _ in self.guests]:
            sh('ip', 'netns', 'add', ns.name)
            # no address duplicate detection, no router solicitations: nothing but what the tests send
            ns.sh('sysctl', '-qw', 'net.ipv6.conf.all.accept_dad=0', 'net.ipv6.conf.default.accept_dad=0',
                  'net.ipv6.conf.default.router_solicitations=0', 'net.ipv6.conf.default.accept_ra=0')
            ns.ip('link set lo up')
        self.fabric.ip('link add br0 type bridge mcast_snooping 0')
        self.fabric.ip('link set br0 up')
        for i, node in enumerate(self.nodes, 1):
            self._veth(node, 'eth0', self.fabric, 'f-node%d' % i)
            self.fabric.ip('link set f-node%d master br0' % i)
            node.ip('addr add 10.0.0.%d/24 dev eth0' % i)
            node.ip('addr add fd00::%d/64 dev eth0 nodad' % i)
            node.sh('sysctl', '-qw', 'net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1')
            for other in range(1, len(self.nodes) + 1):
                if other != i:
                    node.ip('route add 10.0.%d.0/24 via 10.0.0.%d' % (other, other))
                    node.ip('-6 route add fd00:%d::/64 via fd00::%d' % (other, other))
        for ns, ip4 in self.guests:
            self._veth(ns, 'eth0', self.fabric, 'f-' + ns.short)
            self.fabric.ip('link set f-%s master br0' % ns.short)
            ns.ip('addr add %s/24 dev eth0' % ip4)
        for pod in self.pods:
            self._veth(pod, 'eth0', pod.node, pod.host_dev)
            pod.ip('addr add %s/32 dev eth0' % pod.ip4)
            pod.ip('addr add %s/128 dev eth0 nodad' % pod.ip6)
            pod.node.ip('addr add 169.254.1.1/32 dev ' + pod.host_dev)
            pod.node.ip('addr add fe80::1/64 dev %s nodad' % pod.host_dev)
            pod.ip('route add 169.254.1.1 dev eth0')
            pod.ip('route add default via 169.254.1.1 dev eth0')
            pod.ip('-6 route add default via fe80::1 dev eth0')
            pod.node.ip('route add %s/32 dev %s' % (pod.ip4, pod.host_dev))
            pod.node.ip('-6 route add %s/128 dev %s' % (pod.ip6, pod.host_dev))

    def _veth(self, a, a_dev, b, b_dev):
        sh('ip', 'link', 'add', a_dev, 'netns', a.name, 'type', 'veth', 'peer', 'name', b_dev, 'netns', b.name)
        for ns, dev in ((a, a_dev), (b, b_dev)):
            # one packet on the wire is one packet in every count
            ns.sh('ethtool', '-K', dev, 'tso', 'off', 'gso', 'off', 'gro', 'off', 'tx', 'off', 'rx', 'off')
            ns.ip('link set %s up' % dev)

    def remove(self):
        """Deletes what a lab of this name left behind."""
        for line in sh('ip', 'netns', 'list').splitlines():
            name = line.split()[0]
            if name.startswith(self.prefix):
                sh('ip', 'netns', 'del', name)

    def close(self):
        for child in reversed(self.children):
            with contextlib.suppress(Exception):
                child.stop()
        self.children = []
        self.remove()
        for ns, _ in self.guests:
            sh('rm', '-rf', '/etc/netns/' + ns.name)
        sh('rm', '-rf', self.folder)

    # --- names and policies ----------------------------------------------------------------------------------

    def endpoints_file(self):
        """The endpoint table of the lab, for --endpoints."""
        path = os.path.join(self.folder, 'endpoints.yaml')
        lines = ['endpoints:']
        for n, pod in enumerate(self.pods):
            lines += ['- ips: [%s, "%s"]' % (pod.ip4, pod.ip6),
                      '  namespace: %s' % ('kube-system' if pod is self.dns else 'shop'),
                      '  pod: %s-0' % pod.short,
                      '  labels: [k8s:app=%s, k8s:tier=%s]' % (pod.short, 'back' if pod is self.db else 'front'),
                      '  workload: Deployment/%s' % pod.short,
                      '  identity: %d' % (4001 + n),
                      '  local: true']
        lines += ['services:', '- ip: %s' % self.dns.ip4, '  port: 53', '  name: dns', '  namespace: kube-system']
        with open(path + '.new', 'w') as f:
            f.write('\n'.join(lines) + '\n')
        os.rename(path + '.new', path)
        return path

    def nft(self, node, rules):
        """Replaces the node's forward rules; @rules are lines of a chain."""
        text = 'table inet lab {\nchain forward {\ntype filter hook forward priority 0; policy accept;\n%s\n}\n}\n' % rules
        sh('ip', 'netns', 'exec', node.name, 'nft', '-f', '-',
           input='add table inet lab\ndelete table inet lab\n' + text)

    def observer(self, node, *options):
        return Observer(node, self.folder, '--endpoints', self.endpoints_file(), *options)


class Relay:
    """A tycho-relay in the cluster's relay namespace, over the fabric to the nodes; it answers on a unix socket, too."""

    def __init__(self, cluster, *options):
        self.cluster, self.options = cluster, list(options)
        self.address = 'unix://' + os.path.join(cluster.folder, 'relay.sock')
        self.log_path = os.path.join(cluster.folder, 'relay.log')
        self.process = None

    def start(self):
        r, w = os.pipe()
        with open(self.log_path, 'ab') as err:
            self.process = self.cluster.relay_ns.popen(
                [os.path.join(BIN, 'tycho-relay'), '--listen', self.address, '--listen', '10.0.0.100:4245', '--insecure-listen',
                 '--node-name', 'relay', '--ready-fd', str(w)] + self.options,
                pass_fds=(w,), stderr=err, stdin=subprocess.DEVNULL)
        os.close(w)
        with os.fdopen(r) as ready:
            if not ready.readline().startswith('ready'):
                raise RuntimeError('relay did not start: ' + self.log())
        return self

    def log(self):
        with open(self.log_path, errors='replace') as f:
            return f.read()

    def stop(self, sig=signal.SIGTERM):
        code = self.process.stop(sig)
        self.process = None
        return code


class Cluster(Lab):
    """Three nodes and a place for a relay; observers answer on the fabric at port 4244."""

    def __init__(self, prefix=None):
        super().__init__(prefix)
        self.node3 = Netns(self, 'node3')
        self.api = Pod(self, 'api', self.node3, '10.0.3.10', 'fd00:3::10')
        self.nodes.append(self.node3)
        self.pods.append(self.api)
        self.relay_ns = Netns(self, 'relay')
        self.guests.append((self.relay_ns, '10.0.0.100'))

    def node_ip(self, node):
        return '10.0.0.%d' % (self.nodes.index(node) + 1)

    def observer(self, node, *options):
        return super().observer(node, '--listen', self.node_ip(node) + ':4244', '--insecure-listen', *options)

    def peer(self, node):
        return 'lab/%s=%s:4244' % (node.short, self.node_ip(node))

    def relay(self, *options):
        return Relay(self, *options)


class Names:
    """The relay's name service: a zone in a file, served in the relay's namespace."""

    A, AAAA, SRV = 1, 28, 33

    def __init__(self, cluster):
        self.path = os.path.join(cluster.folder, 'zone')
        folder = '/etc/netns/' + cluster.relay_ns.name
        os.makedirs(folder, exist_ok=True)
        with open(folder + '/resolv.conf', 'w') as f:  # ip netns exec puts it in place
            f.write('nameserver 127.0.0.53\noptions timeout:1 attempts:1\n')
        cluster.relay_ns.ip('addr add 127.0.0.53/32 dev lo')
        self.server = cluster.relay_ns.serve(zone_server, '127.0.0.53', self.path)

    def say(self, addresses=(), services=(), **hosts):
        zone = {('observers.test', self.A): [socket.inet_aton(a) for a in addresses],
                ('_grpc._tcp.observers.test', self.SRV): [struct.pack('>HHH', 0, 0, port) + dns_name(target)
                                                          for target, port in services]}
        zone.update({(h + '.test', self.A): [socket.inet_aton(a)] for h, a in hosts.items()})
        with open(self.path + '.new', 'wb') as f:
            pickle.dump(zone, f)
        os.rename(self.path + '.new', self.path)

    def be_silent(self):
        os.unlink(self.path)


# --- servers and clients, run inside namespaces ------------------------------------------------------------------


def _family(ip):
    return socket.AF_INET6 if ':' in ip else socket.AF_INET


def tcp_server(ready, ip, port):
    """Reads all that a client sends, then answers with as many bytes and closes."""
    s = socket.socket(_family(ip), socket.SOCK_STREAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind((ip, port))
    s.listen(64)
    ready()
    while True:
        c, _ = s.accept()
        total = 0
        while True:
            data = c.recv(65536)
            if not data:
                break
            total += len(data)
        c.sendall(b'y' * total)
        c.close()


def tcp_client(ip, port, payload_bytes, source_port=0):
    """One connection; returns (local port, bytes sent, bytes received)."""
    s = socket.socket(_family(ip), socket.SOCK_STREAM)
    s.settimeout(PATIENCE_S)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if source_port:
        s.bind(('', source_port))
    s.connect((ip, port))
    s.sendall(b'x' * payload_bytes)
    s.shutdown(socket.SHUT_WR)
    got = 0
    while True:
        data = s.recv(65536)
        if not data:
            break
        got += len(data)
    port_used = s.getsockname()[1]
    s.close()
    return port_used, payload_bytes, got


def tcp_refused(ip, port):
    """Connects where nobody listens: "refused" or "connected"."""
    with socket.socket(_family(ip), socket.SOCK_STREAM) as s:
        s.settimeout(PATIENCE_S)
        try:
            s.connect((ip, port))
            return 'connected', s.getsockname()[1]
        except ConnectionRefusedError:
            return 'refused', s.getsockname()[1]


def tcp_knock(ip, port):
    """One SYN, which is not said again: nobody waits for an answer. Returns the local port."""
    with socket.socket(_family(ip), socket.SOCK_STREAM) as s:
        s.setblocking(False)
        assert s.connect_ex((ip, port)) == errno.EINPROGRESS
        return s.getsockname()[1]


def udp_server(ready, ip, port):
    s = socket.socket(_family(ip), socket.SOCK_DGRAM)
    s.bind((ip, port))
    ready()
    while True:
        data, peer = s.recvfrom(65536)
        s.sendto(data, peer)


def udp_client(ip, port, sizes):
    """One datagram after the other, each answered; returns the local port."""
    s = socket.socket(_family(ip), socket.SOCK_DGRAM)
    s.settimeout(PATIENCE_S)
    s.connect((ip, port))
    for n in sizes:
        s.send(b'z' * n)
        assert len(s.recv(65536)) == n
    return s.getsockname()[1]


def udp_sink(ready, ip, port):
    """Takes datagrams and says nothing."""
    s = socket.socket(_family(ip), socket.SOCK_DGRAM)
    s.bind((ip, port))
    ready()
    while True:
        s.recv(65536)


def udp_send(ip, port, sizes):
    """Datagrams that nobody answers."""
    s = socket.socket(_family(ip), socket.SOCK_DGRAM)
    s.connect((ip, port))
    for n in sizes:
        with contextlib.suppress(ConnectionRefusedError):
            s.send(b'z' * n)
    return s.getsockname()[1]


def http_server(ready, ip, port):
    import http.server

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = b'hello from the lab\n'
            self.send_response(200)
            self.send_header('Content-Length', str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer((ip, port), Handler)
    ready()
    server.serve_forever()


def dns_name(name):
    return b''.join(bytes([len(x)]) + x.encode() for x in name.split('.') if x) + b'\0'


def zone_answer(zone, query):
    """The answer from @zone {(name, type): [rdata]}; a name with other types only has none of these (RFC 2308)."""
    ident, = struct.unpack('>H', query[:2])
    at, labels = 12, []
    while query[at]:
        labels.append(query[at + 1:at + 1 + query[at]].decode().lower())
        at += 1 + query[at]
    question = query[12:at + 5]
    name, qtype = '.'.join(labels), struct.unpack('>H', query[at + 1:at + 3])[0]
    data = zone.get((name, qtype), [])
    known = any(n == name for n, _ in zone)
    head = struct.pack('>6H', ident, 0x8180 if known else 0x8183, 1, len(data), 0, 0)
    return head + question + b''.join(struct.pack('>HHHIH', 0xc00c, qtype, 1, 0, len(d)) + d for d in data)


def zone_server(ready, ip, path):
    """A name server (UDP) whose zone is the pickled file @path, read anew for each question; without it, silence."""
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind((ip, 53))
    ready()
    while True:
        query, peer = s.recvfrom(4096)
        with contextlib.suppress(FileNotFoundError):
            with open(path, 'rb') as f:
                s.sendto(zone_answer(pickle.load(f), query), peer)


def dns_server(ready, ip, port, names):
    """Answers A questions from @names {name: ip}, everything else with NXDOMAIN; UDP and TCP (RFC 1035, 7766)."""
    import threading

    def answer(query):
        ident, = struct.unpack('>H', query[:2])
        at, labels = 12, []
        while query[at]:
            labels.append(query[at + 1:at + 1 + query[at]].decode())
            at += 1 + query[at]
        question = query[12:at + 5]
        qtype, = struct.unpack('>H', query[at + 1:at + 3])
        addr = names.get('.'.join(labels))
        if addr is None:
            return struct.pack('>6H', ident, 0x8183, 1, 0, 0, 0) + question
        if qtype != 1:
            return struct.pack('>6H', ident, 0x8180, 1, 0, 0, 0) + question
        record = struct.pack('>HHHIH', 0xc00c, 1, 1, 300, 4) + socket.inet_aton(addr)
        return struct.pack('>6H', ident, 0x8180, 1, 1, 0, 0) + question + record

    def serve_tcp(s):
        while True:
            c, _ = s.accept()
            n, = struct.unpack('>H', c.recv(2))
            reply = answer(c.recv(n))
            c.sendall(struct.pack('>H', len(reply)) + reply)
            c.close()

    tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    tcp.bind((ip, port))
    tcp.listen(8)
    threading.Thread(target=serve_tcp, args=(tcp,), daemon=True).start()
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind((ip, port))
    ready()
    while True:
        query, peer = udp.recvfrom(4096)
        udp.sendto(answer(query), peer)


def dns_question(name, ident=0x7463):
    labels = b''.join(bytes([len(x)]) + x.encode() for x in name.split('.'))
    return struct.pack('>6H', ident, 0x0100, 1, 0, 0, 0) + labels + b'\0' + struct.pack('>HH', 1, 1)


def dns_client(server, name, tcp=False):
    """Asks for an A record; returns (local port, response code)."""
    query = dns_question(name)
    s = socket.socket(socket.AF_INET, socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM)
    s.settimeout(PATIENCE_S)
    s.connect((server, 53))
    if tcp:
        s.sendall(struct.pack('>H', len(query)) + query)
        n, = struct.unpack('>H', s.recv(2))
        reply = s.recv(n)
    else:
        s.send(query)
        reply = s.recv(4096)
    port = s.getsockname()[1]
    s.close()
    return port, struct.unpack('>H', reply[2:4])[0] & 15


# --- an independent witness ----------------------------------------------------------------------------------------


class Witness:
    """Counts what really passes an interface, with a packet socket: the other opinion that tests compare with."""

    ETH_P_ALL = 3

    def __init__(self, ns, dev):
        self.ns, self.dev = ns, dev
        fd, self.result = tempfile.mkstemp(dir=ns.lab.folder)
        os.close(fd)
        # Children forked later inherit these ends, so a byte says stop, not the end of the pipe.
        self.stop_r, self.stop_w = os.pipe()
        ready_r, ready_w = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                ns._enter()
                self._watch(ready_w)
            finally:
                os._exit(0)
        os.close(self.stop_r)
        os.close(ready_w)
        if os.read(ready_r, 1) != b'+':
            raise RuntimeError('witness on %s did not start' % dev)
        os.close(ready_r)

    def _watch(self, ready):
        import select
        s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(self.ETH_P_ALL))
        s.setsockopt(socket.SOL_SOCKET, 33, 1 << 26)  # SO_RCVBUFFORCE
        s.bind((self.dev, self.ETH_P_ALL))
        os.write(ready, b'+')
        seen, stopping = {}, False
        while True:
            ready_fds, _, _ = select.select([s] + ([] if stopping else [self.stop_r]), [], [], 0 if stopping else None)
            if s in ready_fds:
                data, addr = s.recvfrom(65536)
                outgoing = addr[2] == 4  # PACKET_OUTGOING: leaves the node by this interface
                key = (outgoing,) + five_tuple(data)
                packets, size = seen.get(key, (0, 0))
                seen[key] = (packets + 1, size + len(data))
            elif stopping:
                break
            if self.stop_r in ready_fds:
                stopping = True
        with open(self.result, 'wb') as out:
            pickle.dump(seen, out)

    def stop(self):
        """{(outgoing, proto, src, sport, dst, dport): (packets, bytes)}"""
        os.write(self.stop_w, b'.')
        os.close(self.stop_w)
        os.waitpid(self.pid, 0)
        with open(self.result, 'rb') as inp:
            return pickle.load(inp)


def five_tuple(frame):
    """(protocol number or None, source, port, destination, port) of an Ethernet frame."""
    ethertype, = struct.unpack('>H', frame[12:14])
    if ethertype == 0x0800:
        ihl, proto = (frame[14] & 15) * 4, frame[23]
        src, dst = socket.inet_ntoa(frame[26:30]), socket.inet_ntoa(frame[30:34])
        l4 = frame[14 + ihl:]
    elif ethertype == 0x86dd:
        proto = frame[20]
        src, dst = (socket.inet_ntop(socket.AF_INET6, frame[i:i + 16]) for i in (22, 38))
        l4 = frame[54:]
    else:
        return None, '', 0, '', 0
    if proto in (6, 17, 132) and len(l4) >= 4:
        sport, dport = struct.unpack('>HH', l4[:4])
        return proto, src, sport, dst, dport
    return proto, src, 0, dst, 0
