"""Where we differ from the reference on purpose (docs/compatibility.md): its answers as they would be without that."""
import json
import re


def nothing_of_a_list(question, answer):
    """A list of which no metric exists is refused."""
    skipped = sum('Skipping' in payload for verb, payload in answer if verb == 'said')
    if skipped and skipped == sum(len(payload.split()) for verb, payload in question if verb == 'list'):
        return [('refused', 'none of these metrics exists')]
    return answer


def rcode_of(line):
    head = re.match(r'(hubble_dns_(?:queries|responses)_total)\{(.*)\} (\S+)$', line)
    labels = re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', head.group(2)) if head else ()
    if not labels or 'rcode' in dict(labels):
        return line
    named = sorted(('rcode' if k == 'type' else k, v) for k, v in labels)
    return '%s{%s} %s' % (head.group(1), ','.join('%s="%s"' % pair for pair in named), head.group(3))


def rcode_called_type(question, answer):
    """With some numbers of labels, two lists of the reference's share their memory, and one overwrites the other's rcode."""
    return [(verb, '\n'.join(map(rcode_of, payload.split('\n'))) if verb == 'page' else payload) for verb, payload in answer]


ENDS = [  # of what can be compared
    # with nine to twelve labels of contexts, dns:query has the label `query` twice there: a crash
    r'variableLabels: \{[^}]*,query,query\}',
    # what a metric that could not be made was configured as can not be mended; we only keep labels of those that were made
    r'label set cannot be changed',
    # filters that cannot be made: the old ones stay here, everything is counted there
    r'HandleConfigurationUpdate failed',
    # an empty item of a list in the file: a crash
    r'^panic: runtime error: invalid memory address or nil pointer dereference',
    # an infinite number where nobody looks
    r'json: unsupported value',
    # trace ids of more than 121 characters as exemplars: a crash
    r'^panic: exemplar labels have',
    # http is replaced by httpV2, with other labels: a crash
    r'has different label names or a different help string',
]


def end_of(answer):
    """Where the reference does what we do not, and pages are others from there on."""
    failed = set()
    for i, (verb, payload) in enumerate(answer):
        failed.update(re.findall(r'^Failed to configure.* name=(\S+)$', payload) if verb == 'said' else ())
        for end in ENDS:
            if verb not in ('said', 'refused') or not re.search(end, payload):
                continue
            if 'label set' not in payload or failed & set(re.findall(r'metric: ([^\s;]+)', payload)):
                return i
    return len(answer)


def before(answer, pages):
    """The answer up to a number of pages."""
    made = []
    for verb, payload in answer:
        if not pages:
            break
        made.append((verb, payload))
        pages -= verb == 'page'
    return made


ONLY_HERE = [  # refused, with the line
    # a number of a filter that is none in JSON (0x10, 1_000, a tagged text)
    r'invalid value for enum field verdict: "[-+]?\.?\d[\w.+-]*"',
    # an empty item of a list: there a crash, if the metric exists, and a filter that everything passes
    r'^line \d+: (a metric is a mapping|a context option is a mapping of name and values|a filter is a mapping)$',
    r'^line \d+: merge keys \(<<\) are not understood$',
    # an anchor given twice
    r'^line \d+: second occurrence$',
]


def only_here(ours):
    return any(verb == 'said' and re.search(text, payload) for verb, payload in ours for text in ONLY_HERE)


def options_of(question):
    """(metric, option's name, its values) of all lists and files."""
    for verb, payload in question:
        for word in payload.split() if verb == 'list' else ():
            name, _, options = word.partition(':')
            for option in options.split(';'):
                key, _, values = option.partition('=')
                yield name, key.lower(), re.split('[|,]', values.lower())
        for metric in json.loads(payload)['metrics'] if verb == 'file' and payload.startswith('{') else ():
            for option in metric.get('contextOptions') or ():
                yield metric['name'], option['name'].lower(), [v.lower() for v in option.get('values') or ()]


def pods_of_one_side(question):
    """Has httpV2 pods on one side only? Its sides change places: what a pod that is gone leaves is looked for in the wrong label there."""
    sides = {key[:6] for name, key, values in options_of(question) if name == 'httpV2' and key.endswith('context') and 'pod' in values}
    return len(sides & {'source', 'destin'}) == 1 and any(verb == 'gone' for verb, _ in question)


def without_http(answer):
    return [(verb, re.sub(r'(?m)^(# (HELP|TYPE) )?hubble_http_.*\n', '', payload) if verb == 'page' else payload) for verb, payload in answer]


def mended(question, ours, theirs):
    """Both answers, as far as they can be held against each other."""
    if only_here(ours):
        return [], []
    if pods_of_one_side(question):
        ours, theirs = without_http(ours), without_http(theirs)
    end = end_of(theirs)
    if end < len(theirs):
        pages = sum(verb == 'page' for verb, _ in theirs[:end])
        ours, theirs = before(ours, pages), before(theirs, pages)
    for mend in (nothing_of_a_list, rcode_called_type):
        theirs = mend(question, theirs)
    return ours, theirs
