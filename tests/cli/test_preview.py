"""tycho policy preview: recorded flows against policies. What it says is held against recorded verdicts of Cilium's own policy code."""
import collections
import csv
import json
import os
import subprocess

import pytest
import yaml

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
GOLDEN = os.path.join(os.environ.get('TYCHO_SHARED', os.path.join(os.path.dirname(ROOT), 'shared')), 'golden', 'policy')
TYCHO = os.path.join(os.environ['TYCHO_BUILD'], 'bin', 'tycho')
EVERY = 10  # of the recorded sets: a process for each


def preview(flows, *words, status=0):
    """The rows, the summary and what was said of these flows."""
    p = subprocess.run([TYCHO, 'policy', 'preview', '--input-file', '-', '-o', 'json', *map(str, words)], input='\n'.join(flows),
                       capture_output=True, text=True, timeout=60)
    assert p.returncode == status, p.stderr
    rows = [json.loads(line) for line in p.stdout.splitlines()]
    return rows[:-1], rows[-1]['summary'] if rows else None, p.stderr


def table(name):
    with open(os.path.join(GOLDEN, name), newline='') as f:
        return list(csv.DictReader(f, delimiter='\t', quoting=csv.QUOTE_NONE))


def end(name, world, labels):
    """An end of a recorded connection as a flow has it, its address, DNS names and how a row shows it."""
    if '/' in name:
        namespace, pod = name.split('/')
        return {'namespace': namespace, 'pod_name': pod, 'labels': labels}, '10.9.0.1', [], name
    if name[0].isdigit() or (':' in name and not name.startswith('node:')):
        names = [f['name'] for f in world.get('fqdns', []) if name in f['ips']]
        first = labels[0] if labels[0].startswith('reserved:') and not labels[0].startswith('reserved:world') else ':' + name
        return {'labels': labels}, name, names, names[0] if names else first.split(':', 1)[1]
    return {'labels': labels}, '10.9.0.2', [], labels[0].split(':')[1]


def outside(world, address):
    return ['reserved:world' + ('' if not world['dualStack'] else '-ipv6' if ':' in address else '-ipv4')]


def line(src, dst, protocol, port, verdict='FORWARDED'):
    (source, ip, _, _), (destination, to, names, _) = src, dst
    if protocol.startswith('ICMP'):
        l4 = {'ICMPv4' if protocol == 'ICMP' else 'ICMPv6': {'type': int(port)}}
    else:
        l4 = {protocol: {'source_port': 40000, 'destination_port': int(port)}}
    return json.dumps({'flow': {
        'verdict': verdict, 'drop_reason_desc': 'POLICY_DENIED' if verdict == 'DROPPED' else 'DROP_REASON_UNKNOWN',
        'IP': {'source': ip, 'destination': to}, 'l4': l4, 'source': source, 'destination': destination, 'destination_names': names,
        'traffic_direction': 'INGRESS', 'is_reply': False, 'Type': 'L3_L4', 'event_type': {'type': 4}}})


def test_no_row_contradicts_a_recorded_verdict():
    labels = {(r['world'], r['peer']): r['labels'].split(',') for r in table('identities.tsv')}
    worlds = {}
    for name in ('shop', 'dual', 'xyz'):  # edge has the host firewall on
        with open(os.path.join(GOLDEN, 'worlds', name + '.yaml')) as f:
            worlds[name] = yaml.load(f, yaml.CSafeLoader)
    sets = collections.defaultdict(list)
    for case in table('cases.tsv'):
        if case['world'] in worlds and case['policies'] != '-':
            sets[case['world'], case['policies']].append(case)
    seen = collections.Counter()
    for (name, policies), cases in sorted(sets.items())[::EVERY]:
        world, flows, want = worlds[name], [], collections.defaultdict(set)
        for c in cases:
            if c['proto'].startswith('ICMP') and c['port'] not in ('8', '128'):
                continue
            src, dst = (end(c[x], world, labels.get((name, c[x]), outside(world, c[x]))) for x in ('src', 'dst'))
            denied = 'denied' in c['egress'] + c['ingress']
            protocol = 'ICMPv4' if c['proto'] == 'ICMP' else c['proto']
            shown = end(c['src'], {}, labels.get((name, c['src']), outside(world, c['src'])))[3]  # these flows name no source
            want[shown, dst[3], protocol, int(c['port'])].add((denied, c['egress'] == 'error' or c['ingress'] == 'error'))
            flows.append(line(src, dst, c['proto'], c['port']))
        files = [w for p in policies.split(',') for w in ('-f', os.path.join(GOLDEN, 'policies', p))]
        rows, summary, said = preview(flows, '--fail-on', 'never', '--policy-cluster', world['cluster'], *files)
        assert summary['other'] == summary['left_out'] == summary['allowed']['flows'] == 0, policies
        told = {(r['source'], r['destination'], r['protocol'], r['port']): r for r in rows}
        for key, verdicts in want.items():
            if len(verdicts) > 1:
                continue  # two nodes look alike
            (denied, error), = verdicts
            row = told.get(key)
            change = row['change'] if row else 'same'
            assert change in ('unknown', 'same' if not denied else 'denied'), (policies, key, row)
            assert change == 'unknown' or not error, (policies, key)
            seen[change] += 1
            if change == 'unknown':
                seen[row['reason']] += 1
    # most can be told, and of the others none for want of who the ends are
    assert seen['denied'] > 100 and seen['same'] > 100 and seen['unknown'] < (seen['denied'] + seen['same']) / 3, seen
    assert not any('the ends' in reason or 'record' in reason for reason in seen), seen


