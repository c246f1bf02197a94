"""tycho.v1: flows by the batch between our own programs, and Hubble's words for everybody else."""
import contextlib
import os
import re
import signal
import subprocess

import pytest

import wire
from cluster import (CONNECTED, ERROR, UNAVAILABLE, Impostor, Node, Relay, Unpacker, batch, cluster, events, nodes_of, of, over,
                     response, split, standing_for, unbatch)
from observer import BASE_S, BIN, golden, tycho

GET_FLOWS, GET_BATCHES = '/observer.Observer/GetFlows', '/tycho.v1.Flows/GetFlowBatches'


def batches(client, **request):
    return list(client.call('tycho.v1.Flows', 'GetFlowBatches', **request))


def lines(node, n, **fields):
    return [of(node, i, **fields) for i in range(n)]


REQUESTS = [
    dict(number=wire.ALL, first=True),
    dict(number=7),
    dict(number=9, since={'seconds': BASE_S + 100}),
    dict(number=wire.ALL, first=True, whitelist=[{'verdict': ['DROPPED']}]),
    dict(number=wire.ALL, first=True, field_mask={'paths': ['uuid', 'time']}),
]


@pytest.fixture(scope='module')
def three():
    flows = {n: [of(n, i, verdict='DROPPED' if i % 5 == 0 else 'FORWARDED') for i in range(600)] for n in 'abc'}
    with cluster(**flows) as (relay, nodes):
        relay.wait_states(a=CONNECTED, b=CONNECTED, c=CONNECTED)
        yield relay, nodes


@pytest.mark.parametrize('request_', REQUESTS)
def test_an_observers_batches_hold_what_the_standard_call_sends(three, request_):
    _, nodes = three
    with nodes['a'].client() as client:
        got = batches(client, **request_)
        assert unbatch(got) == list(client.GetFlows(**request_))
        assert all(len(b.responses) for b in got)


@pytest.mark.parametrize('request_', REQUESTS)
def test_a_relays_batches_hold_what_the_standard_call_sends(three, request_):
    relay, _ = three
    with relay.client() as client:
        assert split(unbatch(batches(client, **request_))) == split(client.GetFlows(**request_))


# --- packed: what was said before is not said again ----------------------------------------------------------------


def headers(size, tables):
    return [('tycho-flow-table', str(size))] + ([('tycho-flow-tables', str(tables))] if tables else [])


def packed(client, size, tables=0, **request):
    """The batches as bytes, in which the order of fields is that of the wire."""
    return list(client.raw(GET_BATCHES, wire.GetFlowsRequest(**request).SerializeToString(), streams=True,
                           metadata=headers(size, tables)))


def parsed(messages):
    return [wire.message('tycho.v1.FlowBatch').FromString(m) for m in messages]


@pytest.mark.parametrize('size', [8192, 10 ** 9])
@pytest.mark.parametrize('request_', REQUESTS)
def test_who_can_unpack_gets_the_same_in_fewer_bytes(three, request_, size):
    relay, nodes = three
    for server, tables in ((nodes['a'], 0), (nodes['a'], 10 ** 9), (relay, 3 * 8192), (relay, 10 ** 9)):
        with server.client() as client:
            got = packed(client, size, tables, **request_)
            plain = batches(client, **request_)
            unpacker = Unpacker(size, tables)
            assert split(unpacker.unbatch(got)) == split(unbatch(plain))
            assert sorted(unpacker.names) == (['a', 'b', 'c'] if server is relay else [])
            if request_ == REQUESTS[0]:
                assert sum(map(len, got)) < 0.75 * sum(b.ByteSize() for b in plain)


def test_a_relay_unpacks_what_the_client_has_no_room_for(three):
    relay, _ = three
    request = dict(number=wire.ALL, first=True)
    with relay.client() as client:
        want = split(unbatch(batches(client, **request)))
        for tables, passed_on in ((0, 0), (8191, 0), (8192, 1), (2 * 8192, 2), (3 * 8192, 3)):
            unpacker = Unpacker(10 ** 9, tables)
            assert split(unpacker.unbatch(packed(client, 10 ** 9, tables, **request))) == want
            assert len(unpacker.names) == passed_on


