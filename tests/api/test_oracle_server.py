"""tests/oracle/server/against.py, which needs Hubble's server, with our own in its place: it finds what differs, and nothing else."""
import os
import subprocess

import pytest

import wire
from observer import BIN, SHARED

pytestmark = pytest.mark.repeats_units  # the driver is what is held here; the programs are asked by the other tests

AGAINST = os.path.join(wire.ROOT, 'tests', 'oracle', 'server', 'against.py')
OURS = os.path.join(BIN, 'tycho-observer')
KINDS = ['flows', 'filters', 'masks', 'events', 'bytes', 'status', 'follow']


def against(reference, *kinds):
    argv = ['/usr/bin/python3', AGAINST, '--bin', OURS, '--reference', reference, '--shared', SHARED, '--runs', '1']
    done = subprocess.run(argv + [word for kind in kinds for word in ('--about', kind)], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=250)
    return done.returncode, done.stdout


def test_against_itself_nothing_differs():
    assert against(OURS, *KINDS) == (0, 'against: 516 questions, 0 answered differently\n')


@pytest.mark.parametrize('kind', ['flows', 'follow'])
def test_a_server_that_answers_otherwise_is_told(tmp_path, kind):
    liar = tmp_path / 'tycho-observer'
    liar.write_text('#!/bin/sh\nexec "%s" "$@" --ring-capacity 1\n' % OURS)  # the last one counts
    liar.chmod(0o755)
    code, out = against(str(liar), kind)
    assert code == 1
    assert '%s 1.0, GetFlows {' % kind in out
    assert ' answered differently\n' in out and ', 0 answered' not in out
