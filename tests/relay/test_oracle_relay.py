"""tests/oracle/relay/against.py, which needs Hubble's relay and server, with our own in their place: it finds what differs, and nothing else."""
import os
import re
import subprocess

import pytest

import wire
from observer import BIN, SHARED

pytestmark = pytest.mark.repeats_units  # the driver is what is held here; the programs are asked by the other tests

AGAINST = os.path.join(wire.ROOT, 'tests', 'oracle', 'relay', 'against.py')
OBSERVER, RELAY = (os.path.join(BIN, name) for name in ('tycho-observer', 'tycho-relay'))


def against(reference, *kinds):
    argv = ['/usr/bin/python3', AGAINST, '--bin', OBSERVER, '--relay', RELAY, '--reference', reference, '--server', OBSERVER,
            '--shared', SHARED, '--runs', '1']
    done = subprocess.run(argv + [word for kind in kinds for word in ('--about', kind)], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=250)
    return done.returncode, done.stdout


def test_against_itself_nothing_differs():
    code, out = against(RELAY, 'history', 'changes', 'tls', 'follow')
    assert (code, re.sub('[0-9]+', 'N', out, 1)) == (0, 'against: N questions, 0 answered differently\n')


def test_a_relay_that_answers_otherwise_is_told(tmp_path):
    liar = tmp_path / 'tycho-relay'
    liar.write_text('#!/bin/sh\nexec "%s" "$@" --node-name liar\n' % RELAY)  # the last one counts
    liar.chmod(0o755)
    code, out = against(str(liar), 'history')
    assert code == 1
    assert 'history 1.0, GetFlows {' in out and 'the relay of itself: ' in out
    assert ', 0 answered' not in out
