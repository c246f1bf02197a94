#!/usr/bin/env python3
"""Random flowLogs files and events, put to our exporters and to Hubble's: what do they write differently?

    against.py --bin BUILD/bin/export_answer --reference BUILD/oracle/export [--runs N] [--seed N] [--tell N] [--shared DIR]

A question is a file of one to three exporters (masks, groups, filters, ends, sizes; right and wrong) and events: made flows, recorded
ones with members dropped and exchanged, lost, agent and debug events. Lines are compared as JSON; those of groups in any order. Of a
refusal only that there is one. What is better on purpose (docs/compatibility.md) is told apart in `differ`.

Not asked: masks with several members of l4 or l7, files that are full (tests/export), files that change, and what two exporters at one path would do.
"""
import argparse
import glob
import json
import os
import random
import subprocess
import sys
import tempfile

sys.path.insert(1, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), 'metrics'))
from words import BAD_FILTERS, FILTERS, Words  # noqa: E402

BATCH = 200
PATHS = ['time', 'uuid', 'verdict', 'drop_reason', 'ethernet', 'ethernet.source', 'IP', 'IP.source', 'IP.ipVersion', 'IP.encrypted', 'l4', 'l4.TCP',
         'l4.TCP.flags', 'l4.TCP.destination_port', 'l4.UDP', 'l4.UDP.source_port', 'l4.ICMPv4.type', 'source', 'source.namespace',
         'source.pod_name', 'source.labels', 'source.workloads', 'source.identity', 'destination', 'destination.namespace',
         'destination.workloads', 'Type', 'node_name', 'node_labels', 'source_names', 'destination_names', 'l7', 'l7.type', 'l7.dns', 'l7.dns.query',
         'l7.http', 'l7.http.code', 'l7.http.headers', 'l7.kafka.topic', 'l7.latency_ns', 'reply', 'is_reply', 'event_type', 'event_type.type',
         'source_service', 'source_service.name', 'destination_service', 'traffic_direction', 'policy_match_type',
         'trace_observation_point', 'trace_reason', 'drop_reason_desc', 'interface', 'interface.name', 'proxy_port', 'trace_context',
         'trace_context.parent.trace_id', 'sock_xlate_point', 'socket_cookie', 'cgroup_id', 'Summary', 'extensions', 'egress_allowed_by',
         'egress_allowed_by.name', 'ingress_denied_by', 'auth_type', 'policy_log', 'aggregate', 'tunnel', 'tunnel.IP', 'tunnel.l4.UDP', 'file',
         'ip_trace_id', 'emitter', 'emitter.name']
BAD_PATHS = ['', 'x', 'time.x', 'source.', '.source', 'source.x', 'Source', 'type', 'l4.TCP.x', 'source labels', 'time,uuid',
             'sourceNames', 'is_reply.value', 'source.labels.0', 'source.workloads.name', '*']
INTERVALS = ['1h', '30s', '1m30s', '100ms', '2h45m0.5s', '1h', '1h']
BAD_INTERVALS = ['x', '1', '', '5', 's', '1 h', '1d', None, [], 30]
ENDS = ['2099-12-31T23:00:00Z', '2001-01-01T00:00:00Z', '2099-12-31T23:00:00+01:00', '2099-01-01T00:00:00.5Z']
BAD_ENDS = ['x', '2099-12-31', '2099-12-31 23:00:00', 1, '', '2099-13-01T00:00:00Z']
LOST = ['PERF_EVENT_RING_BUFFER', 'OBSERVER_EVENTS_QUEUE', 'HUBBLE_RING_BUFFER', 'UNKNOWN_LOST_EVENT_SOURCE', 9]


