#!/usr/bin/env python3
"""The same questions to tycho-observer and to Hubble's observer server, over gRPC, about the same flows.

    against.py --reference BUILD/oracle/server [--bin BUILD/bin/tycho-observer] [--about KIND]... [--runs N] [--seed N] [--shared DIR]

A world is a ring's worth of flows made from recorded ones, with lost, agent and debug events among them, often more than the
ring holds. Both servers get it, and then a hundred questions each: ranges, numbers, filters of every field, masks; events;
followers to whom more comes; requests that are none. All responses must be the same, in the same order, and the status and
its words; every difference is printed, with the seed that makes it again.

Not asked: flows out of order of time, and without a time; which of two values of a field counts. What docs/compatibility.md says to be better on purpose is known to
same(), each by a rule of its own. Needs python3-grpcio and the reference's program (../build).
"""
import argparse
import json
import os
import random
import sys

import grpc
from google.protobuf import json_format, text_format

import follow
import rules
from sides import side, until, wire
from worlds import FlowFilter, Recorded, World

QUESTIONS = 100  # of a world
DAY_S = 86400


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


# --- worlds ---------------------------------------------------------------------------------------------------------

def show(request):
    if isinstance(request, bytes):
        return 'bytes %s' % request.hex()
    return text_format.MessageToString(request, as_one_line=True, as_utf8=True)


class Asker:
    def __init__(self, args, recorded):
        self.args, self.recorded, self.asked, self.found = args, recorded, 0, 0

    def tell(self, seed, method, request, what):
        self.found += 1
        print('%s, %s {%s}\n%s' % (seed, method, show(request), what), flush=True)

    def world(self, kind, number):
        seed = '%s %d.%d' % (kind, self.args.seed, number)
        w = World(self.recorded, random.Random(seed), capacity=4095 if kind == 'follow' else None)
        with side(self.args.bin, capacity=w.capacity) as ours, side(self.args.reference, capacity=w.capacity) as theirs:
            for s in (ours, theirs):
                s.give(w.lines)
                s.close_newest()
            if kind == 'follow':
                follow.ask(self, seed, w, ours, theirs)
                return
            with ours.client() as a, theirs.client() as b:
                for _ in range(min(QUESTIONS, 4 if kind == 'status' else QUESTIONS)):
                    method, request = KINDS[kind](w)
                    self.asked += 1
                    told = rules.difference(w, theirs.hides_newest, method, request, answer(a, method, request),
                                            answer(b, method, request))
                    if told:
                        self.tell(seed, method, request, told)

    def truth(self):
        """The recorded table of filters, asked of both: the reference's answers must be those that were recorded."""
        names = ['synthetic', 'real']
        golden = os.path.join(self.args.shared, 'golden')
        for name, cells in zip(names, zip(*(t[3] for t in self.recorded.truth))):
            with open(os.path.join(golden, 'flows', name + '.jsonl'), encoding='utf-8') as f:
                lines = f.read().split('\n')
            numbers = [n for n, line in enumerate(lines, 1) if line and 'flow' in json.loads(line)]
            with side(self.args.bin, capacity=16383) as ours, side(self.args.reference, capacity=16383) as theirs:
                for s in (ours, theirs):
                    s.give([lines[n - 1] for n in numbers])
                    s.close_newest()
                with ours.client() as a, theirs.client() as b:
                    held = [dict(zip(numbers, answer(c, 'GetFlows', wire.GetFlowsRequest())[0])) for c in (a, b)]
                    for (id_, (allow, deny), error, _), want in zip(self.recorded.truth, cells):
                        try:
                            request = wire.GetFlowsRequest(whitelist=rules.parsed(allow, FlowFilter),
                                                           blacklist=rules.parsed(deny, FlowFilter))
                        except json_format.ParseError:
                            continue  # no such filter goes over the wire
                        self.asked += 1
                        for who, client, flows in (('ours', a, held[0]), ('reference', b, held[1])):
                            told = rules.against_recorded(answer(client, 'GetFlows', request), error, want, flows)
                            if told:
                                self.tell('%s of %s' % (id_, name), 'GetFlows', request, '  %s: %s' % (who, told))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--bin', default=os.path.join(wire.ROOT, 'build', 'dev', 'bin', 'tycho-observer'))
    parser.add_argument('--reference', required=True, help='what ../build made of main.go')
    parser.add_argument('--about', action='append', choices=sorted(KINDS) + ['follow', 'truth'], help='only this kind (repeatable)')
    parser.add_argument('--runs', type=int, default=10, help='worlds of each kind')
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--first', type=int, default=0, help='number of the first world')
    parser.add_argument('--shared', default=os.environ.get('TYCHO_SHARED', ''), help='directory that holds golden/')
    args = parser.parse_args()
    golden = os.path.join(args.shared, 'golden')
    if not os.path.exists(os.path.join(golden, 'filters.tsv')):
        sys.exit("against: no recorded cases at '%s': set TYCHO_SHARED to the directory that holds golden/" % golden)
    asker = Asker(args, Recorded(golden))
    for kind in args.about or sorted(KINDS) + ['follow', 'truth']:
        if kind == 'truth':
            asker.truth()
            continue
        for number in range(args.first, args.first + args.runs):
            asker.world(kind, number)
    print('against: %d questions, %d answered differently' % (asker.asked, asker.found))
    return 1 if asker.found or not asker.asked else 0


if __name__ == '__main__':
    sys.exit(main())
