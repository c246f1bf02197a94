#!/usr/bin/env python3
"""Compares our pages of metrics with those that the reference's handlers gave for the same flows.

    metrics.py --bin BUILD/bin/metrics_page [--shared DIR] [--case ID]...

The cases live in DIR/golden/metrics (README.md there). Pages are compared sample by sample: name, type, labels, value,
exemplars, help; order does not count. Standard library only.
"""
import argparse
import csv
import os
import re
import subprocess
import sys

LABEL = re.compile(r'([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"')


def labels_of(text):
    found = LABEL.findall(text)
    if ','.join('%s="%s"' % pair for pair in found) != text:
        raise ValueError('not labels: ' + text)
    return tuple(sorted(found))


def number(text):
    return float(text)


def le_as_number(labels):
    return tuple((k, number(v)) if k == 'le' else (k, v) for k, v in labels)


def read_page(text):
    """{name: type} and {(name, labels): (value, exemplar)} of a page; a sample twice is an error."""
    types, samples, ended = {}, {}, False
    for line in text.splitlines():
        if line == '# EOF':
            ended = True
            continue
        if line.startswith('# TYPE '):
            _, _, name, kind = line.split(' ')
            if name in types:
                raise ValueError('family twice: ' + name)
            types[name] = kind
            continue
        if line.startswith('#'):
            continue
        match = re.match(r'([a-zA-Z_:][\w:]*)(?:\{((?:[^"}]|"(?:[^"\\]|\\.)*")*)\})? (\S+)(?: # \{(.*?)\} (\S+)(?: \S+)?)?$', line)
        if not match:
            raise ValueError('not a sample: ' + line)
        name, labels, value, trace, traced = match.groups()
        key = (name, le_as_number(labels_of(labels or '')))
        if key in samples:
            raise ValueError('sample twice: ' + line)
        samples[key] = (number(value), (labels_of(trace), number(traced)) if trace else None)
    return types, samples, ended


def helps_of(text):
    return dict(re.findall(r'^# HELP (\S+) (.*)$', text, re.MULTILINE))


def differences(ours, theirs):
    helps, expected = helps_of(ours), helps_of(theirs)
    for name in sorted(set(helps) | set(expected)):
        if helps.get(name) != expected.get(name):
            yield 'help of %s: %s, expected %s' % (name, helps.get(name), expected.get(name))
    ours, theirs = read_page(ours), read_page(theirs)
    for name in sorted(set(ours[0]) | set(theirs[0])):
        if ours[0].get(name) != theirs[0].get(name):
            yield 'type of %s: %s, expected %s' % (name, ours[0].get(name), theirs[0].get(name))
    for key in sorted(set(ours[1]) | set(theirs[1]), key=repr):
        if ours[1].get(key) != theirs[1].get(key):
            yield '%s%s: %s, expected %s' % (key[0], dict(key[1]), ours[1].get(key), theirs[1].get(key))
    if ours[2] != theirs[2]:
        yield 'the end is marked on one page only'


def unescape(text):
    return re.sub(r'\\(.)', lambda m: {'t': '\t', 'n': '\n', '\\': '\\'}[m.group(1)], text)


def run_case(binary, folder, case):
    """What is wrong with the case, as lines."""
    config = case['config']
    if config.startswith('yaml:'):
        arguments = ['yaml'] + [os.path.join(folder, word[len('yaml:'):]) for word in config.split(' ')]
    else:
        arguments = ['list', unescape(config)]
    command = [binary, 'openmetrics' if case['openmetrics'] == 'true' else 'text', os.path.join(folder, case['input'])]
    done = subprocess.run(command + arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=120)
    if case['expected'] == '-':
        return [] if done.returncode == 1 and done.stderr else ['is not refused: exit code %d' % done.returncode]
    if done.returncode != 0:
        return ['exit code %d: %s' % (done.returncode, done.stderr)]
    wrong = []
    if bool(done.stderr) != (case['error'] != '-'):
        wrong.append('said %r, the reference %r' % (done.stderr, case['error']))
    with open(os.path.join(folder, case['expected']), encoding='utf-8') as f:
        wrong.extend(differences(done.stdout, f.read()))
    return wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--bin', required=True, help='the metrics_page to test')
    parser.add_argument('--shared', default='', help='directory that holds golden/')
    parser.add_argument('--case', action='append', help='only this case (repeatable)')
    args = parser.parse_args()

    folder = os.path.join(os.environ.get('TYCHO_SHARED') or args.shared, 'golden', 'metrics')
    table = os.path.join(folder, 'cases.tsv')
    if not os.path.exists(table):
        sys.exit("metrics: no recorded cases at '%s': set TYCHO_SHARED to the directory that holds golden/" % folder)
    with open(table, encoding='utf-8', newline='') as f:
        cases = list(csv.DictReader(f, delimiter='\t', quoting=csv.QUOTE_NONE))
    passed = failed = 0
    for case in cases:
        if args.case and case['id'] not in args.case:
            continue
        wrong = run_case(os.path.abspath(args.bin), folder, case)
        failed += bool(wrong)
        passed += not wrong
        for line in wrong[:10]:
            print('FAIL %s (%s): %s' % (case['id'], case['note'], line))
    print('metrics: %d passed, %d failed' % (passed, failed))
    return 1 if failed or not passed else 0


if __name__ == '__main__':
    sys.exit(main())
