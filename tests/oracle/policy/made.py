"""Worlds, policies and connections that were made up, for against.py: few names, so that much of it meets."""
import copy
import json
import re

KEYS = ['app', 'tier', 'env']
VALUES = {'app': ['web', 'api', 'db'], 'tier': ['front', 'back'], 'env': ['prod', 'dev']}
NAMESPACES = ['default', 'a', 'b', 'kube-system']
PORTS = [53, 80, 443, 8080, 8081, 8443]
NAMES = ['http', 'dns', 'metrics', 'web-1']
ADDRESSES = ['10.1.2.3', '10.1.2.200', '10.1.9.9', '10.200.0.1', '192.0.2.7', '203.0.113.9', '8.8.8.8', '2001:db8::1', '2001:db8:1::5',
             '172.19.0.9']
BLOCKS = ['10.0.0.0/8', '10.1.0.0/16', '10.1.2.0/24', '10.1.2.3/32', '10.1.2.128/25', '0.0.0.0/0', '192.0.2.0/24', '203.0.113.9/32',
          '2001:db8::/32', '2001:db8::1/128', '::/0', '10.1.2.7/24', '172.19.0.0/16', '8.8.8.0/22', '128.0.0.0/1', '10.1.2.3']
FQDNS = ['api.example.com', 'www.example.com', 'a.b.example.com', 'example.com', 'db.internal', 'Mixed.Example.com']
PATTERNS = ['*', '*.example.com', '**.example.com', 'api.*', '*api*.example.com', 'a*.com', '***.example.com', '*.*.com', 'Api.Example.com',
            '*.EXAMPLE.com', 'www.example.com.', '*.com', '**', '*.example.com.', 'a.b.*.com', 'w*w.example.com']
ENTITIES = ['all', 'world', 'cluster', 'host', 'init', 'ingress', 'unmanaged', 'remote-node', 'health', 'none', 'kube-apiserver']
ICMP_NAMES = ['EchoReply', 'Echo', 'EchoRequest', 'DestinationUnreachable', 'PacketTooBig', 'NeighborSolicitation', 'TimeExceeded',
              'ParameterProblem', 'ExtendedEchoRequest', 'Redirect', 'RouterSelection']


