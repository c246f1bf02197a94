"""What tycho-observer exports: lines, files, groups, the file of exporters, and what becomes of them when things go wrong."""
import contextlib
import glob
import gzip
import json
import os
import re
import subprocess

import pytest

from daemon import BIN, until
from disk import fill, tmpfs
from observer import Observer, flow, golden, tycho
from prometheus import fetch


def exporting(*options, **kw):
    return Observer('--metrics-listen', '127.0.0.1:0', *options, **kw)


def figures(ob):
    """{'name{labels}': value} of the metrics page."""
    status, _, body = fetch('http://' + next(a for a in ob.addresses if a.startswith('metrics='))[len('metrics='):] + '/metrics')
    assert status == 200
    return {k: float(v) for k, v in re.findall(r'^([a-z_]+(?:\{.*\})?) (\S+)$', body.decode(), re.M)}


STATIC = '{kind="static",name=""}'


def lines_of(path):
    """Every line of a file is a whole one."""
    opener = gzip.open if path.endswith('.gz') else open
    with opener(path, 'rt', encoding='utf-8') as f:
        text = f.read()
    assert text == '' or text.endswith('\n'), text[-100:]
    return text.splitlines()


def flows_of(lines):
    return [json.loads(x)['flow'] for x in lines if '"flow":' in x]


def numbers(lines):
    return [int(f['uuid'][len('flow-'):]) for f in flows_of(lines)]


def backups(path):
    """Oldest first."""
    stem, ext = os.path.splitext(path)
    return sorted(glob.glob(glob.escape(stem) + '-????-??-??T??-??-??.???' + ext + '*'))


SMALL = 118  # flows of golden('small.jsonl')


def wait_exported(ob, n):
    """Until n flows have come and been exported, and all that came with them."""
    ob.wait_seen(n)
    until(lambda: figures(ob)['tycho_reader_lag_records{reader="export"}'] == 0, fault=ob.log)


# --- lines ----------------------------------------------------------------------------------------------------------------


def test_lines_are_those_of_observe_and_can_be_read_back(tmp_path):
    path = str(tmp_path / 'flows.log')
    with exporting('--export-file-path', path, path=golden('small.jsonl')) as ob:
        ob.wait_replayed()
        wait_exported(ob, SMALL)
        asked = tycho('observe', '--all', '-o', 'json', '--server', ob.tcp, check=0).stdout
    assert len(flows_of(lines_of(path))) == SMALL
    lines = [x for x in lines_of(path) if not x.startswith('{"agent_event"')]
    assert lines == asked.splitlines()
    back = tycho('observe', '--input-file', path, '-o', 'json', check=0).stdout
    assert back.splitlines() == lines


def test_a_mask_leaves_what_observe_leaves(tmp_path):
    path, mask = str(tmp_path / 'flows.log'), 'time,source.pod_name,l4.TCP,node_name'
    with exporting('--export-file-path', path, '--export-fieldmask', mask, path=golden('small.jsonl')) as ob:
        ob.wait_replayed()
        wait_exported(ob, SMALL)
        asked = tycho('observe', '--all', '-o', 'json', '--server', ob.tcp, '--field-mask', mask, check=0).stdout
    assert [x for x in lines_of(path) if x.startswith('{"flow"')] == [x for x in asked.splitlines() if x.startswith('{"flow"')]


def test_agent_events_are_exported(tmp_path):
    path = str(tmp_path / 'flows.log')
    with Observer('--export-file-path', path, '--cluster', 'east', lines=[flow(1)]) as ob:
        ob.wait_replayed()
    [event] = [json.loads(x) for x in lines_of(path) if 'agent_event' in x]
    assert event['agent_event']['type'] == 'AGENT_STARTED'
    assert event['node_name'] == 'n0'


