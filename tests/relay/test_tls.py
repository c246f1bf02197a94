"""TLS on both sides: to each peer under its own name, and to clients; mutual, and read again when it changes."""
import os
import signal
import subprocess

import pytest

import wire
from cluster import CONNECTED, UNAVAILABLE, Node, Relay, of, split
from daemon import until
from observer import tycho

NAMES = {'a': 'a.default.hubble-grpc.cilium.io', 'b': 'b.default.hubble-grpc.cilium.io'}


class Authority:
    """A certificate authority in a folder, made with the openssl command."""

    def __init__(self, folder, name):
        self.folder, self.name = folder, name
        self.cert = self.path(name + '.crt')
        self._key(name)
        self._openssl('req', '-x509', '-new', '-key', self.path(name + '.key'), '-out', self.cert, '-days', '2',
                      '-subj', '/CN=' + name)

    def path(self, name):
        return os.path.join(str(self.folder), name)

    def _openssl(self, *argv):
        subprocess.run(['openssl', *argv], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=60)

    def _key(self, name):
        self._openssl('genpkey', '-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256', '-out', self.path(name + '.key'))

    def issue(self, name, *dns):
        """(certificate, key), for these DNS names."""
        self._key(name)
        with open(self.path(name + '.ext'), 'w') as f:
            f.write('subjectAltName=' + ','.join('DNS:' + d for d in dns) + '\n')
        self._openssl('req', '-new', '-key', self.path(name + '.key'), '-out', self.path(name + '.csr'), '-subj', '/CN=' + name)
        self._openssl('x509', '-req', '-in', self.path(name + '.csr'), '-CA', self.cert, '-CAkey',
                      self.path(self.name + '.key'), '-CAcreateserial', '-out', self.path(name + '.crt'), '-days', '2',
                      '-extfile', self.path(name + '.ext'))
        return self.path(name + '.crt'), self.path(name + '.key')


@pytest.fixture(scope='module')
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp('ca'), 'authority')


@pytest.fixture
def nodes(authority):
    """Two nodes that demand a client certificate of our authority, each with a certificate of its own name."""
    made = {}
    for name, dns in NAMES.items():
        cert, key = authority.issue('node-' + name, dns)
        made[name] = Node(name, '--tls-cert-file', cert, '--tls-key-file', key, '--tls-client-ca-file', authority.cert,
                          lines=[of(name, i) for i in range(3)], listen=['127.0.0.1:0'])
    with made['a'] as a, made['b'] as b:
        yield a, b


def peer(node, name=None):
    return '%s=%s,%s' % (node.name, node.tcp, name or NAMES[node.name])


def to_peers(authority):
    cert, key = authority.issue('relay-client', 'relay.hubble-relay.cilium.io')
    return ['--peer-ca-file', authority.cert, '--peer-cert-file', cert, '--peer-key-file', key]


def test_peers_are_called_under_their_own_names_with_our_certificate(authority, nodes):
    a, b = nodes
    with Relay(*to_peers(authority), peers=[peer(a), peer(b)]) as relay:
        relay.wait_states(a=CONNECTED, b=CONNECTED)
        listed = relay.nodes()
        assert {n: (x.tls.enabled, x.tls.server_name) for n, x in listed.items()} == {
            n: (True, NAMES[n]) for n in NAMES}
        with relay.client() as client:
            flows, _ = split(client.GetFlows(number=wire.ALL, first=True))
    assert flows == ['a-0', 'b-0', 'a-1', 'b-1', 'a-2', 'b-2']


def test_an_observer_that_tells_of_itself_is_called_by_the_name_it_tells(authority):
    cert, key = authority.issue('all-of-lab', '*.lab.hubble-grpc.cilium.io')
    with Node('n.one', '--cluster', 'lab', '--tls-cert-file', cert, '--tls-key-file', key, '--tls-client-ca-file',
              authority.cert, lines=[of('n.one', 0)]) as node:
        with Relay(*to_peers(authority), '--peer-service', node.socket) as relay:
            until(lambda: [n.state for n in relay.nodes().values()] == [CONNECTED], fault=relay.log)
            listed = relay.nodes()['lab/n.one']
            assert (listed.address, listed.tls.server_name) == (node.tcp, 'n-one.lab.hubble-grpc.cilium.io')
            with relay.client() as client:
                assert split(client.GetFlows(number=1)) == (['n.one-0'], [(CONNECTED, ['lab/n.one'], '')])


def test_a_peer_of_another_name_is_unavailable(authority, nodes):
    a, b = nodes
    with Relay(*to_peers(authority), peers=[peer(a), peer(b, NAMES['a'])]) as relay:
        relay.wait_states(a=CONNECTED, b=UNAVAILABLE)


def test_a_peer_of_another_authority_is_unavailable(authority, nodes, tmp_path):
    a, _ = nodes
    other = Authority(tmp_path, 'other')
    with Relay(*to_peers(authority)[2:], '--peer-ca-file', other.cert, peers=[peer(a)]) as relay:
        relay.wait_states(a=UNAVAILABLE)


@pytest.mark.parametrize('is_told', [True, False])
def test_a_new_certificate_is_used_for_the_next_connection(authority, nodes, tmp_path, is_told):
    a, _ = nodes
    other = Authority(tmp_path, 'other')
    cert, key = other.issue('stranger', 'relay.hubble-relay.cilium.io')
    with Relay('--peer-ca-file', authority.cert, '--peer-cert-file', cert, '--peer-key-file', key,
               '--peer-interval', '1h' if is_told else '1s', peers=[peer(a)]) as relay:
        relay.wait_states(a=UNAVAILABLE)
        ours = authority.issue('successor', 'relay.hubble-relay.cilium.io')
        for new, old in zip(ours, (cert, key)):
            os.replace(new, old)
        if is_told:  # else it looks itself, each time that it is the peer's turn
            relay.process.send_signal(signal.SIGHUP)
        relay.wait_states(a=CONNECTED)


def test_clients_are_served_with_mutual_tls(authority, tmp_path):
    cert, key = authority.issue('relay-server', 'relay.test')
    client_cert, client_key = authority.issue('client', 'client.test')
    with Node('a', lines=[of('a', 0)]) as a:
        with Relay('--tls-cert-file', cert, '--tls-key-file', key, '--tls-client-ca-file', authority.cert,
                   peers=[a.peer]) as relay:
            flags = ['--server', relay.address, '--tls', '--tls-ca-cert-files', authority.cert,
                     '--tls-server-name', 'relay.test']
            mine = ['--tls-client-cert-file', client_cert, '--tls-client-key-file', client_key]
            assert '"uuid":"a-0"' in tycho(*flags, *mine, 'observe', '--last', '1', '-o', 'json', check=0).stdout
            assert tycho(*flags, 'observe', '--last', '1').returncode == 1
            with relay.client() as plain:
                assert wire.status_of(lambda: plain.ServerStatus())[0] == 'UNAVAILABLE'
