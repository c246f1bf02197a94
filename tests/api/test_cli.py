"""The tycho command against a live observer."""
import contextlib
import json
import os
import re
import signal
import subprocess

import pytest

from observer import BIN, Observer, flow, golden, tycho

FILES = {'small.jsonl': 118, 'kinds.jsonl': 128, 'real.jsonl': 1024}


@pytest.fixture(scope='module')
def served():
    """The files, each in an observer of its own."""
    with contextlib.ExitStack() as stack:
        observers = {}
        for name, flows in FILES.items():
            observers[name] = stack.enter_context(Observer(path=golden(name)))
            observers[name].wait_seen(flows)
        yield observers


@pytest.fixture(scope='module')
def ten():
    with Observer('--ring-capacity', '127', lines=[flow(i, verdict='DROPPED' if i == 4 else 'FORWARDED') for i in range(10)]) as ob:
        ob.wait_seen(10)
        yield ob


def observe(ob, *words, **kw):
    return tycho('observe', '--server', ob.tcp, *words, **kw)


def uuids(text):
    return [json.loads(line)['flow']['uuid'] for line in text.splitlines()]


# --- observe ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize('name', FILES)
@pytest.mark.parametrize('words', [['-o', 'compact'], ['-o', 'dict'], ['-o', 'table'], ['-o', 'compact', '--numeric'],
                                   ['-o', 'compact', '--print-policy-names', '--time-format', 'RFC3339Nano'],
                                   ['-o', 'dict', '--print-node-name', '--verdict', 'DROPPED', '--not', '--port', '53']],
                         ids=' '.join)
def test_a_served_file_reads_like_the_file(served, name, words):
    whole = observe(served[name], '--all', '--use-default-field-masks=false', *words, check=0).stdout
    from_file = tycho('observe', '--input-file', golden(name), *words, check=0).stdout
    if '--print-node-name' in words:  # lost events are the server's to tell, under its own name
        whole, from_file = ([r for r in t.split('------------\n') if 'EVENTS LOST' not in r] for t in (whole, from_file))
    assert whole == from_file and whole


@pytest.mark.parametrize('name', FILES)
@pytest.mark.parametrize('words', [[], ['--namespace', 'kube-system'], ['--protocol', 'tcp', '--last', '7'],
                                   ['--type', 'l7', '--last', '1000']], ids=' '.join)
def test_json_of_a_served_file_is_that_of_the_file(served, name, words):
    def flows(text):
        return [r['flow'] for r in map(json.loads, text.splitlines()) if 'flow' in r]
    everything = [] if '--last' in words else ['--all']
    assert flows(observe(served[name], '-o', 'json', *everything, *words, check=0).stdout) == flows(
        tycho('observe', '--input-file', golden(name), '-o', 'json', *words, check=0).stdout)


def test_the_default_is_the_last_twenty(served):
    out = observe(served['real.jsonl'], '-o', 'json', check=0).stdout
    last = tycho('observe', '--input-file', golden('real.jsonl'), '-o', 'json', '--last', '20', check=0).stdout
    assert out.count('"flow":') == 20
    assert [json.loads(a).get('flow') for a in out.splitlines()][-20:] == [
        json.loads(b)['flow'] for b in last.splitlines()]


def test_a_field_mask_is_passed_on(ten):
    out = observe(ten, '--last', '1', '-o', 'json', '--field-mask', 'uuid,source.pod_name', check=0).stdout
    assert json.loads(out)['flow'] == {'uuid': 'flow-9', 'source': {'pod_name': 'cart-0'}}


@pytest.mark.parametrize('words, text', [
    (['--field-mask', 'bogus', '-o', 'json'], 'invalid path "bogus"'),
    (['--field-mask', ','.join(257 * ['uuid']), '-o', 'json'], 'more than 256 fields in --field-mask'),
    (['--ip', '10.0.0'], '10.0.0'),
    (['--label', 'a in'], 'label'),
    (['--first', '1', '--follow'], 'first'),
    (['--verdict', 'BOGUS'], 'BOGUS'),
    (['-o', 'xml'], 'xml'),
    (['--bogus'], '--bogus')])
def test_misuse_is_one_line_and_exit_code_1(ten, words, text):
    p = observe(ten, *words, check=1)
    assert p.stdout == '' and text in p.stderr and p.stderr.count('\n') == 1


