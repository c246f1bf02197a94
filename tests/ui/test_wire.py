"""The websocket protocol: its document, its types and what a server really says are one (ui-server/wire.schema.json)."""
import contextlib
import json
import os
import signal
import subprocess

import grpc
import jsonschema
import pytest

import wire
from cluster import Impostor
from daemon import until
from observer import BASE_S, Observer, flow
from ui import CLOSE, TEXT, Closed, Page, Refused, Ui

FOLDER = os.path.join(wire.ROOT, 'ui-server')
with open(os.path.join(FOLDER, 'wire.schema.json'), encoding='utf-8') as _f:
    SCHEMA = json.load(_f)
LIMITS = {k: v['value'] for k, v in SCHEMA['x-limits'].items()}
CLOSE_CODES = {v['name']: int(code) for code, v in SCHEMA['x-close'].items()}

OUTSIDE = {'source': {'identity': 2, 'labels': ['reserved:world']}}
POLICY_DENIED = {'verdict': 'DROPPED', 'drop_reason': 133, 'drop_reason_desc': 'POLICY_DENIED', 'is_reply': None,
                 'event_type': {'type': 1}}


def of(i, **fields):
    """Flow number i; None leaves a member out."""
    line = json.loads(flow(i, **fields))
    line['flow'] = {k: v for k, v in line['flow'].items() if v is not None}
    return json.dumps(line)


# One of each kind of card and of edge that the protocol has words for, but `rest` and `nowhere`.
LINES = [
    of(0, source={'namespace': 'shop', 'pod_name': 'cart-0', 'identity': 4001, 'cluster_name': 'east',
                  'workloads': [{'name': 'cart', 'kind': 'Deployment'}]}, tycho={'seq': '1', 'packets': '2', 'bytes': '300'}),
    of(1, **POLICY_DENIED, ingress_denied_by=[{'name': 'lockdown', 'namespace': 'shop'}]),
    of(1, **POLICY_DENIED, egress_denied_by=[{'name': 'no-exit', 'namespace': 'shop'}],
       destination={'namespace': 'store', 'pod_name': 'cache-0', 'identity': 4009}),
    of(2, source={'namespace': 'shop', 'identity': 4003, 'labels': ['k8s:app=batch']}, verdict='AUDIT'),
    of(3, source={'identity': 1, 'labels': ['reserved:host']}, verdict='VERDICT_UNKNOWN'),
    of(4, source={'identity': 16777217, 'labels': ['cidr:192.0.2.0/24', 'reserved:world']}),
    of(5, **OUTSIDE, source_names=['shop.example']),
    of(6, **OUTSIDE),
]


# --- one source ----------------------------------------------------------------------------------------------------

def test_header_types_and_document_are_what_the_schema_makes_of_them():
    p = subprocess.run([os.path.join(FOLDER, 'make-wire'), '--check'], stdout=subprocess.PIPE, text=True)
    assert p.returncode == 0, p.stdout


def test_the_schema_is_one():
    jsonschema.Draft202012Validator.check_schema({k: v for k, v in SCHEMA.items() if not k.startswith('x-')})


# --- what a server says --------------------------------------------------------------------------------------------

class Recorder:
    """Holds messages against the schema, and remembers which members came."""

    def __init__(self):
        self.members, self.values = set(), set()
        messages = {'oneOf': [{'$ref': '#/$defs/' + name} for name in SCHEMA['x-server']], '$defs': SCHEMA['$defs']}
        self.validator = jsonschema.Draft202012Validator(messages)

    def take(self, message):
        name = message['type'].capitalize()
        # the one that it should be says what is wrong; "is none of four" does not
        one = jsonschema.Draft202012Validator({'$ref': '#/$defs/' + name, '$defs': SCHEMA['$defs']})
        errors = ['%s: %s' % ('.'.join(map(str, e.path)), e.message) for e in one.iter_errors(message)]
        assert errors == [], message
        self.validator.validate(message)
        self._note(SCHEMA['$defs'][name], name, message)
        return message

    def _note(self, schema, name, value):
        """Walks the schema and the value side by side."""
        if '$ref' in schema:
            name = schema['$ref'].rsplit('/', 1)[1]
            schema = SCHEMA['$defs'][name]
        if 'x-type' in schema:
            proto = wire.message(schema['x-proto'])
            wire.json_format.ParseDict(value, proto(), descriptor_pool=wire.POOL)  # every member is one of the message
        elif 'x-proto' in schema:
            wire.json_format.ParseDict(value, wire.message(schema['x-proto'])(), descriptor_pool=wire.POOL)
        elif 'oneOf' in schema and 'properties' not in schema:
            one = next(s for s in schema['oneOf'] if s['properties']['kind']['const'] == value['kind'])
            self.values.add((name, value['kind']))
            self._note(one, name, value)
        elif 'enum' in schema:
            self.values.add((name, value))
        elif schema.get('type') == 'array':
            for v in value:
                self._note(schema['items'], name, v)
        elif 'properties' in schema:
            for k, v in value.items():
                self.members.add((name, k))
                self._note(schema['properties'][k], '%s.%s' % (name, k), v)


