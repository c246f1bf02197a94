"""Calls of tycho.v1 in which each node speaks for itself, through a relay: each one's words in order, and who has none."""
import json
import threading

import grpc
import pytest

import wire
from cluster import CONNECTED, UNAVAILABLE, Impostor, Node, Relay, of, split
from daemon import together, until
from observer import BASE_S, stamp, tycho

COVERAGE, MAP, EXPORT = '/tycho.v1.History/GetCoverage', '/tycho.v1.History/GetServiceMap', '/tycho.v1.Evidence/Export'
Coverage = wire.message('tycho.v1.GetCoverageResponse')
Map = wire.message('tycho.v1.GetServiceMapResponse')
Exported = wire.message('tycho.v1.ExportResponse')


def speaker(path, *messages, then=None):
    """A node that answers @path with these messages, and may end with a status."""
    asked = []

    def answer(method, request, context):
        if method.endswith('/ServerStatus'):
            yield b''
        if method != path:
            return
        asked.append(request)
        for m in messages:
            yield m.SerializeToString()
        if then:
            context.abort(*then)
    node = Impostor(answer, ours=[path])
    node.asked = asked
    return node


def relayed(**nodes):
    return Relay('--sort-buffer-drain-timeout', '200ms', peers=['%s=%s' % (n, x.address) for n, x in nodes.items()])


def test_the_coverage_of_every_node_and_why_a_node_has_none():
    a = speaker(COVERAGE, Coverage(node_name='a', records=7, has_store=True))
    b = speaker(COVERAGE, Coverage(node_name='b', records=9), then=(grpc.StatusCode.DATA_LOSS, 'the store is damaged'))

    def hubble(method, request, context):
        yield from ()
    with a, b, Impostor(hubble) as h:
        with Relay('--sort-buffer-drain-timeout', '200ms', peers=[
                'a=' + a.address, 'b=' + b.address, 'h=' + h.address, 'gone=127.0.0.1:1']) as relay, relay.client() as client:
            relay.wait_states(gone=UNAVAILABLE)
            got = list(client.call('tycho.v1.History', 'GetCoverage', since={'seconds': 5}))
    assert sorted((c.node_name, c.records, c.error) for c in got) == [
        ('a', 7, ''), ('b', 0, 'rpc error: code = DataLoss desc = the store is damaged'), ('b', 9, ''),
        ('gone', 0, 'it cannot be reached'),
        ('h', 0, "it does not tell what it keeps, as Hubble's servers do not")]
    assert a.asked == b.asked == [b'\x0a\x02\x08\x05']


def test_a_node_that_owes_its_coverage_and_is_silent_is_named():
    release = threading.Event()

    def dead(method, request, context):
        release.wait(60)  # its health, too
        yield from ()
    a = speaker(COVERAGE, Coverage(node_name='a'))
    with a, Impostor(dead, ours=[COVERAGE]) as d:
        with Relay('--sort-buffer-drain-timeout', '200ms', '--peer-timeout', '2s',
                   peers=['a=' + a.address, 'd=' + d.address]) as relay, relay.client() as client:
            try:
                got = list(client.call('tycho.v1.History', 'GetCoverage', timeout=60))
            finally:
                release.set()
    assert [(c.node_name, bool(c.error)) for c in got] == [('a', False), ('d', True)]


def test_what_a_node_exports_keeps_its_order():
    def pieces(name, n):
        return [Exported(node_name=name, block={'entry': i}) for i in range(n)] + [
            Exported(node_name=name, statement={'text': 'the end of ' + name})]
    a, b = speaker(EXPORT, *pieces('a', 300)), speaker(EXPORT, *pieces('b', 200))
    with a, b, relayed(a=a, b=b) as relay, relay.client() as client:
        relay.wait_states(a=CONNECTED, b=CONNECTED)
        got = list(client.call('tycho.v1.Evidence', 'Export', nonce=b'x' * 16))
    for name, n in (('a', 300), ('b', 200)):
        mine = [x for x in got if x.node_name == name]
        assert [x.block.entry for x in mine[:-1]] == list(range(n))
        assert mine[-1].statement.text == 'the end of ' + name
    assert len(got) == 502


def test_a_node_that_knows_no_evidence_says_so_in_words():
    a, h = speaker(EXPORT, Exported(node_name='a')), speaker(COVERAGE)
    with a, h, relayed(a=a, h=h) as relay, relay.client() as client:
        relay.wait_states(a=CONNECTED, h=CONNECTED)
        got = list(client.call('tycho.v1.Evidence', 'Export', nonce=b'x' * 16))
    assert sorted((x.node_name, x.error) for x in got) == [
        ('a', ''), ('h', "it has no evidence to export, as Hubble's servers have none")]


