"""against.py, which needs the reference's program, with our own in its place: it finds what differs, and nothing else."""
import os
import re
import subprocess

import pytest

AGAINST = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'against.py')
OURS = os.path.join(os.environ['TYCHO_BUILD'], 'bin', 'policy_answer')
# Answers of ours with one thing changed, by what it is: what stands there, what is put in its place, and how it is told.
LIES = {
    'a verdict': ('"verdict":"denied:explicit"', '"verdict":"allowed:rule"', 'gress verdict: ours'),
    'a rule less': ('"by":["cnp:', '"by":["ccnp:', 'gress rules: ours'),
    'a proxy': ('"redirect":"', '"redirect":"x', 'gress redirect: ours'),
    'an authentication': ('"auth":"test-always-fail"', '"auth":"spire"', 'gress authentication: ours'),
    'who is selected': ('["ingress",', '["egress",', 'selects: ours'),
    'a label': ('reserved:health', 'reserved:healthy', 'labels: only ours'),
    'a refusal': ('"refused":[{"object":0', '"refused":[{"object":1', 'refused: ours'),
}


def against(reference, kind, runs, *more):
    done = subprocess.run(['/usr/bin/python3', AGAINST, '--bin', OURS, '--reference', reference, '--about', kind, '--runs', str(runs),
                           '--most', '1', *more], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=240)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize('kind', ['sets', 'meeting', 'refused'])
def test_against_itself_nothing_differs(kind):
    code, out, _ = against(OURS, kind, 60)
    assert (code, re.sub(r'\d+ ends', 'N ends', out)) == (0, 'against: 60 questions, N ends, 0 answered differently\n')


def test_the_recorded_cases_are_held_against_the_reference():
    code, out, said = against(OURS, 'recorded', 0, '--shared', os.environ['TYCHO_SHARED'])
    assert (code, out) == (0, 'against: 0 questions, 0 ends, 0 answered differently\n')
    assert 'against: 10633 recorded answers compared\n' in said


@pytest.mark.parametrize('what', sorted(LIES))
def test_what_is_told_otherwise_is_found(tmp_path, what):
    old, new, told = LIES[what]
    liar = tmp_path / 'liar'
    liar.write_text('''#!/usr/bin/python3
import subprocess, sys
p = subprocess.Popen([%r], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
for line in sys.stdin:
    p.stdin.write(line)
    p.stdin.flush()
    print(p.stdout.readline().rstrip().replace(%r, %r), flush=True)
''' % (OURS, old, new))
    liar.chmod(0o755)
    kind = {'a refusal': 'refused', 'a proxy': 'meeting', 'an authentication': 'meeting'}.get(what, 'sets')
    code, out, _ = against(str(liar), kind, 120, '--seed', '1')
    assert code == 1
    assert told in out
    assert re.search(r'against: 120 questions, \d+ ends, [1-9]\d* answered differently \(.*\)\n$', out)


def test_a_reference_that_does_not_answer_is_found(tmp_path):
    dead = tmp_path / 'dead'
    dead.write_text('#!/bin/sh\necho "no more" >&2\n')
    dead.chmod(0o755)
    code, _, said = against(str(dead), 'sets', 3)
    assert code == 1
    assert 'no more' in said
