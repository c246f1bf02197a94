"""GetFlows: every selector, the field mask, the order of refusals, what is sent beside flows (hubble-api.md section 3)."""
import json
import subprocess
import time

import pytest
from google.protobuf import field_mask_pb2, timestamp_pb2

import wire
from observer import BASE_S, BIN, Observer, flow, numbers, stamp, tycho

TOTAL = 100
DROPPED = [i for i in range(TOTAL) if i % 10 == 3]  # 3, 13, … 93


def at(i, nanos=0):
    return timestamp_pb2.Timestamp(seconds=BASE_S + i, nanos=nanos)


def mask(*paths):
    return field_mask_pb2.FieldMask(paths=paths)


def dropped():
    return [wire.message('flow.FlowFilter')(verdict=[2])]


@pytest.fixture(scope='module')
def observer():
    with Observer(lines=[flow(i, verdict='DROPPED' if i in DROPPED else 'FORWARDED') for i in range(TOTAL)]) as ob:
        ob.wait_seen(TOTAL)
        yield ob


@pytest.fixture(scope='module')
def client(observer):
    with observer.client() as c:
        yield c


# Selectors that end by themselves, and the flows that they select.
SELECTED = [
    ('nothing: everything', {}, range(100)),
    ('all: everything', {'number': wire.ALL}, range(100)),
    ('number: the last', {'number': 1}, [99]),
    ('number: the last, oldest first', {'number': 5}, range(95, 100)),
    ('number: as many as there are', {'number': 100}, range(100)),
    ('number: more than there are', {'number': 101}, range(100)),
    ('first: everything', {'first': True}, range(100)),
    ('first and number: the oldest', {'first': True, 'number': 3}, range(3)),
    ('first and more than there are', {'first': True, 'number': 1000}, range(100)),
    ('since is inclusive', {'since': at(97)}, range(97, 100)),
    ('since between two flows', {'since': at(97, 1)}, range(98, 100)),
    ('since before everything', {'since': at(-10)}, range(100)),
    ('since after everything', {'since': at(100)}, []),
    ('since the beginning of time', {'since': timestamp_pb2.Timestamp(seconds=-62135596800)}, range(100)),
    ('until is inclusive', {'until': at(2)}, range(3)),
    ('until between two flows', {'until': at(1, 999999999)}, range(2)),
    ('until before everything', {'until': at(-1)}, []),
    ('until after everything', {'until': at(1000)}, range(100)),
    ('since and until', {'since': at(10), 'until': at(12)}, range(10, 13)),
    ('since and until the same', {'since': at(10), 'until': at(10)}, [10]),
    ('until before since', {'since': at(12), 'until': at(10)}, []),
    ('since and number: the first after since', {'since': at(10), 'number': 2}, [10, 11]),
    ('first and since: since alone', {'first': True, 'since': at(98)}, [98, 99]),
    ('first and until', {'first': True, 'until': at(1)}, [0, 1]),
    ('until of a follower that it has passed', {'follow': True, 'since': at(95), 'until': at(97)}, range(95, 98)),
    ('a filter', {'whitelist': 'dropped'}, DROPPED),
    ('a filter the other way', {'blacklist': 'dropped'}, [i for i in range(100) if i not in DROPPED]),
    ('both: nothing is left', {'whitelist': 'dropped', 'blacklist': 'dropped'}, []),
    ('number counts what passes the filter', {'whitelist': 'dropped', 'number': 3}, DROPPED[-3:]),
    ('first counts what passes the filter', {'whitelist': 'dropped', 'number': 3, 'first': True}, DROPPED[:3]),
    ('since with a filter', {'whitelist': 'dropped', 'since': at(83), 'number': 1}, [83]),
    ('an empty filter takes everything', {'whitelist': 'empty', 'number': 2}, [98, 99]),
    ('an empty filter hides everything', {'blacklist': 'empty'}, []),
]


def with_filters(fields):
    filters = {'dropped': dropped, 'empty': lambda: [wire.message('flow.FlowFilter')()]}
    return {k: filters[v]() if k in ('whitelist', 'blacklist') else v for k, v in fields.items()}


