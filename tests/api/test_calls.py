"""Every other call, and calls that no client should make."""
import csv
import json
import os
import subprocess
import threading

import grpc
import pytest
from google.protobuf import descriptor_pb2

import wire
from observer import SHARED, Observer, flow, golden

REFLECTIONS = ['/grpc.reflection.v1.ServerReflection/ServerReflectionInfo',
               '/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo']
SERVICES = ['grpc.health.v1.Health', 'grpc.reflection.v1.ServerReflection', 'observer.Observer', 'peer.Peer',
            'tycho.v1.Evidence', 'tycho.v1.Flows', 'tycho.v1.History']
UNARY = ['ServerStatus', 'GetNodes', 'GetNamespaces']
STREAMS = ['GetFlows', 'GetAgentEvents', 'GetDebugEvents']


@pytest.fixture(scope='module')
def observer():
    with Observer('--cluster', 'lab', '--ring-capacity', '127', lines=[flow(0), flow(1), flow(2)]) as ob:
        ob.wait_seen(3)
        yield ob


@pytest.fixture(scope='module')
def client(observer):
    with observer.client() as c:
        yield c


def test_every_address_answers_the_same(observer):
    assert len(observer.addresses) == 2
    answers = []
    for address in observer.addresses:
        with wire.Client(address) as c:
            answers.append(c.flows())
    assert answers[0] == answers[1] and len(answers[0]) == 3


def test_the_port_that_was_told_is_the_one_that_was_given(observer):
    host, _, port = observer.tcp.rpartition(':')
    assert host == '127.0.0.1' and int(port) > 0
    assert observer.addresses[1] == observer.socket


def test_the_socket_is_for_owner_and_group(observer):
    assert os.stat(observer.socket[len('unix://'):]).st_mode & 0o777 == 0o660


# --- what the node says of itself -------------------------------------------------------------------------------


def test_server_status(client):
    s = client.ServerStatus()
    # three flows and the event that the observer has started; num_flows counts all, seen_flows flows only
    assert (s.num_flows, s.max_flows, s.seen_flows) == (4, 127, 3)
    assert s.uptime_ns > 0 and s.version.startswith('tycho v')
    assert not s.HasField('num_connected_nodes') and not s.HasField('num_unavailable_nodes')
    assert list(s.unavailable_nodes) == []
    assert client.ServerStatus().uptime_ns > s.uptime_ns


def test_the_rate_is_that_of_the_last_minute():
    """Recorded flows of years ago are no flows of the last minute; flows stamped on arrival are."""
    for keep_time in (True, False):
        with Observer(lines=[flow(i) for i in range(600)], keep_time=keep_time) as ob:
            ob.wait_seen(600)
            with ob.client() as c:
                assert (c.ServerStatus().flows_rate == 0) == keep_time


def test_get_nodes_tells_of_this_node(client, observer):
    [node] = client.GetNodes().nodes
    status = client.ServerStatus()
    assert node.name == 'lab/n0' and node.version == status.version and node.state == 1  # NODE_CONNECTED
    assert (node.num_flows, node.max_flows, node.seen_flows) == (4, 127, 3)
    assert not node.tls.enabled and node.tls.server_name == ''
    assert 0 < node.uptime_ns <= status.uptime_ns


def test_get_namespaces_is_sorted_by_cluster_then_name():
    lines = [flow(0), flow(1, source={'namespace': 'alpha', 'cluster_name': 'edge'}, destination={'identity': 2}),
             flow(2, source={'namespace': 'shop'}, destination={'namespace': 'beta', 'cluster_name': 'core'})]
    with Observer(lines=lines, keep_time=False) as ob:
        ob.wait_seen(3)
        with ob.client() as c:
            got = [(n.cluster, n.namespace) for n in c.GetNamespaces().namespaces]
    assert got == [('', 'shop'), ('', 'store'), ('core', 'beta'), ('edge', 'alpha')]


def test_notify_tells_of_this_node_and_stays_open(client):
    stream = client.call('peer.Peer', 'Notify')
    note = next(stream)
    assert (note.name, note.type) == ('lab/n0', 1) and not note.HasField('tls')  # PEER_ADDED
    stream.cancel()
    stream = client.call('peer.Peer', 'Notify', timeout=0.2)
    assert wire.status_of(lambda: stream)[0] == 'DEADLINE_EXCEEDED'  # however much of it came until then


