"""TLS: who is let in, what is refused at the start, and certificates that change while the observer runs."""
import os
import shutil
import socket
import ssl
import subprocess

import grpc
import pytest

import pki
import wire
from observer import BIN, Observer, flow, tycho


@pytest.fixture(scope='module')
def made(tmp_path_factory):
    """Two authorities that do not know each other, and what they issued."""
    class Made:
        pass
    m = Made()
    m.ca = pki.Authority(tmp_path_factory.mktemp('ours'), 'ours')
    m.foreign = pki.Authority(tmp_path_factory.mktemp('theirs'), 'theirs')
    m.server = m.ca.issue('server')
    m.client = m.ca.issue('client', san='DNS:client')
    m.foreign_client = m.foreign.issue('client', san='DNS:client')
    m.expired = m.ca.issue('expired', expired=True)
    m.expired_client = m.ca.issue('expired-client', san='DNS:client', expired=True)
    m.wildcard = m.ca.issue('wildcard', san='DNS:*.lab.hubble-grpc.cilium.io')
    return m


def read(path):
    with open(path, 'rb') as f:
        return f.read()


def credentials(ca, client=None):
    return grpc.ssl_channel_credentials(read(ca), *(reversed([read(p) for p in client]) if client else ()))


def observer(server, *options, **kw):
    return Observer('--tls-cert-file', server[0], '--tls-key-file', server[1], *options, lines=[flow(0)], **kw)


def flows(ob, *args, name=None, **kw):
    options = [('grpc.ssl_target_name_override', name)] if name else []
    with ob.client(credentials=credentials(*args, **kw), options=options) as c:
        return len(c.flows())


def refused(call):
    status, _ = wire.status_of(call)
    return status == 'UNAVAILABLE'


# --- one side -----------------------------------------------------------------------------------------------------


def test_a_client_that_knows_the_authority_is_served(made):
    with observer(made.server) as ob:
        ob_wait(ob, made)
        assert flows(ob, made.ca.cert) == 1


def ob_wait(ob, made):
    """The flow is in the log: asked through the socket, which is plain text."""
    with wire.Client(ob.socket) as c:
        assert next(c.GetFlows(number=wire.ALL, follow=True)).flow.uuid == 'flow-0'


def test_who_does_not_know_the_authority_gets_nothing(made):
    with observer(made.server) as ob:
        assert refused(lambda: flows(ob, made.foreign.cert))
        assert refused(lambda: ob.client().flows())  # plain text to a TLS port
        ob_wait(ob, made)
        assert flows(ob, made.ca.cert) == 1


def test_the_name_must_be_one_of_the_certificate(made):
    with observer(made.wildcard) as ob:
        ob_wait(ob, made)
        assert flows(ob, made.ca.cert, name='n0.lab.hubble-grpc.cilium.io') == 1
        assert refused(lambda: flows(ob, made.ca.cert))
        assert refused(lambda: flows(ob, made.ca.cert, name='a.b.lab.hubble-grpc.cilium.io'))


@pytest.mark.parametrize('options, name', [
    ([], 'n0.default.hubble-grpc.cilium.io'),
    (['--cluster', 'default'], 'n0.default.hubble-grpc.cilium.io'),
    (['--cluster', 'lab'], 'n0.lab.hubble-grpc.cilium.io'),
    (['--cluster', 'eu.west', '--node-name', 'n0.rack-7.example'], 'n0-rack-7-example.eu-west.hubble-grpc.cilium.io')])
def test_peers_are_told_the_name_to_ask_for(made, options, name):
    """One label for the node, one for the cluster, so that a wildcard fits: hubble-api.md section 2."""
    with observer(made.server, *options) as ob:
        with wire.Client(ob.socket) as c:
            note = next(c.call('peer.Peer', 'Notify'))
            [node] = c.GetNodes().nodes
        assert note.tls.server_name == name
        assert node.tls.enabled and node.tls.server_name == name


@pytest.mark.filterwarnings('ignore:ssl.TLSVersion.TLSv1_1 is deprecated')
@pytest.mark.parametrize('version, ok', [(ssl.TLSVersion.TLSv1_1, False), (ssl.TLSVersion.TLSv1_2, True),
                                         (ssl.TLSVersion.TLSv1_3, True)])