@pytest.mark.parametrize('fields, want', [pytest.param(f, w, id=i) for i, f, w in SELECTED])
def test_selects(client, fields, want):
    assert numbers(client.flows(**with_filters(fields))) == list(want)


def test_filters_are_one_list_of_alternatives(client):
    either = [wire.message('flow.FlowFilter')(uuid=['flow-5']), wire.message('flow.FlowFilter')(uuid=['flow-7', 'flow-8'])]
    assert numbers(client.flows(whitelist=either)) == [5, 7, 8]


# --- following: the test decides when a flow happens ---------------------------------------------------------


@pytest.fixture
def fed():
    """An observer that holds flows 0 to 9 and gets more when the test writes them."""
    with Observer() as ob:
        ob.feed(flow(i) for i in range(10))
        ob.wait_seen(10)
        yield ob


@pytest.mark.parametrize('fields, backlog', [
    ({'number': wire.ALL}, range(10)),
    ({'number': 3}, [7, 8, 9]),
    ({'since': at(4)}, range(4, 10)),
    ({'since': at(4), 'number': 2}, range(4, 10)),
])
def test_a_follower_gets_its_backlog_and_then_what_comes(fed, fields, backlog):
    with fed.client() as client:
        stream = client.GetFlows(follow=True, **fields)
        stream.initial_metadata()
        got = [next(stream).flow for _ in backlog]
        fed.feed(flow(i) for i in range(10, 30))
        got += [next(stream).flow for _ in range(20)]
        stream.cancel()
    # "since and number" with follow: number is the size of a backlog and since says where that begins
    assert numbers(got) == list(backlog) + list(range(10, 30))


def test_a_follower_alone_begins_with_what_comes(fed):
    """The reference shows one stored flow first, as its ring hides the newest; docs/compatibility.md."""
    with fed.client() as client:
        stream = client.GetFlows(follow=True)
        stream.initial_metadata()
        fed.feed([flow(10)])
        assert next(stream).flow.uuid == 'flow-10'
        stream.cancel()


def test_the_newest_flow_is_there_at_once(fed):
    with fed.client() as client:
        assert numbers(client.flows(number=1)) == [9]


def test_a_follower_with_a_filter_sees_only_that(fed):
    with fed.client() as client:
        stream = client.GetFlows(follow=True, whitelist=dropped())
        stream.initial_metadata()
        fed.feed([flow(10), flow(11, verdict='DROPPED'), flow(12), flow(13, verdict='DROPPED')])
        assert numbers(next(stream).flow for _ in range(2)) == [11, 13]
        stream.cancel()


CENTURY_S = 100 * 365 * 86400  # a time that is still to come


def test_until_ends_a_follower_with_the_first_later_flow(fed):
    with fed.client() as client:
        stream = client.GetFlows(follow=True, number=1, until=at(CENTURY_S + 11))
        assert next(stream).flow.uuid == 'flow-9'
        fed.feed(flow(i, time=stamp(CENTURY_S + i)) for i in (10, 11, 12))
        assert numbers(r.flow for r in stream) == [10, 11]
        assert stream.code().name == 'OK'


@pytest.mark.parametrize('method', ['GetAgentEvents', 'GetDebugEvents'])
def test_until_ends_a_follower_of_rare_events_with_the_first_later_flow(fed, method):
    """Who follows these would wait for hours for one of them that is later."""
    with fed.client() as client:
        stream = getattr(client, method)(follow=True, until=at(CENTURY_S))
        stream.initial_metadata()
        fed.feed([flow(10), flow(11, time='2323-01-01T00:00:00Z')])
        assert list(stream) == []
        assert stream.code().name == 'OK'


@pytest.mark.parametrize('method, position, backlog', [
    ('GetFlows', {'number': 2}, 2), ('GetFlows', {'since': at(0)}, 10), ('GetFlows', {}, 0), ('GetAgentEvents', {}, 0), ('GetDebugEvents', {}, 0)])
def test_until_ends_a_follower_that_nothing_comes_for(fed, method, position, backlog):
    """Hubble's waits for the first later flow, for ever where there is none. This one's time passes while it waits."""
    with fed.client() as client:
        end = timestamp_pb2.Timestamp()
        end.GetCurrentTime()
        end.seconds += 1
        stream = getattr(client, method)(follow=True, until=end, **position)
        stream.initial_metadata()
        assert numbers(r.flow for r in stream) == list(range(10 - backlog, 10))
        assert stream.code().name == 'OK' and time.time() > end.seconds