class Questions(Words):
    def several(self, good, bad, most):
        texts = [self.rng.choice(good) for _ in range(self.rng.randrange(1, most + 1))]
        if self.chance(0.04):
            texts[self.rng.randrange(len(texts))] = self.rng.choice(bad)
        return texts

    def paths(self, most):
        """Of what can only be one (l4, l7) at most one member: which of several the reference writes is left to chance."""
        paths, members = [], {}
        for path in self.several(PATHS, BAD_PATHS, most):
            parts = path.split('.')
            one_of = parts[0] == 'l4' or parts[:2] in (['l7', 'dns'], ['l7', 'http'], ['l7', 'kafka'])
            if not one_of or len(parts) < 2 or members.setdefault(parts[0], parts[1]) == parts[1]:
                paths.append(path)
        return paths

    def one(self, good, bad):
        return self.rng.choice(good if self.chance(0.96) else bad)

    def exporter(self, n):
        r = self.rng
        x = {'name': 'e%d' % n, 'filePath': '{dir}/f%d' % n}
        if self.chance(0.5):
            x['fieldMask'] = self.paths(r.choice([1, 3, 8]))
        if self.chance(0.3):
            x['fieldAggregate'] = self.paths(r.choice([1, 2, 4]))
        if self.chance(0.8 if 'fieldAggregate' in x else 0.1):
            x['aggregationInterval'] = self.one(INTERVALS, BAD_INTERVALS)
        for key in ('includeFilters', 'excludeFilters'):
            if self.chance(0.3):
                x[key] = self.several(FILTERS, BAD_FILTERS, 3)
        if self.chance(0.1):
            x['fileMaxSizeMb'] = self.one([0, 1, 10, 100], ['x', 1.5, True])
        if self.chance(0.1):
            x['fileMaxBackups'] = self.one([0, 1, 5], ['x', 1.5, []])
        if self.chance(0.1):
            x['fileCompress'] = self.one([True, False], ['x', 1, 'true'])
        if self.chance(0.1):
            x['end'] = self.one(ENDS, BAD_ENDS)
        if self.chance(0.03):
            del x[r.choice(list(x))]
        if self.chance(0.03):
            x[r.choice(list(x))] = None
        return x

    def config(self):
        r = self.rng
        exporters = [self.exporter(n) for n in range(r.choice([1, 1, 1, 2, 3]))]
        if self.chance(0.02):
            exporters.append(r.choice([None, exporters[0], 'x', {}, []]))
        if self.chance(0.02):
            return r.choice(['', '{}', 'flowLogs: []', 'flowLogs:', 'flowLogs: x', '[]', 'null', 'x', 'flowLogs: {}', '{', 'flowLogs: [{]'])
        return 'flowLogs: ' + json.dumps(exporters)  # which is YAML, too

    def event(self):
        r = self.rng
        time = '2025-01-02T03:04:%02d.%dZ' % (r.randrange(60), r.randrange(10 ** 9))
        if self.chance(0.85):
            flow = self.flow()
            return {'flow': flow.get('flow', flow), 'node_name': 'n1', 'time': time}
        kind = r.choice(['lost_events', 'agent_event', 'debug_event'])
        event = {'lost_events': {'source': r.choice(LOST), 'num_events_lost': str(r.randrange(5)), 'cpu': r.randrange(3)},
                 'agent_event': {'type': 'AGENT_STARTED', 'agent_start': {'time': time}},
                 'debug_event': {'type': 'DBG_GENERIC', 'hash': {'value': 7}, 'message': 'm', 'cpu': 2}}[kind]
        return {kind: event, 'node_name': 'n1', 'time': time}

    def question(self):
        return {'config': self.config(), 'events': [json.dumps(self.event()) for _ in range(self.rng.randrange(1, 12))]}


# --- answers ---------------------------------------------------------------------------------------------------------

def ask(program, questions):
    """The answers; None for a question that the program did not survive, after which it is started anew."""
    answers = []
    while len(answers) < len(questions):
        with tempfile.TemporaryFile() as asked:
            asked.write(b''.join(json.dumps(q).encode() + b'\n' for q in questions[len(answers):]))
            asked.seek(0)
            done = subprocess.run([program], stdin=asked, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=600)
        answers += [json.loads(line) for line in done.stdout.splitlines()]
        if len(answers) < len(questions) or done.returncode:
            print('%s: %s' % (program, done.stderr.decode(errors='replace')[-2000:]), file=sys.stderr)
        if len(answers) < len(questions):
            answers.append(None)
    return answers


