"""tycho policy suggest: flows as policies. What it writes is read by another reader of YAML, and put back to the flows by preview."""
import itertools
import json
import os
import random
import signal
import subprocess

import pytest
import test_preview
import yaml

TYCHO = os.path.join(os.environ['TYCHO_BUILD'], 'bin', 'tycho')


def pod(name, labels, namespace='shop', address='10.0.0.1', workload=None):
    names = {'namespace': namespace, 'pod_name': name, 'labels': labels}
    if workload:
        names['workloads'] = [{'name': workload, 'kind': 'Deployment'}]
    return names, address


WEB = pod('web-0', ['k8s:app=web', 'k8s:pod-template-hash=5f'], workload='web')
DB = pod('db-0', ['k8s:app=db'], address='10.0.0.2', workload='db')
DNS = pod('coredns-0', ['k8s:k8s-app=kube-dns'], namespace='kube-system', address='10.0.0.3', workload='coredns')
OUTSIDE = {'labels': ['reserved:world']}, '192.0.2.7'


def line(src, dst, port, protocol='TCP', verdict='FORWARDED', names=(), second=0):
    time = f'2026-11-20T10:00:{second:02}Z'
    return json.dumps({'time': time, 'flow': {
        'time': time, 'verdict': verdict, 'drop_reason_desc': 'POLICY_DENIED' if verdict == 'DROPPED' else 'DROP_REASON_UNKNOWN',
        'IP': {'source': src[1], 'destination': dst[1]}, 'l4': {protocol: {'source_port': 40000, 'destination_port': port}},
        'source': src[0], 'destination': dst[0], 'destination_names': list(names), 'traffic_direction': 'INGRESS', 'is_reply': False,
        'Type': 'L3_L4', 'event_type': {'type': 4}}})


FLOWS = [line(WEB, DB, 5432), line(WEB, DB, 5432, second=9), line(WEB, DNS, 53, 'UDP'), line(OUTSIDE, WEB, 80),
         line(WEB, OUTSIDE, 443, names=['api.example.org.']), line(WEB, DB, 22, verdict='DROPPED')]


def run(*words, flows=(), status=0):
    p = subprocess.run([TYCHO, 'policy', *map(str, words)], input='\n'.join(flows), capture_output=True, text=True, timeout=60)
    assert p.returncode == status, p.stderr
    return p.stdout, p.stderr


def suggest(flows, *words, status=0):
    return run('suggest', '--input-file', '-', *words, flows=flows, status=status)


def test_the_policies_of_a_namespace():
    text, said = suggest(FLOWS, '-n', 'shop')
    labels = {'web': {'app': 'web'}, 'db': {'app': 'db'}}
    web, db = {'podSelector': {'matchLabels': labels['web']}}, {'podSelector': {'matchLabels': labels['db']}}
    dns = {'namespaceSelector': {'matchLabels': {'kubernetes.io/metadata.name': 'kube-system'}},
           'podSelector': {'matchLabels': {'k8s-app': 'kube-dns'}}}
    outside = {'ipBlock': {'cidr': '192.0.2.7/32'}}
    rules = {
        'db': {'ingress': [{'from': [web], 'ports': [{'port': 5432, 'protocol': 'TCP'}]}], 'egress': []},
        'web': {'ingress': [{'from': [outside], 'ports': [{'port': 80, 'protocol': 'TCP'}]}],
                'egress': [{'to': [dns], 'ports': [{'port': 53, 'protocol': 'UDP'}, {'port': 53, 'protocol': 'TCP'}]},
                           {'to': [db], 'ports': [{'port': 5432, 'protocol': 'TCP'}]},
                           {'to': [outside], 'ports': [{'port': 443, 'protocol': 'TCP'}]}]}}
    assert list(yaml.safe_load_all(text)) == [
        {'apiVersion': 'networking.k8s.io/v1', 'kind': 'NetworkPolicy', 'metadata': {'name': name, 'namespace': 'shop'},
         'spec': {'podSelector': {'matchLabels': labels[name]}, 'policyTypes': ['Ingress', 'Egress'], **rules[name]}} for name in ('db', 'web')]
    assert text.startswith('# Made by tycho policy suggest of 5 flows, 2026-11-20T10:00:00Z to 2026-11-20T10:00:09Z.\n')
    assert '  # shop/web (Deployment): 2 flows, 2026-11-20T10:00:00Z to 2026-11-20T10:00:09Z\n  - from:\n' in text
    assert '#   from shop/web (Deployment), TCP 22: 1 flow\n' in text
    assert said == 'note: flows that policies denied, which stay denied without --with-denied: 1\n'
    assert '\t' not in text


