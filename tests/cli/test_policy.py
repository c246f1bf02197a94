"""tycho policy: what is refused and where, who is selected, what is decided and by which rule."""
import json
import os
import subprocess

import pytest

TYCHO = os.path.join(os.environ['TYCHO_BUILD'], 'bin', 'tycho')
POLICIES = '''
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db-from-web, namespace: shop}
spec:
  podSelector: {matchLabels: {app: db}}
  ingress:
  - from: [{podSelector: {matchLabels: {app: web}}}]
    ports: [{port: postgres}]
---
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: out, namespace: shop}
spec:
  endpointSelector: {matchLabels: {app: web}}
  egress:
  - toEndpoints: [{matchLabels: {app: db}}]
  - toFQDNs: [{matchPattern: '*.example'}]
    toPorts: [{ports: [{port: '443', protocol: TCP}]}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
'''
PODS = {'apiVersion': 'v1', 'kind': 'List', 'items': [
    {'apiVersion': 'v1', 'kind': 'Pod',
     'metadata': {'name': 'db-0', 'namespace': 'shop', 'labels': {'app': 'db', 'pod-template-hash': 'x'}},
     'spec': {'containers': [{'ports': [{'name': 'postgres', 'containerPort': 5432}]}]}, 'status': {'podIP': '10.0.0.5'}},
    {'apiVersion': 'v1', 'kind': 'Pod', 'metadata': {'name': 'web-0', 'namespace': 'shop', 'labels': {'app': 'web'}},
     'spec': {'containers': []}, 'status': {'podIP': '10.0.0.6', 'podIPs': [{'ip': '10.0.0.6'}, {'ip': 'fd00::6'}]}}]}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / 'a.yaml').write_text(POLICIES)
    (tmp_path / 'pods.json').write_text(json.dumps(PODS))
    return tmp_path


