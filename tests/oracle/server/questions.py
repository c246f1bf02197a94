"""What is asked of an observer or a relay, and how the answer is taken down."""
import grpc
from google.protobuf import text_format

from sides import wire


def show(request):
    if isinstance(request, bytes):
        return 'bytes %s' % request.hex()
    return text_format.MessageToString(request, as_one_line=True, as_utf8=True)


def answer(client, method, request, timeout=20):
    """All responses, the status and its words."""
    got = []
    d = wire.POOL.FindServiceByName('observer.Observer').methods_by_name[method]
    try:
        if isinstance(request, bytes):
            said = client.raw('/observer.Observer/' + method, request, timeout, streams=method.startswith('Get') and 's' == method[-1])
            parse = wire.message(d.output_type.full_name).FromString
            got = [parse(r) for r in said] if not isinstance(said, bytes) else [parse(said)]
        else:
            fields = {f.name: v for f, v in request.ListFields()}
            said = client.call('observer.Observer', method, timeout=timeout, **fields)
            if method in ('ServerStatus', 'GetNamespaces', 'GetNodes'):
                got = [said]
            else:
                for r in said:
                    got.append(r)
        return got, 'OK', ''
    except grpc.RpcError as e:
        return got, e.code().name, (e.details() or '').replace('\u00a0', ' ')


# --- questions ------------------------------------------------------------------------------------------------------

def moment(w):
    """A time at, just before, or just after a flow's; or far off; or none."""
    r, t = w.rng.random(), wire.timestamp_pb2.Timestamp()
    if r < 0.05:
        t.seconds = w.rng.choice([-1, -62135596800, -62135596801, 253402300799, 253402300800, 0, 2**63 - 1, -2**63])
        t.nanos = w.rng.choice([0, 0, -1, 999999999, 10**9, 2**31 - 1])
        return t
    t.FromNanoseconds(w.rng.choice(w.flows).time.ToNanoseconds() + w.rng.choice([-10**9, -1, 0, 0, 0, 1, 10**9]))
    return t


def selectors(w, request):
    r = w.rng
    if r.random() < 0.5:
        request.number = r.choice([0, 1, 2, 3, 5, 7, 8, 20, 63, 64, 65, 1000, 2**63, 2**64 - 1])
    if r.random() < 0.3:
        request.first = True
    if r.random() < 0.3:
        request.since.CopyFrom(moment(w))
    if r.random() < 0.3:
        request.until.CopyFrom(moment(w))
    return request


def filters(w, request):
    for _ in range(w.rng.choice([0, 1, 1, 1, 2])):
        request.whitelist.append(w.filter())
    for _ in range(w.rng.choice([0, 0, 0, 1, 2])):
        request.blacklist.append(w.filter())


def paths(descriptor, depth=0):
    for f in descriptor.fields:
        yield f.name
        if f.message_type and f.label != f.LABEL_REPEATED and depth < 2:
            for p in paths(f.message_type, depth + 1):
                yield '%s.%s' % (f.name, p)


PATHS = [p for p in paths(wire.Flow.DESCRIPTOR) if not p.startswith('tycho') and p != 'detail']


def masks(w, request):
    r = w.rng
    named = [r.choice(PATHS) for _ in range(r.choice([0, 1, 1, 2, 3, 6]))]
    if r.random() < 0.15 and named:
        p = named[0]
        named[0] = r.choice(['', p + '.', '.' + p, p + '.x', p.upper(), p + ',' + p, 'nosuch', ' ' + p, 'source.labels.x', 'sourcePod',
                             'source.workloads.name', 'l4.TCP.flags.SYN.x', 'source..identity', 'time.seconds'])
    request.field_mask.paths.extend(named)


def about_flows(w):
    request = selectors(w, wire.GetFlowsRequest())
    if w.rng.random() < 0.4:
        filters(w, request)
    if w.rng.random() < 0.2:
        masks(w, request)
    if w.rng.random() < 0.03:
        request.follow = request.first = True
    return 'GetFlows', request


def about_filters(w):
    request = wire.GetFlowsRequest()
    filters(w, request)
    return 'GetFlows', request


def about_masks(w):
    request = wire.GetFlowsRequest(number=w.rng.choice([0, 5, 20]))
    masks(w, request)
    if w.rng.random() < 0.2:
        filters(w, request)
    return 'GetFlows', request


def about_events(w):
    method = w.rng.choice(['GetAgentEvents', 'GetDebugEvents'])
    request = selectors(w, wire.message('observer.%sRequest' % method)())
    if w.rng.random() < 0.03:
        request.follow = request.first = True
    return method, request


def about_bytes(w):
    """What is no request, or is one in other bytes: fields twice, unknown fields, other wire types, cut off."""
    r = w.rng
    data = bytearray((about_flows(w) if r.random() < 0.8 else about_masks(w))[1].SerializeToString())
    for _ in range(r.choice([1, 1, 2])):
        at = r.randrange(len(data) + 1)
        how = r.randrange(5)
        if how == 0:
            data = data[:at]
        elif how == 1 and at < len(data):
            data[at] = r.randrange(256)
        elif how == 2:
            data[at:at] = bytes(r.randrange(256) for _ in range(r.randrange(1, 5)))
        elif how == 3:
            data += about_filters(w)[1].SerializeToString()
        else:
            data += bytes([0xfa, 0xff, 0x01, 0x02, 0x61, 0x62])  # an unknown field
    return r.choice(['GetFlows', 'GetFlows', 'ServerStatus', 'GetNamespaces', 'GetAgentEvents']), bytes(data)


def about_status(w):
    method = w.rng.choice(['ServerStatus', 'GetNamespaces'])
    return method, wire.message('observer.%sRequest' % method)()


KINDS = {'flows': about_flows, 'filters': about_filters, 'masks': about_masks, 'events': about_events, 'bytes': about_bytes,
         'status': about_status}