def test_for_cilium_names_are_names():
    text, _ = suggest(FLOWS, '-n', 'shop', '--kind', 'cilium')
    db, web = yaml.safe_load_all(text)
    assert db['kind'] == 'CiliumNetworkPolicy' and db['spec']['egress'] == [{}]
    assert {'toFQDNs': [{'matchName': 'api.example.org'}], 'toPorts': [{'ports': [{'port': '443', 'protocol': 'TCP'}]}]} in web['spec']['egress']
    assert web['spec']['egress'][0]['toPorts'][0]['rules'] == {'dns': [{'matchPattern': '*'}]}


@pytest.mark.parametrize('kind', ['kubernetes', 'cilium'])
def test_check_and_preview_agree(tmp_path, kind):
    (tmp_path / 'p.yaml').write_text(suggest(FLOWS, '--kind', kind)[0])
    checked, _ = run('check', tmp_path / 'p.yaml')
    assert {row.split()[0] for row in checked.splitlines()} == {'ok'}
    out, _ = run('preview', '-f', tmp_path / 'p.yaml', '--meaning', kind, '--input-file', '-', '-o', 'json', '--fail-on', 'never', flows=FLOWS)
    rows = [json.loads(row) for row in out.splitlines()]
    assert rows[-1]['summary']['denied']['flows'] == 0
    assert {r.get('reason') for r in rows[:-1]} <= {'allowed as far as a proxy, whose rules are not evaluated'}
    out, _ = run('preview', '-f', tmp_path / 'p.yaml', '--meaning', kind, '--input-file', '-', '-o', 'json', flows=[line(WEB, DB, 5433)], status=1)
    assert json.loads(out.splitlines()[0])['change'] == 'denied'


def test_json_is_the_same_as_one_list():
    text, _ = suggest(FLOWS, '-n', 'shop')
    out, _ = suggest(FLOWS, '-n', 'shop', '-o', 'json')
    assert json.loads(out) == {'apiVersion': 'v1', 'kind': 'List', 'items': list(yaml.safe_load_all(text))}


def test_the_order_of_flows_does_not_matter():
    flows, texts = list(FLOWS), set()
    for seed in range(5):
        random.Random(seed).shuffle(flows)
        texts.add(suggest(flows, '-n', 'shop')[0])
    assert len(texts) == 1


def test_pods_are_chosen_as_by_other_commands():
    def subjects(*words):
        return [p['metadata']['name'] for p in yaml.safe_load_all(suggest(FLOWS, *words)[0])]
    assert subjects() == ['coredns', 'db', 'web']
    assert subjects('-n', 'shop', '-n', 'kube-system') == ['coredns', 'db', 'web']
    assert subjects('--pod', 'shop/web') == ['web'] == subjects('-l', 'app=web') == subjects('--workload', 'Deployment/web')
    assert subjects('-n', 'shop', '--workload', 'db') == ['db']


def test_pods_that_a_policy_selects_unasked_are_told():
    twin = pod('twin-0', ['k8s:app=web'], address='10.0.0.7', workload='twin')
    flows = [*FLOWS, line(twin, WEB, 81), line(twin, DB, 99)]
    text, _ = suggest(flows, '--workload', 'web')
    policy, = yaml.safe_load_all(text)
    assert '# shop/twin (Deployment), shop/web (Deployment)\n' in text and '# NOT ALL OF THEM WERE ASKED FOR: ' in text
    assert 'port: 81\n' in text and 'port: 99\n' not in text
    assert 'NOT ALL OF THEM' not in suggest(flows, '-n', 'shop')[0]


def test_one_direction_leaves_the_other_open():
    for direction, other in itertools.permutations(('ingress', 'egress')):
        for policy in yaml.safe_load_all(suggest(FLOWS, '-n', 'shop', '--direction', direction)[0]):
            assert policy['spec']['policyTypes'] == [direction.capitalize()] and other not in policy['spec']


