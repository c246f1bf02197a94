"""tycho policy audit: policies beside recorded flows. What it calls unused can be taken out, as preview says, and what suggest writes has no findings."""
import itertools
import json

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


@pytest.mark.parametrize('flows, sentence', [
    ([], 'no flow to judge by: nothing is shown by this\n'),
    ([line(({'labels': ['reserved:unknown']}, '10.9.9.9'), DB, 5432)], 'no flow to judge by: of none is it known what is decided\n'),
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


def tiny_world():
    """Flows between all of some ends, and a policy for each pod of them with rules that some use."""
    ends = [WEB, DB, CART, DNS, OUTSIDE]
    ports = itertools.cycle([80, 443, 5432, 53, 9090])
    flows = [line(a, b, next(ports)) for a, b in itertools.permutations(ends, 2) if a is not OUTSIDE or b is WEB]
    names = ['web', 'db', 'cart', 'batch']
    docs = [{'apiVersion': 'networking.k8s.io/v1', 'kind': 'NetworkPolicy', 'metadata': {'name': name, 'namespace': 'shop'}, 'spec': {
        'podSelector': {'matchLabels': {'app': name}},
        'ingress': [{'from': [{'podSelector': {'matchLabels': {'app': peer}}}], 'ports': [{'port': port}]} for peer in names for port in (80, 443, 5432)]}}
        for name in names[:3]]
    return flows, docs


def test_without_the_unused_rules_preview_sees_no_difference(tmp_path):
    flows, docs = tiny_world()
    (tmp_path / 'p.yaml').write_text(yaml.safe_dump_all(docs))
    rows, _ = results(tmp_path / 'p.yaml', flows)
    assert {r['result'] for r in rows if 'rule' in r} == {'used', 'unused'}
    assert sum(r['result'] == 'used' for r in rows) == 3
    for doc in docs:
        left = [rule for i, rule in enumerate(doc['spec']['ingress'])
                if not any(r.get('rule') == f"knp:shop/{doc['metadata']['name']}#ingress[{i}]" and r['result'] == 'unused' for r in rows)]
        assert len(left) < len(doc['spec']['ingress'])
        doc['spec']['ingress'] = left
    (tmp_path / 'less.yaml').write_text(yaml.safe_dump_all(docs))
    words = ['--input-file', '-', '-o', 'json', '--fail-on', 'never']
    before, after = (json.loads(run('preview', '-f', tmp_path / f, *words, flows=flows)[0].splitlines()[-1])['summary'] for f in ('p.yaml', 'less.yaml'))
    assert before == after and before['denied']['flows'] > 0
    # and each of those that are left is needed
    assert results(tmp_path / 'less.yaml', flows)[1]['unused'] == 0


def test_names_cannot_steer_a_terminal(policy):
    evil = pod('x-0', ['k8s:app=evil'], address='10.0.0.9', workload='a\x1b[2J\nOPEN\tb')
    out, _ = audit(policy, [*FLOWS, line(evil, DB, 5432)])
    assert 'shop/a^[[2J OPEN b' in out and '\x1b' not in out
    assert any(r.get('workload') == 'shop/a\x1b[2J\nOPEN\tb' for r in results(policy, [*FLOWS, line(evil, DB, 5432)])[0])
