"""What tycho-ui asks: observers, relays, Hubble's servers; killed, frozen, back again. Pages are told, and it comes back by itself."""
import contextlib
import tempfile
import threading
import time

import grpc
import pytest

import wire
from cluster import Impostor, Node, Relay, batch, response
from observer import BASE_S, flow
from ui import Page, Ui, side_by_side

GetFlowsRequest = wire.GetFlowsRequest


def uuids(update):
    return [row['uuid'] for row in update['rows']]


def follow(page, n):
    """The uuids of the next n rows of the view that is watched, none of which is left out."""
    got = []
    while len(got) < n:
        update = page.update()
        assert update['left_out'] == 0
        got += uuids(update)
    return got


def names(first, last):
    return ['flow-%d' % i for i in range(first, last)]


@contextlib.contextmanager
def watched(server, *options, **question):
    """A page that watches, and its server."""
    with Ui(server, *options) as ui, Page(ui) as page:
        page.watch(**question)
        yield page, ui


def seen(i):
    """Flow number i as an agent of Hubble's says it."""
    r = wire.GetFlowsResponse.FromString(response('k8s-1', BASE_S + i, 'flow-%d' % i))
    r.flow.IP.source, r.flow.IP.destination, r.flow.IP.ipVersion = '10.0.0.1', '10.0.0.2', 1
    return r.SerializeToString()


def live(m):
    return m['state']['kind'] == 'live'


def away(m):
    return m['state']['kind'] == 'away'


# --- our own -------------------------------------------------------------------------------------------------------

def test_flows_come_once_each_and_in_order_as_they_are_seen():
    with Node('n0') as node, watched(node.socket) as (page, _):
        page.update(live)
        node.feed([flow(i) for i in range(3)])
        assert follow(page, 3) == names(0, 3)
        node.feed([flow(i) for i in range(3, 5)])
        assert follow(page, 2) == names(3, 5)


@side_by_side
def test_a_server_that_is_killed_is_said_to_be_away_and_its_absence_is_a_gap():
    with Node('n0') as node, watched(node.socket) as (page, _):
        node.feed([flow(0)])
        assert follow(page, 1) == names(0, 1)
        node.kill()
        gone = page.update(away)
        assert gone['state']['reason'] and gone['state']['since'] >= 1000 * BASE_S
        reason = page.of('status', lambda m: 'reason' in m)['reason']
        assert 'Unavailable' in reason or 'DeadlineExceeded' in reason  # it was asked before, or after, its end
        node.restart()
        page.update(live)
        page.of('status', lambda m: 'status' in m)
        node.feed([flow(1)])
        update = page.update(lambda m: m['rows'])
        assert uuids(update) == names(1, 2)  # what was there before does not come again
        assert update['totals']['gaps'] == 1 and update['totals']['gap_ms'] > 0
        assert update['totals']['flows'] == 2


def test_who_asks_as_the_last_one_leaves_follows_too():
    with Node('n') as node, Ui(node.tcp) as ui, Page(ui) as leaving, Page(ui) as coming:
        for i in range(5):
            question = [{'destination_port': ['80', str(1000 + i)]}]
            leaving.watch(allow=question)
            leaving.update()
            leaving.watch()
            coming.watch(allow=question)  # while the answers to it end
            coming.update()
            node.feed([flow(i)])
            coming.update(lambda m, new='flow-%d' % i: new in uuids(m))


@side_by_side
def test_a_server_that_is_frozen_is_said_to_be_away_and_nothing_is_missed_when_it_thaws():
    with Node('n0') as node, watched(node.socket) as (page, _):
        node.feed([flow(0)])
        assert follow(page, 1) == names(0, 1)
        node.freeze()
        try:
            assert 'DeadlineExceeded' in page.update(away)['state']['reason']
            page.of('status', lambda m: 'reason' in m)
            node.feed([flow(1)])
        finally:
            node.thaw()
        update = page.update(lambda m: m['rows'])
        assert uuids(update) == names(1, 2)
        assert page.update(live)['totals']['gaps'] == 0
        page.of('status', lambda m: 'status' in m)


