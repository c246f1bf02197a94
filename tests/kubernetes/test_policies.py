"""Policies of a recorded API server: who they name for a drop, what the store and evidence say of them."""
import hashlib
import io
import json
import os
import subprocess
import tarfile

from agent import Monitor, policy_verdict
from observer import BIN
from test_kubernetes import Api, Node, RECORDED, folder, node, recorded  # noqa: F401: fixtures

WEB, DB = '10.244.2.15', '10.244.2.12'
LIKELY = 2  # tycho.v1.PolicySource


def tycho(*words, binary=False):
    p = subprocess.run([os.path.join(BIN, 'tycho'), *words], capture_output=True, timeout=60)
    assert p.returncode == 0, p.stderr.decode()
    return p.stdout if binary else p.stdout.decode()


def drop(ob, source, destination, port):
    """A drop at the destination's side whose policy nobody names, as its flow."""
    ob.monitor.say(policy_verdict(0, 0, -133, port, 0, source, destination))
    ob.flows += 1
    n = ob.flows
    with ob.client() as c:
        return ob.wait(lambda: (lambda f: f if len(f) == n else None)(c.flows(first=True)), '%d flows' % n)[-1]


def names(flow):
    return [(p.kind, p.namespace, p.name) for p in flow.ingress_denied_by]


def settled(ob):
    ob.named()
    ob.wait(lambda: (ob.objects('NetworkPolicy'), ob.objects('CiliumNetworkPolicy')) == (1, 0), 'the last policies')
    ob.wait_name(WEB, 'web-856ccf8c9f-knh9k')
    ob.wait(lambda: names(drop(ob, DB, WEB, 9999)) == [('NetworkPolicy', 'shop', 'allow-front')], 'the policy in force')


def test_a_drop_names_the_policy_that_the_api_server_told_of(node):  # noqa: F811
    ob = node('world')
    settled(ob)
    server = ['--server', ob.addresses[0]]
    text = tycho('observe', *server, '--last', '1', '--print-policy-names')
    assert 'INGRESS DENIED BY allow-front (NetworkPolicy) [derived]' in text
    flow = json.loads(tycho('observe', *server, '--last', '1', '-o', 'json'))['flow']
    policy, = flow['ingress_denied_by']
    version = recorded('world', '/networkpolicies?')[0]['metadata']['resourceVersion']
    assert (policy['name'], policy['namespace'], policy['kind'], policy['revision']) == (
        'allow-front', 'shop', 'NetworkPolicy', version)
    assert flow['tycho']['policy_source'] == 'POLICY_SOURCE_DERIVED'
    assert flow['destination']['pod_name'] == 'web-856ccf8c9f-knh9k'
    assert not names(drop(ob, WEB, DB, 9999))  # nobody selects db


def test_store_and_evidence_say_which_version_was_in_force_when(node, tmp_path):  # noqa: F811
    ob = node('world', speed=4)
    settled(ob)
    db, want = os.path.join(ob.folder, 'state'), recorded('world', '/networkpolicies?')[0]

    def kept():
        return [json.loads(line) for line in tycho('sql', '--store', db, '-o', 'json', 'SELECT * FROM policies').splitlines()]

    def told(rows):  # both were in force for a while
        return {(x['name'], x.get('to_time') is None) for x in rows} >= {('allow-front', True), ('default-deny', False)}
    rows = ob.wait(lambda: (lambda r: r if told(r) else None)(kept()), 'the policy')
    row, = [r for r in rows if r['name'] == 'allow-front']
    assert (row['namespace'], row['resource_version'], row['uid']) == (
        'shop', want['metadata']['resourceVersion'], want['metadata']['uid'])
    # default-deny was there at the start, and was deleted (world.jsonl, second 7)
    gone, = [r for r in rows if r['name'] == 'default-deny']
    assert gone['to_time'] and not row.get('to_time')
    assert gone['from_time'] <= row['from_time'] <= gone['to_time']

    out = str(tmp_path / 'b.tar.zst')
    ob.wait(lambda: 'allow-front' in tycho('sql', '--store', db, 'SELECT policies FROM flows'), 'the drop in the store')
    tycho('evidence', 'export', '--server', ob.addresses[0], '-o', out)
    tar = subprocess.run(['zstd', '-dc', out], capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(tar)) as t:
        name, = [n for n in t.getnames() if n.endswith('policies.jsonl')]
        told = {p['name']: p for p in map(json.loads, t.extractfile(name).read().splitlines())}
    assert told['allow-front']['resource_version'] == want['metadata']['resourceVersion']
    text = told['allow-front']['text']
    assert hashlib.sha256(text.encode()).hexdigest() == told['allow-front']['sha256']
    assert json.loads(text)['spec'] == want['spec']
    tycho('evidence', 'verify', out)


def changed_world(folder, was, now):
    """The recorded cluster with another allow-front."""
    path = os.path.join(folder, 'changed.jsonl')
    with open(os.path.join(RECORDED, 'world.jsonl')) as f, open(path, 'w') as out:
        for line in map(json.loads, f):
            if 'allow-front' in line.get('data', ''):
                line['data'] = line['data'].replace(was, now)
                if 'size' in line:
                    line['size'] = len(line['data'].encode())
            out.write(json.dumps(line) + '\n')
    return path


