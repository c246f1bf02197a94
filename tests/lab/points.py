"""What an observer said, summed up the way a packet counter sees it."""
import collections

# Raw packet socket direction (outgoing = leaves the node by the interface) of each observation point.
POINTS = {'FROM_ENDPOINT': False, 'TO_ENDPOINT': True, 'FROM_NETWORK': False, 'TO_NETWORK': True}
PROTOCOLS = {'TCP': 6, 'UDP': 17, 'ICMPv4': 1, 'ICMPv6': 58, 'SCTP': 132}


def five_tuple(flow):
    l4 = flow.get('l4', {})
    name = next(iter(l4), None)
    inner = l4.get(name, {}) if name else {}
    ip = flow.get('IP', {})
    return (PROTOCOLS.get(name), ip.get('source', ''), inner.get('source_port', 0), ip.get('destination', ''),
            inner.get('destination_port', 0))


def traces(flows):
    return [f for f in flows if f['event_type'].get('type') == 4]


def sums(flows, dev):
    """{(outgoing, proto, src, sport, dst, dport): (packets, bytes)} of the traces at interface @dev."""
    total = collections.defaultdict(lambda: [0, 0])
    for f in traces(flows):
        if f.get('interface', {}).get('name') != dev:
            continue
        entry = total[(POINTS[f['trace_observation_point']],) + five_tuple(f)]
        entry[0] += int(f['tycho'].get('packets', 0))
        entry[1] += int(f['tycho'].get('bytes', 0))
    return {k: tuple(v) for k, v in total.items()}


def about(counts, port):
    """The part of a witness's or an observer's counts that has @port on either side."""
    return {k: v for k, v in counts.items() if port in (k[3], k[5])}


def total_packets(counts):
    return sum(p for p, _ in counts.values())
