"""tycho-relay --clickhouse: what it answers from rows is what an observer's history says of the same flows."""
import csv
import http.server
import json
import os
import re
import struct
import subprocess
import threading

import grpc
import pytest
from google.protobuf import json_format

import wire
from archived import Archive, Tables, answers_of, row_of
from clickhouse import PASSWORD, ClickHouse
from daemon import BIN, until
from observer import BASE_S, GOLDEN, Observer, flow, golden, stamp, tycho
from test_access import OPS, OF_SHOP, PAIRS, SHOP, as_, lines as lines_of_pairs, rules  # noqa: F401
from test_tls import Authority

EVERYTHING = dict(first=True, number=wire.ALL)
FLOW_TAG = b'\x0a'  # GetFlowsResponse.flow: field 1, a message


@pytest.fixture(scope='module')
def tables(server):
    return Tables(server, 'ours')


@pytest.fixture
def house(tables):
    tables.clear()
    return tables


def recorded(*names):
    """Recorded lines with a time of these years, in its order."""
    lines = []
    for name in names:
        with open(golden(name), encoding='utf-8', newline='\n') as f:
            for line in f.read().rstrip('\n').split('\n'):
                said = json.loads(line)
                time = re.fullmatch(r'(20[0-9T:-]{17})(?:\.([0-9]{1,9}))?Z', str(said.get('flow', said).get('time')))
                if time:
                    lines.append(((time.group(1), (time.group(2) or '').ljust(9, '0')), line))
    return [line for _, line in sorted(lines, key=lambda x: x[0])]


def is_recorded(answer):
    """Not what the observer itself has to say, now, of a line that it could not read."""
    r = wire.GetFlowsResponse.FromString(answer)
    return r.HasField('flow') or r.lost_events.source != 1 or r.time.seconds < 1_790_000_000


def history_of(client, **request):
    return [a for a in answers_of(client, **request) if is_recorded(a)]


def fill(house, observer, node='n0', first=0):
    """An observer's history as rows; every third is there twice."""
    with observer.client() as c:
        answers = history_of(c, **EVERYTHING)
    rows = [row_of(a, first + i, node) for i, a in enumerate(answers)]
    house.insert(rows)
    house.insert(rows[::3])
    return answers


class Both:
    """The same flows in an observer's history and in ClickHouse, and a client of each."""

    def __init__(self, house, *names):
        self.observer = Observer(lines=recorded(*names))
        self.observer.__enter__()
        self.observer.wait_replayed()
        self.all = fill(house, self.observer)
        self.archive = Archive(house.url)
        self.archive.__enter__()
        self.history, self.client = self.observer.client(), self.archive.client()

    def close(self):
        for c in (self.history, self.client):
            c.close()
        self.archive.__exit__(None)
        self.observer.__exit__(None)


@pytest.fixture(scope='module')
def both(server):
    b = Both(Tables(server, 'both'), 'real.jsonl', 'synthetic.jsonl', 'l7.jsonl', 'l4.jsonl', 'policy.jsonl', 'identity.jsonl', 'labels.jsonl', 'lost.jsonl')
    yield b
    b.close()


