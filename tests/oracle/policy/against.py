#!/usr/bin/env python3
"""Random policies over random clusters: what do Cilium's policy code and lib/policy say differently?

    against.py --bin BUILD/bin/policy_answer --reference BUILD/oracle/policy [--about KIND]... [--runs N] [--seed N] [--shared DIR]

`recorded`: the recorded connections, labels, selections and refusals (golden/policy), which the reference must answer as recorded: then it
is the same program. Needs --shared, and PyYAML.

`sets`: sets of NetworkPolicy, CiliumNetworkPolicy and CiliumClusterwideNetworkPolicy, and some twenty connections for each. Asked
is the verdict at both ends, the rules that make it, the proxy and the authentication, whom each policy selects and denies
by default. `meeting`: sets of which the rules ask for few ports and peers, and so for the same ones. `refused`: policies of which a part was damaged; asked is whether the resource definition or the agent refuses them.

Where the agent's answer depends on the order in which it comes by things (two proxies on one port), each of them is right: what differs is
asked again a few times. Not asked: policies of
cloud groups (others make them, and the agent leaves them alone), NetworkPolicy that an API server would refuse (its checks are not the
agent's), type 0 of ICMP (the agent's map holds it as all types), ranges that begin at a port's name (of several of one name the agent takes the
end of the first).

Each difference is printed with a question that still has it and has as little else as possible, and its world: lines that both programs
read. Standard library only, but for the recorded cases.
"""
import argparse
import collections
import csv
import json
import os
import random
import re
import subprocess
import sys
import tempfile

import made

SETS_OF_A_WORLD, CONNECTIONS, AGAIN = 20, 20, 8


