#!/usr/bin/env python3
"""Random drops, put to our events of Kubernetes and to Hubble's: who is told, and what?

    against.py --bin BUILD/bin/drop_events_answer --reference BUILD/oracle/drop-events [--runs N] [--seed N]

A question is the reasons that are wanted, whether policies are, and a flow, made as those of tests/oracle/metrics are, most of them drops.
All pods are the node's. Answers are compared to the byte, as far as docs/compatibility.md does not say otherwise (mended).

Not asked: what becomes of the same again (intervals, rates, counts), uids, and `Applied policies`, which the reference asks its agent for.

The reference is built by tests/oracle/build. Standard library only.
"""
import argparse
import json
import os
import random
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'metrics'))
import words  # noqa: E402

WANTED = ['auth_required', 'policy_denied', 'policy_deny', 'stale_or_unroutable_ip', 'invalid_source_mac', 'drop_reason_unknown',
          'POLICY_DENIED', 'Auth_Required', 'drop_host_not_ready', 'no_mapping_for_nat_masquerade', 'drop_ep_not_ready']
IDENTITIES = list(range(0, 16)) + [99, 100, 101, 127, 128, 129, 254, 255, 256, 257, 1000, 65535, 65536, 16777216, 16777217, 33554433, 4294967295]
KINDS = ['CiliumNetworkPolicy', 'CiliumClusterwideNetworkPolicy', 'NetworkPolicy', '']


class Drops(words.Words):
    def reasons(self):
        if self.chance(0.15):
            return 'auth_required,policy_denied'
        chosen = self.rng.sample(WANTED, self.rng.choice([1, 2, 3, 5, 8]))
        if self.chance(0.05):
            chosen.append(self.rng.choice(['policy', 'no_such', 'policy-denied']))
        return self.rng.choice([',', ',', ' ', '  ']).join(chosen)

    def policies(self):
        return [{k: v for k, v in (('name', self.rng.choice(['a', 'b', 'a-b', 'z', 'no-egress'])), ('namespace', self.rng.choice(['', 'shop', 'x'])),
                                   ('kind', self.rng.choice(KINDS)), ('revision', '3')) if k == 'name' or self.chance(0.85)}
                for _ in range(self.rng.choice([0, 1, 1, 2, 3, 5]))]

    def drop(self):
        flow = self.flow()['flow']
        if self.chance(0.9):
            flow['verdict'] = 'DROPPED'
        if self.chance(0.8):
            flow['drop_reason_desc'] = self.rng.choice(['POLICY_DENIED', 'POLICY_DENY', 'AUTH_REQUIRED', 'POLICY_DENY', 'DROP_REASON_UNKNOWN'])
        flow['traffic_direction'] = self.rng.choice(['INGRESS', 'EGRESS'])
        for side in ('source', 'destination'):
            flow[side] = {k: v for k, v in (('namespace', self.rng.choice(words.NAMESPACES)), ('pod_name', self.rng.choice(words.PODS)),
                                            ('identity', self.rng.choice(IDENTITIES)), ('ID', 7)) if self.chance(0.75)}
        flow['IP'] = {k: self.rng.choice(words.ADDRESSES) for k in ('source', 'destination') if self.chance(0.9)}
        for member in ('ingress_denied_by', 'egress_denied_by', 'ingress_allowed_by'):
            if self.chance(0.7):
                flow[member] = self.policies()
        flow.setdefault('l4', {})
        return flow

    def question(self):
        return '%s\t%s\t%s' % (self.reasons(), self.rng.choice(['true', 'false']), json.dumps(self.drop()))


def ask(program, questions):
    with tempfile.TemporaryFile() as asked:
        asked.write(''.join(q + '\n' for q in questions).encode())
        asked.seek(0)
        done = subprocess.run([program], stdin=asked, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=600)
    answers = done.stdout.decode('utf-8', 'replace').split('\n')[:-1]
    crash = 'crash: ' + done.stderr.decode(errors='replace')[-2000:]
    return answers + [crash] * (len(questions) - len(answers)) if done.returncode == 0 else answers[:len(questions) - 1] + [crash]


def ordered(text):
    """Policies in order, and without the stroke where one has no kind: the reference has them as its hash table does."""
    return re.sub(r'(?<=policies: )[^.]*', lambda m: ','.join(sorted(p.lstrip('/') for p in m.group().split(','))), text)


def mended(ours, theirs):
    """Both answers, without what differs on purpose."""
    if ours.startswith('refused: there is no drop reason'):  # there a warning, and one reason less
        return '', ''
    ours, theirs = (re.sub(r' Applied (clusterwide )?policies: .*', '', answer) for answer in (ours, theirs))
    theirs = theirs.replace(' ()', '', 1)                                            # a peer without an address
    theirs = re.sub(r' (from|to) (?= |\.)', r' \1 an unknown address', theirs, count=1)  # nor anything else
    theirs = re.sub(r' \.', '.', theirs, count=1)                                    # no transport protocol
    return ordered(ours), ordered(theirs)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--bin', required=True, help='the drop_events_answer to test')
    parser.add_argument('--reference', required=True, help='build/oracle/drop-events')
    parser.add_argument('--runs', type=int, default=10000)
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--tell', type=int, default=10, help='differences to tell of')
    args = parser.parse_args()
    w = Drops(random.Random(args.seed), None)
    questions = [w.question() for _ in range(args.runs)]
    found = 0
    for question, ours, theirs in zip(questions, ask(args.bin, questions), ask(args.reference, questions)):
        a, b = mended(ours, theirs)
        if a == b:
            continue
        found += 1
        if found <= args.tell:
            print('%s\n  ours: %s\n  reference: %s\n' % (question, ours, theirs))
    print('against: %d questions, %d answered differently' % (len(questions), found))
    return 1 if found or not questions else 0


if __name__ == '__main__':
    sys.exit(main())
