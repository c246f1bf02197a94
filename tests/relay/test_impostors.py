"""Peers that lie, babble or live in another time; and a peer service that tells of peers."""
import itertools
import json
import os
import queue
import re
import signal
import subprocess
import time

import grpc
import pytest

import wire
from cluster import (CONNECTED, ERROR, GONE, UNAVAILABLE, Follower, Impostor, Node, Relay, cluster, nodes_of, of, over, response,
                     split)
from daemon import BIN, LONG_S, together, until
from observer import BASE_S, tycho

GET_FLOWS = '/observer.Observer/GetFlows'


@pytest.fixture(scope='module')
def honest():
    """A node 'a' with 100 flows, alone by its name."""
    with nodes_of(a=[of('a', i) for i in range(100)]) as nodes:
        yield nodes


def beside(honest, answer, **request):
    """What a relay makes of an impostor 'liar' and the honest node: (flows, states)."""
    with Impostor(answer) as liar, over(honest, '--peer', 'liar=' + liar.address) as relay:
        relay.wait_states(a=CONNECTED)
        with relay.client() as client:
            return split(client.GetFlows(**(request or dict(first=True, number=wire.ALL))))


A = ['a-%d' % i for i in range(100)]


@pytest.mark.parametrize('bytes_', [b'\xff\xff\xff', b'\x0a\x7fshort', b'GET / HTTP/1.1'])
def test_bytes_that_are_no_flow_are_an_error_of_that_node(honest, bytes_):
    def answer(path, request, context):
        if path == GET_FLOWS:
            yield response('liar', BASE_S, 'liar-0')
            yield bytes_
            yield response('liar', BASE_S + 2, 'liar-2')
    flows, states = beside(honest, answer)
    assert flows == ['a-0', 'liar-0'] + A[1:]
    assert states == [(CONNECTED, ['a', 'liar'], ''), (ERROR, ['liar'], 'the peer sent bytes that are no flow')]


def test_an_answer_with_texts_that_are_no_utf8_is_that_nodes_fault_and_spoils_no_other(honest):
    def answer(path, request, context):
        if path.endswith('/ServerStatus'):
            yield b'\x42\x02\xff\xfe'  # version
        elif path.endswith('/GetNamespaces'):
            yield b'\x0a\x04\x12\x02\xff\xfe'  # a namespace's name
        elif path.endswith('/GetTime'):
            yield b'\x12\x02\xff\xfe'  # node_name
    with Impostor(answer, ours=['/tycho.v1.Flows/GetTime']) as liar, over(honest, '--peer', 'liar=' + liar.address) as relay:
        relay.wait_states(a=CONNECTED, liar=ERROR)
        with relay.client() as client:
            status = client.ServerStatus()
            names = [n.namespace for n in client.GetNamespaces().namespaces]
            time_of = {p.name: p.error for p in client.call('tycho.v1.Flows', 'GetTime').peers}
    assert (status.num_connected_nodes.value, list(status.unavailable_nodes)) == (1, ['liar'])
    assert names == ['shop', 'store']
    assert time_of == {'a': '', 'liar': 'it did not say'}


def test_a_stream_without_end_does_not_keep_an_honest_node_from_speaking(honest):
    def answer(path, request, context):
        for i in itertools.count():
            if path != GET_FLOWS or not context.is_active():
                return
            yield response('liar', BASE_S + 1000, 'liar-%d' % i)
    with Impostor(answer) as liar:
        with over(honest, '--peer', 'liar=' + liar.address) as relay:
            with relay.client(fast=False) as client:
                stream = client.GetFlows(first=True, number=wire.ALL)
                flows, _ = split(itertools.islice(stream, 1 + 100 + 500))
                stream.cancel()
    assert flows == A + ['liar-%d' % i for i in range(500)]


@pytest.mark.parametrize('hours', [-5, 5])
def test_a_clock_that_is_hours_off_harms_no_other_node(honest, hours):
    def answer(path, request, context):
        for i in range(50 if path == GET_FLOWS else 0):
            yield response('liar', BASE_S + 3600 * hours + i, 'liar-%d' % i)
    flows, states = beside(honest, answer)
    liar = ['liar-%d' % i for i in range(50)]
    assert flows == (liar + A if hours < 0 else A + liar)
    assert states == [(CONNECTED, ['a', 'liar'], '')]


def test_a_node_that_trickles_its_past_is_waited_for_once(honest):
    """Each of its flows comes only when the client has all of the honest node's: were it waited for, none would come."""
    all_of_a = queue.Queue()

    def answer(path, request, context):
        if path == GET_FLOWS:
            yield response('liar', BASE_S + 1, 'liar-1')
            all_of_a.get(timeout=30)
            yield response('liar', BASE_S + 2, 'liar-2')
    with Impostor(answer) as liar:
        with over(honest, '--peer', 'liar=' + liar.address, drain='1s') as relay:
            with relay.client(fast=False) as client:
                stream = client.GetFlows(first=True, number=wire.ALL)
                flows, _ = split(itertools.islice(stream, 1 + 101))
                assert flows == ['a-0', 'a-1', 'liar-1'] + A[2:]
                all_of_a.put(True)
                assert split(stream) == (['liar-2'], [])