MIDDLE = {'seconds': 1709632800}  # 2024-03-05T10:00:00Z
QUESTIONS = {
    'all': {},
    'first': dict(first=True, number=5),
    'last': dict(number=5),
    'last beyond all': dict(number=10**6),
    'last of many': dict(number=2500),
    'since': dict(since=MIDDLE),
    'since, some': dict(since=MIDDLE, number=7),
    'until': dict(until=MIDDLE, first=True),
    'until alone': dict(until=MIDDLE),
    'last until': dict(until=MIDDLE, number=9),
    'range': dict(since=MIDDLE, until={'seconds': MIDDLE['seconds'] + 3600}),
    'a range that ends before it begins': dict(since=MIDDLE, until={'seconds': 1}),
    'before 1970': dict(since={'seconds': -5}, until={'seconds': -1}),
    'beyond what a wall_ns holds': dict(since={'seconds': 250_000_000_000}),
    'verdict': dict(first=True, whitelist=[{'verdict': ['DROPPED', 'ERROR']}]),
    'last drops': dict(number=20, whitelist=[{'verdict': ['DROPPED']}]),
    'first drops': dict(number=20, first=True, whitelist=[{'verdict': ['DROPPED']}]),
    'pods': dict(first=True, whitelist=[{'source_pod': ['default/']}, {'destination_pod': ['kube-system/core']}]),
    'a pod of any namespace': dict(first=True, whitelist=[{'source_pod': ['/a']}]),
    'labels': dict(number=50, whitelist=[{'source_label': ['reserved:host']}, {'destination_label': ['k8s:app in (a, b)', '!k8s:app']}]),
    'ports': dict(first=True, whitelist=[{'destination_port': ['53', '080', '443']}]),
    'prefixes': dict(first=True, whitelist=[{'source_ip': ['10.0.0.0/9', '192.168.0.0/23', 'fd00::/8']}, {'destination_ip': ['8.8.8.8']}]),
    'protocols': dict(first=True, whitelist=[{'protocol': ['icmp', 'UDP']}]),
    'protocols of layer 7': dict(first=True, whitelist=[{'protocol': ['dns', 'tcp']}]),
    'http': dict(first=True, whitelist=[{'http_status_code': ['4+', '200'], 'event_type': [{'type': 129}]}]),
    'nodes': dict(first=True, whitelist=[{'node_name': ['k8s1', 'default/*']}]),
    'replies': dict(first=True, whitelist=[{'reply': [False]}]),
    'cel': dict(number=30, whitelist=[{'experimental': {'cel_expression': ["_flow.l4.TCP.destination_port > uint(1000)"]}}]),
    'a regular expression': dict(first=True, whitelist=[{'http_path': ['/a.*'], 'event_type': [{'type': 129}]}]),
    'blacklist': dict(first=True, blacklist=[{'verdict': ['FORWARDED']}, {'source_pod': ['kube-system/']}]),
    'both lists': dict(number=11, whitelist=[{'verdict': ['FORWARDED']}], blacklist=[{'protocol': ['tcp']}]),
    'what nobody has': dict(number=3, whitelist=[{'source_pod': ["o'brien\\\\/x"]}]),
    'mask': dict(first=True, number=40, field_mask={'paths': ['time', 'source.pod_name', 'l4.TCP.destination_port', 'node_name']}),
    'mask without time': dict(number=40, field_mask={'paths': ['verdict']}),
    'mask of half a time': dict(number=4, field_mask={'paths': ['time.seconds', 'l7.dns.query']}),
}


@pytest.mark.parametrize('question', QUESTIONS)
def test_the_answer_is_that_of_an_observers_history(both, question):
    request = QUESTIONS[question]
    asked = dict(EVERYTHING) if not request else request  # of an observer, no question at all means what its ring holds
    assert answers_of(both.client, **request) == history_of(both.history, **asked)


def test_questions_that_should_have_an_answer_have_one(both):
    for question in ('last', 'verdict', 'last drops', 'pods', 'labels', 'ports', 'prefixes', 'protocols', 'protocols of layer 7', 'http', 'nodes',
                     'replies', 'cel', 'blacklist', 'both lists', 'range', 'until'):
        assert answers_of(both.history, **QUESTIONS[question]), question


def test_batches_hold_the_same(both):
    batches = both.client.call('tycho.v1.Flows', 'GetFlowBatches', number=1500)
    assert [r.SerializeToString() for b in batches for r in b.responses] == [
        r.SerializeToString() for r in both.history.GetFlows(number=1500)]


def test_the_command_line_prints_the_same(both):
    for words in (['--last', '25', '-o', 'json'], ['--verdict', 'DROPPED', '--first', '30', '-o', 'jsonpb'],
                  ['--since', '2024-03-05T10:00:00Z', '--until', '2024-03-05T10:00:02Z', '-o', 'dict'],
                  ['--last', '40', '--pod', 'default/', '-o', 'compact']):
        asked = [tycho('observe', '--server', s, *words, check=0).stdout for s in (both.archive.address, both.observer.tcp)]
        assert asked[0] == asked[1] and asked[0]


def test_the_recorded_truth_of_filters(house):
    """What Hubble's filters took of recorded flows: every filter's condition lets through all of them, and the filter no others."""
    with open(golden('synthetic.jsonl'), encoding='utf-8', newline='\n') as f:
        lines = {n: line for n, line in enumerate(f.read().rstrip('\n').split('\n'), 1) if 'flow' in json.loads(line)}
    with Observer(lines=lines.values()) as observer, observer.client() as c:
        observer.wait_seen(len(lines))
        answers = [a for a in answers_of(c, **EVERYTHING) if a.startswith(FLOW_TAG)]
    assert len(answers) == len(lines)
    # time is the number of the line, so that the order is that of the lines
    house.insert(dict(row_of(a, i, 'n0'), time_ns=1 + i) for i, a in enumerate(answers))
    with open(os.path.join(GOLDEN, 'filters.tsv'), encoding='utf-8', newline='') as f:
        rows = [r for r in csv.DictReader(f, delimiter='\t', quoting=csv.QUOTE_NONE) if r['error'] == '-']
    of_line = dict(zip(lines, answers))

    def filters(text):
        return [json_format.ParseDict(d, wire.message('flow.FlowFilter')()) for d in json.loads(text)]
    with Archive(house.url) as archive, archive.client() as c:
        for row in rows[::4]:
            want = [i for part in row['flows/synthetic.jsonl'].split(',') if part != '-' for a, _, b in [part.partition('-')]
                    for i in range(int(a), int(b or a) + 1)]
            got = answers_of(c, whitelist=filters(row['allowlist']), blacklist=filters(row['denylist']))
            assert got == [of_line[i] for i in want if i in of_line], row['id']


