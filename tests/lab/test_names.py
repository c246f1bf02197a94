"""DNS flows, the names they teach, and the endpoint table while it changes."""
import os
import time

import lab as L
import pytest


@pytest.mark.parametrize('tcp', [False, True])
def test_a_question_and_its_answer_are_l7_flows(lab, node1, resolver, tcp):
    port, rcode = lab.cart.call(L.dns_client, lab.dns.ip4, 'web.shop.example', tcp)
    assert rcode == 0

    def mine(flows):
        return [f for f in flows if f['interface']['name'] == 'v-cart']

    query, answer = mine(node1.wait_for(lambda fs: len(mine(fs)) >= 2, '--port', str(port), '--type', 'l7'))
    assert query['Type'] == answer['Type'] == 'L7'
    assert query['l7'] == {'type': 'REQUEST', 'dns': {'query': 'web.shop.example.', 'qtypes': ['A']}}
    assert answer['l7'] == {'type': 'RESPONSE', 'dns': {
        'query': 'web.shop.example.', 'ips': [lab.web.ip4], 'ttl': 300, 'qtypes': ['A'], 'rrtypes': ['A']}}
    assert (query['is_reply'], answer['is_reply']) == (False, True)
    assert query['Summary'] == 'DNS Query web.shop.example. A'
    assert answer['Summary'] == 'DNS Answer "%s" TTL: 300 (Query web.shop.example. A)' % lab.web.ip4
    assert query['destination_service'] == {'name': 'dns', 'namespace': 'kube-system'}
    line = node1.tycho('observe', '--all', '--type', 'l7', '--port', str(port)).splitlines()[0]
    assert 'dns-request' in line and 'DNS Query web.shop.example. A' in line


def test_a_name_that_does_not_exist_says_so(lab, node1, resolver):
    port, rcode = lab.cart.call(L.dns_client, lab.dns.ip4, 'nowhere.example')
    assert rcode == 3
    flows = node1.wait_for(lambda fs: len(fs) >= 4, '--port', str(port), '--type', 'l7')
    answers = [f for f in flows if f['is_reply']]
    assert {f['l7']['dns']['rcode'] for f in answers} == {3}
    assert {f['Summary'] for f in answers} == {
        'DNS Answer RCode: Non-Existent Domain TTL: 0 (Query nowhere.example. A)'}


def test_an_answer_names_the_address_for_the_pod_that_asked(lab, node1, resolver, port):
    lab.cart.call(L.dns_client, lab.dns.ip4, 'far.example')
    lab.cart.call(L.udp_send, '203.0.113.77', port, [10])
    flows = node1.wait_for(lambda fs: fs, '--to-fqdn', 'far.example', '--port', str(port))
    assert all(f['destination_names'] == ['far.example'] for f in flows)
    assert node1.flows('--to-fqdn', '*.example', '--port', str(port)) == flows
    assert node1.flows('--to-fqdn', 'near.example', '--port', str(port)) == []


def test_the_endpoint_file_is_reread_when_it_changes(lab, node1, port):
    path = lab.endpoints_file()
    with open(path) as f:
        before = f.read()
    try:
        with open(path + '.new', 'w') as f:
            f.write(before.replace('pod: cart-0', 'pod: cart-1'))
        os.rename(path + '.new', path)
        lab.web.serve(L.udp_server, lab.web.ip4, port)

        def renamed():
            lab.cart.call(L.udp_client, lab.web.ip4, port, [5])
            return any(f['source'].get('pod_name') == 'cart-1' for f in node1.flows('--port', str(port)))

        end = time.monotonic() + 120
        while not renamed():
            assert time.monotonic() < end, 'the new name never showed'
        events = node1.tycho('observe', 'agent-events', '--last', '100')
        assert 'endpoints-reloaded' in events
        # a broken file changes nothing
        with open(path + '.new', 'w') as f:
            f.write('endpoints: [ {')
        os.rename(path + '.new', path)
        lab.cart.call(L.udp_client, lab.web.ip4, port, [5])
        flows = node1.wait_for(lambda fs: fs, '--port', str(port), '--from-pod', 'shop/cart-1', '--last', '1')
        assert flows
    finally:
        lab.endpoints_file()