def test_the_command_follows_up_to_a_time(fed):
    """Hubble's ignores --until then."""
    p = tycho('observe', '-f', '--last', '2', '--until', '-1s', '-o', 'json', '--server', fed.tcp, check=0)
    assert [json.loads(line)['flow']['uuid'] for line in p.stdout.splitlines()] == ['flow-8', 'flow-9']
    p = tycho('observe', '-f', '--all', '--until', stamp(3), '-o', 'json', '--server', fed.tcp, check=0)
    assert [json.loads(line)['flow']['uuid'] for line in p.stdout.splitlines()] == ['flow-0', 'flow-1', 'flow-2', 'flow-3']
    p = tycho('observe', '-f', '--since', stamp(3), '--until', stamp(5), '-o', 'json', '--server', fed.tcp, check=0)
    assert [json.loads(line)['flow']['uuid'] for line in p.stdout.splitlines()] == ['flow-3', 'flow-4', 'flow-5']
    p = tycho('observe', 'agent-events', '-f', '--until', '0s', '-o', 'json', '--server', fed.tcp, check=0)
    assert len(p.stdout.splitlines()) == 1  # that the observer has started


def test_headers_of_an_idle_follower_are_sent_at_once(fed):
    with fed.client() as client:
        headers = dict(client.GetFlows(follow=True, timeout=10).initial_metadata())
    major, minor, patch = headers['hubble-server-version'].split('+')[0].split('.')
    assert all(n.isdigit() for n in (major, minor, patch))


# --- the field mask -------------------------------------------------------------------------------------------


def only(client, *paths):
    [response] = client.GetFlows(number=1, field_mask=mask(*paths))
    return response


def test_a_mask_leaves_what_it_names(client):
    r = only(client, 'uuid', 'source.pod_name', 'l4.TCP.destination_port')
    want = wire.Flow(uuid='flow-99')
    want.source.pod_name = 'cart-0'
    want.l4.TCP.destination_port = 80
    assert r.flow == want


def test_time_and_node_name_of_the_answer_are_those_the_mask_leaves(client):
    r = only(client, 'uuid')
    assert not r.HasField('time') and r.node_name == ''
    r = only(client, 'time', 'node_name')
    assert r.time == at(99) and r.node_name == 'n1'
    assert r.flow == wire.Flow(time=at(99), node_name='n1')
    with Observer(lines=[flow(0, time='2023-11-14T22:13:20.000000007Z')]) as ob, ob.client() as other:
        ob.wait_seen(1)
        for path, left in ('time.seconds', at(0)), ('time.nanos', timestamp_pb2.Timestamp(nanos=7)), ('time', at(0, 7)):
            r = only(other, path)
            assert r.time == r.flow.time == left


def test_parents_of_nested_paths_are_there_even_when_empty(client):
    r = only(client, 'tunnel.protocol', 'l7.latency_ns')
    assert sorted(d.name for d, _ in r.flow.ListFields()) == ['l7', 'tunnel']
    assert r.flow.tunnel.ByteSize() == 0 and r.flow.l7.ByteSize() == 0


def test_lists_are_named_whole(client):
    r = only(client, 'source.labels')
    assert list(r.flow.source.labels) == ['k8s:app=cart'] and r.flow.source.pod_name == ''


def test_a_mask_without_paths_leaves_everything(client):
    [r] = client.GetFlows(number=1, field_mask=mask())
    [whole] = client.GetFlows(number=1)
    assert r == whole


@pytest.mark.parametrize('path', ['bogus', 'source.bogus', 'source.', '.source', '', 'source..identity', 'uuid.x',
                                  'source.labels.x', 'sourceNames', 'l4.tcp', 'source.workloads.name'])
def test_a_path_that_flows_do_not_have_is_refused(client, path):
    assert wire.status_of(lambda: client.GetFlows(field_mask=mask('time', path))) == ('UNKNOWN', 'invalid fieldmask')


