"""tycho doctor: where the way to a server ends, and what is to be done about it."""
import json
import socket
import time

import grpc
import pytest

import wire
from cluster import CONNECTED, UNAVAILABLE, Impostor, Node, Relay, of
from observer import BASE_S, tycho
from test_tls import Authority

STATUS, HEALTH, TIME = '/observer.Observer/ServerStatus', '/grpc.health.v1.Health/Check', '/tycho.v1.Flows/GetTime'
GET_NODES, GET_FLOWS = '/observer.Observer/GetNodes', '/observer.Observer/GetFlows'


def doctor(server, *flags, code):
    """[(check, result, detail, fix)]; the exit status must be @code."""
    p = tycho('doctor', '--server', server, '-o', 'json', *flags, check=code)
    lines = [json.loads(x) for x in p.stdout.splitlines()]
    failed = sum(x['result'] == 'fail' for x in lines)
    assert p.stderr == ('%d of the checks failed\n' % failed if failed else '')
    assert (code == 1) == (failed > 0)
    return [(x['check'], x['result'], x['detail'], x.get('fix', '')) for x in lines]


def results(lines):
    return [(check, result) for check, result, _, _ in lines]


def last(lines):
    check, result, detail, fix = lines[-1]
    return check, result, detail + ' // ' + fix


@pytest.fixture(scope='module')
def node():
    with Node('a', lines=[of('a', i) for i in range(3)]) as n:
        n.wait_seen(3)
        yield n


def test_a_healthy_observer_passes_every_check(node):
    want = [('connect', 'ok'), ('health', 'ok'), ('version', 'ok'), ('clock', 'ok'), ('node', 'ok'), ('store', 'ok'), ('flows', 'ok')]
    assert results(doctor(node.socket, code=0)) == want
    assert results(doctor(node.tcp, code=0)) == [('name', 'ok')] + want


def test_what_people_read_says_the_same(node):
    p = tycho('doctor', '--server', node.socket, check=0)
    assert [x.split()[:2] for x in p.stdout.splitlines()] == [
        ['ok', c] for c in ('connect', 'health', 'version', 'clock', 'node', 'store', 'flows')]
    p = tycho('doctor', '--server', '/nowhere', check=1)
    assert p.stdout.startswith('fail  name ') and '\n               to do: give --server as host:port' in p.stdout


@pytest.mark.parametrize('words', [('--kubernetes',), ('--no-bpf',), ('--node-name', 'a')], ids=lambda words: words[0])
def test_options_of_a_node_are_refused_where_none_is_looked_at(words):
    p = tycho('doctor', '--server', 'localhost:1', *words, check=1)
    assert (p.stdout, p.stderr.splitlines()[0]) == ('', words[0] + ' needs --node')


def test_each_node_of_a_relay_is_looked_at(node):
    with Relay(peers=[node.peer, 'b=127.0.0.1:1']) as relay:
        relay.wait_states(a=CONNECTED, b=UNAVAILABLE)
        lines = doctor(relay.address, code=1)
    nodes = [x for x in lines if x[0] == 'node']
    assert [x[:2] for x in nodes] == [('node', 'ok'), ('node', 'fail')]
    assert nodes[1][2] == 'b at 127.0.0.1:1, asked in plain text, is not available to the relay'
    assert nodes[1][3] == 'from where the relay runs: tycho doctor --server 127.0.0.1:1'
    assert [x[2].split(' is ')[0] for x in lines if x[0] == 'clock'] == [
        'the-relay', 'a', 'of b not known: it cannot be reached']


def test_a_relay_without_nodes_is_told_so():
    with Relay(peers=['b=127.0.0.1:1']) as relay:
        relay.wait_states(b=UNAVAILABLE)
        lines = doctor(relay.address, code=1)
    assert ('health', 'fail', 'the server says that it is not serving',
            'of a relay: none of its peers is available, or ClickHouse does not answer it; see below') in lines
    assert ('node', 'fail') in results(lines)


