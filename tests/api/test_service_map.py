"""GetServiceMap and `tycho map`: flows summed up as edges, from memory, from the store's sums by the minute, and live."""
import json
import time

import grpc
import pytest

import wire
from daemon import until
from observer import BASE_S, Observer, flow, stamp, tycho
from test_get_flows import at

FORWARDED, DROPPED = 1, 2


def flows():
    """12 requests cart -> db, their 12 answers, 5 drops of cart -> 10.9.9.9 by a policy, 3 DNS-named flows outside."""
    for i in range(12):
        yield flow(i)
        yield flow(100 + i, IP={'source': '10.0.0.2', 'destination': '10.0.0.1', 'ipVersion': 'IPv4'},
                   l4={'TCP': {'source_port': 80, 'destination_port': 40000 + i, 'flags': {'SYN': True, 'ACK': True}}},
                   source={'namespace': 'store', 'pod_name': 'db-0', 'identity': 4002},
                   destination={'namespace': 'shop', 'pod_name': 'cart-0', 'identity': 4001, 'labels': ['k8s:app=cart']},
                   is_reply=True)
    for i in range(5):
        yield flow(200 + i, verdict='DROPPED', drop_reason_desc='POLICY_DENIED', Type='L3_L4',
                   egress_denied_by=[{'name': 'no-db', 'namespace': 'shop'}])
    for i in range(3):
        yield flow(300 + i, destination={'identity': 2, 'labels': ['reserved:world']}, destination_names=['api.example'],
                   l4={'TCP': {'source_port': 41000, 'destination_port': 443, 'flags': {'SYN': True}}})


WANT = {
    ('shop/cart-0', 'store/db-0', 80, FORWARDED, '', ''): 24,
    ('shop/cart-0', 'store/db-0', 80, DROPPED, 'shop/no-db', ''): 5,
    ('shop/cart-0', '/world', 443, FORWARDED, '', 'api.example'): 3,
}


def ask(client, **fields):
    return client.call('tycho.v1.History', 'GetServiceMap', **fields)


def edges_of(answers):
    got = {}
    for a in answers:
        for e in a.edges:
            key = (e.source.namespace + '/' + e.source.workload, e.destination.namespace + '/' + e.destination.workload,
                   e.port, e.verdict, e.policies[0] if e.policies else '',
                   e.destination.dns_names[0] if e.destination.dns_names else '')
            assert e.protocol == 'TCP'
            got[key] = e.flows
    return got


def test_the_log_is_summed_up_as_edges_and_the_last_message_says_so():
    with Observer(lines=list(flows())) as ob:
        ob.wait_seen(32)
        with ob.client() as client:
            answers = list(ask(client))
            assert edges_of(answers) == WANT
            assert [a.snapshot_complete for a in answers] == [False] * (len(answers) - 1) + [True]
            dropped = wire.message('flow.FlowFilter')(verdict=[DROPPED])
            assert list(edges_of(ask(client, whitelist=[dropped])).values()) == [5]


def test_the_stores_sums_by_the_minute_say_the_same_as_its_flows():
    with Observer() as ob:
        ob.feed(flows())
        ob.wait_seen(32)
        ob.restart('/dev/null')  # nothing in memory
        with ob.client() as client:
            every = wire.message('flow.FlowFilter')(verdict=[FORWARDED, DROPPED])
            assert edges_of(ask(client, since=at(0))) == WANT
            assert edges_of(ask(client, since=at(0), whitelist=[every])) == WANT
            # the drops lie in their own minutes: at(200) is 22:16:40, at(204) the same
            assert edges_of(ask(client, since=at(170), until=at(210))) == {k: 5 for k, v in WANT.items() if v == 5}
            assert edges_of(ask(client, since=at(1000))) == {}


def test_of_flows_that_are_read_late_the_map_does_not_wait_for_their_sums():
    """A history that is taken over, say: for a quarter of a minute it is in the store, and its sums are not."""
    lines = list(flows())
    with Observer('--seal-period', '100ms') as ob, ob.client() as client:
        def stored(n):
            ob.feed(lines[:n] if n < len(lines) else lines[1:])
            ob.wait_seen(n)
            until(lambda: [x.records for x in client.call('tycho.v1.History', 'GetCoverage')] == [n + 1])  # the agent's start is one

        stored(1)  # the first sums are written at once
        stored(len(lines))
        assert edges_of(ask(client, since=at(0), until=at(1000))) == WANT
        assert sum(r[1] for r in rates_of(ask(client, since=at(0), until=at(1000), rates_only=True, rates_step_s=60))) == len(lines)


def test_the_sums_have_all_of_a_port_scan():
    """More edges within a second than the observer holds before it writes them (16,384), twice."""
    ports = 40000
    with Observer('--seal-period', '1m') as ob:
        ob.feed(flow(0, l4={'TCP': {'source_port': 999, 'destination_port': 1 + i, 'flags': {'SYN': True}}}) for i in range(ports))
        ob.wait_seen(ports)
        ob.restart('/dev/null')  # nothing in memory
        with ob.client() as client:
            got = [e for a in ask(client, since=at(0)) for e in a.edges]
            assert sorted((e.port, e.flows) for e in got) == [(1 + i, 1) for i in range(ports)]