@pytest.mark.parametrize('size', ['', '0', '8191', 'much', '-1', '1e9'])
def test_who_cannot_unpack_is_sent_everything(three, size):
    relay, nodes = three
    for server in (nodes['a'], relay):
        with server.client() as client:
            got = parsed(packed(client, size, 10 ** 9, number=100, first=True))
            assert not any(b.packed or b.streams or b.runs for b in got)


@pytest.mark.parametrize('name', ['real.jsonl', 'kinds.jsonl'])
def test_recorded_flows_of_every_kind_survive_the_packing(name):
    request = dict(number=wire.ALL, first=True)
    with Node('a', path=golden(name)) as node, Node('b', path=golden('small.jsonl')) as other:
        for o in (node, other):
            o.wait_replayed()
        with Relay(peers=['a=' + node.socket, 'b=' + other.socket]) as relay:
            relay.wait_states(a=CONNECTED, b=CONNECTED)
            for server in (node, relay):
                with server.client() as client:
                    got = packed(client, 20000, 50000, **request)
                    want = list(client.GetFlows(**request))
                    first = want[0].HasField('node_status')  # says when it was asked
                    assert Unpacker(20000, 50000).unbatch(got)[first:] == want[first:]
                    assert len(want) < 1000 or 2 * sum(map(len, got)) < sum(r.ByteSize() for r in want)


@pytest.fixture(scope='module')
def honest():
    with nodes_of(a=lines('a', 3)) as nodes:
        yield nodes


BAD_RECORDS = [b'', b'\x08', b'\x01\x02', b'\x01\x0cab', b'\x01\x0c\xff\xff\xff']


@contextlib.contextmanager
def liar_beside(honest, record):
    def answer(path, request, context):
        if path == GET_BATCHES:
            yield batch(response('liar', BASE_S, 'liar-0')) + bytes([0x12, len(record)]) + record
            yield batch(response('liar', BASE_S + 2, 'liar-2'))
    with Impostor(answer, ours=[GET_BATCHES]) as liar, over(honest, '--peer', 'liar=' + liar.address) as relay:
        relay.wait_states(a=CONNECTED)
        yield relay


@pytest.mark.parametrize('record', BAD_RECORDS)
def test_a_packed_flow_that_cannot_be_read_is_an_error_of_that_node(honest, record):
    with liar_beside(honest, record) as relay:
        with relay.client() as client:
            for size in (0, 8192):
                got = packed(client, size, first=True, number=wire.ALL)
                flows, states = split(Unpacker(size).unbatch(got))
                assert flows[:3] == ['a-0', 'liar-0', 'a-1']
                assert 'a-2' in flows
                assert (ERROR, ['liar'], 'the peer sent bytes that are no flow') in states
        # It is passed on to who unpacks himself, and says so then.
        p = tycho('observe', '--server', relay.address, '--first', '5', '-o', 'jsonpb')
        flows = [s['flow']['uuid'] for s in events(p.stdout) if 'flow' in s]
        assert flows[:3] == ['a-0', 'liar-0', 'a-1'] and 'a-2' in flows
        assert re.search(r'(?m)^.*liar.*the peer sent bytes that are no flow', p.stderr), p.stderr


def test_a_node_that_comes_back_has_its_number_and_a_new_table():
    """A follower that unpacks; what it has seen of the last second comes again, void."""
    with cluster(drain='100ms', a=None) as (relay, nodes), relay.client(fast=False) as client:
        unpacker = Unpacker(8192, 3 * 8192)
        request = wire.GetFlowsRequest(follow=True, since={'seconds': BASE_S})
        stream = client.raw(GET_BATCHES, request.SerializeToString(), timeout=60, streams=True, metadata=headers(8192, 3 * 8192))
        came = (r.flow.uuid for m in stream for r in unpacker.batch(m) if r and r.HasField('flow'))
        for i in range(3):
            if i:
                nodes['a'].kill()
                nodes['a'].restart()
                nodes['a'].feed([of('a', n) for n in range(i)])
            nodes['a'].feed([of('a', i)])
            assert next(came) == 'a-%d' % i
        assert unpacker.names == ['a', 'a', 'a'] and list(unpacker.others) == [0]
        stream.cancel()


def test_batches_are_few_and_not_too_large(three):
    _, nodes = three
    with nodes['a'].client() as client:
        got = batches(client, number=wire.ALL, first=True)
    assert sum(len(b.responses) for b in got) == 600
    assert len(got) < 20 and max(len(b.SerializeToString()) for b in got) < 128 << 10


