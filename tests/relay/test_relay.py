"""Real observers under a real relay: what was seen is what arrives, in order, whoever fails on the way."""
import itertools
import os
import re
import signal
import subprocess

import pytest

import half_http2
import wire
from cluster import (CONNECTED, ERROR, GONE, UNAVAILABLE, Follower, Impostor, Node, Relay, cluster, events, long, nodes_of, of,
                     response, split)
from daemon import LONG_S, together, until
from observer import BASE_S, BIN, tycho


def every(node, step, n, start=0, text=None):
    """n flows of node, step seconds apart, as (uuids, lines); text(i): the Summary of each."""
    numbers = range(start, start + step * n, step)
    return ['%s-%d' % (node, i) for i in numbers], [of(node, i, **({'Summary': text(i)} if text else {})) for i in numbers]


def in_order(*uuids):
    """The union, by time and then by node, as a merge yields it."""
    return sorted(itertools.chain(*uuids), key=lambda u: (int(u.split('-')[1]), u.split('-')[0]))


# --- what comes -------------------------------------------------------------------------------------------------


def test_the_answer_is_the_union_of_all_nodes_in_order_of_time():
    a, a_lines = every('a', 2, 3000)
    b, b_lines = every('b', 7, 900, start=1)
    c, c_lines = every('c', 1, 5000, start=400)
    with cluster(a=a_lines, b=b_lines, c=c_lines) as (relay, _):
        with relay.client() as client:
            flows, states = split(client.GetFlows(first=True, number=wire.ALL))
    assert flows == in_order(a, b, c)
    assert states == [(CONNECTED, ['a', 'b', 'c'], '')]


def test_flows_pass_through_as_the_bytes_they_came_as():
    _, lines = every('a', 1, 50)
    request = wire.GetFlowsRequest(number=50).SerializeToString()
    with cluster(a=lines) as (relay, nodes):
        with relay.client() as r, nodes['a'].client() as n:
            direct = list(n.raw('/observer.Observer/GetFlows', request, streams=True))
            through = list(r.raw('/observer.Observer/GetFlows', request, streams=True))
    assert through[1:] == direct  # the first says who is connected


def test_last_and_first_are_per_node():
    a, a_lines = every('a', 2, 100)
    b, b_lines = every('b', 2, 30, start=1)
    with cluster(a=a_lines, b=b_lines) as (relay, _):
        def observe(*flags):
            p = tycho('--server', relay.address, 'observe', '-o', 'json', *flags, check=0)
            return [e['flow']['uuid'] for e in events(p.stdout) if 'flow' in e]
        assert observe('--last', '3') == in_order(a[-3:], b[-3:])
        assert observe('--first', '3') == in_order(a[:3], b[:3])
        assert observe('--last', '50') == in_order(a[-50:], b)


def test_filters_and_times_are_the_nodes_to_apply():
    a = [of('a', i, verdict='DROPPED' if i % 3 == 0 else 'FORWARDED') for i in range(0, 60)]
    b = [of('b', i, verdict='DROPPED' if i % 5 == 0 else 'FORWARDED') for i in range(0, 60)]
    with cluster(a=a, b=b) as (relay, _):
        with relay.client() as client:
            request = dict(number=wire.ALL, whitelist=[{'verdict': ['DROPPED']}],
                           since={'seconds': BASE_S + 10}, until={'seconds': BASE_S + 40})
            flows, _ = split(client.GetFlows(**request))
    assert flows == in_order(['a-%d' % i for i in range(12, 40, 3)], ['b-%d' % i for i in range(10, 41, 5)])


def test_what_every_node_refuses_is_said_once_for_all():
    with cluster(a=[of('a', 0)], b=[of('b', 0)]) as (relay, _):
        with relay.client() as client:
            flows, states = split(client.GetFlows(number=1, whitelist=[{'dns_query': ['(']}]))
            contradiction = wire.status_of(lambda: client.GetFlows(first=True, follow=True))
            again, _ = split(client.GetFlows(follow=True, whitelist=[{'dns_query': ['(']}]))  # and it is the end
    assert flows == again == []
    assert [(s, sorted(names)) for s, names, _ in states] == [(CONNECTED, ['a', 'b']), (ERROR, ['a', 'b'])]
    assert 'regexp' in states[1][2] and 'rpc error' not in states[1][2]
    assert contradiction == ('INVALID_ARGUMENT', 'first cannot be specified with follow')