def test_versions_of_tls(made, version, ok):
    context = ssl.create_default_context(cafile=made.ca.cert)
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.maximum_version = version
    context.set_ciphers('ALL:@SECLEVEL=0')
    context.set_alpn_protocols(['h2'])
    with observer(made.server) as ob:
        host, port = ob.tcp.split(':')
        with socket.create_connection((host, int(port)), 10) as raw:
            if not ok:
                with pytest.raises((ssl.SSLError, ConnectionError)):
                    context.wrap_socket(raw, server_hostname='localhost')
            else:
                with context.wrap_socket(raw, server_hostname='localhost') as s:
                    assert s.selected_alpn_protocol() == 'h2'


# --- both sides ---------------------------------------------------------------------------------------------------


def test_with_a_client_authority_only_its_clients_are_served(made):
    with observer(made.server, '--tls-client-ca-file', made.ca.cert) as ob:
        ob_wait(ob, made)
        assert flows(ob, made.ca.cert, client=made.client) == 1
        assert refused(lambda: flows(ob, made.ca.cert))
        assert refused(lambda: flows(ob, made.ca.cert, client=made.foreign_client))
        assert refused(lambda: flows(ob, made.ca.cert, client=made.expired_client))
        assert flows(ob, made.ca.cert, client=made.client) == 1


def test_several_client_authorities(made):
    with observer(made.server, '--tls-client-ca-file', made.ca.cert, '--tls-client-ca-file', made.foreign.cert) as ob:
        ob_wait(ob, made)
        assert flows(ob, made.ca.cert, client=made.client) == 1
        assert flows(ob, made.ca.cert, client=made.foreign_client) == 1


# --- the start ----------------------------------------------------------------------------------------------------


