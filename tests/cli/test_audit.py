"""tycho policy audit: policies beside recorded flows. What it calls unused can be taken out, as preview says, and what suggest writes has no findings."""
import json
import random

import pytest
import yaml
from test_suggest import DB, DNS, FLOWS, OUTSIDE, WEB, line, pod, run, suggest

CART = pod('cart-0', ['k8s:app=cart'], address='10.0.0.4', workload='cart')
POLICY = """
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: shop}
spec:
  podSelector: {matchLabels: {app: db}}
  ingress:
  - from: [{podSelector: {matchLabels: {app: web}}}]
    ports: [{port: 5432, endPort: 6432}]
  - from: [{podSelector: {matchLabels: {app: batch}}}]
"""


@pytest.fixture
def policy(tmp_path):
    (tmp_path / 'db.yaml').write_text(POLICY)
    return tmp_path / 'db.yaml'


def audit(policy, flows, *words, status=0):
    return run('audit', policy, '--input-file', '-', *words, flows=flows, status=status)


def results(policy, flows, *words):
    *rows, last = map(json.loads, audit(policy, flows, '-o', 'json', *words)[0].splitlines())
    return rows, last['summary']


def test_what_people_read(policy):
    out, said = audit(policy, [*FLOWS, line(CART, DB, 5432, second=30)])
    assert said == ''
    assert out == f"""\
2 rules of 1 policy: 1 unused, 1 wider than seen, 0 not judged; 7 directions of workloads open, 0 allowed by default
7 flows, 30s: 2026-11-20T10:00:00Z to 2026-11-20T10:00:30Z
completeness unknown: the flows are of a file
not as recorded: these policies would deny 1 flow that passed, and allow 0 that were denied; tycho policy preview shows which

OPEN: no policy selects these pods, everything is allowed
WORKLOAD              DIRECTION   PODS     FLOWS
shop/web              egress      1 of 1   5
kube-system/coredns   ingress     1 of 1   1
shop/cart             egress      1 of 1   1
shop/web              ingress     1 of 1   1
kube-system/coredns   egress      1 of 1   0
shop/cart             ingress     1 of 1   0
shop/db               egress      1 of 1   0

UNUSED: no flow was decided by these
knp:shop/db#ingress[1]  ({policy})

WIDER THAN SEEN: of what these rules allow, not all was used
knp:shop/db#ingress[0]  ({policy}): 2 flows
  ports  5432-6432/TCP: seen 5432/TCP
"""


POD = {'apiVersion': 'v1', 'kind': 'Pod', 'spec': {'containers': []}, 'metadata': {'namespace': 'shop', 'name': 'batch-6d4-x', 'labels': {
    'app': 'batch', 'pod-template-hash': '6d4'}, 'ownerReferences': [{'kind': 'ReplicaSet', 'name': 'batch-6d4'}]}}


def test_pods_that_are_given_are_known(policy, tmp_path):
    (tmp_path / 'pods.json').write_text(json.dumps({'kind': 'PodList', 'apiVersion': 'v1', 'items': [POD, {
        **POD, 'metadata': {**POD['metadata'], 'name': 'db-0', 'labels': {'app': 'db'}, 'ownerReferences': [{'kind': 'StatefulSet', 'name': 'db'}]}}]}))
    policy.write_text(POLICY.replace('{app: batch}', '{}'))
    *rows, _ = map(json.loads, audit(policy, [*FLOWS, line(CART, DB, 9)], tmp_path / 'pods.json', '-o', 'json')[0].splitlines())
    # a pod of both is one pod
    assert [r['pods'] for r in rows if r.get('workload') == 'shop/db'] == [1]
    assert {'result': 'open', 'workload': 'shop/batch', 'direction': 'ingress', 'pods': 1, 'open_pods': 1, 'flows': 0} in rows
    part, = (p for p in rows[1]['parts'] if p['of'] == 'peers')
    assert part['seen'] == ['shop/cart', 'shop/web'] and part['unseen'] == ['shop/batch', 'shop/db'] and part['known'] == 4


