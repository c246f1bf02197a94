"""When have two relays said the same?"""
import collections

from cluster_sides import wire  # first: it says where the others are

import rules

CONNECTED, UNAVAILABLE, ERROR = 1, 2, 4
QUEUE = 100  # what Hubble's relay holds to put in order


def statuses(responses, with_words=True):
    """Who is in which state, and why, whatever the order of nodes, and however errors of the same words are told together."""
    said = collections.Counter()
    for r in responses:
        if r.HasField('node_status'):
            for name in r.node_status.node_names:
                said[r.node_status.state_change, name, r.node_status.message if with_words else ''] += 1
    return said


def is_about_the_dead(status, dead):
    state, name, _ = status
    return name in dead and state in (UNAVAILABLE, ERROR)


def data(responses):
    return [r for r in responses if not r.HasField('node_status')]


def keys(responses):
    return [r.SerializeToString(deterministic=True) for r in responses]


def relays_own(responses):
    """The answers that are the relay's: by whom, and complete?"""
    return {(r.node_name, bool(r.time.seconds)) for r in responses if r.HasField('node_status')}


def has_times(request):
    return 'field_mask' not in request.DESCRIPTOR.fields_by_name or not request.HasField('field_mask') or not request.field_mask.paths or 'time' in request.field_mask.paths


def flows_differ(request, peers, ours, theirs, dead=()):
    a, b = statuses(ours), statuses(theirs)
    for said in (a, b):
        for status in [s for s in said if is_about_the_dead(s, dead)]:
            del said[status]
            said['away', status[1]] = 1
    if a != b:
        return '  ours: %s\n  reference: %s' % (dict(a), dict(b))
    if relays_own(ours) != relays_own(theirs):
        return '  the relay of itself: ours %s, reference %s' % (relays_own(ours), relays_own(theirs))
    # Hubble's nodes may give another empty member of a oneof to each relay.
    ours, theirs = ([rules.masked(request, r) for r in data(rs)] for rs in (ours, theirs))
    a, b = keys(ours), keys(theirs)
    if sorted(a) != sorted(b):
        only = [list((collections.Counter(ks) - collections.Counter(other)).elements()) for ks, other in ((a, b), (b, a))]
        only = [[type((ours + theirs)[0]).FromString(k) for k in ks] for ks in only]
        return '  %d flows, reference %d\n%s' % (len(ours), len(theirs), rules.first_difference(*only))
    if not has_times(request):
        return None
    times = [r.time.ToNanoseconds() for r in ours]
    if times != sorted(times):
        return '  ours are out of order'
    queue = min(QUEUE, request.number * peers or QUEUE)
    return None if a == b or len(theirs) > queue else rules.first_difference(ours, theirs)


def lists_differ(method, ours, theirs, dead=()):
    a, b = ours[0], theirs[0]
    for r in (a, b):
        if method == 'ServerStatus':
            r.ClearField('version')
            r.ClearField('uptime_ns')
            r.unavailable_nodes.sort()
        elif method == 'GetNodes':
            nodes = sorted(r.nodes, key=lambda n: n.name)
            for n in nodes:
                n.ClearField('uptime_ns')
                if n.name in dead and n.state in (UNAVAILABLE, ERROR):
                    n.state = UNAVAILABLE
            r.ClearField('nodes')
            r.nodes.extend(nodes)
    return None if rules.equal([a], [b]) else rules.first_difference([a], [b])


def difference(method, request, peers, ours, theirs, dead=()):
    if ours[1:] != theirs[1:]:
        return '  ours: %s %s\n  reference: %s %s' % (*ours[1:], *theirs[1:])
    if method in ('ServerStatus', 'GetNodes', 'GetNamespaces'):
        return lists_differ(method, ours[0], theirs[0], dead)
    return flows_differ(request, peers, ours[0], theirs[0], dead)


__all__ = ['difference', 'wire']
