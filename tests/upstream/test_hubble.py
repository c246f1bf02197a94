"""Another server's flows, kept: whole, once each, over its deaths and ours."""
import contextlib
import time

import wire
from cluster import Relay, of
from follower import Following, Server
from observer import Observer, flow, golden


def recent(i):
    """Flow i, i tenths of a second after START: what the store holds of long ago is not looked at."""
    at = START + i / 10
    return flow(i, time=time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(at)) + '.%d00Z' % (round(at * 10) % 10))


START = int(time.time()) - 600


def flows_of(ob, **fields):
    with ob.client() as c:
        return c.flows(first=True, **fields)


def test_flows_are_kept_byte_for_byte():
    # recorded by Hubble: L7, policies, tunnels, odd texts
    with Observer(path=golden('small.jsonl')) as up:
        up.wait_seen(118)
        with Following(up.tcp) as ob:
            ob.wait_uuids(118)
            assert [f.SerializeToString() for f in flows_of(ob)] == [f.SerializeToString() for f in flows_of(up)]


def test_what_comes_later_is_followed_and_history_can_be_left_out():
    with Server(lines=None) as up:
        up.feed([flow(0)])
        up.wait_seen(1)
        with Following(up.socket) as all_, Following(up.socket, history='0') as new:
            all_.wait_uuids(1)
            new.wait_agent_event('hubble-connected')
            up.feed(flow(i) for i in range(1, 4))
            assert all_.wait_uuids(4) == ['flow-%d' % i for i in range(4)]
            assert new.wait_uuids(3) == ['flow-1', 'flow-2', 'flow-3']


def test_lost_agent_and_debug_events_keep_their_node_and_time():
    line = ('{"lost_events":{"source":"PERF_EVENT_RING_BUFFER","num_events_lost":"7","cpu":3},'
            '"node_name":"n9","time":"2023-11-14T22:13:20Z"}')
    debug = ('{"debug_event":{"type":"DBG_ENCAP","source":{"ID":5}},"node_name":"n9","time":"2023-11-14T22:13:21Z"}')
    with Observer('--node-name', 'up', lines=[flow(0), line, debug, flow(1)]) as up, Following(up.tcp) as ob:
        ob.wait_uuids(2)
        lost, = ob.lost()
        assert (lost.lost_events.num_events_lost, lost.lost_events.cpu.value) == (7, 3)
        assert (lost.node_name, lost.time.seconds) == ('up', 1_700_000_000)
        started = ob.wait(lambda: started_events(ob), 'the server has told that it was started')
        assert sorted(r.node_name for r in started) == ['n0', 'up']
        with ob.client() as c:
            event, = ob.wait(lambda: list(c.GetDebugEvents(number=10)), 'a debug event')
        assert (event.debug_event.source.ID, event.node_name, event.time.seconds) == (5, 'up', 1_700_000_001)


def started_events(ob):
    with ob.client() as c:
        got = [r for r in c.GetAgentEvents(number=1000) if r.agent_event.type == 2]
    return got if len(got) == 2 else None


# --- breaks --------------------------------------------------------------------------------------


def test_a_server_that_comes_back_with_its_past_leaves_neither_hole_nor_duplicate():
    lines = [flow(i) for i in range(500)]
    with Server(lines=None) as up:
        up.feed(lines[:300])
        with Following(up.socket) as ob:
            ob.wait_uuids(300)
            up.die()
            ob.wait_agent_event('hubble-lost')
            up.restart()
            up.feed(lines)  # all it had, and what came meanwhile
            assert ob.wait_uuids(500) == ['flow-%d' % i for i in range(500)]
            up.feed([flow(500)])
            assert ob.wait_uuids(501)[500:] == ['flow-500']
            assert ob.lost() == []
            assert len(ob.agent_events('hubble-connected')) == 2


