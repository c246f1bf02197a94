"""An observer's life: interfaces come and go, kill -9, restart, a second one, everything taken back at the end."""
import concurrent.futures
import ctypes
import json
import os
import signal
import socket
import sqlite3
import struct
import subprocess

import lab as L
import pytest
from points import traces


def count_programs(dev):
    """bpf(2) with BPF_PROG_QUERY, for which iproute2 has no words: programs at tcx of the interface, in and out."""
    query, points, syscall = 16, (46, 47), {'x86_64': 321, 'aarch64': 280}[os.uname().machine]
    total = 0
    for point in points:
        attr = bytearray(64)
        struct.pack_into('II', attr, 0, socket.if_nametoindex(dev), point)
        at = (ctypes.c_char * len(attr)).from_buffer(attr)
        if ctypes.CDLL(None, use_errno=True).syscall(syscall, query, at, len(attr)) != 0:
            raise OSError(ctypes.get_errno(), 'BPF_PROG_QUERY')
        total += struct.unpack_from('I', attr, 24)[0]
    return total


def programs(node, dev):
    return node.call(count_programs, dev)


def qdiscs(node):
    return [q['kind'] for q in json.loads(node.sh('tc', '-j', 'qdisc', 'show'))]


def test_no_hook_is_left_behind_on_exit(lab):
    ob = lab.observer(lab.node1).start()
    assert programs(lab.node1, 'v-cart') == 2
    assert ob.stop() == 0
    assert programs(lab.node1, 'v-cart') == 0
    assert 'clsact' not in qdiscs(lab.node1)


def test_a_killed_observer_leaves_no_hook(lab, port):
    ob = lab.observer(lab.node1).start()
    assert programs(lab.node1, 'v-cart') == 2
    assert ob.stop(signal.SIGKILL) == -signal.SIGKILL
    assert programs(lab.node1, 'v-cart') == 0
    ob = lab.observer(lab.node1, '--interval', '500ms').start()
    lab.db.serve(L.udp_server, lab.db.ip4, port)
    lab.cart.call(L.udp_client, lab.db.ip4, port, [1])
    flows = ob.wait_for(lambda fs: len(fs) >= 4, '--port', str(port))
    assert len(flows) == 4, 'two packets at two observation points: nothing twice'
    assert ob.stop() == 0
    assert 'clsact' not in qdiscs(lab.node1)


def test_sequence_numbers_do_not_repeat_across_restarts(lab, port):
    lab.db.serve(L.udp_server, lab.db.ip4, port)
    for run in range(1, 4):
        ob = lab.observer(lab.node1).start()
        lab.cart.call(L.udp_client, lab.db.ip4, port, [1])
        flows = ob.wait_for(lambda fs: len(fs) >= 4 * run, '--port', str(port))  # those before come from the store
        numbers = [int(f['tycho']['seq']) for f in flows]
        assert numbers == sorted(set(numbers))
        assert len(numbers) == 4 * run
        ob.stop()


def test_what_passes_while_history_is_opened_is_seen(lab, port):
    """The gap that a restart leaves ends when the store is opened: from then on everything is watched, also while the
    store keeps the start waiting."""
    lab.db.serve(L.udp_server, lab.db.ip4, port)
    lab.observer(lab.node1).start().stop()
    ob = lab.observer(lab.node1)
    busy = sqlite3.connect(os.path.join(ob.state, 'flows.db'), isolation_level=None)
    busy.execute('BEGIN IMMEDIATE')
    with concurrent.futures.ThreadPoolExecutor() as pool:
        starting = pool.submit(ob.start)
        try:
            while min(programs(lab.node1, dev) for dev in ('v-cart', 'v-db')) < 2:
                assert not starting.done(), 'nothing was watched when the store was opened'
            lab.cart.call(L.udp_client, lab.db.ip4, port, [1])
        finally:
            busy.close()
        starting.result()
    ob.wait_for(lambda fs: len(fs) == 4, '--port', str(port))
    assert ob.stop() == 0


