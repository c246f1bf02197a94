#!/usr/bin/env python3
"""Made-up rules, put to Cilium's policy engine: does what its API tells of them name the same policies to us as the event parser names?

    against.py --bin BUILD/bin/correlation_policies --reference build/oracle/correlation [--runs N] [--seed N]

A question is rules about an endpoint, identities, and connections. The reference makes the endpoint's policy map of them, tells what the
agent's API would (status.policy.realized.l4, selectors), and for each connection that an entry decides what the datapath's verdict
says and the policies that Hubble gives it; we are given the API and the verdicts. Every difference is printed, and is this program's failure.

Three are meant: at egress, where the API does not say whose rules are whose, we name none or fewer rather than wrong ones; Hubble names
nothing where an entry for a range of ports decided; and that this host may always come in we say where no rule lets it, as the API does not
tell whether it may. Which of several rules that allow the same are named depends, rarely, on the order in which Go walks its maps: a question that
is answered differently is asked again, and must be so each time. Standard library only.
"""
import argparse
import json
import random
import subprocess
import sys

APPS = ['web', 'db', 'client', 'dns']
PORTS = [80, 443, 53, 8080, 8081, 1024]
PROTOCOLS = {'TCP': 6, 'UDP': 17, 'SCTP': 132}
IDENTITIES = {30500: ['k8s:app=client', 'k8s:ns=a'], 30501: ['k8s:app=web', 'k8s:ns=a'], 30502: ['k8s:app=db', 'k8s:ns=b'],
              30503: ['k8s:app=dns', 'k8s:ns=b'], 30504: ['k8s:app=client', 'k8s:ns=b'],
              16777217: ['cidr:10.0.0.0/8', 'reserved:world'], 16777218: ['cidr:10.1.0.0/16', 'cidr:10.0.0.0/8', 'reserved:world']}
OTHERS = [1, 2, 6, 7]
BATCH = 200
AGAIN = 30
LOCALHOST = 'allow-localhost-ingress'


class Rules:
    def __init__(self, rng):
        self.rng = rng

    def chance(self, p):
        return self.rng.random() < p

    def selector(self):
        r = self.rng.random()
        if r < 0.15:
            return {}
        if r < 0.5:
            return {'matchLabels': {'k8s:app': self.rng.choice(APPS)}}
        if r < 0.7:
            return {'matchLabels': {'k8s:ns': self.rng.choice('ab')}}
        return {'matchExpressions': [{'key': 'k8s:app', 'operator': self.rng.choice(['In', 'NotIn']), 'values': self.rng.sample(APPS, 2)}]}

    def ports(self, denies):
        r = self.rng
        if self.chance(0.15):
            return {'icmps': [{'fields': [{'type': r.choice([8, 3, 11]), 'family': 'IPv4'} if self.chance(0.6) else {'type': 128, 'family': 'IPv6'}]}]}
        if self.chance(0.25):
            return {}
        ports = []
        for _ in range(r.choice([1, 1, 2])):
            port = {'port': str(r.choice(PORTS)), 'protocol': r.choice(list(PROTOCOLS) * 2 + ['ANY'])}
            if self.chance(0.1):
                port['port'] = '0'
            elif self.chance(0.12):
                port['endPort'] = int(port['port']) + r.choice([1, 7, 100])
            ports.append(port)
        rule = {'ports': ports}
        if not denies and self.chance(0.12) and all(p['protocol'] == 'TCP' and 'endPort' not in p and p['port'] != '0' for p in ports):
            rule['rules'] = {'http': [{'method': 'GET'}]}
        return {'toPorts': [rule]}

    def side(self, to, denies):
        r = self.rng
        peers = {}
        kind = r.random()
        if kind < 0.55:
            peers[to + 'Endpoints'] = [self.selector() for _ in range(r.choice([1, 1, 2, 3]))]
        elif kind < 0.7:
            peers[to + 'Entities'] = r.sample(['world', 'all', 'cluster', 'host', 'remote-node'], r.choice([1, 1, 2]))
        elif kind < 0.85:
            peers[to + 'CIDR'] = r.sample(['10.0.0.0/8', '10.1.0.0/16', '0.0.0.0/0'], r.choice([1, 2]))
        return {**peers, **self.ports(denies)}

    def rule(self, number):
        r = self.rng
        rule = {'endpointSelector': {'matchLabels': {'k8s:app': 'web'}} if self.chance(0.8) else {}, 'labels': [
            {'source': 'k8s', 'key': 'io.cilium.k8s.policy.derived-from', 'value': 'CiliumNetworkPolicy'},
            {'source': 'k8s', 'key': 'io.cilium.k8s.policy.name', 'value': 'p%d' % number},
            {'source': 'k8s', 'key': 'io.cilium.k8s.policy.namespace', 'value': r.choice('ab')},
            {'source': 'k8s', 'key': 'io.cilium.k8s.policy.uid', 'value': 'u-%d' % number}][:r.choice([4, 4, 4, 2])]}
        for key, to in (('ingress', 'from'), ('ingressDeny', 'from'), ('egress', 'to'), ('egressDeny', 'to')):
            if self.chance(0.25 if key.endswith('Deny') else 0.5):
                rule[key] = [self.side(to, key.endswith('Deny')) for _ in range(r.choice([1, 1, 2]))]
        if len(rule) == 2:
            rule['ingress'] = [self.side('from', False)]
        if self.chance(0.15):
            rule['enableDefaultDeny'] = {side: False for side in r.sample(['ingress', 'egress'], r.choice([1, 2])) if side in rule or side + 'Deny' in rule}
        return rule

    def question(self):
        r = self.rng
        keys = [{'egress': egress, 'identity': identity, 'protocol': protocol, 'port': port}
                for egress in (False, True) for identity in list(IDENTITIES) + OTHERS
                for protocol, port in [(p, n) for p in PROTOCOLS.values() for n in (80, 53, 8081, 9)] + [(1, 8), (1, 3), (58, 128)]]
        return {'identities': {str(k): v for k, v in IDENTITIES.items()}, 'endpoint': 34, 'identity': 30501,
                'revision': r.choice([1, 7, 2**40]), 'localhost': self.chance(0.5),
                'rules': [self.rule(i) for i in range(r.choice([1, 1, 2, 3, 5, 8]))], 'keys': r.sample(keys, 150)}