NO_TEXT = b'\x0a\x02\xff\xfe'  # field 1 of a filter, source_ip, of bytes that are no UTF-8
REFUSED = [  # a call, its request and what it is not: a filter's text, or where there is none, anything
    ('/observer.Observer/GetFlows', b'\x32\x04' + NO_TEXT, 'observer.GetFlowsRequest'),
    ('/observer.Observer/GetFlows', b'\x0a\x7f', 'observer.GetFlowsRequest'),
    ('/tycho.v1.Flows/GetFlowBatches', b'\x2a\x04' + NO_TEXT, 'observer.GetFlowsRequest'),
    ('/tycho.v1.Flows/GetFilteredStatus', b'\x0a\x04' + NO_TEXT, 'tycho.v1.GetFilteredStatusRequest'),
    ('/tycho.v1.Flows/GetTime', b'\xff', 'tycho.v1.GetTimeRequest'),
    ('/tycho.v1.History/GetCoverage', b'\x0a\x7f', 'tycho.v1.GetCoverageRequest'),
    ('/tycho.v1.History/GetServiceMap', b'\x22\x04' + NO_TEXT, 'tycho.v1.GetServiceMapRequest'),
    ('/tycho.v1.Evidence/Export', b'\x3a\x02\xff\xfe', 'tycho.v1.ExportRequest'),
    ('/observer.Observer/GetNodes', b'\xff', 'observer.GetNodesRequest'),
    ('/observer.Observer/GetNamespaces', b'\xff', 'observer.GetNamespacesRequest'),
    ('/observer.Observer/ServerStatus', b'\xff', 'observer.ServerStatusRequest'),
]
NO_ARCHIVE = ['/tycho.v1.Evidence/Export']  # which has none, whatever is asked


def test_a_request_that_a_node_would_refuse_is_refused_in_its_words_and_no_node_is_asked():
    asked = []

    def answer(path, request, context):
        asked.append(path)
        if path.endswith('/ServerStatus'):
            yield b''
    paths = [path for path, _, _ in REFUSED]
    archive = Relay()
    archive.options = ['--clickhouse', 'http://127.0.0.1:1']
    with nodes_of(a=[of('a', 0)]) as nodes, Impostor(answer, ours=paths) as node, \
            Relay(peers=['node=' + node.address]) as relay, archive:
        relay.wait_states(node=CONNECTED)
        del asked[:]
        with relay.client() as r, archive.client() as c, wire.Client(nodes['a'].socket) as n:
            def said(client, path, request):
                return wire.status_of(lambda: client.raw(path, request, streams=True))
            for path, request, name in REFUSED:
                words = ('INVALID_ARGUMENT', 'the request is no valid ' + name)
                assert (path, said(r, path, request)) == (path, words)
                if path not in NO_ARCHIVE:
                    assert (path, said(c, path, request)) == (path, words)
                assert (path, said(n, path, request)) == (path, words)
    assert [path for path in asked if path in paths] == []


def test_events_of_agents_are_not_relayed_in_the_references_words():
    with cluster(a=[of('a', 0)]) as (relay, _):
        with relay.client() as client:
            assert wire.status_of(lambda: client.GetAgentEvents()) == ('UNIMPLEMENTED', 'GetAgentEvents not yet implemented')
            assert wire.status_of(lambda: client.GetDebugEvents()) == ('UNIMPLEMENTED', 'GetDebugEvents not yet implemented')


def test_answers_say_that_a_relay_gave_them():
    with cluster(a=[of('a', 0)]) as (relay, _):
        with relay.client(fast=False) as client:
            stream = client.GetFlows(number=1)
            assert dict(stream.initial_metadata())['hubble-relay-version'] == '1.19.4'
            assert len(list(stream)) == 2


# --- the nodes --------------------------------------------------------------------------------------------------


