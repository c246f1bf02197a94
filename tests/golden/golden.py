#!/usr/bin/env python3
"""Runs the recorded cases of the reference CLI against our own, area by area.

    golden.py --bin BUILD/bin/tycho [--shared DIR] [--area AREA]... [--but AREA]... [-j N]

The cases and their runner live in DIR/golden (README.md there); DIR is --shared or $TYCHO_SHARED. Every failure is a
failure of this test. Standard library only.
"""
import argparse
import os
import re
import subprocess
import sys

AREAS = ["cli", "config", "env", "error", "filter", "combo", "not", "label", "rawlist", "translate", "time", "last",
         "print", "timefmt", "color", "events", "malformed", "status", "list", "cel", "truth"]


def run_area(runner, binary, area, jobs):
    """Ids of the failed cases with the runner's words for each, and how many passed."""
    command = [runner, "--bin", binary, "--area", area, "-j", str(jobs)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    failed = {}
    for line in done.stdout.splitlines():
        match = re.match(r"FAIL (\S+): (.*)", line)
        if match:
            failed[match.group(1)] = match.group(2)
    total = re.search(r"^(\d+) passed, (\d+) failed$", done.stdout, re.MULTILINE)
    if not total or int(total.group(2)) != len(failed):
        sys.exit("golden: the runner did not finish area %s:\n%s" % (area, done.stdout[-2000:]))
    return failed, int(total.group(1))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", required=True, help="the tycho to test")
    parser.add_argument("--shared", default=os.environ.get("TYCHO_SHARED", ""), help="directory that holds golden/")
    parser.add_argument("--area", action="append", choices=AREAS, help="only this area (repeatable)")
    parser.add_argument("--but", action="append", choices=AREAS, default=[], help="not this area (repeatable)")
    parser.add_argument("-j", "--jobs", type=int, default=os.cpu_count() or 1)
    args = parser.parse_args()

    shared = os.environ.get("TYCHO_SHARED") or args.shared
    golden = os.path.join(shared, "golden")
    runner = os.path.join(golden, "run-cases")
    if not os.path.exists(runner):
        sys.exit("golden: no recorded cases at '%s': set TYCHO_SHARED to the directory that holds golden/" % golden)
    binary = os.path.abspath(args.bin)
    if not os.access(binary, os.X_OK):
        sys.exit("golden: '%s' is no program: build the target tycho first" % binary)

    failures, passed = {}, 0
    for area in args.area or AREAS:
        if area in args.but:
            continue
        failed, good = run_area(runner, binary, area, args.jobs)
        passed += good
        failures.update(failed)
    for case, words in sorted(failures.items()):
        print("FAIL %s: %s" % (case, words))
    print("golden: %d passed, %d failed" % (passed, len(failures)))
    return 1 if failures or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