def test_json_has_a_line_for_each_rule(policy):
    rows, summary = results(policy, FLOWS)
    file = {'policy': 'knp:shop/db', 'file': str(policy)}
    assert rows[:2] == [
        {'result': 'wide', **file, 'rule': 'knp:shop/db#ingress[0]', 'action': 'allow', 'flows': 2, 'first': '2026-11-20T10:00:00Z',
         'last': '2026-11-20T10:00:09Z', 'parts': [{'of': 'ports', 'allows': '5432-6432/TCP', 'flows': 2, 'seen': ['5432/TCP'], 'more': False}]},
        {'result': 'unused', **file, 'rule': 'knp:shop/db#ingress[1]', 'action': 'allow', 'flows': 0}]
    assert {'result': 'open', 'workload': 'shop/web', 'direction': 'egress', 'pods': 1, 'open_pods': 1, 'flows': 5} in rows
    assert summary == {
        'policies': 1, 'rules': 2, 'used': 0, 'wide': 1, 'unused': 1, 'unjudged': 0, 'idle': 0, 'open': 5, 'default': 0,
        'newly_denied': {'flows': 0, 'connections': 0}, 'newly_allowed': {'flows': 0, 'connections': 0}, 'flows': 6,
        'first': '2026-11-20T10:00:00Z', 'last': '2026-11-20T10:00:09Z', 'unknown': 0, 'elsewhere': 0, 'other': 0, 'filtered': False,
        'remarks': ['completeness unknown: the flows are of a file']}


def test_files_of_a_folder_are_named_by_their_paths(policy):
    rows, _ = results(f'{policy.parent}/', FLOWS)
    assert rows[0]['file'] == str(policy)


def test_it_fails_on_what_it_is_told_to(policy):
    audit(policy, FLOWS)
    _, said = audit(policy, FLOWS, '--fail-on', 'unused,wide', status=1)
    assert said == 'found: unused 1, wide 1\n'
    _, said = audit(policy, FLOWS, '--fail-on', 'changed', '--fail-on', 'default')
    assert said == ''
    _, said = audit(policy, FLOWS, '--fail-on', 'any', status=1)
    assert said == 'found: unused 1, wide 1, open 5\n'
    _, said = audit(policy, FLOWS, '--fail-on', 'unsued', status=1)
    assert said == "--fail-on 'unsued': must be unused, wide, open, default, changed or any\n"


def test_filters_choose_and_are_told(policy):
    out, _ = audit(policy, FLOWS, '--port', '22')
    assert 'note: filters chose these flows: others may use what is unused here\n' in out
    assert results(policy, FLOWS, '--port', '22')[1]['filtered'] is True


UNKNOWN = {'labels': ['reserved:unknown']}, '10.9.9.9'
FAR, FAR_DB = (({**names, 'cluster_name': 'lab'}, address) for names, address in (WEB, DB))
NONE_KNOWN = 'no flow to judge by: of none is it known what is decided: '


@pytest.mark.parametrize('flows, sentence', [
    ([], 'no flow to judge by: nothing is shown by this\n'),
    ([line(UNKNOWN, DB, 5432)], NONE_KNOWN + 'who one of the ends is, is not known\n'),
    ([line(UNKNOWN, DB, 5432), line(FAR, FAR_DB, 22), line(FAR, FAR_DB, 5432)],
     NONE_KNOWN + 'a pod of another cluster than --policy-cluster, and other reasons\n'),
])
def test_without_flows_nothing_is_shown(policy, flows, sentence):
    assert audit(policy, flows, status=1) == ('', sentence)


def test_without_policies_there_is_nothing_to_audit(tmp_path):
    (tmp_path / 'empty.yaml').write_text('')
    assert audit(tmp_path / 'empty.yaml', FLOWS, status=1)[1] == 'no policy in what was read\n'
    assert run('audit', status=1)[1] == 'which policies? tycho policy audit PATH…\n'
    (tmp_path / 'empty.yaml').write_text(POLICY.replace('ports', 'prts'))
    assert 'empty.yaml: NetworkPolicy shop/db: spec.ingress[0].prts: no such field' in audit(tmp_path / 'empty.yaml', FLOWS, status=1)[1]


@pytest.mark.parametrize('kind', ['kubernetes', 'cilium'])
def test_what_suggest_writes_has_no_findings(tmp_path, kind):
    (tmp_path / 'p.yaml').write_text(suggest(FLOWS, '--kind', kind)[0])
    words = ['--meaning', kind]
    rows, summary = results(tmp_path / 'p.yaml', FLOWS, *words)
    assert {r['result'] for r in rows} == {'used'} and summary['used'] == summary['rules'] > 4
    audit(tmp_path / 'p.yaml', FLOWS, *words, '--fail-on', 'any')


def test_of_many_none_is_told_whatever_their_order(policy):
    policy.write_text(POLICY.replace('endPort: 6432', 'endPort: 6433').replace('{podSelector: {matchLabels: {app: web}}}', '{ipBlock: {cidr: 198.51.0.0/16}}'))
    flows = [line((OUTSIDE[0], f'198.51.100.{i}'), DB, 5432) for i in range(17)]
    parts, again = (results(policy, f)[0][0]['parts'] for f in (flows, flows[::-1]))
    assert parts == again == [
        {'of': 'ports', 'allows': '5432-6433/TCP', 'flows': 17, 'seen': ['5432/TCP'], 'more': False},
        {'of': 'peers', 'allows': '198.51.0.0/16', 'flows': 17, 'seen': [], 'more': True, 'within': '198.51.100.0/27'}]


