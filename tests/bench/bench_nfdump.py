#!/usr/bin/python3
"""What the same flows take in nfdump's files, as far as NetFlow v5 can hold them: addresses, ports, protocol, TCP flags,
packets, bytes and milliseconds; neither names nor verdicts, interfaces' names, MAC addresses, DNS or numbers.

Flows are made by bench_store, read back by tycho sql, and sent to nfcapd over loopback.
"""
import contextlib
import csv
import ipaddress
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.environ.get('TYCHO_BUILD', os.path.join(os.path.dirname(os.path.dirname(HERE)), 'build'))
BIN = os.path.join(BUILD, 'bin')
FLOWS = 300_000
PER_PACKET = 30
PROTOCOLS = {'TCP': 6, 'UDP': 17, 'ICMPv4': 1}
FLAGS = {'FIN': 1, 'SYN': 2, 'RST': 4, 'PSH': 8, 'ACK': 16, 'URG': 32, 'ECE': 64, 'CWR': 128}


def flows(folder):
    query = ('select time_ns, source_ip, destination_ip, source_port, destination_port, protocol, tcp_flags, packets, bytes,'
             ' interface_index from flows where packets > 0')
    with subprocess.Popen([os.path.join(BIN, 'tycho'), 'sql', '--store', folder, '--limit', '0', '-o', 'csv', query],
                          stdout=subprocess.PIPE, text=True) as p:
        yield from csv.DictReader(p.stdout)


def record(f, boot_ms):
    at = int(f['time_ns']) // 1_000_000 - boot_ms
    flags = sum(FLAGS.get(name, 0) for name in (f['tcp_flags'] or '').split())
    return struct.pack('>4s4s4sHHIIIIHHBBBBHHBBH', ipaddress.IPv4Address(f['source_ip']).packed,
                       ipaddress.IPv4Address(f['destination_ip']).packed, bytes(4), int(f['interface_index']) & 0xffff, 0,
                       int(f['packets']) & 0xffffffff, int(f['bytes']) & 0xffffffff, at, at,
                       int(f['source_port'] or 0), int(f['destination_port'] or 0), 0, flags, PROTOCOLS.get(f['protocol'], 0),
                       0, 0, 0, 0, 0, 0)


def send(folder, port):
    out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    out.connect(('127.0.0.1', port))
    batch, sent, boot_ms = [], 0, None

    def packet():
        head = struct.pack('>HHIIIIBBH', 5, len(batch), 1_000_000_000, boot_ms // 1000 + 1_000_000, 0, sent, 0, 0, 0)
        out.send(head + b''.join(batch))

    for f in flows(folder):
        boot_ms = boot_ms or int(f['time_ns']) // 1_000_000
        batch.append(record(f, boot_ms))
        if len(batch) == PER_PACKET:
            packet()
            sent += len(batch)
            batch = []
            if sent % 3000 == 0:
                time.sleep(0.002)  # nfcapd has no way to say that it is full
    if batch:
        packet()
        sent += len(batch)
    return sent


def measure(option):
    with contextlib.ExitStack() as stack:
        folder = tempfile.mkdtemp(prefix='bench-nfdump-')
        stack.callback(shutil.rmtree, folder)
        store, files = os.path.join(folder, 'store'), os.path.join(folder, 'files')
        os.mkdir(store)
        os.mkdir(files)
        os.chmod(folder, 0o755)
        subprocess.run([os.path.join(BIN, 'bench_store'), 'make', store, str(FLOWS)], stdout=subprocess.DEVNULL, check=True)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.bind(('127.0.0.1', 0))
            port = s.getsockname()[1]
        collector = subprocess.Popen(['nfcapd', '-b', '127.0.0.1', '-p', str(port), '-w', files, '-B', '8000000'] + option,
                                     stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(1)
        sent = send(store, port)
        time.sleep(2)
        collector.send_signal(signal.SIGTERM)
        collector.wait(20)
        said = subprocess.run(['nfdump', '-R', files, '-I'], stdout=subprocess.PIPE, text=True, check=True).stdout
        kept = next(int(line.split()[1]) for line in said.splitlines() if line.startswith('Flows:'))
        size = sum(os.path.getsize(os.path.join(files, name)) for name in os.listdir(files))
        if kept < sent * 0.99:
            sys.exit('nfcapd kept %d of %d flows' % (kept, sent))
        return size / kept


def main():
    for option, name in (([], 'uncompressed'), (['-z'], 'LZO'), (['-y'], 'LZ4'), (['-j'], 'bzip2')):
        print('figure\tnfdump, %s\t%.6g\tbytes a flow\t-\t-' % (name, measure(option)))


if __name__ == '__main__':
    main()
