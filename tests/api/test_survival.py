"""Clients that vanish, sleep, crowd and race: the observer goes on, holds nothing of them, and ends cleanly."""
import collections
import contextlib
import os
import resource
import signal
import socket
import subprocess
from concurrent import futures

import pytest

import half_http2
import wire
from observer import BIN, Observer, flow, golden, numbers

FOLLOWERS = 100


def serving(observer):
    """The observer answers, on a new connection."""
    with observer.client() as c:
        return c.call('grpc.health.v1.Health', 'Check', service='hubble.server.Observer').status == 1


# --- clients that go away ---------------------------------------------------------------------------------------


def cancelled_streams(observer, n):
    """n streams that are cancelled in the middle: half of them idle, half while flows pour in; some with their connection."""
    with observer.client(fast=False) as shared:
        for i in range(n):
            client = shared if i % 2 else observer.client(fast=False)
            stream = client.GetFlows(number=wire.ALL, follow=i % 3 == 0)
            for _ in range(i % 5):
                next(stream)
            stream.cancel()
            assert wire.status_of(lambda: stream)[0] == 'CANCELLED'
            if client is not shared:
                client.close()


def test_cancelled_streams_leave_no_descriptors_and_no_memory():
    # what the sanitizers keep of freed memory would count as growth
    with Observer(path=golden('small.jsonl'), env={'ASAN_OPTIONS': 'quarantine_size_mb=1'}) as ob:
        ob.wait_seen(118)
        cancelled_streams(ob, 200)  # what libraries set up once is set up
        fds, grown = ob.wait_fds(without_ours=True), []
        # Memory that is lost is lost in every round; a round in which an allocator, or a sanitizer for itself, took a large piece is
        # followed by others that are content. A stream's queue alone is 128 messages of some 700 bytes: 200 of them would be 17 MiB.
        while not grown or (grown[-1] >= 4096 and len(grown) < 4):
            kib = ob.resident_kib()
            cancelled_streams(ob, 200)
            ob.wait_fds(fds + 1, without_ours=True)
            grown.append(ob.resident_kib() - kib)
        assert grown[-1] < 4096, grown


def test_killed_clients_leave_no_descriptors():
    with Observer(path=golden('small.jsonl')) as ob:
        ob.wait_seen(118)
        with ob.client() as client:
            client.flows(number=1 << 63)  # the store's reader has opened its file
        ob.wait_fds()
        fds = ob.fds()
        for _ in range(3):
            children = [subprocess.Popen([BIN + '/tycho', 'observe', '-f', '--all', '--server', ob.tcp],
                                         stdout=subprocess.PIPE) for _ in range(5)]
            for child in children:
                child.stdout.readline()  # it streams
            assert ob.fds() >= fds + 4  # fds may count the client that asked last
            for child in children:
                child.kill()
                child.wait()
                child.stdout.close()
            ob.wait_fds(fds + 2)


def test_a_connection_that_says_nothing_or_nonsense_harms_nobody():
    with Observer(lines=[flow(0)]) as ob:
        host, port = ob.tcp.split(':')
        preface = b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'
        for data in (b'', b'GET / HTTP/1.1\r\nHost: x\r\n\r\n', b'\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03' + b'x' * 600,
                     preface, preface + b'\x00' * 9, preface + b'\xff' * 100, preface[:10]):
            with socket.create_connection((host, int(port)), 10) as s:
                s.sendall(data)
                assert serving(ob)


# --- many at once, one of them stuck ------------------------------------------------------------------------------