def test_a_follower_by_the_batch_gets_what_is_rare_at_once():
    with Node('a', lines=None) as a, a.client(fast=False) as client:
        stream = client.call('tycho.v1.Flows', 'GetFlowBatches', timeout=60, follow=True, since={'seconds': BASE_S})
        for i in range(3):  # each is fed only when the one before has come
            a.feed([of('a', i)])
            assert [r.flow.uuid for r in next(stream).responses] == ['a-%d' % i]
        stream.cancel()


def test_the_standard_call_is_for_those_who_know_no_other():
    asked = []

    def answer(path, request, context):
        asked.append(path)
        if path == GET_FLOWS:
            yield response('hubble', BASE_S, 'hubble-0')
    with Impostor(answer) as hubble, cluster('--peer', 'hubble=' + hubble.address, a=lines('a', 1)) as (relay, _):
        relay.wait_states(a=CONNECTED)
        with relay.client() as client:
            for _ in range(2):  # the second time it is not even tried
                assert split(client.GetFlows(number=5)) == (['a-0', 'hubble-0'], [(CONNECTED, ['a', 'hubble'], '')])
    assert asked.count(GET_FLOWS) == 2 and GET_BATCHES not in asked


@pytest.mark.parametrize('bytes_', [b'\xff\xff\xff', b'\x0a\x7fshort', b'\x0a\x03\xff\xff\xff'])
def test_a_batch_that_cannot_be_read_is_an_error_of_that_node(honest, bytes_):
    def answer(path, request, context):
        if path == GET_BATCHES:
            yield batch(response('liar', BASE_S, 'liar-0'), response('liar', BASE_S + 1, 'liar-1')) + bytes_
            yield batch(response('liar', BASE_S + 2, 'liar-2'))
    with Impostor(answer, ours=[GET_BATCHES]) as liar, over(honest, '--peer', 'liar=' + liar.address) as relay:
        relay.wait_states(a=CONNECTED)
        with relay.client() as client:
            flows, states = split(client.GetFlows(first=True, number=wire.ALL))
    assert flows == ['a-0', 'liar-0', 'a-1', 'liar-1', 'a-2']
    assert states[1] == (ERROR, ['liar'], 'the peer sent bytes that are no flow')


def test_a_batch_of_more_flows_than_anybody_needs_is_an_error_of_that_node(honest):
    def answer(path, request, context):
        if path == GET_BATCHES:
            yield b'\x0a\x00' * 70000
    with Impostor(answer, ours=[GET_BATCHES]) as liar, over(honest, '--peer', 'liar=' + liar.address) as relay:
        relay.wait_states(a=CONNECTED)
        with relay.client() as client:
            _, states = split(unbatch(batches(client, first=True, number=wire.ALL)))
    assert (ERROR, ['liar'], 'the peer sent bytes that are no flow') in states


def test_a_relay_over_relays_keeps_the_names_of_clusters_and_nodes():
    names = ['east/n1', 'east/n2', 'west/n1']
    with Node('n1', '--cluster', 'east', lines=[of('east/n1', i) for i in range(0, 30, 3)]) as e1, \
            Node('n2', '--cluster', 'east', lines=[of('east/n2', i) for i in range(1, 30, 3)]) as e2, \
            Node('n1', '--cluster', 'west', lines=[of('west/n1', i) for i in range(2, 30, 3)]) as w1:
        for n in (e1, e2, w1):
            n.wait_seen(10)
        with Relay(peers=['east/n1=' + e1.socket, 'east/n2=' + e2.socket, 'west/n0=127.0.0.1:1']) as east, \
                Relay(peers=['west/n1=' + w1.socket]) as west, \
                Relay(peers=['east=' + east.address, 'west=' + west.address]) as top:
            east.wait_states(east__n1=CONNECTED, east__n2=CONNECTED, west__n0=UNAVAILABLE)
            top.wait_states(east=CONNECTED, west=CONNECTED)
            with top.client() as client:
                for got in (list(client.GetFlows(first=True, number=wire.ALL)),
                            unbatch(batches(client, first=True, number=wire.ALL))):
                    flows, states = split(got)
                    assert [f.split('-')[1] for f in flows] == [str(i) for i in range(30)]
                    assert sorted({r.node_name for r in got if r.HasField('flow')}) == names
                    assert (CONNECTED, ['east/n1', 'east/n2'], '') in states
                    assert (UNAVAILABLE, ['west/n0'], '') in states
                unpacker = Unpacker(8192, 10 ** 9)
                got = packed(client, 8192, 10 ** 9, first=True, number=wire.ALL)
                assert [f.split('-')[1] for f in split(unpacker.unbatch(got))[0]] == [str(i) for i in range(30)]
                assert sorted(unpacker.names) == names  # as the nodes packed it
                status = client.ServerStatus()
                assert status.seen_flows == 30
                assert (status.num_connected_nodes.value, status.num_unavailable_nodes.value) == (3, 1)
                assert status.unavailable_nodes == ['west/n0']
                flows, _ = split(client.GetFlows(first=True, number=wire.ALL, whitelist=[{'node_name': ['west/']}]))
                assert flows == ['west/n1-%d' % i for i in range(2, 30, 3)]