def own_addresses():
    """What others may know this machine by."""
    links = json.loads(subprocess.run(['ip', '-j', 'address', 'show', 'up', 'scope', 'global'], check=True,
                                      stdout=subprocess.PIPE, timeout=20).stdout)
    return [('[%s]' if a['family'] == 'inet6' else '%s') % a['local'] for link in links for a in link.get('addr_info', ()) if a]


@pytest.mark.parametrize('first', ['127.0.0.1:0', 'localhost:0'])
@pytest.mark.parametrize('everywhere', [':0', '0.0.0.0:0', '[::]:0'])
def test_peers_are_told_an_address_that_they_can_call(first, everywhere):
    """Not the wildcard, which each of them would take for itself, nor the loopback if there is another; and the real port."""
    with Observer('--insecure-listen', lines=[], listen=[first, everywhere]) as ob:
        with ob.client() as c:
            told = next(c.call('peer.Peer', 'Notify')).address
            assert c.GetNodes().nodes[0].address == told
        host, _, port = told.rpartition(':')
        ours = [a for a in own_addresses() if everywhere != '0.0.0.0:0' or a[0] != '[']
        if ours:
            assert host in ours and port == ob.addresses[1].rpartition(':')[2]
        else:
            assert told == ''
    with Observer(lines=[], listen=[first]) as ob:
        with ob.client() as c:
            assert next(c.call('peer.Peer', 'Notify')).address == ob.tcp


def test_who_has_but_a_socket_tells_peers_no_address(tmp_path):
    with Observer(lines=[], listen=['unix://%s/s.sock' % tmp_path]) as ob:
        with ob.client() as c:
            assert next(c.call('peer.Peer', 'Notify')).address == ''


def test_agent_events_begin_with_the_start(client):
    [event] = client.GetAgentEvents(number=1)
    assert event.node_name == 'lab/n0' and event.HasField('time')
    assert event.agent_event.type == 2 and event.agent_event.agent_start.HasField('time')  # AGENT_STARTED


@pytest.mark.parametrize('method, field, count', [('GetAgentEvents', 'agent_event', 12), ('GetDebugEvents', 'debug_event', 7)])
def test_recorded_events_come_back_as_they_were(method, field, count):
    export = wire.message('observer.ExportEvent')
    with open(golden('export-events.jsonl'), encoding='utf-8', newline='\n') as f:
        recorded = [wire.json_format.Parse(line, export(), ignore_unknown_fields=True) for line in f if line.strip()]
    want = [getattr(r, field) for r in recorded if r.HasField(field)]
    assert len(want) == count
    with Observer(path=golden('export-events.jsonl')) as ob:
        ob.wait_seen(4)
        with ob.client() as c:
            def told(**fields):
                got = [getattr(r, field) for r in getattr(c, method)(**fields)]
                return [e for e in got if e in want]  # without the observer's own
            assert told() == want
            assert told(number=3) == want[-3:] or method == 'GetAgentEvents'
            assert told(since=recorded[0].time, until=recorded[-1].time) == [
                getattr(r, field) for r in recorded
                if r.HasField(field) and (recorded[0].time.ToNanoseconds() <= r.time.ToNanoseconds()
                                          <= recorded[-1].time.ToNanoseconds())]


@pytest.mark.parametrize('method', ['GetAgentEvents', 'GetDebugEvents'])
def test_events_cannot_be_first_and_followed(client, method):
    assert wire.status_of(lambda: getattr(client, method)(first=True, follow=True)) == (
        'INVALID_ARGUMENT', 'first cannot be specified with follow')


# --- health and reflection ----------------------------------------------------------------------------------------


@pytest.mark.parametrize('service', ['', 'hubble.server.Observer'])
def test_health_is_serving_from_the_start(client, service):
    assert client.call('grpc.health.v1.Health', 'Check', service=service).status == 1  # SERVING
    watch = client.call('grpc.health.v1.Health', 'Watch', service=service)
    assert next(watch).status == 1
    watch.cancel()