def end(cluster, name, kind=''):
    """An end of flows: a workload of shop, or a pod on its own."""
    return {'namespace': 'shop', 'pod_name': name + ('-0' if kind else ''), 'cluster_name': cluster,
            'workloads': [{'name': name, 'kind': kind}] if kind else []}


def ends_of_all_sorts():
    """One name in two clusters and of two kinds, a pod of that name, a pod without a cluster, the world in a cluster."""
    cart, db = end('c1', 'cart', 'Deployment'), {'namespace': 'shop', 'pod_name': 'db-0'}
    for i, source in enumerate([cart, cart, end('c2', 'cart', 'Deployment'), end('c1', 'cart', 'StatefulSet'),
                                end('c1', 'cart'), end('', 'cart', 'Deployment')]):
        yield flow(i, source=source, destination=db)
    yield flow(10, source=db, destination=cart, is_reply=True,
               l4={'TCP': {'source_port': 80, 'destination_port': 40000, 'flags': {'SYN': True, 'ACK': True}}})
    yield flow(11, source=cart, destination={'identity': 2, 'cluster_name': 'c1', 'labels': ['reserved:world']},
               destination_names=['api.example'])


def told(answers):
    """All of each edge but when its flows were: the sums know their minute only."""
    got = []
    for edge in [e for a in answers for e in a.edges]:
        edge.ClearField('first_seen')
        edge.ClearField('last_seen')
        got.append(edge.SerializeToString(deterministic=True))
    return sorted(got)


def test_a_past_range_tells_of_its_ends_what_memory_tells():
    with Observer() as ob:
        ob.feed(ends_of_all_sorts())
        ob.wait_seen(8)
        every = wire.message('flow.FlowFilter')(verdict=[FORWARDED])
        with ob.client() as client:
            answers = list(ask(client))
            assert sorted((e.source.cluster, e.source.workload, e.source.workload_kind, e.destination.cluster,
                           e.destination.workload, e.flows) for a in answers for e in a.edges) == [
                ('', 'cart', 'Deployment', '', 'db-0', 1),
                ('c1', 'cart', '', '', 'db-0', 1),
                ('c1', 'cart', 'Deployment', '', 'db-0', 3),
                ('c1', 'cart', 'Deployment', 'c1', 'world', 1),
                ('c1', 'cart', 'StatefulSet', '', 'db-0', 1),
                ('c2', 'cart', 'Deployment', '', 'db-0', 1),
            ]
            live = told(answers)
        pictures = {form: tycho('map', '-o', form, '--server', ob.tcp, check=0).stdout for form in ('table', 'dot', 'mermaid')}
        ob.restart('/dev/null')  # nothing in memory
        with ob.client() as client:
            assert told(ask(client, since=at(0))) == live
            assert told(ask(client, since=at(0), whitelist=[every])) == live
        past = ['map', '--since', stamp(0), '--server', ob.tcp]
        assert {form: tycho(*past, '-o', form, check=0).stdout for form in pictures} == pictures
        assert 'c1/shop/cart (StatefulSet)' in pictures['table'] and 'label="c2/shop"' in pictures['dot']
        lines = [json.loads(line) for line in tycho(*past, '-o', 'json', check=0).stdout.splitlines()]
        assert sum(e['source'].get('cluster') == 'c1' and e['source'].get('workload_kind') == 'Deployment' for e in lines) == 2


def test_what_the_sums_have_and_what_only_flows_have_yet_is_one_edge(tmp_path):
    who = {'source': end('c1', 'cart', 'Deployment')}
    fresh = tmp_path / 'fresh'
    fresh.write_text(flow(1, time=time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime()), **who) + '\n')
    with Observer() as ob:
        ob.feed([flow(0, **who)])
        ob.wait_seen(1)
        ob.restart(str(fresh))
        ob.wait_seen(1)
        with ob.client() as client:
            [edge] = [e for a in ask(client, since=at(0)) for e in a.edges]
            assert (edge.source.cluster, edge.source.workload, edge.source.workload_kind, edge.flows) == \
                ('c1', 'cart', 'Deployment', 2)


def rates_of(answers):
    return [(r.step, r.flows, r.dropped) for a in answers for r in a.rates]


def test_rates_of_a_range_are_counted_from_flows_and_from_the_sums_by_the_minute():
    def minute(i):
        return (BASE_S + i) // 60 * 60

    # by the minute: 12 requests and their answers a second apart, 5 drops, 3 outside
    want = {}
    for i, dropped in [(i, 0) for i in range(12)] + [(100 + i, 0) for i in range(12)] + [(200 + i, 1) for i in range(5)] + \
            [(300 + i, 0) for i in range(3)]:
        seen, drops = want.get(minute(i), (0, 0))
        want[minute(i)] = (seen + 1, drops + dropped)
    want = sorted((m, *counts) for m, counts in want.items())
    with Observer() as ob:
        ob.feed(flows())
        ob.wait_seen(32)
        for restarted in (False, True):
            with ob.client() as client:
                span = {'since': at(0), 'until': at(400), 'rates_step_s': 60}
                answers = list(ask(client, **span))
                assert rates_of(answers) == want and edges_of(answers) == WANT
                answers = list(ask(client, rates_only=True, **span))
                assert rates_of(answers) == want and edges_of(answers) == {}
                dropped = wire.message('flow.FlowFilter')(verdict=[DROPPED])
                assert [r[1:] for r in rates_of(ask(client, whitelist=[dropped], rates_only=True, **span))] == [(5, 5)]
            if not restarted:
                ob.restart('/dev/null')