WEB = {'namespace': 'shop', 'pod_name': 'web-0', 'labels': ['k8s:app=web'], 'workloads': [{'name': 'web', 'kind': 'Deployment'}]}
DB = {'namespace': 'shop', 'pod_name': 'db-0', 'labels': ['k8s:app=db']}
ENDS = {'web': (WEB, '10.0.0.1', [], ''), 'db': (DB, '10.0.0.2', [], '')}
FLOWS = [line(ENDS['web'], ENDS['db'], 'TCP', p, v) for p, v in (
    (5432, 'FORWARDED'), (5432, 'FORWARDED'), (9999, 'FORWARDED'), (22, 'DROPPED'))]


def policy(name, ports, **more):
    return {'apiVersion': 'networking.k8s.io/v1', 'kind': 'NetworkPolicy', 'metadata': {'name': name, 'namespace': 'shop'},
            'spec': {'podSelector': {'matchLabels': {'app': 'db'}},
                     'ingress': [{'from': [{'podSelector': {'matchLabels': {'app': 'web'}}}], 'ports': [{'port': p} for p in ports]}], **more}}


@pytest.fixture
def folder(tmp_path):
    for name, ports in (('new', [5432]), ('now', [5432, 9999]), ('wide', [5432, 9999, 22])):
        (tmp_path / (name + '.json')).write_text(json.dumps(policy('db', ports)))
    return tmp_path


def test_what_would_be_denied_ends_with_status_1(folder):
    rows, summary, said = preview(FLOWS, '-f', folder / 'new.json', status=1)
    assert rows == [{'change': 'denied', 'flows': 1, 'source': 'shop/web', 'destination': 'shop/db-0', 'port': 9999, 'protocol': 'TCP',
                     'direction': 'ingress', 'by': ['knp:shop/db']}]
    assert summary == {'same': {'flows': 3, 'connections': 2}, 'denied': {'flows': 1, 'connections': 1},
                       'allowed': {'flows': 0, 'connections': 0}, 'unknown': {'flows': 0, 'connections': 0}, 'other': 0, 'left_out': 0}
    assert said.splitlines() == ['3 decided as before; 1 newly denied; 0 newly allowed; 0 not known (flows)', 'flows that passed would be denied']


def test_a_new_policy_takes_the_place_of_the_one_of_its_name(folder):
    """Beside one that allows the port still, nothing is denied: with --now it is gone, as after kubectl apply."""
    rows, _, _ = preview(FLOWS, '-f', folder / 'new.json', '--now', folder / 'now.json', status=1)
    assert [(r['change'], r['port']) for r in rows] == [('denied', 9999)]
    (folder / 'other.json').write_text(json.dumps(policy('other', [5432])))
    rows, _, _ = preview(FLOWS, '-f', folder / 'other.json', '--now', folder / 'now.json')
    assert rows == []


def test_authentication_that_was_asked_for_before_is_no_change(folder):
    """What passed under the same rule was authenticated; under a new one nobody knows."""
    asks = {'apiVersion': 'cilium.io/v2', 'kind': 'CiliumNetworkPolicy', 'metadata': {'name': 'auth', 'namespace': 'shop'},
            'spec': {'endpointSelector': {'matchLabels': {'app': 'db'}},
                     'ingress': [{'fromEndpoints': [{'matchLabels': {'app': 'web'}}], 'authentication': {'mode': 'required'}}]}}
    (folder / 'auth.json').write_text(json.dumps(asks))
    (folder / 'other.json').write_text(json.dumps({**asks, 'metadata': {'name': 'other', 'namespace': 'shop'},
                                                   'spec': {'endpointSelector': {'matchLabels': {'app': 'web'}}, 'egress': [{'toEntities': ['all']}]}}))
    rows, _, _ = preview(FLOWS[:3], '-f', folder / 'other.json', '--now', folder / 'auth.json', '--fail-on', 'never')
    assert rows == []
    rows, _, _ = preview(FLOWS[:3], '-f', folder / 'auth.json', '--now', folder / 'auth.json', '--fail-on', 'never')
    assert {r['reason'] for r in rows} == {'allowed once both ends are authenticated, which nobody here knows'}