def start(made, *options):
    p = subprocess.run([BIN + '/tycho-observer', '--no-bpf', '--replay', '/dev/null', '--listen', '127.0.0.1:0',
                        '--state-dir', made.ca.path('state'), *options], timeout=30, text=True,
                       stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert p.returncode == 1 and p.stdout == ''
    lines = p.stderr.splitlines()
    assert lines[-1].startswith('tycho-observer: ')
    return lines[-1]


def test_a_certificate_that_cannot_serve_is_refused_at_the_start(made, tmp_path):
    garbage = tmp_path / 'garbage.pem'
    garbage.write_text('-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n')
    cert, key = made.server
    for options, named in [
            ((made.expired[0], made.expired[1]), made.expired[0]),
            ((cert, made.client[1]), made.client[1]),  # a key that is not the certificate's
            ((str(garbage), key), str(garbage)),
            ((cert, str(garbage)), str(garbage)),
            ((str(tmp_path / 'none.pem'), key), 'none.pem'),
            ((cert, str(tmp_path / 'none.key')), 'none.key')]:
        sentence = start(made, '--tls-cert-file', options[0], '--tls-key-file', options[1])
        assert os.path.basename(named) in sentence, sentence
    sentence = start(made, '--tls-cert-file', cert, '--tls-key-file', key, '--tls-client-ca-file', str(garbage))
    assert 'garbage.pem' in sentence


def test_plain_text_beyond_loopback_must_be_meant(made):
    p = subprocess.run([BIN + '/tycho-observer', '--no-bpf', '--replay', '/dev/null', '--listen', '0.0.0.0:0',
                        '--state-dir', made.ca.path('state')], timeout=30, text=True,
                       stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert p.returncode == 1 and '--insecure-listen' in p.stderr and p.stderr.count('\n') == 1


# --- while it runs ------------------------------------------------------------------------------------------------


def served_serial(ob, ca):
    """Serial number of the certificate that a new connection is shown."""
    context = ssl.create_default_context(cafile=ca)
    context.set_alpn_protocols(['h2'])
    host, port = ob.tcp.split(':')
    with socket.create_connection((host, int(port)), 10) as raw:
        with context.wrap_socket(raw, server_hostname='localhost') as s:
            return s.getpeercert()['serialNumber']


def replace(pair, by):
    """As a rotation does it: each file appears whole under its name; both are read again when either has changed."""
    for target, source in zip(pair, by):
        shutil.copy(source, target + '.new')
        os.rename(target + '.new', target)


def test_a_new_certificate_is_served_without_a_restart(made, tmp_path):
    pair = (str(tmp_path / 'tls.pem'), str(tmp_path / 'tls.key'))
    replace(pair, made.server)
    second, broken = made.ca.issue('second'), (made.foreign_client[0], made.client[1])
    with observer(pair) as ob:
        first = served_serial(ob, made.ca.cert)
        with ob.client(credentials=credentials(made.ca.cert)) as c:
            follower = c.GetFlows(follow=True, number=wire.ALL, timeout=30)
            next(follower)
            replace(pair, second)
            assert served_serial(ob, made.ca.cert) != first
            # a pair that does not fit is not taken, and the one before goes on being served
            now = served_serial(ob, made.ca.cert)
            replace(pair, broken)
            assert served_serial(ob, made.ca.cert) == now
            replace(pair, made.server)
            assert served_serial(ob, made.ca.cert) == first
            assert c.GetNodes().nodes  # the connection of before goes on
            follower.cancel()


def test_a_new_client_authority_is_taken_without_a_restart(made, tmp_path):
    ca = str(tmp_path / 'ca.pem')
    shutil.copy(made.ca.cert, ca)
    with observer(made.server, '--tls-client-ca-file', ca) as ob:
        ob_wait(ob, made)
        assert flows(ob, made.ca.cert, client=made.client) == 1
        replace((ca,), (made.foreign.cert,))
        assert flows(ob, made.ca.cert, client=made.foreign_client) == 1
        assert refused(lambda: flows(ob, made.ca.cert, client=made.client))


# --- the CLI ------------------------------------------------------------------------------------------------------


def test_the_cli_speaks_tls(made):
    with observer(made.server) as ob:
        ob_wait(ob, made)
        ca = ['--tls-ca-cert-files', made.ca.cert]
        plain = tycho('observe', '--all', '-o', 'json', '--server', ob.socket, check=0).stdout
        assert plain.count('\n') == 1
        for words in (['--server', ob.tcp, '--tls'] + ca, ['--server', 'tls://' + ob.tcp] + ca,
                      ['--server', 'tls://' + ob.tcp, '--tls-server-name', 'localhost'] + ca,
                      ['--server', 'tls://' + ob.tcp, '--tls-allow-insecure']):
            assert tycho('observe', '--all', '-o', 'json', *words, check=0).stdout == plain
        for words in (['--server', ob.tcp], ['--server', 'tls://' + ob.tcp],
                      ['--server', 'tls://' + ob.tcp, '--tls-ca-cert-files', made.foreign.cert],
                      ['--server', 'tls://' + ob.tcp, '--tls-server-name', 'other'] + ca):
            p = tycho('observe', '--all', *words, check=1)
            assert p.stdout == '' and 'code = Unavailable' in p.stderr and p.stderr.count('\n') == 1


def test_the_cli_shows_its_certificate(made):
    with observer(made.server, '--tls-client-ca-file', made.ca.cert) as ob:
        words = ['status', '--server', 'tls://' + ob.tcp, '--tls-ca-cert-files', made.ca.cert]
        mine = ['--tls-client-cert-file', made.client[0], '--tls-client-key-file', made.client[1]]
        assert 'Ok' in tycho(*words, *mine, check=0).stdout
        tycho(*words, check=1)
        p = tycho(*words, *mine[:2], check=1)
        assert 'certificate and private key are both required' in p.stderr


def test_basic_auth_needs_tls(made):
    auth = ['--basic-auth-username', 'u', '--basic-auth-password', 'p']
    with observer(made.server) as ob:
        p = tycho('status', '--server', ob.socket, *auth, check=1)
        assert p.stdout == '' and p.stderr.count('\n') == 1
        words = ['--server', 'tls://' + ob.tcp, '--tls-ca-cert-files', made.ca.cert]
        assert 'Ok' in tycho('status', *words, *auth, check=0).stdout
        p = tycho('status', *words, *auth[:2], check=1)
        assert 'must specify both basic-auth-username and basic-auth-password' in p.stderr