def ask(program, lines):
    done = subprocess.run([program], input='\n'.join(lines).encode() + b'\n', stdout=subprocess.PIPE, check=False, timeout=600)
    answers = done.stdout.decode().splitlines()
    if done.returncode or len(answers) != len(lines):
        sys.exit('against: %s ended with %d after %d of %d questions' % (program, done.returncode, len(answers), len(lines)))
    return [json.loads(a) for a in answers]


def unsure(endpoints):
    """Has a filter at egress that several selectors share, and several rules."""
    filters = endpoints[0]['status']['policy']['realized']['l4']['egress']
    return any(len(json.loads(f['rule'])['l7-rules']) > 1 and len(f['derived-from-rules']) > 1 for f in filters)


def same(verdict, ours, endpoints):
    if ours == verdict['policies']:
        return True
    if verdict['range'] and not verdict['policies']:
        return True
    less = all(p in verdict['policies'] for p in ours)
    return less and ((verdict['egress'] and unsure(endpoints)) or (bool(ours) and LOCALHOST in json.dumps(verdict['policies'])))


def differs_always(reference, question, at, ours):
    """Whatever order Go's maps have, for the verdict that is number @at."""
    for answer in ask(reference, [question] * AGAIN):
        if same(answer['verdicts'][at], ours, answer['endpoints']):
            return False
    return True


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--bin', required=True, help='our correlation_policies')
    parser.add_argument('--reference', required=True, help='the program that tests/oracle/build makes of correlation/')
    parser.add_argument('--runs', type=int, default=1000, help='sets of rules')
    parser.add_argument('--seed', type=int, default=1)
    args = parser.parse_args()
    made = Rules(random.Random(args.seed))
    asked = found = refused = silent = 0
    for start in range(0, args.runs, BATCH):
        questions = [json.dumps(made.question()) for _ in range(min(BATCH, args.runs - start))]
        theirs = ask(args.reference, questions)
        ours = ask(args.bin, [json.dumps(t) for t in theirs])
        for q, t, lists in zip(questions, theirs, ours):
            refused += 'error' in t
            for at, (verdict, policies) in enumerate(zip(t['verdicts'] or (), lists)):
                asked += 1
                silent += bool(verdict['policies']) and not policies
                if not same(verdict, policies, t['endpoints']) and differs_always(args.reference, q, at, policies):
                    found += 1
                    print('rules: %s\n  api: %s\n  verdict: %s\n  ours: %s' % (json.dumps(json.loads(q)['rules']), json.dumps(t['endpoints']),
                                                                             json.dumps(verdict), json.dumps(policies)), flush=True)
    print('against: %d verdicts of %d sets of rules (%d refused), %d without a policy that Hubble names, %d answered differently' % (
        asked, args.runs, refused, silent, found))
    return 1 if found or not asked else 0


if __name__ == '__main__':
    sys.exit(main())
