"""`caught_up`: when a view is said to have all of history that it begins with. Never before that, and whatever comes live."""
import contextlib
import queue

import grpc
import pytest

import wire
from cluster import Impostor, Node, Relay, batch, response
from daemon import LONG_S
from observer import BASE_S, Observer, flow
from ui import Page, Ui

GetFlowsRequest = wire.GetFlowsRequest
END = object()


class Call:
    """A call of GetFlows that the test answers."""

    def __init__(self, request):
        self.request, self.said = request, queue.Queue()

    def say(self, *messages):
        for message in messages:
            self.said.put(message)
        return self

    def end(self):
        self.said.put(END)

    def fail(self):
        self.said.put(grpc.StatusCode.UNAVAILABLE)


class Puppet(Impostor):
    """A server whose GetFlows says what the test says: the next that follows is followed(), the next that does not newest()."""

    def __init__(self, *ours):
        super().__init__(self.answer_as_told, ours=ours)
        self.calls = {True: queue.Queue(), False: queue.Queue()}
        self.always = None  # what who does not follow is answered at once

    def answer_as_told(self, method, request, context):
        method = method.rsplit('/', 1)[1]
        if method == 'ServerStatus':
            yield wire.message('observer.ServerStatusResponse')(version='cilium 1.19', uptime_ns=10 ** 18).SerializeToString()
        elif method in ('GetFlows', 'GetFlowBatches'):
            call = Call(GetFlowsRequest.FromString(request))
            if self.always and not call.request.follow:
                yield from self.always
                return
            self.calls[call.request.follow].put(call)
            yield from self.told(call, context)
        else:
            context.abort(grpc.StatusCode.UNIMPLEMENTED, method)

    def told(self, call, context):
        while context.is_active() and not self.stopping.is_set():
            with contextlib.suppress(queue.Empty):
                message = call.said.get(timeout=0.02)
                if message is END:
                    return
                if isinstance(message, grpc.StatusCode):
                    context.abort(message, 'as told')
                yield message

    def followed(self):
        return self.calls[True].get(timeout=LONG_S)

    def newest(self):
        return self.calls[False].get(timeout=LONG_S)


def of(i, node='n'):
    return response(node, BASE_S + i, 'flow-%d' % i)


class Told:
    """What a page was told, update by update."""

    def __init__(self, page):
        self.page, self.rows, self.flows, self.may_have = page, [], 0, False

    def until(self, holds):
        while True:
            update = self.page.update()
            self.rows += [row.get('uuid') for row in update['rows']]
            self.flows = update['totals']['flows']
            if holds(update):
                return update
            assert self.may_have or not update.get('caught_up'), 'after %d rows, %s' % (len(self.rows), self.rows[-3:])

    def has(self, i):
        """Up to and with the update that has flow number i."""
        return self.until(lambda m: 'flow-%d' % i in [row['uuid'] for row in m['rows']])

    def does_not_catch_up(self):
        """For as long as it takes to have said so: two updates of other times."""
        for _ in range(2):
            assert not self.until(lambda m: True).get('caught_up')

    def catches_up(self):
        update = self.until(lambda m: m.get('caught_up'))
        self.may_have = True
        return update


@contextlib.contextmanager
def watched(server, **question):
    with Ui(server) as ui, Page(ui) as page:
        page.watch(**question)
        yield Told(page)


def test_all_of_an_observers_history_comes_before_the_mark():
    lines = [flow(i) for i in range(700)]
    with Observer(lines=lines) as observer:
        observer.wait_seen(len(lines))
        with watched(observer.tcp) as told:
            told.catches_up()
            assert told.rows == ['flow-%d' % i for i in range(700)]
            told.until(lambda m: m['totals']['flows'] == 700 and m['caught_up'])  # and it stays


def test_where_there_is_nothing_the_mark_comes_with_nothing():
    with Node('n') as node, watched(node.socket, allow=[{'destination_port': ['9']}]) as told:
        told.catches_up()
        assert told.rows == []