def test_flows_of_one_time_are_in_order_of_node_and_number_and_each_is_there_once(house):
    answers = {}
    for node in ('b', 'a'):
        for i in range(30):
            r = json_format.Parse(flow(7, uuid='%s-%d' % (node, i), node_name=node), wire.GetFlowsResponse())
            answers[node, i] = r.SerializeToString()
    house.insert(row_of(a, i, node) for (node, i), a in answers.items())
    house.insert(row_of(a, i, node) for (node, i), a in answers.items())
    with Archive(house.url) as archive, archive.client() as c:
        want = [answers[k] for k in sorted(answers)]
        assert answers_of(c) == want
        assert answers_of(c, number=41) == want[-41:]
        assert answers_of(c, first=True, number=29) == want[:29]


def test_flows_without_a_time_are_of_every_range(house):
    with_time = [json_format.Parse(flow(i), wire.GetFlowsResponse()).SerializeToString() for i in range(3)]
    without = wire.GetFlowsResponse()
    without.flow.uuid = 'none'
    house.insert([row_of(without.SerializeToString(), 9, 'n')] + [row_of(a, i, 'n') for i, a in enumerate(with_time)])
    with Archive(house.url) as archive, archive.client() as c:
        assert [f.uuid for f in c.flows()] == ['none', 'flow-0', 'flow-1', 'flow-2']
        assert [f.uuid for f in c.flows(since={'seconds': BASE_S + 1})] == ['none', 'flow-1', 'flow-2']
        assert [f.uuid for f in c.flows(number=2)] == ['flow-1', 'flow-2']
        assert [f.uuid for f in c.flows(number=9)] == ['none', 'flow-0', 'flow-1', 'flow-2']


def test_times_at_the_end_of_time_are_times(house):
    times = [1, 2**63 - 1, 2**63, 2**63 + 2**62, 2**64 - 2, 2**64 - 1]
    answers = [json_format.Parse(flow(i), wire.GetFlowsResponse()).SerializeToString() for i in range(len(times))]
    house.insert(dict(row_of(a, i, 'n'), time_ns=t) for i, (a, t) in enumerate(zip(answers, times)))
    with Archive(house.url) as archive, archive.client() as c:
        assert answers_of(c) == answers
        assert answers_of(c, number=4) == answers[2:]


# ---- more rows than one statement reads

MANY = 100_000


def crowd(house, count=MANY, width_ns=1, pad=0):
    """So many flows, width_ns apart, made by ClickHouse: uuid is their number."""
    r = json_format.Parse(flow(0, uuid='UUID'), wire.GetFlowsResponse())
    r.flow.Summary = 'x' * pad
    head, tail = r.SerializeToString().split(b'UUID')

    def text(b):
        return "unhex('%s')" % b.hex()
    # a text of as many characters as the one it takes the place of leaves all lengths right
    house.sql("INSERT INTO tycho_flows (node, seq, time_ns, kind, verdict, source_pod, source_namespace, uuid, response) SELECT 'n', number, "
              "%d + number * %d, 'flow', 'FORWARDED', 'cart-0', 'shop', substring(toString(1000000 + number), 4, 4), concat(%s, substring(toString("
              '1000000 + number), 4, 4), %s) FROM system.numbers LIMIT %d' % (BASE_S * 10**9, width_ns, text(head), text(tail), count))


def test_slices_and_pages_join_without_a_seam(house):
    crowd(house)  # a tenth of a millisecond has them all
    with Archive(house.url) as archive, archive.client() as c:
        uuids = [f.uuid for f in c.flows(field_mask={'paths': ['uuid']})]
        want = ['%04d' % (i % 10000) for i in range(MANY)]
        assert uuids == want
        assert [f.uuid for f in c.flows(number=70_001, field_mask={'paths': ['uuid']})] == want[-70_001:]


def test_flows_of_one_nanosecond_are_read_page_by_page(house):
    crowd(house, width_ns=0)
    with Archive(house.url) as archive, archive.client() as c:
        assert len(c.flows(field_mask={'paths': ['uuid']})) == MANY
        assert [f.uuid for f in c.flows(number=40_000, field_mask={'paths': ['uuid']})] == ['%04d' % (i % 10000) for i in range(60_000, MANY)]


# ---- what is refused

