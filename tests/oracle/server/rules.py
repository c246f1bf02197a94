"""When are two answers the same? What is better on purpose (docs/compatibility.md) has a rule here, as narrow as it can be."""
from google.protobuf import json_format, text_format

from sides import wire

END_S = 1_750_000_000  # no made flow is so late
RING = wire.HUBBLE_RING_BUFFER


def parsed(filters, FlowFilter):
    return [json_format.ParseDict(f, FlowFilter()) for f in filters]


def against_recorded(got, error, want, flows):
    """@flows: all that there are, by the number of their line."""
    responses, status, words = got
    if error != '-':
        return None if status != 'OK' else 'OK, recorded: %s' % error
    wanted = set()
    for part in want.split(',') if want != '-' else ():
        a, _, b = part.partition('-')
        wanted |= set(range(int(a), int(b or a) + 1))
    wanted = [flows[n] for n in sorted(wanted) if n in flows]
    if status != 'OK' or len(responses) != len(wanted):
        return '%s %s, %d flows, recorded %d' % (status, words, len(responses), len(wanted))
    return None if equal(responses, wanted) else first_difference(responses, wanted)


def equal(ours, theirs):
    """By their bytes: messages in an Any are compared as they came."""
    return [r.SerializeToString(deterministic=True) for r in ours] == [r.SerializeToString(deterministic=True) for r in theirs]


def is_ring_loss(r):
    return r.HasField('lost_events') and r.lost_events.source == RING


def is_own_start(r):
    """Our observer says itself when it began."""
    return r.DESCRIPTOR.name == 'GetAgentEventsResponse' and r.agent_event.HasField('agent_start') and r.time.seconds > END_S


def is_in_range(request, r):
    t = r.time.ToNanoseconds()
    return not (request.HasField('since') and t < request.since.ToNanoseconds() or
                request.HasField('until') and t > request.until.ToNanoseconds())


def oneof_paths(mask):
    """Where a mask looks into l4 or l7, and how many members of them it names."""
    found = {}
    for path in mask.paths:
        parts = path.split('.')
        for i in range(len(parts) - 1):
            if parts[i] in ('l4', 'l7'):
                found.setdefault(tuple(parts[:i + 1]), set()).add(parts[i + 1])
    return found


def prune(message):
    """Takes out messages that say nothing."""
    for field, value in message.ListFields():
        if field.message_type and field.label != field.LABEL_REPEATED:
            prune(value)
            if not value.ByteSize():
                message.ClearField(field.name)


def masked(request, r):
    """Hubble makes an empty member of a oneof, which may displace the one that the flow has."""
    if r.DESCRIPTOR.name != 'GetFlowsResponse' or not r.HasField('flow'):
        return r
    named = oneof_paths(request.field_mask)
    if not named:
        return r
    out = type(r)()
    out.CopyFrom(r)
    for (*above, part), members in named.items():
        holder = out.flow
        for name in above:
            holder = getattr(holder, name)
        if len(members) > 1:
            holder.ClearField(part)
        elif holder.HasField(part):
            prune(getattr(holder, part))
            if not getattr(holder, part).ByteSize():
                holder.ClearField(part)
    for name in {above[0] for (*above, _) in named if above}:
        prune(getattr(out.flow, name))
        if not getattr(out.flow, name).ByteSize():
            out.flow.ClearField(name)
    return out


def show(r):
    return text_format.MessageToString(r, as_one_line=True, as_utf8=True)


def first_difference(ours, theirs):
    for i, (a, b) in enumerate(zip(ours, theirs)):
        if not equal([a], [b]):
            return '  ours [%d]: %s\n  reference [%d]: %s' % (i, show(a), i, show(b))
    i = min(len(ours), len(theirs))
    longer, who = (ours, 'ours') if len(ours) > len(theirs) else (theirs, 'reference')
    return '  only %s [%d]: %s' % (who, i, show(longer[i])) if longer[i:] else ''


