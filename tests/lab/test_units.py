"""The programs in the sandboxes of their units: nothing that they need is withheld."""
import json
import os
import re
import subprocess
import sys

import pytest

BUILD = os.path.abspath(os.environ['TYCHO_BUILD'])
HERE = os.path.dirname(os.path.abspath(__file__))
UNITS = ['tycho-observer', 'tycho-relay', 'tycho-ui']
# The program with the options in $*, until it is ready; then what is to be looked at; then its end.
LIFE = '''
set -e; PATH=/mnt/bin:$PATH; export HOME=/tmp; mkfifo /tmp/ready
{program} --ready-fd 3 "$@" 3>/tmp/ready & read -r line </tmp/ready
{look}
kill $!; wait $!; echo ended
'''
FLOWS = 6000


def unit(name):
    return os.path.join(BUILD, 'deploy', 'systemd', name + '.service')


@pytest.fixture(autouse=True)
def nothing_is_left():
    """What is mounted upon in there has to be there."""
    new = [path for path in ('/var/lib/tycho', '/var/log/tycho', '/run/tycho') if not os.path.exists(path)]
    yield
    for path in new:
        if os.path.exists(path):
            os.rmdir(path)


def inside(name, look, *options, folder=HERE):
    script = LIFE.format(program=name, look=look)
    p = subprocess.run(['unshare', '-n', 'sh', '-c', 'ip link set lo up; exec "$@"', 'sh', sys.executable, os.path.join(HERE, 'sandbox.py'), unit(name),
                        '/mnt/bin=' + os.path.join(BUILD, 'bin'), '/mnt/given=' + str(folder), '--', 'sh', '-c', script, name, *options],
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=120)
    assert p.returncode == 0 and p.stdout.endswith('ended\n'), p.stdout + p.stderr
    return p.stdout, p.stderr


@pytest.mark.parametrize('name', UNITS)
def test_a_unit_is_one(name, tmp_path):
    with open(unit(name), encoding='utf-8') as f:
        text = f.read()
    program, = re.findall(r'^ExecStart=(\S+)/(%s) \$\w+$' % name, text, re.M)
    (tmp_path / (name + '.service')).write_text(text.replace(program[0], os.path.join(BUILD, 'bin')))
    p = subprocess.run(['systemd-analyze', 'verify', '--man=no', tmp_path / (name + '.service')], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert (p.returncode, p.stdout) == (0, '')


def test_the_observer_watches_keeps_exports_and_ships(tmp_path):
    flow = {'flow': {'time': '2026-03-01T10:00:00Z', 'verdict': 'FORWARDED', 'IP': {'source': '10.0.0.1', 'destination': '10.0.0.2'}, 'node_name': 'n'}}
    (tmp_path / 'flows.jsonl').write_text((json.dumps(flow) + '\n') * FLOWS)
    (tmp_path / 'exporters.yaml').write_text('flowLogs: [{name: a, filePath: /var/log/tycho/sub/a.log, includeFilters: [{verdict: [DROPPED]}]}]')
    os.chmod(tmp_path, 0o755)
    given = ['--listen', 'unix:///run/tycho/observer.sock', '--metrics-listen', '127.0.0.1:9965', '--interface', 'lo', '--nflog-group', '5',
             '--export-file-path', '/var/log/tycho/flows.log', '--export-file-max-size-mb', '1', '--export-file-compress',
             '--flowlogs-config-path', '/mnt/given/exporters.yaml', '--clickhouse', 'http://127.0.0.1:1/none', '--clickhouse-period', '1s']
    replay = ['--replay', '/mnt/given/flows.jsonl']
    said, log = inside('tycho-observer', '''
        server=unix:///run/tycho/observer.sock
        until tycho status --server $server | grep -q 'History: .*records'; do :; done
        until ls /var/log/tycho | grep -q 'gz$'; do tycho status --server $server >/dev/null; done
        stat -c '%a %n' /var/log/tycho/flows.log /var/log/tycho/sub /var/lib/tycho/flows.db /run/tycho/observer.sock
        curl -s http://127.0.0.1:9965/metrics | grep ^tycho_clickhouse_up
        ''', *given, *replay, folder=tmp_path)
    assert '600 /var/log/tycho/flows.log\n750 /var/log/tycho/sub\n600 /var/lib/tycho/flows.db\n660 /run/tycho/observer.sock\n' in said
    assert 'tycho_clickhouse_up 0\n' in said and "Couldn't connect to server" in log  # which says that it may try
    said, log = inside('tycho-observer', 'tycho-observer --doctor json "$@" || :', *given, folder=tmp_path)
    lines = [json.loads(x) for x in said.splitlines() if x.startswith('{')]
    faults = {x['check'] for x in lines if x['result'] != 'ok'}
    assert {'rights', 'bpf', 'state', 'export'} <= {x['check'] for x in lines} and faults == {'port', 'clickhouse'}, lines


@pytest.mark.parametrize('options, told', [(['--peer', 'a=127.0.0.1:1'], 'a at 127.0.0.1:1'),
                                           (['--clickhouse', 'http://127.0.0.1:1/none'], "Couldn't connect to server")], ids=['nodes', 'ClickHouse'])
def test_a_relay_answers(options, told):
    said, _ = inside('tycho-relay', 'tycho doctor --server localhost:4245 || :; kill -HUP $!; id -u', '--listen', 'localhost:4245',
                     '--metrics-listen', '127.0.0.1:9966', *options)
    assert told in said and '\n0\n' not in said


def test_the_page_is_served():
    said, _ = inside('tycho-ui', 'curl -s http://127.0.0.1:12000/ | head -n 1; id -u', '--listen', '127.0.0.1:12000', '--server', 'localhost:4245')
    assert said.startswith('<!doctype html>') and '\n0\n' not in said
