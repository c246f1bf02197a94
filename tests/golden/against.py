#!/usr/bin/env python3
"""Random questions, put to our CLI and to the reference's: what do they answer differently?

    against.py --bin BUILD/bin/tycho --reference PATH/TO/hubble [--about KIND]... [--runs N] [--seed N] [--shared DIR]

Recorded cases (golden.py) hold what somebody thought of; this asks what nobody did. Values come from the recorded
command lines and flows, whole or with a character changed; so do flows, with members dropped, exchanged, renamed or made
nonsense. Both programs get the same arguments and file. Standard output, the exit code, and whether there is anything on
standard error must agree; every difference is printed, and is this program's failure. Help texts are nobody's to compare.

It is no part of the test run, because it needs the reference's program (Hubble's CLI 1.19.4, written in Go); a test holds
our own program against itself with it. Standard library only.
"""
import argparse
import collections
import concurrent.futures
import copy
import json
import os
import random
import subprocess
import sys
import tempfile

SWITCHES = ['-A', '--all-namespaces', '--from-all-namespaces', '--to-all-namespaces', '--encrypted', '--unencrypted', '-4',
            '-6', '--ipv4', '--ipv6']
FORMATS = [[], ['-o', 'json'], ['-o', 'dict'], ['-o', 'table'], ['-o', 'compact', '--print-node-name'],
           ['-o', 'dict', '--print-policy-names'], ['--numeric'], ['--ip-translation=false'], ['--color', 'always'],
           ['--time-format', 'RFC3339Nano'], ['-o', 'table', '--print-node-name', '--numeric']]
STRETCHES = [[], [], ['--last', '3'], ['--first', '5'], ['--all'], ['--last', '0'], ['--since', '2020-01-01'],
             ['--until', '2030-01-01'], ['--first', '2', '--last', '2']]
INPUTS = ['mixed', 'small', 'real', 'kinds', 'hosts', 'identity', 'l4', 'l7', 'labels', 'misc', 'nodes', 'policy', 'lost',
          'export-events', 'ext', 'events']
# where a filter's values stand in flows
MEMBERS = {'ip': 'source', 'snat-ip': 'source_xlated', 'pod': 'pod_name', 'namespace': 'namespace', 'fqdn': 'names',
           'label': 'labels', 'service': 'name', 'workload': 'name', 'cluster': 'cluster_name', 'node-name': 'node_name',
           'node-label': 'node_labels', 'uuid': 'uuid', 'http-url': 'url', 'http-path': 'url', 'http-method': 'method',
           'http-status': 'code', 'identity': 'identity', 'port': 'destination_port', 'interface': 'name',
           'trace-id': 'trace_id', 'drop-reason-desc': 'drop_reason_desc'}
ODD_TEXTS = ['', '0', 'x', '\u00e9', '\u2028', '<b>&', '"q"', 'a\\b', '\t', '9' * 25, '-1', '1e3', '1.5', 'true', 'null', 'NaN',
             '1969-12-31T23:59:59.5Z', '9999-12-31T23:59:59.999999999Z', '2023-02-30T00:00:00Z',
             '2023-01-01T00:00:00+05:30', '10.0.0.1', 'fe80::1%eth0', 'UNKNOWN', '\U0001f600', '\x1b[31m', 'a' * 300,
             'AQ==', '-_', '1.5s', '315576000001s']
ODD_NUMBERS = [0, 1, -1, 5, 6, 17, 58, 128, 255, 256, 65535, 65536, 2**31 - 1, 2**31, 2**32, 2**53, 2**63, 2**64, 1.5,
               1e3, 1e20]
CEL_ATOMS = ['_flow.verdict', '_flow.source.labels', '_flow.destination.pod_name', '_flow.l4.TCP.destination_port',
             '_flow.l4.UDP', '_flow.l7.http.code', '_flow.l7.dns.query', '_flow.IP.source', '_flow.time', '_flow.is_reply',
             '_flow.event_type.type', '_flow.source.identity', '_flow.source.workloads[0].name', '_flow', '1', '-1', '2u',
             '1.5', '"x"', 'b"x"', 'true', 'null', '[]', '[1, 2]', '{}', '{"a": 1}', 'flow.Verdict.DROPPED',
             'timestamp("2024-03-05T10:00:00Z")', 'duration("1h")', 'has(_flow.l4.TCP)', 'int', '_flow.Summary']
