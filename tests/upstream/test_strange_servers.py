"""Servers that speak Hubble's API in ways of their own: relays that repeat themselves, nonsense, certificates."""
import os
import shutil

import grpc
import pytest

import wire
from cluster import Impostor, response
from follower import Following
from observer import Observer, flow
from pki import Authority

BASE_S = 1_700_000_000
ServerStatusResponse = wire.message('observer.ServerStatusResponse')


def at(node, i):
    return response(node, BASE_S + i, '%s-%d' % (node, i))


def status(state, *names, message=''):
    r = wire.GetFlowsResponse()
    r.node_status.state_change = state
    r.node_status.node_names.extend(names)
    r.node_status.message = message
    return r.SerializeToString()


def batch(*responses):
    """A tycho.v1.FlowBatch: field 1, again and again."""
    def varint(n):
        return bytes([n]) if n < 128 else bytes([n & 127 | 128]) + varint(n >> 7)
    return b''.join(b'\x0a' + varint(len(r)) + r for r in responses)


class Server:
    """flows: what each call of GetFlows says, one list after the other, the last one for ever; it then ends the call, or
    with stay=True keeps the last one open. batched: it has our own GetFlowBatches, and these are batches."""

    def __init__(self, *flows, stay=True, batched=False):
        self.flows, self.stay, self.method = list(flows), stay, 'GetFlowBatches' if batched else 'GetFlows'
        self.calls, self.requests, self.impostor = {}, [], None

    def answer(self, method, request, context):
        method = method.rsplit('/', 1)[1]
        self.calls[method] = self.calls.get(method, 0) + 1
        if method == 'ServerStatus':
            yield ServerStatusResponse(version='odd', uptime_ns=10 ** 18).SerializeToString()
        elif method != self.method:
            context.abort(grpc.StatusCode.UNIMPLEMENTED, method + ' not yet implemented')
        else:
            self.requests.append(wire.GetFlowsRequest.FromString(request))
            last = len(self.requests) >= len(self.flows)
            yield from self.flows[min(len(self.requests), len(self.flows)) - 1]
            if last and self.stay:
                while context.is_active() and not self.impostor.stopping.wait(0.05):
                    pass


@pytest.fixture
def serve():
    running = []

    def start(*flows, **kw):
        server = Server(*flows, **kw)
        server.impostor = Impostor(server.answer, ours=['/tycho.v1.Flows/' + server.method])
        server.impostor.__enter__()
        running.append(server.impostor)
        server.address = server.impostor.address
        return server
    yield start
    for impostor in running:
        impostor.__exit__()


def test_a_relay_that_tells_a_nodes_past_again_in_mid_stream_makes_no_duplicates(serve):
    # as Hubble's relay does when a node was away: the same request, the same backlog
    server = serve([status(1, 'a', 'b'), at('a', 0), at('b', 0), at('a', 1), at('b', 1),
                    status(4, 'b', message='connection reset'), at('a', 2),
                    at('b', 0), at('b', 1), at('b', 2), at('a', 3)])
    with Following(server.address) as ob:
        assert ob.wait_uuids(7) == ['a-0', 'b-0', 'a-1', 'b-1', 'a-2', 'b-2', 'a-3']
        assert ob.lost() == []
        told = ob.wait_agent_event('hubble-nodes', 2)
        assert [(e['state'], e['nodes'], e['message']) for e in told] == \
            [('NODE_CONNECTED', ['a', 'b'], ''), ('NODE_ERROR', ['b'], 'connection reset')]


def test_a_node_that_comes_back_without_its_past_leaves_a_gap_of_its_own(serve):
    server = serve([at('a', 0), at('b', 0), status(2, 'b'), at('a', 1), at('b', 9), at('b', 10), at('a', 2)])
    with Following(server.address) as ob:
        assert ob.wait_uuids(6) == ['a-0', 'b-0', 'a-1', 'b-9', 'b-10', 'a-2']
        lost, = ob.lost()
        assert lost.node_name == 'b'
        assert (lost.lost_events.first.seconds, lost.lost_events.last.seconds) == (BASE_S, BASE_S + 9)


def test_streams_that_end_are_asked_for_again_from_where_they_stopped(serve):
    server = serve([at('a', 0), at('a', 10)], [at('a', 10), at('a', 11), at('b', 3)], [at('a', 11), at('b', 3), at('b', 4)])
    with Following(server.address) as ob:
        assert ob.wait_uuids(5) == ['a-0', 'a-10', 'a-11', 'b-3', 'b-4']
        first, second, third = server.requests
        assert all(r.follow and not r.number and not r.whitelist for r in server.requests)
        assert second.since.seconds == BASE_S + 5
        assert third.since.seconds == BASE_S - 2  # of b, which is further behind
        assert ob.lost() == []


def test_a_lost_event_that_comes_with_each_call_is_kept_once(serve):
    lost = wire.GetFlowsResponse(node_name='a')
    lost.lost_events.source, lost.lost_events.num_events_lost = 2, 9
    lost.time.seconds = BASE_S
    lost = lost.SerializeToString()
    server = serve([lost, at('a', 1)], [lost, at('a', 1), at('a', 2)], [lost, at('a', 2), at('a', 3)])
    with Following(server.address) as ob:
        ob.wait_uuids(3)
        kept, = ob.lost()
        assert (kept.lost_events.num_events_lost, kept.node_name, kept.time.seconds) == (9, 'a', BASE_S)