# --- who speaks what --------------------------------------------------------------------------------------------------


def test_peers_of_all_kinds_are_one_answer(three):
    """Ours; one of ours that knows nothing of packing; a plain server of Hubble's API; a relay of relays."""
    relay, nodes = three
    request = dict(first=True, number=200)
    with standing_for(nodes['b'].socket, GET_BATCHES) as b, standing_for(nodes['c'].socket) as c, \
            Relay(peers=['c=' + c.address]) as below, \
            Relay(peers=['a=' + nodes['a'].socket, 'b=' + b.address, 'c=' + c.address]) as mixed, \
            Relay(peers=['a=' + nodes['a'].socket, 'b=' + b.address, 'below=' + below.address]) as deep:
        below.wait_states(c=CONNECTED)
        mixed.wait_states(a=CONNECTED, b=CONNECTED, c=CONNECTED)
        deep.wait_states(a=CONNECTED, b=CONNECTED, below=CONNECTED)
        with relay.client() as client:
            want, _ = split(client.GetFlows(**request))
        assert len(want) == 600
        for top in (mixed, deep):
            with top.client() as client:
                assert split(client.GetFlows(**request))[0] == want
                assert split(unbatch(batches(client, **request)))[0] == want
                assert split(Unpacker(50000).unbatch(packed(client, 50000, **request)))[0] == want
        assert GET_FLOWS in c.paths and GET_BATCHES in b.paths and GET_FLOWS not in b.paths


def test_a_peer_may_learn_and_forget_our_calls_between_two_connections(tmp_path):
    """What it is asked follows, without a word of the operator."""
    place = 'unix://%s/peer.sock' % tmp_path
    with Node('a', lines=lines('a', 5)) as a, Relay(peers=['a=' + place]) as relay, relay.client() as client:
        a.wait_seen(5)

        def ask():
            relay.wait_states(a=CONNECTED)
            flows, states = split(client.GetFlows(first=True, number=wire.ALL))
            assert (flows, states) == (['a-%d' % i for i in range(5)], [(CONNECTED, ['a'], '')])
        for ours in ([], [GET_BATCHES], []):
            with standing_for(a.socket, *ours, listen=place) as peer:
                ask()
                assert peer.paths.count(GET_FLOWS) == (not ours) and peer.paths.count(GET_BATCHES) == len(ours)
            relay.wait_states(a=UNAVAILABLE)


# --- tycho observe ----------------------------------------------------------------------------------------------------

OBSERVE = [
    ['--all', '-o', 'json', '--use-default-field-masks=false'],
    ['--all', '-o', 'compact'],
    ['--all', '-o', 'dict', '--print-node-name'],
    ['--all', '-o', 'table', '--verdict', 'DROPPED'],
    ['-o', 'jsonpb'],
    ['--last', '7', '-o', 'json'],
    ['--first', '9', '-o', 'json', '--field-mask', 'uuid,source.pod_name'],
    ['--first', '3', '-o', 'compact', '--since', '2020-01-01T00:00:00Z', '--until', '2020-01-01T00:00:01Z'],
    ['--last', '4', '--cel-expression', 'no such thing'],
]


@pytest.fixture(scope='module')
def both():
    """Addresses of one and the same, of which the second has only Hubble's calls."""
    with Node('n', path=golden('real.jsonl')) as node:
        node.wait_replayed()
        with Relay(peers=['n=' + node.socket]) as relay:
            relay.wait_states(n=CONNECTED)
            with standing_for(node.tcp) as plain, standing_for(relay.address) as plain_relay:
                yield {'observer': (node.tcp, plain), 'relay': (relay.address, plain_relay)}


