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

from google.protobuf import json_format

import follow
import rules
from questions import KINDS, answer, show
from sides import side, wire
from worlds import FlowFilter, Recorded, World

QUESTIONS = 100  # of a world


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
