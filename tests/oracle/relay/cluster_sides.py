"""A cluster of observers of both kinds, a peer service that tells of them, and a relay of each kind in front of them."""
import contextlib
import json
import os
import signal
import socket
import sys
import tempfile
import threading

import grpc

HERE = os.path.dirname(os.path.abspath(__file__))
ORACLE = os.path.dirname(HERE)
sys.path[:0] = [os.path.join(ORACLE, 'server'), *(os.path.join(os.path.dirname(ORACLE), x) for x in ('relay', 'api'))]

from cluster import Impostor, Relay as OurRelay  # noqa: E402
from daemon import Daemon, until  # noqa: E402
from sides import Hubble, Ours, wire  # noqa: E402

RELAY_NAME = 'the-relay'


def free_port(host):
    with socket.socket() as s:
        s.bind((host, 0))
        return s.getsockname()[1]


class HubbleRelay(Daemon):
    program = 'relay'
    env = {'K8S_NODE_NAME': RELAY_NAME}

    def __init__(self, program, peer_service, drain='1s', tls=()):
        super().__init__()
        self.binary = program
        self.options = ['--gops=false', '--peer-service=' + peer_service, '--disable-server-tls', '--retry-timeout=200ms',
                        '--sort-buffer-drain-timeout=' + drain, *(tls or ['--disable-client-tls'])]

    def argv(self):
        return [self.binary, '--listen-address=127.0.0.1:%d' % free_port('127.0.0.1'),
                '--health-listen-address=127.0.0.1:%d' % free_port('127.0.0.1')] + self.options

    def stop(self, sig=signal.SIGKILL):
        """It has no other end: its health service goes on serving."""
        return super().stop(sig)

    def client(self, **kw):
        return wire.Client(self.addresses[0], **kw)


def relay(program, peer_service, drain='1s', tls=(), our_tls=()):
    if os.path.basename(program) == 'tycho-relay':
        r = OurRelay('--peer-service', peer_service, '--node-name', RELAY_NAME, *our_tls, drain=drain)
        argv = r.argv
        r.argv = lambda: [program] + argv()[1:]
        return r
    return HubbleRelay(program, peer_service, drain, tls)


class PeerService:
    """In the place of the reference's, which tells of other nodes where ours tells of itself. Who asks anew hears all of it again."""
    TYPES = {'add': 1, 'delete': 2, 'update': 3}

    def __init__(self, port, has_tls=False):
        self.port, self.has_tls, self.said, self.more = port, has_tls, [], threading.Condition()
        self.folder = tempfile.TemporaryDirectory()
        self.impostor = Impostor(self.answer, listen='unix://%s/s.sock' % self.folder.name)  # plain, also where nodes have TLS
        self.address = self.impostor.address

    def __enter__(self):
        self.impostor.__enter__()
        return self

    def __exit__(self, *exc):
        with self.more:
            self.impostor.stopping.set()
            self.more.notify_all()
        self.impostor.__exit__(*exc)
        self.folder.cleanup()

    def answer(self, path, request, context):
        at = 0
        while path == '/peer.Peer/Notify':
            with self.more:
                self.more.wait_for(lambda: self.impostor.stopping.is_set() or len(self.said) > at)
                if self.impostor.stopping.is_set():
                    return
                notification, at = self.said[at], at + 1
            yield notification.SerializeToString()
        context.abort(grpc.StatusCode.UNIMPLEMENTED, 'nothing else')

    def say(self, **fields):
        with self.more:
            self.said.append(wire.message('peer.ChangeNotification')(**fields))
            self.more.notify_all()

    def give(self, lines):
        """As Hubble's: peer commands."""
        for line in lines:
            c = json.loads(line)['peer']
            tls = {'tls': {'server_name': tls_name(c['name'])}} if self.has_tls else {}
            self.say(name=c['name'], address='%s:%d' % (c['ip'], self.port) if c['ip'] else '', type=self.TYPES[c['do']], **tls)


def tls_name(node):
    """What Hubble's peer service says that a node's certificate has."""
    return node + '.default.hubble-grpc.cilium.io'


class Cluster:
    """with Cluster(args, rng) as c: c.nodes by name, c.ours and c.theirs relays that know them all.

    @authority: mutual TLS between relays and nodes; names in @misnamed have a certificate of another name.
    """

    def __init__(self, args, rng, size=None, drain='1s', capacity=4095, authority=None, misnamed=()):
        self.authority, self.misnamed = authority, misnamed
        self.args, self.rng, self.drain, self.capacity = args, rng, drain, capacity
        self.size = size or rng.randrange(1, 6)
        self.stack = contextlib.ExitStack()
        self.nodes, self.ips = {}, {}
        self.host = '127.%d.%d.' % (rng.randrange(2, 250), rng.randrange(250))

    def node(self, name):
        """A node of one kind or the other, whose address is its own in all its life."""
        ip = self.ips.setdefault(name, self.host + str(len(self.ips) + 1))
        address = '%s:%d' % (ip, self.port)
        program = self.rng.choice([self.args.bin, self.args.server])
        kw, tls = {'capacity': self.capacity, 'node': name}, []
        if self.authority:
            cert, key = self.authority.issue(name, san='DNS:' + tls_name('other' if name in self.misnamed else name))
            tls = ['--tls-cert-file', cert, '--tls-key-file', key, '--tls-client-ca-file', self.authority.cert]
        if os.path.basename(program) == 'tycho-observer':
            node = Ours(*tls, binary=program, **kw)
            node.listen = [node.socket, address]
            return node
        return Hubble(program, *tls, listen=address, **kw)

    def __enter__(self):
        self.port = free_port(self.host + '1')
        names = ['n%d' % (i + 1) for i in range(self.size)]
        made = {name: self.node(name) for name in names}
        for name, n in made.items():
            self.nodes[name] = self.stack.enter_context(n)
        if os.path.basename(self.args.server) == 'tycho-observer':
            service = PeerService(self.port, bool(self.authority))
        else:
            service = Hubble(self.args.server, '--peer-port', str(self.port), *['--peer-tls'] * bool(self.authority))
        self.service = self.stack.enter_context(service)
        for name in names:
            self.tell('add', name)
        theirs, ours = [], []
        if self.authority:
            cert, key = self.authority.issue('relay')
            theirs = ['--tls-hubble-server-ca-files=' + self.authority.cert, '--tls-hubble-client-cert-file=' + cert,
                      '--tls-hubble-client-key-file=' + key]
            ours = ['--peer-ca-file', self.authority.cert, '--peer-cert-file', cert, '--peer-key-file', key]
        for program, name in ((self.args.relay, 'ours'), (self.args.reference, 'theirs')):
            setattr(self, name, self.stack.enter_context(relay(program, self.service.address, self.drain, theirs, ours)))
        self.wait_known(self.misnamed)
        return self

    def __exit__(self, *exc):
        return self.stack.__exit__(*exc)

    def tell(self, do, name, ip=None):
        """A change of the list of peers."""
        command = {'do': do, 'name': name, 'ip': ip or self.ips.get(name, '')}
        self.service.give([json.dumps({'peer': command})])

    def wait_known(self, dead=()):
        """Until both relays know all nodes and no others, and say of the living, and only of them, that they are connected."""
        living = {name: name not in dead for name in self.nodes}

        def are_known():
            for r in (self.ours, self.theirs):
                with r.client() as c:
                    if {n.name: n.state == 1 for n in c.GetNodes().nodes} != living:
                        return False
            return True
        until(are_known, fault=lambda: self.ours.log() + self.theirs.log())


__all__ = ['Cluster', 'until', 'wire']