CEL_OPERATORS = ['==', '!=', '<', '<=', '>', '>=', '&&', '||', '+', '-', '*', '/', '%', 'in']
CEL_CALLS = ['size', 'int', 'uint', 'string', 'double', 'bool', 'type', 'dyn', 'has', 'timestamp', 'duration']
LINES = 60  # of a file of made flows


class Words:
    """What questions are made of."""

    def __init__(self, golden, rng):
        self.rng = rng
        self.values = collections.defaultdict(set)   # of a flag, as recorded
        self.lists = []                              # FlowFilters, as recorded
        self.flows = []
        self.subtrees = collections.defaultdict(list)
        with open(os.path.join(golden, 'cases.tsv'), encoding='utf-8') as f:
            head = f.readline().rstrip('\n').split('\t')
            for line in f:
                case = dict(zip(head, line.rstrip('\n').split('\t')))
                if case['command'] == 'observe':
                    self._learn_arguments(json.loads(case['argv']))
        for name in INPUTS:
            with open(os.path.join(golden, 'flows', name + '.jsonl'), encoding='utf-8', errors='replace') as f:
                for line in f:
                    try:
                        self.flows.append(json.loads(line))
                    except ValueError:
                        continue
                    self._learn_members(self.flows[-1])
        self.filters = sorted(k for k in self.values if k.lstrip('-') not in NO_FILTERS)

    def _learn_arguments(self, argv):
        at = 0
        while at < len(argv):
            flag, equals, value = argv[at].partition('=')
            if not flag.startswith('-'):
                at += 1
                continue
            if not equals and at + 1 < len(argv) and not argv[at + 1].startswith('--') and flag not in SWITCHES:
                at += 1
                value, equals = argv[at], True
            at += 1
            if not equals:
                continue
            if flag in ('--allowlist', '--denylist'):
                try:
                    self.lists.append(json.loads(value))
                except ValueError:
                    pass
            else:
                self.values[flag].add(value)

    def _learn_members(self, node):
        for key, value in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
            if isinstance(node, dict) and len(self.subtrees[key]) < 400:
                self.subtrees[key].append(value)
            self._learn_members(value)

    def changed(self, text):
        """Mostly as it is; else with something added, taken away, or turned round."""
        r = self.rng
        if not text or r.random() < 0.55:
            return text
        at = r.randrange(len(text) + 1)
        return r.choice([text[:at], text[at:], text.upper(), text.lower(), text + '*', '*' + text, text + text, ' ' + text,
                         text + '/24', text + '.', '!' + text, text + ',' + text,
                         text[:at] + r.choice('*/.:,=!~-_ %?+[](){}^$|\\"\'0a9Z\u00e9') + text[at:]])

    def value(self, flag):
        base = flag.lstrip('-')
        for prefix in ('from-', 'to-'):
            base = base[len(prefix):] if base.startswith(prefix) else base
        known = [v for k in (flag, '--' + base, '--from-' + base, '--to-' + base) for v in sorted(self.values.get(k, ()))]
        met = [str(v) for v in self.subtrees.get(MEMBERS.get(base), ()) if not isinstance(v, (dict, list))]
        return self.changed(self.rng.choice(self.rng.choice([pool for pool in (known, met) if pool] or [['x']])))


NO_FILTERS = {'o', 'output', 'last', 'first', 'since', 'until', 'color', 'time-format', 'config', 'input-file', 'server',
              'timeout', 'request-timeout', 'field-mask', 'experimental-field-mask', 'allowlist', 'denylist', 'kubeconfig',
              'kube-context', 'kube-namespace', 'port-forward-port', 'tls-ca-cert-files', 'tls-server-name', 'D', 'debug',
              'numeric', 'ip-translation', 'not', 's', 'silent-errors', 'tls', 'all', 'print-node-name', 'f', 'follow',
              'print-policy-names', 'print-raw-filters', 'flows', 'experimental-use-default-field-masks'}


# --- questions: arguments, and the lines of a file or the name of a recorded one ------------------------------------

def filters(w):
    argv = []
    for _ in range(w.rng.choice([1, 1, 2, 3, 4])):
        if w.rng.random() < 0.2:
            argv.append('--not')
        if w.rng.random() < 0.1:
            argv.append(w.rng.choice(SWITCHES) + w.rng.choice(['', '', '=true', '=false', '=x']))
            continue
        flag, value = w.rng.choice(w.filters), None
        value = w.value(flag)
        argv += [flag + '=' + value] if flag.startswith('--') and w.rng.random() < 0.5 else [flag, value]
    return argv