def test_status_sums_and_names_who_is_missing():
    with cluster('--peer', 'away=unix:///nowhere/at-all.sock', a=[of('a', i) for i in range(5)],
                 b=[of('b', i) for i in range(7)]) as (relay, nodes):
        relay.wait_states(away=UNAVAILABLE)
        with relay.client() as client:
            status = client.ServerStatus()
            singles = []
            for n in nodes.values():
                with n.client() as one:
                    singles.append(one.ServerStatus())
        assert status.seen_flows == 12 == sum(s.seen_flows for s in singles)
        assert status.num_flows == sum(s.num_flows for s in singles)
        assert status.max_flows == sum(s.max_flows for s in singles)
        assert (status.num_connected_nodes.value, status.num_unavailable_nodes.value) == (2, 1)
        assert list(status.unavailable_nodes) == ['away']
        text = tycho('--server', relay.address, 'status', check=0).stdout
        assert 'Connected Nodes: 2/3\n' in text and 'Unavailable Nodes: 1\n  - away\n' in text


def test_nodes_are_listed_with_their_state():
    with cluster('--peer', 'away=unix:///nowhere/at-all.sock', a=[of('a', 0)], b=[of('b', 0)]) as (relay, _):
        relay.wait_states(a=CONNECTED, b=CONNECTED, away=UNAVAILABLE)
        text = tycho('--server', relay.address, 'list', 'nodes', check=0).stdout
        assert [line.split()[:2] for line in text.splitlines()[1:]] == [
            ['a', 'Connected'], ['away', 'Unavailable'], ['b', 'Connected']]


def test_namespaces_are_the_union():
    def seen(ns):
        return {'source': {'namespace': ns}, 'destination': {'namespace': 'shared'}}
    nodes = {name: Node(name, lines=[of(name, 0, **seen(name + '-only'))], keep_time=False) for name in 'ab'}
    with together(*nodes.values()) as (a, b), Relay(peers=[a.peer, b.peer]) as relay:
        a.wait_seen(1)
        b.wait_seen(1)
        with relay.client() as client:
            names = [n.namespace for n in client.GetNamespaces().namespaces]
    assert names == ['a-only', 'b-only', 'shared']


def test_a_relay_without_a_reachable_peer_is_up_and_says_so():
    with Relay(peers=['away=unix:///nowhere/at-all.sock']) as relay:
        relay.wait_states(away=UNAVAILABLE)
        with relay.client() as client:
            assert split(client.GetFlows(number=5)) == ([], [(UNAVAILABLE, ['away'], '')])
        p = tycho('--server', relay.address, 'status')
        assert p.returncode == 1 and 'NOT_SERVING' in p.stdout


def test_the_log_says_why_a_peer_is_unavailable():
    with cluster('--peer', 'away=unix:///nowhere/at-all.sock', a=None) as (relay, nodes):
        relay.wait_states(a=CONNECTED, away=UNAVAILABLE)
        nodes['a'].kill()
        relay.wait_states(a=UNAVAILABLE)
        for name, why in ('away', 'No such file or directory'), ('a', 'code = Unavailable'):
            line = re.compile('msg="peer is unavailable" peer=%s .* why=".*(%s)' % (name, why), re.IGNORECASE)
            until(lambda: line.search(relay.log()), fault=relay.log)


def test_health_follows_the_peers():
    with cluster(a=[of('a', 0)]) as (relay, nodes):
        with relay.client(fast=False) as client:
            watches = [client.call('grpc.health.v1.Health', 'Watch', timeout=60, service=name)
                       for name in ('', 'observer.Observer', 'hubble.server.Observer')]
            assert [next(w).status for w in watches] == [1, 1, 1]
            nodes['a'].kill()
            assert [next(w).status for w in watches] == [2, 2, 2]
            nodes['a'].restart()
            assert [next(w).status for w in watches] == [1, 1, 1]
            for w in watches:
                w.cancel()


