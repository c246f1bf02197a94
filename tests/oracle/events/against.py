#!/usr/bin/env python3
"""Made-up events of Cilium, put to its own parser and to our decoders: which flows differ?

    against.py --bin BUILD/bin/events_flows --reference build/oracle/events [--about KIND]... [--runs N] [--seed N] [--memory GiB]
               [--shared DIR]

What is asked, by kind: "recorded" events (golden/events) with bytes changed; "datapath" messages of every type, with packets of
every kind; the same in "worlds" that are not the recorded one; "records" of L7 and "notes" of an agent, which the reference's
side makes messages of, as an agent would (so it must be the reference); "streams", recorded ones of these with bytes changed;
"lost" events; what comes on the "monitor" socket. Outcome and JSON must agree; every difference is printed with what it takes to ask again, and is this program's failure.
Of streams with bytes changed, which nobody sends and Go's reader is stricter with, only that our program gets through.

Not asked: what the reference crashes on or cannot print (IP versions of L7 records other than 4 and 6, texts that are no UTF-8, times
before the year 1); a TCP option of MPTCP with an unknown subtype and length 0, on which it does not return; ids and revisions beyond
63 bits; endpoints of one id with the address of another. What is meant to differ is told apart in expected(). Standard library only.
"""
import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile

from packets import Messages
from records import Records
from worlds import Worlds

DATAPATH = {1: 'drop', 2: 'debug', 3: 'debug-capture', 4: 'trace', 5: 'policy-verdict', 7: 'trace-sock'}
RECORD_LOST = 2
VERDICT, BY_IDENTITY = 5, (0, 1, 2, 5, 7)   # the last one: a match of no known type, which leaves the key whole
AGENT = ('l7', 'agent', 'record', 'notify', 'lost', 'stream')
SENT = {'record': 'l7', 'notify': 'agent', 'stream': 'stream'}   # made by the reference's side, to us as
LARGEST = 256 << 10   # bytes of a message on the socket; larger ones we count as lost
DATAPATH_OPTIONS = ['{}', '{}', '{}', '{}', '{"skip_unknown_cgroup_ids":false}', '{"policy_correlation":false}']
WORLD = 400      # questions of a world
BATCH = 5000     # of the recorded one


class Question:
    def __init__(self, kind, payload, options='{}', cpu=0, node='kind-1/node-a', compared=True):
        self.kind, self.payload, self.options, self.cpu, self.node, self.compared = kind, payload, options, cpu, node, compared

    def line(self, number):
        return '\t'.join([str(number), self.kind, self.payload, str(self.cpu), self.node, self.options]) + '\n'


class Recorded:
    def __init__(self, shared):
        self.path = os.path.join(shared, 'golden', 'events', 'world.json')
        with open(self.path, encoding='utf-8') as f:
            self.world = json.load(f)
        with open(os.path.join(shared, 'golden', 'events', 'events.tsv'), encoding='utf-8') as f:
            rows = [line.rstrip('\n').split('\t') for line in f][1:]
        self.questions = [Question(r[1], r[2], r[7], int(r[3]), r[4]) for r in rows]


# --- questions ------------------------------------------------------------------------------

def changed(rng, data, from_byte):
    """Bytes of a message, some of them others."""
    out = bytearray(data)
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        if len(out) <= from_byte:
            break
        at, r = rng.randrange(from_byte, len(out)), rng.random()
        if r < 0.45:
            out[at] = rng.getrandbits(8)
        elif r < 0.6:
            out[at] ^= 1 << rng.randrange(8)
        elif r < 0.8:
            out[at] = rng.choice([0, 1, 2, 4, 6, 7, 8, 17, 0x45, 0x60, 0x81, 255])
        elif r < 0.87:
            del out[at:]
        elif r < 0.94:
            out[at:at] = bytes([rng.getrandbits(8)])
        else:
            del out[at]
    return bytes(out)


def recorded(rng, said, runs):
    pool = [q for q in said.questions if q.kind not in ('l7', 'agent', 'lost')]
    for q in pool:
        yield q
    for _ in range(runs):
        q = rng.choice(pool)
        yield Question(q.kind, changed(rng, bytes.fromhex(q.payload), 1 if rng.random() < 0.95 else 0).hex(), q.options, q.cpu, q.node)


def streams(rng, said, runs):
    pool = [q for q in said.questions if q.kind in ('l7', 'agent')]
    for q in pool:
        yield q
    for _ in range(runs):
        q = rng.choice(pool)
        yield Question(q.kind, changed(rng, bytes.fromhex(q.payload), 1).hex(), q.options, q.cpu, q.node, compared=False)