@pytest.mark.parametrize('who, words', [('observer', w) for w in OBSERVE] + [('relay', w) for w in OBSERVE[::4]])
def test_observe_prints_the_same_by_the_batch_and_by_the_standard_call(both, who, words):
    address, plain = both[who]
    by_batch = tycho('observe', '--server', address, *words)
    before = len(plain.paths)
    by_flow = tycho('observe', '--server', plain.address, *words)
    assert GET_FLOWS in plain.paths[before:]
    assert (by_batch.stdout, by_batch.returncode) == (by_flow.stdout, by_flow.returncode)
    # but for the time of day, and for whether it is whole, which the plain server has no call for
    said = [[re.sub(r'\d+:\d+:\d+\.\d+', '', x) for x in p.stderr.splitlines() if 'complete' not in x] for p in (by_batch, by_flow)]
    assert said[0] == said[1]
    assert by_batch.stdout or by_batch.stderr


@pytest.mark.parametrize('who', ['observer', 'relay'])
def test_observe_follows_the_same_by_the_batch_and_by_the_standard_call(both, who):
    address, plain = both[who]
    got = []
    for server in (address, plain.address):
        with subprocess.Popen([os.path.join(BIN, 'tycho'), 'observe', '--server', server, '--follow', '--last', '50', '-o', 'json'],
                              stdout=subprocess.PIPE, text=True) as p:
            head = [p.stdout.readline() for _ in range(50)]  # they come without anything behind them
            p.send_signal(signal.SIGINT)
            assert len(p.stdout.read().splitlines()) <= 1 and p.wait(20) == 0
        got.append([x for x in head if 'node_status' not in x][:49])
    assert got[0] == got[1] and len(got[0]) == 49


# --- what the caller says of itself --------------------------------------------------------------------------------


def forwarded(*options):
    """What metadata reaches a peer by GetFlows and by ServerStatus."""
    mine = [('hubble-cli-version', '1.19.4'), ('x-tag-bin', b'\x00\xff'), ('authorization', 'Bearer secret')]

    def answer(path, request, context):
        if path.endswith('/ServerStatus'):
            yield wire.message('observer.ServerStatusResponse')().SerializeToString()
        yield from ()
    with Impostor(answer) as peer, Relay(*options, peers=['p=' + peer.address]) as relay:
        relay.wait_states(p=CONNECTED)
        with relay.client() as client:
            list(client.GetFlows(number=1, metadata=mine))
            client.ServerStatus(metadata=mine)
        return [{k: v for k, v in peer.metadata[path] if k not in ('user-agent', 'tycho-flow-table', 'tycho-flow-tables')}
                for path in (GET_FLOWS, '/observer.Observer/ServerStatus')]


def test_the_callers_metadata_goes_on_to_the_peers_but_for_its_authorization():
    assert forwarded() == 2 * [{'hubble-cli-version': '1.19.4', 'x-tag-bin': b'\x00\xff'}]


def test_the_callers_authorization_goes_on_to_the_peers_when_that_is_asked_for():
    assert forwarded('--forward-authorization') == 2 * [{
        'hubble-cli-version': '1.19.4', 'x-tag-bin': b'\x00\xff', 'authorization': 'Bearer secret'}]


def test_headers_that_are_too_many_to_go_on_are_refused_and_none_is_left_out():
    def answer(path, request, context):
        if path.endswith('/ServerStatus'):
            yield wire.message('observer.ServerStatusResponse')().SerializeToString()
        yield from ()

    def mine(count):
        return [('x-%02d' % i, 'v') for i in range(count)]
    with Impostor(answer) as peer, Relay(peers=['p=' + peer.address]) as relay:
        relay.wait_states(p=CONNECTED)
        with relay.client() as client:
            list(client.GetFlows(number=1, metadata=mine(32)))
            assert [m for m in peer.metadata[GET_FLOWS] if m[0].startswith('x-')] == mine(32)
            words = ('INVALID_ARGUMENT', 'more than 32 headers or 8192 bytes of them cannot go on to the nodes')
            for call in (lambda m: client.GetFlows(number=1, metadata=m), lambda m: client.GetNodes(metadata=m)):
                for count in (33, 60):
                    assert wire.status_of(lambda: call(mine(count))) == words