@side_by_side
def test_a_frozen_server_keeps_nobody_from_stopping():
    with Node('n0') as node, watched(node.socket) as (page, ui):
        page.update(live)
        node.freeze()
        try:
            page.update(away)
            assert ui.stop() == 0
        finally:
            node.thaw()


@side_by_side
def test_a_server_that_is_not_there_yet_is_waited_for():
    with Node('n0') as node:
        node.kill()
        with watched(node.socket) as (page, _):
            page.update(away)
            node.restart()
            page.update(live)
            node.feed([flow(0)])
            assert follow(page, 1) == names(0, 1)


@side_by_side
def test_a_past_range_of_a_server_that_is_away_comes_when_it_is_back():
    with Node('n0', lines=[flow(i) for i in range(4)]) as node:
        node.wait_seen(4)
        node.kill()
        with watched(node.socket, since=1000 * (BASE_S + 1), until=1000 * (BASE_S + 3)) as (page, _):
            page.update(away)
            node.restart()
            node.wait_seen(4)
            page.watch(since=1000 * (BASE_S + 1), until=1000 * (BASE_S + 3))
            page.update(lambda m: m['state']['kind'] == 'past')


# --- a relay -------------------------------------------------------------------------------------------------------

@side_by_side
def test_behind_a_relay_pages_see_all_nodes_and_which_are_missing():
    with Node('a') as a, Node('b') as b, \
            Relay('--peer-timeout', '2s', '--sort-buffer-drain-timeout', '10ms', peers=[a.peer, b.peer]) as relay, \
            watched(relay.address) as (page, _):
        relay.wait_states(a=1, b=1)
        status = page.status(lambda m: m.get('status', {}).get('num_connected_nodes') == 2 and 'record' in m)
        assert status['record'] is True
        page.status(lambda m: sorted(c['node_name'] for c in m.get('coverage', [])) == ['a', 'b'])
        page.update(live)
        a.feed([flow(0, node_name='a')])
        b.feed([flow(1, node_name='b')])
        assert sorted(follow(page, 2)) == names(0, 2)
        b.kill()
        page.of('status', lambda m: m.get('status', {}).get('num_unavailable_nodes') == 1)
        a.feed([flow(2, node_name='a')])
        assert follow(page, 1) == names(2, 3)
        b.restart()
        page.of('status', lambda m: m.get('status', {}).get('num_connected_nodes') == 2)
        b.feed([flow(3, node_name='b')])
        assert follow(page, 1) == names(3, 4)


@side_by_side
def test_a_relay_that_is_killed_and_started_again_is_followed_again():
    with tempfile.TemporaryDirectory(prefix='tycho-ui-') as folder, Node('a') as a, \
            watched('unix://%s/relay.sock' % folder) as (page, ui):
        listen = ui.server
        page.update(away)
        for i in range(2):
            with Relay('--sort-buffer-drain-timeout', '10ms', peers=[a.peer], listen=listen) as relay:
                relay.wait_states(a=1)
                page.update(live)
                a.feed([flow(i, node_name='a')])
                assert follow(page, 1) == names(i, i + 1)
                relay.process.kill()
                relay.process.wait()
            page.update(away)


# --- others' -------------------------------------------------------------------------------------------------------

def is_for_the_newest(request):
    """Whether it is the call that says where history ends (ui-server/backlog.h)."""
    return request.number == 1 and not request.follow