def test_the_way_ends_where_it_ends(tmp_path):
    assert last(doctor('no.such.name.invalid:1', code=1))[:2] == ('name', 'fail')
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))  # and does not listen
        check, result, text = last(doctor('127.0.0.1:%d' % s.getsockname()[1], code=1))
    assert (check, result) == ('connect', 'fail') and 'Connection refused // nothing listens there' in text
    assert 'there is no such socket' in last(doctor('unix://%s/none' % tmp_path, code=1))[2]
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(tmp_path / 'left'))
    left.close()
    assert 'nobody serves it' in last(doctor('unix://%s/left' % tmp_path, code=1))[2]
    assert 'it is no socket' in last(doctor('unix://%s' % tmp_path, code=1))[2]


def test_a_frozen_server_is_one_that_is_silent():
    with Node('a', lines=[]) as frozen:
        frozen.freeze()
        try:
            lines = doctor(frozen.tcp, '--request-timeout', '300ms', code=1)
        finally:
            frozen.thaw()
    assert results(lines) == [('name', 'ok'), ('connect', 'ok'), ('health', 'fail')]
    assert 'its owner is silent' in last(lines)[2]


# --- TLS --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope='module')
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp('ca'), 'authority')


@pytest.fixture(scope='module')
def guarded(authority):
    cert, key = authority.issue('server', 'a.example', '*.b.example')
    with Node('a', '--tls-cert-file', cert, '--tls-key-file', key, lines=[of('a', 0)], listen=['127.0.0.1:0']) as n:
        yield n


def trusting(authority, name='a.example'):
    return ['--tls', '--tls-ca-cert-files', authority.cert, '--tls-server-name', name]


def test_a_chain_that_is_believed_and_a_name_that_fits_pass(guarded, authority):
    for name in ('a.example', 'x.b.example'):
        lines = doctor(guarded.tcp, *trusting(authority, name), code=0)
        # our certificates are good for two days, which is worth a word, too
        assert results(lines)[2:4] == [('tls', 'warn'), ('tls', 'ok')]
        assert lines[2][2].startswith('the certificate expires on 20')
        assert 'for a.example, *.b.example, until ' in lines[3][2]


def test_an_authority_that_lacks_is_named(guarded, authority):
    check, result, text = last(doctor(guarded.tcp, '--tls', '--tls-server-name', 'a.example', code=1))
    assert (check, result) == ('tls', 'fail')
    assert 'is not believed' in text and "the authority 'CN=authority' with --tls-ca-cert-files" in text


def test_a_name_that_does_not_fit_is_told_those_that_would(guarded, authority):
    for name, shown in (('c.example', 'c.example'), ('y.x.b.example', 'y.x.b.example')):
        check, result, text = last(doctor(guarded.tcp, *trusting(authority, name), code=1))
        assert (check, result) == ('tls', 'fail')
        assert "not for '%s' // give --tls-server-name one of: a.example, *.b.example" % shown in text


def test_tls_on_one_side_only_is_found_out(guarded, node):
    assert last(doctor(node.tcp, '--tls', code=1))[2].startswith('the server speaks no TLS')
    check, result, text = last(doctor(guarded.tcp, '--request-timeout', '2s', code=1))
    assert (check, result) == ('tls', 'fail') and 'give --tls' in text


def test_a_client_certificate_that_is_wanted_and_one_of_the_wrong_authority(authority, tmp_path):
    cert, key = authority.issue('mutual', 'a.example')
    other = Authority(tmp_path, 'other')
    ours, theirs = authority.issue('client', 'client.example'), other.issue('stranger', 'client.example')
    with Node('a', '--tls-cert-file', cert, '--tls-key-file', key, '--tls-client-ca-file', authority.cert, lines=[of('a', 0)],
              listen=['127.0.0.1:0']) as n:
        def with_(pair):
            return trusting(authority) + ['--tls-client-cert-file', pair[0], '--tls-client-key-file', pair[1]]
        assert ('tls', 'ok') in results(doctor(n.tcp, *with_(ours), code=0))
        check, result, text = last(doctor(n.tcp, *trusting(authority), code=1))
        assert (check, result) == ('tls', 'fail') and 'the server wants a client certificate' in text
        check, result, text = last(doctor(n.tcp, *with_(theirs), code=1))
        assert (check, result) == ('tls', 'fail') and "that the server's --tls-client-ca-file has signed" in text


