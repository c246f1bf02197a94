"""against.py, which needs the reference's program, with our own in its place: it finds what differs, and nothing else."""
import os
import re
import subprocess

import pytest

AGAINST = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'against.py')
OURS = os.path.join(os.environ['TYCHO_BUILD'], 'bin', 'drop_events_answer')


def against(reference):
    done = subprocess.run(['/usr/bin/python3', AGAINST, '--bin', OURS, '--reference', reference, '--runs', '1000', '--tell', '1'],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=240)
    return done.returncode, done.stdout


def test_against_itself_nothing_differs():
    assert against(OURS) == (0, 'against: 1000 questions, 0 answered differently\n')


@pytest.mark.parametrize('lie', ['s/Outgoing/outgoing/', r's/^([^/]*)\/(a-0\t)/\1x\/\2/', 's/^-$/default\\/a-0\tIncoming packet dropped./',
                                 's/Denied by policies: [A-Z]/&x/', '200,$d'])
def test_what_is_told_otherwise_is_found(tmp_path, lie):
    liar = tmp_path / 'liar'
    liar.write_text("#!/bin/sh\n'%s' | sed -E '%s'\n" % (OURS, lie))
    liar.chmod(0o755)
    code, out = against(str(liar))
    assert code == 1
    assert '\n  ours: ' in out and '\n  reference: ' in out
    assert re.search(r'against: 1000 questions, [1-9]\d* answered differently\n$', out)
