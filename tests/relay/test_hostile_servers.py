"""Servers that mean harm to who asks them: the command and the relay."""
import os
import subprocess
import sys

import pytest

import wire
from cluster import CONNECTED, Impostor, Relay, response
from daemon import BIN, LONG_S
from observer import BASE_S, tycho

GZIP = [('grpc.default_compression_algorithm', 2)]
BOMB_BYTES = 256 << 20
HARMLESS_KIB = 96 << 10  # with what a sanitizer needs for itself


# A process begins with what its parent held when it forked as the most that it ever held; this parent holds little.
WITNESS = 'import resource, subprocess, sys; code = subprocess.call(sys.argv[1:], stdout=subprocess.DEVNULL); ' \
          'print(code, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)'


def run(*words, home):
    """(exit code, stderr, most resident KiB) of the command; its standard output goes nowhere."""
    p = subprocess.run([sys.executable, '-c', WITNESS, os.path.join(BIN, 'tycho'), *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                       text=True, check=True, timeout=LONG_S, env=dict(os.environ, HOME=str(home), XDG_CONFIG_HOME=str(home)))
    code, kib = p.stdout.split()
    return int(code), p.stderr, int(kib)


def bomb(path, request, context):
    yield bytes(BOMB_BYTES)


def test_compressed_answers_are_understood():
    with Impostor(lambda path, request, context: iter([response('a', BASE_S, 'a-1')]), options=GZIP) as server:
        assert 'a-1' in tycho('observe', '--server', server.address, '--all', '-o', 'jsonpb', check=0).stdout


@pytest.mark.resident
@pytest.mark.parametrize('words', [['observe', '--all'], ['status'], ['list', 'nodes']])
def test_the_command_does_not_unpack_what_is_too_large(words, tmp_path):
    with Impostor(bomb, options=GZIP) as server:
        code, err, kib = run(*words, '--server', server.address, home=tmp_path)
    assert code == 1 and 'code = ResourceExhausted desc = a message is too large' in err
    assert kib < HARMLESS_KIB


def test_a_single_answer_that_never_ends_is_none(tmp_path):
    def endless(path, request, context):
        while context.is_active() and not server.stopping.is_set():
            yield b''
    with Impostor(endless) as server:
        code, err, _ = run('list', 'nodes', '--server', server.address, '--timeout', '1h', '--request-timeout', '1h', home=tmp_path)
    assert (code, err) == (1, 'rpc error: code = Internal desc = the server sent no single answer\n')


@pytest.mark.resident
def test_a_relay_does_not_unpack_what_is_too_large():
    def answer(path, request, context):
        yield bytes(BOMB_BYTES) if path.endswith('GetFlows') else b''
    with Impostor(answer, options=GZIP) as liar, Relay('--peer', 'liar=' + liar.address) as relay, relay.client() as client:
        relay.wait_states(liar=CONNECTED)
        before = relay.peak_kib()
        said = [r.node_status for r in client.GetFlows(first=True, number=wire.ALL)]
        assert any('a message is too large' in s.message for s in said), said
        assert relay.peak_kib() - before < HARMLESS_KIB
