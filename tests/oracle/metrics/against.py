#!/usr/bin/env python3
"""Random questions about metrics, put to our handlers and to Hubble's: what do their pages say differently?

    against.py --bin BUILD/bin/metrics_answer --reference BUILD/oracle/metrics [--about KIND]... [--runs N] [--seed N] [--shared DIR]

A question is a configuration, flows, and when to look at the page: `recorded` are the recorded cases (tests/golden/metrics.py), whose
pages are held against both sides; `lists` are lists of metrics with options, right and wrong; `many` the same with many flows (a tenth of
the runs); `files` are configuration files that change between flows; `yaml` files as people write them; `pods` are pods that go. Flows are
made, or recorded ones with members dropped and exchanged. Pages are compared line by line, help texts, buckets and exemplars included, but
for the times of exemplars, the notation of numbers (1e+06) and the order of a family's series; of errors only whether there is one.
known.py says where we differ on purpose. Each difference is told with the least that shows it, and is this program's failure.

Not asked: what the HTTP server adds (sizes, compression, authentication: tests/api), series beyond the budget and values beyond 2,048
bytes, which only we bound, tags in YAML (`!!str 1`), and metrics of the server itself.

The reference is built by tests/oracle/build. Standard library only.
"""
import argparse
import csv
import difflib
import glob
import json
import os
import re
import subprocess
import sys
import tempfile

import known
from words import words

BATCH = 100  # questions a program is started for


# --- questions: lists of (verb, payload) -----------------------------------------------------------------------------

def lines_of(flows):
    return ''.join(json.dumps(f) + '\n' for f in flows)


def about_lists(w):
    return [('list', w.list()), ('flows', lines_of(w.flows())), ('page', w.rng.choice(['text', 'openmetrics']))]


def about_many(w):
    """Enough flows to meet each other: what is kept by the values of one must not be taken for another's."""
    return [('list', w.list()), ('flows', lines_of(w.flow() for _ in range(1500))), ('page', 'text')]


def about_files(w):
    file, question = w.file(), []
    for i in range(w.rng.choice([1, 2, 2, 3, 4])):  # never the same text again: at that the reference does not look
        question += [('file', json.dumps(file) + ' ' * i), ('flows', lines_of(w.flows(20))), ('page', w.rng.choice(['text', 'openmetrics']))]
        if w.chance(0.3):
            question.append(('gone', '%s\0%s' % (w.rng.choice(['default', 'prod']), w.rng.choice(['a-0', 'a-1']))))
        file = w.next_file(file)
    return question


def about_pods(w):
    question = [('list', w.pod_list() if w.chance(0.7) else w.list())]
    for _ in range(3):
        flows = w.pod_flows()
        ends = [f['flow'][side] for f in flows if isinstance(f.get('flow'), dict) for side in ('source', 'destination') if side in f['flow']]
        ends = [end for end in ends if isinstance(end, dict)]
        question.append(('flows', lines_of(flows)))
        for _ in range(w.rng.randrange(3)):
            end = w.rng.choice(ends or [{}])
            question.append(('gone', '%s\0%s' % (end.get('namespace') or 'default', end.get('pod_name') or 'a-0')))
        question.append(('page', 'text'))
    return question


def about_yaml(w):
    return [('file', w.text()), ('flows', lines_of(w.flows(20))), ('page', 'text')]


KINDS = {'lists': about_lists, 'many': about_many, 'files': about_files, 'pods': about_pods, 'yaml': about_yaml}


def read(folder, name):
    with open(os.path.join(folder, name), encoding='utf-8') as f:
        return f.read()


def exists(folder, name):
    return os.path.exists(os.path.join(folder, name))


def recorded_cases(folder):
    """[(question, expected page or None, note)]"""
    sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', 'golden'))
    import metrics as golden
    cases = []
    with open(os.path.join(folder, 'cases.tsv'), encoding='utf-8', newline='') as f:
        for case in csv.DictReader(f, delimiter='\t', quoting=csv.QUOTE_NONE):
            flows = ('flows', read(folder, case['input']))
            if case['config'].startswith('yaml:'):
                names = [word[len('yaml:'):] for word in case['config'].split(' ')]
                question = [m for name in names for m in ([('file', read(folder, name))] if exists(folder, name) else []) + [flows]]
            else:
                question = [('list', golden.unescape(case['config'])), flows]
            question.append(('page', 'openmetrics' if case['openmetrics'] == 'true' else 'text'))
            expected = None if case['expected'] == '-' else read(folder, case['expected'])
            cases.append((question, expected, '%s (%s)' % (case['id'], case['note'])))
    return cases