def test_there_is_nothing_to_follow(both):
    code, text = wire.status_of(lambda: both.client.GetFlows(follow=True))
    assert (code, text) == ('INVALID_ARGUMENT', 'an archive in ClickHouse has no live flows to follow; ask the observers, or a relay over them')
    p = tycho('observe', '--server', both.archive.address, '-f', check=1)
    assert text in p.stderr and p.stdout == ''
    assert wire.status_of(lambda: both.client.GetFlows(follow=True, first=True)) == (
        'INVALID_ARGUMENT', 'first cannot be specified with follow')


def test_what_is_wrong_with_a_request_is_said_in_an_observers_words(both):
    for request in (dict(whitelist=[{'source_pod': ['']}]), dict(whitelist=[{'http_status_code': ['9999']}]), dict(field_mask={'paths': ['bogus']}),
                    dict(since={'seconds': -10**12}), dict(until={'seconds': 1, 'nanos': -1}),
                    dict(blacklist=[{'experimental': {'cel_expression': ['1 +']}}])):
        refused = [wire.status_of(lambda c=c, r=request: c.GetFlows(**r)) for c in (both.client, both.history)]
        assert refused[0] == refused[1], request
    assert wire.status_of(lambda: both.client.raw('/observer.Observer/GetFlows', b'\xff', streams=True))[0] == 'INVALID_ARGUMENT'


@pytest.mark.parametrize('service, method', [('observer.Observer', 'GetAgentEvents'), ('observer.Observer', 'GetDebugEvents'),
                                             ('tycho.v1.Evidence', 'Export')])
def test_what_an_archive_has_not_is_refused_with_a_word_on_whom_to_ask(both, service, method):
    code, text = wire.status_of(lambda: both.client.call(service, method))
    assert code == 'UNIMPLEMENTED' and text.startswith('an archive in ClickHouse ') and 'ask the ' in text


@pytest.mark.parametrize('options, sentence', [
    (['--peer', 'a=localhost:1'], '--peer is of no use with --clickhouse, where no peers are asked'),
    (['--peers-file', '/nowhere'], '--peers-file is of no use with --clickhouse, where no peers are asked'),
    (['--peer-service', 'localhost:1'], '--peer-service is of no use with --clickhouse, where no peers are asked'),
    (['--sort-buffer-len-max=5'], '--sort-buffer-len-max is of no use with --clickhouse, where no peers are asked'),
    (['--forward-authorization'], '--forward-authorization is of no use with --clickhouse, where no peers are asked'),
    (['--clickhouse-queries', '0'], "--clickhouse-queries 0: expected a number of queries from 1 to 1000"),
    (['--clickhouse-password-file', '/nowhere'], "--clickhouse-password-file '/nowhere': No such file or directory"),
])
def test_options_that_contradict_are_named(options, sentence):
    p = subprocess.run([os.path.join(BIN, 'tycho-relay'), '--clickhouse', 'http://127.0.0.1:1/x', *options], stderr=subprocess.PIPE, text=True,
                       timeout=60)
    assert (p.returncode, p.stderr) == (1, 'tycho-relay: %s\n' % sentence)


def test_options_about_clickhouse_need_it():
    for option in ('--clickhouse-queries', '--clickhouse-user'):
        p = subprocess.run([os.path.join(BIN, 'tycho-relay'), '--peer', 'a=localhost:1', option, '5'], stderr=subprocess.PIPE, text=True, timeout=60)
        assert (p.returncode, p.stderr) == (1, 'tycho-relay: %s needs --clickhouse\n' % option)


# ---- status, nodes, namespaces, coverage

def test_status_and_lists_tell_what_is_held(house):
    with Observer(lines=[flow(i, node_name='east/a') for i in range(10)]) as a, Observer(
            lines=[flow(i, node_name='b', source={'namespace': 'bank', 'cluster_name': 'west'}) for i in range(5, 12)]) as b:
        for observer, n in ((a, 10), (b, 7)):
            observer.wait_seen(n)
        fill(house, a, 'east/a')
        fill(house, b, 'b')
    house.sql('OPTIMIZE TABLE tycho_flows')
    with Archive(house.url) as archive, archive.client() as c:
        status = c.ServerStatus()
        # the rows that are there twice are counted twice: nobody reads them
        assert (status.num_flows, status.max_flows, status.seen_flows) == (24, 24, 24)
        assert (status.num_connected_nodes.value, status.num_unavailable_nodes.value) == (2, 0)
        assert status.version.startswith('tycho-relay v') and status.uptime_ns == 11 * 10**9
        assert [(n.name, n.num_flows, n.uptime_ns) for n in c.GetNodes().nodes] == [('b', 10, 6 * 10**9), ('east/a', 14, 9 * 10**9)]
        assert [(n.cluster, n.namespace) for n in c.GetNamespaces().namespaces] == [('', 'shop'), ('', 'store'), ('west', 'bank')]
        filtered = c.call('tycho.v1.Flows', 'GetFilteredStatus', whitelist=[{'source_pod': ['bank/']}])
        assert (filtered.num_flows, filtered.seen_flows) == (7, 7)  # each once
        assert c.call('tycho.v1.Flows', 'GetTime').node_name == 'the-archive'
        for words, shown in ((['status'], 'Connected Nodes: 2/2'), (['list', 'nodes'], 'east/a'), (['list', 'namespaces'], 'bank')):
            assert shown in tycho(*words, '--server', archive.address, check=0).stdout