# --- refusals -------------------------------------------------------------------------------------------------


def test_first_and_follow_contradict_each_other(client):
    assert wire.status_of(lambda: client.GetFlows(first=True, follow=True)) == (
        'INVALID_ARGUMENT', 'first cannot be specified with follow')


@pytest.mark.parametrize('field', ['since', 'until'])
@pytest.mark.parametrize('bad', [{'nanos': -1}, {'nanos': 1_000_000_000}, {'seconds': 253402300800},
                                 {'seconds': -62135596801}])
def test_a_time_outside_its_range_is_refused(client, field, bad):
    status, text = wire.status_of(lambda: client.GetFlows(**{field: timestamp_pb2.Timestamp(**bad)}))
    assert status == 'UNKNOWN' and text


def test_faults_are_found_in_the_order_request_filters_times_mask(client):
    bad_filter = [wire.message('flow.FlowFilter')(source_ip=['10.0.0'])]
    bad_time, bad_mask = timestamp_pb2.Timestamp(nanos=-1), mask('bogus')
    everything = dict(first=True, follow=True, whitelist=bad_filter, since=bad_time, field_mask=bad_mask)
    texts = []
    for fixed in (None, 'follow', 'whitelist', 'since'):
        everything.pop(fixed, None)
        texts.append(wire.status_of(lambda: client.GetFlows(**everything))[1])
    assert texts[0] == 'first cannot be specified with follow'
    assert '10.0.0' in texts[1] and 'IP address' in texts[1]
    assert texts[3] == 'invalid fieldmask' and len(set(texts)) == 4


# --- what is not a flow ---------------------------------------------------------------------------------------


def test_lost_events_pass_filters_and_masks_and_do_not_count():
    lost = json.dumps({'lost_events': {'source': 'PERF_EVENT_RING_BUFFER', 'num_events_lost': '7', 'cpu': 3},
                       'node_name': 'n1', 'time': '2023-11-14T22:13:21Z'})
    with Observer(lines=[flow(0), lost, flow(1), flow(2)]) as ob:
        ob.wait_seen(3)
        with ob.client() as client:
            for fields in ({}, {'whitelist': dropped()}, {'field_mask': mask('uuid')}, {'first': True, 'number': 2}):
                got = list(client.GetFlows(**fields))
                [told] = [r for r in got if r.HasField('lost_events')]
                assert (told.lost_events.num_events_lost, told.lost_events.cpu.value, told.lost_events.source) == (7, 3, 1)
                assert told.HasField('time') and told.node_name
            flows = client.flows(first=True, number=2)
            assert numbers(flows) == [0, 1]


BROKEN = [b'a\xffb', b'\xc3\x28', b'\xed\xa0\x80', b'\xf0\x9f', b'\xc0\xaf', b'\xf8\x88\x80\x80\x80', b'\x80',
          rb'x\ud800y']
NAMES = ['pod_name', 'Summary', 'source_names', 'node_name', 'http url', 'interface', 'labels']


def named(i, place, name):
    fields = {'pod_name': {'source': {'namespace': 'shop', 'pod_name': name, 'identity': 1}},
              'Summary': {'Summary': name}, 'source_names': {'source_names': [name]}, 'node_name': {'node_name': name},
              'http url': {'l7': {'type': 'REQUEST', 'http': {'url': name}}},
              'interface': {'interface': {'index': 1, 'name': name}},
              'labels': {'source': {'identity': 1, 'labels': ['k8s:app=' + name]}}}
    return flow(i, **fields[place])


@pytest.mark.parametrize('place', NAMES)
def test_lines_that_are_not_utf8_are_lost_and_told_and_harm_no_stream(place):
    """One invalid string ends the whole stream of a Go client; ours raises on it, too."""
    lines = [named(i, place, 'NAME').encode().replace(b'NAME', junk) for i, junk in enumerate(BROKEN)]
    good = ['\u00fc', '\u20ac', '\U0001f600', 'a\x7fb']
    lines += [named(100 + i, place, name) for i, name in enumerate(good)]
    with Observer(lines=lines) as ob:
        ob.wait_seen(len(good))
        with ob.client() as client:
            got = list(client.GetFlows())
    assert sum(r.lost_events.num_events_lost for r in got) == len(BROKEN)
    flows = [r.flow for r in got if r.HasField('flow')]
    assert flows == [wire.recorded(line).flow for line in lines[len(BROKEN):]]