@pytest.mark.parametrize('file,fail_on,status', [('new', 'never', 0), ('now', 'denied', 0), ('wide', 'denied', 0), ('wide', 'changed', 1),
                                                 ('now', 'unknown', 0)])
def test_what_fails_is_what_was_asked_for(folder, file, fail_on, status):
    rows, _, _ = preview(FLOWS, '-f', folder / (file + '.json'), '--fail-on', fail_on, status=status)
    assert [r['change'] for r in rows] == {'new': ['denied'], 'now': [], 'wide': ['allowed']}[file]


def test_what_was_lost_is_told(folder):
    lost = json.dumps({'lost_events': {'source': 'HUBBLE_RING_BUFFER', 'num_events_lost': '7'}, 'node_name': 'n1'})
    rows, summary, said = preview([*FLOWS, lost], '-f', folder / 'now.json')
    assert 'EVENTS LOST: HUBBLE_RING_BUFFER CPU(0) 7' in said and summary['same']['flows'] == 4 and not rows


def test_without_flows_nothing_is_proved(folder):
    assert 'no flow to judge by' in preview([], '-f', folder / 'new.json', status=1)[2]
    assert 'no flow to judge by' in preview(FLOWS, '-f', folder / 'new.json', '--namespace', 'nix', status=1)[2]
    preview([], '-f', folder / 'new.json', '--fail-on', 'never')


def test_flows_of_which_nothing_is_known_prove_nothing(folder):
    """A pipeline that forgot --policy-cluster must not pass: it would whatever the policies were."""
    elsewhere = [line.replace('"pod_name"', '"cluster_name": "east", "pod_name"') for line in FLOWS]
    rows, summary, said = preview(elsewhere, '-f', folder / 'now.json', status=1)
    assert {r['reason'] for r in rows} == {'a pod of another cluster than --policy-cluster'} and summary['unknown']['flows'] == len(FLOWS)
    assert said.splitlines()[-1] == 'no flow to judge by: of none is it known what would be decided'
    preview(elsewhere, '-f', folder / 'now.json', '--fail-on', 'never')
    preview(elsewhere, '-f', folder / 'now.json', '--policy-cluster', 'east')
    preview([*elsewhere, *FLOWS], '-f', folder / 'now.json')  # some are known


def test_filters_and_times_choose_flows(folder):
    assert preview(FLOWS, '-f', folder / 'new.json', '--to-port', '5432')[1]['same']['flows'] == 2
    assert 'no flow' in preview(FLOWS, '-f', folder / 'new.json', '--since', '1h', status=1)[2]  # they have no time


def test_the_table_says_the_same(folder):
    p = subprocess.run([TYCHO, 'policy', 'preview', '--input-file', '-', '-f', folder / 'new.json'], input='\n'.join(FLOWS), text=True,
                       capture_output=True, timeout=60)
    assert [row.split() for row in p.stdout.splitlines()] == [
        ['CHANGE', 'FLOWS', 'SOURCE', 'DESTINATION', 'PORT', 'AT', 'BY'],
        ['denied', '1', 'shop/web', 'shop/db-0', '9999/TCP', 'ingress', 'knp:shop/db']]


@pytest.mark.parametrize('words,sentence', [
    ([], 'which policies?'),
    (['-f', '/no/such'], "open the policies '/no/such'"),
    (['-f', 'FOLDER/pods.json'], 'no policy in what --file names'),
    (['-f', 'FOLDER/bad.json'], 'spec.ingress[0].ports[0].prt: no such field; did you mean port?'),
    (['-f', 'FOLDER/new.json', '--fail-on', 'x'], 'expected never, denied, changed or unknown'),
    (['-f', 'FOLDER/new.json', '--since', 'x'], 'failed to parse the since time'),
    (['-f', 'FOLDER/new.json', '--verdict', 'x'], 'invalid --verdict'),
])
def test_misuse_gets_a_sentence(folder, words, sentence):
    bad = policy('bad', [])
    bad['spec']['ingress'] = [{'ports': [{'prt': 1}]}]
    (folder / 'bad.json').write_text(json.dumps(bad))
    (folder / 'pods.json').write_text('{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}}')
    assert sentence in preview(FLOWS, *(w.replace('FOLDER', str(folder)) for w in words), status=1)[2]