def about_filters(w):
    if w.rng.random() < 0.2:
        return filters(w) + ['--print-raw-filters'], 'small'
    return filters(w) + w.rng.choice(FORMATS) + w.rng.choice(STRETCHES), w.rng.choice(INPUTS)


def nonsense(w, value):
    r = w.rng.random()
    if r < 0.3:
        return w.rng.choice(ODD_NUMBERS)
    if r < 0.6:
        return w.rng.choice(ODD_TEXTS)
    if r < 0.8:
        return w.rng.choice([None, True, False, [], {}, [None], {'a': 1}])
    if isinstance(value, str):
        return w.changed(value)
    return str(value) if isinstance(value, (int, float)) else w.rng.choice(ODD_NUMBERS)


def nodes_of(tree):
    if isinstance(tree, (dict, list)) and tree:
        yield tree
        for value in tree.values() if isinstance(tree, dict) else tree:
            yield from nodes_of(value)


def camel(key):
    first, *rest = key.split('_')
    return first + ''.join(x[:1].upper() + x[1:] for x in rest)


def change_tree(w, tree):
    """One member or element of it."""
    nodes = list(nodes_of(tree))
    if not nodes:
        return
    node, r = w.rng.choice(nodes), w.rng.random()
    key = w.rng.choice(sorted(node)) if isinstance(node, dict) else w.rng.randrange(len(node))
    if r < 0.2:
        del node[key]
    elif r < 0.5:
        if not isinstance(node[key], (dict, list)):
            node[key] = nonsense(w, node[key])
    elif isinstance(node, list):
        node.append(copy.deepcopy(node[key]))
    elif r < 0.75 and key in w.subtrees:
        node[key] = copy.deepcopy(w.rng.choice(w.subtrees[key]))
    elif r < 0.9:
        other = w.rng.choice(sorted(w.subtrees))
        node[other] = copy.deepcopy(w.rng.choice(w.subtrees[other]))
    else:
        node[w.rng.choice([camel(key), key.upper(), 'unknown'])] = node.pop(key)


def made_line(w):
    flow = copy.deepcopy(w.rng.choice(w.flows))
    for _ in range(w.rng.choice([1, 1, 2, 3, 6])):
        change_tree(w, flow)
    text = json.dumps(flow, ensure_ascii=w.rng.random() < 0.5)
    if w.rng.random() < 0.03:
        at = w.rng.randrange(len(text))
        text = text[:at] + w.rng.choice(['', ' ', '"', '}', ',', '\\', '\\u12', 'NaN']) + text[at + 1:]
    return text.replace('\n', ' ')


def about_flows(w):
    argv = w.rng.choice(FORMATS) + w.rng.choice([[], ['--print-policy-names'], filters(w)])
    return argv + ['--all'], [made_line(w) for _ in range(LINES)]


def about_lists(w):
    argv = []
    for _ in range(w.rng.choice([1, 1, 2])):
        filter_ = copy.deepcopy(w.rng.choice(w.lists))
        for _ in range(w.rng.choice([0, 1, 1, 2])):
            change_tree(w, filter_)
        argv += [w.rng.choice(['--allowlist', '--denylist']), json.dumps(filter_, ensure_ascii=False)]
    return argv + w.rng.choice([['-o', 'json', '--all'], ['--print-raw-filters']]), w.rng.choice(INPUTS)


def expression(w, depth):
    def inner():
        return expression(w, depth - 1)

    if depth <= 0 or w.rng.random() < 0.25:
        return w.rng.choice(CEL_ATOMS)
    return w.rng.choice([
        lambda: '%s %s %s' % (inner(), w.rng.choice(CEL_OPERATORS), inner()),
        lambda: '%s %s %s' % (inner(), w.rng.choice(CEL_OPERATORS), inner()),
        lambda: w.rng.choice('!-') + inner(),
        lambda: '(%s)' % inner(),
        lambda: '%s ? %s : %s' % (inner(), inner(), inner()),
        lambda: '%s.%s(%s)' % (inner(), w.rng.choice(['startsWith', 'endsWith', 'contains', 'matches']), inner()),
        lambda: '%s.%s(x, %s)' % (inner(), w.rng.choice(['exists', 'all', 'exists_one', 'filter', 'map']), inner()),
        lambda: '%s(%s)' % (w.rng.choice(CEL_CALLS), inner()),
        lambda: '%s[%s]' % (inner(), inner()),
    ])()


def about_cel(w):
    recorded = sorted(w.values['--cel-expression'])
    text = w.rng.choice(recorded) if w.rng.random() < 0.3 else expression(w, w.rng.choice([1, 2, 3]))
    return ['--cel-expression', w.changed(text) if w.rng.random() < 0.2 else text, '--all'], w.rng.choice(INPUTS)


