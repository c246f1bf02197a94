"""What is asked about: flows and events as JSON lines, made from recorded ones; and filters that aim at them."""
import collections
import copy
import json
import os

from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor

from sides import wire

BASE_S = 1_700_000_000
FILES = ['mixed', 'small', 'real', 'kinds', 'hosts', 'identity', 'l4', 'l7', 'labels', 'misc', 'nodes', 'policy', 'verdict',
         'types', 'variants', 'synthetic']
SLOTS = 16
FlowFilter = wire.message('flow.FlowFilter')
# Where a filter's values stand in a flow.
PLACES = {
    'uuid': ['uuid'], 'source_ip': ['IP.source'], 'destination_ip': ['IP.destination'], 'source_ip_xlated': ['IP.source_xlated'],
    'source_pod': ['source.pod_name', 'source.namespace'], 'destination_pod': ['destination.pod_name', 'destination.namespace'],
    'source_fqdn': ['source_names'], 'destination_fqdn': ['destination_names'], 'source_label': ['source.labels'],
    'destination_label': ['destination.labels'], 'source_service': ['source_service.name', 'source_service.namespace'],
    'destination_service': ['destination_service.name', 'destination_service.namespace'],
    'source_cluster_name': ['source.cluster_name'], 'destination_cluster_name': ['destination.cluster_name'],
    'http_status_code': ['l7.http.code'], 'source_port': ['l4.TCP.source_port', 'l4.UDP.source_port', 'l4.SCTP.source_port'],
    'destination_port': ['l4.TCP.destination_port', 'l4.UDP.destination_port', 'l4.SCTP.destination_port'],
    'dns_query': ['l7.dns.query'], 'source_identity': ['source.identity'], 'destination_identity': ['destination.identity'],
    'http_method': ['l7.http.method'], 'http_path': ['l7.http.url'], 'http_url': ['l7.http.url'], 'node_name': ['node_name'],
    'node_labels': ['node_labels'], 'trace_id': ['trace_context.parent.trace_id'], 'ip_trace_id': ['ip_trace_id.trace_id'],
    'drop_reason_desc': ['drop_reason_desc'], 'verdict': ['verdict'], 'traffic_direction': ['traffic_direction'],
}
PROTOCOLS = ['tcp', 'udp', 'sctp', 'icmp', 'icmpv4', 'icmpv6', 'ICMPv6', 'vrrp', 'igmp', 'dns', 'http', 'TCP', 'x', '', 'kafka']
ODD = ['', ' ', '*', '/', '//', '.', '..', 'a..', '-', '!', '!a', 'a in (b)', 'a notin (b,c)', '=x', 'a=', '0', '-1', '65536', '+1',
       '1e3', '0x50', '00', '5+', '50+', '6+', '600', '2', '10.0.0.0/8', '10.0.0.1/33', '::/0', '::ffff:10.0.0.1', 'fe80::1%eth0',
       '10.0.0.01', '10.0.0', '[a', '(', 'a{2,1}', '\\', '\\d+', '(?i)GET', '^/', '.*', '\u00e9', '\U0001f600', 'a' * 30, 'a,b', 'A',
       'ns/', '/p', 'ns/p/x', 'k8s:a', 'reserved:world', 'any:a=b', 'UNKNOWN', '%', 'a%zz', '?q', '#f']
CELS = ['_flow.verdict == flow.Verdict.DROPPED', '_flow.source.identity > uint(1000)', '_flow.l4.TCP.destination_port == uint(80)',
        'has(_flow.l4.TCP)', 'size(_flow.source.labels) > 1', '_flow.source.labels.exists(x, x.startsWith("k8s:"))',
        '_flow.source.workloads[0].name == "x"', '_flow.time > timestamp("2023-11-14T22:13:30Z")', 'true', 'false', '1', '"x"', '', '_flow',
        '_flow.nosuch', '1 +', '_flow.is_reply.value', '_flow.IP.source.matches("^10")', 'nosuch', '1/0 == 1', '_flow.Summary == ""']


class Recorded:
    """The recorded flows and filters."""

    def __init__(self, golden):
        self.flows, self.others, self.filters, self.truth = [], [], [], []
        for name in FILES:
            for line in self._lines(golden, 'flows', name + '.jsonl'):
                try:
                    r = json_format.Parse(line, wire.GetFlowsResponse(), ignore_unknown_fields=True)
                except json_format.ParseError:
                    continue
                if r.HasField('flow'):
                    self.flows.append(r.flow)
        for line in self._lines(golden, 'flows', 'export-events.jsonl'):
            event = json.loads(line)
            self.others += [{k: event[k]} for k in ('agent_event', 'debug_event') if k in event]
        for name, columns in (('rawfilters.tsv', (3, 4)), ('filters.tsv', (1, 2))):
            for line in list(self._lines(golden, name))[1:]:
                cells = line.rstrip('\n').split('\t')
                lists = [json.loads(cells[c]) for c in columns]
                if name == 'filters.tsv':
                    self.truth.append((cells[0], lists, cells[3], cells[4:]))
                self.filters += [f for each in lists for f in each]

    @staticmethod
    def _lines(*path):
        with open(os.path.join(*path), encoding='utf-8', errors='replace') as f:
            yield from f


def field_of(message, path):
    """All that stands at a dotted path of a message, as a list; none where nothing is set."""
    head, _, rest = path.partition('.')
    if not rest:
        value = getattr(message, head)
        return list(value) if hasattr(value, '__len__') and not isinstance(value, str) else [value]
    return field_of(getattr(message, head), rest) if message.HasField(head) else []