def test_a_message_beyond_all_measure_is_an_error_of_that_node(honest):
    def answer(path, request, context):
        if path == GET_FLOWS:
            yield response('liar', BASE_S, 'x' * (5 << 20))
    flows, states = beside(honest, answer)
    assert flows == A
    assert states[1][:2] == (ERROR, ['liar']) and 'ResourceExhausted' in states[1][2]


def test_a_node_that_cuts_us_off_as_too_slow_is_read_on(honest):
    """As an observer does to whom it takes for stuck: a relay is, while other nodes have older flows."""
    requests = []
    kept = [(i // 4, 'liar-%d' % i) for i in range(100)]  # four of each second

    def answer(path, request, context):
        if path != GET_FLOWS:
            return
        asked = wire.GetFlowsRequest.FromString(request)
        requests.append((asked.number, asked.first, asked.since.seconds))
        left = [x for x in kept if BASE_S + x[0] >= asked.since.seconds][:asked.number]
        for second, uuid in left[:30]:
            yield response('liar', BASE_S + second, uuid)
        if left[30:]:
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, 'client reads too slowly')
    flows, states = beside(honest, answer, first=True, number=100)
    assert sorted(flows, key=lambda u: u[0]) == A + [uuid for _, uuid in kept]
    assert states == [(CONNECTED, ['a', 'liar'], '')]
    # Of 30, two are of the last second; they come again, and only the first time count.
    assert requests == [(100, True, 0), (72, True, BASE_S + 7), (44, True, BASE_S + 14), (16, True, BASE_S + 21)]


def test_a_node_that_only_cuts_us_off_is_an_error(honest):
    def answer(path, request, context):
        if path == GET_FLOWS:
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, 'client reads too slowly')
        yield b''
    flows, states = beside(honest, answer)
    assert flows == A
    assert states[1][:2] == (ERROR, ['liar'])


def test_the_words_of_nodes_are_passed_on_as_the_reference_does(honest):
    def answer(path, request, context):
        if path == GET_FLOWS:
            context.abort(grpc.StatusCode.UNKNOWN, 'my own words')
        yield b''
    _, states = beside(honest, answer)
    assert states[1] == (ERROR, ['liar'], 'my own words')


def test_a_peer_that_tells_no_time_is_not_called_unreachable():
    path = '/tycho.v1.Flows/GetTime'

    def empty(method, request, context):
        yield b''

    def silent(method, request, context):
        if method != path:
            yield b''
    with Impostor(empty, ours=[path]) as a, Impostor(silent, ours=[path]) as b:
        with Relay(peers=['a=' + a.address, 'b=' + b.address, 'gone=127.0.0.1:1']) as relay, relay.client() as client:
            relay.wait_states(a=CONNECTED, b=CONNECTED, gone=UNAVAILABLE)
            answer = client.call('tycho.v1.Flows', 'GetTime')
    assert [(p.name, p.error) for p in answer.peers] == [
        ('a', 'it did not say'), ('b', 'it did not say'), ('gone', 'it cannot be reached')]


def test_of_the_way_to_a_clock_and_back_one_half_is_the_way_there():
    """An answer that is long in coming and says the time of its middle: when it was asked follows from what is told."""
    asked_ns = []

    def slow(method, request, context):
        if method != path:
            yield b''
            return
        asked_ns.append(time.time_ns())
        slow_clock.stopping.wait(0.2)
        m = wire.message('tycho.v1.GetTimeResponse')(node_name='slow')
        m.time.FromNanoseconds(time.time_ns())
        said_ns.append(m.time.ToNanoseconds())
        slow_clock.stopping.wait(0.2)
        yield m.SerializeToString()
    path, said_ns = '/tycho.v1.Flows/GetTime', []
    with Impostor(slow, ours=[path]) as slow_clock, Relay(peers=['s=' + slow_clock.address]) as relay, relay.client() as client:
        relay.wait_states(s=CONNECTED)
        begun_ns = time.time_ns()
        [p] = client.call('tycho.v1.Flows', 'GetTime').peers
    assert p.round_trip_ns >= 400_000_000
    assert begun_ns <= said_ns[0] - p.ahead_ns - p.round_trip_ns // 2 <= asked_ns[0]