def test_of_a_range_it_is_the_state_that_says_so():
    with Node('n') as node, watched(node.socket, since=1000 * BASE_S, until=1000 * BASE_S + 60000) as told:
        assert 'caught_up' not in told.until(lambda m: m['state']['kind'] == 'past')


def test_the_mark_waits_for_a_server_that_still_looks():
    with Puppet() as server, watched(server.address) as told:
        follow, newest = server.followed(), server.newest()
        assert newest.request.number == 1 and not newest.request.follow
        told.until(lambda m: m['state']['kind'] == 'live')
        told.does_not_catch_up()
        newest.end()
        told.catches_up()
        follow.say(of(0))  # live
        told.until(lambda m: m['rows'] and m['caught_up'])


@pytest.mark.parametrize('batches', [False, True])
def test_the_mark_comes_after_the_last_flow_of_history_and_with_it_at_the_earliest(batches):
    with Puppet(*['/tycho.v1.Flows/GetFlowBatches'] if batches else []) as server, watched(server.address) as told:
        say = (lambda *flows: follow.say(batch(*flows))) if batches else (lambda *flows: follow.say(*flows))
        follow, newest = server.followed(), server.newest()
        say(of(0))
        newest.say(of(2)).end()
        assert not told.has(0).get('caught_up')
        say(of(1))
        assert not told.has(1).get('caught_up')
        told.does_not_catch_up()
        say(of(2), of(3))
        told.catches_up()
        assert told.rows[:3] == ['flow-%d' % i for i in range(3)]


def test_flows_that_have_come_before_the_answer_are_not_waited_for():
    with Puppet() as server, watched(server.address) as told:
        follow, newest = server.followed(), server.newest()
        follow.say(of(0), of(1))
        told.has(1)
        newest.say(of(1)).end()
        told.catches_up()


def test_flows_without_a_name_are_told_apart_by_node_and_time():
    def nameless(i):
        r = wire.GetFlowsResponse.FromString(of(i))
        r.flow.uuid = ''
        return r.SerializeToString()

    with Puppet() as server, watched(server.address) as told:
        follow, newest = server.followed(), server.newest()
        newest.say(nameless(1)).end()
        follow.say(nameless(0))
        told.until(lambda m: m['totals']['flows'] == 1)
        told.does_not_catch_up()
        follow.say(nameless(1), nameless(1))  # one that looks like another is one more
        told.catches_up()
        told.until(lambda m: m['totals']['flows'] == 3)


def test_a_flow_that_never_comes_is_not_waited_for_when_nobody_has_it_any_more():
    with Puppet() as server, watched(server.address) as told:
        follow = server.followed()
        server.newest().say(of(1, 'gone')).end()
        follow.say(of(0))
        told.has(0)
        told.does_not_catch_up()
        server.newest().say(of(0)).end()  # asked again: by now that node is away
        told.catches_up()


def test_what_was_lost_on_the_way_is_not_waited_for():
    source = wire.message('flow.LostEvent').DESCRIPTOR.fields_by_name['source'].enum_type.values_by_name['HUBBLE_RING_BUFFER'].number
    lost = wire.GetFlowsResponse(node_name='n')
    lost.lost_events.source, lost.lost_events.num_events_lost = source, 7
    with Puppet() as server, watched(server.address) as told:
        follow = server.followed()
        follow.say(lost.SerializeToString())
        server.newest().say(of(1)).end()
        told.until(lambda m: m['totals']['lost'] == 7)
        told.catches_up()


