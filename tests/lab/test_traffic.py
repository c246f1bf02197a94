"""What was sent is what is seen: connections, directions, names, packets and bytes, at every observation point.

The other opinion is a packet socket on the same interface (lab.Witness); the observer must agree to the byte.
"""
import socket
import struct

import lab as L
import pytest
from points import about, five_tuple, sums, total_packets, traces


def watched(lab, ob, devs, port, traffic):
    """Runs @traffic with a witness on each device; waits until the observer has counted as many packets."""
    witnesses = {dev: L.Witness(ob.node, dev) for dev in devs}
    result = traffic()
    want = {dev: about(w.stop(), port) for dev, w in witnesses.items()}
    packets = sum(total_packets(c) for c in want.values())

    def complete(flows):
        return sum(total_packets(about(sums(flows, dev), port)) for dev in devs) >= packets

    flows = ob.wait_for(complete, '--port', str(port), '--type', 'trace')
    return result, want, flows


@pytest.mark.parametrize('family', ['ip4', 'ip6'])
@pytest.mark.parametrize('size', [0, 1, 1000, 200000])
def test_a_tcp_connection_between_nodes_is_counted_to_the_byte(lab, node1, port, family, size):
    ip = getattr(lab.web, family)
    lab.web.serve(L.tcp_server, ip, port)
    (client_port, sent, got), want, flows = watched(
        lab, node1, ['v-cart', 'eth0'], port, lambda: lab.cart.call(L.tcp_client, ip, port, size))
    assert (sent, got) == (size, size)
    for dev in ('v-cart', 'eth0'):
        assert want[dev], 'the witness saw nothing'
        assert about(sums(flows, dev), port) == want[dev]


def test_a_connection_between_pods_of_one_node_is_seen_at_both(lab, node1, port):
    lab.db.serve(L.tcp_server, lab.db.ip4, port)
    _, want, flows = watched(lab, node1, ['v-cart', 'v-db'], port,
                             lambda: lab.cart.call(L.tcp_client, lab.db.ip4, port, 5000))
    for dev in ('v-cart', 'v-db'):
        assert about(sums(flows, dev), port) == want[dev]
    by_dev = {}
    for f in traces(flows):
        by_dev.setdefault(f['interface']['name'], set()).add((f['trace_observation_point'], f['traffic_direction'],
                                                              f['is_reply']))
    # the client's side is outgoing, the server's incoming; replies belong to the same connection
    assert by_dev == {
        'v-cart': {('FROM_ENDPOINT', 'EGRESS', False), ('TO_ENDPOINT', 'EGRESS', True)},
        'v-db': {('TO_ENDPOINT', 'INGRESS', False), ('FROM_ENDPOINT', 'INGRESS', True)},
    }


def test_the_first_event_of_a_connection_is_its_syn_with_names_on_both_ends(lab, node1, port):
    lab.db.serve(L.tcp_server, lab.db.ip4, port)
    client_port, _, _ = lab.cart.call(L.tcp_client, lab.db.ip4, port, 10)
    flows = node1.wait_for(lambda fs: any('FIN' in f.get('Summary', '') for f in fs), '--port', str(port))
    first = next(f for f in flows if f.get('interface', {}).get('name') == 'v-cart')
    assert first['verdict'] == 'FORWARDED'
    assert first['Summary'] == 'TCP Flags: SYN'
    assert first['trace_reason'] == 'NEW'
    assert first['trace_observation_point'] == 'FROM_ENDPOINT'
    assert first['l4'] == {'TCP': {'source_port': client_port, 'destination_port': port, 'flags': {'SYN': True}}}
    assert first['node_name'] == 'lab/node1'
    src, dst = first['source'], first['destination']
    assert (src['namespace'], src['pod_name'], src['identity']) == ('shop', 'cart-0', 4001)
    assert src['labels'] == ['k8s:app=cart', 'k8s:tier=front']
    assert src['workloads'] == [{'name': 'cart', 'kind': 'Deployment'}]
    assert (dst['namespace'], dst['pod_name'], dst['identity']) == ('shop', 'db-0', 4002)
    assert first['ethernet']['source'] == lab.cart.mac('eth0')
    assert first['tycho']['netns'] == lab.node1.inode()