def documented():
    """(members, values) that the schema names for what the server says."""
    members, values = set(), set()
    for name, s in SCHEMA['$defs'].items():
        if 'x-proto' in s or name in SCHEMA['x-page']:
            continue
        if 'enum' in s:
            values |= {(name, v) for v in s['enum']}
        for one in s['oneOf'] if 'properties' not in s and 'oneOf' in s else [s]:
            for k, v in one.get('properties', {}).items():
                members.add((name, k))
                if 'const' in v and k == 'kind':
                    values.add((name, v['const']))
                if 'enum' in v:
                    values |= {('%s.%s' % (name, k), x) for x in v['enum']}
    return members, values


class Recorded:
    """A page whose messages are held against the schema."""

    def __init__(self, recorder, ui, **kw):
        self.page = Page(ui, **kw)
        plain = self.page.next
        self.page.next = lambda: recorder.take(plain())

    def __enter__(self):
        return self.page

    def __exit__(self, *exc):
        self.page.__exit__()


def test_a_server_says_what_the_schema_says_and_all_of_it():
    recorder = Recorder()
    many = [of(100 + i, **OUTSIDE, IP={'source': '198.51.%d.%d' % (i >> 8, i & 255), 'destination': '10.0.0.2',
                                       'ipVersion': 'IPv4'}) for i in range(300)]  # more addresses than have cards
    lines = LINES + many + [of(500, **OUTSIDE, IP=None, l4=None)]
    with contextlib.ExitStack() as stack:
        observer = stack.enter_context(Observer(lines=lines))
        observer.wait_seen(len(lines))
        ui = stack.enter_context(Ui(observer.tcp))
        with Recorded(recorder, ui) as page:
            assert page.protocol == 'tycho-ui.v1'
            hello = page.next()
            assert (hello['type'], hello['protocol']) == ('hello', SCHEMA['x-version'])
            page.status(lambda m: m.get('record') is True and 'coverage' in m and 'history' in m)
            page.watch()
            page.update(lambda m: m['totals']['flows'] == len(lines) and 'map' in m)
            page.watch(allow=[{'source_ip': ['not-an-address']}])
            assert page.of('refused')['watch'] == page.watched
            page.watch(since=1000 * BASE_S, until=1000 * (BASE_S + 3600))
            page.update(lambda m: m['state']['kind'] == 'past' and m['pulse']['step'] > 1)
            page.watch()
            page.update(lambda m: m['state']['kind'] == 'live')
            observer.stop()
            page.update(lambda m: m['state']['kind'] == 'away')
            page.of('status', lambda m: 'reason' in m)
            page.watch(deny=[{'verdict': ['DROPPED']}])  # a new view of a server that is not there
            page.update()
    members, values = documented()
    assert members - recorder.members == {('Hello', 'login')}  # test_server.py has that
    assert values - recorder.values == set()


def test_of_a_range_rates_alone_can_be_asked_for():
    drops = [of(i, **POLICY_DENIED) for i in (4, 5)]
    with Observer(lines=[of(i) for i in range(4)] + drops) as observer, Ui(observer.tcp) as ui, Page(ui) as page:
        observer.wait_seen(6)
        minute = BASE_S - BASE_S % 60  # rates are of whole minutes
        page.watch(since=1000 * minute, until=1000 * (minute + 3600), only='rates')
        told = page.update(lambda m: m['state']['kind'] == 'past')
        assert (told['rows'], told['left_out']) == ([], 0)
        assert told.get('map', {'edges': []})['edges'] == []
        assert (told['totals']['flows'], told['totals']['dropped']) == (6, 2)
        assert (sum(told['pulse']['flows']), sum(told['pulse']['drops'])) == (6, 2)


def test_a_version_is_agreed_on_or_the_upgrade_refused():
    with Ui('127.0.0.1:1') as ui:
        with Page(ui, protocols=['tycho-ui.v9', 'tycho-ui.v1']) as page:
            assert page.protocol == 'tycho-ui.v1'
            assert page.next()['protocol'] == 1
        for offered in (['tycho-ui.v9'], ['http'], ['signal'], []):
            with pytest.raises(Refused):
                Page(ui, protocols=offered)


