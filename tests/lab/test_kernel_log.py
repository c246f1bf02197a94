"""Rules that log as text: what this machine's kernel writes into its own log becomes verdicts."""
import lab as L
import pytest

# The kernel tells packets of the machine's first network namespace only, unless this is 1.
EVERYWHERE = '/proc/sys/net/netfilter/nf_log_all_netns'


@pytest.fixture(scope='module')
def observer(lab):
    with open(EVERYWHERE) as f:
        before = f.read()
    with open(EVERYWHERE, 'w') as f:
        f.write('1')
    try:
        ob = lab.observer(lab.node1, '--interval', '500ms', '--kernel-log', '/dev/kmsg', '--nflog-default', 'deny').start()
        yield ob
        assert ob.stop() == 0
    finally:
        with open(EVERYWHERE, 'w') as f:
            f.write(before)


@pytest.mark.parametrize('prefix,verdict,direction,policies', [
    # Calico's Log action, its dropped packets, our own words, and a rule that says nothing (kube-router)
    ('calico-packet: ', 'AUDIT', None, {}),
    ('calico-drop: ', 'DROPPED', None, {}),
    ('tycho:allow:egress:shop-db', 'FORWARDED', 'EGRESS', {'egress_allowed_by': ['shop-db']}),
    ('', 'DROPPED', None, {}),
])
def test_a_line_of_the_kernel_is_a_verdict(lab, observer, port, prefix, verdict, direction, policies):
    lab.nft(lab.node1, 'udp dport %d log %saccept' % (port, 'prefix "%s" ' % prefix if prefix else ''))
    lab.db.serve(L.udp_sink, lab.db.ip4, port)
    lab.cart.call(L.udp_send, lab.db.ip4, port, [10, 20])
    flows = observer.wait_for(lambda fs: len(fs) >= 2, '--port', str(port), '--type', 'policy-verdict')
    assert len(flows) == 2
    for f in flows:
        assert (f['verdict'], f.get('traffic_direction')) == (verdict, direction)
        assert (f['IP']['source'], f['IP']['destination']) == (lab.cart.ip4, lab.db.ip4)
        assert (f['source']['pod_name'], f['destination']['pod_name']) == ('cart-0', 'db-0')
        assert f['l4']['UDP']['destination_port'] == port
        assert {k: [p['name'] for p in f[k]] for k in f if k.endswith('_by')} == policies


def test_ipv6_and_the_flags_of_tcp_are_in_the_line(lab, observer, port):
    lab.nft(lab.node1, 'tcp dport %d log prefix "tycho:deny:ingress:web-closed" drop' % port)
    lab.cart.call(L.tcp_knock, lab.web.ip6, port)
    f = observer.wait_for(lambda fs: fs, '--port', str(port), '--type', 'policy-verdict')[0]
    assert (f['verdict'], f['traffic_direction'], f['IP']['ipVersion']) == ('DROPPED', 'INGRESS', 'IPv6')
    assert f['l4']['TCP']['flags'] == {'SYN': True}
    assert [p['name'] for p in f['ingress_denied_by']] == ['web-closed']
    assert f['destination']['pod_name'] == 'web-0'