def test_a_node_that_flaps_is_asked_ever_more_rarely_and_disturbs_no_other():
    asked = []

    def answer(path, request, context):
        if path == GET_FLOWS:
            asked.append(time.monotonic())
            context.abort(grpc.StatusCode.UNAVAILABLE, 'up and down')
        yield b''
    with Impostor(answer) as flapping:
        with cluster('--peer', 'f=' + flapping.address, a=None) as (relay, nodes), \
                Follower(relay, since={'seconds': BASE_S}) as follower:
            assert follower.status() == (CONNECTED, ['a', 'f'])
            for i in range(3):
                nodes['a'].feed([of('a', i)])
                assert follower.flows(1) == ['a-%d' % i]
                if i < 2:
                    follower.until_status(CONNECTED, 'f')
    pauses = [b - a for a, b in zip(asked, asked[1:])]
    assert len(pauses) >= 2
    assert all(p >= least for p, least in zip(pauses, (0.4, 0.9))), pauses  # 0.5 s, doubled each time


# --- the peer service -------------------------------------------------------------------------------------------


ADDED, DELETED, UPDATED = 1, 2, 3


class PeerService(Impostor):
    def __init__(self, listen='127.0.0.1:0'):
        self.told = queue.Queue()
        super().__init__(self._notify, listen=listen)

    def _notify(self, path, request, context):
        assert path == '/peer.Peer/Notify'
        while not self.stopping.is_set():
            try:
                said = self.told.get(timeout=0.05)
            except queue.Empty:
                continue
            if said is None:
                return
            yield said

    def say(self, kind, name, address='', server_name=None):
        n = wire.message('peer.ChangeNotification')(name=name, address=address, type=kind)
        if server_name is not None:
            n.tls.server_name = server_name
        self.told.put(n.SerializeToString())


def test_a_peer_service_adds_changes_and_removes_peers_while_queries_run():
    with PeerService() as service, together(Node('a', lines=None), Node('b', lines=None)) as (a, b):
        with Relay('--peer-service', service.address, '--sort-buffer-drain-timeout', '100ms') as relay:
            with Follower(relay, since={'seconds': BASE_S}) as follower:
                service.say(ADDED, 'a', a.socket)
                assert follower.status() == (CONNECTED, ['a'])
                a.feed([of('a', 1)])
                assert follower.flows(1) == ['a-1']
                service.say(ADDED, 'a', a.socket)  # says nothing new
                service.say(ADDED, 'b', a.socket)
                assert follower.status() == (CONNECTED, ['b'])
                assert follower.flows(1) == ['a-1']  # as b has it
                service.say(UPDATED, 'b', b.socket)
                assert follower.status() == (GONE, ['b'])
                assert follower.status() == (CONNECTED, ['b'])
                b.feed([of('b', 2)])
                assert follower.flows(1) == ['b-2']
                service.say(9, 'stranger', a.socket)  # what a later version may tell
                service.say(DELETED, 'a')
                assert follower.status() == (GONE, ['a'])
                service.told.put(None)  # the stream ends; it is opened again, and peers stay
                service.say(ADDED, 'a', a.socket)
                assert follower.status() == (CONNECTED, ['a'])
                assert sorted(relay.nodes()) == ['a', 'b']


def test_peers_whose_tls_does_not_fit_ours_are_listed_and_not_called():
    with PeerService() as service, Node('a', lines=[of('a', 0)]) as a:
        with Relay('--peer-service', service.address) as relay:
            service.say(ADDED, 'with-tls', a.socket, server_name='a.default.hubble-grpc.cilium.io')
            service.say(ADDED, 'no-address')
            service.say(ADDED, 'a', a.socket)
            relay.wait_states(a=CONNECTED)
            relay.wait_states(**{'with-tls': UNAVAILABLE, 'no-address': UNAVAILABLE})
            assert 'no CA for it is given' in relay.log() and 'its address is not known' in relay.log()
            service.say(ADDED, 'nameless', a.socket, server_name='')  # has TLS, and no name to ask for
            relay.wait_states(nameless=CONNECTED)
            assert {n: (x.tls.enabled, x.tls.server_name) for n, x in relay.nodes().items()} == {
                'a': (False, ''), 'no-address': (False, ''), 'nameless': (True, ''),
                'with-tls': (True, 'a.default.hubble-grpc.cilium.io')}


def test_peers_without_tls_are_listed_so_by_a_relay_that_asks_for_it():
    with Node('a', lines=[of('a', 0)]) as a:
        # a socket: the service itself is asked in plain text
        with PeerService('unix://%s/service.sock' % a.folder) as service, \
                Relay('--peer-service', service.address, '--peer-tls') as relay:
            service.say(ADDED, 'plain', a.socket)
            service.say(ADDED, 'nameless', a.socket, server_name='')
            relay.wait_states(plain=UNAVAILABLE, nameless=UNAVAILABLE)
            assert {n: x.tls.enabled for n, x in relay.nodes().items()} == {'plain': False, 'nameless': True}
            assert 'it has no TLS, which is asked for' in relay.log() and 'its TLS name is not known' in relay.log()
            service.say(UPDATED, 'plain', a.socket, server_name='')
            until(lambda: relay.nodes()['plain'].tls.enabled)