class Made:
    """What questions are made of."""

    def __init__(self, rng):
        self.rng = rng

    def some(self, values, least=1, most=3):
        return self.rng.sample(values, min(len(values), self.rng.randint(least, most)))

    def chance(self, p):
        return self.rng.random() < p

    def addresses(self, world):
        return ADDRESSES if world['dualStack'] else [a for a in ADDRESSES if ':' not in a]

    # --- the world --------------------------------------------------------------------------------

    def labels(self, p=0.7):
        return {k: self.rng.choice(VALUES[k]) for k in KEYS if self.chance(p)}

    def pod_labels(self):
        all_ = self.labels()
        for k in ('pod-template-hash', 'app.kubernetes.io/name', 'k8s.io/x', 'kubernetes.io/y',
                  'io.kubernetes.z', 'statefulset.kubernetes.io/pod-name', 'example.com/team', 'io.cilium.k8s.policy.w', 'annotation.q'):
            if self.chance(0.08):
                all_[k] = self.rng.choice(['x', 'y'])
        return all_

    def world(self):
        dual = self.chance(0.3)
        cluster = self.rng.choice(['default', 'kind', 'c-1'])
        w = {'name': 'made', 'cluster': cluster, 'dualStack': dual, 'hostFirewall': self.chance(0.5),
             'namespaces': [], 'nodes': [], 'pods': [], 'specials': [], 'services': [], 'cidrGroups': [], 'fqdns': [], 'external': []}
        for n in NAMESPACES:
            labels = {'kubernetes.io/metadata.name': n}
            labels.update(self.labels(0.4))
            w['namespaces'].append({'name': n, 'labels': labels})
        for i in range(3):
            labels = self.labels(0.5)
            if self.chance(0.3):
                labels[self.rng.choice(['kubernetes.io/hostname', 'node-role.kubernetes.io/cp', 'zone'])] = 'x'
            w['nodes'].append({'name': 'n%d' % i, 'local': i == 0, 'kubeApiserver': self.chance(0.3), 'labels': labels,
                               'ips': ['172.19.0.%d' % (i + 2)]})
        for i in range(self.rng.randint(6, 10)):
            ports = [{'name': n, 'port': self.rng.choice(PORTS), 'protocol': self.rng.choice(['TCP', 'TCP', 'UDP', 'SCTP'])}
                     for n in self.some(NAMES, 0, 3)]
            p = {'namespace': self.rng.choice(NAMESPACES), 'name': 'p%d' % i, 'labels': self.pod_labels(),
                 'serviceAccount': self.rng.choice(['default', 'sa']), 'node': 'n0', 'ips': ['10.1.2.%d' % (20 + i)], 'ports': ports}
            if self.chance(0.2):
                p['cluster'] = 'far'
            w['pods'].append(p)
        for i, (name, entity) in enumerate([('health', 'health'), ('ingress', 'ingress'), ('init-pod', 'init'),
                                            ('unmanaged-pod', 'unmanaged')]):
            w['specials'].append({'name': name, 'entity': entity, 'ip': '10.1.2.%d' % (240 + i)})
        for i in range(self.rng.randint(0, 4)):
            s = {'name': 's%d' % self.rng.randint(0, 3), 'namespace': self.rng.choice(NAMESPACES), 'labels': self.labels(),
                 'selector': self.labels(0.4) if self.chance(0.6) else {}, 'backends': self.some(self.addresses(w), 0, 3)}
            if self.chance(0.15):
                s['backends'].append(self.rng.choice(w['pods'])['ips'][0])
            if (s['namespace'], s['name']) not in [(o['namespace'], o['name']) for o in w['services']]:
                w['services'].append(s)
        for i in range(self.rng.randint(0, 3)):
            w['cidrGroups'].append({'name': 'g%d' % i, 'labels': self.labels(0.5), 'externalCIDRs': self.some(BLOCKS[:-1], 0, 3)})
        for n in self.some(FQDNS, 0, 4):
            w['fqdns'].append({'name': n, 'ips': self.some(self.addresses(w), 1, 2)})
        for a in self.addresses(w):
            if self.chance(0.6):
                w['external'].append({'ip': a, 'kubeApiserver': self.chance(0.1)})
        return w

    # --- selectors --------------------------------------------------------------------------------

    def key(self, cilium):
        k = self.rng.choice(KEYS)
        if not cilium:
            if self.chance(0.08):  # not longer than 28 bytes: docs/policy.md
                return self.rng.choice(['io.cilium.k8s.policy.cluster', 'io.kubernetes.pod.namespace', 'pod-template-hash',
                                        'app.kubernetes.io/name', 'example.com/team'])
            return k
        if self.chance(0.25):
            k = self.rng.choice(['io.kubernetes.pod.namespace', 'io.cilium.k8s.namespace.labels.env',
                                 'io.cilium.k8s.namespace.labels.kubernetes.io/metadata.name', 'io.cilium.k8s.policy.cluster',
                                 'io.cilium.k8s.policy.serviceaccount', 'app.kubernetes.io/name', 'pod-template-hash',
                                 'io.cilium.k8s.namespace.labels.app'])
        source = self.rng.choice(['', '', 'k8s:', 'any:', 'k8s.', 'any.'] if self.chance(0.9) else ['container:', 'cidrgroup:', ':', 'x:'])
        return source + k

    def value(self, key):
        for k in KEYS:
            if key.endswith(k) and self.chance(0.95):
                return self.rng.choice(VALUES[k])
        if 'namespace' in key:
            return self.rng.choice(NAMESPACES)
        if 'cluster' in key:
            return self.rng.choice(['default', 'kind', 'c-1', 'far'])
        if 'serviceaccount' in key:
            return self.rng.choice(['default', 'sa'])
        return self.rng.choice(['x', 'y', 'web', ''])

    def expression(self, cilium):
        k = self.key(cilium)
        op = self.rng.choice(['In', 'NotIn', 'Exists', 'DoesNotExist'])
        e = {'key': k, 'operator': op}
        if op in ('In', 'NotIn'):
            e['values'] = sorted({self.value(k) for _ in range(self.rng.randint(1, 3))})
        return e

    def selector(self, cilium=True, reserved=0.06):
        s = {}
        if cilium and self.chance(reserved):
            r = self.rng.choice(['reserved:' + e for e in ('host', 'world', 'init', 'health', 'ingress', 'remote-node', 'kube-apiserver',
                                                           'unmanaged', 'world-ipv4', 'world-ipv6', 'none')] + ['reserved.init'])
            if self.chance(0.5):
                s['matchLabels'] = {r: ''}
            else:
                s['matchExpressions'] = [{'key': r, 'operator': self.rng.choice(['Exists', 'DoesNotExist'])}]
        if self.chance(0.6):
            for k in (self.key(cilium) for _ in range(self.rng.randint(1, 2))):
                # of "app", "any:app" and ":app" with two values the agent takes one, now this, now that
                if re.sub('^(any)?:', '', k) not in [re.sub('^(any)?:', '', o) for o in s.get('matchLabels', {})]:
                    s.setdefault('matchLabels', {})[k] = self.value(k)
        if self.chance(0.3):
            s.setdefault('matchExpressions', []).extend(self.expression(cilium) for _ in range(self.rng.randint(1, 2)))
        return s

    # --- Cilium's rules ---------------------------------------------------------------------------

    def cidr_set(self, world):
        def one():
            pick = self.rng.random()
            if pick < 0.6 or not world['cidrGroups']:
                c = {'cidr': self.rng.choice(BLOCKS[:-1])}
                if self.chance(0.4):
                    c['except'] = [b for b in self.some(BLOCKS[:-1], 1, 2) if inside(b, c['cidr'])]
                return c
            if pick < 0.8:
                c = {'cidrGroupRef': self.rng.choice(['g0', 'g1', 'g2', 'nobody'])}
            else:
                c = {'cidrGroupSelector': self.group_selector()}
            if self.chance(0.2):
                c['except'] = self.some(BLOCKS[:-1], 1, 2)
            return c
        return [one() for _ in range(self.rng.randint(0 if self.chance(0.1) else 1, 2))]

    def group_selector(self):
        s = {}
        if self.chance(0.7):
            k = self.rng.choice(KEYS + ['io.cilium.policy.cidrgroupname/g0', 'cidrgroup:app'])
            s['matchLabels'] = {k: '' if 'cidrgroup' in k else self.rng.choice(VALUES[k])}
        if self.chance(0.4):
            s['matchExpressions'] = [self.expression(False)]
        return s

    def service(self):
        if self.chance(0.5):
            r = {'serviceName': self.rng.choice(['s0', 's1', 's2', 's3'])}
            if self.chance(0.7):
                r['namespace'] = self.rng.choice(NAMESPACES)
            return {'k8sService': r}
        r = {'selector': self.selector(False)}  # no "k8s:app": docs/policy.md
        if self.chance(0.5):
            r['namespace'] = self.rng.choice(NAMESPACES)
        return {'k8sServiceSelector': r}

    def fqdn(self):
        return {'matchName': self.rng.choice(FQDNS)} if self.chance(0.4) else {'matchPattern': self.rng.choice(PATTERNS)}

    def port(self, l7=None):
        p = {'port': str(self.rng.choice(PORTS))}
        pick = self.rng.random()
        if pick < 0.15:
            p['port'] = self.rng.choice(NAMES + ['HTTP', 'nobody'])
        elif pick < 0.25 and not l7:
            p['port'] = '0'
        if self.chance(0.2) and l7 != 'dns' and p['port'].isdigit():
            p['endPort'] = self.rng.choice(PORTS + [65535, 90, 0, 100])
        if l7 and l7 != 'dns':
            p['protocol'] = 'TCP'
        elif self.chance(0.7):
            p['protocol'] = self.rng.choice(['TCP', 'TCP', 'TCP', 'UDP', 'SCTP', 'ANY'])
        return p

    def l7(self, ingress):
        kind = self.rng.choice(['http', 'kafka', 'dns', 'l7', 'empty'])
        if kind == 'dns' and ingress:
            kind = 'http'
        if kind == 'http':
            return kind, {'http': [{'path': '/x', 'method': 'GET'}] if self.chance(0.8) else [{}]}
        if kind == 'kafka':
            return kind, {'kafka': [{'topic': 't'}]}
        if kind == 'dns':
            return kind, {'dns': [self.fqdn()]}
        if kind == 'l7':
            return kind, {'l7proto': self.rng.choice(['pg', 'mine']), 'l7': [{'a': 'b'}]} if self.chance(0.7) else {'l7proto': 'pg'}
        return None, {self.rng.choice(['http', 'kafka', 'dns']): []}

    def to_port(self, ingress, deny):
        l7, t = None, {}
        if not deny and self.chance(0.25):
            l7, t['rules'] = self.l7(ingress)
        if not deny and self.chance(0.08) and (l7 is None or self.chance(0.3)):
            t['serverNames'] = self.some(['a.example.com', '*.example.com', 'b'], 1, 2)
        if not deny and self.chance(0.06):
            t[self.rng.choice(['terminatingTLS', 'originatingTLS'])] = {'secret': {'name': self.rng.choice(['x', 'y']), 'namespace': 'a'}}
        if not deny and not ingress and not l7 and self.chance(0.1):
            t['listener'] = {'name': self.rng.choice(['l1', 'l2']),
                             'envoyConfig': {'kind': 'CiliumClusterwideEnvoyConfig', 'name': self.rng.choice(['e1', 'e2'])}}
            if self.chance(0.5):
                t['listener']['priority'] = self.rng.choice([1, 50, 100])
        ports = [self.port(l7) for _ in range(self.rng.randint(1 if self.chance(0.95) else 0, 2))]
        if ports or self.chance(0.5):
            t['ports'] = ports
        return t

    def icmp(self):
        def field():
            f = {'type': self.rng.choice([0, 3, 8, 128, 135, '8', '128'] if self.chance(0.6) else ICMP_NAMES)}
            if self.chance(0.6):
                f['family'] = self.rng.choice(['IPv4', 'IPv6'])
            return f
        return {'fields': [field() for _ in range(self.rng.randint(1, 2))]}

    def rule(self, world, ingress, deny):
        way = 'from' if ingress else 'to'
        r = {}
        pick = self.rng.random()
        if pick < 0.35:
            r[way + 'Endpoints'] = [self.selector() for _ in range(self.rng.randint(0 if self.chance(0.1) else 1, 2))]
        elif pick < 0.55:
            r[way + 'Entities'] = self.some(ENTITIES, 0 if self.chance(0.1) else 1, 2)
        elif pick < 0.65:
            r[way + 'CIDR'] = self.some(BLOCKS, 0 if self.chance(0.1) else 1, 2)
        elif pick < 0.8:
            r[way + 'CIDRSet'] = self.cidr_set(world)
        elif pick < 0.88 and not ingress:
            if self.chance(0.5) and not deny:
                r['toFQDNs'] = [self.fqdn() for _ in range(self.rng.randint(1, 2))]
            else:
                r['toServices'] = [self.service() for _ in range(self.rng.randint(1, 2))]
        if self.chance(0.65):
            r['toPorts'] = [self.to_port(ingress, deny) for _ in range(self.rng.randint(1, 2))]
        elif self.chance(0.3):
            r['icmps'] = [self.icmp()]
        if not deny and self.chance(0.06):
            r['authentication'] = {'mode': self.rng.choice(['required', 'disabled', 'test-always-fail'])}
        return r

    def spec(self, world, clusterwide):
        s = {}
        node = clusterwide and self.chance(0.25)
        s['nodeSelector' if node else 'endpointSelector'] = self.selector(True, 0.1 if clusterwide else 0.02) if self.chance(0.6) else {}
        for section in ('ingress', 'ingressDeny', 'egress', 'egressDeny'):
            if self.chance(0.45 if 'Deny' not in section else 0.25):
                s[section] = [self.rule(world, section.startswith('ingress'), 'Deny' in section)
                              for _ in range(self.rng.randint(0 if self.chance(0.1) else 1, 2))]
        if not any(s.get(k) for k in ('ingress', 'ingressDeny', 'egress', 'egressDeny')):
            s['ingress'] = [self.rule(world, True, False)]
        if self.chance(0.2):
            s['enableDefaultDeny'] = {d: self.chance(0.4) for d in self.some(['ingress', 'egress'], 1, 2)}
        return s

    def cilium(self, world, i):
        clusterwide = self.chance(0.35)
        o = {'apiVersion': 'cilium.io/v2', 'kind': 'CiliumClusterwideNetworkPolicy' if clusterwide else 'CiliumNetworkPolicy',
             'metadata': {'name': 'c%d' % i}}
        if not clusterwide:
            o['metadata']['namespace'] = self.rng.choice(NAMESPACES)
        if self.chance(0.85):
            o['spec'] = self.spec(world, clusterwide)
        if 'spec' not in o or self.chance(0.05):
            o['specs'] = [self.spec(world, clusterwide) for _ in range(self.rng.randint(1, 2))]
        return o

    # --- NetworkPolicy ----------------------------------------------------------------------------

    def kube_rule(self, way):
        r = {}
        if self.chance(0.85):
            r[way] = []
            for _ in range(self.rng.randint(0, 2)):
                pick = self.rng.random()
                if pick < 0.3:
                    block = {'cidr': self.rng.choice(BLOCKS[:-1])}
                    if self.chance(0.4):
                        block['except'] = [b for b in BLOCKS[:-1] if inside(b, block['cidr'], 1) and self.chance(0.4)]
                    r[way].append({'ipBlock': block})
                    continue
                p = {}
                if pick < 0.8:
                    p['podSelector'] = self.selector(False)
                if pick > 0.55:
                    p['namespaceSelector'] = self.selector(False)
                r[way].append(p)
        if self.chance(0.6):
            r['ports'] = []
            for _ in range(self.rng.randint(0, 2)):
                p = {}
                if self.chance(0.85):
                    p['port'] = self.rng.choice(PORTS) if self.chance(0.75) else self.rng.choice(NAMES)
                    if isinstance(p['port'], int) and self.chance(0.2):
                        p['endPort'] = self.rng.choice([q for q in PORTS + [65535] if q >= p['port']])
                if self.chance(0.6):
                    p['protocol'] = self.rng.choice(['TCP', 'UDP', 'SCTP'])
                r['ports'].append(p)
        return r

    def kube(self, i):
        s = {'podSelector': self.selector(False) if self.chance(0.7) else {}}
        if self.chance(0.7):
            s['ingress'] = [self.kube_rule('from') for _ in range(self.rng.randint(0, 2))]
        if self.chance(0.4):
            s['egress'] = [self.kube_rule('to') for _ in range(self.rng.randint(0, 2))]
        if self.chance(0.6):
            s['policyTypes'] = self.some(['Ingress', 'Egress'], 1, 2)
        return {'apiVersion': 'networking.k8s.io/v1', 'kind': 'NetworkPolicy',
                'metadata': {'name': 'k%d' % i, 'namespace': self.rng.choice(NAMESPACES)}, 'spec': s}

    # --- rules that meet --------------------------------------------------------------------------

    def peer(self, world, ingress):
        """One of a handful of peers, which contain each other."""
        way = 'from' if ingress else 'to'
        peers = [{}, {way + 'Endpoints': [{}]}, {way + 'Endpoints': [{'matchLabels': {'app': 'web'}}]}, {way + 'Entities': ['all']},
                 {way + 'Entities': ['cluster']}, {way + 'Entities': ['world']}, {way + 'Entities': ['host']}, {way + 'CIDR': ['0.0.0.0/0']},
                 {way + 'CIDR': ['10.0.0.0/8']}, {way + 'CIDRSet': [{'cidr': '10.1.0.0/16', 'except': ['10.1.2.0/25']}]},
                 {way + 'CIDRSet': [{'cidrGroupRef': 'g0'}]}, {way + 'CIDRSet': [{'cidrGroupSelector': {}}]}]
        if not ingress:
            peers += [{'toFQDNs': [{'matchPattern': '*'}]}, {'toFQDNs': [{'matchName': 'api.example.com'}]}]
        return copy.deepcopy(self.rng.choice(peers))

    def meeting(self, world, i):
        """A policy of few ports, for whoever is in the cluster: what its rules ask for meets what others do."""
        def port(l7):
            p = {'port': self.rng.choice(['80', '80', '443', '64', '0', 'http', 'dns', 'web-1'] if l7 is None else ['80', '443', 'http', '64']),
                 'protocol': 'TCP'}
            if l7 != 'dns' and p['port'].isdigit() and self.chance(0.4):
                p['endPort'] = self.rng.choice([80, 100, 127, 443, 500, 65535])
                if p['endPort'] < int(p['port']):
                    del p['endPort']
            if l7 in (None, 'dns') and self.chance(0.3):
                p['protocol'] = self.rng.choice(['ANY', 'UDP'])
            return p

        def rule(ingress, deny):
            r = self.peer(world, ingress)
            if deny:
                r.pop('toFQDNs', None)
            if self.chance(0.85):
                l7, entry = None, {}
                if not deny and self.chance(0.4):
                    l7, entry['rules'] = self.l7(ingress)
                if not deny and l7 is None and 'rules' not in entry and self.chance(0.2):
                    entry['serverNames'] = ['a.example.com']
                if not deny and l7 is None and 'rules' not in entry and not ingress and self.chance(0.2):
                    entry['listener'] = {'name': self.rng.choice(['l1', 'l2']),
                                         'envoyConfig': {'kind': 'CiliumClusterwideEnvoyConfig', 'name': 'e'}}
                    if self.chance(0.6):
                        entry['listener']['priority'] = self.rng.choice([1, 50, 100])
                entry['ports'] = [port(l7) for _ in range(self.rng.randint(1, 2))]
                r['toPorts'] = [entry]
            if not deny and self.chance(0.15):
                r['authentication'] = {'mode': self.rng.choice(['required', 'disabled', 'test-always-fail'])}
            return r
        s = {'endpointSelector': {} if self.chance(0.7) else {'matchLabels': {'app': self.rng.choice(VALUES['app'])}}}
        ingress = self.chance(0.4)
        way = 'ingress' if ingress else 'egress'
        s[way] = [rule(ingress, False) for _ in range(self.rng.randint(1, 3))]
        if self.chance(0.35):
            s[way + 'Deny'] = [rule(ingress, True)]
        if self.chance(0.2):
            s['enableDefaultDeny'] = {way: False}
        return {'apiVersion': 'cilium.io/v2', 'kind': 'CiliumClusterwideNetworkPolicy', 'metadata': {'name': 'm%d' % i}, 'spec': s}

    # --- questions --------------------------------------------------------------------------------

    def policies(self, world):
        return [self.kube(i) if self.chance(0.3) else self.cilium(world, i) for i in range(self.rng.randint(1, 4))]

    def connections(self, world, n, ports=None):
        ends = ['%s/%s' % (p['namespace'], p['name']) for p in world['pods']] * 2
        ends += ['node:' + n['name'] for n in world['nodes']] + [s['name'] for s in world['specials']]
        out = []
        for _ in range(n):
            src, dst = self.rng.choice(ends), self.rng.choice(ends)
            if self.chance(0.25):
                src = self.rng.choice(self.addresses(world))
            elif self.chance(0.35):
                dst = self.rng.choice(self.addresses(world))
            if src == dst:
                continue
            proto = self.rng.choice(['TCP'] * 4 + ['UDP', 'UDP', 'SCTP', 'ICMP', 'ICMPv6'])
            port = self.rng.choice([3, 8, 128, 135, 42] if proto.startswith('ICMP') else ports or PORTS + [1, 81, 90, 65535])
            out.append([src, dst, proto, port])
        return out

    # --- damage -----------------------------------------------------------------------------------

    ODD = [None, '', 0, 1, -1, 80, 65536, True, False, [], {}, [''], [{}], 'x', 'x' * 64, 'a' * 300, '080', '0x50', 'any', 'tcp', 'TCP', '*',
           '10.0.0.0/8', '10.0.0.1', '::1', '010.0.0.0/8', '10.0.0.0/33', 'world', 'a_b', 'A.b', '-a', 'a-', 'a--b', 'io.kubernetes.pod.namespace',
           'reserved:init', 'k8s:', ':x', 'a:b:c', 1.5, 'In', 'Exists', 'required', 'IPv4', 'EchoRequest', '255', '256', 'GET', '(', 'consume',
           'Fetch', '\u00e9', 'a/b', 'a/b/c', 'Ingress', 'LOG', 'CiliumEnvoyConfig', '**.x', '*.x', 'x.', '.', '..', '*x.y', 'x*']
    NEW = {'endPort': [90, '90', 65536], 'priority': [0, 1, 100, 101], 'protocol': ['VRRP', 'IGMP', 'tcp', 'ICMP', ''], 'family': ['IPv6', 'IPv7'],
           'rules': [{'http': []}, {'http': [], 'dns': []}, {'l7proto': 'x'}, {'l7': [{}]}, {}, {'l7proto': 'x', 'l7': [{'': 'y'}]},
                     {'kafka': [{'role': 'produce'}]}, {'kafka': [{'apiKey': 'fetch', 'apiVersion': '1'}]}, {'dns': [{'matchPattern': '*'}]},
                     {'http': [{'headerMatches': [{'name': 'x', 'mismatch': 'ADD', 'secret': {'name': 's'}}]}]},
                     {'http': [{'path': '[', 'headers': ['x: y']}]}, {'http': [{'method': '.*', 'host': '('}]}],
           'serverNames': [[], [''], ['x', 'x'], ['*.x'], ['*'], ['x..y'], ['x.']], 'log': [{'value': 'x'}, {'value': 'x' * 33}, {'value': ''}],
           'toFQDNs': [[], [{}], [{'matchName': ''}], [{'matchName': 'x', 'matchPattern': 'y'}], [{'matchPattern': '*'}]],
           'fromRequires': [[], ['x'], [{}]], 'fromNodes': [[], [{}]], 'toNodes': [[], [{}]], 'fromGroups': [[], [{}], [{'aws': {}}]],
           'toServices': [[], [{}], [{'k8sService': {}}], [{'k8sServiceSelector': {}}], [{'k8sServiceSelector': {'selector': {}}}]],
           'authentication': [{}, {'mode': ''}, {'mode': 'required'}, {'mode': 'x'}], 'icmps': [[], [{}], [{'fields': []}],
                                                                                                [{'fields': [{'type': 8}]}]],
           'toPorts': [[], [{}], [{'ports': []}], [{'ports': [{'port': '0'}]}], [{'ports': [{'port': '80', 'protocol': 'UDP'}]}]],
           'listener': [{}, {'name': 'x'}, {'name': 'x', 'envoyConfig': {'name': 'y'}}, {'name': 'x', 'envoyConfig': {'kind': 'X', 'name': 'y'}},
                        {'name': 'x', 'envoyConfig': {'kind': 'CiliumEnvoyConfig', 'name': 'y'}}],
           'terminatingTLS': [{}, {'secret': {}}, {'secret': {'name': 'x'}}, {'secret': {'name': 'x', 'namespace': 'y'}, 'certificate': 'c'}],
           'originatingTLS': [{'secret': {'name': 'x'}, 'trustedCA': 1}], 'labels': [[], [{}], [{'key': 'x'}], [{'key': '', 'value': 'y'}]],
           'enableDefaultDeny': [{}, {'ingress': True}, {'egress': None}, {'x': True}], 'description': ['x', 1], 'specs': [[], [{}], None],
           'nodeSelector': [{}, None], 'endpointSelector': [{}, None], 'fromCIDRSet': [[{}], [{'cidr': '10.0.0.0/8', 'except': ['11.0.0.0/8']}]],
           'except': [[], ['10.0.0.0/9'], ['10.0.0.0/7'], ['::/0']], 'cidrGroupRef': ['', 'g', 'G', 'x' * 254], 'ingress': [[], None, [{}]],
           'fromEntities': [[], ['all', 'all'], ['world-ipv4'], ['nobody']], 'toEntities': [['cluster']], 'values': [[], ['x'], ['']],
           'matchLabels': [{}, {'': 'x'}, {'a': 'b c'}, {'a b': 'c'}, {'k8s:a/b': ''}, {'reserved:init': ''}, {'a' * 60: 'b'}],
           'matchExpressions': [[], [{}], [{'key': 'a', 'operator': 'Exists', 'values': []}], [{'key': 'a', 'operator': 'Gt', 'values': ['1']}]],
           'unknown': ['x'], 'matchName': ['a.b', '', '*', 'a b'], 'matchPattern': ['', 'a.b', 'a b', '*.*']}

    def places(self, v, path=()):
        yield path
        if isinstance(v, dict):
            for k in v:
                yield from self.places(v[k], path + (k,))
        elif isinstance(v, list):
            for i, x in enumerate(v):
                yield from self.places(x, path + (i,))

    def damage(self, policy):
        """One or two members exchanged, dropped, doubled or made nonsense; kind and names stay."""
        p = copy.deepcopy(policy)
        for _ in range(1 if self.chance(0.8) else 2):
            spots = [s for s in self.places(p) if s and s[0] in ('spec', 'specs')]
            if not spots:
                break
            spot = self.rng.choice(spots)
            at = p
            for s in spot[:-1]:
                at = at[s]
            how, here = self.rng.random(), at[spot[-1]]
            if how < 0.25:
                del at[spot[-1]]
            elif how < 0.45:
                at[spot[-1]] = copy.deepcopy(self.rng.choice(self.ODD))
            elif how < 0.85 and isinstance(here, dict):
                k = self.rng.choice(sorted(self.NEW))
                here[k] = copy.deepcopy(self.rng.choice(self.NEW[k]))
            elif how < 0.92 and isinstance(here, list) and here:
                here.append(copy.deepcopy(self.rng.choice(here)))
            elif isinstance(here, str) and here:
                i = self.rng.randrange(len(here))
                at[spot[-1]] = here[:i] + self.rng.choice(['', '*', '.', '-', ' ', ':', '/', 'A', '0']) + here[i + 1:]
        return p


def inside(block, within, smaller=0):
    """Is @block in @within, and its prefix longer by @smaller at least?"""
    import ipaddress
    a, b = ipaddress.ip_network(block, strict=False), ipaddress.ip_network(within, strict=False)
    return a.version == b.version and a.prefixlen >= b.prefixlen + smaller and a.network_address in b


def text(v):
    return json.dumps(v, sort_keys=True, ensure_ascii=False)