def test_a_map_is_complete_when_every_node_has_told_its_part():
    a = speaker(MAP, Map(node_name='a', edges=[{'port': 1}]), Map(node_name='a', edges=[{'port': 2}], snapshot_complete=True))
    b = speaker(MAP, Map(node_name='b', edges=[{'port': 3}], snapshot_complete=True))
    with a, b, Relay(peers=['a=' + a.address, 'b=' + b.address, 'gone=127.0.0.1:1']) as relay, relay.client() as client:
        relay.wait_states(a=CONNECTED, b=CONNECTED, gone=UNAVAILABLE)
        got = list(client.call('tycho.v1.History', 'GetServiceMap'))
    assert sorted((m.node_name, e.port) for m in got for e in m.edges) == [('a', 1), ('a', 2), ('b', 3)]
    assert [(m.node_name, m.snapshot_complete) for m in got if m.snapshot_complete] == [('the-relay', True)]
    assert got[-1].snapshot_complete


def test_a_map_that_all_nodes_refuse_is_refused_and_one_that_some_tell_is_told():
    wrong = (grpc.StatusCode.INVALID_ARGUMENT, 'rates of 9000 steps')
    a, b, c = speaker(MAP, then=wrong), speaker(MAP, then=wrong), speaker(MAP, Map(node_name='c', snapshot_complete=True))
    with a, b, c:
        with relayed(a=a, b=b) as relay, relay.client() as client:
            relay.wait_states(a=CONNECTED, b=CONNECTED)
            with pytest.raises(grpc.RpcError) as refused:
                list(client.call('tycho.v1.History', 'GetServiceMap'))
        assert (refused.value.code(), refused.value.details()) == wrong
        with relayed(a=a, c=c) as relay, relay.client() as client:
            relay.wait_states(a=CONNECTED, c=CONNECTED)
            got = list(client.call('tycho.v1.History', 'GetServiceMap'))
    assert [m.node_name for m in got if not m.snapshot_complete] == ['c']
    assert got[-1].snapshot_complete


def hubble(method, request, context):
    if method.endswith('/ServerStatus'):
        yield b''


def test_a_map_that_nobody_has_is_no_empty_map():
    def asked(relay):
        with relay.client() as client:
            return wire.status_of(lambda: client.call('tycho.v1.History', 'GetServiceMap'))
    away = (grpc.StatusCode.UNAVAILABLE, 'going down')
    with Impostor(hubble) as h, speaker(MAP, then=away) as d:
        with relayed(h=h) as relay:
            relay.wait_states(h=CONNECTED)
            assert asked(relay)[0] == 'UNIMPLEMENTED'
        with relayed(h=h, d=d) as relay:  # there might be one
            relay.wait_states(h=CONNECTED, d=CONNECTED)
            assert asked(relay) == ('UNAVAILABLE', 'going down')
    with Relay(peers=['gone=127.0.0.1:1']) as relay:
        relay.wait_states(gone=UNAVAILABLE)
        assert asked(relay) == ('UNAVAILABLE', 'no node that can be reached has a map')


@pytest.mark.parametrize('code', ['INVALID_ARGUMENT', 'UNKNOWN', 'PERMISSION_DENIED'])
def test_a_node_that_refuses_a_map_is_not_asked_again_by_a_follower(code):
    """The other one fails each time, so it is asked again and again: as often would be the one that refuses."""
    def flapping(method, request, context):
        if method.endswith('/ServerStatus'):
            yield b''
        if method == MAP:
            yield Map(node_name='f', snapshot_complete=True).SerializeToString()
            context.abort(grpc.StatusCode.UNAVAILABLE, 'restarting')
    a = speaker(MAP, then=(grpc.StatusCode[code], 'not so'))
    with a, Impostor(flapping, ours=[MAP]) as f, relayed(a=a, f=f) as relay, relay.client(fast=False) as client:
        relay.wait_states(a=CONNECTED, f=CONNECTED)
        stream = client.call('tycho.v1.History', 'GetServiceMap', follow=True, timeout=60)
        told = [m.node_name for m, _ in zip((m for m in stream if m.node_name == 'f'), range(4))]
        stream.cancel()
    assert told == ['f'] * 4 and len(a.asked) == 1


def test_a_filter_that_the_nodes_refuse_is_refused_in_their_words():
    wrong = dict(whitelist=[{'dns_query': ['(']}])
    with Node('a', lines=[of('a', 0)]) as a, Relay(peers=[a.peer]) as relay:
        relay.wait_states(a=CONNECTED)
        with relay.client() as client, wire.Client(a.socket) as alone:
            def said(c, service, method):
                return wire.status_of(lambda: c.call(service, method, **wrong))
            for call in (('tycho.v1.History', 'GetServiceMap'), ('tycho.v1.Flows', 'GetFilteredStatus')):
                assert said(client, *call) == said(alone, *call)
                assert 'regexp' in said(client, *call)[1]


