"""What flows hold cannot drive the terminal that they are shown on; what is piped is as it was."""
import json
import os
import re
import subprocess
import threading
import tty

import pytest

BIN = os.path.join(os.environ['TYCHO_BUILD'], 'bin')
# all of C0 but tab and line feed, DEL, all of C1
CONTROLS = ''.join(map(chr, [*range(1, 9), *range(11, 32), *range(0x7f, 0xa0)]))
FORMATS = ['compact', 'dict', 'table', 'json']


def flows():
    flow = {'time': '2026-01-01T00:00:00Z', 'verdict': 'FORWARDED', 'Type': 'L7', 'node_name': 'n' + CONTROLS,
            'IP': {'source': '10.0.0.1', 'destination': '10.0.0.2', 'ipVersion': 'IPv4'},
            'l4': {'TCP': {'source_port': 1, 'destination_port': 80}},
            'source': {'namespace': 'a', 'pod_name': 'p' + CONTROLS}, 'destination_names': ['d' + CONTROLS]}
    http = {'type': 'REQUEST', 'http': {'method': 'GET', 'url': 'http://a/' + CONTROLS, 'protocol': 'HTTP/1.1'}}
    dns = {'type': 'RESPONSE', 'dns': {'query': 'q' + CONTROLS, 'rcode': 0, 'qtypes': ['A'], 'ips': ['10.0.0.3']}}
    status = {'state_change': 'NODE_ERROR', 'node_names': ['s' + CONTROLS], 'message': 'm' + CONTROLS}
    return [{'flow': {**flow, 'l7': http}}, {'flow': {**flow, 'l7': dns}}, {'node_status': status}]


@pytest.fixture
def file(tmp_path):
    path = tmp_path / 'flows.json'
    path.write_text(''.join(json.dumps(f) + '\n' for f in flows()))
    return str(path)


def tycho(*words, **to):
    return subprocess.run([os.path.join(BIN, 'tycho'), *words], timeout=60,
                          env=dict(os.environ, XDG_CONFIG_HOME='/nonexistent', LC_ALL='C.UTF-8', TERM='xterm'), **to)


def observe(file, *words, **to):
    return tycho('observe', '--input-file', file, '--print-node-name', *words, check=True, **to)


def on_a_terminal(run):
    """(stdout, stderr) as two terminals get them; their own ways with line feeds apart."""
    screens, slaves, got = [], [], [b'', b'']
    for _ in range(2):
        master, slave = os.openpty()
        tty.setraw(slave)
        screens.append(master)
        slaves.append(slave)

    def look(i):
        try:
            while piece := os.read(screens[i], 65536):
                got[i] += piece
        except OSError:  # the end of a terminal
            pass
    eyes = [threading.Thread(target=look, args=(i,)) for i in range(2)]
    for eye in eyes:
        eye.start()
    try:
        run(stdout=slaves[0], stderr=slaves[1])
    finally:
        for slave in slaves:
            os.close(slave)
        for eye in eyes:
            eye.join()
        for master in screens:
            os.close(master)
    return [text.decode() for text in got]


@pytest.mark.parametrize('color', ['never', 'always', 'auto'])
@pytest.mark.parametrize('format', FORMATS)
def test_no_control_character_of_a_flow_reaches_a_terminal(file, format, color):
    out, err = on_a_terminal(lambda **to: observe(file, '-o', format, '--color', color, **to))
    for text in (out, err):
        assert not re.search('[\0-\x08\x0b-\x1f\x7f-\x9f]', re.sub('\x1b\\[(0|3[1-6])m', '', text)), (format, text)
    assert '\\u009b' in out and '\\u007f' in out
    assert ('\x1b[' in out) == (color != 'never' and format in ('compact', 'dict'))
    if format == 'json':
        assert [json.loads(line) for line in out.splitlines()] == [
            json.loads(line) for line in observe(file, '-o', 'json', stdout=subprocess.PIPE).stdout.decode().split('\n') if line]
    else:
        assert 's' in err and '\\u009b' in err


@pytest.mark.parametrize('format', FORMATS)
def test_what_is_piped_has_them_as_hubble_has(file, format):
    out = observe(file, '-o', format, stdout=subprocess.PIPE, stderr=subprocess.PIPE).stdout.decode()
    assert '\x9b' in out and '\\u009b' not in out and '\x1b' not in out


@pytest.mark.parametrize('words', [['check'], ['explain', '--from', 'a/b', '--to', 'a/c', '--port', '80']])
@pytest.mark.parametrize('documents', [1, 2])
def test_no_control_character_of_a_policy_reaches_a_terminal(tmp_path, words, documents):
    path = tmp_path / 'policies.yaml'
    group = 'policy.networking.k8s.io/v1' + CONTROLS
    path.write_text('---\n'.join(['{apiVersion: %s, kind: AdminNetworkPolicy, metadata: {name: x}}\n' % json.dumps(group)] * documents))
    out, err = on_a_terminal(lambda **to: tycho('policy', words[0], str(path), *words[1:], **to))
    for text in (out, err):
        assert not re.search('[\0-\x08\x0b-\x1f\x7f-\x9f]', text), text
    assert 'may decide, too: AdminNetworkPolicy' in err and '\\u001b' in err and '\\u0080' in err  # the rest is cut
