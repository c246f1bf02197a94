"""A real Prometheus in the node's namespace scrapes an observer while exact traffic runs; its queries return what was driven.

Traces are watched at one interface only, the client's: what passes there is seen once.
"""
import os
import sys
import time

import lab as L
import pytest

sys.path.append(os.path.join(L.ROOT, 'tests', 'api'))
from prometheus import Prometheus, fetch  # noqa: E402

METRICS = ('flow:labelsContext=source_namespace,destination_namespace drop:sourceContext=pod;destinationContext=pod '
           'dns:query tcp:sourceContext=pod icmp port-distribution policy flows-to-world')
ADDRESS = '127.0.0.1:9965'


@pytest.fixture(scope='module')
def node(lab, tmp_path_factory):
    # a record of its own: counters begin at zero here, and so must the flows they are compared with
    ob = lab.observer(lab.node1, '--interface', 'v-cart', '--interval', '100ms', '--nflog-group', '5', '--metrics', METRICS,
                      '--metrics-listen', ADDRESS, '--state-dir', str(tmp_path_factory.mktemp('state'))).start()
    yield ob
    assert ob.stop() == 0


@pytest.fixture(scope='module')
def prometheus(lab, node):
    with Prometheus({'tycho-observer': [ADDRESS]}, netns=lab.node1) as p:
        yield p


def settle(node, prometheus):
    """Until Prometheus has seen all that the log holds, and nothing more has come for two reports of a connection."""
    seen, since = None, 0
    while True:
        status, _, body = node.node.call(fetch, 'http://%s/metrics' % ADDRESS)
        assert status == 200
        records = next(int(line.split()[1]) for line in body.decode().splitlines() if line.startswith('tycho_log_records_total '))
        if records != seen:
            seen, since = records, time.monotonic()
        elif time.monotonic() - since > 0.5:
            break
        time.sleep(0.05)  # between two looks: what is waited for is silence
    prometheus.wait('tycho_metrics_records_total', lambda r: r and min(r.values()) >= seen)


def value(prometheus, expr):
    got = prometheus.query(expr)
    return next(iter(got.values())) if got else 0


def change(node, prometheus, wanted, drive):
    """How much the values of @wanted's expressions grow while drive() runs: waited for until it is as much as wanted, however slow this
    machine is. Expressions name a protocol: the kernels of the lab throw away a multicast packet of their own now and then."""
    settle(node, prometheus)
    before = {e: value(prometheus, e) for e in wanted}
    drive()
    for e, growth in wanted.items():
        prometheus.wait(e, lambda got, least=before[e] + growth: next(iter(got.values()), 0) >= least)
    settle(node, prometheus)  # is it more than that?
    return {e: value(prometheus, e) - before[e] for e in wanted}


def test_tcp_flags_are_those_of_the_connections_that_were_made(lab, node, prometheus, port):
    lab.db.serve(L.tcp_server, lab.db.ip4, port)
    lab.db.serve(L.tcp_server, lab.db.ip6, port)

    def drive():
        for n in range(7):
            lab.cart.call(L.tcp_client, lab.db.ip4, port, 100 * n)
        for n in range(3):
            lab.cart.call(L.tcp_client, lab.db.ip6, port, 10)

    sums = 'sum(hubble_tcp_flags_total{flag="%s",family="%s"})'
    wanted = {sums % ('SYN', 'IPv4'): 7, sums % ('SYN-ACK', 'IPv4'): 7, sums % ('FIN', 'IPv4'): 14,  # of each side
              sums % ('SYN', 'IPv6'): 3, sums % ('SYN-ACK', 'IPv6'): 3, sums % ('FIN', 'IPv6'): 6,
              'sum(hubble_tcp_flags_total{flag="RST"})': 0,
              'sum(hubble_tcp_flags_total{flag="SYN",source="shop/cart-0"})': 10,
              # A busy machine answers so late that something is sent twice, which its TCP throws away: not for a policy, though.
              'sum(hubble_drop_total{protocol="TCP",reason="POLICY_DENIED"})': 0}
    assert change(node, prometheus, wanted, drive) == wanted


def test_a_refused_connection_is_a_syn_and_an_rst(lab, node, prometheus, port):
    wanted = {'sum(hubble_tcp_flags_total{flag="SYN"})': 4, 'sum(hubble_tcp_flags_total{flag="RST"})': 4,
              'sum(hubble_tcp_flags_total{flag="SYN-ACK"})': 0}
    assert change(node, prometheus, wanted, lambda: [lab.cart.call(L.tcp_refused, lab.db.ip4, port) for _ in range(4)]) == wanted