def test_a_new_interface_is_picked_up_and_a_gone_one_let_go(lab, port):
    ob = lab.observer(lab.node1, '--interval', '500ms').start()
    pod = L.Pod(lab, 'late', lab.node1, '10.0.1.99', 'fd00:1::99')
    L.sh('ip', 'netns', 'add', pod.name)
    try:
        pod.ip('link set lo up')
        lab._veth(pod, 'eth0', lab.node1, pod.host_dev)
        pod.ip('addr add 10.0.1.99/32 dev eth0')
        pod.node.ip('addr add 169.254.1.1/32 dev ' + pod.host_dev)
        pod.ip('route add 169.254.1.1 dev eth0')
        pod.ip('route add default via 169.254.1.1 dev eth0')
        pod.node.ip('route add 10.0.1.99/32 dev ' + pod.host_dev)
        lab.db.serve(L.udp_server, lab.db.ip4, port)

        def seen(flows):
            return [f for f in traces(flows) if f['interface']['name'] == 'v-late']

        def try_again(flows):
            if not seen(flows):
                pod.call(L.udp_client, lab.db.ip4, port, [1])
            return seen(flows)

        ob.wait_for(try_again, '--port', str(port))
    finally:
        L.sh('ip', 'netns', 'del', pod.name)
    assert ob.flows('--port', str(port))
    assert ob.stop() == 0


def test_only_the_interfaces_that_were_named(lab, port):
    ob = lab.observer(lab.node1, '--interface', 'v-*', '--interface', '!v-db').start()
    assert programs(lab.node1, 'v-cart') == 2
    assert programs(lab.node1, 'v-db') == 0
    assert programs(lab.node1, 'eth0') == 0
    ob.stop()


@pytest.mark.parametrize('options,words', [
    (['--interface', 'nope0'], ['nope0']),
    (['--endpoints', '/nonexistent.yaml'], ['/nonexistent.yaml', 'No such file']),
    (['--ring-capacity', '1000'], ['1023']),
    (['--listen', '192.0.2.1:4244'], ['plain text', '--insecure-listen']),
    (['--listen', 'localhost:0', '--tls-cert-file', '/no.pem', '--tls-key-file', '/no.key'], ['/no.pem']),
    (['--nflog-pattern', '(', '--nflog-group', '5'], ['nflog pattern', 'offset 1']),
    (['--replay', '/no.jsonl', '--no-bpf'], ['/no.jsonl']),
])
def test_what_cannot_be_done_ends_in_one_sentence(lab, options, words):
    p = subprocess.run(['ip', 'netns', 'exec', lab.node1.name, os.path.join(L.BIN, 'tycho-observer'), '--state-dir',
                        os.path.join(lab.folder, 'errors.state'), '--listen', 'unix://' + lab.folder + '/errors.sock']
                       + options, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=30)
    assert p.returncode == 1
    assert p.stdout == ''
    sentence = p.stderr.strip().splitlines()[-1]
    for word in words:
        assert word in sentence
    assert 'clsact' not in qdiscs(lab.node1)


def test_two_observers_cannot_share_a_state_folder_or_a_socket(lab):
    ob = lab.observer(lab.node1).start()
    for options in (['--state-dir', ob.state], ['--listen', ob.address, '--state-dir', lab.folder + '/other.state']):
        p = subprocess.run(['ip', 'netns', 'exec', lab.node2.name, os.path.join(L.BIN, 'tycho-observer')] + options,
                           stderr=subprocess.PIPE, text=True, timeout=30)
        assert p.returncode == 1
        assert len(p.stderr.strip().splitlines()) >= 1
    assert ob.flows() is not None, 'the first one still answers'
    assert ob.stop() == 0


def test_without_rights_it_says_which_are_missing(lab):
    p = subprocess.run(['setpriv', '--reuid', '65534', '--clear-groups', '--bounding-set=-all', '--inh-caps=-all',
                        os.path.join(L.BIN, 'tycho-observer'), '--listen', 'unix://' + lab.folder + '/none.sock'],
                       stderr=subprocess.PIPE, text=True, timeout=30, env={'HOME': '/nonexistent', 'PATH': '/bin'})
    assert p.returncode == 1
    assert 'CAP_BPF' in p.stderr and 'sudo' in p.stderr


def test_what_the_lab_calls_ends_there_though_its_caller_is_gone(lab):
    """As when the demo is stopped in the middle of a turn: a child that went on would make traffic for ever."""
    wait_r, wait_w = os.pipe()
    said_r, said_w = os.pipe()
    caller = os.fork()
    if caller == 0:
        try:
            lab.cart.call(lambda: os.write(said_w, b'+') and os.read(wait_r, 1))
        finally:
            os.write(said_w, b' and went on')
            os._exit(0)
    os.close(said_w)
    with os.fdopen(said_r, 'rb') as said:
        assert said.read(1) == b'+'
        os.kill(caller, signal.SIGKILL)
        os.waitpid(caller, 0)
        os.write(wait_w, b'.')
        assert said.read() == b''
    os.close(wait_r)
    os.close(wait_w)