# --- answers ---------------------------------------------------------------------------------------------------------

def pack(question):
    return b''.join(b'%s %d\n%s\n' % (verb.encode(), len(payload.encode()), payload.encode())
                    for verb, payload in question + [('end', '')])


def unpack(data):
    """Answers, each a list of (verb, payload), up to where the program ended."""
    answers, answer, at = [], [], 0
    while True:
        head, newline, _ = data[at:at + 40].partition(b'\n')
        if not newline:
            return answers
        verb, length = head.decode().split(' ')
        at += len(head) + 1
        payload = data[at:at + int(length)].decode('utf-8', 'replace')
        at += int(length) + 1
        if verb != 'end':
            answer.append((verb, payload))
            continue
        answers.append(answer)
        answer = []


def ask(program, questions):
    """The answers; a program that ends early is started anew after the question that it did not survive."""
    answers = []
    while len(answers) < len(questions):
        with tempfile.TemporaryFile() as asked:
            asked.write(b''.join(pack(q) for q in questions[len(answers):]))
            asked.seek(0)
            done = subprocess.run([program], stdin=asked, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=600)
        answers += unpack(done.stdout)
        if len(answers) < len(questions):
            answers.append([('crash', done.stderr.decode(errors='replace')[-4000:])])
        elif done.returncode:
            answers[-1].append(('crash', done.stderr.decode(errors='replace')[-4000:]))
    return answers


def series_of(line):
    return re.sub(r'(^|,)le="[^"]*"$', '', line.partition('{')[2].rpartition('} ')[0])


def even(page):
    """A page without the times of exemplars, numbers in one notation, and the series of a family in one order."""
    families = re.split(r'(?m)^(?=# HELP )', timeless(page))
    return ''.join('\n'.join(sorted(f.split('\n'), key=lambda line: '' if line.startswith('#') else series_of(line))) for f in families)


def timeless(page):
    page = re.sub(r'( # \{.*\} \S+) \S+$', r'\1', page, flags=re.MULTILINE)
    return re.sub(r'(?<= )(?:[0-9.]+(?:e[+-]\d+)?)(?= # |$)', lambda m: repr(float(m.group())), page, flags=re.MULTILINE)


def comparable(answer):
    """Of errors, only that there are some, and when."""
    made = []
    for verb, payload in answer:
        if verb == 'refused':  # nothing runs
            return [('refused', '')]
        if verb == 'said' and made and made[-1][0] == 'said':
            continue
        made.append((verb, '' if verb == 'said' else even(payload) if verb == 'page' else payload))
    return made


def differ(question, ours, theirs):
    if any(verb == 'crash' for verb, _ in ours):
        return True
    ours, theirs = known.mended(question, ours, theirs)
    return comparable(ours) != comparable(theirs)


# --- telling ---------------------------------------------------------------------------------------------------------

def without(parts, is_so, tries):
    """The parts that it takes: halves are left out, then quarters, down to single ones."""
    n = len(parts) // 2
    while n and tries > 0:
        at = 0
        while at < len(parts) and tries > 0:
            tries -= 1
            fewer = parts[:at] + parts[at + n:]
            if is_so(fewer):
                parts = fewer
            else:
                at += n
        n //= 2
    return parts


def least(question, is_so, tries):
    """What is left of the question when all is left out that the difference does not need."""
    question = without(question, is_so, tries)
    for i, (verb, payload) in enumerate(question):
        separators = {'flows': '\n', 'list': ' ;'}.get(verb)
        if separators:
            parts = re.findall('[^%s]*[%s]+|[^%s]+$' % ((separators,) * 3), payload)
            parts = without(parts, lambda fewer: is_so(question[:i] + [(verb, ''.join(fewer))] + question[i + 1:]), tries)
            question = question[:i] + [(verb, ''.join(parts))] + question[i + 1:]
    return question