NAMES = ['web', 'db', 'cart', 'batch', 'none']
BLOCKS = ['10.0.0.0/8', '192.0.2.0/24', '192.0.2.7/32', '198.51.100.0/24']


def any_rule(rnd, way):
    """A rule of a NetworkPolicy; with how audit calls each of its ports and peers."""
    ports = [(f'{p}/TCP', {'port': p}) for p in rnd.sample([80, 443, 5432, 9090], rnd.randint(0, 3))]
    if rnd.random() < .3:
        ports.append(('8000-9000/TCP', {'port': 8000, 'endPort': 9000}))
    peers = [(f'app={n} in shop', {'podSelector': {'matchLabels': {'app': n}}}) for n in rnd.sample(NAMES, rnd.randint(0, 3))]
    peers += [(b, {'ipBlock': {'cidr': b}}) for b in rnd.sample(BLOCKS, rnd.randint(0, 2))]
    if rnd.random() < .2:
        peers.append(('all pods in kube-system', {'namespaceSelector': {'matchLabels': {'kubernetes.io/metadata.name': 'kube-system'}}}))
    return {'way': way, 'ports': ports, 'peers': peers}


def any_policies(rnd):
    return {name: [any_rule(rnd, way) for way in ('ingress', 'egress') for _ in range(rnd.randint(1, 4))] for name in NAMES[:3]}


def written(policies, kind='NetworkPolicy'):
    def rules(of, way):
        return [{**({'ports': [p for _, p in r['ports']]} if r['ports'] else {}),
                 **({'from' if way == 'ingress' else 'to': [p for _, p in r['peers']]} if r['peers'] else {})} for r in of if r['way'] == way]
    return yaml.safe_dump_all([{'apiVersion': 'networking.k8s.io/v1', 'kind': kind, 'metadata': {'name': name, 'namespace': 'shop'}, 'spec': {
        'podSelector': {'matchLabels': {'app': name}}, 'policyTypes': ['Ingress', 'Egress'], 'ingress': rules(of, 'ingress'), 'egress': rules(of, 'egress')}}
        for name, of in policies.items()])


def any_flows(rnd):
    ends = [WEB, DB, CART, DNS, OUTSIDE, (OUTSIDE[0], '198.51.100.9')]
    return [line(*rnd.sample(ends, 2), rnd.choice([80, 443, 5432, 8080, 9090]), verdict=rnd.choice(['FORWARDED'] * 3 + ['DROPPED'])) for _ in range(40)]


def without_what_was_not_used(policies, rows):
    """The same without rules that are unused, ports and peers that were never seen."""
    left = {}
    for name, of in policies.items():
        at = {'ingress': 0, 'egress': 0}
        left[name] = []
        for rule in of:
            row, = (r for r in rows if r.get('rule') == f"knp:shop/{name}#{rule['way']}[{at[rule['way']]}]")
            at[rule['way']] += 1
            never = {(p['of'], p['allows']) for p in row.get('parts', []) if not p['flows']}
            if row['result'] != 'unused':
                left[name].append({'way': rule['way'], **{of: [(text, v) for text, v in rule[of] if (of, text) not in never] for of in ('ports', 'peers')}})
    return left


def decided(path, flows, *meaning):
    """What preview says of the flows: who asks whom, by what is decided."""
    *rows, last = map(json.loads, run('preview', '-f', path, '--input-file', '-', '-o', 'json', '--fail-on', 'never', *meaning, flows=flows)[0].splitlines())
    told = {change: {(r['source'], r['destination'], r['port']) for r in rows if r['change'] == change} for change in ('denied', 'allowed', 'unknown')}
    return {**told, 'flows': {change: last['summary'][change]['flows'] for change in told}}


def nothing_is_decided_otherwise(tmp_path, policies, write, without, flows, *meaning):
    (tmp_path / 'p.yaml').write_text(write(policies))
    rows, summary = results(tmp_path / 'p.yaml', flows, *meaning)
    less = without(policies, rows)
    assert less != policies
    (tmp_path / 'less.yaml').write_text(write(less))
    before, after = (decided(tmp_path / f, flows, *meaning) for f in ('p.yaml', 'less.yaml'))
    # without a rule that asks for names nobody knows, more is known
    assert before['denied'] <= after['denied'] and before['allowed'] <= after['allowed'] and before['unknown'] >= after['unknown']
    assert after['denied'] - before['denied'] <= before['unknown'] and after['allowed'] - before['allowed'] <= before['unknown']
    assert [summary[f'newly_{c}']['flows'] for c in ('denied', 'allowed')] == [before['flows'][c] for c in ('denied', 'allowed')]
    # and of what is left all is used
    rows, summary = results(tmp_path / 'less.yaml', flows, *meaning)
    assert summary['unused'] == 0 and all(p['flows'] for r in rows for p in r.get('parts', []))