@pytest.mark.parametrize('fields, why', [
    ({'rates_step_s': 60}, 'with since'),
    ({'rates_step_s': 60, 'since': at(0), 'follow': True}, 'without follow'),
    ({'rates_only': True, 'since': at(0)}, 'without rates_step_s'),
    ({'rates_step_s': 60, 'since': at(60), 'until': at(0)}, 'ends before it begins'),
    ({'rates_step_s': 1, 'since': at(0), 'until': at(1500)}, 'of at most 1500'),
])
def test_rates_that_cannot_be_are_refused_in_words(fields, why):
    with Observer(lines=[]) as ob, ob.client() as client:
        with pytest.raises(grpc.RpcError) as refused:
            list(ask(client, **fields))
        assert why in refused.value.details()


def test_a_follower_gets_a_snapshot_and_then_what_has_changed():
    with Observer() as ob:
        ob.feed(flows())
        ob.wait_seen(32)
        with ob.client() as client:
            stream = ask(client, since=at(0), follow=True, interval_ms=100)
            snapshot = []
            for answer in stream:
                snapshot.append(answer)
                if answer.snapshot_complete:
                    break
            assert edges_of(snapshot) == WANT
            ob.feed([flow(400)])
            assert edges_of([next(stream)]) == {('shop/cart-0', 'store/db-0', 80, FORWARDED, '', ''): 25}
            stream.cancel()


def test_map_prints_a_table_json_and_pictures():
    with Observer(lines=list(flows())) as ob:
        ob.wait_seen(32)
        table = tycho('map', '--server', ob.tcp, check=0).stdout.splitlines()
        assert table[0].split() == ['SOURCE', 'DESTINATION', 'PORT', 'VERDICT', 'FLOWS', 'PACKETS', 'BYTES', 'POLICY']
        assert [line.split() for line in table[1:]] == [
            ['shop/cart-0', 'world', '(api.example)', '443/TCP', 'FORWARDED', '3', '0', '0', '-'],
            ['shop/cart-0', 'store/db-0', '80/TCP', 'FORWARDED', '24', '0', '0', '-'],
            ['shop/cart-0', 'store/db-0', '80/TCP', 'DROPPED', '(POLICY_DENIED)', '5', '0', '0', 'shop/no-db'],
        ]
        lines = tycho('map', '-o', 'json', '--server', ob.tcp, check=0).stdout.splitlines()
        assert sorted(int(json.loads(line)['flows']) for line in lines) == [3, 5, 24]
        dot = tycho('map', '-o', 'dot', '--server', ob.tcp, check=0).stdout
        assert dot.startswith('digraph') and dot.count(' -> ') == 3 and dot.count('subgraph') == 2
        mermaid = tycho('map', '-o', 'mermaid', '--verdict', 'DROPPED', '--server', ob.tcp, check=0).stdout
        assert mermaid.startswith('flowchart LR\n') and mermaid.count('-.->') == 1 and '80/TCP 5 DROPPED' in mermaid
        p = tycho('map', '-o', 'svg', '--server', ob.tcp, check=1)
        assert p.stderr.strip().endswith('flag: expected table, json, dot or mermaid')


def test_a_range_that_the_sums_widen_to_whole_minutes_is_told_as_it_was_counted():
    note = 'note: counted by whole minutes, since 2023-11-14T22:13:00Z, until 2023-11-14T22:17:00Z; with filters, flow by flow'
    with Observer() as ob:
        ob.feed(flows())
        ob.wait_seen(32)
        ob.restart('/dev/null')  # nothing in memory

        def mapped(*words):
            p = tycho('map', '-o', 'json', '--server', ob.tcp, *words, check=0)
            return sum(int(json.loads(line)['flows']) for line in p.stdout.splitlines()), [
                line for line in p.stderr.splitlines() if line.startswith('note')]

        # at(0) is 22:13:20, and the drops, from at(200) on, are the last of 22:16
        assert mapped('--since', stamp(5), '--until', stamp(202)) == (29, [note])
        assert mapped('--since', stamp(5), '--until', stamp(202), '--not', '--port', '1') == (7 + 12 + 3, [])
        assert mapped('--since', stamp(-20), '--until', '2023-11-14T22:16:59Z') == (29, [note])
        assert mapped('--since', stamp(-20)) == (32, [])
        assert mapped('--since', stamp(-20), '--until', '2023-11-14T22:16:00Z') == (24, [])  # and not that minute, too
        assert mapped('--since', stamp(-20), '--until', stamp(250)) == (29, [])  # of that minute there is nothing