def test_nobody_there_is_one_line_and_exit_code_1(tmp_path):
    for server in ('unix://' + str(tmp_path / 'none.sock'), '127.0.0.1:1'):
        p = tycho('observe', '--server', server, check=1)
        assert p.stdout == '' and p.stderr.startswith('rpc error: code = Unavailable desc = ') and p.stderr.count('\n') == 1


@pytest.mark.parametrize('text, how, why', [
    ('tls: [true', ['--config'], 'While parsing config'), (None, ['--config'], 'No such file'),
    ('tls: [true', [], 'While parsing config'), (None, [], None), ('server: nobody.invalid:1', [], None)])
def test_a_configuration_file_that_counts_for_nothing_is_told(ten, tmp_path, text, how, why):
    path = tmp_path / 'tycho' / 'config.yaml'
    path.parent.mkdir()
    if text:
        path.write_text(text)
    p = tycho('status', '--server', ten.tcp, *[word for flag in how for word in (flag, str(path))], check=0, env={'XDG_CONFIG_HOME': str(tmp_path)})
    if why:
        assert 'level=WARN msg="the configuration file is passed over"' in p.stderr and why in p.stderr and str(path) in p.stderr
    else:
        assert p.stderr == ''


@pytest.mark.parametrize('key', ['server', 'tls-ca-cert-files'])
def test_what_no_file_can_hold_is_not_written_into_it(tmp_path, key):
    command, path = [BIN + '/tycho', '--config', str(tmp_path / 'c.yaml'), 'config', 'set', key], tmp_path / 'c.yaml'
    assert subprocess.run([*command, 'good:1']).returncode == 0
    before = path.read_text()
    p = subprocess.run([*command, b'bad\xff:1'], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert p.returncode == 1 and p.stderr.endswith(b'no valid UTF-8\n') and path.read_text() == before


@pytest.mark.parametrize('words', [['observe'], ['map'], ['policy', 'suggest']], ids=' '.join)
def test_a_filter_that_no_message_can_hold_is_refused_here(words):
    p = subprocess.run([BIN + '/tycho', *words, '--namespace', b'bad\xff', '--server', 'unix:///nobody/asked'], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert p.returncode == 1 and p.stdout == b'' and p.stderr.endswith(b'no valid UTF-8\n') and b'--namespace' in p.stderr


def test_what_a_sentence_quotes_cannot_steer_the_terminal():
    p = subprocess.run([BIN + '/tycho', 'observe', '--input-file', b'/no\x1b[2J\rsuch\xff'], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert p.returncode == 1 and p.stdout == b''
    assert p.stderr.decode().rstrip('\n').isprintable() and '/no^[[2J\\rsuch\ufffd' in p.stderr.decode()


@pytest.mark.parametrize('words', [['status'], ['observe', '--all'], ['map'], ['version']], ids=' '.join)
def test_with_stdout_closed_nothing_goes_where_it_should_not(ten, words):
    """What is opened next must not get its number: a connection would have our output written into it."""
    p = subprocess.run(['sh', '-c', 'exec "$0" "$@" >&-', BIN + '/tycho', *words, '--server', ten.tcp], stderr=subprocess.PIPE, text=True)
    assert p.returncode == 1 and p.stderr.startswith('write') and p.stderr.endswith(': Bad file descriptor\n')


def test_with_stdin_closed_there_is_nothing_to_read():
    p = subprocess.run(['sh', '-c', 'exec "$0" observe --input-file - <&-', BIN + '/tycho'], capture_output=True, text=True)
    assert (p.returncode, p.stdout, p.stderr) == (0, '', '')


def test_what_cannot_be_read_is_named(tmp_path):
    p = tycho('observe', '--input-file', str(tmp_path), check=1)
    assert (p.stdout, p.stderr) == ('', "read '%s': Is a directory\n" % tmp_path)


def test_a_bundle_takes_no_files_place_unless_told_to(tmp_path):
    former, link = tmp_path / 'q3.tar.zst', tmp_path / 'link'
    former.write_text('of the last quarter')
    link.symlink_to(tmp_path / 'away')
    for path in map(str, (former, link)):
        p = tycho('evidence', 'export', '-o', path, '--server', '127.0.0.1:1', check=1)  # nobody is asked
        assert (p.stdout, p.stderr.splitlines()[0]) == ('', 'not without --overwrite: %s is there already' % path)
    p = tycho('evidence', 'export', '--overwrite', '-o', str(former), '--server', '127.0.0.1:1', check=1)
    assert 'overwrite' not in p.stderr and former.read_text() == 'of the last quarter'
    assert sorted(os.listdir(tmp_path)) == ['link', 'q3.tar.zst']


def test_on_a_terminal_the_way_to_the_doctor_is_told():
    master, slave = os.openpty()
    with os.fdopen(master, 'rb', buffering=0) as screen:
        subprocess.run([BIN + '/tycho', 'status', '--server', '127.0.0.1:1', '--tls-server-name', "o'x"], stderr=slave,
                       env=dict(os.environ, XDG_CONFIG_HOME='/nonexistent'))
        os.close(slave)
        said = b''
        with contextlib.suppress(OSError):  # the end of a terminal
            while piece := screen.read(4096):
                said += piece
    assert said.decode().splitlines()[1:] == ["To find out why: tycho doctor --server 127.0.0.1:1 --tls-server-name 'o'\\''x'"]


@contextlib.contextmanager
def running(*words):
    p = subprocess.Popen([BIN + '/tycho', *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                         env=dict(os.environ, XDG_CONFIG_HOME='/nonexistent', LC_ALL='C.UTF-8'))
    try:
        yield p
    finally:
        if p.poll() is None:
            p.kill()
        p.communicate()


@pytest.mark.parametrize('sig, code', [(signal.SIGINT, 0), (signal.SIGTERM, -signal.SIGTERM), (signal.SIGHUP, -signal.SIGHUP)])
def test_following_ends_with_a_signal(sig, code):
    with Observer() as ob:
        ob.feed([flow(0)])
        with running('observe', '-f', '--all', '-o', 'json', '--server', ob.tcp) as p:
            assert uuids(p.stdout.readline()) == ['flow-0']
            ob.feed([flow(1)])
            assert uuids(p.stdout.readline()) == ['flow-1']  # at once, through a pipe
            p.send_signal(sig)
            out, err = p.communicate(timeout=20)
            assert (p.returncode, out, err) == (code, '', '')


def test_the_end_of_the_observer_ends_a_follower_with_a_sentence():
    with Observer(lines=[flow(0)]) as ob:
        with running('observe', '-f', '--all', '--server', ob.tcp) as p:
            p.stdout.readline()
            assert ob.stop() == 0
            _, err = p.communicate(timeout=20)
            assert p.returncode == 1 and err == 'rpc error: code = Unavailable desc = server is shutting down\n'


def test_a_closed_pipe_is_a_quiet_end(served):
    with running('observe', '--all', '--server', served['real.jsonl'].tcp) as p:
        p.stdout.readline()
        p.stdout.close()
        assert p.wait(20) in (0, -signal.SIGPIPE)
        assert p.stderr.read() == ''


def test_times_that_no_record_has_are_before_or_after_all(ten):
    """Not a refusal by the server, whose clock begins in 1970."""
    for words in (['coverage'], ['map'], ['policy', 'preview', '-f', os.devnull]):
        for time in (['--since', '1969-07-20'], ['--until', '2600-01-01'], ['--since', '0001-01-01', '--until', '9999-12-31']):
            p = tycho(*words, *time, '--server', ten.tcp)
            assert 'rpc error' not in p.stderr and 'unknown:' not in p.stderr, p.stderr
    said = tycho('observe', '--since', '1969-07-20', '--server', ten.tcp).stderr
    assert said.startswith('incomplete: ') and 'nothing before ' in said


@pytest.mark.parametrize('kind, count', [('agent-events', 13), ('debug-events', 7)])
def test_events(kind, count):
    with Observer(path=golden('export-events.jsonl')) as ob:
        ob.wait_seen(4)
        out = tycho('observe', kind, '--server', ob.tcp, '-o', 'json', check=0).stdout
        assert len(out.splitlines()) == count
        for words in ([], ['-o', 'dict'], ['-o', 'table']):
            assert tycho('observe', kind, '--server', ob.tcp, *words, check=0).stdout


# --- the other commands -------------------------------------------------------------------------------------------


def test_status(ten):
    lines = tycho('status', '--server', ten.tcp, check=0).stdout.splitlines()
    assert lines[0] == 'Healthcheck (via %s): Ok' % ten.tcp
    assert lines[1] == 'Current/Max Flows: 11/127 (8.66%)'  # ten flows and the event of the start
    assert re.fullmatch(r'Flows/s: \d+\.\d\d', lines[2]) and lines[3].startswith('History: ')
    s = json.loads(tycho('status', '--server', ten.tcp, '-o', 'json', check=0).stdout)
    assert (s['num_flows'], s['max_flows'], s['seen_flows']) == ('11', '127', '10')
    table = tycho('status', '--server', ten.tcp, '-o', 'table', check=0).stdout.splitlines()
    assert table[0].split()[:4] == ['NUM', 'FLOWS', 'MAX', 'FLOWS'] and table[1].split()[:3] == ['11', '127', '10']
    out = tycho('status', '--server', ten.tcp, '-o', 'dict', check=0).stdout
    assert '          NUM FLOWS: 11\n          MAX FLOWS: 127\n         SEEN FLOWS: 10\n' in out
    p = tycho('status', '--server', ten.tcp, '-o', 'bogus', check=1)
    assert p.stdout == '' and p.stderr.count('\n') == 1


def test_list_nodes(ten):
    head, row = tycho('list', 'nodes', '--server', ten.tcp, check=0).stdout.splitlines()
    assert re.split(r'\s{2,}', head) == ['NAME', 'STATUS', 'AGE', 'FLOWS/S', 'CURRENT/MAX-FLOWS']
    assert re.split(r'\s{2,}', row)[:2] == ['n0', 'Connected'] and '11/127 (  8.66%)' in row
    [node] = json.loads(tycho('list', 'nodes', '--server', ten.tcp, '-o', 'json', check=0).stdout)
    assert (node['name'], node['state'], node['num_flows']) == ('n0', 'NODE_CONNECTED', '11')
    p = tycho('list', 'nodes', '--server', ten.tcp, '-o', 'bogus', check=1)
    assert p.stderr == 'unknown output format: bogus\n'


def test_list_namespaces():
    with Observer(lines=[flow(0)], keep_time=False) as ob:
        ob.wait_seen(1)
        out = tycho('list', 'namespaces', '--server', ob.tcp, check=0).stdout
        assert out.split() == ['NAMESPACE', 'shop', 'store']


# hubble/cmd/reflect/reflect.go leaves out what every gRPC server has
def test_reflect_prints_each_file_once_but_not_that_of_health(ten):
    names = [json.loads(line)['name'] for line in tycho('reflect', '--server', ten.tcp, check=0).stdout.splitlines()]
    assert len(names) == len(set(names))
    assert {'observer/observer.proto', 'flow/flow.proto', 'peer/peer.proto', 'relay/relay.proto'} <= set(names)
    assert 'grpc/health/v1/health.proto' not in names


def test_watch_peers(ten):
    with running('watch', 'peers', '--server', ten.tcp) as p:
        assert re.fullmatch(r'PEER_ADDED   127\.0\.0\.1:\d+ n0\n', p.stdout.readline())


def test_up_shows_the_flows_of_a_replay_until_interrupted(tmp_path):
    words = ['up', '--no-bpf', '--replay', golden('small.jsonl'), '--replay-keep-time', '--listen', '127.0.0.1:0', '--listen',
             'unix://' + str(tmp_path / 'up.sock'), '--state-dir', str(tmp_path / 'state'), '-o', 'json']
    with running(*words) as p:
        got = []
        while len(got) < FILES['small.jsonl']:
            r = json.loads(p.stdout.readline())
            if 'flow' in r:
                got.append(r['flow'])
        from_file = tycho('observe', '--input-file', golden('small.jsonl'), '-o', 'json', check=0).stdout
        assert got == [r['flow'] for r in map(json.loads, from_file.splitlines()) if 'flow' in r]
        # whoever else is on this machine can ask, too
        assert tycho('status', '--server', 'unix://' + str(tmp_path / 'up.sock'), check=0).stdout
        p.send_signal(signal.SIGINT)
        p.communicate(timeout=20)
        assert p.returncode == 0
    assert not (tmp_path / 'up.sock').exists()


def test_up_says_what_stops_it(tmp_path):
    p = tycho('up', '--no-bpf', '--replay', str(tmp_path / 'none.jsonl'), '--listen', '127.0.0.1:0', '--state-dir',
              str(tmp_path / 'state'), check=1)
    assert p.stdout == '' and 'none.jsonl' in p.stderr