KINDS = {'filters': about_filters, 'lists': about_lists, 'cel': about_cel, 'flows': about_flows}


# --- answers --------------------------------------------------------------------------------------------------------

def answer(program, argv, path, home):
    """Exit code, standard output, and the last line on standard error."""
    env = {k: v for k, v in os.environ.items() if k == 'PATH' or k.endswith('SAN_OPTIONS')}
    env.update(TZ='UTC', LC_ALL='C.UTF-8', HOME=home, XDG_CONFIG_HOME=home)
    done = subprocess.run([program, 'observe'] + argv + ['--input-file', path], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60, env=env)
    said = done.stderr.decode(errors='replace').strip()
    return done.returncode, done.stdout, said.splitlines()[-1] if said else ''


def differ(ours, theirs):
    return ours[:2] != theirs[:2] or bool(ours[2]) != bool(theirs[2])


def first_difference(ours, theirs):
    pairs = zip(ours.decode(errors='replace').splitlines() + [''], theirs.decode(errors='replace').splitlines() + [''])
    for a, b in pairs:
        if a != b:
            at = next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))
            return '  ours: …%s\n  reference: …%s\n' % (a[max(0, at - 60):at + 100], b[max(0, at - 60):at + 100])
    return ''


class Asker:
    def __init__(self, args, golden, scratch):
        self.args, self.golden, self.scratch = args, golden, scratch

    def both(self, argv, path):
        return [answer(program, argv, path, self.scratch) for program in (self.args.bin, self.args.reference)]

    def ask(self, number, argv, about):
        """None: the answers are the same. Else what is to be told."""
        path = os.path.join(self.golden, 'flows', '%s.jsonl' % about)
        if isinstance(about, list):
            path = os.path.join(self.scratch, '%d.jsonl' % number)
            self._write(path, about)
        ours, theirs = self.both(argv, path)
        if not differ(ours, theirs):
            return None
        line = ''
        for line in about if isinstance(about, list) else ():
            self._write(path, [line])
            alone = self.both(argv, path)
            if differ(*alone):
                ours, theirs = alone
                break
        return 'arguments: %s\n  of: %s\n  ours: exit %d, %s\n  reference: exit %d, %s\n%s' % (
            json.dumps(argv, ensure_ascii=False), line or path, ours[0], ours[2] or 'nothing on standard error', theirs[0],
            theirs[2] or 'nothing on standard error', first_difference(ours[1], theirs[1]))

    @staticmethod
    def _write(path, lines):
        with open(path, 'wb') as f:
            f.write(''.join(line + '\n' for line in lines).encode('utf-8', 'surrogatepass'))


def is_possible(argv):
    """Can a program be given these?"""
    try:
        return b'\0' not in ''.join(argv).encode()
    except UnicodeEncodeError:
        return False


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--bin', required=True, help='the tycho to test')
    parser.add_argument('--reference', required=True, help="Hubble's command line, 1.19.4")
    parser.add_argument('--about', action='append', choices=sorted(KINDS), help='only this kind of question (repeatable)')
    parser.add_argument('--runs', type=int, default=1000, help='questions of each kind')
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--shared', default=os.environ.get('TYCHO_SHARED', ''), help='directory that holds golden/')
    parser.add_argument('-j', '--jobs', type=int, default=os.cpu_count() or 1)
    args = parser.parse_args()

    golden = os.path.abspath(os.path.join(args.shared, 'golden'))
    if not os.path.exists(os.path.join(golden, 'cases.tsv')):
        sys.exit("against: no recorded cases at '%s': set TYCHO_SHARED to the directory that holds golden/" % golden)
    found = asked = 0
    with tempfile.TemporaryDirectory() as scratch, concurrent.futures.ThreadPoolExecutor(args.jobs) as jobs:
        asker = Asker(args, golden, scratch)
        for kind in args.about or sorted(KINDS):
            words = Words(golden, random.Random('%s %d' % (kind, args.seed)))
            questions = [q for q in (KINDS[kind](words) for _ in range(args.runs)) if is_possible(q[0])]
            asked += len(questions)
            for told in jobs.map(lambda q: asker.ask(q[0], *q[1]), enumerate(questions)):
                if told:
                    found += 1
                    print('%s, %s' % (kind, told), flush=True)
    print('against: %d questions, %d answered differently' % (asked, found))
    return 1 if found or not asked else 0


if __name__ == '__main__':
    sys.exit(main())