def test_health_of_a_service_that_is_not_there(client):
    assert wire.status_of(lambda: client.call('grpc.health.v1.Health', 'Check', service='bogus'))[0] == 'NOT_FOUND'
    watch = client.call('grpc.health.v1.Health', 'Watch', service='bogus')
    assert next(watch).status == 3  # SERVICE_UNKNOWN, and the watch stays: the service may come
    watch.cancel()


def test_health_lists_all(client):
    listed = client.call('grpc.health.v1.Health', 'List').statuses
    assert {'', 'hubble.server.Observer'} <= set(listed) and all(s.status == 1 for s in listed.values())


def reflect(client, path, **fields):
    request = wire.message('grpc.reflection.v1.ServerReflectionRequest')(**fields)
    [response] = client.converse('grpc.reflection.v1.ServerReflection', 'ServerReflectionInfo', iter([request]), path=path)
    return response


@pytest.mark.parametrize('path', REFLECTIONS)
def test_reflection_lists_the_services(client, path):
    listed = reflect(client, path, list_services='*').list_services_response.service
    assert sorted(s.name for s in listed) == SERVICES


def files_of(client, path, **fields):
    response = reflect(client, path, **fields).file_descriptor_response.file_descriptor_proto
    return [descriptor_pb2.FileDescriptorProto.FromString(b) for b in response]


@pytest.mark.parametrize('path', REFLECTIONS)
@pytest.mark.parametrize('symbol, file', [
    ('observer.Observer', 'observer/observer.proto'), ('observer.Observer.GetFlows', 'observer/observer.proto'),
    ('flow.Flow', 'flow/flow.proto'), ('flow.Flow.verdict', 'flow/flow.proto'), ('flow.Verdict', 'flow/flow.proto'),
    ('peer.Peer', 'peer/peer.proto'), ('grpc.health.v1.Health', 'grpc/health/v1/health.proto')])
def test_reflection_finds_the_file_of_a_symbol(client, path, symbol, file):
    assert file in [f.name for f in files_of(client, path, file_containing_symbol=symbol)]


@pytest.mark.parametrize('path', REFLECTIONS)
def test_reflection_of_what_is_not_there_is_an_answer_and_not_the_end(client, path):
    make = wire.message('grpc.reflection.v1.ServerReflectionRequest')
    requests = [make(file_containing_symbol='no.Such'), make(file_by_filename='no/such.proto'),
                make(file_by_filename='flow/flow.proto')]
    answers = list(client.converse('grpc.reflection.v1.ServerReflection', 'ServerReflectionInfo', iter(requests), path=path))
    assert [a.error_response.error_code for a in answers[:2]] == [5, 5]  # NOT_FOUND
    assert answers[2].file_descriptor_response.file_descriptor_proto
    assert [a.original_request for a in answers] == requests


def test_the_served_descriptors_are_the_reference_api(client):
    """Every message, field, number, type and label of the reference, as the server itself describes them."""
    messages = {}

    def take(prefix, message):
        messages[prefix + message.name] = message
        for nested in message.nested_type:
            take(prefix + message.name + '.', nested)
    for name in wire.FILES:
        for file in files_of(client, REFLECTIONS[0], file_by_filename=name):
            for message in file.message_type:
                take(file.package + '.', message)
    types = {v: k[len('TYPE_'):].lower() for k, v in descriptor_pb2.FieldDescriptorProto.Type.items()}
    missing = []
    with open(os.path.join(SHARED, 'reference', 'hubble-api.tsv'), encoding='utf-8', newline='') as f:
        for row in csv.DictReader(f, delimiter='\t', quoting=csv.QUOTE_NONE):
            message = messages.get('%s.%s' % (row['package'], row['message']))
            if message is None:
                missing.append(row)
                continue
            if row['field'] == '-':
                continue
            field = next((x for x in message.field if x.name == row['field']), None)
            kind = field and (field.type_name.lstrip('.') or types[field.type])
            repeated = row['label'].startswith(('repeated', 'map'))
            if field is None or field.number != int(row['number']) or (field.label == 3) != repeated or (
                    not row['label'].startswith('map') and row['type'].lstrip('.').split('.')[-1] != kind.split('.')[-1]):
                missing.append((row, str(field)))
    assert not missing


