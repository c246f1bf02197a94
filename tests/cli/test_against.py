"""tests/golden/against.py, which needs the reference's program, with our own in its place: it finds what differs, and nothing else."""
import os
import subprocess

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
AGAINST = os.path.join(os.path.dirname(HERE), 'golden', 'against.py')
SHARED = os.environ.get('TYCHO_SHARED') or os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(HERE))), 'shared')
TYCHO = os.path.join(os.environ['TYCHO_BUILD'], 'bin', 'tycho')


def against(reference, kind):
    done = subprocess.run(['/usr/bin/python3', AGAINST, '--bin', TYCHO, '--reference', reference, '--shared', SHARED, '--about', kind,
                           '--runs', '10'], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120)
    return done.returncode, done.stdout


@pytest.mark.parametrize('kind', ['filters', 'lists', 'cel', 'flows'])
def test_against_itself_nothing_differs(kind):
    assert against(TYCHO, kind) == (0, 'against: 10 questions, 0 answered differently\n')


@pytest.mark.parametrize('lie', ['echo one more line', 'status=3'])
def test_a_program_that_answers_otherwise_is_told(tmp_path, lie):
    liar = tmp_path / 'liar'
    liar.write_text('#!/bin/sh\n"%s" "$@"\nstatus=$?\n%s\nexit $status\n' % (TYCHO, lie))
    liar.chmod(0o755)
    code, out = against(str(liar), 'flows')
    assert code == 1
    assert 'flows, arguments: [' in out
    assert out.endswith('against: 10 questions, 10 answered differently\n')