# --- servers that say odd things ------------------------------------------------------------------------------------


class Patient(Impostor):
    """An observer by its words: @said {path: bytes, or a function that makes them when it is asked}."""

    def __init__(self, **said):
        self.said = {HEALTH: b'\x08\x01', STATUS: wire.message('observer.ServerStatusResponse')(
            version='tycho v0.1.0').SerializeToString(), GET_NODES: b'', GET_FLOWS: None, **said.pop('said', {})}
        super().__init__(self._answer, ours=[TIME])

    def _answer(self, path, request, context):
        said = self.said.get(path)
        if said is not None:
            yield said() if callable(said) else said


def time_response(ahead_s, peers=()):
    def now():
        m = wire.message('tycho.v1.GetTimeResponse')(node_name='odd', peers=list(peers))
        m.time.FromNanoseconds(int((time.time() + ahead_s) * 1e9))
        return m.SerializeToString()
    return now


@pytest.mark.parametrize('ahead_s, result', [(0, 'ok'), (2, 'warn'), (-2, 'warn'), (60, 'fail'), (-3600, 'fail')])
def test_a_clock_that_is_off_is_judged_by_how_much(ahead_s, result):
    with Patient(said={TIME: time_response(ahead_s)}) as odd:
        lines = doctor(odd.address, code=int(result == 'fail'))
    clock = [x for x in lines if x[0] == 'clock']
    assert [x[1] for x in clock] == [result]
    assert ('ahead' if ahead_s > 0 else 'behind') in clock[0][2] or not ahead_s
    assert ('set both clocks' in clock[0][3]) == (result != 'ok')


def test_the_clocks_of_peers_are_judged_less_the_way_there():
    peers = [dict(name='far', ahead_ns=6 * 10**9, round_trip_ns=4 * 10**9), dict(name='off', ahead_ns=-7 * 10**9)]
    with Patient(said={TIME: time_response(0, peers)}) as odd:
        clock = [x for x in doctor(odd.address, code=1) if x[0] == 'clock']
    assert [(x[1], x[2].split()[0]) for x in clock] == [('ok', 'odd'), ('warn', 'far'), ('fail', 'off')]


def test_another_version_and_no_flows_are_warnings():
    status = wire.message('observer.ServerStatusResponse')(version='tycho-relay v9.0.0').SerializeToString()
    node = wire.message('observer.GetNodesResponse')(nodes=[dict(name='n', state=CONNECTED)]).SerializeToString()
    with Patient(said={STATUS: status, TIME: time_response(0), GET_NODES: node}) as odd:
        lines = doctor(odd.address, code=0)
    assert ('version', 'warn') in results(lines) and ('flows', 'warn') in results(lines)


def test_a_server_of_something_else_is_no_observer():
    def answer(path, request, context):
        context.abort(grpc.StatusCode.UNIMPLEMENTED, 'unknown service')
        yield b''
    with Impostor(answer) as other:
        assert 'no observer or relay' in last(doctor(other.address, code=1))[2]


def test_who_is_not_known_is_told_of_tokens(tmp_path):
    rules = tmp_path / 'access'
    rules.write_text('cert nobody.example *\n')
    with Node('a', '--access-file', str(rules), lines=[of('a', 0)]) as n:
        check, result, text = last(doctor(n.tcp, code=1))
    assert (check, result) == ('version', 'fail') and 'show it --token-file' in text