def tycho(*args, status=0):
    done = subprocess.run([TYCHO, 'policy', *map(str, args)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=30)
    assert done.returncode == status, done.stderr
    return done.stdout if status == 0 else done.stdout + done.stderr


def explain(folder, src, dst, port, *more):
    return json.loads(tycho('explain', '-o', 'json', '--from', src, '--to', dst, '--port', port, *more, folder))


NO_DNS = ("no rule for DNS (toPorts.rules.dns) of the same pods among these policies: Cilium learns a name's addresses only from "
          'answers that pass its proxy, so that toFQDNs matches none')


def test_good_policies_say_what_they_close_and_how_many_pods_they_select(folder):
    assert tycho('check', folder).splitlines() == [
        'ok       knp:shop/db-from-web: denies ingress by default; selects 1 of 2 pods',
        'ok       cnp:shop/out: denies egress by default; selects 1 of 2 pods',
        'warning  cnp:shop/out#spec.egress[1]: ' + NO_DNS]
    first = json.loads(tycho('check', '-o', 'json', folder / 'a.yaml').splitlines()[0])
    assert first == {'result': 'ok', 'policy': 'knp:shop/db-from-web', 'default_deny_ingress': True, 'default_deny_egress': False}


def test_one_mistake_does_not_hide_the_next(folder):
    (folder / 'b.yaml').write_text(
        'kind: NetworkPolicy\napiVersion: networking.k8s.io/v1\nmetadata: {name: x}\nspec: {podSelector: 1}\n---\n'
        'kind: CiliumNetworkPolicy\napiVersion: cilium.io/v2\nmetadata: {name: y}\nspec: {endpointSelector: {}, ingres: []}\n')
    (folder / 'c.yaml').write_text('a: [')
    out = tycho('check', folder, status=1).splitlines()
    assert out[0] == ('refused  %s/b.yaml: document 1: NetworkPolicy default/x: spec.podSelector: it is a number, must be a mapping' % folder)
    assert out[1] == ("refused  %s/b.yaml: document 2: CiliumNetworkPolicy default/y: spec.ingres: no such field; did you mean ingress or ingressDeny?" % folder)
    assert out[2].startswith('refused  %s/c.yaml: line ' % folder)
    assert out[-1] == '3 refused' and sum(line.startswith('ok ') for line in out) == 2


def test_a_misspelt_port_is_refused_with_file_document_item_and_place(folder):
    policy = {'apiVersion': 'networking.k8s.io/v1', 'kind': 'NetworkPolicy', 'metadata': {'name': 'ok'}, 'spec': {'podSelector': {}}}
    bad = dict(policy, metadata={'name': 'db'}, spec={'podSelector': {}, 'ingress': [{'ports': [{'prt': 5432}]}]})
    (folder / 'b.yaml').write_text('---\n' + json.dumps({'apiVersion': 'v1', 'kind': 'List', 'items': [policy, bad]}))
    sentence = 'NetworkPolicy default/db: spec.ingress[0].ports[0].prt: no such field; did you mean port?'
    out = tycho('check', folder, status=1).splitlines()
    assert out[0] == 'refused  %s/b.yaml: items[1]: %s' % (folder, sentence)
    assert 'ok       knp:default/ok: denies ingress by default; selects 0 of 2 pods' in out
    assert json.loads(tycho('check', '-o', 'json', folder, status=1).splitlines()[0]) == {
        'result': 'refused', 'file': '%s/b.yaml' % folder, 'document': 1, 'item': 1, 'error': sentence}
    assert '%s/b.yaml: items[1]: %s' % (folder, sentence) in tycho(
        'explain', '--from', 'shop/web-0', '--to', 'shop/db-0', '--port', '80', folder, status=1)


def test_a_connection_is_explained_with_its_rules(folder):
    got = explain(folder, 'shop/web-0', 'shop/db-0', '5432')
    assert got == {'from': 'shop/web-0', 'to': 'shop/db-0', 'port': '5432/TCP', 'result': 'allowed',
                   'egress': {'verdict': 'allowed:rule', 'by': ['cnp:shop/out#spec.egress[0]']},
                   'ingress': {'verdict': 'allowed:rule', 'by': ['knp:shop/db-from-web#ingress[0]']}}
    text = tycho('explain', '--from', 'shop/web-0', '--to', 'shop/db-0', '--port', '80', folder).splitlines()
    assert text[-3:] == ['ingress  denied: no rule allows it, and these deny by default:', '           knp:shop/db-from-web',
                         'result   denied']


@pytest.mark.parametrize('src,dst,port,more,result', [
    ('fd00::6', '10.0.0.5', '5432/tcp', [], 'allowed'),               # addresses of pods are the pods
    ('shop:app=web', 'shop/db-0', '5432', [], 'allowed'),             # a pod that need not exist
    ('other:app=web', 'shop/db-0', '5432', [], 'denied'),
    ('192.0.2.1', 'shop/db-0', '5432', [], 'denied'),
    ('host', 'shop/db-0', '5432', [], 'allowed'),                     # the node reaches its own pods
    ('shop/web-0', '192.0.2.1', '443', [], 'denied'),
    ('shop/web-0', '192.0.2.1', '443', ['--to-name', 'api.example'], 'allowed'),
    ('shop/web-0', 'shop/db-0', '8/icmp', [], 'denied'),
])
def test_ends_may_be_pods_labels_addresses_and_nodes(folder, src, dst, port, more, result):
    assert explain(folder, src, dst, port, *more)['result'] == result
    assert explain(folder, src, dst, port, *more, '--expect', result)['result'] == result
    other = {'allowed': 'denied', 'denied': 'allowed'}[result]
    said = tycho('explain', '--from', src, '--to', dst, '--port', port, *more, '--expect', other, folder, status=1)
    assert '%s, and not %s' % (result, other) in said


@pytest.mark.parametrize('args,sentence', [
    (['check'], 'which files?'),
    (['check', '/no/such'], "open the policies '/no/such'"),
    (['explain', 'x.yaml', '--from', 'a/b'], "open the policies 'x.yaml'"),
    (['explain'], 'which policies?'),
])
def test_misuse_gets_a_sentence(args, sentence):
    assert sentence in tycho(*args, status=1)


@pytest.mark.parametrize('src,port,sentence', [
    ('shop/nix', '1', 'no pod shop/nix among the objects'), ('nonsense', '1', "'nonsense' is no end"),
    ('shop:app', '1', 'is no list of KEY=VALUE'), ('host', '99999', "invalid port '99999'"), ('host', '1/xyz', "invalid port '1/xyz'")])
def test_ends_and_ports_that_are_none_get_a_sentence(folder, src, port, sentence):
    assert sentence in tycho('explain', '--from', src, '--to', 'shop/db-0', '--port', port, folder, status=1)


def test_more_names_than_are_looked_at_are_refused(folder):
    ends = ['explain', '--from', 'shop/web-0', '--to', '192.0.2.1', '--port', '443', folder]
    names = [w for i in range(17) for w in ('--to-name', 'n%d.example' % i)]
    assert 'more than 16 names by --to-name' in tycho(*ends, *names, status=1)


def test_a_network_policy_may_be_taken_by_the_letter_of_kubernetes(folder):
    (folder / 'block.yaml').write_text(
        'kind: NetworkPolicy\napiVersion: networking.k8s.io/v1\nmetadata: {name: block, namespace: shop}\n'
        'spec: {podSelector: {matchLabels: {app: db}}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/24}}]}]}\n')
    ends = ('shop:app=other', 'shop/db-0', '80'), ('10.0.0.6', 'shop/db-0', '80')
    assert [explain(folder, *e)['result'] for e in ends] == ['denied', 'denied']
    assert [explain(folder, *e, '--meaning', 'kubernetes')['ingress']['verdict'] for e in ends] == ['denied:default', 'allowed:rule']
    assert 'expected cilium or kubernetes' in tycho('check', '--meaning', 'x', folder, status=1)


def test_labels_that_are_no_part_of_identities_are_for_the_letter_of_kubernetes_only(folder):
    (folder / 'a.yaml').write_text(
        'kind: NetworkPolicy\napiVersion: networking.k8s.io/v1\nmetadata: {name: hash, namespace: shop}\n'
        'spec: {podSelector: {matchLabels: {pod-template-hash: x}}, policyTypes: [Ingress]}\n')
    for meaning, n, result in ('cilium', 0, 'allowed'), ('kubernetes', 1, 'denied'):
        assert f'knp:shop/hash: denies ingress by default; selects {n} of 2 pods' in tycho('check', '--meaning', meaning, folder)
        for end in 'shop/db-0', '10.0.0.5', 'shop:pod-template-hash=x':
            assert explain(folder, '192.0.2.1', end, '80', '--meaning', meaning)['result'] == result


def pod(name, address, phase='Running', **spec):
    return {'apiVersion': 'v1', 'kind': 'Pod', 'metadata': {'name': name, 'namespace': 'shop', 'labels': {'app': 'db'}},
            'spec': {'containers': [], **spec}, 'status': {'podIP': address, 'phase': phase}}


def test_pods_that_are_no_endpoint_are_neither_selected_nor_asked_about(folder):
    """On the node's network a pod is the node to policies; the address of one that is over may be another's."""
    more = [pod('agent', '192.0.2.1', hostNetwork=True), pod('job', '10.0.0.6', phase='Succeeded'), pod('gone', '10.0.0.7', phase='Failed')]
    (folder / 'pods.json').write_text(json.dumps({**PODS, 'items': more + PODS['items']}))
    assert 'knp:shop/db-from-web: denies ingress by default; selects 1 of 2 pods' in tycho('check', folder)
    assert explain(folder, '10.0.0.6', 'shop/db-0', '5432')['from'] == explain(folder, 'shop/web-0', 'shop/db-0', '5432')['from']
    for ends in (('--from', 'shop/agent', '--to', 'shop/db-0'), ('--from', 'shop/web-0', '--to', 'shop/agent')):
        assert 'pod shop/agent is on its node\'s network, and policies see the node: ask for host or remote-node' in tycho(
            'explain', *ends, '--port', '5432', folder, status=1)


@pytest.mark.parametrize('address,sentence', [
    ('192.0.2.10', '192.0.2.10 is a node\'s address, and policies see the node: ask for host or remote-node'),
    ('fd00:0::a', 'fd00:0::a is a node\'s address'),
    ('10.96.0.10', '10.96.0.10 is a service\'s address, and policies see its backends: ask for one of them'),
    ('fd00:96::a', 'fd00:96::a is a service\'s address'),
])
def test_addresses_of_nodes_and_services_are_none_outside(folder, address, sentence):
    items = json.loads(json.dumps(PODS['items']))
    items[0]['status'].update(hostIP='192.0.2.10', hostIPs=[{'ip': '192.0.2.10'}, {'ip': 'fd00::a'}])
    items.append({'apiVersion': 'v1', 'kind': 'Service', 'metadata': {'name': 'dns', 'namespace': 'shop'},
                  'spec': {'clusterIP': '10.96.0.10', 'clusterIPs': ['10.96.0.10', 'fd00:96::a']}})
    (folder / 'pods.json').write_text(json.dumps({**PODS, 'items': items}))
    assert sentence in tycho('explain', '--from', 'shop/web-0', '--to', address, '--port', '53', folder, status=1)
    by_letter = tycho('explain', '--from', 'shop/web-0', '--to', address, '--port', '53', '--meaning', 'kubernetes', folder,
                      status=1 if 'service' in sentence else 0)
    assert (sentence in by_letter) == ('service' in sentence)  # a node is an address like any other there


def test_an_address_of_a_pod_may_be_written_in_any_way(folder):
    assert explain(folder, 'fd00:0::6', 'shop/db-0', '5432')['from'] == explain(folder, 'shop/web-0', 'shop/db-0', '5432')['from']


def test_a_policy_of_nodes_is_none_that_selects_no_pod_by_mistake(folder):
    spec = 'ingress: [{fromEntities: [cluster]}]}'
    head = 'apiVersion: cilium.io/v2\nkind: CiliumClusterwideNetworkPolicy\nmetadata: {name: %s}\n'
    (folder / 'nodes.yaml').write_text(
        (head + 'spec: {nodeSelector: {}, %s\n---\n') % ('nodes', spec) +
        (head + 'specs: [{nodeSelector: {}, %s, {endpointSelector: {matchLabels: {app: web}}, %s]\n') % ('both', spec, spec))
    said = tycho('check', folder).splitlines()
    assert 'ok       ccnp:nodes: denies ingress by default; selects nodes, which are not evaluated' in said
    assert 'ok       ccnp:both: denies ingress by default; selects 1 of 2 pods' in said


def network_policy(name, subject, **spec):
    return json.dumps({'apiVersion': 'networking.k8s.io/v1', 'kind': 'NetworkPolicy', 'metadata': {'name': name, 'namespace': 'shop'},
                       'spec': {'podSelector': {'matchLabels': subject}, **spec}})


WEB, PORT = {'podSelector': {'matchLabels': {'app': 'web'}}}, {'port': 5432}
TEAM = {'namespaceSelector': {'matchLabels': {'team': 'shop'}}}


@pytest.mark.parametrize('spec,right,rules,words', [
    ({'ingress': [{'from': [WEB]}, {'ports': [PORT]}]}, {'ingress': [{'from': [WEB], 'ports': [PORT]}]}, ['#ingress[0]', '#ingress[1]'],
     'peers and ports are two items, of which either one is enough: these peers pass on all ports, and anybody on these ports; '
     'one item with both asks for both'),
    ({'egress': [{'to': [TEAM, WEB]}]}, {'egress': [{'to': [{**TEAM, **WEB}]}]}, ['#egress[0]'],
     "podSelector and namespaceSelector are two peers, of which either one is enough: pods with these labels in the policy's own "
     'namespace, and all pods of those namespaces; one peer with both asks for both'),
    ({'policyTypes': ['Ingress'], 'egress': [{'to': [WEB]}]}, {'policyTypes': ['Ingress', 'Egress'], 'egress': [{'to': [WEB]}]}, [],
     'policyTypes leaves out Egress, for which there are rules: Kubernetes does not look at them, Cilium enforces them'),
])
def test_what_is_hardly_ever_meant_is_a_warning_and_no_failure(folder, spec, right, rules, words):
    path = folder / 'a.yaml'
    path.write_text(network_policy('db', {'app': 'db'}, **spec))
    names = ['knp:shop/db' + rule for rule in rules]
    assert tycho('check', folder).splitlines()[1:] == ['warning  %s: %s' % (', '.join(names) or 'knp:shop/db', words)]
    assert [json.loads(row) for row in tycho('check', '-o', 'json', folder).splitlines()[1:]] == [
        {'result': 'warning', 'policy': 'knp:shop/db', **({'rules': names} if names else {}), 'warning': words}]
    path.write_text(network_policy('db', {'app': 'db'}, **right))
    assert 'warning' not in tycho('check', folder)


def test_a_policy_that_only_denies_is_told_that_it_closes_the_direction(folder):
    def warned(**spec):
        policy = json.loads(cilium_policy('guard', {'app': 'web'}, 'egressDeny', {'toCIDR': ['192.0.2.0/24']}))
        policy['spec'].update(spec)
        (folder / 'a.yaml').write_text(json.dumps(policy))
        return [row for row in tycho('check', folder).splitlines() if row.startswith('warning ')]

    assert warned() == [
        'warning  cnp:shop/guard#spec.egressDeny[0]: none of these policies allows these pods anything in that direction, so that '
        'all is denied by default; with enableDefaultDeny false only what the rules say is']
    assert explain(folder, 'shop/web-0', '198.51.100.1', '80')['result'] == 'denied'
    assert warned(enableDefaultDeny={'egress': False}) == []
    assert explain(folder, 'shop/web-0', '198.51.100.1', '80')['result'] == 'allowed'
    assert warned(enableDefaultDeny={'egress': False, 'ingress': True}) == [
        'warning  cnp:shop/guard: enableDefaultDeny.ingress is true, which denies nothing without a rule for ingress; an empty one '
        'is enough, ingress: [{}]']
    assert explain(folder, '198.51.100.1', 'shop/web-0', '80')['result'] == 'allowed'


def test_labels_that_no_pod_of_the_namespace_has_are_a_warning(folder):
    def warned(policy):
        (folder / 'a.yaml').write_text(policy)
        return [row for row in tycho('check', folder).splitlines() if row.startswith('warning ')]

    assert warned(network_policy('typo', {'app': 'bd'})) == [
        'warning  knp:shop/typo: none of the 2 pods of its namespace has the labels that it selects']
    assert warned(network_policy('db', {'app': 'db'})) == []
    assert warned(network_policy('all', {}).replace('"shop"', '"empty"')) == []       # to come
    assert warned(network_policy('typo', {'app': 'bd'}).replace('"shop"', '"other"')) == []   # nobody told its pods
    clusterwide = cilium_policy('typo', {'app': 'bd'}, 'ingress', {}).replace('CiliumNetworkPolicy', 'CiliumClusterwideNetworkPolicy')
    assert warned(clusterwide.replace(', "namespace": "shop"', '')) == [
        'warning  ccnp:typo: none of the 2 pods has the labels that it selects']
    (folder / 'pods.json').write_text(json.dumps({**PODS, 'items': PODS['items'][:1]}))
    assert warned(network_policy('typo', {'app': 'bd'})) == [
        'warning  knp:shop/typo: the only pod of its namespace does not have the labels that it selects']


def cilium_policy(name, subject, section, *rules):
    return json.dumps({'apiVersion': 'cilium.io/v2', 'kind': 'CiliumNetworkPolicy', 'metadata': {'name': name, 'namespace': 'shop'},
                       'spec': {'endpointSelector': {'matchLabels': subject}, section: list(rules)}})


def to_world(**more):
    return {'toEntities': ['world'], 'toPorts': [{'ports': [{'port': '443'}], **more}]}


def by_secret(name):
    return to_world(terminatingTLS={'secret': {'name': name}})


WORDS = ('rules ask for different secrets of terminatingTLS (one, two) for one peer and port: '
         'Cilium computes no policy for pods that both select')


def test_rules_that_contradict_each_other_are_told_where_a_pod_may_meet_both(folder):
    """Each policy is good: the API server takes it, and no status shows that the agent stops at the pair."""
    def said(subject, *paths, status):
        (folder / 'a.yaml').write_text('%s\n---\n%s\n' % (
            cilium_policy('one', {'app': 'web'}, 'egress', by_secret('one')), cilium_policy('two', subject, 'egress', by_secret('two'))))
        return [row for row in tycho('check', *paths, status=status).splitlines() if not row.startswith(('ok ', 'warning '))]

    pair = 'conflict cnp:shop/one#spec.egress[0], cnp:shop/two#spec.egress[0]: ' + WORDS
    assert said({'app': 'web'}, folder, status=1) == [pair + ' (1 of 2 pods)', '1 in conflict']
    assert said({'tier': 'front'}, folder / 'a.yaml', status=1) == [pair, '1 in conflict']
    assert said({'tier': 'front'}, folder, status=0) == []              # no pod is both
    assert said({'app': 'db'}, folder / 'a.yaml', status=0) == []       # none can be
    two = json.loads(cilium_policy('two', {}, 'egress', by_secret('two')))
    for values, n in (['db', 'web'], 1), (['db', 'dbs'], 0):
        two['spec']['endpointSelector'] = {'matchExpressions': [{'key': 'app', 'operator': 'In', 'values': values}]}
        (folder / 'a.yaml').write_text('%s\n---\n%s\n' % (cilium_policy('one', {'app': 'web'}, 'egress', by_secret('one')), json.dumps(two)))
        assert tycho('check', folder / 'a.yaml', status=n).count('conflict ') == n


def test_two_rules_that_contradict_each_other_in_many_ways_are_told_once(folder):
    """Three protocols, three selectors of the world: a pair each."""
    (folder / 'a.yaml').write_text(cilium_policy('x', {'app': 'web'}, 'egress', by_secret('one'), by_secret('two')))
    (folder / 'b.yaml').write_text('kind: NetworkPolicy\napiVersion: networking.k8s.io/v1\nmetadata: {name: x}\nspec: {podSelector: 1}\n')
    rows = [json.loads(row) for row in tycho('check', '-o', 'json', folder, status=1).splitlines()[:-1]]
    assert [row for row in rows if row['result'] == 'conflict'] == [
        {'result': 'conflict', 'rules': ['cnp:shop/x#spec.egress[0]', 'cnp:shop/x#spec.egress[1]'], 'error': WORDS, 'selected_pods': 1}]
    assert tycho('check', folder, status=1).splitlines()[-1] == '1 refused, 1 in conflict'
    got = tycho('explain', '--from', 'shop/web-0', '--to', '192.0.2.1', '--port', '80', folder / 'a.yaml', folder / 'pods.json').splitlines()
    assert got[3:6] == ['egress   cannot be computed: rules ask for different secrets of terminatingTLS for one peer and port:',
                        '           cnp:shop/x#spec.egress[0]', '           cnp:shop/x#spec.egress[1]']
    assert got[-1] == 'result   error'


def test_explain_says_that_authentication_is_asked_for(folder):
    def asked(mode, *more, status=0):
        (folder / 'a.yaml').write_text(cilium_policy('db', {'app': 'db'}, 'ingress', {
            'fromEndpoints': [{'matchLabels': {'app': 'web'}}], 'authentication': {'mode': mode}}))
        return tycho('explain', '--from', 'shop/web-0', '--to', 'shop/db-0', '--port', '80', *more, folder, status=status)

    assert asked('disabled').splitlines()[4:] == ['ingress  allowed by', '           cnp:shop/db#spec.ingress[0]', 'result   allowed']
    assert asked('required', '--expect', 'allowed').splitlines()[4:] == [
        'ingress  allowed by (but dropped until both ends are authenticated)', '           cnp:shop/db#spec.ingress[0]', 'result   allowed']
    assert json.loads(asked('required', '-o', 'json'))['ingress']['authentication'] == 'required'
    assert asked('test-always-fail', '--expect', 'denied').splitlines()[4:] == [
        'ingress  allowed by (but dropped: authentication test-always-fail never succeeds)', '           cnp:shop/db#spec.ingress[0]',
        'result   denied']


def test_explain_says_what_it_would_have_to_know(folder):
    """A peer by its namespace's labels, without the Namespace: 'denied' would send whoever asks the wrong way."""
    rules = {'by labels of its namespace': {'from': [{'namespaceSelector': {'matchLabels': {'team': 'a'}}}]}, 'by name': {'from': [{'podSelector': {}}]}}
    for name, rule in rules.items():
        (folder / 'a.yaml').write_text(json.dumps({
            'apiVersion': 'networking.k8s.io/v1', 'kind': 'NetworkPolicy', 'metadata': {'name': 'db', 'namespace': 'shop'},
            'spec': {'podSelector': {'matchLabels': {'app': 'db'}}, 'ingress': [rule]}}))
        got = tycho('explain', '--from', 'far:app=web', '--to', 'shop/db-0', '--port', '80', folder).splitlines()
        lacking = '         not sure: labels of namespaces are asked for: give the Namespaces'
        assert got[4:] == ['ingress  denied: no rule allows it, and these deny by default:', '           knp:shop/db'] + (
            [lacking] if name != 'by name' else []) + ['result   denied'], name
        side = explain(folder, 'far:app=web', 'shop/db-0', '80')['ingress']
        assert side.get('not_sure') == (lacking.split(': ', 1)[1] if name != 'by name' else None)
    (folder / 'ns.yaml').write_text('apiVersion: v1\nkind: Namespace\nmetadata: {name: far, labels: {team: a}}\n')
    (folder / 'a.yaml').write_text((folder / 'a.yaml').read_text().replace('"podSelector": {}}', '"namespaceSelector": {"matchLabels": {"team": "a"}}}'))
    assert explain(folder, 'far:app=web', 'shop/db-0', '80')['ingress'] == {'verdict': 'allowed:rule', 'by': ['knp:shop/db#ingress[0]']}


def test_explain_says_that_policies_of_nodes_are_not_evaluated(folder):
    (folder / 'nodes.yaml').write_text('apiVersion: cilium.io/v2\nkind: CiliumClusterwideNetworkPolicy\nmetadata: {name: nodes}\n'
                                       'spec: {nodeSelector: {}, ingress: [{fromEntities: [cluster]}]}\n')
    sentence = "policies of nodes decide there, if Cilium's host firewall is on: they are not evaluated"
    for node in 'host', 'remote-node':
        assert explain(folder, '192.0.2.1', node, '22')['ingress'] == {'verdict': 'n/a', 'not_sure': sentence, 'by': []}
    assert explain(folder, '192.0.2.1', 'shop/web-0', '22')['ingress'] == {'verdict': 'allowed:no-policy', 'by': []}
    (folder / 'nodes.yaml').unlink()
    assert explain(folder, '192.0.2.1', 'host', '22')['ingress'] == {'verdict': 'n/a', 'by': []}


OTHERS = '''
apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata: {name: x, namespace: shop}
---
apiVersion: policy.networking.k8s.io/v1alpha1
kind: AdminNetworkPolicy
metadata: {name: x}
'''


def test_policies_that_nobody_here_reads_are_told(folder):
    """A folder of Calico's policies is no folder without a mistake."""
    others, note = folder / 'others.yaml', '2 policies of other kinds are not read, and may decide, too: NetworkPolicy of projectcalico.org/v3, …'
    others.write_text(OTHERS)
    assert tycho('check', others, status=1).splitlines() == [note, 'no policy in what was read']
    assert tycho('check', folder / 'pods.json', status=1).splitlines() == ['no policy in what was read']
    ends = '--from', 'shop/web-0', '--to', 'shop/db-0', '--port', '80'
    for args in ('check', folder), ('explain', *ends, folder):
        done = subprocess.run([TYCHO, 'policy', *map(str, args)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=30)
        assert (done.returncode, done.stderr) == (0, note + '\n')
    others.write_text(OTHERS.split('---')[1])
    assert tycho('check', others, status=1).splitlines() == [
        'a policy of another kind is not read, and may decide, too: AdminNetworkPolicy of policy.networking.k8s.io/v1alpha1', 'no policy in what was read']


def test_a_proxy_is_no_last_word(folder):
    (folder / 'a.yaml').write_text(cilium_policy('api', {'app': 'db'}, 'ingress', {
        'toPorts': [{'ports': [{'port': '80', 'protocol': 'TCP'}], 'rules': {'http': [{'method': 'GET'}]}}]}))
    got = tycho('explain', '--from', 'shop/web-0', '--to', 'shop/db-0', '--port', '80', folder).splitlines()
    assert got[4] == 'ingress  allowed by (as far as the proxy for http, whose rules are not evaluated)'
