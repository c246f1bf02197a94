"""nftables is the policy engine: what it drops and logs is what observe shows, packet by packet."""
import lab as L
import pytest


def drops(flows):
    return [f for f in flows if f['event_type'].get('type') == 1]


def verdicts(flows):
    return [f for f in flows if f['event_type'].get('type') == 5]


def test_a_forward_drop_without_a_log_rule_is_a_drop_with_the_kernels_reason(lab, node1, port):
    lab.nft(lab.node1, 'ip daddr %s tcp dport %d drop' % (lab.web.ip4, port))
    client_port = lab.cart.call(L.tcp_knock, lab.web.ip4, port)
    flows = node1.wait_for(lambda fs: len(fs) >= 1, '--port', str(port), '--verdict', 'DROPPED')
    assert len(flows) == 1, 'one SYN was sent, one packet was dropped'
    f = flows[0]
    assert f['drop_reason_desc'] == 'POLICY_DENIED'
    assert f['tycho']['kernel_drop_reason'] == 'NETFILTER_DROP'
    assert f['Summary'] == 'TCP Flags: SYN; NETFILTER_DROP'
    assert f['traffic_direction'] == 'EGRESS'
    assert f['tycho']['netns'] == lab.node1.inode()
    assert (f['IP']['source'], f['IP']['destination']) == (lab.cart.ip4, lab.web.ip4)
    assert f['l4']['TCP'] == {'source_port': client_port, 'destination_port': port, 'flags': {'SYN': True}}
    assert (f['source']['pod_name'], f['destination']['pod_name']) == ('cart-0', 'web-0')
    line = node1.tycho('observe', '--all', '--verdict', 'DROPPED', '--port', str(port))
    assert 'shop/cart-0:%d (ID:4001) <> shop/web-0:%d (ID:4003) Policy denied DROPPED (TCP Flags: SYN; ' \
           'NETFILTER_DROP)' % (client_port, port) in line


@pytest.mark.parametrize('action,verdict,word', [('deny', 'DROPPED', 'DENIED'), ('allow', 'FORWARDED', 'ALLOWED'),
                                                 ('audit', 'AUDIT', 'AUDITED')])
@pytest.mark.parametrize('direction', ['ingress', 'egress'])
def test_a_log_rule_is_a_policy_verdict(lab, node1, port, action, verdict, word, direction):
    lab.db.serve(L.udp_sink, lab.db.ip4, port)
    then = 'drop' if action == 'deny' else 'accept'
    lab.nft(lab.node1, 'udp dport %d log group 5 prefix "tycho:%s:%s:shop-db" %s' % (port, action, direction, then))
    lab.cart.call(L.udp_send, lab.db.ip4, port, [10, 20, 30])
    flows = node1.wait_for(lambda fs: len(verdicts(fs)) >= 3, '--port', str(port), '--type', 'policy-verdict')
    assert len(flows) == 3
    assert {f['verdict'] for f in flows} == {verdict}
    assert {f['traffic_direction'] for f in flows} == {direction.upper()}
    assert {f['destination']['pod_name'] for f in flows} == {'db-0'}
    field = {('allow', 'ingress'): 'ingress_allowed_by', ('allow', 'egress'): 'egress_allowed_by',
             ('deny', 'ingress'): 'ingress_denied_by', ('deny', 'egress'): 'egress_denied_by'}.get((action, direction))
    for f in flows:
        named = [k for k in f if k.endswith('_by')]
        assert named == ([field] if field else [])
        if field:
            assert f[field] == [{'name': 'shop-db', 'kind': 'NetfilterRule'}]
    line = node1.tycho('observe', '--all', '--type', 'policy-verdict', '--port', str(port),
                       '--print-policy-names').splitlines()[0]
    by = ' BY shop-db (NetfilterRule)' if field else ''
    assert 'policy-verdict:none %s %s%s (UDP)' % (direction.upper(), word, by) in line
    dropped = drops(node1.flows('--port', str(port), '--verdict', 'DROPPED', '--type', 'drop'))
    assert len(dropped) == (3 if action == 'deny' else 0)


def test_a_prefix_that_is_not_ours_is_an_audit_without_policy(lab, node1, port):
    lab.nft(lab.node1, 'udp dport %d log group 5 prefix "something else" accept' % port)
    lab.cart.call(L.udp_send, lab.web.ip4, port, [10])
    f, = node1.wait_for(lambda fs: fs, '--port', str(port), '--type', 'policy-verdict')
    assert f['verdict'] == 'AUDIT'
    assert 'traffic_direction' not in f


def test_allowed_traffic_beside_a_drop_is_not_dropped(lab, node1, port):
    lab.nft(lab.node1, 'ip saddr %s udp dport %d drop' % (lab.db.ip4, port))
    lab.web.serve(L.udp_server, lab.web.ip4, port)
    lab.cart.call(L.udp_client, lab.web.ip4, port, [10, 10])
    lab.db.call(L.udp_send, lab.web.ip4, port, [10, 10, 10])
    flows = node1.wait_for(lambda fs: len(drops(fs)) >= 3, '--port', str(port))
    assert len(drops(flows)) == 3
    assert {f['source']['pod_name'] for f in drops(flows)} == {'db-0'}
    forwarded = [f for f in flows if f['verdict'] == 'FORWARDED' and f['interface']['name'] == 'eth0']
    assert {f['source']['pod_name'] for f in forwarded} == {'cart-0', 'web-0'}


def test_ipv6_is_dropped_by_name_too(lab, node1, port):
    lab.nft(lab.node1, 'ip6 daddr %s udp dport %d drop' % (lab.web.ip6, port))
    lab.cart.call(L.udp_send, lab.web.ip6, port, [10, 10])
    flows = node1.wait_for(lambda fs: len(fs) >= 2, '--port', str(port), '--verdict', 'DROPPED')
    assert len(flows) == 2
    assert {f['IP']['ipVersion'] for f in flows} == {'IPv6'}
    assert {f['destination']['pod_name'] for f in flows} == {'web-0'}


def test_no_route_is_told_as_such(lab, node1, port):
    """The node has no way to 203.0.113.0/24 (RFC 5737): the kernel refuses to forward, and says why."""
    lab.cart.call(L.udp_send, '203.0.113.9', port, [10])
    flows = node1.wait_for(lambda fs: fs, '--port', str(port), '--verdict', 'DROPPED')
    assert len(flows) == 1
    assert flows[0]['tycho']['kernel_drop_reason'] in ('IP_INNOROUTES', 'IP_INADDRERRORS')
    assert flows[0]['destination']['labels'] == ['reserved:world']


def test_nobody_listens_is_told_as_such(lab, node1, port):
    lab.cart.call(L.udp_send, lab.db.ip4, port, [10])
    flows = node1.wait_for(lambda fs: fs, '--port', str(port), '--verdict', 'DROPPED', '--protocol', 'udp')
    assert len(flows) == 1
    assert flows[0]['tycho']['kernel_drop_reason'] == 'NO_SOCKET'
    assert flows[0]['tycho']['netns'] == lab.db.inode()