def test_a_break_in_history_begins_it_anew_and_nothing_comes_twice():
    lost = wire.GetFlowsResponse(node_name='fast')
    lost.lost_events.source, lost.lost_events.num_events_lost, lost.time.seconds = 1, 7, BASE_S
    lost = lost.SerializeToString()
    with Puppet() as server, watched(server.address) as told:
        follow, newest = server.followed(), server.newest()
        follow.say(lost, of(5, 'fast'))
        told.has(5)
        follow.fail()
        newest.fail()
        told.until(lambda m: m['state']['kind'] == 'away')
        follow, newest = server.followed(), server.newest()
        assert follow.request.number > 1 and not follow.request.HasField('since')  # the slow node's are older than the fast one's
        newest.say(of(5, 'fast'), of(1, 'slow')).end()
        follow.say(lost, of(5, 'fast'))
        told.until(lambda m: m['state']['kind'] == 'live')
        told.does_not_catch_up()
        follow.say(of(1, 'slow'))
        assert told.catches_up()['totals']['lost'] == 7
        assert told.rows == ['flow-5', 'flow-1'] and told.flows == 2
        follow.fail()
        follow = server.followed()  # from then on from the last flow on, as ever
        assert follow.request.since.ToNanoseconds() == (BASE_S + 5) * 10 ** 9 + 1
        assert told.until(lambda m: m['state']['kind'] == 'away')['caught_up']  # history was answered


def test_a_page_that_is_cut_off_asks_anew():
    with Puppet() as server, Ui(server.address) as ui:
        with Page(ui) as page:
            page.watch()
            server.followed(), server.newest()
            Told(page).does_not_catch_up()
        with Page(ui) as page:
            page.watch()
            server.followed()
            told = Told(page)
            told.does_not_catch_up()
            server.newest().end()
            told.catches_up()


def test_each_question_waits_for_its_own_history():
    with Puppet() as server, Ui(server.address) as ui, Page(ui) as page:
        page.watch(allow=[{'destination_port': ['80']}])
        server.followed()
        first = server.newest()
        Told(page).does_not_catch_up()
        page.watch(allow=[{'destination_port': ['81']}])
        server.followed()
        second = server.newest()
        first.end()
        told = Told(page)
        told.does_not_catch_up()  # it was the first that was answered
        second.end()
        told.catches_up()


def test_a_page_that_comes_later_is_told_at_once():
    with Puppet() as server, Ui(server.address) as ui, Page(ui) as early:
        early.watch()
        server.followed().say(of(0))
        server.newest().say(of(0)).end()
        Told(early).catches_up()
        with Page(ui) as late:
            late.watch()
            assert late.update()['caught_up']


def test_of_more_flows_than_are_remembered_the_last_is_waited_for():
    n, step = 70_000, 1000
    server = Puppet('/tycho.v1.Flows/GetFlowBatches')
    server.always = [of(n)]
    with server, watched(server.address) as told:
        follow = server.followed()
        follow.say(*(batch(*(of(i) for i in range(at, at + step))) for at in range(0, n, step)))
        told.until(lambda m: m['totals']['flows'] == n)
        told.does_not_catch_up()
        follow.say(batch(of(n)))
        told.catches_up()
        assert told.flows == n + 1


def test_behind_a_relay_the_slowest_node_decides_and_live_flows_do_not():
    with Node('fast') as fast, Puppet() as slow, \
            Relay('--sort-buffer-drain-timeout', '100ms', '--peer-timeout', '2s',
                  peers=[fast.peer, 'slow=' + slow.address]) as relay:
        relay.wait_states(fast=1, slow=1)
        fast.feed([flow(i, node_name='fast') for i in range(3)])
        fast.wait_seen(3)
        with watched(relay.address) as told:
            follow, newest = slow.followed(), slow.newest()
            told.has(2)  # of the fast node, whose history is through
            told.does_not_catch_up()
            fast.feed([flow(3, node_name='fast')])
            assert not told.has(3).get('caught_up')
            newest.say(of(1001, 'slow')).end()
            follow.say(of(1000, 'slow'))
            assert not told.has(1000).get('caught_up')
            told.does_not_catch_up()
            follow.say(of(1001, 'slow'))
            told.catches_up()
            assert 'flow-1001' in told.rows