def test_a_hundred_followers_get_each_flow_once_and_the_stuck_are_cut_off():
    total = 150  # what HTTP/2 has room for, so that a loaded machine reads in time
    request = wire.GetFlowsRequest(number=wire.ALL, follow=True).SerializeToString()
    small = [wire.message('flow.FlowFilter')(verdict=[1])]  # FORWARDED
    with contextlib.ExitStack() as stack:
        ob = stack.enter_context(Observer('--stall-timeout', '2s'))
        sleeper = subprocess.Popen([BIN + '/tycho', 'observe', '-f', '--all', '-o', 'json', '--server', ob.tcp],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        stack.callback(sleeper.kill)
        clients = [ob.client() for _ in range(FOLLOWERS // 10)]
        streams = [clients[i % len(clients)].GetFlows(follow=True, number=wire.ALL, whitelist=small, timeout=60)
                   for i in range(FOLLOWERS)]
        ob.feed([flow(0)])
        sleeper.stdout.readline()  # it is being served; now it sleeps
        sleeper.send_signal(signal.SIGSTOP)
        # 1 MB: more than HTTP/2 has room for at the one that sleeps
        ob.feed(flow(i, verdict='DROPPED', Summary='x' * 20_000) for i in range(10_000, 10_050))
        ob.wait_seen(51)

        # Stuck for good, and later than the sleeper: when it is cut off, the sleeper has been.
        with half_http2.Stuck(ob.tcp, '/observer.Observer/GetFlows', request, window_bytes=1000) as stuck:
            ob.feed(flow(i) for i in range(1, total))
            # in turn, so that none of them waits for a thread of this process for long
            got = [[next(stream).flow for stream in streams] for _ in range(total)]
            for of_one in zip(*got):
                assert numbers(of_one) == list(range(total))
            assert stuck.until_cut_off() == 1000
        for c in clients:
            c.close()
        sleeper.send_signal(signal.SIGCONT)
        _, err = sleeper.communicate(timeout=20)
        assert sleeper.returncode == 1
        assert err.decode() == 'rpc error: code = ResourceExhausted desc = client reads too slowly\n'


def test_a_client_that_reads_slowly_but_reads_is_not_cut_off():
    """Each message it takes is a sign of life, though the whole takes longer than the timeout."""
    total = 80
    with Observer('--stall-timeout', '3s', lines=[flow(i, Summary='x' * 20000) for i in range(total)]) as ob:
        ob.wait_seen(total)
        with ob.client() as c, ob.client() as clock:
            got = []
            for response in c.GetFlows():
                got.append(response.flow)
                # 50 ms, and more than the timeout in all; the timeout is long enough for a machine that is slow, too
                wire.status_of(lambda: clock.GetFlows(follow=True, timeout=0.05))
            assert numbers(got) == list(range(total))


# --- the end in the middle ----------------------------------------------------------------------------------------


@pytest.mark.parametrize('sig', [signal.SIGTERM, signal.SIGINT])
def test_a_signal_under_a_hundred_busy_streams_ends_all_of_them_cleanly(sig):
    with Observer('--replay-repeat', '1000000000', path=golden('small.jsonl')) as ob:
        clients = [ob.client() for _ in range(FOLLOWERS // 10)]
        streams = [clients[i % len(clients)].GetFlows(follow=True, timeout=60) for i in range(FOLLOWERS)]
        for stream in streams:
            next(stream)

        with futures.ThreadPoolExecutor(FOLLOWERS) as pool:
            ends = [pool.submit(wire.status_of, lambda s=s: s) for s in streams]
            assert ob.stop(sig) == 0
            assert collections.Counter(end.result()[0] for end in ends) == {'UNAVAILABLE': FOLLOWERS}
        for c in clients:
            c.close()


def test_a_signal_with_idle_streams_tells_each_and_leaves_no_socket():
    with Observer(lines=[flow(0)]) as ob:
        with ob.client() as c:
            streams = [c.GetFlows(follow=True), c.GetAgentEvents(follow=True), c.call('peer.Peer', 'Notify'),
                       c.call('grpc.health.v1.Health', 'Watch', service='')]
            for stream in streams:
                stream.initial_metadata()
            assert ob.stop() == 0
            for stream in streams:
                status, text = wire.status_of(lambda: stream)
                assert (status, text) == ('UNAVAILABLE', 'server is shutting down')
        assert not os.path.exists(ob.socket[len('unix://'):])


def test_a_stuck_stream_does_not_delay_the_end():
    with Observer(lines=[flow(i, Summary='x' * 20000) for i in range(40)]) as ob:
        ob.wait_seen(40)
        request = wire.GetFlowsRequest(number=wire.ALL, follow=True).SerializeToString()
        with half_http2.Stuck(ob.tcp, '/observer.Observer/GetFlows', request, window_bytes=10) as stuck:
            next(frame for frame in stuck.frames() if frame[0] == half_http2.DATA)
            assert ob.stop() == 0


# --- one address, one observer ------------------------------------------------------------------------------------


@pytest.mark.parametrize('which', [0, 1])
def test_a_second_observer_on_an_address_is_refused_in_one_sentence(which):
    with Observer(lines=[flow(0)]) as ob:
        p = subprocess.run([BIN + '/tycho-observer', '--no-bpf', '--replay', '/dev/null', '--listen', ob.addresses[which],
                            '--state-dir', ob.folder + '/other'],
                           stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=30)
        assert p.returncode == 1 and p.stdout == ''
        assert p.stderr.count('\n') == 1 and ob.addresses[which] in p.stderr
        with wire.Client(ob.addresses[which]) as c:  # and the first one is as it was
            assert len(c.flows()) == 1


def test_a_second_observer_on_a_state_folder_is_refused_in_one_sentence():
    with Observer(lines=[flow(0)]) as ob:
        p = subprocess.run([BIN + '/tycho-observer', '--no-bpf', '--replay', '/dev/null', '--listen', '127.0.0.1:0',
                            '--state-dir', ob.folder + '/state'],
                           stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=30)
        assert p.returncode == 1 and p.stderr.count('\n') == 1 and ob.folder in p.stderr


def test_a_socket_that_cannot_be_made_is_named(tmp_path):
    p = subprocess.run([BIN + '/tycho-observer', '--no-bpf', '--replay', '/dev/null', '--state-dir', tmp_path,
                        '--listen', 'unix:///dev/null/tycho/observer.sock'], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=30)
    assert p.returncode == 1 and p.stdout == ''
    assert p.stderr == "tycho-observer: listen on 'unix:///dev/null/tycho/observer.sock': make folder '/dev/null/tycho': Not a directory\n"


def test_the_socket_of_an_observer_that_was_killed_is_taken_over():
    with Observer(lines=[flow(0)]) as ob:
        assert ob.stop(signal.SIGKILL) == -signal.SIGKILL
        assert os.path.exists(ob.socket[len('unix://'):])
        ob.__enter__()
        with wire.Client(ob.socket) as c:
            ob.wait_seen(1)
            assert len(c.flows()) == 1


# --- out of file descriptors --------------------------------------------------------------------------------------


def test_running_out_of_descriptors_is_survived():
    """gRPC 1.51 stops listening for good after one failed accept(2): the observer must notice and listen again."""
    with Observer() as ob:
        with ob.client() as held:
            follower = held.GetFlows(follow=True, timeout=60)
            follower.initial_metadata()
            ob.wait_fds()
            soft, hard = resource.prlimit(ob.pid, resource.RLIMIT_NOFILE)
            resource.prlimit(ob.pid, resource.RLIMIT_NOFILE, (ob.fds() + 5, hard))
            host, port = ob.tcp.split(':')
            crowd_of_idle = [socket.create_connection((host, int(port)), 10) for _ in range(60)]
            for i, s in enumerate(crowd_of_idle):
                s.settimeout(10)
            # SETTINGS come to those that were accepted; the limit is reached when one of the first is served
            assert crowd_of_idle[0].recv(9)
            ob.feed([flow(0)])
            assert next(follower).flow.uuid == 'flow-0'  # calls in progress go on
            for s in crowd_of_idle:
                s.close()
            resource.prlimit(ob.pid, resource.RLIMIT_NOFILE, (soft, hard))
            ob.feed([flow(1)])
            assert next(follower).flow.uuid == 'flow-1'
            for address in ob.addresses:
                with wire.Client(address) as c:
                    # waits for as long as the listener needs to come back
                    stub = c.channel.unary_unary('/grpc.health.v1.Health/Check')
                    assert stub(b'', timeout=20, wait_for_ready=True) == b'\x08\x01'
            follower.cancel()
            assert 'out of file descriptors' in ob.log()


# --- files and pipes that are not what they should be -----------------------------------------------------------


def test_lines_of_a_replay_that_cannot_be_read_are_told():
    lines = [flow(0), 'junk', flow(1), '{"nothing": 1}', 'x' * (1 << 20), flow(2)]
    with Observer(lines=lines) as ob, ob.client() as c:
        ob.wait_seen(3)
        ob.wait_replayed()
        warnings = [x.split(' ', 1)[1] for x in ob.log().splitlines() if 'level=WARN' in x]
        assert warnings == [
            'level=WARN msg="a line of the replay cannot be read: counted as lost, as any others will be" line=2',
            'level=WARN msg="lines of the replay could not be read and are counted as lost" file=%s lines=3' % ob.path]


def test_a_pipe_that_never_ends_is_told_of_its_first_line_that_cannot_be_read():
    with Observer() as ob:
        ob.feed([flow(0), flow(1), '', '{', 'junk', flow(2)])
        ob.wait_seen(3)
        assert [x.rsplit(' ', 1)[1] for x in ob.log().splitlines() if 'level=WARN' in x] == ['line=4']


def test_a_replay_without_fault_is_warned_of_by_nothing():
    with Observer(lines=[flow(0), '', flow(1)]) as ob:
        ob.wait_replayed()
        assert 'level=WARN' not in ob.log()