def test_what_is_no_question_is_refused_with_its_number_and_a_sentence():
    with Ui('127.0.0.1:1') as ui, Page(ui) as page:
        for text, watch in (('', 0), ('[]', 0), ('{"type":"watch"}', 0), ('{"type":"watch","watch":4294967296}', 0),
                            ('{"type":"look","watch":7}', 7), ('{"type":"watch","watch":8,"since":5}', 8),
                            ('{"type":"watch","watch":9,"allow":{}}', 9),
                            ('{"type":"watch","watch":10,"allow":%s}' % json.dumps([{}] * (LIMITS['ask_filters'] + 1)), 10)):
            page.send_frame(TEXT, text.encode())
            refused = page.of('refused')
            assert refused['watch'] == watch and refused['reason'], text
        # a later version's member is passed over
        page.send_frame(TEXT, b'{"type":"watch","watch":11,"zoom":3}')
        page.until(lambda m: m.get('watch') == 11 and m['type'] == 'update')


def busy():
    """Ten flows a second, for as long as anybody looks."""
    lines = [flow(i) for i in range(20)]
    return Observer('--replay-speed', '10', '--replay-repeat', '100000', lines=lines, keep_time=False)


def test_a_page_that_does_not_read_is_sent_no_more_and_then_everything_at_once():
    with busy() as observer, Ui(observer.socket) as ui, Page(ui) as slow, Page(ui) as fast:
        slow.taken(0)
        slow.watch()
        fast.watch()
        came = [slow.next() for _ in range(LIMITS['ahead'])]
        # What the other page is told meanwhile, this one is not: its connection brings an answer to a ping, and nothing before.
        for _ in range(2):
            seen = fast.update(lambda m: m['totals']['flows'])['totals']['flows']
            fast.update(lambda m: m['totals']['flows'] > seen)
            assert slow.whatever_came() == []
        slow.taken(1)  # room for one
        came.append(slow.next())
        assert slow.whatever_came() == []
        for wrong in (0, 1000):  # what it cannot have read, or has said before
            slow.taken(wrong)
        assert slow.whatever_came() == []
        updates = []
        while len(updates) < 2:
            slow.taken(len(came))
            came.append(slow.next())
            updates = [m for m in came if m['type'] == 'update' and m['totals']['flows'] > seen]
        # nothing is missed: rows and left-out flows add up to the totals, of which those of a moment ago may come later
        told = sum(len(m['rows']) + m['left_out'] for m in came if m['type'] == 'update')
        assert updates[0]['totals']['flows'] <= told <= updates[1]['totals']['flows']


def test_a_page_that_says_nothing_of_what_it_has_read_is_sent_all_the_same():
    with busy() as observer, Ui(observer.socket) as ui, Page(ui) as page:
        page.watch()
        for _ in range(LIMITS['ahead'] + 2):
            page.update()


def test_to_have_read_is_no_question():
    with Ui('127.0.0.1:1') as ui, Page(ui) as page:
        for _ in range(2 * LIMITS['asks']):
            page.taken(0)
        page.taken(1)  # hello, at least
        page.watch()
        page.update()


def test_views_are_as_many_as_the_document_says():
    with Ui('127.0.0.1:1') as ui, contextlib.ExitStack() as stack:
        pages = [stack.enter_context(Page(ui)) for _ in range(LIMITS['views'] + 1)]
        for i, page in enumerate(pages[:-1]):
            page.watch(allow=[{'destination_port': [str(1 + i)]}])
            page.update()
        pages[-1].watch(allow=[{'destination_port': ['9999']}])
        assert 'different filters' in pages[-1].of('refused')['reason']
        pages[-1].watch(allow=[{'destination_port': ['1']}])  # of those there are
        pages[-1].update()
        pages[1].watch(allow=[{'destination_port': ['1']}])  # nobody watches the second any more: soon there is room

        def is_answered():
            pages[-1].watch(allow=[{'destination_port': ['9999']}])
            return pages[-1].until(lambda m: m.get('watch') == pages[-1].watched)['type'] == 'update'
        until(is_answered)


# --- close codes ---------------------------------------------------------------------------------------------------

def closed_by(ui, *frames):
    with Page(ui) as page:
        for opcode, payload in frames:
            page.send_frame(opcode, payload)
        return page.until_closed()