def test_dns_is_counted_by_rcode_and_question(lab, node, prometheus, resolver):
    def drive():
        for _ in range(5):
            lab.cart.call(L.dns_client, lab.dns.ip4, 'shop.example')
        for _ in range(3):
            lab.cart.call(L.dns_client, lab.dns.ip4, 'nothing.example')

    wanted = {'sum(hubble_dns_queries_total)': 8, 'sum(hubble_dns_queries_total{query="shop.example."})': 5,
              'sum(hubble_dns_responses_total{rcode="No Error"})': 5,
              'sum(hubble_dns_responses_total{rcode="Non-Existent Domain"})': 3,
              'sum(hubble_dns_responses_total{rcode="No Error",ips_returned="1",qtypes="A"})': 5,
              'sum(hubble_dns_response_types_total{type="A"})': 5}
    assert change(node, prometheus, wanted, drive) == wanted


def test_a_denied_packet_is_one_drop_and_one_verdict(lab, node, prometheus, port):
    lab.nft(lab.node1, 'udp dport %d log group 5 prefix "tycho:deny:ingress:db-only" drop' % port)
    wanted = {'sum(hubble_drop_total{reason="POLICY_DENIED",protocol="UDP"})': 6,
              'sum(hubble_drop_total{source="shop/cart-0",destination="shop/db-0"})': 6,
              'sum(hubble_drop_total{protocol="UDP"})': 6,
              'sum(hubble_policy_verdicts_total{action="dropped",direction="ingress"})': 6,
              'sum(tycho_policy_verdicts_total{policy="db-only",action="dropped",source_namespace="shop"})': 6,
              'sum(hubble_flows_processed_total{type="Drop",verdict="DROPPED",protocol="UDP"})': 6,
              'sum(hubble_flows_processed_total{type="PolicyVerdict",verdict="DROPPED"})': 6}
    assert change(node, prometheus, wanted, lambda: lab.cart.call(L.udp_send, lab.db.ip4, port, [10] * 6)) == wanted


def test_drops_are_told_by_the_kernels_reason(lab, node, prometheus, port):
    """Nobody listens: the destination's own kernel drops it, in a namespace that this node's interfaces lead to."""
    wanted = {'sum(hubble_drop_total{protocol="UDP",reason!="POLICY_DENIED"})': 5,
              'sum(hubble_drop_total{protocol="UDP"})': 5}
    # one by one: a socket that was told so does not send again
    assert change(node, prometheus, wanted, lambda: [lab.cart.call(L.udp_send, lab.db.ip4, port, [10]) for _ in range(5)]) \
        == wanted


def test_flows_by_verdict_and_kind_are_those_of_the_log(lab, node, prometheus):
    """The other opinion is the API: every flow of the log, counted from its JSON."""
    kinds = {'sum(hubble_flows_processed_total{verdict="%s"})' % v: lambda f, v=v: f['verdict'] == v for v in ('FORWARDED', 'DROPPED', 'AUDIT')}
    kinds.update({'tycho_flows_seen_total': lambda f: True, 'sum(hubble_flows_processed_total)': lambda f: True,
                  'sum(hubble_flows_processed_total{type="L7",subtype="DNS"})': lambda f: f['Type'] == 'L7'})
    for _ in range(10):  # packets of the kernel's own may come between two looks
        settle(node, prometheus)
        told = {expr: value(prometheus, expr) for expr in kinds}
        flows = node.flows()
        counted = {expr: sum(map(is_one, flows)) for expr, is_one in kinds.items()}
        if told == counted:
            break
    assert told == counted and any(f['Type'] == 'L7' for f in flows)
    assert value(prometheus, 'sum(tycho_source_lost_events_total)') == 0


def test_kernel_rings_and_interfaces_are_told(node, prometheus):
    assert value(prometheus, 'tycho_source_interfaces{source="bpf"}') == 1
    assert value(prometheus, 'tycho_source_trace_ring_size_bytes') == 4 << 20
    assert value(prometheus, 'tycho_source_verdict_ring_size_bytes') == 2 << 20
    assert value(prometheus, 'up{job="tycho-observer"}') == 1
