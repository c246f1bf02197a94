"""against.py, which needs the reference's program, with our own in its place: it finds what differs, and nothing else."""
import os
import re
import subprocess

import pytest

AGAINST = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'against.py')
SHARED = os.environ.get('TYCHO_SHARED', '')
OURS = os.path.join(os.environ['TYCHO_BUILD'], 'bin', 'metrics_answer')
# Answers of ours with one thing changed, by what it is: our own program through sed, whose lines are those of the answer.
LIES = {
    'a value': (r's/^(hubble_flows_processed_total\{.*\}) [0-9]+$/\1 77/', '77.0'),
    'a label': (r's/direction="ingress"/direction="Ingress"/', 'direction="Ingress"'),
    'a help text': (r's/^(# HELP .*) occurrences$/\1 Occurrences/', 'TCP flag Occurrences'),
    'a series less': (r's/^hubble_icmp_total\{.*$//', '+hubble_icmp_total{'),
}


def against(reference, kind, runs=20):
    done = subprocess.run(['/usr/bin/python3', AGAINST, '--bin', OURS, '--reference', reference, '--shared', SHARED, '--about', kind,
                           '--runs', str(runs), '--tell', '1', '--tries', '10'], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=240)
    return done.returncode, done.stdout


@pytest.mark.parametrize('kind, asked', [('lists', 20), ('files', 20), ('pods', 20), ('yaml', 20), ('many', 3)])
def test_against_itself_nothing_differs(kind, asked):
    assert against(OURS, kind) == (0, 'against: %d questions, 0 answered differently\n' % asked)


def test_the_recorded_pages_are_held_against_the_reference():
    code, out = against(OURS, 'recorded')
    assert (code, re.sub(r'\d+', 'N', out)) == (0, 'against: N questions, N answered differently\n')


@pytest.mark.parametrize('what', sorted(LIES))
def test_what_is_told_otherwise_is_found(tmp_path, what):
    script, shown = LIES[what]
    liar = tmp_path / 'liar'
    # the lengths of messages do not fit any more: they are made anew
    liar.write_text('''#!/usr/bin/python3
import re, subprocess, sys
data = subprocess.run([%r], stdin=sys.stdin, stdout=subprocess.PIPE).stdout
while data:
    head, _, rest = data.partition(b'\\n')
    verb, length = head.split()
    payload, data = rest[:int(length)], rest[int(length) + 1:]
    payload = subprocess.run(['sed', '-E', %r], input=payload, stdout=subprocess.PIPE).stdout if verb == b'page' else payload
    sys.stdout.buffer.write(b'%%s %%d\\n%%s\\n' %% (verb, len(payload), payload))
''' % (OURS, script))
    liar.chmod(0o755)
    code, out = against(str(liar), 'lists', 60)
    assert code == 1
    assert 'lists, question:\n  list ' in out
    assert shown in out
    assert re.search(r'against: 60 questions, [1-9]\d* answered differently\n$', out)


def test_a_reference_that_does_not_answer_is_found(tmp_path):
    dead = tmp_path / 'dead'
    dead.write_text('#!/bin/sh\necho "no more" >&2\n')
    dead.chmod(0o755)
    code, out = against(str(dead), 'lists', 3)
    assert code == 1
    assert 'reference: crash no more' in out