def test_a_server_without_agent_and_debug_events_is_asked_for_them_once_a_connection(serve):
    server = serve([at('a', 0)], [at('a', 0), at('a', 1)])
    with Following(server.address) as ob:
        ob.wait_uuids(2)
        ob.wait(lambda: server.calls.get('GetAgentEvents') == 2 and server.calls.get('GetDebugEvents') == 2,
                'the calls %s' % server.calls)
        assert len(server.requests) == 2


def test_bytes_that_are_no_message_are_left_out_and_the_stream_is_begun_anew(serve):
    server = serve([at('a', 0), b'\xff\xff\xff', at('a', 1)], [at('a', 0), b'', at('a', 1), at('a', 2)])
    with Following(server.address) as ob:
        assert ob.wait_uuids(3) == ['a-0', 'a-1', 'a-2']
        assert 'sent bytes that are no message' in ob.log()


def test_flows_come_by_the_batch_where_the_server_has_them(serve):
    lost = wire.GetFlowsResponse(node_name='a')
    lost.lost_events.num_events_lost = 3
    lost.time.seconds = BASE_S
    server = serve([batch(at('a', 0), at('b', 0)), batch(*(at('a', i) for i in range(1, 400)))],
                   [batch(at('a', 395)), batch(), batch(at('a', 399), status(1, 'a'), at('b', 0), at('b', 1),
                                                       lost.SerializeToString())], batched=True)
    with Following(server.address) as ob:
        assert ob.wait_uuids(402) == ['a-0', 'b-0', *('a-%d' % i for i in range(1, 400)), 'b-1']
        assert 'GetFlows' not in server.calls
        assert [m.lost_events.num_events_lost for m in ob.lost()] == [3]
        assert server.requests[1].since.seconds == BASE_S - 5  # of b


def test_a_batch_that_breaks_off_is_taken_up_to_there(serve):
    good, more = batch(at('a', 0), at('a', 1)), batch(at('a', 2))
    server = serve([good + more[:-1]], [batch(at('a', 0), b'\xff\xff\xff', at('a', 1))],
                   [good + more, batch(at('a', 3))], batched=True)
    with Following(server.address) as ob:
        assert ob.wait_uuids(4) == ['a-%d' % i for i in range(4)]
        assert ob.log().count('sent bytes that are no message') == 2


def test_flows_without_uuid_node_or_time_are_kept(serve):
    bare = wire.GetFlowsResponse()
    bare.flow.Summary = 'bare'
    dated = wire.GetFlowsResponse()
    dated.flow.Summary = 'dated'
    dated.flow.time.seconds = dated.time.seconds = BASE_S
    bare, dated = bare.SerializeToString(), dated.SerializeToString()
    server = serve([bare, dated], [dated, at('', 1)])
    with Following(server.address) as ob:
        ob.wait_uuids(3)
        assert [m.flow.Summary for m in ob.messages() if m.HasField('flow')] == ['bare', 'dated', '']


# --- TLS -----------------------------------------------------------------------------------------


def test_tls_with_certificates_on_both_sides(tmp_path):
    ours, theirs = Authority(tmp_path, 'ours'), Authority(tmp_path, 'theirs')
    cert, key = theirs.issue('server', san='DNS:*.hubble-relay.cilium.io')
    client_cert, client_key = ours.issue('client')
    with Observer('--tls-cert-file', cert, '--tls-key-file', key, '--tls-client-ca-file', ours.cert,
                  lines=[flow(0)]) as up:
        options = ['--hubble-ca-file', theirs.cert, '--hubble-cert-file', client_cert, '--hubble-key-file', client_key]
        with Following(up.tcp, *options, '--hubble-tls-name', 'ui.hubble-relay.cilium.io') as ob:
            assert ob.wait_uuids(1) == ['flow-0']
        with Following(up.tcp, *options) as ob:  # another name than the certificate's
            ob.wait(lambda: 'hubble server is away' in ob.log(), 'a word in the log')
            assert ob.uuids() == []


def test_a_certificate_that_is_renewed_while_there_is_no_connection_is_taken(tmp_path):
    right, wrong = Authority(tmp_path, 'right'), Authority(tmp_path, 'wrong')
    cert, key = right.issue('server')
    trusted = tmp_path / 'trusted.pem'
    shutil.copy(wrong.cert, trusted)
    with Observer('--tls-cert-file', cert, '--tls-key-file', key, lines=[flow(0)]) as up:
        with Following(up.tcp, '--hubble-ca-file', str(trusted)) as ob:
            ob.wait(lambda: 'hubble server is away' in ob.log(), 'a word in the log')
            shutil.copy(right.cert, tmp_path / 'new.pem')
            os.rename(tmp_path / 'new.pem', trusted)
            assert ob.wait_uuids(1) == ['flow-0']


def test_certificates_that_are_not_there_are_told_at_the_start(tmp_path):
    with pytest.raises(RuntimeError, match='hubble server.*nowhere.pem'):
        with Following('localhost:1', '--hubble-ca-file', str(tmp_path / 'nowhere.pem')):
            pass
