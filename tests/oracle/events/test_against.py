"""against.py, which needs the reference's parser, with our own decoders in its place: it finds what differs, and nothing
else. What the reference's side has to make messages of (records, notes) is left out."""
import os
import subprocess

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
AGAINST = os.path.join(HERE, 'against.py')
SHARED = os.environ.get('TYCHO_SHARED') or os.path.join(HERE, '..', '..', '..', '..', 'shared')
FLOWS = os.path.join(os.environ['TYCHO_BUILD'], 'bin', 'events_flows')


def against(reference, kind):
    done = subprocess.run(['/usr/bin/python3', AGAINST, '--bin', FLOWS, '--reference', reference, '--shared', SHARED,
                           '--about', kind, '--runs', '400', '--memory', '0'], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120)
    return done.returncode, done.stdout


@pytest.mark.parametrize('kind', ['recorded', 'datapath', 'worlds', 'streams', 'lost'])
def test_against_itself_nothing_differs(kind):
    code, out = against(FLOWS, kind)
    assert out.endswith(' questions, 0 answered differently\n') and out.startswith('against: '), out
    assert int(out.split()[1]) >= 390
    assert code == 0


def liar(tmp_path, edit):
    path = tmp_path / 'liar'
    path.write_text('#!/bin/sh\n"%s" "$@" | sed \'%s\'\n' % (FLOWS, edit))
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize('edit', ['s/FORWARDED/AUDIT/', 's/"identity":30501/"identity":30502/', 's/\\tflow\\t.*$/\\terror\\tno\\t/'])
def test_a_reference_that_says_otherwise_is_told(tmp_path, edit):
    code, out = against(liar(tmp_path, edit), 'datapath')
    assert code == 1
    assert 'datapath: ' in out and '  ours: ' in out and '  reference: ' in out
    assert int(out.split()[-3]) > 10


def test_a_reference_that_ends_early_is_told(tmp_path):
    code, out = against(liar(tmp_path, '9q'), 'lost')
    assert code == 1
    assert 'ended with 0 after 9 of 400 questions' in out