def test_connections_are_closed_with_the_codes_of_the_document():
    question = b'{"type":"watch","watch":1,"x":"%s"}'
    room = LIMITS['ask_bytes'] - len(question % b'')
    with Ui('127.0.0.1:1') as ui:
        with Page(ui) as page:
            page.send_frame(TEXT, question % (b'a' * room))
            assert page.of('update')['watch'] == 1  # the longest that there may be
            page.send_frame(TEXT, question % (b'a' * (room + 1)))
            assert page.until_closed() == CLOSE_CODES['too_long']
        assert closed_by(ui, (TEXT, b'\xff\xfe')) == CLOSE_CODES['no_text']
        assert closed_by(ui, (3, b'')) == CLOSE_CODES['protocol']  # an opcode that is nobody's
        assert closed_by(ui, (CLOSE, b'\x03\xe8')) == 1000  # said back, RFC 6455 §5.5.1
        with Page(ui) as page:
            page.next()
            ui.stop()
            assert page.until_closed() == CLOSE_CODES['stopping']
    with Ui('127.0.0.1:1') as ui, Page(ui) as page:
        page.next()
        ui.process.send_signal(signal.SIGHUP)  # its terminal is closed
        assert page.until_closed() == CLOSE_CODES['stopping']


def test_a_closed_connection_is_nothing_to_the_others():
    with Ui('127.0.0.1:1') as ui, Page(ui) as stays:
        stays.watch()
        stays.update()
        with Page(ui) as goes:
            goes.watch()
            goes.update()
        with pytest.raises(Closed):
            goes = Page(ui)
            goes.send_frame(CLOSE, b'')
            while True:
                goes.next()
        stays.of('status')


# --- a server of Hubble's --------------------------------------------------------------------------------------------

def hubble(method, request, context):
    """What an agent without tycho.v1 answers; it stays open where it is asked to follow."""
    method = method.rsplit('/', 1)[1]
    if method == 'ServerStatus':
        yield wire.message('observer.ServerStatusResponse')(version='cilium 1.19', num_flows=1).SerializeToString()
    elif method == 'GetNamespaces':
        yield wire.message('observer.GetNamespacesResponse')().SerializeToString()
    else:
        context.abort(grpc.StatusCode.UNIMPLEMENTED, method)


def test_the_records_of_a_thousand_nodes_are_told():
    nodes, gap = 1000, {'cause': 1, 'from': {'seconds': BASE_S}, 'to': {'seconds': BASE_S + 60}, 'detail': 'an update of the node'}

    def relay(method, request, context):
        if not method.endswith('/GetCoverage'):
            yield from hubble(method, request, context)
            return
        for i in range(nodes):
            yield wire.message('tycho.v1.GetCoverageResponse')(
                node_name='cluster-1/node-%d.example' % i, oldest={'seconds': BASE_S}, newest={'seconds': BASE_S + 86400},
                has_store=True, gaps=[gap] * 4, records=10 ** 9, bytes=10 ** 10).SerializeToString()

    with Impostor(relay, ours=['/tycho.v1.History/GetCoverage']) as server, Ui(server.address) as ui, Page(ui) as page:
        status = page.of('status', lambda m: 'record' in m)
        assert status['record'] is True
        assert len({c['node_name'] for c in status['coverage']}) == nodes


def test_what_a_page_has_been_told_is_not_told_again_until_it_changes():
    """Of nodes whose record is empty so far, which are asked about each time. How much they hold is news to no page, nor is who
    answers first."""
    asked, gaps = [], []

    def relay(method, request, context):
        if not method.endswith('/GetCoverage'):
            yield from hubble(method, request, context)
            return
        asked.append(method)
        for name in ('a', 'b', 'c')[::1 if len(asked) % 2 else -1]:
            yield wire.message('tycho.v1.GetCoverageResponse')(
                node_name=name, newest={'seconds': BASE_S + len(asked)}, has_store=True, gaps=gaps if name == 'b' else [],
                records=len(asked), bytes=len(asked)).SerializeToString()

    with Impostor(relay, ours=['/tycho.v1.History/GetCoverage']) as server, Ui(server.address) as ui, Page(ui) as page:
        first = page.of('status', lambda m: 'record' in m)
        assert len(first['coverage']) == 3 and 'namespaces' in first
        before = len(asked)
        while len(asked) < before + 2:
            told = page.of('status')
            assert 'status' in told and 'coverage' not in told and 'namespaces' not in told
        with Page(ui) as late:
            known = late.of('status')
            assert len(known['coverage']) == 3 and int(known['coverage'][0]['records']) > 1 and 'namespaces' in known
        gaps.append({'cause': 1, 'from': {'seconds': BASE_S}, 'to': {'seconds': BASE_S + 60}})
        told = page.of('status', lambda m: 'coverage' in m)
        assert [c['node_name'] for c in told['coverage'] if c.get('gaps')] == ['b'] and 'namespaces' not in told


def test_a_server_without_a_record_is_said_to_have_none():
    recorder = Recorder()
    with Impostor(hubble) as server, Ui(server.address) as ui, Recorded(recorder, ui) as page:
        status = page.of('status', lambda m: 'status' in m)
        assert status['record'] is False and 'coverage' not in status
        assert status['status']['version'] == 'cilium 1.19'