# --- headers, methods, requests, deadlines ------------------------------------------------------------------------


def test_each_answer_carries_the_version_of_the_api(observer):
    with grpc.insecure_channel(observer.tcp) as channel:
        for method in UNARY:
            _, call = channel.unary_unary('/observer.Observer/' + method).with_call(b'', timeout=10)
            assert 'hubble-server-version' in dict(call.initial_metadata())
        for method in STREAMS:
            call = channel.unary_stream('/observer.Observer/' + method)(b'\x18\x01', timeout=10)  # field 3: follow
            assert 'hubble-server-version' in dict(call.initial_metadata())
            call.cancel()


@pytest.mark.parametrize('path', ['/observer.Observer/Bogus', '/bogus.Service/GetFlows', '/observer.Observer/getflows',
                                  '/observer.Observer/', '/x', '/relay.Relay/Notify', '/observer.Observer/GetFlows/'])
@pytest.mark.parametrize('streams', [False, True])
def test_an_unknown_method_is_answered(client, path, streams):
    assert wire.status_of(lambda: client.raw(path, b'', streams=streams))[0] == 'UNIMPLEMENTED'


@pytest.mark.parametrize('silence', ['nothing follows', 'the server is to speak first'])
def test_an_unknown_method_is_answered_before_the_client_says_anything(observer, silence):
    spoken = threading.Event()

    def requests():
        if silence != 'nothing follows':
            spoken.wait(20)
        yield from ()
    with grpc.insecure_channel(observer.tcp) as channel:
        stream = channel.stream_stream('/bogus.Service/Talk')(requests(), timeout=10)
        try:
            assert wire.status_of(lambda: stream)[0] == 'UNIMPLEMENTED'
        finally:
            spoken.set()


@pytest.mark.parametrize('method', UNARY + STREAMS)
@pytest.mark.parametrize('garbage', [b'\xff', b'\x0a\x05ab', b'\x07', b'\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01',
                                     b'\x00\x01', bytes(range(256))])
def test_a_request_that_is_no_message_is_refused(client, method, garbage):
    path, streams = '/observer.Observer/' + method, method in STREAMS
    assert wire.status_of(lambda: client.raw(path, garbage, streams=streams))[0] == 'INVALID_ARGUMENT'


def test_unknown_fields_of_a_request_are_passed_over(client):
    assert len(list(client.raw('/observer.Observer/GetFlows', b'\xfa\xff\x03\x03abc\x08\x02', streams=True))) == 2


def test_a_request_beyond_four_mebibytes_is_refused_and_one_below_is_not(client):
    def padded(size):  # an unknown field of this size
        return b'\xfa\xff\x03' + bytes([size & 0x7f | 0x80, size >> 7 & 0x7f | 0x80, size >> 14 & 0x7f | 0x80,
                                        size >> 21]) + b'x' * size
    assert len(list(client.raw('/observer.Observer/GetFlows', padded((4 << 20) - 100), streams=True))) == 3
    assert wire.status_of(lambda: client.raw('/observer.Observer/GetFlows', padded((4 << 20) + 1), streams=True))[0] == (
        'RESOURCE_EXHAUSTED')
    assert len(client.flows()) == 3


def test_a_message_that_is_deeply_nested_is_refused_and_harms_nothing(client):
    """Extensions are opaque bytes, but filters nest; no depth may cost the server its stack."""
    data = b''
    while len(data) < 200000:
        size, length = len(data), b''
        while size > 127:
            length += bytes([size & 0x7f | 0x80])
            size >>= 7
        data = b'\x2a' + length + bytes([size]) + data  # whitelist: a message in a message in …
    with_code = None
    try:
        list(client.raw('/observer.Observer/GetFlows', data, streams=True))
    except grpc.RpcError as e:
        with_code = e.code()
    assert with_code in (None, grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.UNKNOWN)
    assert len(client.flows()) == 3


def test_deadlines_end_idle_streams(client):
    for method in STREAMS:
        stream = getattr(client, method)(follow=True, timeout=0.2)
        assert wire.status_of(lambda: stream)[0] == 'DEADLINE_EXCEEDED'