def test_a_map_that_is_followed_goes_on_when_a_node_comes_back():
    rounds = []
    again = threading.Event()

    def flapping(method, request, context):
        if method.endswith('/ServerStatus'):
            yield b''
        if method != MAP:
            return
        rounds.append(request)
        yield Map(node_name='f', edges=[{'port': len(rounds)}], snapshot_complete=True).SerializeToString()
        if len(rounds) == 1:
            context.abort(grpc.StatusCode.UNAVAILABLE, 'restarting')
        again.wait(60)
    with Impostor(flapping, ours=[MAP]) as f, relayed(f=f) as relay, relay.client(fast=False) as client:
        relay.wait_states(f=CONNECTED)
        stream = client.call('tycho.v1.History', 'GetServiceMap', follow=True, timeout=60)
        got = []
        for m in stream:
            got.append((m.node_name, [e.port for e in m.edges], m.snapshot_complete))
            if len(got) == 3:
                break
        again.set()
        stream.cancel()
    assert got == [('f', [1], False), ('the-relay', [], True), ('f', [2], False)]


def test_a_map_that_is_followed_up_to_an_end_ends_when_every_node_has_told_all():
    """The end is far away by this clock: nodes end by theirs."""
    a, b = (speaker(MAP, Map(node_name=n, snapshot_complete=True)) for n in 'ab')
    with a, b, relayed(a=a, b=b) as relay, relay.client(fast=False) as client:
        relay.wait_states(a=CONNECTED, b=CONNECTED)
        got = list(client.call('tycho.v1.History', 'GetServiceMap', follow=True, until={'seconds': 4000000000}, timeout=60))
    assert sorted(m.node_name for m in got) == ['a', 'b', 'the-relay']
    assert len(a.asked) == len(b.asked) == 1


def test_a_map_that_is_followed_up_to_an_end_that_has_passed_waits_for_nobody_who_is_away():
    a, b = speaker(MAP, Map(node_name='a', snapshot_complete=True)), speaker(MAP, then=(grpc.StatusCode.UNAVAILABLE, 'restarting'))
    with a, b, Relay(peers=['a=' + a.address, 'b=' + b.address, 'gone=127.0.0.1:1']) as relay, relay.client(fast=False) as client:
        relay.wait_states(a=CONNECTED, b=CONNECTED, gone=UNAVAILABLE)
        got = list(client.call('tycho.v1.History', 'GetServiceMap', follow=True, until={'seconds': 1}, timeout=60))
    assert [(m.node_name, m.snapshot_complete) for m in got] == [('a', False), ('the-relay', True)]
    assert len(b.asked) == 1


@pytest.mark.parametrize('service, method', [('History', 'GetCoverage'), ('History', 'GetServiceMap'), ('Evidence', 'Export')])
def test_a_request_that_is_no_message_is_refused(service, method):
    with Relay(peers=['gone=127.0.0.1:1']) as relay, relay.client() as client:
        call = lambda: client.raw('/tycho.v1.%s/%s' % (service, method), b'\xff\xff', streams=True)
        assert wire.status_of(call) == ('INVALID_ARGUMENT', 'the request is no valid tycho.v1.%sRequest' % method)


# --- real nodes ------------------------------------------------------------------------------------------------------


SMALL, FLOWS = 127, 600


@pytest.fixture(scope='module')
def with_stores():
    """Two nodes whose logs hold the newest flows, and their stores all, under a relay."""
    a, b = [Node(n, '--ring-capacity', str(SMALL), '--seal-period', '100ms', has_store=True) for n in 'ab']
    with together(a, b):
        for first in range(0, FLOWS, 100):  # no more than the log holds until the store has it
            for node in (a, b):
                node.feed([of(node.name, i) for i in range(first, first + 100)])
            for node in (a, b):
                stored(node, first + 100)
        with Relay(peers=[a.peer, b.peer]) as relay:
            relay.wait_states(a=CONNECTED, b=CONNECTED)
            yield relay


def stored(node, n):
    with node.client() as client:
        until(lambda: [c.records for c in client.call('tycho.v1.History', 'GetCoverage')] >= [n])


IN_ORDER = ['%s-%d' % (n, i) for i in range(FLOWS) for n in 'ab']