def datapath(rng, world, runs):
    made = Messages(rng, world)
    kinds = [made.drop] * 4 + [made.trace] * 8 + [made.policy_verdict] * 6 + [made.capture] * 2 + [made.debug] * 2 + [made.sock] * 2
    for _ in range(runs):
        message = rng.choice(kinds)()
        yield Question(DATAPATH.get(message[0], 'trace') if message else 'trace', message.hex(), rng.choice(DATAPATH_OPTIONS), rng.randrange(8),
                       rng.choice(['kind-1/node-a', 'kind-1/node-b', 'node-c']))


def records(rng, world, runs):
    made = Records(rng, world)
    return (Question('record', made.record(), made.options()) for _ in range(runs))


def notes(rng, world, runs):
    made = Records(rng, world)
    return (Question('notify', made.notification()) for _ in range(runs))


def lost(rng, world, runs):
    made = Records(rng, world)
    return (Question('lost', made.lost()) for _ in range(runs))


def monitor(rng, world, runs):
    made = Records(rng, world)
    return (Question('stream', made.payloads()) for _ in range(runs))


# --- answers --------------------------------------------------------------------------------

def endless(message):
    """May hold what the reference does not return from: option 30 of length 0, of a subtype that it does not know."""
    return any(message[i] == 30 and message[i + 1] == 0 and message[i + 2] >= 0x90 for i in range(20, len(message) - 2))


FIXED = {1: {0: 36, 1: 36, 2: 40, 3: 48}, 3: {}, 4: {0: 32, 1: 48, 2: 56}, 5: {}}   # bytes before the packet, by type and version


def hop_by_hop(message):
    """Has an IPv6 header that a hop-by-hop header follows?"""
    start = FIXED.get(message[0], {}).get(message[14], 24 if message[0] == 3 else 40) if len(message) > 14 else 0
    for i in range(start, len(message) - 40):
        if message[i + 6] == 0 and (i == start or message[i - 2:i] == b'\x86\xdd' or (i >= start + 20 and message[i - 11] == 41) or
                                    (i >= start + 40 and message[i - 34] == 41)):
            return True
    return False


class Asker:
    def __init__(self, args, scratch):
        self.args, self.scratch = args, scratch
        self.asked = self.found = 0

    def answers(self, program, world, questions):
        done = subprocess.run([program, world], input=''.join(q.line(i) for i, q in enumerate(questions)).encode(), stdout=subprocess.PIPE,
                              check=False, timeout=600, preexec_fn=lambda: self.bound(program))
        lines = [line.split('\t') for line in done.stdout.decode(errors='surrogateescape').split('\n')[:-1]]
        if done.returncode or len(lines) != len(questions):
            print('against: %s ended with %d after %d of %d questions, among them perhaps\n  %s' % (
                program, done.returncode, len(lines), len(questions), questions[min(len(lines), len(questions) - 1)].line(len(lines))), flush=True)
            sys.exit(1)
        return lines

    def bound(self, program):
        if program == self.args.reference and self.args.memory:
            resource.setrlimit(resource.RLIMIT_AS, (self.args.memory << 30, self.args.memory << 30))

    def ask(self, about, world, questions):
        questions = [q for q in questions if q.kind in AGENT or not endless(bytes.fromhex(q.payload))]
        if not questions:
            return
        theirs = self.answers(self.args.reference, world, questions)
        # what the reference's side made messages of, we are sent
        ours = self.answers(self.args.bin, world, [
            Question(SENT[q.kind], t[3], q.options, q.cpu, q.node) if q.kind in SENT else q
            for q, t in zip(questions, theirs)])
        for q, a, b in zip(questions, ours, theirs):
            self.asked += 1
            if not same(q, a, b):
                self.found += 1
                self.tell(about, world, q, a, b)

    def tell(self, about, world, q, ours, theirs):
        print('%s: %s' % (about, q.line(self.found).rstrip('\n')))
        if ours[1] == theirs[1] == 'flow' and q.kind != 'stream':
            a, b = read(ours[2]), read(theirs[2])
            for key in sorted(set(a) | set(b)):
                if a.get(key) != expected(q, b).get(key):
                    print('  %s\n    ours: %s\n    reference: %s' % (key, json.dumps(a.get(key), sort_keys=True), json.dumps(b.get(key), sort_keys=True)))
        else:
            print('  ours: %s %s\n  reference: %s %s' % (ours[1], ours[2][:600], theirs[1], theirs[2][:600]))
        if not world.startswith(self.args.shared):
            print('  world: %s' % self.keep(world))
        sys.stdout.flush()

    def keep(self, world):
        """A copy of a made-up world that outlives this program."""
        kept = os.path.join(tempfile.gettempdir(), 'against-%d-%s' % (self.args.seed, os.path.basename(world)))
        with open(world, 'rb') as f, open(kept, 'wb') as to:
            to.write(f.read())
        return kept