def streams_differ(w, hides, method, request, ours, theirs):
    if method == 'GetFlows':
        # A loss in the ring of which nobody is told in time; ours says none of a ring at rest.
        theirs = [r for r in theirs if not is_ring_loss(r)]
        if hides:
            theirs = [r for r in theirs if not r.HasField('lost_events') or is_in_range(request, r)]
            ours, theirs = ([masked(request, r) for r in rs] for rs in (ours, theirs))
    elif any(is_own_start(r) for r in ours):
        ours, theirs = ([r for r in rs if not is_own_start(r)] for rs in (ours, theirs))
        if request.number:  # it was one of so many
            ours, theirs = (rs[:request.number - 1] for rs in (ours, theirs))
    walks = request.number and not request.first and not request.HasField('since')
    counts_too_much = method != 'GetFlows' or not w.is_pure or request.HasField('until')
    if hides and walks and counts_too_much and not equal(ours, theirs):
        # What is no flow, or after the range, counts as one while Hubble walks back: it returns fewer, the newest, and goes
        # on to the end for more.
        while theirs and method == 'GetFlows' and theirs[-1].HasField('lost_events') and not equal(ours[-1:], theirs[-1:]):
            theirs = theirs[:-1]
        if len(theirs) <= len(ours) and equal(ours[len(ours) - len(theirs):], theirs):
            return None
    return None if equal(ours, theirs) else first_difference(ours, theirs)


def status_differ(w, hides, ours, theirs):
    a, b = ours[0], theirs[0]
    for r in (a, b):
        r.ClearField('version')
        r.ClearField('uptime_ns')
    if hides and len(w.lines) < w.capacity:
        a.num_flows -= 1  # our own start
        b.num_flows -= 1  # the event that closes
    return None if equal([a], [b]) else first_difference([a], [b])


def namespaces_differ(w, ours, theirs):
    """Ours have the cluster that the flow tells; Hubble's all have the server's, which is none here."""
    ends = [e for f in w.flows for e in (f.source, f.destination) if e.namespace]
    want = sorted({('' if e.cluster_name == 'default' else e.cluster_name, e.namespace) for e in ends})
    if sorted({n.namespace for n in ours.namespaces}) != [n.namespace for n in theirs.namespaces]:
        return first_difference([ours], [theirs])
    return None if [(n.cluster, n.namespace) for n in ours.namespaces] == want else '  ours: %s, wanted %s' % (show(ours), want)


def words_differ(ours, theirs):
    """Ours are cut at 511 bytes."""
    return not (ours == theirs or len(ours.encode()) >= 500 and ours.endswith('…') and theirs.startswith(ours[:-1]))


def is_odd(data, descriptor):
    """Has what parsers differ about: a group, a number of more than 64 bits, or a field of @descriptor in another wire type."""
    kinds = {f.number: 0 if f.type in (f.TYPE_BOOL, f.TYPE_UINT64) else 2 for f in descriptor.fields}
    at = 0

    def number():
        nonlocal at
        value = shift = 0
        while at < len(data):
            byte, at = data[at], at + 1
            value |= (byte & 0x7f) << shift
            shift += 7
            if byte < 0x80 or shift > 63:
                break
        return value
    while at < len(data):
        tag = number()
        kind = tag & 7
        value = number() if kind in (0, 2) else 0
        if (tag | value) >> 64 or kind in (3, 4) or kinds.get(tag >> 3, kind) != kind:
            return True
        at += {0: 0, 1: 8, 2: value, 5: 4}.get(kind, 0)
    return False


def difference(w, hides, method, request, ours, theirs):
    """What there is to tell, or None."""
    d = wire.POOL.FindServiceByName('observer.Observer').methods_by_name[method]
    if isinstance(request, bytes) and is_odd(request, d.input_type):
        return None
    if ours[1] != theirs[1] or words_differ(ours[2], theirs[2]):
        if isinstance(request, bytes) and hides and (ours[1], theirs[1]) == ('INVALID_ARGUMENT', 'INTERNAL'):
            return None
        return '  ours: %s %s\n  reference: %s %s' % (*ours[1:], *theirs[1:])
    if isinstance(request, bytes):
        if ours[1] != 'OK':
            return None
        request = wire.message(d.input_type.full_name).FromString(request)
    if method == 'ServerStatus':
        return status_differ(w, hides, ours[0], theirs[0])
    if method == 'GetNamespaces' and hides:
        return namespaces_differ(w, ours[0][0], theirs[0][0])
    if method == 'GetNamespaces':
        return None if equal(ours[0], theirs[0]) else first_difference(ours[0], theirs[0])
    return streams_differ(w, hides, method, request, ours[0], theirs[0])