def test_standard_output_is_a_file_too(tmp_path):
    p = subprocess.Popen([BIN + '/tycho-observer', '--no-bpf', '--replay', golden('small.jsonl'), '--state-dir', str(tmp_path / 'state'),
                          '--listen', 'unix://' + str(tmp_path / 's'), '--export-file-path', 'stdout'],
                         stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    first = p.stdout.readline()
    p.terminate()
    rest = p.communicate(timeout=60)[0]
    assert p.returncode == 0
    assert 1 <= len(flows_of((first + rest).decode().splitlines())) <= SMALL


# --- what passes ----------------------------------------------------------------------------------------------------------


def test_filters_are_hubbles(tmp_path):
    path = str(tmp_path / 'flows.log')
    lines = [flow(i, verdict='DROPPED' if i % 2 else 'FORWARDED', node_name='n%d' % (i % 3)) for i in range(12)]
    with Observer('--export-file-path', path, '--export-allowlist', '{"verdict":["DROPPED"]}\n{"node_name":["n0"]}',
                  '--export-denylist', '{"uuid":["flow-3"]}', '--export-denylist', '{"uuid":["flow-5"]}{"uuid":["flow-6"]}',
                  lines=lines) as ob:
        ob.wait_replayed()
    assert numbers(lines_of(path)) == [0, 1, 7, 9, 11]


@pytest.mark.parametrize('options, sentence', [
    (['--export-file-path', ''], '--export-file-path is empty: a file, or stdout, is needed'),
    (['--export-file-path', '/proc/none/flows.log'], "--export-file-path: make folder '/proc/none': No such file or directory"),
    (['--export-file-path', '/'], "--export-file-path: open '/': Is a directory"),
    (['--export-file-path', 'F', '--export-fieldmask', 'time,bogus'],
     '--export-fieldmask: proto: invalid path "bogus" for message "flow.Flow"'),
    (['--export-file-path', 'F', '--export-fieldaggregate', 'bogus', '--export-aggregation-interval', '1s'],
     '--export-fieldaggregate: proto: invalid path "bogus" for message "flow.Flow"'),
    (['--export-file-path', 'F', '--export-allowlist', '{"verdicts":[]}'],
     '--export-allowlist \'{"verdicts":[]}\': proto: (line 1:2): unknown field "verdicts"'),
    (['--export-file-path', 'F', '--export-denylist', '{"source_ip":["x"]}'], None),
    (['--export-file-path', 'F', '--export-file-max-size-mb', '0'],
     '--export-file-max-size-mb 0: expected a number of MiB from 1 to 1048576'),
    (['--export-file-path', 'F', '--export-file-max-backups', '0'],
     '--export-file-max-backups 0: expected a number of files from 1 to 10000'),
    (['--export-file-path', 'F', '--export-fieldaggregate', 'verdict'],
     '--export-fieldaggregate needs --export-aggregation-interval'),
    (['--export-file-path', 'F', '--export-aggregation-interval', '1s'],
     '--export-aggregation-interval needs --export-fieldaggregate'),
    (['--export-file-path', 'F', '--export-fieldaggregate', 'verdict', '--export-aggregation-interval', '1ms'],
     '--export-aggregation-interval 1ms: expected a time from 100ms on, such as 30s, or 0'),
    (['--export-file-compress'], '--export-file-compress needs --export-file-path'),
    (['--flowlogs-config-path', '/proc/none/flowlogs.yaml'],
     "--flowlogs-config-path: watch the folder of '/proc/none/flowlogs.yaml': No such file or directory"),
])
def test_what_cannot_be_exported_is_said_at_the_start(tmp_path, options, sentence):
    words = [str(tmp_path / 'flows.log') if w == 'F' else w for w in options]
    p = subprocess.run([BIN + '/tycho-observer', '--no-bpf', '--replay', golden('small.jsonl'), '--state-dir', str(tmp_path / 'state'),
                        '--listen', 'unix://' + str(tmp_path / 's')] + words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                       timeout=60)
    last = p.stderr.splitlines()[-1]
    assert p.returncode == 1 and last.startswith('tycho-observer: --export-denylist: ' if sentence is None else 'tycho-observer: ')
    assert sentence is None or last == 'tycho-observer: ' + sentence


# --- groups ---------------------------------------------------------------------------------------------------------------


def test_flows_are_counted_by_group(tmp_path):
    path = str(tmp_path / 'flows.log')
    lines = [flow(i, traffic_direction=('INGRESS', 'EGRESS', 'TRAFFIC_DIRECTION_UNKNOWN')[i % 3],
                  source={'namespace': 'a' if i < 60 else 'b'}) for i in range(90)]
    with Observer('--export-file-path', path, '--export-fieldaggregate', 'source.namespace,destination.namespace',
                  '--export-aggregation-interval', '100ms', '--export-allowlist', '{"verdict":["FORWARDED"]}', lines=lines) as ob:
        ob.wait_replayed()
    counts = {}
    for line in lines_of(path):  # more than two where the machine was slow
        assert set(json.loads(line)) == {'flow'}
        f = json.loads(line)['flow']
        assert set(f) == {'source', 'destination', 'aggregate'} and f['destination'] == {'namespace': 'store'}
        for key, n in f['aggregate'].items():
            counts[f['source']['namespace'], key] = counts.get((f['source']['namespace'], key), 0) + n
    assert counts == {(ns, key + '_flow_count'): n for ns, n in (('a', 20), ('b', 10)) for key in ('ingress', 'egress', 'unknown_direction')}


def test_groups_that_are_not_due_are_written_at_the_end(tmp_path):
    path = str(tmp_path / 'flows.log')
    with exporting('--export-file-path', path, '--export-fieldaggregate', 'verdict', '--export-aggregation-interval', '1h',
                   '--export-allowlist', '{"verdict":["FORWARDED"]}', lines=[flow(i) for i in range(10)]) as ob:
        wait_exported(ob, 10)
        assert lines_of(path) == []
    assert lines_of(path) == ['{"flow":{"verdict":"FORWARDED","aggregate":{"unknown_direction_flow_count":10}}}']


# --- files ----------------------------------------------------------------------------------------------------------------


def test_full_files_are_packed_and_the_oldest_are_removed(tmp_path):
    path, n = str(tmp_path / 'flows.log'), 20_000
    with exporting('--export-file-path', path, '--export-file-max-size-mb', '1', '--export-file-max-backups', '3',
                   '--export-file-compress', lines=[flow(i) for i in range(n)]) as ob:
        wait_exported(ob, n)
        rotations = figures(ob)['tycho_export_rotations_total' + STATIC]
        assert rotations > 5
        until(lambda: len(backups(path)) == 3 and all(b.endswith('.log.gz') for b in backups(path)), fault=lambda: backups(path))
        assert sorted(os.listdir(tmp_path)) == sorted(os.path.basename(b) for b in backups(path) + [path])
    kept = [x for b in backups(path) + [path] for x in lines_of(b)]
    got = numbers(kept)
    assert got == list(range(got[0], n))
    for b in backups(path):
        with gzip.open(b) as f:
            assert (1 << 20) - 2000 < len(f.read()) <= 1 << 20
        assert os.stat(b).st_mode & 0o777 == 0o600
    assert os.stat(path).st_mode & 0o777 == 0o600


def test_no_flow_is_lost_between_files_and_at_the_end(tmp_path):
    """120,000 flows as fast as they can be read, and SIGTERM at once."""
    path, n = str(tmp_path / 'flows.log'), 120_000
    with Observer('--export-file-path', path, '--export-file-max-size-mb', '4', '--export-file-max-backups', '1000',
                  '--ring-capacity', '262143', '--store', 'off', lines=[flow(i) for i in range(n)]) as ob:
        ob.wait_replayed()
    assert len(backups(path)) > 5
    got = [x for b in backups(path) + [path] for x in lines_of(b)]
    assert numbers(got) == list(range(n))
    assert not [x for x in got if 'lost_events' in x]


def test_what_the_log_overwrites_is_told_where_it_was(tmp_path):
    """A pipe that nobody reads holds the exporter up; capture goes on."""
    path, n = str(tmp_path / 'pipe'), 5000
    os.mkfifo(path)
    end = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with contextlib.closing(os.fdopen(end, 'rb')) as pipe, \
            exporting('--export-file-path', path, '--ring-capacity', '127', lines=None) as ob:
        ob.feed([flow(i) for i in range(n)])
        ob.wait_seen(n)
        got = bytearray()

        def is_all_read():
            got.extend(pipe.read() or b'')
            return figures(ob)['tycho_reader_lag_records{reader="export"}'] == 0
        until(is_all_read, fault=ob.log)
        ob.feed([flow(n)])
        until(lambda: got.extend(pipe.read() or b'') or b'"flow-%d"' % n in got, fault=ob.log)
        until(lambda: got.extend(pipe.read() or b'') or b'"source":"HUBBLE_RING_BUFFER"' in got, fault=ob.log)
        now = figures(ob)
    missed = now['tycho_lost_records_total{reader="export"}']
    assert missed > 0
    assert now['tycho_export_lines_total' + STATIC] + now['tycho_export_lost_lines_total' + STATIC] + missed > n


def test_a_file_that_logrotate_moves_has_a_new_one_begin(tmp_path):
    path = str(tmp_path / 'flows.log')
    with Observer('--export-file-path', path, lines=None) as ob:
        ob.feed([flow(0)])
        until(lambda: os.path.exists(path) and numbers(lines_of(path)) == [0])
        os.rename(path, path + '.1')
        ob.feed([flow(1)])
        until(lambda: os.path.exists(path) and numbers(lines_of(path)) == [1])
        os.truncate(path, 0)  # copytruncate
        ob.feed([flow(2)])
        until(lambda: numbers(lines_of(path)) == [2])
    assert numbers(lines_of(path + '.1')) == [0]


def test_a_full_disk_is_told_counted_and_recovered_from(tmp_path):
    with tmpfs(str(tmp_path), '1M') as folder:
        path = os.path.join(folder, 'flows.log')
        with exporting('--export-file-path', path, '--store', 'off', lines=None) as ob:
            ob.feed([flow(i) for i in range(10)])
            wait_exported(ob, 10)
            fill(folder)
            ob.feed([flow(i) for i in range(10, 2000)])
            wait_exported(ob, 2000)
            assert figures(ob)['tycho_export_lost_lines_total' + STATIC] > 0
            assert 'exported flows cannot be written' in ob.log() and 'No space left on device' in ob.log()
            assert numbers(lines_of(path))[:10] == list(range(10))
            os.unlink(os.path.join(folder, 'ballast'))
            ob.feed([flow(2000)])
            wait_exported(ob, 2001)
            assert 'exported flows are written again' in ob.log()
            lost = figures(ob)['tycho_export_lost_lines_total' + STATIC]
        got = lines_of(path)
        assert len(numbers(got)) + lost == 2001 and numbers(got)[-1] == 2000
        told = [json.loads(x)['lost_events'] for x in got if 'lost_events' in x]
        assert sum(int(x['num_events_lost']) for x in told) == lost and not any('source' in x for x in told)


# --- the file of exporters ------------------------------------------------------------------------------------------------


class Dynamic:
    """A file of exporters in a folder, and an observer that follows it."""

    def __init__(self, folder):
        self.folder, self.file = str(folder), os.path.join(str(folder), 'flowlogs.yaml')

    def path(self, name):
        return os.path.join(self.folder, name + '.log')

    def write(self, *entries):
        """Each a dictionary; as a configuration manager does it."""
        self.write_text(json.dumps({'flowLogs': [{'filePath': self.path(e['name']), **e} for e in entries]}))

    def write_text(self, text):
        with open(self.file + '.new', 'w') as f:
            f.write(text)
        os.rename(self.file + '.new', self.file)

    def observer(self, *options, **kw):
        return exporting('--flowlogs-config-path', self.file, *options, **kw)


def changes(ob):
    now = figures(ob)
    return tuple(int(now['hubble_dynamic_exporter_reconfigurations_total{op="%s"}' % op]) for op in ('add', 'update', 'remove', 'failure'))


def test_exporters_come_change_and_go_with_their_file(tmp_path):
    d = Dynamic(tmp_path)
    drops = {'name': 'drops', 'includeFilters': [{'verdict': ['DROPPED']}]}
    d.write(drops, {'name': 'all', 'excludeFilters': [{'node_name': ['none']}]})
    with d.observer(lines=None) as ob:
        assert changes(ob) == (2, 0, 0, 0)
        ob.feed([flow(0), flow(1, verdict='DROPPED')])
        until(lambda: numbers(lines_of(d.path('all'))) == [0, 1] and numbers(lines_of(d.path('drops'))) == [1])
        inode = os.stat(d.path('drops')).st_ino

        d.write(drops, {'name': 'all', 'includeFilters': [{'verdict': ['FORWARDED']}]}, {'name': 'more', 'fieldMask': ['uuid']})
        until(lambda: changes(ob) == (3, 1, 0, 0), fault=ob.log)
        ob.feed([flow(2), flow(3, verdict='DROPPED')])
        until(lambda: numbers(lines_of(d.path('more'))) == [2, 3])
        until(lambda: numbers(lines_of(d.path('all'))) == [0, 1, 2] and numbers(lines_of(d.path('drops'))) == [1, 3])

        d.write({'name': 'more', 'fieldMask': ['uuid']})
        until(lambda: changes(ob) == (3, 1, 2, 0), fault=ob.log)
        ob.feed([flow(4)])
        until(lambda: numbers(lines_of(d.path('more'))) == [2, 3, 4])
        now = figures(ob)
        assert now['hubble_dynamic_exporter_exporters_total{status="active"}'] == 1
        assert [k for k in now if k.startswith('hubble_dynamic_exporter_up')] == ['hubble_dynamic_exporter_up{name="more"}']
    assert numbers(lines_of(d.path('all'))) == [0, 1, 2] and numbers(lines_of(d.path('drops'))) == [1, 3]
    assert os.stat(d.path('drops')).st_ino == inode


@pytest.mark.parametrize('text, sentence', [
    ('flowLogs: [', 'line 2'),
    ('flowlogs: [{name: a}]', "line 1: an entry without filePath"),
    ('flowLogs: [{name: a, filePath: /tmp/x, colour: red}]', "line 1: unknown key 'colour'"),
    ('flowLogs: [{name: a, filePath: /proc/none/x}]', "'a': filePath: make folder '/proc/none'"),
    ('flowLogs: [{name: a, filePath: stdout, fieldMask: [bogus]}]', "'a': fieldMask: proto: invalid path"),
    ('flowLogs: [{name: a, filePath: STATIC}]', "'a': filePath is that of --export-file-path"),
])
def test_a_file_that_is_wrong_leaves_the_exporters_as_they_are(tmp_path, text, sentence):
    d = Dynamic(tmp_path)
    d.write({'name': 'one'})
    with d.observer('--export-file-path', d.path('static'), lines=None) as ob:
        before = figures(ob)
        d.write_text(text.replace('STATIC', d.path('static')))
        until(lambda: changes(ob) == (1, 0, 0, 1), fault=ob.log)
        assert sentence in ob.log()
        ob.feed([flow(0)])
        until(lambda: numbers(lines_of(d.path('one'))) == [0] and numbers(lines_of(d.path('static'))) == [0])
        after = figures(ob)
        for name in ('hubble_dynamic_exporter_config_hash', 'hubble_dynamic_exporter_config_last_applied'):
            assert after[name] == before[name] > 0
        d.write({'name': 'two'})
        until(lambda: changes(ob) == (2, 0, 1, 1), fault=ob.log)
        assert figures(ob)['hubble_dynamic_exporter_config_hash'] != before['hubble_dynamic_exporter_config_hash']


def test_a_file_that_comes_later_is_read_then(tmp_path):
    d = Dynamic(tmp_path)
    with d.observer(lines=None) as ob:
        assert changes(ob) == (0, 0, 0, 1)
        d.write({'name': 'one'})
        until(lambda: changes(ob) == (1, 0, 0, 1))
        ob.feed([flow(0)])
        until(lambda: numbers(lines_of(d.path('one'))) == [0])


def test_an_exporter_ends_when_its_time_has_come(tmp_path):
    d = Dynamic(tmp_path)
    d.write({'name': 'past', 'end': '2020-01-01T00:00:00Z'}, {'name': 'future', 'end': '2999-01-01T00:00:00Z'})
    with d.observer(lines=None) as ob:
        now = figures(ob)
        assert now['hubble_dynamic_exporter_up{name="past"}'] == 0 and now['hubble_dynamic_exporter_up{name="future"}'] == 1
        assert now['hubble_dynamic_exporter_exporters_total{status="inactive"}'] == 1
        ob.feed([flow(0)])
        until(lambda: numbers(lines_of(d.path('future'))) == [0])
        assert not os.path.exists(d.path('past'))
        d.write({'name': 'past'}, {'name': 'future', 'end': '2020-01-01T00:00:00Z'})
        until(lambda: changes(ob) == (2, 2, 0, 0))
        ob.feed([flow(1)])
        until(lambda: numbers(lines_of(d.path('past'))) == [1])
    assert numbers(lines_of(d.path('future'))) == [0]
