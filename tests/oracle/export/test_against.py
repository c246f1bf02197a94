"""against.py, which needs the reference's program, with our own in its place: it finds what differs, and nothing else."""
import os
import re
import subprocess

import pytest

AGAINST = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'against.py')
SHARED = os.environ.get('TYCHO_SHARED', '')
OURS = os.path.join(os.environ['TYCHO_BUILD'], 'bin', 'export_answer')
# Answers of ours with one thing changed, by what it is: our own program through sed.
LIES = {
    'a member': r's/\\"namespace\\":/\\"Namespace\\":/',
    'a count': r's/(_flow_count\\":)1/\17/',
    'a file less': r's/"f0":/"f9":/',
    'a refusal': r's/^\{"refused".*$/{"files":{}}/',
}


def against(reference, runs):
    done = subprocess.run(['/usr/bin/python3', AGAINST, '--bin', OURS, '--reference', reference, '--shared', SHARED, '--runs', str(runs),
                           '--tell', '1'], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=240)
    return done.returncode, done.stdout


def test_against_itself_nothing_differs():
    assert against(OURS, 60) == (0, 'against: 60 questions, 0 answered differently\n')


@pytest.mark.parametrize('what', sorted(LIES))
def test_what_is_written_otherwise_is_found(tmp_path, what):
    liar = tmp_path / 'liar'
    liar.write_text('#!/bin/sh\n"%s" | sed -E \'%s\'\n' % (OURS, LIES[what]))
    liar.chmod(0o755)
    code, out = against(str(liar), 100)
    assert code == 1
    assert re.search(r'against: 100 questions, [1-9]\d* answered differently\n$', out)


def test_a_reference_that_does_not_answer_is_found(tmp_path):
    dead = tmp_path / 'dead'
    dead.write_text('#!/bin/sh\necho "no more" >&2\n')
    dead.chmod(0o755)
    code, out = against(str(dead), 3)
    assert code == 1
    assert 'no more' in out
