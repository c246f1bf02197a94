"""What an agent tells of itself and of what its proxies saw, as JSON, for against.py: main.go makes messages of it."""
import json

WORDS = ['', 'a', 'GET', 'POST', 'HTTP/1.1', 'HTTP/2', 'cassandra', 'produce', 'fetch', 'topic-1', 'x y', 'a"b', "a'b", 'a\\b', '\u00e9', '\u2028',
         '<b>&', 'a\tb', 'a\nb', '%', '%s', '\U0001f600', 'x' * 300, 'a,b', 'a=b', ' ', '\x00', '\x1b[31m', '\x7f', '\u00a0', '\ufeff', '\ufffd']
NAMES = ['example.com.', 'one.one.one.one.', 'x.svc.cluster.local.', '.', '', 'UPPER.example.', 'a\\.b.', '\u00fc.example.']
TIMES = ['2024-03-05T10:00:00Z', '2024-03-05T10:00:00.1Z', '2024-03-05T10:00:00.123456789Z', '2024-03-05T10:00:01+01:00',
         '2024-03-05T09:59:59.999999999-00:30', '2024-02-29T00:00:00Z', '0001-01-01T00:00:00Z', '9999-12-31T23:59:59.999999999Z',
         '1969-12-31T23:59:59.5Z', '2024-03-05T10:00:00.5+05:30', '1700-01-01T00:00:00Z', '2262-04-12T00:00:00Z']
ODD_TIMES = ['', 'x', '2024-03-05', '2024-03-05T10:00:00', '2024-03-05 10:00:00Z', '2024-03-05T10:00:00,5Z', '2024-03-05T24:00:00Z',
             '2024-02-30T00:00:00Z', '2024-03-05T10:00:60Z', '2024-03-05T1:00:00Z', '2024-03-05T10:00:00z', '2024-03-05t10:00:00Z',
             '2024-03-05T10:00:00.Z', '2024-03-05T10:00:00.1234567890Z', '2024-03-05T10:00:00+24:00', '2024-03-05T10:00:00+23:60',
             '2024-03-05T10:00:00+0100', '0000-01-01T00:00:00Z', '10000-01-01T00:00:00Z', ' 2024-03-05T10:00:00Z', '2024-03-05T10:00:00Z ',
             '9999-12-31T23:59:59-01:00', '0001-01-01T00:00:00+01:00', '2024-13-01T00:00:00Z', '2023-02-29T00:00:00Z']
SCHEMES = ['http', 'http', 'https', '', 'x', 'HTTP', '1x']
HOSTS = ['h', 'web.prod:8080', '', 'u:p@h', 'u@h', ':p@h', 'u:@h', 'u:p:q@h', 'u%40x:p%3A@h', 'a@b:c@d', '[::1]:80', '[fe80::1%25eth0]', 'a b',
         'u:p@h h', 'h\u00e9', 'H', 'h:', 'h:x', 'h?', 'h#', 'u:p@', '%zz', 'a\\b', 'u:p@[::1]', 'h/u:p@x', '1.2.3.4', 'u;x=y:p@h', '<h>', 'u:p\u00e9@h', 'u:p%zz@h']
PATHS = ['/', '', '/a/b?c=d', 'a', '/p?q=1#f', '/a%20b', '/a b', '//x/y', '/?', '/?#', '/#', '/#f', '/%zz', '/%', '/a@b:c', '/u:p@x', '/?u:p@h',
         '/%2F', '/a;b=c', '/?a=b&c=d#u:p@', '/\u00e9', '/?\u00e9', '/?a?b#c#d', '*', '/\x7f', '/?%zz', '/#%zz', '/[x]',
         '/<x>|"', '/?<x>|"', '/a:b', '/%41%c3%a9', "/!$&'()*+,;=:@-._~",
         '/?a b', '/#a b', '/?\x01', '/%20?', 'http://h/x', '/' + 'a' * 400]
HEADERS = ['X-Request-Id', 'Traceparent', 'Authorization', 'Cookie', 'Accept', 'Lower-Case', 'User-Agent', 'x-request-id', 'traceparent',
           'Host', 'X-A', 'Set-Cookie', '', 'a b']