class Program:
    def __init__(self, path):
        self.path = path
        self.said = tempfile.TemporaryFile()  # the agent says a lot
        self.p = subprocess.Popen([path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.said)

    def ask(self, question):
        try:
            self.p.stdin.write(json.dumps(question).encode() + b'\n')
            self.p.stdin.flush()
            line = self.p.stdout.readline()
        except BrokenPipeError:
            line = b''
        if not line:
            self.said.seek(0)
            sys.exit('%s ended at %s:\n%s' % (self.path, made.text(question), self.said.read()[-4000:].decode(errors='replace')))
        return json.loads(line)

    def close(self):
        self.p.stdin.close()
        self.p.wait()


# What ours refuses on purpose and the reference takes (docs/policy.md): words of our sentence.
STRICTER = ('no such field', 'rules that deny take no ', ' is below port ', # not checked by the reference's program, but by an API server
            'serverNames[', ' is gone; ', ': it is null: ', '.k8sServiceSelector.', 'type must be 0 to 255')


EMPTY_IS_LEFT_OUT = {'endPort', 'namespace', 'topic', 'clientID', 'apiKey', 'apiVersion', 'path', 'method', 'host', 'value', 'family'}


def is_quirk(refusal):
    """What the reference's check of unknown fields gets wrong: it compares what it read, written again, and so finds fields that
    were 0 or empty, or had another type, and lists of them with nothing in it."""
    extra = re.fullmatch(r'unknown fields found, extra:\[(.*)\]', refusal.get('schema', ''))
    return bool(extra) and 'agent' not in refusal and (not extra[1] or
                                                       any(f.split('.')[-1] in EMPTY_IS_LEFT_OUT for f in extra[1].split()))


def refused(answer):
    return sorted(r['object'] for r in answer['refused'])


def authentication(side):
    return {'spire': 'required'}.get(side.get('auth'), side.get('auth'))


def differ_at(ours, theirs):
    """What differs of one end; None: nothing."""
    if 'panics' in theirs.get('error', ''):
        return None  # of two rules for one port of which one asks for authentication
    if 'serverNames' in ours.get('error', '') and 'error' in (ours['verdict'], theirs['verdict']):
        return None  # the agent finds this conflict or not, by the order of its map
    if ours['verdict'] != theirs['verdict']:
        return 'verdict'
    if ours['verdict'] == 'error':
        return None
    if ours.get('by', []) != theirs.get('by', []):
        return 'rules'
    if ours.get('redirect', '') not in [theirs.get('redirect', '')] + theirs.get('redirects', []):
        return 'redirect'
    if ours['verdict'] == 'allowed:rule' and authentication(ours) != authentication(theirs):
        return 'authentication'
    return None


def differences(question, ours, theirs):
    """[what, index of the connection or None, our answer, theirs]"""
    if refused(ours) != refused(theirs):
        if all(any(w in r['agent'] for w in STRICTER) for r in ours['refused'] if r['object'] not in refused(theirs)) \
                and all(is_quirk(r) for r in theirs['refused'] if r['object'] not in refused(ours)):
            return []
        return [['refused', None, ours['refused'], theirs['refused']]]
    if re.search(r'"(from|to)Groups": \[\{', json.dumps(question)):
        return []  # others make policies of it
    found = []
    for i, (a, b) in enumerate(zip(ours['sides'], theirs['sides'])):
        for name, x, y in zip(('egress', 'ingress'), a, b):
            what = differ_at(x, y)
            if what:
                found.append(['%s %s' % (name, what), i, x, y])
    for policy in sorted(set(ours.get('selects', {})) | set(theirs.get('selects', {}))):
        x, y = ours.get('selects', {}).get(policy), theirs.get('selects', {}).get(policy)
        if x != y:
            found.append(['selects', None, {policy: x}, {policy: y}])
    return found


# --- recorded cases ------------------------------------------------------------------------------

def rows(golden, name):
    with open(os.path.join(golden, name), encoding='utf-8', newline='') as f:
        return list(csv.DictReader(f, delimiter='\t', quoting=csv.QUOTE_NONE))


def list_of(cell):
    return [] if cell in ('-', '') else cell.split(',')


def recorded(golden, asker):
    """Yields what the reference says otherwise than it is recorded; ends with how many answers were compared."""
    import yaml  # a key may be "2024-01-01", and is text then

    class Loader(yaml.SafeLoader):
        yaml_implicit_resolvers = {k: [r for r in v if r[0] != 'tag:yaml.org,2002:timestamp']
                                   for k, v in yaml.SafeLoader.yaml_implicit_resolvers.items()}

    def documents(name):
        with open(os.path.join(golden, name), encoding='utf-8') as f:
            return [d for d in yaml.load_all(f, Loader) if d]

    cases, compared = collections.defaultdict(list), 0
    for r in rows(golden, 'cases.tsv'):
        cases[r['world'], r['policies']].append(r)
    selects = collections.defaultdict(dict)
    for r in rows(golden, 'selects.tsv'):
        selects[r['world'], r['policies']][r['policy']] = [','.join(list_of(r['default_deny'])), ','.join(list_of(r['endpoints']))]
    for world in sorted({w for w, _ in cases}):
        labels = asker.enter(documents('worlds/%s.yaml' % world)[0])[1]
        for r in rows(golden, 'identities.tsv'):
            if r['world'] == world and labels.get(r['peer']) != r['labels']:
                yield '%s %s: labels %s, recorded %s' % (world, r['peer'], labels.get(r['peer']), r['labels'])
        for (_, files), lines in ((k, v) for k, v in sorted(cases.items()) if k[0] == world):
            told = asker.theirs.ask({'objects': [o for f in list_of(files) for o in documents('policies/' + f)], 'selects': True,
                                     'connections': [[r['src'], r['dst'], r['proto'], int(r['port'])] for r in lines]})
            for policy, both in selects[world, files].items():
                if told['selects'].get(policy) != both:
                    yield '%s %s: selects %s, recorded %s' % (files, policy, told['selects'].get(policy), both)
            for r, sides in zip(lines, told['sides']):
                for name, side in zip(('egress', 'ingress'), sides):
                    compared += 1
                    by = side.get('by', []) if r[name] != 'error' else list_of(r[name + '_by'])
                    if side['verdict'] != r[name] or by != list_of(r[name + '_by']) \
                            or (side.get('redirect') or '-') not in r[name + '_redirect'].split('|'):
                        yield '%s %s: %s, recorded %s' % (r['id'], name, made.text(side), made.text(r))
    for r in rows(golden, 'invalid.tsv'):
        compared += 1
        said = asker.theirs.ask({'objects': documents(r['file']), 'connections': []})['refused']
        if bool(said) != (r['result'] == 'rejected'):
            yield '%s: %s, recorded %s' % (r['file'], made.text(said), r['result'])
    print('against: %d recorded answers compared' % compared, file=sys.stderr)


class Asker:
    def __init__(self, bin_, reference):
        self.ours, self.theirs = Program(bin_), Program(reference)
        self.world = None

    def enter(self, world):
        self.world = world
        return self.ours.ask({'world': world})['labels'], self.theirs.ask({'world': world})['labels']

    def differences(self, question):
        """Those that stay: where the agent's answer depends on the order of its maps, ours may be any of them."""
        ours = self.ours.ask(question)
        found = differences(question, ours, self.theirs.ask(question))
        for _ in range(AGAIN if found else 0):
            again = {(d[0], d[1]) for d in differences(question, ours, self.theirs.ask(question))}
            found = [d for d in found if (d[0], d[1]) in again]
        return found

    def smaller(self, question, what):
        """The same difference with less to read: members go one after the other, for as long as it stays."""
        def words(answer):
            return sorted((r['object'], r['agent'][-20:]) for r in answer['refused'])

        def holds(q):
            return words(self.ours.ask(q)) == refusals_ and any(d[0] == what for d in self.differences(q))
        refusals_ = words(self.ours.ask(question))
        went = True
        while went:
            went = False
            for spot in sorted(made.Made(None).places(question['objects']), key=lambda s: (len(s), s != (), str(s))):
                q = json.loads(json.dumps(question))
                at = q['objects']
                try:
                    for s in spot[:-1]:
                        at = at[s]
                    if not spot or spot[-1] in ('kind', 'apiVersion', 'metadata', 'name', 'namespace'):
                        continue
                    del at[spot[-1]]
                except (KeyError, IndexError, TypeError):
                    continue
                if holds(q):
                    question, went = q, True
                    break
        return question


def sets(m, world):
    return {'objects': m.policies(world), 'connections': m.connections(world, CONNECTIONS), 'selects': True}


def refusals(m, world):
    policy = m.cilium(world, 0)
    return {'objects': [m.damage(policy)], 'connections': m.connections(world, 4), 'selects': True}


def meeting(m, world):
    return {'objects': [m.meeting(world, i) for i in range(m.rng.randint(1, 4))], 'selects': True,
            'connections': m.connections(world, CONNECTIONS, [80, 80, 443, 64, 99, 127, 500, 53, 8080])}


KINDS = {'meeting': meeting, 'sets': sets, 'refused': refusals}


def main():
    p = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    p.add_argument('--bin', required=True, help='our policy_answer')
    p.add_argument('--reference', required=True, help='the program that tests/oracle/build made')
    p.add_argument('--shared', help='the folder with golden/policy')
    p.add_argument('--about', action='append', choices=sorted(KINDS) + ['recorded'])
    p.add_argument('--runs', type=int, default=1000, help='questions of each kind')
    p.add_argument('--seed', type=int, default=random.randrange(1 << 32))
    p.add_argument('--most', type=int, default=20, help='differences that are printed')
    args = p.parse_args()
    print('against: seed %d' % args.seed, file=sys.stderr)
    m = made.Made(random.Random(args.seed))
    asker = Asker(args.bin, args.reference)
    asked, sides, found = 0, 0, collections.Counter()
    for kind in args.about or (['recorded'] if args.shared else []) + sorted(KINDS):
        for told in recorded(os.path.join(args.shared, 'golden', 'policy'), asker) if kind == 'recorded' else []:
            found['recorded'] += 1
            print(told)
        for i in range(args.runs if kind in KINDS else 0):
            if i % SETS_OF_A_WORLD == 0:
                world = m.world()
                a, b = asker.enter(world)
                if a != b:
                    found['labels'] += 1
                    told = {k: [sorted(set(x.split(',')) - set(y.split(','))) for x, y in ((a[k], b[k]), (b[k], a[k]))]
                            for k in b if a.get(k) != b[k]}
                    print('labels: only ours, only theirs: %s' % made.text(told))
            q = KINDS[kind](m, world)
            ds = asker.differences(q)
            asked += 1
            sides += 2 * len(q['connections'])
            for what in sorted({d[0] for d in ds}):
                found[what] += 1
                if sum(found.values()) > args.most:
                    continue
                d = next(d for d in ds if d[0] == what)
                one = dict(q, connections=[] if d[1] is None else [q['connections'][d[1]]])
                if any(x[0] == what for x in asker.differences(one)):
                    one = asker.smaller(one, what)
                    d = next((x for x in asker.differences(one) if x[0] == what), d)
                print('%s: ours %s, theirs %s\n  %s\n  %s' % (what, made.text(d[2]), made.text(d[3]), made.text(one),
                                                           made.text({'world': world})))
                sys.stdout.flush()
    asker.ours.close()
    asker.theirs.close()
    print('against: %d questions, %d ends, %d answered differently%s'
          % (asked, sides, sum(found.values()), ' (%s)' % ', '.join('%s %d' % f for f in sorted(found.items())) if found else ''))
    return 1 if found else 0


if __name__ == '__main__':
    sys.exit(main())