def test_a_server_killed_while_it_pours_leaves_neither_hole_nor_duplicate():
    # Its flows are milliseconds apart, several in one instant, and killed wherever it is.
    def at(i):
        return flow(i, time='2023-11-14T22:13:%02d.%03dZ' % (20 + i // 3000, i // 3 % 1000))
    lines = [at(i) for i in range(6000)]
    with Server(lines=lines) as up, Following(up.socket) as ob:
        for part in (500, 2500, 5000):
            ob.wait_uuids(part)
            up.die()
            up.restart()
        assert ob.wait_uuids(6000) == ['flow-%d' % i for i in range(6000)]
        assert ob.lost() == []


def test_a_server_that_comes_back_without_its_past_leaves_a_gap_that_says_so():
    with Server(lines=None) as up:
        up.feed(flow(i) for i in range(10))
        with Following(up.socket) as ob:
            ob.wait_uuids(10)
            up.die()
            ob.wait_agent_event('hubble-lost')
            up.restart()
            up.feed(flow(i) for i in range(20, 30))
            assert ob.wait_uuids(20) == ['flow-%d' % i for i in [*range(10), *range(20, 30)]]
            kinds = [m.flow.uuid if m.HasField('flow') else 'lost' for m in ob.messages()]
            assert kinds[9:12] == ['flow-9', 'lost', 'flow-20']  # in its place
            lost, = ob.lost()
            event = lost.lost_events
            assert (event.source, event.num_events_lost) == (wire.HUBBLE_RING_BUFFER, 0)
            assert (event.first.seconds, event.last.seconds) == (1_700_000_009, 1_700_000_020)
            assert lost.node_name == 'n1'
            gap, = ob.agent_events('hubble-gap')
            assert gap == {'server': up.socket, 'node': 'n1', 'from': '2023-11-14T22:13:29Z', 'to': '2023-11-14T22:13:40Z'}


def test_a_server_that_keeps_history_is_resumed_from_it_whatever_became_of_its_ring():
    with Server(lines=None, store=None) as up:
        up.feed(recent(i) for i in range(50))
        with Following(up.socket) as ob:
            ob.wait_uuids(50)
            # seen by the server, not by us: it is stopped while the way to it is closed
            ob.stop()
            up.feed(recent(i) for i in range(50, 90))
            up.wait_seen(90)
            assert up.stop() == 0
            up.process.stdin.close()
            up.restart()
            ob.__enter__()
            up.feed(recent(i) for i in range(90, 100))
            got = ob.wait_for('flow-99')
            assert got[-50:] == ['flow-%d' % i for i in range(50, 100)]
            assert len(set(got)) == len(got)


def test_a_gap_is_told_though_the_new_server_says_nothing():
    with Server(lines=None) as up:
        up.feed([flow(0)])
        with Following(up.socket) as ob:
            ob.wait_uuids(1)
            up.die()
            ob.wait_agent_event('hubble-lost')
            up.restart()
            gap, = ob.wait_agent_event('hubble-gap')
            assert (gap['node'], gap['from']) == ('n1', '2023-11-14T22:13:20Z')
            up.feed([flow(1)])
            ob.wait_uuids(2)
            assert len(ob.lost()) == 1  # once


def test_a_ring_that_went_on_without_us_leaves_a_gap():
    # The server stays, the way to it does not: its ring of 15 forgets what we have not seen.
    with Server('up', '--ring-capacity', '15', lines=None) as up, Relay(peers=[up.peer], listen='127.0.0.1:0') as relay:
        up.feed([flow(0)])
        with Following(relay.address) as ob:
            ob.wait_uuids(1)
            relay.stop()
            ob.wait_agent_event('hubble-lost')
            up.feed(flow(i) for i in range(1, 41))
            up.wait_seen(41)
            relay.listen = relay.address
            with relay:
                got = ob.wait_uuids(16)
                assert got[0] == 'flow-0' and got[1:] == ['flow-%d' % i for i in range(26, 41)]
                assert [m.lost_events.num_events_lost for m in ob.lost()] == [0]


def test_nodes_behind_a_relay_are_resumed_each_where_it_stopped():
    with contextlib.ExitStack() as stack:
        a, b = (stack.enter_context(Server(name, lines=None)) for name in 'ab')
        relay = stack.enter_context(Relay(peers=[a.peer, b.peer]))
        relay.wait_states(a=1, b=1)
        a.feed(of('a', i) for i in range(100))  # a minute ahead of the other
        b.feed(of('b', i) for i in range(40))
        ob = stack.enter_context(Following(relay.address))
        ob.wait_uuids(140)
        relay.stop()
        ob.wait_agent_event('hubble-lost')
        a.feed(of('a', i) for i in range(100, 150))
        b.feed(of('b', i) for i in range(40, 80))
        relay.listen = relay.address
        stack.enter_context(relay)
        got = ob.wait_uuids(230)
        assert [u for u in got if u[0] == 'a'] == ['a-%d' % i for i in range(150)]
        assert [u for u in got if u[0] == 'b'] == ['b-%d' % i for i in range(80)]
        assert ob.lost() == []
        nodes = ob.agent_events('hubble-nodes')
        assert {'a', 'b'} <= {n for e in nodes if e['state'] == 'NODE_CONNECTED' for n in e['nodes']}


def test_a_server_that_is_not_there_yet_is_waited_for():
    with Server(lines=None) as up:
        address = up.socket
        up.die()
        with Following(address) as ob:
            ob.wait(lambda: 'hubble server is away' in ob.log(), 'a line in the log')
            up.restart()
            up.feed([flow(0)])
            assert ob.wait_uuids(1) == ['flow-0']


# --- our own restart ---------------------------------------------------------------------------


def test_our_own_restart_takes_nothing_twice_and_misses_nothing():
    with Server(lines=None) as up:
        up.feed(recent(i) for i in range(100))
        with Following(up.socket) as ob:
            ob.wait_uuids(100)
            assert ob.stop() == 0
            up.feed(recent(i) for i in range(100, 150))
            up.wait_seen(150)
            ob.__enter__()
            got = ob.wait_for('flow-149')
            assert got[-50:] == ['flow-%d' % i for i in range(100, 150)]
            assert len(set(got)) == len(got)
            assert ob.lost() == []


def test_our_own_restart_tells_of_a_server_that_forgot_meanwhile():
    with Server('up', '--ring-capacity', '15', lines=None) as up:
        up.feed(recent(i) for i in range(10))
        with Following(up.socket) as ob:
            ob.wait_uuids(10)
            assert ob.stop() == 0
            up.feed(recent(i) for i in range(10, 60))
            up.wait_seen(60)
            ob.__enter__()
            got = ob.wait_for('flow-59')
            assert got[-15:] == ['flow-%d' % i for i in range(45, 60)]
            lost, = ob.lost()
            assert lost.lost_events.first.seconds == START  # of flow 9
            assert lost.lost_events.last.seconds == START + 4  # of flow 45