TRACES = ['00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01', '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00',
          '00-00000000000000000000000000000000-00f067aa0ba902b7-01', '00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01',
          '00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01', '01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more',
          'ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01', '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-03',
          '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-02', '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-09',
          '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7', '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x',
          ' 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01', '0-1-2-3', '', '01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-ff',
          '01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01', 'cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-81-a-b',
          '01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01more', '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-']
OPTIONS = ['{}', '{}', '{}', '{"redact":{"http_urlquery":%s,"http_userinfo":%s,"kafka_apikey":%s,"headers_allow":%s,"headers_deny":%s}}']


class Records:
    def __init__(self, rng, world):
        self.rng, self.world = rng, world
        self.ips = [ip for ep in world['endpoints'] for ip in ep['ips']] + [m['ip'] for m in world['k8s_metadata']]
        self.ips += [s['ip'] for s in world['services']] + ['1.1.1.1', '2606:4700:4700::1111', '8.8.8.8', '203.0.113.9', '2001:db8::1']

    def chance(self, p):
        return self.rng.random() < p

    def word(self):
        return self.rng.choice(WORDS)

    def options(self):
        text = self.rng.choice(OPTIONS)
        if '%s' not in text:
            return text
        lists = self.rng.choice([([], []), (['accept', 'LOWER-case'], []), ([], ['authorization', 'Cookie']), (['X-Request-Id'], []), (['', 'a b'], [])])
        switches = tuple(self.rng.choice(['true', 'false']) for _ in range(3))
        return text % (switches + tuple(json.dumps(names, separators=(',', ':')) for names in lists))

    def address(self, version):
        r = self.rng.random()
        if r < 0.85:
            return self.rng.choice([ip for ip in self.ips if (':' in ip) == (version == 1)] or [''])
        return self.rng.choice(['', 'x', '10.0.0.012', '::ffff:10.0.0.12', 'fd00::000c', 'FD00::C', 'fe80::1%eth0', '10.0.0.12:80', '256.1.1.1',
                                '1.2.3', '0.0.0.0', '::', '::1.2.3.4', self.rng.choice(self.ips), '2001:db8:0:0:1:0:0:1', '1:0:0:2:0:0:0:3'])

    def label(self):
        if self.chance(0.1):
            return {'source': 'cidr', 'key': self.rng.choice(['10.0.0.0/8', '10.1.0.0/16', '0.0.0.0/0', 'fd00--/64']), 'value': ''}
        return {'source': self.rng.choice(['k8s', 'k8s', 'reserved', 'container', 'any', '', 'unspec']),
                'key': self.rng.choice(['app', 'io.cilium.k8s.policy.cluster', 'host', 'a.b/c', 'x=y', 'z']),
                'value': self.rng.choice(['', 'web', 'kind-1', 'kind-2', 'a=b', '\u00e9'])}

    def endpoint(self, version):
        r = self.rng
        out = {'IPv4': '', 'IPv6': ''}
        out['IPv6' if version == 1 else 'IPv4'] = self.address(version)
        if self.chance(0.5):
            out['IPv4' if version == 1 else 'IPv6'] = self.address(1 - version)
        mine = [ep['id'] for ep in self.world['endpoints'] if out['IPv6' if version == 1 else 'IPv4'] in ep['ips']]
        if self.chance(0.9):  # who has the address of an endpoint is that endpoint
            out['ID'] = mine[0] if mine else r.choice([0, 0, 1, 65535])
        if self.chance(0.85):
            out['Identity'] = r.choice([30500, 30501, 1, 2, 16777217, 0, 2**32 - 1, 2**32 + 7, 2**64 - 1])
        if self.chance(0.85):
            out['Port'] = r.choice([80, 443, 53, 8080, 40000, 0, 65535, 30080, 8443])
        if self.chance(0.7):
            labels = [self.label() for _ in range(r.choice([0, 1, 2, 3, 6]))]
            out['Labels'] = [x for i, x in enumerate(labels) if all(x['key'] != y['key'] for y in labels[:i])]
        return out

    def http(self):
        r = self.rng
        out, url = {}, None
        if self.chance(0.9):
            out['Code'] = r.choice([0, 200, 404, 503, 100, 999, 2**31, 2**32 - 1])
        for key in ('Method', 'Protocol'):
            if self.chance(0.9):
                out[key] = self.word()
        if self.chance(0.9):
            headers = {}
            for _ in range(r.choice([0, 1, 2, 4])):
                name = r.choice(HEADERS)
                values = TRACES if name.lower() == 'traceparent' else ['id-1', 'id-2', 'id-3', ''] if name.lower() == 'x-request-id' else WORDS
                headers[name] = [r.choice(values) for _ in range(r.choice([0, 1, 1, 1, 2]))]
            out['Headers'] = headers
        if self.chance(0.9):
            url = {'Scheme': r.choice(SCHEMES), 'Host': r.choice(HOSTS), 'Path': r.choice(PATHS)}
        if self.chance(0.1):
            out['MissingHeaders'] = {'X-A': ['b']}
            out['RejectedHeaders'] = {'X-C': []}
        return out, url

    def dns(self):
        r, out = self.rng, {}
        types = [1, 28, 5, 15, 16, 33, 12, 2, 6, 65, 64, 255, 0, 41, 257, 65535, 43, 46]
        if self.chance(0.9):
            out['Query'] = r.choice(NAMES + WORDS)
        if self.chance(0.7):
            out['IPs'] = [r.choice(['1.1.1.1', '2606:4700:4700::1111', '', '::ffff:1.2.3.4', 'fe80::1%eth0', '0.0.0.0', '::',
                                    '2001:db8:0:0:1:0:0:1']) for _ in range(r.choice([0, 1, 1, 2, 4]))]
        if self.chance(0.8):
            out['TTL'] = r.choice([0, 1, 30, 86400, 2**31, 2**32 - 1])
        if self.chance(0.4):
            out['CNAMEs'] = [r.choice(NAMES + WORDS) for _ in range(r.choice([0, 1, 2]))]
        if self.chance(0.9):
            out['ObservationSource'] = r.choice(['proxy', 'agent', '', 'standalone-proxy', 'Proxy', 'x'])
        if self.chance(0.6):
            out['RCode'] = r.choice(list(range(0, 24)) + [0, 0, 0, 255, 4095, 65535, -1, 2**31, 2**32, 256, 259])
        if self.chance(0.9):
            out['QTypes'] = [r.choice(types) for _ in range(r.choice([0, 1, 1, 2]))]
        if self.chance(0.6):
            out['AnswerTypes'] = [r.choice(types) for _ in range(r.choice([0, 1, 2, 3]))]
        return out

    def kafka(self):
        r, out = self.rng, {}
        pools = {'ErrorCode': [0, 1, -1, 2**31, 2**40, -2**31], 'APIVersion': [0, 5, -1, 32767, -32768], 'APIKey': WORDS,
                 'CorrelationID': [0, 1, -1, 2**31 - 1, -2**31], 'Topic': [{}] + [{'Topic': w} for w in WORDS]}
        for key, values in pools.items():
            if self.chance(0.8):
                out[key] = r.choice(values)
        return out

    def generic(self):
        r, out = self.rng, {}
        if self.chance(0.9):
            out['Proto'] = self.word()
        if self.chance(0.8):
            out['Fields'] = {r.choice(WORDS + ['k1', 'k2', 'k10', 'K']): self.word() for _ in range(r.choice([0, 1, 2, 4]))}
        return out

    def record(self):
        r = self.rng
        version = r.choice([0, 0, 0, 1, 1])
        record = {'Timestamp': r.choice(TIMES) if self.chance(0.93) else r.choice(ODD_TIMES), 'IPVersion': version}
        url = None
        pools = {'Type': ['Request', 'Request', 'Request', 'Response', 'Response', 'Response', 'Sample', '', 'request', 'x'],
                 'ObservationPoint': ['Ingress', 'Egress', '', 'ingress'],
                 'Verdict': ['Forwarded', 'Denied', 'Error', 'Redirected', '', 'x', 'forwarded'],
                 'TransportProtocol': [6, 17, 6, 17, 132, 0, 1, 58, 256 + 6, 65535],
                 'Info': WORDS, 'Metadata': [[], ['a', 'b']], 'FlowEvent': ['', 'FlowAdded'], 'DropReason': [None, 0, 5],
                 'ServiceInfo': [None, {'Name': 'x', 'IPPort': {'IP': '1.2.3.4', 'Port': 5}}],
                 'NodeAddressInfo': [{}, {'IPv4': '192.168.10.1', 'IPv6': 'fd10::1'}]}
        for key, values in pools.items():
            if self.chance(0.85):
                record[key] = r.choice(values)
        for side in ('SourceEndpoint', 'DestinationEndpoint'):
            if self.chance(0.95):
                record[side] = self.endpoint(version)
        if self.chance(0.4):
            record['HTTP'], url = self.http()
        elif self.chance(0.55):
            record['DNS'] = self.dns()
        elif self.chance(0.5):
            record['Kafka'] = self.kafka()
        elif self.chance(0.8):
            record['L7'] = self.generic()
        if self.chance(0.06):
            record['DNS'] = self.dns()
        if self.chance(0.03):
            record['Kafka'] = self.kafka()
        if self.chance(0.03):
            record['L7'] = self.generic()
        return json.dumps({'Record': record, 'URL': url}).replace('\t', ' ')

    def notification(self):
        r = self.rng
        number = r.choice(list(range(0, 11)) * 3 + [11, 255, 2**32 - 1])
        kinds = {2: 'start', 3: 'regenerate', 4: 'regenerate', 5: 'policy', 6: 'policy', 7: 'endpoint', 8: 'endpoint', 9: 'ipcache', 10: 'ipcache'}
        kind = kinds.get(number, 'other')
        big = [0, 1, 7, 2**31, 2**32, 2**53 + 1, 2**63 - 1]
        texts = [[], ['k8s:app=web'], WORDS[:18], None]
        pools = {
            'start': {'time': TIMES + ODD_TIMES},
            'policy': {'labels': texts, 'revision': big, 'rule_count': big + [-1]},
            'regenerate': {'id': big, 'labels': texts, 'error': WORDS},
            'endpoint': {'id': big, 'labels': texts, 'error': WORDS, 'pod-name': WORDS, 'namespace': WORDS},
            'ipcache': {'cidr': ['10.0.0.0/8', '', 'fd00::/8', 'x'], 'id': [0, 1, 16777217, 2**32 - 1], 'old-id': [None, 0, 5, 2**32 - 1],
                        'host-ip': [None, '10.0.0.1', 'fd00::1', '::ffff:1.2.3.4', ''], 'old-host-ip': [None, '10.0.0.1', 'fd00::1', ''],
                        'encrypt-key': [0, 1, 255], 'namespace': WORDS, 'pod-name': WORDS},
        }.get(kind)
        if pools is None:
            value = r.choice([{}, [], None, 1, 1.5, 'x', '<b>&\u2028', {'a': [1, {'b': None}], 'z': '\u00e9'}, {'time': 'x'}, {'rule_count': 1}, 2**64, 1e300])
        else:
            value = {key: r.choice(values) for key, values in pools.items() if self.chance(0.8)}
        return json.dumps({'Type': number, 'Kind': kind, 'Notification': value}).replace('\t', ' ')

    def payloads(self):
        """What comes on the monitor socket: samples and losses, members that are zero among them."""
        r, out = self.rng, []
        for _ in range(r.choice([0, 1, 2, 5, 40])):
            size = r.choice([0, 1, 2, 20, 127, 128, 129, 300, 65535, 65536, 70000, 300000]) if self.chance(0.1) else r.randrange(200)
            out.append({'data': bytes(r.getrandbits(8) for _ in range(size)).hex(), 'cpu': r.choice([0, 1, 7, 63, 64, 127, 128, -1, 2**31 - 1, 2**31, 2**40]),
                        'lost': r.choice([0, 0, 0, 1, 127, 128, 2**31, 2**53]), 'type': r.choice([9, 9, 9, 9, 2, 2, 0, 1, 255, -9])})
        return json.dumps(out)

    def lost(self):
        r = self.rng
        out = {'source': r.choice([0, 1, 2, 3, 4, -1, 99]), 'num_events_lost': r.choice([0, 1, 1000, 2**32, 2**53]), 'cpu': r.choice([0, 1, 127])}
        for key in ('first', 'last'):
            if self.chance(0.4):
                out[key] = r.choice(TIMES[:6])
        return json.dumps(out)