def test_since_reaches_into_every_nodes_history(with_stores):
    with with_stores.client() as client:
        for how in (client.GetFlows(since={'seconds': BASE_S}, number=wire.ALL), client.GetFlows(first=True, number=wire.ALL)):
            assert split(how)[0] == IN_ORDER
        batches = client.call('tycho.v1.Flows', 'GetFlowBatches', since={'seconds': BASE_S + 5}, number=300)
        assert split(r for b in batches for r in b.responses)[0] == IN_ORDER[10:610]  # 300 of each node
        assert split(client.GetFlows(number=400))[0] == IN_ORDER[-800:]


def test_an_end_alone_is_all_before_it_of_every_node(with_stores):
    """As Hubble's CLI asks for --until, with --all, and with --last."""
    with with_stores.client() as client:
        for i in 5, FLOWS - SMALL + 5, FLOWS - 5:
            assert split(client.GetFlows(until={'seconds': BASE_S + i}))[0] == IN_ORDER[:2 * i + 2]
            assert split(client.GetFlows(until={'seconds': BASE_S + i}, number=6))[0] == IN_ORDER[2 * i - 10:2 * i + 2]
    p = tycho('--server', with_stores.address, 'observe', '--until', stamp(9), '-o', 'json', check=0)
    assert [json.loads(line)['flow']['uuid'] for line in p.stdout.splitlines()] == IN_ORDER[:20]


def test_the_command_shows_the_coverage_of_every_node(with_stores):
    p = tycho('--server', with_stores.address, 'coverage', '-o', 'json', check=0)
    got = sorted((n['node_name'], int(n['records']) >= FLOWS) for n in map(json.loads, p.stdout.splitlines()))
    assert got == [('a', True), ('b', True)]


def test_the_command_counts_what_every_node_has_of_a_range(with_stores):
    p = tycho('--server', with_stores.address, 'coverage', '--since', stamp(10), '--until', stamp(19), check=0)
    rows = [line.split() for line in p.stdout.splitlines()[1:]]
    assert [[r[0], r[4]] for r in rows if r[1] == 'covered'] == [['a', '10'], ['b', '10']]


def test_the_status_sums_up_what_the_nodes_keep(with_stores):
    lines = tycho('--server', with_stores.address, 'status', check=0).stdout.splitlines()
    assert lines[4].startswith('History: 2/2 nodes, 1,') and lines[5] == 'Retention: 7d, 10.0 GiB', lines
    said = json.loads(tycho('--server', with_stores.address, 'status', '-o', 'json', check=0).stdout)
    assert [n['node_name'] for n in said['history']] == ['a', 'b'] and said['num_connected_nodes'] == 2


def test_of_a_server_without_history_the_status_is_as_hubbles():
    def answer(path, request, context):
        if path.endswith('Health/Check'):
            yield wire.message('grpc.health.v1.HealthCheckResponse')(status=1).SerializeToString()
        elif path.endswith('/ServerStatus'):
            yield wire.message('observer.ServerStatusResponse')(num_flows=7, max_flows=10, seen_flows=9, flows_rate=1).SerializeToString()

    with Impostor(answer) as hubble:
        said = {form: tycho('--server', hubble.address, 'status', '-o', form, check=0) for form in ('compact', 'dict', 'table', 'json')}
    assert {p.stderr for p in said.values()} == {''}
    assert said['compact'].stdout.splitlines()[1:] == ['Current/Max Flows: 7/10 (70.00%)', 'Flows/s: 1.00']
    assert len(said['dict'].stdout.splitlines()) == 8
    assert said['table'].stdout.splitlines()[0].endswith('NUM UNAVAILABLE NODES   VERSION')
    assert 'history' not in json.loads(said['json'].stdout)


def test_a_status_whose_history_does_not_come_is_a_status_all_the_same():
    def answer(path, request, context):
        if path.endswith('Health/Check'):
            yield wire.message('grpc.health.v1.HealthCheckResponse')(status=1).SerializeToString()
        elif path.endswith('/ServerStatus'):
            yield wire.message('observer.ServerStatusResponse')(num_flows=7, max_flows=10).SerializeToString()
        else:
            hangs.stopping.wait(60)

    with Impostor(answer, ours=[COVERAGE]) as hangs:
        p = tycho('--server', hangs.address, 'status', '--request-timeout', '4s', check=0)
    assert p.stdout.splitlines()[1] == 'Current/Max Flows: 7/10 (70.00%)' and 'History' not in p.stdout
    assert p.stderr == 'of history nothing is known: no answer within --request-timeout\n'


def test_the_evidence_of_every_node_is_exported_and_verifies(with_stores, tmp_path):
    bundle = str(tmp_path / 'bundle.tar.zst')
    tycho('--server', with_stores.address, 'evidence', 'export', '--since', '2023-01-01T00:00:00Z', '-o', bundle, check=0)
    p = tycho('evidence', 'verify', bundle)
    print(p.stdout, p.stderr)
    assert p.returncode == 0