def test_relays_stand_on_relays():
    a, a_lines = every('a', 2, 200)
    b, b_lines = every('b', 2, 200, start=1)
    with cluster(a=a_lines) as (low, _), cluster(b=b_lines) as (other, _):
        with Relay(peers=['east=' + low.address, 'west=' + other.address]) as top, top.client() as client:
            flows, states = split(client.GetFlows(first=True, number=wire.ALL))
            status = client.ServerStatus()
    assert flows == in_order(a, b)
    assert states[0] == (CONNECTED, ['east', 'west'], '')
    assert sorted(states[1:]) == [(CONNECTED, ['a'], ''), (CONNECTED, ['b'], '')]
    assert status.seen_flows == 400


# --- nodes that fail --------------------------------------------------------------------------------------------


def test_a_frozen_node_delays_nobody_for_long_and_is_named():
    a, a_lines = every('a', 1, 2000)
    b, b_lines = every('b', 1, 2000)
    with cluster(drain='1s', timeout='2s', a=a_lines, b=b_lines) as (relay, nodes):
        relay.wait_states(a=CONNECTED, b=CONNECTED)
        nodes['b'].freeze()
        try:
            with relay.client() as client:
                flows, states = split(client.GetFlows(first=True, number=wire.ALL))
            assert flows == a
            assert states[0] == (CONNECTED, ['a', 'b'], '')
            assert states[1][:2] == (ERROR, ['b']) and 'does not answer' in states[1][2]
            with relay.client() as client:
                assert list(client.ServerStatus().unavailable_nodes) == ['b']
        finally:
            nodes['b'].thaw()
        relay.wait_states(b=CONNECTED)
        with relay.client() as client:
            assert split(client.GetFlows(first=True, number=wire.ALL))[0] == in_order(a, b)


def test_a_node_killed_in_mid_query_is_named_and_the_rest_arrives():
    a, a_lines = every('a', 1, 500)
    with cluster(a=a_lines, b=[of('b', 10000 + i, Summary=long(i)) for i in range(12000)]) as (relay, nodes):
        with relay.client(fast=False) as client:
            stream = client.GetFlows(first=True, number=wire.ALL)
            head = list(itertools.islice(stream, 11))  # the rest waits for us to read on
            nodes['b'].kill()
            flows, states = split(itertools.chain(head, stream))
    assert flows[:500] == a
    assert flows[500:] == ['b-%d' % (10000 + i) for i in range(len(flows) - 500)]
    assert len(flows) < 12500
    assert [s[:2] for s in states] == [(CONNECTED, ['a', 'b']), (ERROR, ['b'])]


ALL_FROM = {'seconds': BASE_S}


def test_nodes_that_take_us_for_stuck_while_others_speak_lose_nothing():
    """What b has is newer than all of a's, and more than is held back: b gives us up, again and again."""
    a, a_lines = every('a', 1, 20000)
    b, b_lines = every('b', 1, 4000, start=100000, text=long)
    first, second = Node('a', lines=a_lines), Node('b', '--stall-timeout', '100ms', lines=b_lines)
    with together(first, second):
        first.wait_seen(len(a))
        second.wait_seen(len(b))
        with Relay(peers=[first.peer, second.peer]) as relay, relay.client() as client:
            flows, states = split(client.GetFlows(first=True, number=wire.ALL))
    assert flows == a + b
    assert states == [(CONNECTED, ['a', 'b'], '')]


def test_followers_get_each_flow_once_across_death_and_return_of_a_node():
    with cluster(drain='200ms', a=None, b=None) as (relay, nodes):
        relay.wait_states(a=CONNECTED, b=CONNECTED)
        with Follower(relay, since=ALL_FROM) as follower:
            assert follower.status() == (CONNECTED, ['a', 'b'])
            nodes['a'].feed([of('a', 1)])
            nodes['b'].feed([of('b', 2)])
            assert sorted(follower.flows(2)) == ['a-1', 'b-2']
            nodes['b'].kill()
            assert follower.until_status(ERROR, 'b') == []
            nodes['a'].feed([of('a', 500), of('a', 501)])
            assert follower.flows(2) == ['a-500', 'a-501']
            nodes['b'].restart()
            nodes['b'].feed([of('b', 600 + i) for i in range(100)])
            assert follower.status() == (CONNECTED, ['b'])
            nodes['b'].feed([of('b', 700 + i) for i in range(100)])
            assert follower.flows(200) == ['b-%d' % i for i in range(600, 800)]
            nodes['a'].feed([of('a', 900)])
            assert follower.flows(1) == ['a-900']
            assert follower.came.empty()