def test_coverage_says_what_is_missing_of_each_node(house):
    with Observer(lines=[flow(i) for i in range(10)]) as a:
        a.wait_seen(10)
        fill(house, a, 'a')
    base = BASE_S * 10**9
    house.insert_gap(node='a', entry=3, cause='kernel-lost', from_ns=base + 10**9, to_ns=base + 2 * 10**9, lost=12)
    house.insert_gap(node='a', entry=3, cause='kernel-lost', from_ns=base + 10**9, to_ns=base + 2 * 10**9, lost=12)  # twice
    house.insert_gap(node='a', entry=2**63 + 5, cause='not-shipped', from_ns=base + 5 * 10**9, to_ns=base + 6 * 10**9, lost=4, detail='it was away')
    house.insert_gap(node='b', entry=1, cause='observer-down', from_ns=base, to_ns=base + 10**9, of_node='c')
    with Archive(house.url) as archive, archive.client() as c:
        said = list(c.call('tycho.v1.History', 'GetCoverage'))
        assert [(n.node_name, n.HasField('oldest'), n.has_store, n.records) for n in said] == [('a', True, True, 14), ('b', False, True, 0)]
        assert (said[0].oldest.seconds, said[0].newest.seconds) == (BASE_S, BASE_S + 9)
        cause = said[0].gaps[0].DESCRIPTOR.fields_by_name['cause'].enum_type.values_by_number
        assert [(cause[g.cause].name, g.lost, g.node_name, g.detail) for n in said for g in n.gaps] == [
            ('KERNEL_LOST', 12, '', ''), ('NOT_SHIPPED', 4, '', 'it was away'), ('OBSERVER_DOWN', 0, 'c', '')]
        later = list(c.call('tycho.v1.History', 'GetCoverage', since={'seconds': BASE_S + 4}))
        assert [(n.node_name, len(n.gaps)) for n in later] == [('a', 1)]
        counted = list(c.call('tycho.v1.History', 'GetCoverage', since={'seconds': BASE_S + 4}, until={'seconds': BASE_S + 7}, count=True))
        assert [(n.node_name, n.counted, n.range_records, n.records) for n in counted] == [('a', True, 5, 14)]  # rows, one of them there twice
        p = tycho('observe', '--server', archive.address, '--since', stamp(0), '--until', stamp(9), check=0)
        assert 'incomplete: a: %s to %s: events were lost before the observer had them (12 lost)\n' % (stamp(1), stamp(2)) in p.stderr
        assert 'the node had to delete it before ClickHouse had it (4 lost): it was away\n' in p.stderr
        p = tycho('observe', '--server', archive.address, '--since', stamp(7), '--until', stamp(9), check=0)
        assert p.stderr.startswith('complete: ')
        assert 'covered' in tycho('coverage', '--server', archive.address, check=0).stdout
        assert wire.status_of(lambda: c.call('tycho.v1.History', 'GetCoverage', since={'seconds': -1}))[0] == 'INVALID_ARGUMENT'


MAPS = {
    'all': dict(whitelist=[{}]),  # with a filter an observer reads flows, too, and not its sums by the minute
    'drops': dict(whitelist=[{'verdict': ['DROPPED']}]),
    'a range': dict(since=MIDDLE, until={'seconds': MIDDLE['seconds'] + 60}, whitelist=[{}]),
    'until alone': dict(until=MIDDLE, whitelist=[{}]),
    'rates': dict(since=MIDDLE, until={'seconds': MIDDLE['seconds'] + 3600}, rates_step_s=60, whitelist=[{}]),
    'rates only': dict(since=MIDDLE, until={'seconds': MIDDLE['seconds'] + 60}, rates_step_s=1, rates_only=True, blacklist=[{'protocol': ['udp']}]),
    'nothing': dict(whitelist=[{'source_pod': ['nobody/']}]),
}


def map_of(client, **request):
    """Edges and rates, in an order of their own; the node's name is the server's."""
    answers = list(client.call('tycho.v1.History', 'GetServiceMap', **request))
    assert [a.snapshot_complete for a in answers] == [False] * (len(answers) - 1) + [True]
    return (sorted(e.SerializeToString() for a in answers for e in a.edges), [(r.step, r.flows, r.dropped) for r in answers[-1].rates],
            sum(a.left_out for a in answers))