def test_what_was_denied_is_allowed_on_demand():
    assert 'port: 22\n' not in suggest(FLOWS)[0]
    assert 'port: 22\n' in suggest(FLOWS, '--with-denied')[0]


def test_addresses_are_joined_on_demand():
    assert 'cidr: 192.0.2.0/24\n' in suggest(FLOWS, '--cidr-prefix', '24')[0]


@pytest.mark.parametrize('value', ['on', 'null', '1e3', 'yes', '0x1', '1_000', '2001-01-01', '12.50', 'No', 'a_b.c-d'])
def test_values_stay_texts(value):
    """As a label, and as a name, for a reader of YAML 1.1."""
    web = pod('web-0', ['k8s:app=' + value], workload=value)
    policy, = yaml.safe_load_all(suggest([line(web, web, 80)])[0])
    assert policy['spec']['podSelector'] == {'matchLabels': {'app': value}} == policy['spec']['ingress'][0]['from'][0]['podSelector']
    assert isinstance(policy['metadata']['name'], str)


def test_what_was_lost_is_in_the_text_too():
    lost = json.dumps({'lost_events': {'source': 'HUBBLE_RING_BUFFER', 'num_events_lost': '7'}, 'node_name': 'n1'})
    text, said = suggest([*FLOWS, lost])
    assert 'EVENTS LOST: HUBBLE_RING_BUFFER' in said
    assert any(row.startswith('# ') and 'EVENTS LOST: HUBBLE_RING_BUFFER' in row for row in text.splitlines())