# --- a command that is interrupted before the answer is whole ----------------------------------------------------------


def interrupted(words, method, tmp_path):
    """(exit code, stdout, stderr) of a command, interrupted when it has one message of a server that then hangs."""
    def answer(path, request, context):
        if path == GET_FLOWS:
            yield response('slow', BASE_S, 'slow-0')
        impostor.stopping.wait(LONG_S)

    with Impostor(answer, ours=(method,)) as impostor:
        with subprocess.Popen([os.path.join(BIN, 'tycho'), *words, '--server', impostor.address], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, cwd=tmp_path, env=dict(os.environ, HOME=str(tmp_path))) as p:
            until(lambda: method in impostor.paths or p.poll() is not None)
            assert p.poll() is None
            first = p.stdout.readline() if method == GET_FLOWS else ''
            p.send_signal(signal.SIGINT)
            out, err = p.communicate(timeout=LONG_S)
            return p.returncode, first + out, err


def test_flows_that_were_interrupted_are_not_called_complete(tmp_path):
    code, out, err = interrupted(['observe', '--all', '-o', 'json'], GET_FLOWS, tmp_path)
    assert (code, out.count('slow-0'), err) == (0, 1, 'incomplete: the answer was interrupted\n')
    assert interrupted(['observe', '--all', '-s', '-o', 'json'], GET_FLOWS, tmp_path)[2] == ''


@pytest.mark.parametrize('words, method', [
    (['coverage'], 'History/GetCoverage'), (['map', '--since', '5m'], 'History/GetServiceMap'),
    (['evidence', 'export', '-o', 'b.tar.zst'], 'Evidence/Export')])
def test_an_answer_that_must_be_whole_is_none_when_it_is_interrupted(words, method, tmp_path):
    assert interrupted(words, '/tycho.v1.' + method, tmp_path) == (1, '', 'interrupted\n')
    assert os.listdir(tmp_path) == []


# --- what the command line makes of it -----------------------------------------------------------------------------


def test_nodes_and_namespaces_are_listed_by_name_with_all_that_is_known_of_them():
    def answer(path, request, context):
        if path == '/observer.Observer/GetNodes':
            yield wire.message('observer.GetNodesResponse')(nodes=[
                {'name': 'gone', 'state': GONE},
                {'name': 'east', 'state': CONNECTED, 'version': 'v1.2', 'address': '192.0.2.1:4244', 'tls': {'enabled': True},
                 'uptime_ns': 90_600_000_000, 'num_flows': 1, 'max_flows': 4, 'seen_flows': 182},
                {'name': 'bad', 'state': ERROR, 'tls': {'enabled': False}, 'uptime_ns': 3_600_000_000_000}]).SerializeToString()
        else:
            yield wire.message('observer.GetNamespacesResponse')(namespaces=[
                {'namespace': 'shop'}, {'namespace': 'bank', 'cluster': 'east'}]).SerializeToString()

    def listed(*words):
        return [re.split(r'\s{2,}', line) for line in tycho('--server', server.address, 'list', *words, check=0).stdout.splitlines()]
    with Impostor(answer) as server:
        wide = [['NAME', 'STATUS', 'AGE', 'FLOWS/S', 'CURRENT/MAX-FLOWS', 'VERSION', 'ADDRESS', 'TLS'],
                ['bad', 'Error', '1h0m0s', 'N/A', 'N/A', 'N/A', '', 'Disabled'],
                ['east', 'Connected', '1m31s', '2.00', '1/4 ( 25.00%)', 'v1.2', '192.0.2.1:4244', 'Enabled'],  # 182 in 91 s
                ['gone', 'Gone', 'N/A', 'N/A', 'N/A', 'N/A', '', 'N/A']]
        assert [[c for c in row if c] for row in listed('nodes', '-o', 'wide')] == [[c for c in row if c] for row in wide]
        assert listed('nodes') == [row[:5] for row in wide]
        out = tycho('--server', server.address, 'list', 'nodes', '-o', 'json', check=0).stdout
        assert [node['name'] for node in json.loads(out)] == ['bad', 'east', 'gone']
        assert listed('namespaces', '-o', 'wide') == [['NAMESPACE', 'CLUSTER'], ['shop'], ['bank', 'east']]
    with Impostor(lambda path, request, context: iter([b''])) as server:
        assert tycho('--server', server.address, 'list', 'nodes', '-o', 'json', check=0).stdout == 'null\n'
