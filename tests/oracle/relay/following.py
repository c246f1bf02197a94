"""Followers of both relays: what comes, from each node, while nodes die and return."""
import time

from cluster_sides import until

import same
from follow import END, PROBE, Follower, request_of

FOLLOWERS = 4


class RelayFollower(Follower):
    """Up to the flow that ends it, from each of @nodes; begun when each has been heard."""

    def __init__(self, server, request, nodes):
        self.heard, self.ended, self.nodes = set(), set(), set(nodes)
        super().__init__(server, request)

    def take(self, r):
        """@return whether that was the last."""
        if r.flow.uuid == END:
            self.ended.add(r.flow.node_name)
        elif r.flow.uuid == PROBE:
            self.heard.add(r.flow.node_name)
            if self.heard >= self.nodes:
                self.has_begun.set()
        else:
            self.got.append(r)
        return self.ended >= self.nodes


def feed(scene, names, lines_of):
    for name in names:
        scene.cluster.nodes[name].give(lines_of(scene.worlds[name]))
        scene.cluster.nodes[name].close_newest()


def about_followers(asker, seed, Scene):
    with Scene(asker, seed, drain='50ms') as scene:
        c, names = scene.cluster, sorted(scene.cluster.nodes)
        before = {name: w.count for name, w in scene.worlds.items()}
        requests = [request_of(scene.w) for _ in range(FOLLOWERS)]
        requests = [r for r in requests if not r.first]
        for r in requests:  # what every node is past of: else its probes are not in the range
            if r.HasField('since'):
                r.since.FromNanoseconds(min([r.since.ToNanoseconds()] + [w.now_ns for w in scene.worlds.values()]))
        pairs = [(q, RelayFollower(c.ours, q, names), RelayFollower(c.theirs, q, names)) for q in requests]

        def all_begun():
            feed(scene, names, lambda w: [w.sentinel(PROBE)])
            time.sleep(0.2)  # Hubble's relay gives nothing out while something comes
            return all(f.has_begun.is_set() for _, a, b in pairs for f in (a, b))
        until(all_begun, fault=lambda: '%s: %s' % (seed, [(f.heard, f.status) for _, a, b in pairs for f in (a, b)]))
        for _ in range(3):
            feed(scene, names, lambda w: w.more(scene.rng.randrange(1, 20)))
        feed(scene, names, lambda w: [w.sentinel(END)])
        for request, a, b in pairs:
            asker.asked += 1
            (mine, *status), (reference, *other) = a.end(), b.end()
            if not request.HasField('since'):  # when did it begin? Only what came later is sure
                mine, reference = (
                    [r for r in rs if not r.HasField('flow') or int(r.flow.uuid.split('-')[-1]) > before[r.flow.uuid.split('-')[0]]]
                    for rs in (mine, reference))
            told = followed_differently(mine, reference) if status == other else '  ours: %s\n  reference: %s' % (status, other)
            if told:
                asker.tell(seed, 'GetFlows', request, told)


def followed_differently(ours, theirs):
    a, b = same.statuses(ours), same.statuses(theirs)
    if a != b:
        return '  ours: %s\n  reference: %s' % (dict(a), dict(b))
    ours, theirs = same.data(ours), same.data(theirs)
    if sorted(same.keys(ours)) != sorted(same.keys(theirs)):
        only = [[r for r in rs if r not in others] for rs, others in ((ours, theirs), (theirs, ours))]
        return '  %d flows, reference %d\n%s' % (len(ours), len(theirs), same.rules.first_difference(*only))
    return None

