"""Drops and verdicts that carry no policy are given to the policies in force (--policies)."""
import os

import lab as L
import pytest

POLICIES = '''
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web-from-db, namespace: shop, resourceVersion: "7"}
spec:
  podSelector: {matchLabels: {app: web}}
  ingress:
  - from: [{podSelector: {matchLabels: {app: db}}}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
'''
OPEN = '''
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: web-closed, namespace: shop}
spec:
  endpointSelector: {matchLabels: {app: web}}
  ingressDeny: [{fromEntities: [all]}]
'''


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / 'policies'
    path.mkdir()
    (path / 'shop.yaml').write_text(POLICIES)
    return path


@pytest.fixture
def observer(lab, folder):
    ob = lab.observer(lab.node1, '--interval', '500ms', '--nflog-group', '5', '--policies', str(folder)).start()
    yield ob
    assert ob.stop() == 0


def test_a_drop_of_netfilter_names_the_policy_that_explains_it(lab, observer, port):
    lab.nft(lab.node1, 'ip daddr %s tcp dport %d drop' % (lab.web.ip4, port))
    lab.cart.call(L.tcp_knock, lab.web.ip4, port)
    f, = observer.wait_for(lambda fs: fs, '--port', str(port), '--verdict', 'DROPPED')
    assert f['ingress_denied_by'] == [{'name': 'web-from-db', 'namespace': 'shop', 'labels': ['tycho:derived', 'tycho:from=files'], 'revision': '7',
                                       'kind': 'NetworkPolicy'}]
    assert f['tycho']['policy_source'] == 'POLICY_SOURCE_DERIVED_LIKELY'
    assert f['tycho']['policy_rules'] == ['knp:shop/web-from-db']
    line = observer.tycho('observe', '--all', '--verdict', 'DROPPED', '--port', str(port), '--print-policy-names')
    assert 'Policy denied DROPPED BY web-from-db (NetworkPolicy) [derived] (TCP Flags: SYN; NETFILTER_DROP)' in line


def test_a_log_rule_without_a_policy_is_given_one(lab, observer, port):
    lab.nft(lab.node1, 'udp dport %d log group 5 prefix "tycho:allow:ingress:" accept' % port)
    lab.db.call(L.udp_send, lab.web.ip4, port, [10])
    lab.cart.call(L.udp_send, lab.web.ip4, port, [10])
    flows = observer.wait_for(lambda fs: len(fs) >= 2, '--port', str(port), '--type', 'policy-verdict')
    by_source = {f['source']['pod_name']: f for f in flows}
    allowed, wrong = by_source['db-0'], by_source['cart-0']
    assert [p['name'] for p in allowed['ingress_allowed_by']] == ['web-from-db']
    assert allowed['tycho']['policy_source'] == 'POLICY_SOURCE_DERIVED'
    assert allowed['tycho']['policy_rules'] == ['knp:shop/web-from-db#ingress[0]']
    lines = observer.tycho('observe', '--all', '--type', 'policy-verdict', '--port', str(port), '--print-policy-names')
    assert 'INGRESS ALLOWED BY web-from-db (NetworkPolicy) [derived] (UDP)' in lines
    assert 'ingress_allowed_by' not in wrong and 'ingress_denied_by' not in wrong
    assert wrong['tycho']['policy_source'] == 'POLICY_SOURCE_CONTRADICTED'


def test_policies_that_change_are_read_again_and_bad_ones_are_not(lab, observer, folder, port):
    lab.nft(lab.node1, 'ip daddr %s tcp dport %d drop' % (lab.web.ip4, port))

    (folder / 'bad.yaml').write_text('kind: NetworkPolicy\napiVersion: networking.k8s.io/v1\nmetadata: {name: x}\n')
    lab.cart.call(L.tcp_knock, lab.web.ip4, port)
    f, = observer.wait_for(lambda fs: fs, '--port', str(port), '--verdict', 'DROPPED')
    assert [p['name'] for p in f['ingress_denied_by']] == ['web-from-db']
    os.unlink(folder / 'bad.yaml')
    (folder / 'shop.yaml').write_text(OPEN)
    for sent in range(2, 30):  # until it has been read: each try is one packet more
        lab.cart.call(L.tcp_knock, lab.web.ip4, port)
        flows = observer.wait_for(lambda fs: len(fs) >= sent, '--port', str(port), '--verdict', 'DROPPED')
        if flows[-1]['ingress_denied_by'][0]['name'] == 'web-closed':
            break
    assert flows[-1]['tycho']['policy_rules'] == ['cnp:shop/web-closed#spec.ingressDeny[0]']


def test_rules_that_log_their_drops_without_a_prefix_are_denials_by_policy(lab, folder, port):
    """As kube-router's do: group 100, no prefix."""
    ob = lab.observer(lab.node1, '--nflog-group', '100', '--nflog-default', 'deny', '--policies', str(folder)).start()
    lab.nft(lab.node1, 'udp dport %d log group 100 counter drop' % port)
    lab.cart.call(L.udp_send, lab.web.ip4, port, [10])
    f, = ob.wait_for(lambda fs: fs, '--port', str(port), '--type', 'policy-verdict')
    assert f['verdict'] == 'DROPPED'
    assert [p['name'] for p in f['ingress_denied_by']] == ['web-from-db']
    assert f['tycho']['policy_source'] == 'POLICY_SOURCE_DERIVED_LIKELY'
    assert ob.stop() == 0


@pytest.mark.parametrize('prefix,field,policy', [
    ('APE3|knp/shop/db', 'egress_allowed_by', {'name': 'db', 'namespace': 'shop', 'kind': 'NetworkPolicy'}),
    ('DPI|default', 'ingress_denied_by', {'name': 'default', 'kind': 'Tier'})])
def test_prefixes_of_calico_name_their_policies(lab, observer, port, prefix, field, policy):
    lab.nft(lab.node1, 'udp dport %d log group 5 prefix "%s" accept' % (port, prefix))
    lab.cart.call(L.udp_send, lab.web.ip4, port, [10])
    f, = observer.wait_for(lambda fs: fs, '--port', str(port), '--type', 'policy-verdict')
    assert f[field] == [policy]
    assert 'policy_source' not in f['tycho']