@pytest.mark.parametrize('asked', MAPS)
def test_the_service_map_is_that_of_an_observer(both, asked):
    edges, rates, left_out = map_of(both.client, **MAPS[asked])
    assert (edges, rates, left_out) == map_of(both.history, **MAPS[asked])
    assert bool(edges) == (asked not in ('rates only', 'nothing')) and bool(rates) == ('rates' in asked)


def test_a_map_is_refused_in_an_observers_words_and_has_nothing_to_follow(both):
    for request in (dict(rates_only=True), dict(rates_step_s=1), dict(since={'seconds': 1}, rates_step_s=1), dict(whitelist=[{'source_pod': ['']}])):
        refused = [wire.status_of(lambda c=c, r=request: c.call('tycho.v1.History', 'GetServiceMap', **r)) for c in (both.client, both.history)]
        assert refused[0] == refused[1], request
    assert wire.status_of(lambda: both.client.call('tycho.v1.History', 'GetServiceMap', follow=True))[0] == 'INVALID_ARGUMENT'
    shown = [tycho('map', '--server', s, '--since', '2024-03-05T10:00:00Z', '--until', '2024-03-05T10:01:00Z', '--verdict', 'DROPPED', '-o', 'json',
                   check=0).stdout for s in (both.archive.address, both.observer.tcp)]
    assert sorted(shown[0].splitlines()) == sorted(shown[1].splitlines()) and shown[0]


# ---- who may see what

def test_access_rules_cut_requests_down(house, rules):  # noqa: F811
    with Observer(lines=lines_of_pairs('a')) as a:
        a.wait_seen(9)
        fill(house, a, 'a')
    with Archive(house.url, '--access-file', rules.path) as archive, archive.client() as c:
        assert wire.status_of(lambda: c.GetFlows())[0] == 'UNAUTHENTICATED'
        assert [f.uuid for f in c.flows(metadata=as_(OPS))] == ['a-%d' % i for i in range(9)]
        assert [f.uuid for f in c.flows(metadata=as_(SHOP))] == ['a-%d' % i for i in OF_SHOP]
        assert [f.uuid for f in c.flows(metadata=as_(SHOP), number=2, field_mask={'paths': ['uuid']})] == ['a-%d' % i for i in OF_SHOP[-2:]]
        assert [f.uuid for f in c.flows(metadata=as_(SHOP), whitelist=[{'source_pod': ['bank/']}])] == ['a-%d' % PAIRS.index(('bank', 'shop'))]
        assert c.ServerStatus(metadata=as_(SHOP)).num_flows == len(OF_SHOP)
        assert [(n.name, n.num_flows) for n in c.GetNodes(metadata=as_(SHOP)).nodes] == [('a', 0)]
        assert [n.namespace for n in c.GetNamespaces(metadata=as_(SHOP)).namespaces] == ['shop']
        assert [n.namespace for n in c.GetNamespaces(metadata=as_(OPS)).namespaces] == ['bank', 'shop', 'web']
        assert [n.records for n in c.call('tycho.v1.History', 'GetCoverage', metadata=as_(SHOP))] == [0]
        maps = c.call('tycho.v1.History', 'GetServiceMap', metadata=as_(SHOP))
        assert {(e.source.namespace, e.destination.namespace) for m in maps for e in m.edges} == {PAIRS[i] for i in OF_SHOP}
        assert wire.status_of(lambda: c.call('tycho.v1.Evidence', 'Export', metadata=as_(SHOP)))[0] == 'PERMISSION_DENIED'
        until(lambda: re.search(r'msg="query ended" .*method=/observer.Observer/GetFlows .*flows=%d ' % len(OF_SHOP), archive.log()), fault=archive.log)


def test_mutual_tls_is_that_of_every_relay(house, tmp_path):
    ca = Authority(tmp_path, 'ca')
    cert, key = ca.issue('server', 'localhost')

    def read(path):
        with open(path, 'rb') as f:
            return f.read()
    names = [('grpc.ssl_target_name_override', 'localhost')]
    with Archive(house.url, '--tls-cert-file', cert, '--tls-key-file', key, '--tls-client-ca-file', ca.cert) as archive:
        with archive.client(credentials=grpc.ssl_channel_credentials(read(ca.cert), read(key), read(cert)), options=names) as c:
            assert c.ServerStatus().num_flows == 0
        with archive.client(credentials=grpc.ssl_channel_credentials(read(ca.cert)), options=names) as c:
            assert wire.status_of(lambda: c.ServerStatus())[0] == 'UNAVAILABLE'


def test_a_user_who_may_only_read_is_enough(house):
    house.insert([row_of(json_format.Parse(flow(0), wire.GetFlowsResponse()).SerializeToString(), 0, 'n')])
    with Archive(house.url, '--clickhouse-user', 'reader') as archive, archive.client() as c:
        archive.wait_well()
        assert len(c.flows()) == 1


