"""What questions about metrics are made of: flows, lists, files."""
import json
import random

METRICS = ['dns', 'drop', 'flow', 'flows-to-world', 'http', 'httpV2', 'icmp', 'kafka', 'policy', 'port-distribution', 'tcp']
CONTEXTS = ['identity', 'namespace', 'pod', 'pod-name', 'dns', 'ip', 'reserved-identity', 'workload', 'workload-name', 'app']
LISTS = ['sourceContext', 'destinationContext', 'sourceEgressContext', 'sourceIngressContext', 'destinationEgressContext',
         'destinationIngressContext']
LABELS = [side + of for side in ('source', 'destination')
          for of in ('_ip', '_pod', '_namespace', '_workload', '_workload_kind', '_app')] + ['traffic_direction']
SWITCHES = ['query', 'ignoreAAAA', 'any-drop', 'port', 'syn-only', 'exemplars']
# a value that tells more than its length: what a page or a label could get wrong
ODD_TEXTS = ['', 'x', ' ', '"', '\\', '\n', '\t', '\r', '\x01', '\u00e9', '\u2028', '\U0001f600', '\ufeff', '{}', 'a=b', 'a,b', 'a/b',
             '=', ':', '/', 'other', '%s', '\\n', 'A' * 200]
VERDICTS = ['VERDICT_UNKNOWN', 'FORWARDED', 'DROPPED', 'ERROR', 'AUDIT', 'REDIRECTED', 'TRACED', 'TRANSLATED', 8, 31, 32, 63, 99, 254,
            255, 256, 1000000, -1, -2147483648]
REASONS = ['DROP_REASON_UNKNOWN', 'POLICY_DENIED', 'POLICY_DENY', 'INVALID_SOURCE_MAC', 'STALE_OR_UNROUTABLE_IP', 'AUTH_REQUIRED',
           'NO_MAPPING_FOR_NAT_MASQUERADE', 'DROP_HOST_NOT_READY', 'DROP_EP_NOT_READY', 1, 131, 133, 256, 999, 70000, -1, 2147483647]
DIRECTIONS = ['TRAFFIC_DIRECTION_UNKNOWN', 'INGRESS', 'EGRESS', 3, 4, 200, 255, 256, -1]
EVENTS = [0, 1, 2, 3, 4, 5, 6, 7, 8, 128, 129, 130, 255, 256, 257, 260, 385, -1, 2147483647, -2147483648]
IDENTITIES = [0, 1, 2, 3, 6, 7, 100, 16777217, 4294967295]
NAMESPACES = ['', 'default', 'prod', 'kube-system']
PODS = ['', 'a-0', 'a-1', 'front-7d9f-x', 'coredns-5']
EP_LABELS = ['reserved:world', 'reserved:world-ipv4', 'reserved:world-ipv6', 'reserved:host', 'reserved:kube-apiserver', 'reserved:',
             'reserved:remote-node', 'reserved', 'reserved:world=', 'k8s:app=web', 'k8s:app=', 'k8s:app', 'k8s:app==', 'k8s:app=a=b',
             'k8s:app=a:b', 'k8s:app:x=y', 'k8s:app= ', 'k8s:k8s-app=dns', 'k8s:k8s-app=', 'k8s:app.kubernetes.io/name=front',
             'k8s:app.kubernetes.io/name=', 'k8s:app.kubernetes.io/name', 'app=web', 'any:app=web', 'K8s:app=web', 'k8s:App=web',
             'k8s:application=x', 'k8s:io.kubernetes.pod.namespace=prod', 'k8s:x=reserved:world', 'cidr:10.0.0.0/8', '$app', 'k8s:app=$x',
             '', '=', ':', 'k8s:app=\u00e9', 'k8s:app="x"']
ADDRESSES = ['10.0.0.1', '10.0.0.2', '1.1.1.1', 'fd00::1', '2001:db8::10', 'FD00::1', '::ffff:10.0.0.1', '', '010.0.0.1', '10.0.0.256',
             'unix', '::', '0.0.0.0', '10.0.0.1/32', 'fe80::1%eth0', '2001:db8:0:0:0:0:0:10']