@pytest.mark.parametrize('name', ['', 'n' * 256])
def test_a_node_is_not_called_nothing_and_no_name_is_cut(name):
    """An empty one is what "$NODE_NAME" is where nobody has set it."""
    p = subprocess.run([BIN + '/tycho-observer', '--no-bpf', '--replay', '/dev/null', '--node-name', name],
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=30)
    assert (p.returncode, p.stdout, p.stderr) == (1, '', 'tycho-observer: --node-name: a name of 1 to 255 bytes is needed\n')


def test_no_name_of_a_cluster_is_cut():
    with Observer('--cluster', 'c' * 200, lines=[]) as ob, ob.client() as client:
        assert client.GetNodes().nodes[0].name == 'c' * 200 + '/n0'
    p = subprocess.run([BIN + '/tycho-observer', '--no-bpf', '--replay', '/dev/null', '--cluster', 'c' * 201],
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=30)
    assert (p.returncode, p.stdout, p.stderr) == (1, '', 'tycho-observer: --cluster: a name of at most 200 bytes is needed\n')


@pytest.mark.parametrize('option', ['--node-name', '--cluster'])
def test_names_on_the_command_line_must_be_utf8(option):
    p = subprocess.run([BIN + '/tycho-observer', '--no-bpf', '--replay', '/dev/null', option, b'n\xff1'],
                       stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert p.returncode == 1 and p.stdout == b''
    assert option.encode() in p.stderr and p.stderr.count(b'\n') == 1


def test_texts_of_refusals_are_valid_utf8(client):
    """protobuf lets no Python client send broken strings in a request; a broken client may."""
    filter_ = wire.message('flow.FlowFilter')(source_ip=['NAME'])
    request = wire.GetFlowsRequest(whitelist=[filter_]).SerializeToString().replace(b'NAME', b'1\xff.\x80')
    status, text = wire.status_of(lambda: client.raw('/observer.Observer/GetFlows', request, streams=True))
    assert status in ('UNKNOWN', 'INVALID_ARGUMENT') and text


# --- loss -----------------------------------------------------------------------------------------------------


def test_a_reader_that_is_overtaken_is_told_how_many_it_missed():
    """Received and lost add up to what was written, exactly, though the reader slept through most of it."""
    total = 20000
    with Observer('--ring-capacity', '255') as ob:
        with ob.client() as client:
            assert next(client.GetAgentEvents(follow=True, number=1)).agent_event  # the only other record is behind us
            stream = client.GetFlows(follow=True, until=at(CENTURY_S + total - 1))
            stream.initial_metadata()
            for i in range(0, total, 1000):
                ob.feed(flow(k, time=stamp(CENTURY_S + k)) for k in range(i, i + 1000))
            ob.wait_seen(total)
            ob.feed([flow(total, time=stamp(CENTURY_S + total))])
            ob.wait_seen(total + 1)
            got, lost = [], 0
            for r in stream:
                if r.HasField('flow'):
                    got.append(r.flow)
                else:
                    assert r.lost_events.source == wire.HUBBLE_RING_BUFFER
                    assert not r.lost_events.HasField('cpu') and r.lost_events.first.seconds
                    lost += r.lost_events.num_events_lost
    got = numbers(got)
    assert got == sorted(set(got))
    assert lost > 0 and len(got) + lost == total


@pytest.mark.parametrize('capacity', [1, 3, 127])
def test_a_full_log_keeps_as_many_as_it_holds(capacity):
    with Observer('--ring-capacity', str(capacity)) as ob:
        with ob.client() as client:
            next(client.GetAgentEvents(follow=True, number=1))
            ob.feed(flow(i) for i in range(500))
            ob.wait_seen(500)
            assert numbers(client.flows()) == list(range(500 - capacity, 500))
            assert numbers(client.flows(number=1)) == [499]
            status = client.ServerStatus()
            assert (status.num_flows, status.max_flows, status.seen_flows) == (capacity, capacity, 500)