def test_a_wrong_password_is_clickhouses_matter_and_in_no_log(house, tmp_path):
    secret = tmp_path / 'secret'
    secret.write_text(PASSWORD + '\n')
    with Archive(house.url, '--clickhouse-user', 'tycho', '--clickhouse-password-file', str(secret)) as archive, archive.client() as c:
        archive.wait_well()
        assert c.flows() == []
        secret.write_text('another\n')
        assert wire.status_of(lambda: c.GetFlows())[0] == 'UNAVAILABLE'
        until(lambda: 'msg="ClickHouse does not answer, asking on"' in archive.log(), fault=archive.log)
        secret.write_text(PASSWORD + '\n')
        until(lambda: archive.health() == 1, fault=archive.log)
        assert PASSWORD not in archive.log() and 'another' not in archive.log()


def test_a_password_in_plain_text_to_another_machine_is_warned_of(tmp_path):
    secret = tmp_path / 'secret'
    secret.write_text('a word\n')
    warning = 'flows and the password of ClickHouse travel in plain text'
    for host, options, warned in (('192.0.2.1', ['--clickhouse-password-file', str(secret)], True), ('192.0.2.1', [], False),
                                  ('127.0.0.1:1', ['--clickhouse-password-file', str(secret)], False)):
        with Archive('http://%s/x' % host, *options) as archive:
            assert (warning in archive.log()) == warned


# ---- clients that are slow, or gone

def test_a_slow_client_slows_its_query_only(house):
    crowd(house, pad=2000)
    with Archive(house.url) as archive, archive.client(fast=False) as slow, archive.client() as c:
        stream = slow.GetFlows(timeout=300)
        next(stream)
        assert len(c.flows(number=20_000, field_mask={'paths': ['uuid']})) == 20_000
        assert c.ServerStatus().num_flows == MANY
        stream.cancel()


def test_a_client_that_goes_away_ends_its_statement(house):
    crowd(house, count=100)
    # a view of many blocks, that takes two seconds for each: minutes in all
    house.sql('RENAME TABLE tycho_flows TO few')
    house.sql('CREATE TABLE slow AS few ENGINE = Memory')
    try:
        for _ in range(200):
            house.sql('INSERT INTO slow SELECT * FROM few')
        house.sql('CREATE VIEW tycho_flows AS SELECT * FROM slow WHERE sleepEachRow(0.02) = 0')
        with Archive(house.url) as archive, archive.client(fast=False) as c:
            stream = c.GetFlows(number=5)
            until(lambda: house.statements('FROM tycho_flows WHERE time_ns') > 0, fault=archive.log)
            stream.cancel()
            until(lambda: archive.measured('tycho_relay_clickhouse_live_queries') == 0)
            until(lambda: house.statements('FROM tycho_flows WHERE time_ns') == 0, fault=archive.log)
            assert archive.measured('tycho_relay_clickhouse_failures_total') == 0
    finally:
        for table in ('tycho_flows', 'slow'):
            house.sql('DROP TABLE IF EXISTS ' + table)
        house.sql('RENAME TABLE few TO tycho_flows')


def test_one_query_too_many_is_refused(house):
    crowd(house, pad=2000)
    with Archive(house.url, '--clickhouse-queries', '1') as archive, archive.client(fast=False) as slow, archive.client() as c:
        stream = slow.GetFlows(timeout=300)
        next(stream)
        assert wire.status_of(lambda: c.GetFlows()) == (
            'RESOURCE_EXHAUSTED', 'as many queries as may be at a time (1) are being answered; ask again in a moment')
        assert wire.status_of(lambda: c.ServerStatus())[0] == 'RESOURCE_EXHAUSTED'
        stream.cancel()
        until(lambda: wire.status_of_or_none(lambda: c.ServerStatus()) is None)
        assert archive.measured('tycho_relay_clickhouse_refused_total') >= 2


class Forgetful(http.server.BaseHTTPRequestHandler):
    """A ClickHouse that counts five rows and then has none: so ends a killed statement in the version of Debian 12."""
    protocol_version = 'HTTP/1.1'

    def do_POST(self):
        sql = self.rfile.read(int(self.headers['content-length']))
        number = struct.pack('<Q', BASE_S * 10**9)
        said = number if b'min(time_ns)' in sql else struct.pack('<QQ', 0, 5) if b'count()' in sql else b''
        self.send_response(200)
        self.send_header('content-length', str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, *said):
        pass


def test_fewer_rows_than_were_counted_are_an_error_and_no_short_answer():
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), Forgetful) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with Archive('http://127.0.0.1:%d/x' % server.server_port) as archive, archive.client() as c:
            for request in (dict(first=True), dict(number=3)):
                code, text = wire.status_of(lambda r=request: c.GetFlows(until={'seconds': BASE_S + 5}, **r))
                assert code == 'UNAVAILABLE' and text.startswith('ClickHouse gave 0 rows of 5 that it had counted: '), text
        server.shutdown()