NAMES = ['cilium.io', 'one.one.one.one', 'a.example.', '', 'x,y', '*.example.com']
PORTS = [0, 53, 80, 443, 8080, 65535, 65536, 2147483648, 4294967295]
ICMP = [0, 1, 2, 3, 4, 5, 8, 9, 11, 12, 13, 14, 15, 18, 100, 128, 129, 133, 134, 135, 136, 137, 138, 143, 155, 160, 200, 253, 255, 256,
        259, 264, 383, 384, 65536, 4294967295]
QTYPES = ['A', 'AAAA', 'aaaa', 'MX', '', 'SOA', 'A,AAAA', 'TYPE65', 'LONGTYPE9', 'HTTPS']
RCODES = list(range(0, 25)) + [255, 256, 4294967295]
LATENCIES = [0, 1, 4999999, 5000000, 5000001, 10 ** 7, 25 * 10 ** 6, 10 ** 8, 333333333, 10 ** 9, 2500000000, 10 ** 10, 10 ** 10 + 1,
             10 ** 12, 10 ** 15 + 1, 2 ** 53 + 1, 2 ** 63, 2 ** 64 - 1]
TRACES = ['', '0af7651916cd43dd8448eb211c80319c', 'abc', 'a' * 56, 'a' * 57, 'a' * 64, '"', '\\', '\n', '\u00e9\u00e8', '\u00e9' * 32]
FILTERS = [{'source_pod': ['default/']}, {'source_pod': ['prod/a']}, {'destination_pod': ['a-0']}, {'verdict': ['DROPPED']},
           {'verdict': ['FORWARDED', 'REDIRECTED']}, {'source_label': ['k8s:app=web']}, {'destination_label': ['reserved:world']},
           {'protocol': ['tcp']}, {'protocol': ['dns', 'http']}, {'source_ip': ['10.0.0.0/8']}, {'destination_port': ['53']},
           {'reply': [True]}, {'reply': [False]}, {'traffic_direction': ['EGRESS']}, {'event_type': [{'type': 4}]},
           {'event_type': [{'type': 129}, {'type': 1}]}, {'http_status_code': ['2+']}, {'dns_query': ['cilium']}, {'tcp_flags': [{'SYN': True}]},
           {'source_identity': [1, 2]}, {'source_workload': [{'name': 'web'}]}, {'ip_version': ['IPv4']}, {},
           {'source_fqdn': ['*.io']}, {'destination_fqdn': ['cilium.io']}, {'http_method': ['get']}, {'drop_reason_desc': ['POLICY_DENIED']},
           {'source_pod': ['prod/'], 'verdict': ['DROPPED']}, {'node_name': ['k*']}, {'experimental': {'cel_expression': ['true']}}]
BAD_FILTERS = [{'source_ip': ['x']}, {'source_fqdn': ['']}, {'http_status_code': ['x']}, {'dns_query': ['(']}, {'protocol': ['x']},
               {'no_such': ['x']}, {'verdict': ['NO']}, {'source_pod': 'x'}, {'verdict': [77]}, 'x', 1, []]