def test_flags_are_reported_when_first_seen_in_a_direction(lab, node1, port):
    lab.db.serve(L.tcp_server, lab.db.ip4, port)
    lab.cart.call(L.tcp_client, lab.db.ip4, port, 10)
    flows = node1.wait_for(
        lambda fs: sum('FIN' in f['Summary'] for f in fs if f['interface']['name'] == 'v-cart') >= 2,
        '--port', str(port), '--type', 'trace')
    mine = [f for f in flows if f['interface']['name'] == 'v-cart']
    for reply in (False, True):
        syns = [f for f in mine if f['is_reply'] is reply and 'SYN' in f['Summary']]
        fins = [f for f in mine if f['is_reply'] is reply and 'FIN' in f['Summary']]
        assert len(syns) == 1
        assert len(fins) == 1


@pytest.mark.parametrize('family', ['ip4', 'ip6'])
def test_udp_is_counted_to_the_byte(lab, node1, port, family):
    ip = getattr(lab.web, family)
    lab.web.serve(L.udp_server, ip, port)
    _, want, flows = watched(lab, node1, ['v-cart', 'eth0'], port,
                             lambda: lab.cart.call(L.udp_client, ip, port, [1, 100, 1400, 7]))
    for dev in ('v-cart', 'eth0'):
        assert len(want[dev]) == 2
        assert about(sums(flows, dev), port) == want[dev]


def test_udp_fragments_are_counted_with_their_datagram(lab, node1, port):
    lab.web.serve(L.udp_server, lab.web.ip4, port)
    witness = L.Witness(lab.node1, 'v-cart')
    lab.cart.call(L.udp_client, lab.web.ip4, port, [4000])
    # the witness files later fragments under garbage ports: sum everything between the two addresses
    counts = [v for k, v in witness.stop().items() if k[1] == 17 and {k[2], k[4]} == {lab.cart.ip4, lab.web.ip4}]
    want = (sum(c[0] for c in counts), sum(c[1] for c in counts))
    assert want[0] == 6, 'three fragments each way'

    def summed(flows):
        mine = [v for k, v in sums(flows, 'v-cart').items() if k[1] == 17]
        return sum(v[0] for v in mine), sum(v[1] for v in mine)

    flows = node1.wait_for(lambda fs: summed(fs)[0] >= want[0], '--ip', lab.web.ip4, '--protocol', 'udp', '--port',
                           str(port), '--type', 'trace')
    assert summed(flows) == want


@pytest.mark.parametrize('family,protocol,request_name,reply_name', [
    ('ip4', 'icmpv4', 'ICMPv4 EchoRequest', 'ICMPv4 EchoReply'),
    ('ip6', 'icmpv6', 'ICMPv6 EchoRequest', 'ICMPv6 EchoReply'),
])
def test_ping_is_a_request_and_a_reply(lab, node1, family, protocol, request_name, reply_name):
    ip = getattr(lab.web, family)
    before = len(node1.flows('--ip', ip, '--protocol', protocol, '--type', 'trace'))
    lab.cart.sh('ping', '-c', '3', '-i', '0.2', '-s', '100', '-W', '5', ip)

    def mine(flows):
        return [f for f in flows[before:] if f['interface']['name'] == 'v-cart' and
                f['Summary'] in (request_name, reply_name)]

    flows = mine(node1.wait_for(lambda fs: sum(int(f['tycho']['packets']) for f in mine(fs)) >= 6, '--ip', ip,
                                '--protocol', protocol, '--type', 'trace'))
    header = 14 + (20 if family == 'ip4' else 40) + 8
    for reply, name, point in ((False, request_name, 'FROM_ENDPOINT'), (True, reply_name, 'TO_ENDPOINT')):
        part = [f for f in flows if f['is_reply'] is reply]
        assert {f['Summary'] for f in part} == {name}
        assert {f['trace_observation_point'] for f in part} == {point}
        assert sum(int(f['tycho']['packets']) for f in part) == 3
        assert sum(int(f['tycho']['bytes']) for f in part) == 3 * (header + 100)