def told(kind, question, ours, theirs):
    text = '%s, question:\n' % kind
    for verb, payload in question:
        text += '  %s %s\n' % (verb, payload.rstrip('\n').replace('\n', '\n        '))
    mine, other = ([line for verb, payload in comparable(a) for line in [verb + ':'] + payload.splitlines()]
                   for a in known.mended(question, ours, theirs))
    text += ''.join('  %s\n' % line for line in list(difflib.unified_diff(other, mine, 'reference', 'ours', n=0, lineterm=''))[:20])
    for name, answer in (('ours', ours), ('reference', theirs)):
        text += ''.join('  %s: %s %s\n' % (name, verb, payload) for verb, payload in answer if verb in ('said', 'refused', 'crash'))
    return text


def compare(args, kind, questions):
    """How many were answered differently."""
    found = 0

    def is_so(question):
        ours, theirs = (ask(program, [question])[0] for program in (args.bin, args.reference))
        return differ(question, ours, theirs)

    for at in range(0, len(questions), BATCH):
        batch = questions[at:at + BATCH]
        for question, ours, theirs in zip(batch, ask(args.bin, batch), ask(args.reference, batch)):
            if not differ(question, ours, theirs):
                continue
            found += 1
            if found <= args.tell:
                question = least(question, is_so, args.tries)
                print(told(kind, question, ask(args.bin, [question])[0], ask(args.reference, [question])[0]), flush=True)
    return found


def check_recorded(args, cases):
    """Does the reference give the recorded pages? If not, it is another program, or the oracle asks it wrongly."""
    found = 0
    for (_, expected, note), answer in zip(cases, ask(args.reference, [c[0] for c in cases])):
        # that nothing of a list exists is recorded as a refusal: it is none, but nothing is counted
        refused = any(verb == 'refused' for verb, _ in answer)
        pages = [timeless(payload) for verb, payload in answer if verb == 'page']
        nothing = pages == [''] and any('Skipping' in payload for verb, payload in answer if verb == 'said')
        if expected is None and not refused and not nothing or expected is not None and pages != [timeless(expected)]:
            found += 1
            print('%s: the reference does not answer as recorded' % note)
    return found


def recorded_flows(golden):
    flows = []
    for path in [os.path.join(golden, 'metrics', 'flows.jsonl')] + sorted(glob.glob(os.path.join(golden, 'flows', '*.jsonl'))):
        with open(path, encoding='utf-8', errors='replace') as f:
            for line in f:
                try:
                    flows.append(json.loads(line))
                except ValueError:
                    continue
    return [f for f in flows if isinstance(f, dict)]


def recorded_filters(golden):
    with open(os.path.join(golden, 'rawfilters.tsv'), encoding='utf-8', newline='') as f:
        rows = list(csv.DictReader(f, delimiter='\t', quoting=csv.QUOTE_NONE))
    return [one for row in rows for side in ('allowlist', 'denylist') for one in json.loads(row[side] or '[]')]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--bin', required=True, help='the metrics_answer to test')
    parser.add_argument('--reference', required=True, help='build/oracle/metrics')
    parser.add_argument('--about', action='append', choices=sorted(KINDS) + ['recorded'], help='only this kind of question (repeatable)')
    parser.add_argument('--runs', type=int, default=1000, help='questions of each kind')
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--tell', type=int, default=10, help='differences to tell of, of each kind')
    parser.add_argument('--tries', type=int, default=150, help='for what a difference does not need')
    parser.add_argument('--shared', default=os.environ.get('TYCHO_SHARED', ''), help='directory that holds golden/')
    args = parser.parse_args()

    golden = os.path.abspath(os.path.join(args.shared, 'golden'))
    if not os.path.exists(os.path.join(golden, 'metrics', 'cases.tsv')):
        sys.exit("against: no recorded cases at '%s': set TYCHO_SHARED to the directory that holds golden/" % golden)
    flows, filters = recorded_flows(golden), recorded_filters(golden)
    found = asked = 0
    for kind in args.about or ['recorded'] + sorted(KINDS):
        if kind == 'recorded':
            cases = recorded_cases(os.path.join(golden, 'metrics'))
            found += check_recorded(args, cases)
            questions = [c[0] for c in cases]
        else:
            w = words(args.seed, kind, flows, filters)
            questions = [KINDS[kind](w) for _ in range(args.runs // 10 + 1 if kind == 'many' else args.runs)]
        found += compare(args, kind, questions)
        asked += len(questions)
    print('against: %d questions, %d answered differently' % (asked, found))
    return 1 if found or not asked else 0


if __name__ == '__main__':
    sys.exit(main())
