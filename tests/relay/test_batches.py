"""tycho.v1: flows by the batch between our own programs, and Hubble's words for everybody else."""
import pytest

import wire
from cluster import (CONNECTED, ERROR, UNAVAILABLE, Impostor, Node, Relay, batch, cluster, of, response, split, unbatch)
from observer import BASE_S

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
    flows = {n: [of(n, i, verdict='DROPPED' if i % 5 == 0 else 'FORWARDED') for i in range(2000)] for n in 'abc'}
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


def test_batches_are_few_and_not_too_large(three):
    _, nodes = three
    with nodes['a'].client() as client:
        got = batches(client, number=wire.ALL, first=True)
    assert sum(len(b.responses) for b in got) == 2000
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
def test_a_batch_that_cannot_be_read_is_an_error_of_that_node(bytes_):
    def answer(path, request, context):
        if path == GET_BATCHES:
            yield batch(response('liar', BASE_S, 'liar-0'), response('liar', BASE_S + 1, 'liar-1')) + bytes_
            yield batch(response('liar', BASE_S + 2, 'liar-2'))
    with Impostor(answer, ours=[GET_BATCHES]) as liar:
        with cluster('--peer', 'liar=' + liar.address, a=lines('a', 3)) as (relay, _):
            relay.wait_states(a=CONNECTED)
            with relay.client() as client:
                flows, states = split(client.GetFlows(first=True, number=wire.ALL))
    assert flows == ['a-0', 'liar-0', 'a-1', 'liar-1', 'a-2']
    assert states[1] == (ERROR, ['liar'], 'the peer sent bytes that are no flow')


def test_a_batch_of_more_flows_than_anybody_needs_is_an_error_of_that_node():
    def answer(path, request, context):
        if path == GET_BATCHES:
            yield b'\x0a\x00' * 70000
    with Impostor(answer, ours=[GET_BATCHES]) as liar:
        with cluster('--peer', 'liar=' + liar.address, a=lines('a', 3)) as (relay, _):
            relay.wait_states(a=CONNECTED)
            with relay.client() as client:
                _, states = split(client.GetFlows(first=True, number=wire.ALL))
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
                assert client.ServerStatus().seen_flows == 30
                flows, _ = split(client.GetFlows(first=True, number=wire.ALL, whitelist=[{'node_name': ['west/']}]))
                assert flows == ['west/n1-%d' % i for i in range(2, 30, 3)]


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
        return [{k: v for k, v in peer.metadata[path] if k != 'user-agent'}
                for path in (GET_FLOWS, '/observer.Observer/ServerStatus')]


def test_the_callers_metadata_goes_on_to_the_peers_but_for_its_authorization():
    assert forwarded() == 2 * [{'hubble-cli-version': '1.19.4', 'x-tag-bin': b'\x00\xff'}]


def test_the_callers_authorization_goes_on_to_the_peers_when_that_is_asked_for():
    assert forwarded('--forward-authorization') == 2 * [{
        'hubble-cli-version': '1.19.4', 'x-tag-bin': b'\x00\xff', 'authorization': 'Bearer secret'}]