def test_many_connections_are_all_there_and_none_twice(lab, node1, port):
    lab.web.serve(L.tcp_server, lab.web.ip4, port)

    def many():
        return lab.cart.call(lambda: [L.tcp_client(lab.web.ip4, port, 100)[0] for _ in range(50)])

    ports, want, flows = watched(lab, node1, ['v-cart'], port, many)
    assert about(sums(flows, 'v-cart'), port) == want['v-cart']
    assert sorted(ports) == sorted(f['l4']['TCP']['source_port'] for f in traces(flows)
                                   if f['interface']['name'] == 'v-cart' and f['trace_reason'] == 'NEW')


def test_http_of_a_real_client_is_seen(lab, node1, port):
    lab.web.serve(L.http_server, lab.web.ip4, port)
    out = lab.cart.sh('curl', '-s', '--max-time', '10', 'http://%s:%d/' % (lab.web.ip4, port))
    assert out == 'hello from the lab\n'
    flows = node1.wait_for(lambda fs: any('FIN' in f['Summary'] for f in fs), '--port', str(port), '--type', 'trace')
    assert {five_tuple(f)[1] for f in flows} == {lab.cart.ip4, lab.web.ip4}


def send_tagged(src_mac, dst_mac, vlan, src, dst, port, payloads):
    """UDP in IPv4 behind an 802.1Q tag (IEEE 802.1Q §9.6), written as frames: no VLAN device is needed."""
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    s.bind(('eth0', 0))
    for n in payloads:
        udp = struct.pack('>4H', port, port, 8 + n, 0) + b'v' * n
        ip = struct.pack('>BBHHHBBH4s4s', 0x45, 0, 20 + len(udp), 1, 0, 64, 17, 0, socket.inet_aton(src),
                         socket.inet_aton(dst))
        mac = bytes.fromhex((dst_mac + src_mac).replace(':', ''))
        s.send(mac + struct.pack('>HHH', 0x8100, vlan, 0x0800) + ip + udp)


def test_vlan_tagged_traffic_is_read_through_its_tag(lab, node1, port):
    lab.cart.call(send_tagged, lab.cart.mac('eth0'), lab.node1.mac('v-cart'), 7, '10.7.0.2', '10.7.0.1', port, [50, 60])
    flows = node1.wait_for(lambda fs: sum(int(f['tycho']['packets']) for f in fs) >= 2, '--port', str(port), '--type',
                           'trace')
    assert {five_tuple(f) for f in flows} == {(17, '10.7.0.2', port, '10.7.0.1', port)}
    assert sum(int(f['tycho']['packets']) for f in flows) == 2
    # the tag is taken off the bytes before the hook sees them: Ethernet, IPv4, UDP, payload
    assert sum(int(f['tycho']['bytes']) for f in flows) == 2 * (14 + 20 + 8) + 50 + 60


def test_both_nodes_tell_the_same_story(lab, node1, node2, port):
    lab.web.serve(L.tcp_server, lab.web.ip4, port)
    lab.cart.call(L.tcp_client, lab.web.ip4, port, 3000)

    def summed(ob, dev):
        return about(sums(ob.flows('--port', str(port), '--type', 'trace'), dev), port)

    node2.wait_for(lambda fs: total_packets(about(sums(fs, 'v-web'), port)) ==
                   total_packets(summed(node1, 'v-cart')) > 0, '--port', str(port), '--type', 'trace')
    near = {k[1:]: v for k, v in summed(node1, 'v-cart').items()}
    far = {k[1:]: v for k, v in summed(node2, 'v-web').items()}
    assert near == far