class Words:
    def __init__(self, rng, recorded, filters=()):
        self.rng, self.recorded, self.recorded_filters = rng, recorded, filters

    def odd(self, texts):
        return self.rng.choice(texts) if self.rng.random() < 0.93 else self.rng.choice(ODD_TEXTS)

    def some(self, values, most):
        return [self.odd(values) for _ in range(self.rng.randrange(most + 1))]

    def chance(self, p):
        return self.rng.random() < p

    # --- flows ----------------------------------------------------------------------------------------------------

    def plain(self, values, usual):
        """Mostly one of the first @usual."""
        return self.rng.choice(values[:usual] if self.chance(0.85) else values)

    def endpoint(self):
        r, ep = self.rng, {}
        if self.chance(0.7):
            ep['identity'] = r.choice(IDENTITIES)
        if self.chance(0.7):
            ep['namespace'] = self.odd(NAMESPACES)
        if self.chance(0.7):
            ep['pod_name'] = self.odd(PODS)
        if self.chance(0.75):
            ep['labels'] = self.some(EP_LABELS, 4)
        if self.chance(0.5):
            ep['workloads'] = [{k: self.odd(v) for k, v in (('name', ['web', 'db', '']), ('kind', ['Deployment', 'DaemonSet', '']))
                                if self.chance(0.8)} for _ in range(r.choice([0, 1, 1, 1, 2]))]
        if self.chance(0.2):
            ep['cluster_name'] = self.odd(['c1', ''])
        if self.chance(0.1):
            ep['ID'] = r.choice([0, 1, 77])
        return ep

    def layer4(self):
        r = self.rng
        kind = r.choice(['TCP', 'TCP', 'TCP', 'UDP', 'UDP', 'ICMPv4', 'ICMPv6', 'SCTP', 'VRRP', 'IGMP', None])
        if not kind:
            return {}
        if kind.startswith('ICMP'):
            return {kind: {k: r.choice(ICMP) for k in ('type', 'code') if self.chance(0.85)}}
        if kind == 'VRRP':
            return {kind: {'type': 1, 'vrid': 2, 'priority': 3} if self.chance(0.5) else {}}
        if kind == 'IGMP':
            return {kind: {'type': 17, 'group_address': '224.0.0.1'} if self.chance(0.5) else {}}
        layer = {k: r.choice(PORTS) for k in ('source_port', 'destination_port') if self.chance(0.85)}
        if kind == 'TCP' and self.chance(0.9):
            layer['flags'] = {k: self.chance(0.8) for k in ('FIN', 'SYN', 'RST', 'PSH', 'ACK', 'URG', 'ECE', 'CWR', 'NS') if self.chance(0.35)}
        return {kind: layer}

    def layer7(self):
        r = self.rng
        layer = {}
        if self.chance(0.95):
            layer['type'] = r.choice(['REQUEST', 'RESPONSE', 'RESPONSE', 'SAMPLE', 'UNKNOWN_L7_TYPE', 'REQUEST', 'RESPONSE', 9, -1])
        if self.chance(0.8):
            layer['latency_ns'] = str(r.choice(LATENCIES))
        kind = r.choice(['dns', 'dns', 'http', 'http', 'http', 'kafka', None])
        if kind == 'dns':
            parts = {'query': self.odd(NAMES), 'ips': self.some(ADDRESSES, 3), 'ttl': 5, 'cnames': self.some(NAMES, 2),
                     'observation_source': 'proxy', 'rcode': r.choice(RCODES), 'qtypes': self.some(QTYPES, 2), 'rrtypes': self.some(QTYPES, 3)}
        elif kind == 'http':
            parts = {'code': r.choice([0, 200, 204, 301, 404, 500, 4294967295]), 'method': self.odd(['GET', 'POST', 'get', '']),
                     'url': self.odd(['http://x/', '/']), 'protocol': self.odd(['HTTP/1.1', 'HTTP/2', '']),
                     'headers': [{'key': 'h', 'value': 'v'}]}
        elif kind == 'kafka':
            parts = {'error_code': r.choice([0, 1, -1, 2147483647]), 'api_version': 5, 'api_key': self.odd(['fetch', 'produce', '']),
                     'correlation_id': 3, 'topic': self.odd(['orders', ''])}
        if kind:
            layer[kind] = {k: v for k, v in parts.items() if self.chance(0.85)}
        return layer

    def flow(self):
        r = self.rng
        if self.recorded and self.chance(0.15):
            return self.mutated(r.choice(self.recorded))
        f = {'time': '2024-03-05T10:00:00Z', 'node_name': 'k1'}
        if self.chance(0.9):
            f['verdict'] = self.plain(VERDICTS, 8)
        if self.chance(0.5):
            f['drop_reason_desc'] = self.plain(REASONS, 4)
        if self.chance(0.85):
            f['IP'] = {k: self.odd(ADDRESSES) for k in ('source', 'destination') if self.chance(0.9)}
            if self.chance(0.9):
                f['IP']['ipVersion'] = self.plain(['IPv4', 'IPv6', 'IP_NOT_USED', 5, 300, -1], 3)
        if self.chance(0.85):
            f['l4'] = self.layer4()
        for side in ('source', 'destination'):
            if self.chance(0.85):
                f[side] = self.endpoint()
            if self.chance(0.3):
                f[side + '_names'] = self.some(NAMES, 2)
        if self.chance(0.35):
            f['l7'] = self.layer7()
        if self.chance(0.9):
            f['event_type'] = {'type': r.choice([1, 4, 5, 129]) if self.chance(0.75) else r.choice(EVENTS)}
            if self.chance(0.6):
                f['event_type']['sub_type'] = r.choice([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 133, 254, 255, 256, 258, -1])
        if self.chance(0.1):
            f['event_type'] = {}
        if self.chance(0.85):
            f['traffic_direction'] = self.plain(DIRECTIONS, 3)
        if self.chance(0.5):
            f['policy_match_type'] = r.choice([0, 1, 2, 3, 4, 5, 6, 7, 99, 255, 256, 4294967295])
        if self.chance(0.8):
            f['is_reply'] = self.chance(0.4)
        if self.chance(0.2):
            f['reply'] = self.chance(0.5)
        if self.chance(0.3):
            f['trace_context'] = r.choice([{}, {'parent': {}}, {'parent': {'trace_id': self.odd(TRACES)}}, {'parent': {'trace_id': r.choice(TRACES)}}])
        if self.chance(0.6):
            f['Type'] = r.choice(['L3_L4', 'L7', 'SOCK'])
        for member in ('ingress_allowed_by', 'egress_allowed_by', 'ingress_denied_by', 'egress_denied_by'):
            if self.chance(0.15):
                f[member] = [{'name': 'p', 'namespace': 'default'}]
        return {'flow': f, 'node_name': 'k1', 'time': '2024-03-05T10:00:00Z'} if self.chance(0.95) else {'flow': f}

    def mutated(self, response):
        """A recorded flow with a few members taken away, or another made flow's."""
        made = json.loads(json.dumps(response))
        flow = made.get('flow')
        if not isinstance(flow, dict):
            return made
        recorded, self.recorded = self.recorded, None
        other = self.flow()['flow']
        self.recorded = recorded
        for _ in range(self.rng.randrange(4)):
            member = self.rng.choice(sorted(set(flow) | set(other)) or ['x'])
            flow.pop(member, None)
            if member in other and self.chance(0.7):
                flow[member] = other[member]
        return made

    def flows(self, most=40):
        return [self.flow() for _ in range(self.rng.randrange(1, most))]

    def pod_flows(self):
        """Flows of which most metrics tell something, and few pods."""
        flows = self.flows(20)
        for response in flows:
            if not isinstance(response.get('flow'), dict) or self.chance(0.3):
                continue
            flow = response['flow']
            for side in ('source', 'destination'):
                flow[side] = {'namespace': self.rng.choice(NAMESPACES), 'pod_name': self.rng.choice(PODS)}
            flow['l7'] = {'type': 'RESPONSE', self.rng.choice(['http', 'http', 'dns']): {}}
            flow['verdict'] = 'FORWARDED'
        return flows

    # --- configurations -------------------------------------------------------------------------------------------

    def cased(self, text):
        return self.rng.choice([text.lower(), text.upper(), text.title()]) if self.chance(0.1) else text

    def option(self, metric):
        """Its name and values; None: no values at all."""
        r = self.rng
        kind = r.random()
        if kind < 0.45:
            values = [self.cased(r.choice(CONTEXTS)) for _ in range(r.choice([0, 1, 1, 1, 2, 2, 3, 4]))]
            if self.chance(0.03):
                values.insert(r.randrange(len(values) + 1), r.choice(['x', 'pods', '', 'pod ', 'source_ip']))
            return self.cased(r.choice(LISTS)), values
        if kind < 0.75:
            values = r.sample(LABELS, r.choice([0, 1, 2, 2, 3, 5, 8, 13]))
            if values and self.chance(0.1):
                values.append(r.choice(values))
            if self.chance(0.03):
                values.append(r.choice(['x', 'Source_IP', '', 'pod', 'source_ip ']))
            return self.cased('labelsContext'), values
        if kind < 0.97:
            own = {'dns': SWITCHES[:2], 'flows-to-world': SWITCHES[2:5], 'http': SWITCHES[5:], 'httpV2': SWITCHES[5:]}.get(metric, SWITCHES)
            name = r.choice(own)
            if name == 'exemplars':
                return self.cased(name), r.choice([['true'], ['true'], ['true'], ['false'], ['TRUE'], [], None, ['false', 'true'], ['true', 'x']])
            return self.cased(name), r.choice([None, None, None, ['true'], ['false'], []])
        return r.choice(['x', 'labels', 'labelContext', 'sourcecontexts', ' ', '']), r.choice([None, [], ['pod']])

    def options(self, metric):
        return [self.option(metric) for _ in range(self.rng.choice([0, 0, 1, 1, 2, 2, 3, 4, 6]))]

    def metrics(self):
        r = self.rng
        names = r.sample(METRICS, r.choice([1, 1, 1, 2, 2, 3, 4, 6]))
        if self.chance(0.9) and 'http' in names and 'httpV2' in names:
            names.remove(r.choice(['http', 'httpV2']))
        if self.chance(0.03):
            names.insert(r.randrange(len(names) + 1), r.choice(['x', 'DNS', 'http2', 'sctp', 'lost']))
        if self.chance(0.02):
            names.append(r.choice(names))
        return names

    def list(self):
        """A list of metrics as the flag has it."""
        words = []
        for name in self.metrics():
            options = []
            for option, values in self.options(name):
                separator = self.rng.choice('|||,' if 'labels' not in option.lower() else ',,,|')
                if self.chance(0.03):
                    separator *= 2
                options.append(option if values is None else option + '=' + separator.join(values))
            word = name + (':' if options or self.chance(0.05) else '') + self.rng.choice([';', ';', ';', ';;']).join(options)
            if self.chance(0.02):
                at = self.rng.randrange(len(word) + 1)
                word = word[:at] + self.rng.choice(';:=|,') + word[at:]
            words.append(word)
        return self.rng.choice([' ', ' ', '  ', '\t', '\n']).join(words)

    def pod_list(self):
        """A list whose labels are about pods."""
        def options():
            chosen = ['%s=%s' % (name, self.rng.choice(['pod', 'pod', 'pod|ip', 'workload|pod', 'pod-name', 'namespace']))
                      for name in LISTS if self.chance(0.35)]
            labels = [label for label in LABELS if self.chance(0.6 if label.endswith(('_pod', '_namespace')) else 0.05)]
            return ';'.join(chosen + (['labelsContext=' + ','.join(labels)] if self.chance(0.6) else []))

        names = [name for name in METRICS if self.chance(0.35) and name != 'http'] or ['httpV2']
        return ' '.join('%s:%s' % (name, options()) for name in names)

    def filters(self):
        made = [self.rng.choice(self.recorded_filters if self.recorded_filters and self.chance(0.4) else FILTERS)
                for _ in range(self.rng.choice([0, 1, 1, 2]))]
        if self.chance(0.03):
            made.append(self.rng.choice(BAD_FILTERS))
        return made

    def metric(self, name):
        made = {'name': name}
        options = self.options(name)
        if options:  # an empty list is another thing than none there, once a file is followed by another
            made['contextOptions'] = [dict([('name', o)] + ([] if v is None else [('values', v)])) for o, v in options]
        if self.chance(0.4):
            made['includeFilters'] = self.filters()
        if self.chance(0.3):
            made['excludeFilters'] = self.filters()
        return made

    def file(self):
        return {'metrics': [self.metric(name) for name in self.metrics()]}

    def next_file(self, file):
        """The file as somebody might edit it."""
        made = json.loads(json.dumps(file))
        for _ in range(self.rng.choice([0, 1, 1, 2, 3])):
            metrics = made['metrics']
            what = self.rng.random()
            if what < 0.25 and metrics:
                metrics.pop(self.rng.randrange(len(metrics)))
            elif what < 0.5:
                taken = {m['name'] for m in metrics}
                name = self.rng.choice(METRICS)
                if name not in taken or self.chance(0.05):
                    metrics.insert(self.rng.randrange(len(metrics) + 1), self.metric(name))
            elif what < 0.9 and metrics:
                metric = self.rng.choice(metrics)
                metric[self.rng.choice(['includeFilters', 'excludeFilters'])] = self.filters()
            elif what < 0.95 and metrics:
                at = self.rng.randrange(len(metrics))
                metrics[at] = self.metric(metrics[at]['name'])
            else:
                self.rng.shuffle(metrics)
        return made


    # --- files as people write them -----------------------------------------------------------------------------

    def scalar(self):
        return self.rng.choice(['1', '-1', '0x10', '0o7', '017', '1_000', '1e3', '1.0', '1.50', '.5', '.inf', '-.INF', '.nan', '~', 'null', '', 'yes',
                                'No', 'on', 'y', 'True', 'false', "'1'", '"1"', "'true'", '2001-01-01', '2001-01-01T00:00:00Z', '12:30:45',
                                '[]', '{}', '[pod]', '{a: b}', '*a', '&a pod', 'pod', 'POD',
                                "'pod'", '"p\\u006fd"', 'pod # no', '>-\n          pod', '1e400', '9007199254740993', '123456789012345678901',
                                '<<', '=', '`', '@pod', '%pod', '- pod', '? pod', 'a: b', '0b101', '+1', '-0', '1.', '0.1e-7'])

    def text(self):
        """A file with something in it that YAML, or JSON, has its own mind about."""
        r, name = self.rng, self.rng.choice(METRICS)
        key = self.cased
        values = ['flow', name, 'sourceContext', 'pod', 'ip', 'verdict', 'DROPPED', 'true']
        for _ in range(r.choice([0, 1, 1, 1, 2])):
            values[r.randrange(len(values))] = self.scalar()
        if values[5][:1] in '[{?':  # a list or mapping as a key: parsers of YAML do not agree
            values[5] = 'verdict'
        lines = ['%s:' % key('metrics'), '- %s: %s' % (key('name'), values[0]), '- name: %s' % values[1], '  %s:' % key('contextOptions'),
                 '  - %s: %s' % (key('name'), values[2]), '    %s:' % key('values'), '    - %s' % values[3], '    - %s' % values[4],
                 '  %s:' % key('includeFilters'), '  - %s: [%s]' % (values[5], values[6]), '  %s:' % key('excludeFilters'),
                 '  - reply: [%s]' % values[7]]
        for _ in range(r.choice([0, 0, 0, 1, 1, 2])):
            what, at = r.random(), r.randrange(len(lines))
            if what < 0.35:
                del lines[at]
            elif what < 0.55:
                lines.insert(at, lines[at])
            elif what < 0.7:
                lines[at] = lines[at].split(':')[0] + ': ' + self.scalar()
            elif what < 0.8:
                lines[at] = ' ' + lines[at]
            else:
                lines.insert(at, r.choice(['---', '...', '# x', '  x: 1', '- ', '  - ', '    - ', '%YAML 1.1', '\t', '  <<: {name: x}', '- 1', 'x: y']))
        return '\n'.join(lines) + r.choice(['\n', '', '\n---\nmetrics: []\n', '\n...\n'])


def words(seed, kind, recorded, filters=()):
    return Words(random.Random('%s %d' % (kind, seed)), recorded, filters)
