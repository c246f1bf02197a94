"""Followers: what is there, and what comes while they listen."""
import threading

import grpc

import rules
from sides import until, wire

FOLLOWERS = 12  # of a world
PROBE, END = 'probe', 'end'


class Follower:
    """A stream that a thread reads, up to the flow that ends it."""

    def __init__(self, server, request):
        self.client = server.client(fast=False)
        self.stream = self.client.call('observer.Observer', 'GetFlows', timeout=60,
                                       **{f.name: v for f, v in request.ListFields()})
        self.got, self.has_begun, self.status = [], threading.Event(), ('OK', '')
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self):
        try:
            for r in self.stream:
                if self.take(r):
                    break
        except grpc.RpcError as e:
            self.status = e.code().name, (e.details() or '').replace('\u00a0', ' ')
        self.has_begun.set()

    def take(self, r):
        """@return whether that was the last."""
        if r.flow.uuid == PROBE:
            self.has_begun.set()
        elif r.flow.uuid != END:
            self.got.append(r)
        return r.flow.uuid == END

    def end(self):
        self.thread.join(70)
        self.stream.cancel()
        self.client.close()
        return self.got, *self.status


def request_of(w):
    r = w.rng
    request = wire.GetFlowsRequest(follow=True)
    if r.random() < 0.4:
        request.number = r.choice([1, 2, 3, 20, 1000])
    if r.random() < 0.3:
        request.since.FromNanoseconds(r.choice(w.flows).time.ToNanoseconds())
    if r.random() < 0.5:
        request.whitelist.append(w.filter())
        request.whitelist.add(uuid=[PROBE, END])
    if r.random() < 0.1:
        request.first = True
    return request


def ask(asker, seed, w, ours, theirs):
    requests = [request_of(w) for _ in range(FOLLOWERS)]
    before = w.count
    pairs = [(q, Follower(ours, q), Follower(theirs, q)) for q in requests]

    def all_begun():
        line = w.sentinel(PROBE)
        for s in (ours, theirs):
            s.give([line])
        return all(f.has_begun.is_set() for _, a, b in pairs for f in (a, b))
    until(all_begun)
    for _ in range(3):
        lines = w.more(w.rng.randrange(1, 40))
        for s in (ours, theirs):
            s.give(lines)
    end = w.sentinel(END)
    for s in (ours, theirs):
        s.give([end])
        s.close_newest()
    for request, a, b in pairs:
        asker.asked += 1
        mine, reference = a.end(), b.end()
        if mine[1:] != reference[1:]:
            told = '  ours: %s %s\n  reference: %s %s' % (*mine[1:], *reference[1:])
        else:
            told = differ(w, theirs.hides_newest, request, before, mine[0], reference[0])
        if told:
            asker.tell(seed, 'GetFlows', request, told)


def differ(w, hides, request, before, ours, theirs):
    if hides and not request.number and not request.HasField('since'):
        # One flow that was there already.
        if theirs and theirs[0].HasField('flow') and int(theirs[0].flow.uuid.split('-')[-1]) <= before:
            theirs = theirs[1:]
    return rules.streams_differ(w, hides, 'GetFlows', request, ours, theirs)
