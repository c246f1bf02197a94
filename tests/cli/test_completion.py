"""What the shells are offered: by the command itself, and by its script in a real bash."""
import os
import shlex
import subprocess

import pytest

BIN = os.path.join(os.environ['TYCHO_BUILD'], 'bin')
TYCHO = os.path.join(BIN, 'tycho')


def run(argv, **kw):
    return subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=True, timeout=60, **kw).stdout


def offered(line):
    """The candidates for the last word of @line, without what they are for."""
    words = shlex.split(line) + ([''] if line.endswith(' ') else [])
    return [said.split('\t')[0] for said in run([TYCHO, '__complete', '--', *words[1:]]).splitlines()]


@pytest.mark.parametrize('line, wanted', [
    ('tycho obs', ['observe']),
    ('tycho evidence ', ['export', 'keys', 'verify']),
    ('tycho observe --since 5m fl', ['flows']),
    ('tycho map -o m', ['mermaid']),
    ('tycho map --output=d', ['--output=dot']),
    ('tycho policy explain --expect ', ['allowed', 'denied']),
    ('tycho config get kube-c', ['kube-context']),
    ('tycho help pol', ['policy']),
    ('tycho help policy ', ['check', 'explain', 'preview', 'suggest', 'audit']),
    ('tycho policy preview --fail-on ', ['never', 'denied', 'changed', 'unknown']),
    ('tycho policy suggest --kind ', ['kubernetes', 'cilium']),
    ('tycho policy audit --fail-on ', ['unused', 'wide', 'open', 'default', 'changed', 'any']),
    ('tycho policy audit ', [':file']),
    ('tycho help policy bogus ', []),
    ('tycho observe --input-file ', [':file']),
    ('tycho policy check ', [':file']),
    ('tycho evidence verify --pubkey k ', [':file']),
    ('tycho observe --bogus-flag=', []),
])
def test_candidates(line, wanted):
    assert offered(line) == wanted


def test_what_a_candidate_is_for_is_short_and_ends_with_a_word():
    told = dict(line.split('\t') for line in run([TYCHO, '__complete', '--', 'map', '--s']).splitlines())
    assert all(len(text) < 70 for text in told.values())
    assert told['--server'] == 'Address of the observer or relay: host:port, tls://host:port or …'


@pytest.mark.parametrize('line, wanted', [
    ('tycho obs', ['observe']),
    ('tycho map -o m', ['mermaid']),
    ('tycho map --output=d', ['dot']),  # bash takes = for the end of a word: what stands before it stays
    ('tycho observe --type trace:from-h', ['from-host']),
])
def test_bash_gets_what_it_wants_to_put_in(line, wanted):
    words = line.replace('=', ' = ').replace(':', ' : ').split()
    script = '%s\nCOMP_WORDS=(%s)\nCOMP_CWORD=%d\n_tycho\nprintf "%%s\\n" "${COMPREPLY[@]}"' % (
        run([TYCHO, 'completion', 'bash']), ' '.join(shlex.quote(w) for w in words), len(words) - 1)
    env = dict(os.environ, PATH=BIN + ':' + os.environ['PATH'])
    assert run(['bash', '-c', script], env=env).split() == wanted
