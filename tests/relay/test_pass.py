"""Calls of tycho.v1 in which each node speaks for itself, through a relay: each one's words in order, and who has none."""
import threading

import grpc
import pytest

import wire
from cluster import CONNECTED, UNAVAILABLE, Impostor, Relay

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
        ('h', 0, 'rpc error: code = Unimplemented desc = Method not found!')]
    assert a.asked == b.asked == [b'\x0a\x02\x08\x05']


def test_a_node_that_owes_its_coverage_and_is_silent_is_named():
    release = threading.Event()

    def dead(method, request, context):
        release.wait(60)  # its health, too
        yield from ()
    a = speaker(COVERAGE, Coverage(node_name='a'))
    with a, Impostor(dead, ours=[COVERAGE]) as d:
        with Relay('--sort-buffer-drain-timeout', '200ms', '--peer-timeout', '500ms',
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


def test_a_map_is_complete_when_every_node_has_told_its_part():
    a = speaker(MAP, Map(node_name='a', edges=[{'port': 1}]), Map(node_name='a', edges=[{'port': 2}], snapshot_complete=True))
    b = speaker(MAP, Map(node_name='b', edges=[{'port': 3}], snapshot_complete=True))
    with a, b, Relay(peers=['a=' + a.address, 'b=' + b.address, 'gone=127.0.0.1:1']) as relay, relay.client() as client:
        relay.wait_states(a=CONNECTED, b=CONNECTED, gone=UNAVAILABLE)
        got = list(client.call('tycho.v1.History', 'GetServiceMap'))
    assert sorted((m.node_name, e.port) for m in got for e in m.edges) == [('a', 1), ('a', 2), ('b', 3)]
    assert [(m.node_name, m.snapshot_complete) for m in got if m.snapshot_complete] == [('the-relay', True)]
    assert got[-1].snapshot_complete


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


@pytest.mark.parametrize('service, method', [('History', 'GetCoverage'), ('History', 'GetServiceMap'), ('Evidence', 'Export')])
def test_a_request_that_is_no_message_is_refused(service, method):
    with Relay(peers=['gone=127.0.0.1:1']) as relay, relay.client() as client:
        call = lambda: client.raw('/tycho.v1.%s/%s' % (service, method), b'\xff\xff', streams=True)
        assert wire.status_of(call) == ('INVALID_ARGUMENT', 'the request is no protobuf')