@pytest.mark.parametrize('words', [['suggest'], ['preview', '-f', os.devnull], ['audit', os.devnull]], ids=lambda w: w[0])
def test_an_interrupted_reading_answers_nothing(words, tmp_path):
    """Half of the flows would pass for all of them."""
    (tmp_path / 'p.yaml').write_text(suggest(FLOWS)[0])
    words = [str(tmp_path / 'p.yaml') if w == os.devnull else w for w in words]
    with subprocess.Popen([TYCHO, 'policy', *words, '--input-file', '-'], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as p:
        p.stdin.write('\n'.join(FLOWS) + '\nx\n')
        p.stdin.flush()
        assert 'line=x' in p.stderr.readline()  # now it waits for more
        p.send_signal(signal.SIGINT)
        assert p.wait(60) == 1
        assert (p.stdout.read(), p.stderr.read()) == ('', 'interrupted\n')


def test_lines_that_cannot_be_read_are_told_in_the_text_too():
    text, said = suggest([*FLOWS, FLOWS[0][:99], 'x'])
    assert '\n# incomplete: lines of the file that cannot be read: 2\n' in text
    assert '\nincomplete: lines of the file that cannot be read: 2\n' in said
    assert 'cannot be read' not in ''.join(suggest(FLOWS))


@pytest.mark.parametrize('words,sentence', [
    (['-n', 'nix'], 'no forwarded connection of these pods was seen'),
    (['--kind', 'calico'], 'expected kubernetes or cilium'),
    (['--direction', 'x'], 'expected both, ingress or egress'),
    (['--cidr-prefix', '33'], '--cidr-prefix 33: it is a length of 1 to 32'),
    (['--cidr-prefix', '24,129'], '--cidr-prefix 24,129:'),
    (['--cidr-prefix', '0'], '--cidr-prefix 0:'),
    (['--cidr-prefix', '24,'], '--cidr-prefix 24,:'),
    (['--since', 'x'], 'failed to parse the since time'),
    (['-l', '!!'], '--label: invalid source label filter'),
    (['-o', 'table'], 'expected yaml or json'),
])
def test_misuse_gets_a_sentence_and_no_policy(words, sentence):
    text, said = suggest(FLOWS, *words, status=1)
    assert sentence in said and not text


def test_pods_of_another_cluster_are_the_reason_for_nothing():
    def far(end):
        return {**end[0], 'cluster_name': 'lab'}, end[1]
    flows = [line(far(WEB), far(DB), 5432), line(far(WEB), OUTSIDE, 443), line(OUTSIDE, WEB, 80, verdict='TRANSLATED')]
    nothing = 'no forwarded connection of these pods was seen that a rule can allow'
    assert suggest(flows, status=1) == ('', nothing + '; flows of pods of another cluster than --policy-cluster: 2\n')
    assert suggest(flows, '--workload', 'db', status=1)[1] == nothing + '; flows of pods of another cluster than --policy-cluster: 1\n'
    assert suggest(flows, '-n', 'nix', status=1)[1] == nothing + '\n'
    assert '\n  name: db\n' in suggest(flows, '--policy-cluster', 'lab')[0]


def recorded(name):
    """Each connection that any recorded policies of a world are asked about, as a flow that passed; and the world's cluster."""
    with open(os.path.join(test_preview.GOLDEN, 'worlds', name + '.yaml')) as f:
        world = yaml.load(f, yaml.CSafeLoader)
    labels = {r['peer']: r['labels'].split(',') for r in test_preview.table('identities.tsv') if r['world'] == name}
    seen = {(c['src'], c['dst'], c['proto'], c['port']) for c in test_preview.table('cases.tsv') if c['world'] == name}
    flows = []
    for src, dst, protocol, port in sorted(seen):
        if protocol in ('TCP', 'UDP', 'SCTP') or port in ('8', '128'):
            ends = (test_preview.end(x, world, labels.get(x, test_preview.outside(world, x))) for x in (src, dst))
            flows.append(test_preview.line(*ends, protocol, port))
    return flows, world['cluster']


@pytest.mark.parametrize('name', ['shop', 'dual', 'xyz', 'edge'])
@pytest.mark.parametrize('kind', ['kubernetes', 'cilium'])
def test_recorded_worlds_have_policies(tmp_path, name, kind):
    """Of pods, nodes, services and addresses as Cilium labels them: what the policies allow, preview does not find denied."""
    flows, cluster = recorded(name)
    text, said = suggest(flows, '--kind', kind, '--policy-cluster', cluster)
    assert len(flows) > 20 and len(list(yaml.safe_load_all(text))) > 3
    (tmp_path / 'p.yaml').write_text(text)
    checked, _ = run('check', tmp_path / 'p.yaml')
    assert {row.split()[0] for row in checked.splitlines()} == {'ok'}
    out, _ = run('preview', '-f', tmp_path / 'p.yaml', '--meaning', kind, '--policy-cluster', cluster, '--input-file', '-', '-o', 'json',
                 '--fail-on', 'never', flows=flows)
    *rows, summary = [json.loads(row) for row in out.splitlines()]
    denied = [r for r in rows if r['change'] == 'denied' and r['by']]  # without policies an end that is being set up is denied all the same
    unsaid = sum(int(row.rsplit(' ', 1)[1].replace(',', '')) for row in said.splitlines() if row.startswith('incomplete:'))
    assert sum(r['flows'] for r in denied) <= unsaid, (denied, said)
    assert summary['summary']['same']['flows'] > len(flows) / 2


@pytest.mark.parametrize('name', ['real', 'mixed', 'synthetic'])
@pytest.mark.parametrize('kind', ['kubernetes', 'cilium'])
def test_recorded_flows_have_policies(tmp_path, name, kind):
    """Of many servers and versions, with whatever labels: nothing fails its own check."""
    flows = os.path.join(os.path.dirname(test_preview.GOLDEN), 'flows', name + '.jsonl')
    (tmp_path / 'p.yaml').write_text(run('suggest', '--kind', kind, '--input-file', flows)[0])
    checked, _ = run('check', tmp_path / 'p.yaml')
    assert {row.split()[0] for row in checked.splitlines()} == {'ok'}


def test_a_namespace_without_the_label_of_its_name_is_told():
    """NetworkPolicy cannot select it; Cilium knows it all the same."""
    old = pod('old-0', ['k8s:app=old', 'k8s:io.cilium.k8s.namespace.labels.team=a'], namespace='old', workload='old')
    flows = [*FLOWS, line(old, DB, 7)]
    assert '#   from old/old (Deployment), TCP 7: 1 flow; its namespace has no label kubernetes.io/metadata.name\n' in suggest(flows, '-n', 'shop')[0]
    assert 'port: "7"\n' in suggest(flows, '-n', 'shop', '--kind', 'cilium')[0]
