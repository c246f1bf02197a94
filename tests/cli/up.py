#!/usr/bin/env python3
"""`tycho up` and a real observer, without the kernel: flows come from a file that this test writes.

    up.py BUILD/bin

Nothing waits for a time: each step waits for what the programs say. Standard library only.
"""
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest
import urllib.error
import urllib.request

BIN = ""
FLOWS = 40


def flow(n):
    return {"flow": {"time": "2024-03-05T10:00:%02dZ" % n, "verdict": "FORWARDED", "Type": "L3_L4",
                     "IP": {"source": "10.0.0.1", "destination": "10.0.0.2", "ipVersion": "IPv4"},
                     "l4": {"TCP": {"source_port": 40000 + n, "destination_port": 80}},
                     "event_type": {"type": 4}, "is_reply": False, "Summary": "TCP Flags: SYN"}}


class Up(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="tycho-up-")
        self.addCleanup(shutil.rmtree, self.dir)
        self.flows = os.path.join(self.dir, "flows.jsonl")
        with open(self.flows, "w", encoding="utf-8") as out:
            for n in range(FLOWS):
                out.write(json.dumps(flow(n)) + "\n")
        self.socket = os.path.join(self.dir, "observer.sock")
        self.server = "unix://" + self.socket

    def up(self, *more):
        command = [os.path.join(BIN, "tycho"), "up", "--no-bpf", "--listen", self.server, "--state-dir", self.dir,
                   "--ui-listen", "127.0.0.1:0"]
        process = subprocess.Popen(command + list(more), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                   env=dict(os.environ, HOME=self.dir, XDG_CONFIG_HOME=self.dir))
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.stderr.close)
        self.addCleanup(lambda: process.poll() is None and process.kill())
        return process

    def tycho(self, *args):
        return subprocess.run([os.path.join(BIN, "tycho"), *args, "--server", self.server], capture_output=True, text=True,
                              timeout=60, check=False)

    def test_follows_every_flow_answers_others_and_ends_on_interrupt(self):
        process = self.up("--replay", self.flows, "--node-name", "n1")
        said = [process.stderr.readline()]
        while said[-1] and "Ctrl-C" not in said[-1]:
            said.append(process.stderr.readline())
        self.assertIn(self.server, said[0])
        lines = [process.stdout.readline() for _ in range(FLOWS)]
        ports = [re.search(r"10\.0\.0\.1:(\d+) ", line).group(1) for line in lines]
        self.assertEqual(ports, [str(40000 + n) for n in range(FLOWS)])
        page = re.search(r"http://127\.0\.0\.1:\d+", "".join(said)).group(0)
        with urllib.request.urlopen(page + "/", timeout=60) as answer:
            self.assertIn(b"<html", answer.read().lower())
        again = self.tycho("observe", "--all")
        self.assertEqual((again.returncode, len(again.stdout.splitlines())), (0, FLOWS), again.stderr)
        self.assertIn(": Ok\n", self.tycho("status").stdout)
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(60), 0)
        self.assertFalse(os.path.exists(self.socket), "the observer left its socket behind")
        self.assertEqual(self.tycho("status").returncode, 1)
        with self.assertRaises(urllib.error.URLError):
            urllib.request.urlopen(page + "/", timeout=60)

    def test_an_observer_that_cannot_start_is_an_error(self):
        process = self.up("--replay", os.path.join(self.dir, "missing"))
        out, err = process.communicate(timeout=60)
        self.assertEqual((process.returncode, out), (1, ""))
        self.assertIn("missing", err)
        self.assertTrue(err.endswith("tycho-observer did not start\n"), err)

    def test_no_page_is_served_where_none_is_wanted(self):
        process = self.up("--replay", self.flows, "--no-ui")
        said = [process.stderr.readline()]
        while said[-1] and "Ctrl-C" not in said[-1]:
            said.append(process.stderr.readline())
        self.assertNotIn("http://", "".join(said))
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(60), 0)

    def test_an_observer_that_dies_is_an_error(self):
        process = self.up("--replay", self.flows, "--no-ui")
        self.assertTrue(process.stdout.readline())
        with open("/proc/%d/task/%d/children" % (process.pid, process.pid), encoding="ascii") as children:
            os.kill(int(children.read().split()[0]), signal.SIGKILL)
        _, err = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 1)
        self.assertTrue(err.endswith("the observer has ended\n"), err)

    def test_the_observer_knows_every_flag_that_is_passed_on(self):
        ours = subprocess.run([os.path.join(BIN, "tycho"), "up", "--help"], capture_output=True, text=True, check=True)
        theirs = subprocess.run([os.path.join(BIN, "tycho-observer"), "--help"], capture_output=True, text=True, check=True)
        passed_on = ours.stdout.split("Observer Flags:\n", 1)[1].split("\n\n", 1)[0]
        names = re.findall(r"^ +(--[a-z-]+)", passed_on, re.MULTILINE)
        self.assertGreater(len(names), 10)
        for name in names:
            self.assertRegex(theirs.stdout, re.escape(name) + r"\b")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: up.py DIRECTORY-OF-THE-PROGRAMS")
    BIN = os.path.abspath(sys.argv.pop())
    unittest.main()