# ---- ClickHouse away

def test_clickhouse_killed_in_the_middle_is_an_error_and_works_again_after_its_restart():
    with ClickHouse() as house:
        tables = Tables(house, 'ours')
        crowd(tables, pad=2000)
        with Archive(tables.url) as archive, archive.client() as c:
            archive.wait_well()
            assert archive.health() == 1 and archive.page('/readyz')[0] == 200
            stream = c.GetFlows(timeout=300)
            for _ in range(1000):
                next(stream)
            house.kill()
            code, text = wire.status_of(lambda: stream)
            assert code == 'UNAVAILABLE' and '127.0.0.1:%d' % house.http in text
            code, text = wire.status_of(lambda: c.ServerStatus())
            assert code == 'UNAVAILABLE' and '127.0.0.1:%d' % house.http in text
            until(lambda: archive.health() == 2, fault=archive.log)
            status, text = archive.page('/readyz')
            assert status == 503 and '127.0.0.1:%d' % house.http in text
            assert archive.measured('tycho_relay_clickhouse_up') == 0
            assert archive.log().count('ClickHouse does not answer, asking on') == 1
            house.start()
            until(lambda: archive.health() == 1, fault=archive.log)
            assert c.ServerStatus().num_flows == MANY
            assert archive.measured('tycho_relay_clickhouse_failures_total') == 2
            assert archive.measured('tycho_relay_clickhouse_rows_total') > 1000


def test_a_database_without_tables_is_said_to_have_none(server):
    server.ask('CREATE DATABASE empty')
    with Archive(server.database('empty').url) as archive, archive.client() as c:
        until(lambda: 'there is no table empty.tycho_flows, or we may not see it; observers with --clickhouse make it' in archive.log(),
              fault=archive.log)
        assert archive.health() == 2
        code, text = wire.status_of(lambda: c.GetFlows())
        assert code == 'UNAVAILABLE' and 'tycho_flows' in text


def test_a_row_that_is_no_flow_is_an_error_and_not_left_out(house):
    good = json_format.Parse(flow(0), wire.GetFlowsResponse()).SerializeToString()
    bad = dict(row_of(good, 1, 'n'), response=b'\xff\xff')
    house.insert([row_of(good, 0, 'n'), bad])
    with Archive(house.url) as archive, archive.client() as c:
        code, text = wire.status_of(lambda: c.GetFlows(blacklist=[{'verdict': ['DROPPED']}]))
        assert (code, text) == ('INTERNAL', "row 1 of node 'n' in tycho_flows is no flow, though it says so")


def test_what_observers_ship_is_answered_as_their_histories_would(db):
    """From end to end: their own rows, of two nodes."""
    lines = recorded('synthetic.jsonl', 'l7.jsonl', 'l4.jsonl')
    shipped = ['--clickhouse', db.url, '--clickhouse-period', '1s', '--seal-period', '100ms']
    with Observer('--cluster', 'east', *shipped, lines=lines) as a, Observer('--node-name', 'n1', *shipped, lines=[flow(i) for i in range(20)]) as b:
        for observer in (a, b):
            observer.wait_replayed()
        with a.client() as history, b.client() as other, Archive(db.url) as archive, archive.client() as c:
            flows = len(history.flows(**EVERYTHING)) + 20
            until(lambda: db.flows() >= flows, fault=lambda: '%d of %d: %s' % (db.flows(), flows, a.log()))
            archive.wait_well()
            for question in ('all', 'last', 'range', 'verdict', 'pods', 'labels', 'ports', 'prefixes', 'protocols', 'http', 'nodes', 'replies', 'cel',
                             'blacklist', 'both lists'):
                request = dict(EVERYTHING, **QUESTIONS[question])
                request.update(since={'seconds': 1_709_000_000}, until={'seconds': 1_709_900_000})  # those of b are older
                assert [f.uuid for f in c.flows(**request)] == [f.uuid for f in history.flows(**request)], question
            assert [f.uuid for f in c.flows(until={'seconds': BASE_S + 100})] == ['flow-%d' % i for i in range(20)]
            assert [n.name for n in c.GetNodes().nodes] == ['east/n0', 'n1']
            assert sorted((n.namespace, n.cluster) for n in c.GetNamespaces().namespaces) == sorted(
                {(e.namespace, e.cluster_name) for client in (history, other) for f in client.flows(**EVERYTHING) for e in (f.source, f.destination)
                 if e.namespace})
            covered = {n.node_name: n for n in c.call('tycho.v1.History', 'GetCoverage')}
            for client in (history, other):
                mine = next(iter(client.call('tycho.v1.History', 'GetCoverage')))
                assert covered[mine.node_name].oldest == mine.oldest