def test_a_follower_of_a_frozen_node_gets_what_it_missed_when_the_node_goes_on():
    with cluster(drain='200ms', timeout='2s', a=None, b=None) as (relay, nodes):
        relay.wait_states(a=CONNECTED, b=CONNECTED)
        with Follower(relay, number=1000) as follower:
            assert follower.status() == (CONNECTED, ['a', 'b'])
            nodes['b'].feed([of('b', i) for i in range(10)])
            assert follower.flows(10) == ['b-%d' % i for i in range(10)]
            nodes['b'].freeze()
            try:
                nodes['b'].feed([of('b', i) for i in range(10, 20)])
                with relay.client() as client:  # a query that is in want of an answer finds out
                    split(client.GetFlows(number=1))
                assert follower.until_status(ERROR, 'b') == []
                nodes['a'].feed([of('a', 30)])
                assert follower.flows(1) == ['a-30']
            finally:
                nodes['b'].thaw()
            assert follower.until_status(CONNECTED, 'b') == []
            assert follower.flows(10) == ['b-%d' % i for i in range(10, 20)]


def test_a_follower_waits_for_nodes_that_are_not_there_yet():
    with Node('late', lines=None) as late:
        peer = late.peer
        late.kill()
        with Relay(peers=[peer]) as relay:
            relay.wait_states(late=UNAVAILABLE)
            with Follower(relay) as follower:
                assert follower.status() == (UNAVAILABLE, ['late'])
                late.restart()
                assert follower.status() == (CONNECTED, ['late'])


def test_an_end_of_time_ends_a_follower():
    with cluster(a=[of('a', i) for i in range(10)], b=[of('b', i) for i in range(10)]) as (relay, _):
        with relay.client() as client:
            flows, _ = split(client.GetFlows(follow=True, since=ALL_FROM, until={'seconds': BASE_S + 4}))
    assert flows == in_order(*[['%s-%d' % (n, i) for i in range(5)] for n in 'ab'])


# Who waits for a node that is away, waits for ever: nothing that it has still to say is asked for any more.
def test_an_end_of_time_ends_a_follower_though_nodes_are_away():
    with nodes_of(a=[of('a', i) for i in range(10)]) as nodes:
        with Relay(peers=[nodes['a'].peer, 'away=unix:///nowhere/at-all.sock']) as relay, relay.client() as client:
            relay.wait_states(a=CONNECTED, away=UNAVAILABLE)
            flows, states = split(client.GetFlows(follow=True, since=ALL_FROM, until={'seconds': BASE_S + 4}))
            assert flows == ['a-%d' % i for i in range(5)]
            assert states == [(CONNECTED, ['a'], ''), (UNAVAILABLE, ['away'], '')]
            nodes['a'].kill()
            relay.wait_states(a=UNAVAILABLE)
            assert split(client.GetFlows(follow=True, until={'seconds': BASE_S + 4})) == ([], [(UNAVAILABLE, ['a', 'away'], '')])


# Hubble's server ends with the first flow that is later.
def test_an_end_of_time_ends_a_follower_though_a_hubble_agent_has_nothing_to_say():
    def answer(path, request, context):
        assert path == '/observer.Observer/GetFlows'
        yield response('agent', BASE_S + 3, 'agent-3')
        agent.stopping.wait(LONG_S)

    with Impostor(answer) as agent, nodes_of(a=[of('a', i) for i in range(10)]) as nodes:
        with Relay(peers=[nodes['a'].peer, 'agent=' + agent.address]) as relay, relay.client() as client:
            relay.wait_states(a=CONNECTED)
            flows, states = split(client.GetFlows(follow=True, since=ALL_FROM, until={'seconds': BASE_S + 4}))
    assert flows == in_order(['a-%d' % i for i in range(5)], ['agent-3'])
    assert states == [(CONNECTED, ['a', 'agent'], '')]


# --- whom to ask ------------------------------------------------------------------------------------------------


