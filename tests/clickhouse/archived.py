"""Rows of tycho_flows made without our C code, and a relay that answers from them."""
import http.client
import os
import re
import urllib.parse

import wire
from daemon import LONG_S, Daemon, until
from prometheus import fetch

SCHEMA = os.path.join(wire.ROOT, 'deploy', 'clickhouse', 'schema.sql')
class Tables:
    """Our tables, in a database of a server of their own."""

    def __init__(self, server, name):
        self.server, self.name = server, name
        server.ask('CREATE DATABASE ' + name)
        self.database = server.database(name)
        with open(SCHEMA) as f:
            text = re.sub(r' CODEC\([^)]*\)', '', re.sub(r'--.*', '', f.read()))
        for statement in text.split(';'):
            if statement.strip():
                self.sql(statement)

    @property
    def url(self):
        return self.database.url

    def sql(self, text):
        return self.database.ask(text)

    def statements(self, like):
        """How many run, of those that contain a text."""
        return self.database.number("SELECT count() FROM system.processes WHERE query LIKE '%%%s%%' AND query NOT LIKE '%%system.processes%%'"
                                    % like)

    def put(self, statement, rows):
        c = http.client.HTTPConnection('127.0.0.1', self.server.http, timeout=LONG_S)
        try:
            c.request('POST', '/?database=%s&query=%s' % (self.name, urllib.parse.quote(statement)), rows)
            r = c.getresponse()
            said = r.read()
        finally:
            c.close()
        assert r.status == 200, said

    def clear(self):
        for table in ('tycho_flows', 'tycho_gaps'):
            self.sql('TRUNCATE TABLE ' + table)

    def insert(self, rows):
        """rows: dicts by column; those that are not there are as the table has them."""
        rows = list(rows)
        if rows:
            columns = sorted(rows[0])
            self.put('INSERT INTO tycho_flows (%s) FORMAT RowBinary' % ', '.join(columns),
                     b''.join(binary(TYPES[c], row[c]) for row in rows for c in columns))

    def insert_gap(self, **gap):
        for name in ('node', 'cause', 'of_node', 'detail'):
            gap[name] = "'%s'" % gap.get(name, '')
        self.sql('INSERT INTO tycho_gaps (%s) VALUES (%s)' % (', '.join(gap), ', '.join(str(v) for v in gap.values())))


TYPES = {'seq': 8, 'time_ns': 8, 'source_port': 4, 'destination_port': 4, 'source_identity': 4, 'destination_identity': 4,
         'ip_version': 1, 'encrypted': 1, 'event_type': 4, 'is_reply': 'null'}
TYPES = {**{c: 's' for c in ('node', 'kind', 'uuid', 'verdict', 'drop_reason_desc', 'node_name', 'source_ip', 'destination_ip', 'source_cluster',
                             'destination_cluster', 'source_namespace', 'destination_namespace', 'source_pod', 'destination_pod',
                             'source_service', 'destination_service', 'protocol', 'traffic_direction', 'response')}, **TYPES}


def varint(n):
    out = b''
    while n >= 0x80:
        out += bytes([n & 0x7f | 0x80])
        n >>= 7
    return out + bytes([n])


def binary(kind, value):
    """A value in RowBinary."""
    if kind == 's':
        value = value if isinstance(value, bytes) else value.encode()
        return varint(len(value)) + value
    if kind == 'null':
        return b'\x01' if value is None else b'\x00' + bytes([value])
    return (value % (1 << 8 * kind)).to_bytes(kind, 'little')


def enum(message, field):
    value = getattr(message, field)
    known = message.DESCRIPTOR.fields_by_name[field].enum_type.values_by_number
    return known[value].name if value in known else str(value)


PROTOCOLS = {'TCP': 'TCP', 'UDP': 'UDP', 'SCTP': 'SCTP', 'ICMPv4': 'ICMPv4', 'ICMPv6': 'ICMPv6', 'VRRP': 'VRRP', 'IGMP': 'IGMP'}


def row_of(response, seq, node):
    """A row as the schema describes it, from an observer's answer."""
    r = wire.GetFlowsResponse.FromString(response)
    time_ns = r.time.seconds * 10**9 + r.time.nanos if r.HasField('time') else 0
    row = {'node': node, 'seq': seq, 'time_ns': max(time_ns, 0), 'kind': 'flow' if r.HasField('flow') else 'lost_events', 'response': response}
    f = r.flow
    l4 = f.l4.WhichOneof('protocol')
    ports = getattr(f.l4, l4) if l4 in ('TCP', 'UDP', 'SCTP') else None
    row.update(uuid=f.uuid, verdict=enum(f, 'verdict') if r.HasField('flow') else '', node_name=f.node_name,
               drop_reason_desc=enum(f, 'drop_reason_desc') if f.verdict == 2 else '', protocol=PROTOCOLS.get(l4, ''),
               traffic_direction=enum(f, 'traffic_direction') if r.HasField('flow') else '',
               ip_version={1: 4, 2: 6}.get(f.IP.ipVersion, 0), encrypted=int(f.IP.encrypted),
               event_type=f.event_type.type, is_reply=int(f.is_reply.value) if f.HasField('is_reply') else None)
    for side in ('source', 'destination'):
        end, service = getattr(f, side), getattr(f, side + '_service')
        row.update({side + '_ip': getattr(f.IP, side), side + '_port': getattr(ports, side + '_port') if ports is not None else 0,
                    side + '_identity': end.identity, side + '_cluster': end.cluster_name, side + '_namespace': end.namespace,
                    side + '_pod': end.pod_name,
                    side + '_service': '%s/%s' % (service.namespace, service.name) if f.HasField(side + '_service') else ''})
    return row


def answers_of(client, **request):
    """The bytes of what GetFlows yields."""
    message = wire.GetFlowsRequest(**request)
    return list(client.raw('/observer.Observer/GetFlows', message.SerializeToString(), streams=True))


class Archive(Daemon):
    """A relay that answers from a ClickHouse."""
    program = 'tycho-relay'

    def __init__(self, url, *options):
        super().__init__()
        self.url, self.options = url, list(options)

    def argv(self):
        return super().argv() + ['--node-name', 'the-archive', '--listen', '127.0.0.1:0', '--clickhouse', self.url,
                                 '--metrics-listen', '127.0.0.1:0', *self.options]

    @property
    def address(self):
        return self.addresses[0]

    @property
    def metrics(self):
        return next(a.split('=', 1)[1] for a in self.addresses if a.startswith('metrics='))

    def page(self, path='/metrics'):
        """(status, text)."""
        status, _, body = fetch('http://%s%s' % (self.metrics, path))
        return status, body.decode()

    def measured(self, name):
        return float(re.search(r'^%s ([0-9.e+]+)$' % name, self.page()[1], re.M).group(1))

    def client(self, **kw):
        return wire.Client(self.address, **kw)

    def health(self):
        with self.client() as c:
            return c.call('grpc.health.v1.Health', 'Check').status

    def wait_well(self):
        """Until it has seen ClickHouse answer."""
        until(lambda: 'msg="ClickHouse answers"' in self.log(), fault=self.log)