class Hubble:
    """A Hubble agent: it knows no tycho.v1. `flows` are what it holds; who follows gets those, and then waits."""

    def __init__(self, *flows, batches=None):
        self.flows, self.batches, self.requests = flows, batches, []
        self.impostor = Impostor(self.answer, ours=['/tycho.v1.Flows/GetFlowBatches'] if batches else [])

    def __enter__(self):
        self.impostor.__enter__()
        return self

    def __exit__(self, *exc):
        self.impostor.__exit__()

    def newest(self):
        if not self.batches:
            return self.flows[-1:]
        return [wire.message('tycho.v1.FlowBatch').FromString(self.batches[-1]).responses[-1].SerializeToString()]

    def answer(self, method, request, context):
        method = method.rsplit('/', 1)[1]
        if method == 'ServerStatus':
            yield wire.message('observer.ServerStatusResponse')(version='cilium 1.19', uptime_ns=10 ** 18).SerializeToString()
        elif method == 'GetNamespaces':
            yield wire.message('observer.GetNamespacesResponse')().SerializeToString()
        elif method in ('GetFlows', 'GetFlowBatches'):
            asked = GetFlowsRequest.FromString(request)
            if is_for_the_newest(asked):
                yield from self.newest()
                return
            self.requests.append((method, asked))
            yield from (self.batches if method == 'GetFlowBatches' else self.flows)
            while asked.follow and context.is_active() and not self.impostor.stopping.wait(0.02):
                pass
        else:
            context.abort(grpc.StatusCode.UNIMPLEMENTED, method)


def test_of_a_hubble_server_flows_are_shown_and_what_it_has_no_call_for_is_said():
    with Hubble(seen(0), seen(1)) as hubble, \
            watched(hubble.impostor.address) as (page, _):
        assert follow(page, 2) == names(0, 2)
        page.update(live)
        status = page.of('status', lambda m: 'status' in m)
        assert status['record'] is False and 'coverage' not in status
        assert [method for method, _ in hubble.requests] == ['GetFlows']


def test_one_clock_that_is_ahead_hides_nothing_after_a_break():
    now, caught_up = int(time.time()), threading.Event()
    with Hubble(seen(now - BASE_S), seen(now + 3600 - BASE_S)) as hubble:
        def break_off(method, request, context):
            asked = GetFlowsRequest.FromString(request) if method.endswith('/GetFlows') else None
            if asked and asked.follow and not hubble.requests:
                hubble.requests.append((method, asked))
                yield from hubble.flows
                caught_up.wait(60)
            else:
                yield from hubble.answer(method, request, context)

        hubble.impostor.answer = break_off
        with watched(hubble.impostor.address) as (page, _):
            page.update(lambda m: m.get('caught_up') and m['totals']['newest'] == 1000 * (now + 3600))
            caught_up.set()
            while len(hubble.requests) < 2:
                page.next()
            assert hubble.requests[1][1].since.ToNanoseconds() == now * 10 ** 9 + 1


def test_the_map_of_a_past_range_of_a_hubble_server_is_that_of_its_flows():
    with Hubble(seen(0), seen(1)) as hubble, \
            watched(hubble.impostor.address, '--history', '77', since=1000 * BASE_S, until=1000 * BASE_S + 60000) as (page, _):
        edges, past = {}, False
        while not past or sum(e['unknown'] for e in edges.values()) < 2:
            update = page.update()
            past |= update['state']['kind'] == 'past'
            edges.update((e['id'], e) for e in update.get('map', {'edges': []})['edges'])
        assert update['totals']['flows'] == 2
        (method, request), = hubble.requests
        assert method == 'GetFlows' and request.number == 77 and not request.follow
        assert request.since.ToNanoseconds() == BASE_S * 10 ** 9
        assert request.until.ToNanoseconds() == (BASE_S + 60) * 10 ** 9 - 1  # what begins there belongs to the next range


def test_batches_are_asked_for_and_read_to_their_last_flow():
    one = batch(*(response('n', BASE_S + i, 'flow-%d' % i) for i in range(200)))
    other = batch(response('n', BASE_S + 200, 'flow-200'))
    with Hubble(batches=[one, other]) as server, watched(server.impostor.address) as (page, _):
        assert follow(page, 201) == names(0, 201)
        assert [method for method, _ in server.requests] == ['GetFlowBatches']


@pytest.mark.parametrize('nonsense', [b'\x0a', b'\xff' * 40, b'\x0a\x05\x0a\x03\x0a\xff\x01'])
def test_answers_that_cannot_be_read_are_skipped_and_said_in_the_log(nonsense):
    good = batch(response('n', BASE_S, 'flow-0'))
    with Hubble(batches=[nonsense, good]) as server, watched(server.impostor.address) as (page, ui):
        assert follow(page, 1) == names(0, 1)
        ui.wait_log('cannot be read')