def test_a_newer_server_s_fields_leave_a_policy_in_force_and_names_likely(node, folder):  # noqa: F811
    ob = node(changed_world(folder, '"spec":{"podSelector"', '"spec":{"newer":1,"podSelector"'))
    settled(ob)
    assert ob.number('policies_partly_known') == 1 and ob.number('policies_left_out') == 0
    assert 'NetworkPolicy shop/allow-front: spec.newer: no such field is known here' in ob.log()
    # where all is known, this is certain: test_a_drop_names_the_policy_that_the_api_server_told_of
    assert drop(ob, DB, WEB, 9999).tycho.policy_source == LIKELY


def test_where_a_policy_could_not_be_read_nobody_is_named_with_certainty(node, folder, tmp_path):  # noqa: F811
    path = str(tmp_path / 'own.yaml')
    write(path, closed('db-closed', app='db'))
    ob = node(changed_world(folder, '"policyTypes":["Ingress","Egress"]', '"policyTypes":["Sideways"]'), options=('--policies', path))
    ob.named()
    ob.wait(lambda: ob.number('policies_left_out') == 1, 'the policy that cannot be read')
    ob.wait_name(WEB, 'web-856ccf8c9f-knh9k')
    flow = ob.wait(lambda: (lambda f: f if names(f) else None)(drop(ob, WEB, DB, 9999)), 'a name')
    assert names(flow) == [('NetworkPolicy', 'shop', 'db-closed')]
    assert flow.tycho.policy_source == LIKELY


def closed(name, **selects):
    return json.dumps({'kind': 'NetworkPolicy', 'apiVersion': 'networking.k8s.io/v1', 'metadata': {'name': name, 'namespace': 'shop'},
                       'spec': {'podSelector': {'matchLabels': selects}, 'policyTypes': ['Ingress']}})


def write(path, *objects):
    with open(path + '.new', 'w') as f:
        f.write('\n---\n'.join(objects))
    os.rename(path + '.new', path)


def test_policies_of_files_are_in_force_beside_those_of_the_api_server(node, tmp_path):  # noqa: F811
    path = str(tmp_path / 'own.yaml')
    write(path, closed('db-closed', app='db'), closed('allow-front', app='db'))
    ob = node('world', options=('--policies', path))
    settled(ob)
    by_name = {p.name: list(p.labels) for f in (drop(ob, WEB, DB, 9999), drop(ob, DB, WEB, 9999)) for p in f.ingress_denied_by}
    # of two allow-front the API server's counts, and that does not select db
    assert by_name == {'db-closed': ['tycho:derived', 'tycho:from=files'],
                       'allow-front': ['tycho:derived', 'tycho:from=kubernetes']}
    assert 'policies of files that the API server has, too, are left out' in ob.log()
    assert ob.number('policies_left_out') == 1
    db = os.path.join(ob.folder, 'state')

    def kept():
        rows = tycho('sql', '--store', db, '-o', 'json', 'SELECT name, origin, to_time FROM policies').splitlines()
        return {(r['name'], r['origin'], r.get('to_time') is None) for r in map(json.loads, rows)}
    ob.wait(lambda: {('db-closed', 'files', True), ('allow-front', 'kubernetes', True)} <= kept(), 'both in the store')
    write(path, closed('db-shut', app='db'))
    ob.wait(lambda: names(drop(ob, WEB, DB, 9999)) == [('NetworkPolicy', 'shop', 'db-shut')], 'the new file')
    assert names(drop(ob, DB, WEB, 9999)) == [('NetworkPolicy', 'shop', 'allow-front')]
    want = {('db-closed', 'files', False), ('db-shut', 'files', True), ('allow-front', 'kubernetes', True)}
    ob.wait(lambda: want <= kept(), 'the new file in the store')


def test_policies_of_files_wait_for_no_api_server(folder, tmp_path):  # noqa: F811
    path, endpoints = str(tmp_path / 'own.yaml'), str(tmp_path / 'endpoints.yaml')
    write(path, closed('db-closed', app='db'))
    write(endpoints, 'endpoints: [{ip: %s, namespace: shop, pod: db-1, labels: ["k8s:app=db"], local: true}]' % DB)
    with Api(folder, 'world') as api:
        config = api.config()
    # nobody listens there any more
    with Monitor(folder) as monitor, Node(config, monitor, '--policies', path, '--endpoints', endpoints) as ob:
        assert names(drop(ob, WEB, DB, 9999)) == [('NetworkPolicy', 'shop', 'db-closed')]
        write(path, closed('db-shut', app='db'))
        ob.wait(lambda: names(drop(ob, WEB, DB, 9999)) == [('NetworkPolicy', 'shop', 'db-shut')], 'the new file')
        db = os.path.join(ob.folder, 'state')
        ob.wait(lambda: 'db-shut' in tycho('sql', '--store', db, 'SELECT name FROM policies WHERE to_time IS NULL'), 'the store')
