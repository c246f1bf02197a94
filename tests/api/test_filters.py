"""The recorded truth table of filters, asked of the server: the same flows in the same order."""
import csv
import json

import pytest
from google.protobuf import json_format

import wire
from observer import Observer, golden, GOLDEN

FLOW_TAG = b'\x0a'  # GetFlowsResponse.flow: field 1, a message


def lines_of(name):
    with open(golden(name), encoding='utf-8', newline='\n') as f:
        return f.read().rstrip('\n').split('\n')


def ranges(text):
    for part in () if text == '-' else text.split(','):
        first, _, last = part.partition('-')
        yield from range(int(first), int(last or first) + 1)


def rows():
    with open(GOLDEN + '/filters.tsv', encoding='utf-8', newline='') as f:
        yield from csv.DictReader(f, delimiter='\t', quoting=csv.QUOTE_NONE)


def as_filters(text):
    return [json_format.ParseDict(d, wire.message('flow.FlowFilter')()) for d in json.loads(text)]


class Served:
    """A recorded file in a server, in its log or only in its store: which answer each of its lines with a flow is."""

    def __init__(self, name, where):
        lines = [n for n, line in enumerate(lines_of(name), 1) if 'flow' in json.loads(line)]
        self.observer = Observer(path=golden(name)).__enter__()
        self.observer.wait_seen(len(lines))
        if where == 'store':
            self.observer.restart('/dev/null')  # the new log is empty
        self.first = where == 'store'
        self.client = self.observer.client()
        flows = self.flows([], [])
        assert len(flows) == len(lines)
        self.flow_of_line = dict(zip(lines, flows))

    def flows(self, allow, deny):
        """Answers that hold a flow, as bytes; lost events pass every filter and are not in the table."""
        request = wire.GetFlowsRequest(whitelist=allow, blacklist=deny, first=self.first).SerializeToString()
        answers = self.client.raw('/observer.Observer/GetFlows', request, streams=True)
        return [a for a in answers if a.startswith(FLOW_TAG)]

    def close(self):
        self.client.close()
        self.observer.__exit__(None)


@pytest.fixture(scope='module', params=['log', 'store'])
def served(request):
    both = {column: Served(column[len('flows/'):], request.param) for column in ('flows/synthetic.jsonl', 'flows/real.jsonl')}
    yield both
    for one in both.values():
        one.close()


# synthetic.jsonl has a port written "1e2", which proto3 JSON allows and Python's reader does not take.
@pytest.mark.parametrize('name, unread_most', [('real.jsonl', 0), ('mixed.jsonl', 0), ('kinds.jsonl', 0),
                                               ('synthetic.jsonl', 1)])
def test_each_flow_arrives_as_it_was_recorded(name, unread_most):
    want, unread = [], 0
    for line in lines_of(name):
        try:
            response = wire.recorded(line)
        except json_format.ParseError:
            want.append(None)
            unread += 1
        else:
            if response.HasField('flow'):
                want.append(response.flow)
    assert unread <= unread_most
    with Observer(path=golden(name)) as ob:
        ob.wait_seen(len(want))
        with ob.client() as client:
            got = [r for r in client.GetFlows() if r.HasField('flow')]
        assert len(got) == len(want)
        for r, expected in zip(got, want):
            if expected is None:
                continue
            assert r.flow == expected
            assert r.node_name == expected.node_name
            assert r.HasField('time') == expected.HasField('time') and r.time == expected.time


@pytest.mark.repeats_units  # unit_filter_golden: the whole table, of records, of a segment's columns, of zones
def test_every_filter_of_the_truth_table_selects_its_flows(served):
    wrong = []
    for row in rows():
        if row['error'] != '-':
            continue
        allow, deny = as_filters(row['allowlist']), as_filters(row['denylist'])
        for column, one in served.items():
            want = [one.flow_of_line[n] for n in ranges(row[column]) if n in one.flow_of_line]
            got = one.flows(allow, deny)
            if got != want:
                wrong.append((row['id'], column, '%d flows, %d expected' % (len(got), len(want))))
    assert not wrong


def test_filters_that_cannot_be_built_are_refused_with_the_reference_text(served):
    client = served['flows/real.jsonl'].client
    wrong = []
    for row in rows():
        if row['error'] == '-':
            continue
        try:
            allow, deny = as_filters(row['allowlist']), as_filters(row['denylist'])
        except (json_format.ParseError, ValueError):
            continue  # no FlowFilter at all: it never reaches a server
        status, text = wire.status_of(lambda: client.GetFlows(whitelist=allow, blacklist=deny))
        if status != 'UNKNOWN' or text != row['error']:
            wrong.append((row['id'], status, text, row['error']))
    assert not wrong