def response_line(r):
    return json.dumps(json_format.MessageToDict(r, preserving_proto_field_name=True))


class World:
    """A ring's worth of events, in order of time. is_pure: nothing but flows.

    @slot: of worlds with different slots, no two events have the same time.
    """

    def __init__(self, recorded, rng, capacity=None, node='n0', slot=None, size=None):
        self.recorded, self.rng, self.node, self.slot = recorded, rng, node, slot
        self.capacity = capacity or rng.choice([7, 63, 127, 255, 4095])
        self.is_pure = rng.random() < 0.6
        self.now_ns, self.count = BASE_S * 10**9 + (slot or 0), 0
        self.flows, self.lines = [], []
        self.values = collections.defaultdict(list)
        self.more(rng.randrange(1, 2 * min(self.capacity, 200)) if size is None else size)

    def more(self, n):
        """n more events, of which the last is a flow; their lines."""
        new = []
        for i in range(n):
            step_ns = self.rng.choice([0, 1, 999, 10**6, 10**9, 10**9, 7 * 10**9])
            self.now_ns += step_ns if self.slot is None else (step_ns + 1) * SLOTS
            self.count += 1
            r = self.rng.random()
            if self.is_pure or r < 0.8 or i == n - 1:
                new.append(self._flow())
            elif r < 0.87:
                new.append(self._lost())
            else:
                new.append(json.dumps(dict(self.rng.choice(self.recorded.others), node_name=self.node, time=self.stamp())))
        self.lines += new
        return new

    def stamp(self):
        return json_format.MessageToDict(self._response())['time']

    def _response(self):
        r = wire.GetFlowsResponse(node_name=self.node)
        r.time.FromNanoseconds(self.now_ns)
        return r

    def _flow(self):
        rng, r = self.rng, self._response()
        flow = r.flow
        flow.CopyFrom(rng.choice(self.recorded.flows))
        for _ in range(rng.choice([0, 0, 1, 2])):  # a part of another flow instead of its own
            part = rng.choice(flow.DESCRIPTOR.fields)
            other = rng.choice(self.recorded.flows)
            flow.ClearField(part.name)
            if part.label == FieldDescriptor.LABEL_REPEATED:
                getattr(flow, part.name).extend(getattr(other, part.name))
            elif part.message_type:
                if other.HasField(part.name):
                    getattr(flow, part.name).CopyFrom(getattr(other, part.name))
            else:
                setattr(flow, part.name, getattr(other, part.name))
        flow.uuid = '%s-%d' % (self.node, self.count)
        flow.time.CopyFrom(r.time)
        r.node_name = flow.node_name
        for name, places in PLACES.items():
            for place in places:
                self.values[name] += field_of(flow, place)
        self.flows.append(copy.deepcopy(flow))
        return response_line(r)

    def _lost(self):
        r = self._response()
        r.lost_events.source = self.rng.choice([1, 2])
        r.lost_events.num_events_lost = self.rng.randrange(1, 9)
        if self.rng.random() < 0.5:
            r.lost_events.cpu.value = self.rng.randrange(4)
        return response_line(r)

    def sentinel(self, uuid):
        """A flow that only those find who ask for its uuid, or for all."""
        self.now_ns += SLOTS * 10**8
        r = self._response()
        r.flow.uuid, r.flow.node_name = uuid, self.node
        r.flow.time.CopyFrom(r.time)
        return response_line(r)

    # --- filters ------------------------------------------------------------------------------

    def text(self, name):
        rng = self.rng
        met = self.values.get(name)
        if not met or rng.random() < 0.1:
            return rng.choice(ODD)
        text = str(rng.choice(met))
        r = rng.random()
        if r < 0.6:
            return text
        at = rng.randrange(len(text) + 1)
        return rng.choice([text[:at], text[:at] + '*', '*' + text[at:], text.upper(), text + '.', text + '/24', text + '/', '/' + text,
                           '!' + text, text[:at] + rng.choice(ODD) + text[at:], rng.choice(met).__str__() + '/' + text])

    def value(self, field, name):
        rng = self.rng
        if field.message_type:
            message = wire.message(field.message_type.full_name)()
            for f in field.message_type.fields:
                if rng.random() < 0.4:
                    setattr(message, f.name, self.value(f, '%s.%s' % (name, f.name)))
            return message
        if field.type == FieldDescriptor.TYPE_BOOL:
            return rng.random() < 0.5
        if field.type == FieldDescriptor.TYPE_STRING:
            return rng.choice(PROTOCOLS) if name == 'protocol' else rng.choice(CELS) if 'cel' in name else self.text(name)
        met = [v for v in self.values.get(name, ()) if isinstance(v, int)]
        if met and rng.random() < 0.8:
            return rng.choice(met)
        if field.enum_type:
            return rng.choice([v.number for v in field.enum_type.values] + [99])
        return rng.choice([0, 1, 4, 5, 128, 129, 2**31 - 1])

    def filter(self):
        rng = self.rng
        if rng.random() < 0.15:
            try:
                return json_format.ParseDict(rng.choice(self.recorded.filters), FlowFilter(), ignore_unknown_fields=True)
            except json_format.ParseError:
                pass
        f = FlowFilter()
        for field in rng.sample(list(FlowFilter.DESCRIPTOR.fields), rng.choice([0, 1, 1, 1, 1, 2, 2, 3])):
            if field.name == 'experimental':
                f.experimental.cel_expression.extend(rng.choice(CELS) for _ in range(rng.choice([1, 1, 2])))
                continue
            for _ in range(rng.choice([1, 1, 2, 3])):
                getattr(f, field.name).append(self.value(field, field.name))
        return f