def read(text):
    try:
        return json.loads(text)
    except ValueError:
        return {'unreadable': text}


def on_socket(payload):
    """What a reader makes of it: a sample or a loss; None where nothing was lost."""
    cpu = payload['cpu'] if 0 <= payload['cpu'] < 1 << 31 else -1
    if len(payload['data']) / 2 > LARGEST:
        return {'lost': 1, 'cpu': -1}
    if payload['type'] == RECORD_LOST:
        return {'lost': payload['lost'], 'cpu': cpu} if payload['lost'] else None
    return {'data': payload['data'], 'cpu': cpu}


def expected(q, theirs):
    """What is meant to differ, taken out of the reference's answer."""
    if q.kind == 'stream':
        return [said for said in map(on_socket, theirs or ()) if said]
    theirs.pop('policy_log', None)   # the agent's API, where our policies come from, does not have it
    # A verdict that its peer's identity decided, where that peer is nobody: to the reference 0 is an identity, and everybody's.
    if theirs.get('event_type', {}).get('type') == VERDICT and theirs.get('policy_match_type', 0) in BY_IDENTITY:
        for peer, members in (('source', ('ingress_allowed_by', 'ingress_denied_by')), ('destination', ('egress_allowed_by', 'egress_denied_by'))):
            if not theirs[peer].get('identity'):
                for member in members:
                    theirs.pop(member, None)
    if q.kind == 'debug' and 'message' in theirs:  # in Go's order of maps, which changes
        theirs['message'] = theirs['message'].replace('RELATED, OUT', 'OUT, RELATED')
    return theirs


def same(q, ours, theirs):
    if theirs[1] in ('crash', 'unprintable') or not q.compared:
        return True
    if ours[1] == theirs[1] and (ours[1] != 'flow' or read(ours[2]) == expected(q, read(theirs[2]))):
        return True
    # The reference reads a VRRP packet's addresses, and on past the end where they are cut off: nobody asks for them.
    if 'panic: runtime error: slice bounds out of range' in theirs[2] and ours[1] == 'flow' and 'VRRP' in read(ours[2]).get('l4', {}):
        return True
    # And it does not mind that the packet ends within its eight bytes, if the buffer does not.
    if theirs[1] == 'flow' and ours[1] == 'error' and 'VRRP' in read(theirs[2]).get('l4', {}):
        return True
    # The reference takes the length of a hop-by-hop header for the payload's: what lies behind the packet is then read as its end.
    return q.kind not in AGENT and hop_by_hop(bytes.fromhex(q.payload))


def ask_all(asker, about, said, rng, runs):
    if about in ('recorded', 'streams'):
        asker.ask(about, said.path, {'recorded': recorded, 'streams': streams}[about](rng, said, runs))
    elif about == 'worlds':
        worlds = Worlds(rng, said.world)
        for number in range((runs + WORLD - 1) // WORLD):
            world = worlds.world()
            path = os.path.join(asker.scratch, 'world-%d.json' % number)
            with open(path, 'w', encoding='utf-8') as f:
                json.dump(world, f)
            asker.ask(about, path, datapath(rng, world, min(WORLD, runs)))
    else:
        made = {'datapath': datapath, 'records': records, 'notes': notes, 'lost': lost, 'monitor': monitor}[about]
        for _ in range((runs + BATCH - 1) // BATCH):
            asker.ask(about, said.path, made(rng, said.world, min(BATCH, runs)))


KINDS = ['recorded', 'datapath', 'worlds', 'streams', 'records', 'notes', 'lost', 'monitor']


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--bin', required=True, help='our events_flows')
    parser.add_argument('--reference', required=True, help='the program that tests/oracle/build makes of events/')
    parser.add_argument('--about', action='append', choices=KINDS, help='only this kind of question (repeatable)')
    parser.add_argument('--runs', type=int, default=5000, help='questions of each kind')
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--memory', type=int, default=8, help='GiB of addresses that the reference may take; 0: any (sanitizers take terabytes)')
    parser.add_argument('--shared', default=os.environ.get('TYCHO_SHARED', ''), help='directory that holds golden/')
    args = parser.parse_args()
    if not os.path.exists(os.path.join(args.shared, 'golden', 'events', 'events.tsv')):
        sys.exit("against: no recorded events at '%s': set TYCHO_SHARED to the directory that holds golden/" % args.shared)
    said = Recorded(args.shared)
    with tempfile.TemporaryDirectory() as scratch:
        asker = Asker(args, scratch)
        for about in args.about or KINDS:
            ask_all(asker, about, said, random.Random('%s %d' % (about, args.seed)), args.runs)
    print('against: %d questions, %d answered differently' % (asker.asked, asker.found))
    return 1 if asker.found or not asker.asked else 0


if __name__ == '__main__':
    sys.exit(main())