def test_the_peers_file_is_reread_while_queries_run(tmp_path):
    path = tmp_path / 'peers'

    def write(*lines):
        (tmp_path / 'new').write_text('# who is who\n' + ''.join(x + '\n' for x in lines))
        os.replace(tmp_path / 'new', path)
    with together(*[Node(n, lines=None) for n in 'abc']) as (a, b, c):
        write(a.peer, b.peer)
        with Relay('--peers-file', str(path), '--sort-buffer-drain-timeout', '100ms') as relay:
            relay.wait_states(a=CONNECTED, b=CONNECTED)
            with Follower(relay, since=ALL_FROM) as follower:
                assert follower.status() == (CONNECTED, ['a', 'b'])
                a.feed([of('a', 1)])
                assert follower.flows(1) == ['a-1']
                write(a.peer, '', c.peer + '   # the new one')
                said = sorted([follower.status(), follower.status()])
                assert said == [(CONNECTED, ['c']), (GONE, ['b'])]
                c.feed([of('c', 2)])
                b.feed([of('b', 3)])  # nobody asks it any more
                assert follower.flows(1) == ['c-2']
                a.feed([of('a', 4)])
                assert follower.flows(1) == ['a-4']
                assert sorted(relay.nodes()) == ['a', 'c']
                write('this is no peer')
                relay.process.send_signal(signal.SIGHUP)
                a.feed([of('a', 5)])
                assert follower.flows(1) == ['a-5']
                write(a.peer, b.peer, c.peer)
                assert follower.status() == (CONNECTED, ['b'])
                assert follower.flows(1) == ['b-3']
            assert 'line 2: \'this is no peer\' is not NAME=ADDRESS' in relay.log()


def misuse(*argv):
    done = subprocess.run([os.path.join(BIN, 'tycho-relay'), *argv], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=20)
    assert done.returncode == 1 and done.stdout == ''
    return done.stderr


def test_misuse_is_one_sentence():
    assert misuse() == 'tycho-relay: there is nobody to ask; give --peer, --peers-file, --peer-dns, --peer-srv, --peer-service or --clickhouse\n'
    assert misuse('--peer', 'x') == "tycho-relay: --peer: 'x' is not NAME=ADDRESS or NAME=ADDRESS,TLS-NAME\n"
    assert misuse('--peer', 'a=b:0') == "tycho-relay: peer 'a': address 'b:0': not a port\n"
    assert misuse('--peer', 'a=b:1', '--peer', 'a=c:1') == "tycho-relay: peer 'a' is given twice\n"
    for name in '', 'n' * 256:
        assert misuse('--peer', 'a=b:1', '--node-name', name) == 'tycho-relay: --node-name: a name of 1 to 255 bytes is needed\n'
    assert misuse('--peers-file', '/nowhere/at-all') == \
        "tycho-relay: watch the folder of '/nowhere/at-all': No such file or directory\n"
    assert '--listen 0.0.0.0:0: plain text on an address that others can reach' in \
        misuse('--peer', 'a=b:1', '--listen', '0.0.0.0:0')


# --- clients ----------------------------------------------------------------------------------------------------


def test_a_client_that_does_not_read_delays_no_other():
    a, a_lines = every('a', 1, 9000, text=long)
    request = wire.GetFlowsRequest(number=wire.ALL, first=True).SerializeToString()
    with cluster(a=a_lines, b=[of('b', 0)]) as (relay, _):
        with half_http2.Stuck(relay.address, '/observer.Observer/GetFlows', request), \
                half_http2.Stuck(relay.address, '/observer.Observer/GetFlows', request), relay.client() as client:
            assert len(list(client.GetFlows(number=wire.ALL, first=True))) == 1 + 9000 + 1


def test_termination_ends_followers_with_a_word():
    with cluster(a=[of('a', 0)]) as (relay, _):
        with Follower(relay, number=1) as follower:
            assert follower.status() == (CONNECTED, ['a'])
            assert follower.flows(1) == ['a-0']
            assert relay.stop() == 0
            ended = follower.came.get(timeout=20)
            assert ended.code().name == 'UNAVAILABLE' and 'shutting down' in ended.details()
