#!/usr/bin/env python3
"""The same questions to tycho-relay and to Hubble's relay, in front of the same nodes: Tycho's observers and Hubble's, mixed.

    against.py --reference BUILD/oracle/relay --server BUILD/oracle/server [--bin BUILD/bin/tycho-observer]
               [--relay BUILD/bin/tycho-relay] [--about KIND]... [--runs N] [--seed N] [--shared DIR]

Both relays learn of the nodes from Hubble's peer service. Compared are all flows, whatever nodes sent them, and their order;
who takes part, who cannot be asked, who refuses and in which words; sums of status, the list of nodes, namespaces; what
becomes of both while nodes join, leave and die, also for followers; mutual TLS, and certificates of other names. Times of two flows are never the same here: their order
would be anybody's. What docs/relay.md says to be better on purpose is known, each by a rule (same.py).
"""
import argparse
import os
import random
import sys
import tempfile

from cluster_sides import Cluster, wire  # first: it says where the others are

import same
from following import about_followers
from pki import Authority
from questions import about_events, about_filters, about_flows, about_masks, answer, show
from worlds import Recorded, World

QUESTIONS = 40  # of a cluster


def about_status(w):
    method = w.rng.choice(['ServerStatus', 'GetNodes', 'GetNamespaces'])
    return method, wire.message('observer.%sRequest' % method)()


STATIC = [about_flows, about_flows, about_flows, about_filters, about_masks, about_events, about_status]


class Scene:
    """A cluster with its flows; w stands for all of them where questions are made."""

    def __init__(self, asker, seed, **kw):
        self.asker, self.seed, self.rng = asker, seed, random.Random(seed)
        self.cluster = Cluster(asker.args, self.rng, **kw)
        self.worlds, self.dead = {}, set()
        self.w = World(asker.recorded, self.rng, size=0)

    def __enter__(self):
        self.cluster.__enter__()
        for name in self.cluster.nodes:
            self.populate(name)
        return self

    def __exit__(self, *exc):
        return self.cluster.__exit__(*exc)

    def populate(self, name):
        """Flows for a node that has just begun."""
        if name not in self.worlds:
            slot = len(self.worlds)
            self.worlds[name] = World(self.asker.recorded, self.rng, capacity=self.cluster.capacity, node=name, slot=slot,
                                      size=self.rng.choice([1, 5, 30, 60]))
            self.w.flows += self.worlds[name].flows
            for field, values in self.worlds[name].values.items():
                self.w.values[field] += values
        node = self.cluster.nodes[name]
        node.give(self.worlds[name].lines)
        node.close_newest()

    def ask(self, n, makers):
        with self.cluster.ours.client() as a, self.cluster.theirs.client() as b:
            for _ in range(n):
                method, request = self.rng.choice(makers)(self.w)
                if method == 'GetFlows' and request.first and request.follow:
                    continue  # ours says so itself, Hubble's lets each node say it
                self.asker.asked += 1
                told = same.difference(method, request, len(self.worlds), answer(a, method, request), answer(b, method, request),
                                       self.dead)
                if told:
                    self.asker.tell(self.seed, method, request, told)


def about_history(asker, seed):
    with Scene(asker, seed) as scene:
        scene.ask(QUESTIONS, STATIC)


def about_changes(asker, seed):
    """Nodes join, leave the list, die and come back; each time both relays are asked."""
    with Scene(asker, seed, size=3) as scene:
        c, rng = scene.cluster, scene.rng
        for _ in range(6):
            alive = sorted(set(c.nodes) - scene.dead)
            what = rng.choice(['join', 'leave', 'die', 'back'])
            if what == 'join':
                name = 'n%d' % (len(c.ips) + 1)
                c.nodes[name] = c.stack.enter_context(c.node(name))
                c.tell('add', name)
                scene.populate(name)
            elif what == 'leave' and len(c.nodes) > 1:
                name = rng.choice(sorted(c.nodes))
                c.tell('delete', name)
                c.nodes.pop(name)
                scene.worlds.pop(name)
                scene.dead.discard(name)
            elif what == 'die' and alive:
                name = rng.choice(alive)
                scene.dead.add(name)
                c.nodes[name].process.kill()
                c.nodes[name].process.wait()
            elif what == 'back' and scene.dead:
                name = rng.choice(sorted(scene.dead))
                scene.dead.discard(name)
                c.nodes[name] = c.stack.enter_context(c.node(name))
                scene.populate(name)
            c.wait_known(scene.dead)
            scene.ask(5, [about_flows, about_status])


def about_tls(asker, seed):
    """Mutual TLS by the names that the peer service tells; mostly one node whose certificate has another."""
    misnamed = random.Random(seed).choice([(), ('n2',), ('n2',), ('n1', 'n3')])
    with tempfile.TemporaryDirectory() as folder, \
            Scene(asker, seed, size=3, authority=Authority(folder, 'ca'), misnamed=misnamed) as scene:
        scene.dead |= set(misnamed)
        scene.ask(10, [about_flows, about_status])


KINDS = {'history': about_history, 'changes': about_changes, 'tls': about_tls, 'follow': lambda asker, seed: about_followers(asker, seed, Scene)}


class Asker:
    def __init__(self, args, recorded):
        self.args, self.recorded, self.asked, self.found = args, recorded, 0, 0

    def tell(self, seed, method, request, what):
        self.found += 1
        print('%s, %s {%s}\n%s' % (seed, method, show(request), what), flush=True)


def main():
    built = os.path.join(wire.ROOT, 'build', 'dev', 'bin')
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--bin', default=os.path.join(built, 'tycho-observer'))
    parser.add_argument('--relay', default=os.path.join(built, 'tycho-relay'))
    parser.add_argument('--reference', required=True, help="Hubble's relay: what ../build made of main.go")
    parser.add_argument('--server', required=True, help="Hubble's observer: what it made of ../server")
    parser.add_argument('--about', action='append', choices=sorted(KINDS), help='only this kind (repeatable)')
    parser.add_argument('--runs', type=int, default=10, help='clusters of each kind')
    parser.add_argument('--first', type=int, default=0, help='number of the first cluster')
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--shared', default=os.environ.get('TYCHO_SHARED', ''), help='directory that holds golden/')
    args = parser.parse_args()
    golden = os.path.join(args.shared, 'golden')
    if not os.path.exists(os.path.join(golden, 'filters.tsv')):
        sys.exit("against: no recorded cases at '%s': set TYCHO_SHARED to the directory that holds golden/" % golden)
    asker = Asker(args, Recorded(golden))
    for kind in args.about or sorted(KINDS):
        for number in range(args.first, args.first + args.runs):
            KINDS[kind](asker, '%s %d.%d' % (kind, args.seed, number))
    print('against: %d questions, %d answered differently' % (asker.asked, asker.found))
    return 1 if asker.found or not asker.asked else 0


if __name__ == '__main__':
    sys.exit(main())