def comparable(answer):
    if answer is None or 'refused' in answer:
        return answer and 'refused'
    files = {}
    for name, lines in answer.get('files', {}).items():
        made = [json.dumps(json.loads(line), sort_keys=True) for line in lines]
        files[name] = sorted(made) if any('"aggregate"' in line for line in made) else made
    return files


def exporters(question):
    try:
        return [x for x in json.loads(question['config'].partition(': ')[2]) if isinstance(x, dict)]
    except (ValueError, TypeError):
        return []


def without_losses(answer, names):
    """As a file of these names would be without lost events."""
    files = {name: [line for line in lines if not (name in names and '"lost_events"' in line)]
             for name, lines in answer.get('files', {}).items()}
    return dict(answer, files={name: lines for name, lines in files.items() if lines})


def differ(question, ours, theirs):
    """What is meant is told apart here: an exclusion of event types does not exclude lost events, nor is no interval a wrong one."""
    if ours is None:
        return True
    if theirs and 'duration \\"null\\"' in json.dumps(theirs) and 'aggregationInterval": null' in question['config']:
        return False
    excluding = ['f' + x['name'][1:] for x in exporters(question) if isinstance(x.get('excludeFilters'), list) and
                 any('event_type' in f for f in x['excludeFilters'] if isinstance(f, dict)) and isinstance(x.get('name'), str)]
    if theirs is not None and 'refused' not in theirs and 'refused' not in ours:
        ours, theirs = (without_losses(answer, excluding) for answer in (ours, theirs))
    return comparable(ours) != comparable(theirs)


def told(question, ours, theirs):
    text = 'config %s\n' % question['config']
    for event in question['events']:
        text += '  event %s\n' % event
    for name, answer in (('ours', ours), ('reference', theirs)):
        text += '  %s: %s\n' % (name, json.dumps(answer))
    return text


def least(question, is_so):
    """The question with as few events as show the difference."""
    events = question['events']
    at = 0
    while at < len(events):
        fewer = events[:at] + events[at + 1:]
        if is_so(dict(question, events=fewer)):
            events = fewer
        else:
            at += 1
    return dict(question, events=events)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--bin', required=True, help='the export_answer to test')
    parser.add_argument('--reference', required=True, help='build/oracle/export')
    parser.add_argument('--runs', type=int, default=2000)
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--tell', type=int, default=10, help='differences to tell of')
    parser.add_argument('--shared', default=os.environ.get('TYCHO_SHARED', ''), help='directory that holds golden/')
    args = parser.parse_args()

    recorded = []
    for path in sorted(glob.glob(os.path.join(args.shared, 'golden', 'flows', '*.jsonl'))):
        with open(path, encoding='utf-8', errors='replace') as f:
            for line in f:
                try:
                    recorded.append(json.loads(line))
                except ValueError:
                    continue
    recorded = [f for f in recorded if isinstance(f, dict)]
    if not recorded:
        sys.exit("against: no recorded flows below '%s': set TYCHO_SHARED to the directory that holds golden/" % args.shared)
    made = Questions(random.Random(args.seed), recorded)
    questions = [made.question() for _ in range(args.runs)]
    found = 0

    def is_so(question):
        return differ(question, *(ask(program, [question])[0] for program in (args.bin, args.reference)))

    for at in range(0, len(questions), BATCH):
        batch = questions[at:at + BATCH]
        for question, ours, theirs in zip(batch, ask(args.bin, batch), ask(args.reference, batch)):
            if not differ(question, ours, theirs):
                continue
            found += 1
            if found <= args.tell:
                question = least(question, is_so)
                print(told(question, *(ask(program, [question])[0] for program in (args.bin, args.reference))), flush=True)
    print('against: %d questions, %d answered differently' % (len(questions), found))
    return 1 if found or not questions else 0


if __name__ == '__main__':
    sys.exit(main())
