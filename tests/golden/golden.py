#!/usr/bin/env python3
"""Runs the recorded cases of the reference CLI against our own, area by area.

    golden.py --bin BUILD/bin/tycho [--shared DIR] [--area AREA]... [-j N]

The cases and their runner live in DIR/golden (README.md there); DIR is --shared or $TYCHO_SHARED. Every failure is a
failure of this test, except those on the list below; and an entry of the list that passes is one too, so that the list
shrinks with the work. Standard library only.
"""
import argparse
import csv
import json
import os
import re
import subprocess
import sys

AREAS = ["cli", "config", "env", "error", "filter", "combo", "not", "label", "rawlist", "translate", "time", "last",
         "print", "timefmt", "color", "events", "malformed", "status", "list", "cel", "truth"]

# What may fail, and why. A reason ends with what makes the entry go away.
CEL = "needs CEL expressions, which the filter library refuses until lib/cel lands"


def rows(path):
    with open(path, encoding="utf-8", newline="") as lines:
        yield from csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)


def asks_for_cel(filters):
    """Does one of the FlowFilters, given as JSON text, hold a CEL expression?"""
    found = []

    def look(pairs):
        found.extend(v for k, v in pairs if k in ("cel_expression", "celExpression") and v)
        return dict(pairs)
    try:
        json.loads(filters, object_pairs_hook=look)
    except ValueError:
        pass  # a case about broken JSON
    return bool(found)


def expected_failures(golden):
    """Case id to reason, for every case that cannot pass yet."""
    allowed = {}
    for case in rows(os.path.join(golden, "cases.tsv")):
        argv = json.loads(case["argv"])
        uses_cel = "--cel-expression" in " ".join(argv) or any(asks_for_cel(word) for word in argv)
        if uses_cel and case["exit"] == "0" and "--print-raw-filters" not in argv:
            allowed[case["id"]] = CEL
    for case in rows(os.path.join(golden, "filters.tsv")):
        if case["error"] == "-" and (asks_for_cel(case["allowlist"]) or asks_for_cel(case["denylist"])):
            allowed[case["id"]] = CEL
    return allowed


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

    allowed = expected_failures(golden)
    unexpected, excused, passed, seen = {}, set(), 0, set()
    for area in args.area or AREAS:
        failed, good = run_area(runner, binary, area, args.jobs)
        passed += good
        seen.add(area)
        for case, words in failed.items():
            if case in allowed:
                excused.add(case)
            else:
                unexpected[case] = words
    for case, words in sorted(unexpected.items()):
        print("FAIL %s: %s" % (case, words))
    healed = sorted(case for case in allowed if case not in excused and (not args.area or case.split("-")[0] in seen))
    for case in healed:
        print("PASSES, though it is on the list of those that cannot: %s (%s)" % (case, allowed[case]))
    print("golden: %d passed, %d failed, %d excused (%s)" % (passed, len(unexpected), len(excused), CEL))
    return 1 if unexpected or healed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
