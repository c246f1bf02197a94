"""Callers that mean harm: memory and time stay bounded, and others are served meanwhile."""
import gzip
import struct
import zlib

import pytest

import half_http2
import wire
from observer import Observer, flow

GET_FLOWS = '/observer.Observer/GetFlows'
OK, NO_PROTOBUF, TOO_MUCH, UNREADABLE = 0, 3, 8, 13  # grpc-status: INVALID_ARGUMENT, RESOURCE_EXHAUSTED, INTERNAL
BOMB_BYTES = 256 << 20  # zeros, of which gzip makes a thousandth
HARMLESS_KIB = 64 << 10


@pytest.fixture(scope='module')
def observer():
    with Observer(lines=[flow(0)]) as ob:
        ob.wait_seen(1)
        yield ob


def packed(data, how):
    """Bytes, or as many zeros, as gRPC's encodings have it: gzip's format, or zlib's."""
    if isinstance(data, bytes):
        return gzip.compress(data) if how == 'gzip' else zlib.compress(data)
    z = zlib.compressobj(9, zlib.DEFLATED, 31 if how == 'gzip' else 15)
    piece = bytes(1 << 20)
    return b''.join(z.compress(piece) for _ in range(data >> 20)) + z.flush()


def asked(address, how, data):
    """(message, grpc-status) of GetFlows with a request that is compressed so."""
    with half_http2.Connection(address) as c:
        c.open(1, GET_FLOWS, ('grpc-encoding', how))
        c.send(1, struct.pack('>BI', 1, len(data)) + data)
        c.until_ended(1)
        return c.got.get(1, b'')[5:], c.ended.get(1)


def test_a_compressed_request_is_understood(observer):
    request = wire.GetFlowsRequest(number=1).SerializeToString()
    for how in ('gzip', 'deflate'):
        got, status = asked(observer.tcp, how, packed(request, how))
        assert status == OK and wire.GetFlowsResponse.FromString(got).flow.uuid == 'flow-0'


@pytest.mark.resident
@pytest.mark.parametrize('how', ['gzip', 'deflate'])
def test_a_request_that_unpacks_to_too_much_is_refused_before_it_is_unpacked(observer, how):
    bomb = packed(BOMB_BYTES, how)
    assert len(bomb) < 1 << 20
    before = observer.peak_kib()
    assert asked(observer.tcp, how, bomb) == (b'', TOO_MUCH)
    assert observer.peak_kib() - before < HARMLESS_KIB


def test_a_request_that_unpacks_to_all_that_is_allowed_is_read(observer):
    for size, status in ((4 << 20, NO_PROTOBUF), ((4 << 20) + 1, TOO_MUCH)):
        assert asked(observer.tcp, 'gzip', packed(bytes(size), 'gzip')) == (b'', status)


@pytest.mark.parametrize('how, damage', [('gzip', lambda d: d[:-9]), ('gzip', lambda d: d[:12] + b'\xff' + d[13:]),
                                         ('deflate', lambda d: d[2:]), ('gzip', lambda d: b'')])
def test_a_request_whose_compression_is_damaged_is_refused(observer, how, damage):
    request = wire.GetFlowsRequest(number=1, whitelist=[{'source_pod': ['shop/%d' % i for i in range(100)]}]).SerializeToString()
    assert asked(observer.tcp, how, damage(packed(request, how))) == (b'', UNREADABLE)


# --- many streams -------------------------------------------------------------------------------------------------

FOLLOW = wire.GetFlowsRequest(number=wire.ALL, follow=True).SerializeToString()
MAX_STREAMS, MAX_REQUEST = 1024, 4 << 20


def framed(request):
    return struct.pack('>BI', 0, len(request)) + request


def answers(ob):
    """It answers who asks on a new connection."""
    with ob.client() as c:
        return c.call('grpc.health.v1.Health', 'Check').status == 1


@pytest.mark.resident
def test_requests_that_never_end_are_not_held_without_bound(observer):
    before = observer.peak_kib()
    with half_http2.Connection(observer.tcp) as c:
        for stream in range(1, 200, 2):
            c.open(stream, GET_FLOWS)
            c.send(stream, struct.pack('>BI', 0, MAX_REQUEST) + bytes(MAX_REQUEST - 1), end=False)
            if len(c.ended) > 10:  # the first that were given up, so that others may go on
                break
        assert set(c.ended.values()) <= {TOO_MUCH, None} and len(c.ended) > 10
        assert answers(observer)
    assert observer.peak_kib() - before < 160 << 10


def test_a_connection_has_so_many_streams_whether_it_says_that_it_knows_or_not():
    with Observer(lines=[]) as ob:
        for _ in range(2):  # streams that are gone are counted no more
            with half_http2.Connection(ob.tcp, acknowledges=False) as c:
                last = 2 * (MAX_STREAMS + 200) - 1
                for stream in range(1, last + 1, 2):
                    c.open(stream, GET_FLOWS)
                    c.send(stream, framed(FOLLOW))
                c.until_ended(*range(2 * MAX_STREAMS + 1, last + 1, 2))
                assert sorted(c.ended) == list(range(2 * MAX_STREAMS + 1, last + 1, 2))
                assert c.ended[2 * MAX_STREAMS + 1] == TOO_MUCH  # of the others the number of that header has a number
                assert answers(ob)
                with half_http2.Connection(ob.tcp) as other:  # has its own
                    other.open(1, GET_FLOWS)
                    other.send(1, framed(wire.GetFlowsRequest(number=1).SerializeToString()))
                    other.until_ended(1)
                    assert other.ended == {1: OK}


@pytest.mark.resident
def test_streams_that_nobody_reads_share_what_is_held_for_them():
    flows = [flow(i, Summary='x' * 20_000) for i in range(150)]
    with Observer(lines=flows) as ob:
        ob.wait_seen(len(flows))
        before = ob.peak_kib()
        with half_http2.Connection(ob.tcp, window_bytes=0) as c:
            streams = range(1, 600, 2)
            for stream in streams:
                c.open(stream, GET_FLOWS)
                c.send(stream, framed(FOLLOW))
            with ob.client() as client:  # the last of them has been begun, and this one is served beside them
                assert len(client.flows(number=wire.ALL)) == len(flows)
        assert ob.peak_kib() - before < 350 << 10  # 128 messages of each would be 730 MB


# --- filters that cost much ----------------------------------------------------------------------------------------


@pytest.mark.parametrize('what, one, most', [
    ('filters', lambda n: [{'source_pod': ['shop/%d' % i]} for i in range(n)], 20000),
    ('CEL expressions', lambda n: [{'experimental': {'cel_expression': ['true'] * (n - 1)}}, {'experimental': {'cel_expression': ['true']}}], 64),
    ('regular expressions', lambda n: [{'http_path': ['a'] * (n - 2), 'http_url': ['b'], 'event_type': [{'type': 129}]},
                                       {'dns_query': ['c'], 'event_type': [{'type': 129}]}], 256),
    ('patterns of FQDNs and nodes', lambda n: [{'source_fqdn': ['a*'] * (n - 2), 'destination_fqdn': ['b']}, {'node_name': ['c']}], 4096)])
def test_what_costs_much_is_bounded_in_number(observer, what, one, most):
    with observer.client() as c:
        c.flows(number=1, whitelist=one(most))
        assert wire.status_of(lambda: c.GetFlows(number=1, whitelist=one(most - 1), blacklist=one(2)))[1] == (
            '%d %s in one request: at most %d are taken' % (most + 1, what, most))