@pytest.mark.parametrize('seed', range(8))
def test_without_what_was_not_used_nothing_is_decided_otherwise(tmp_path, seed):
    rnd = random.Random(seed)
    policies, flows = any_policies(rnd), any_flows(rnd)
    nothing_is_decided_otherwise(tmp_path, policies, written, without_what_was_not_used, flows, '--meaning', rnd.choice(['cilium', 'kubernetes']))


SECTIONS = ['ingress', 'ingressDeny', 'egress', 'egressDeny']
FQDNS = ['api.example.org', 'old.example.org', '*.example.net']


def any_cilium_rule(rnd, section):
    """The same of a CiliumNetworkPolicy: peers of one kind."""
    way = 'to' if section.startswith('egress') else 'from'
    ports = [(f'{p}/{protocol}', {'port': str(p), 'protocol': protocol}) for p in rnd.sample([80, 443, 5432, 9090], rnd.randint(0, 3))
             for protocol in [rnd.choice(['TCP', 'UDP', 'ANY'])]]
    kinds = {
        'Endpoints': [(f'app={n} in shop', {'matchLabels': {'app': n}}) for n in rnd.sample(NAMES, rnd.randint(1, 3))],
        'CIDR': [(b, b) for b in rnd.sample(BLOCKS, rnd.randint(1, 3))],
        'Entities': [(n, n) for n in rnd.sample(['world', 'cluster', 'host', 'kube-apiserver'], rnd.randint(1, 2))]}
    if section == 'egress':
        kinds['FQDNs'] = [(n, {'matchPattern': n}) for n in rnd.sample(FQDNS, rnd.randint(1, 3))]
    kind = rnd.choice(sorted(kinds))
    return {'key': way + kind, 'peers': kinds[kind], 'ports': ports}


def any_cilium_policies(rnd):
    return {name: {section: [any_cilium_rule(rnd, section) for _ in range(rnd.randint(0, 1 if section.endswith('Deny') else 4))] for section in SECTIONS}
            for name in NAMES[:3]}


def written_for_cilium(policies):
    # the last rules match nothing, and close both directions whatever becomes of the others
    return yaml.safe_dump_all([{'apiVersion': 'cilium.io/v2', 'kind': 'CiliumNetworkPolicy', 'metadata': {'name': name, 'namespace': 'shop'}, 'spec': {
        'endpointSelector': {'matchLabels': {'app': name}},
        **{section: [{r['key']: [p for _, p in r['peers']], **({'toPorts': [{'ports': [p for _, p in r['ports']]}]} if r['ports'] else {})} for r in rules]
           + ([] if section.endswith('Deny') else [{}]) for section, rules in of.items()}}} for name, of in policies.items()])


def without_what_cilium_did_not_use(policies, rows):
    left = {}
    for name, of in policies.items():
        left[name] = {}
        for section, rules in of.items():
            told = [next(r for r in rows if r.get('rule') == f'cnp:shop/{name}#spec.{section}[{i}]') for i in range(len(rules))]
            never = [{(p['of'], p['allows']) for p in r.get('parts', []) if not p['flows']} for r in told]
            left[name][section] = [{'key': rule['key'], **{of: [(text, v) for text, v in rule[of] if (of, text) not in gone] for of in ('ports', 'peers')}}
                                   for rule, r, gone in zip(rules, told, never) if r['result'] != 'unused']
    return left


@pytest.mark.parametrize('seed', range(8))
def test_nor_is_it_for_cilium(tmp_path, seed):
    rnd = random.Random(seed)
    flows = [f for f in any_flows(rnd)] + [line(WEB, (OUTSIDE[0], f'198.51.100.{i}'), 443, names=[n]) for i, n in enumerate(['API.example.org.', 'x.example.net'])]
    nothing_is_decided_otherwise(tmp_path, any_cilium_policies(rnd), written_for_cilium, without_what_cilium_did_not_use, flows)


def test_names_cannot_steer_a_terminal(policy):
    evil = pod('x-0', ['k8s:app=evil'], address='10.0.0.9', workload='a\x1b[2J\nOPEN\tb')
    out, _ = audit(policy, [*FLOWS, line(evil, DB, 5432)])
    assert 'shop/a^[[2J OPEN b' in out and '\x1b' not in out
    assert any(r.get('workload') == 'shop/a\x1b[2J\nOPEN\tb' for r in results(policy, [*FLOWS, line(evil, DB, 5432)])[0])
