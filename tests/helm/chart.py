"""The chart rendered (render/, in Go) and its objects validated (validate.mjs); each by one process for many cases."""
import json
import os
import re
import shutil
import subprocess

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
CHART = os.path.join(ROOT, 'deploy', 'helm', 'tycho')
BUILD = os.path.abspath(os.environ['TYCHO_BUILD'])
BIN = os.path.join(BUILD, 'bin')
WORK = os.path.join(BUILD, 'helm')
IMAGE = {'image': {'repository': 'registry.example/tycho'}}


def run(*argv, **kw):
    p = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **kw)
    assert p.returncode == 0, '%s: %s%s' % (' '.join(argv)[:200], p.stderr, p.stdout)
    return p.stdout


def build_renderer():
    """Distributions have Go's libraries below /usr/share/gocode, found without modules."""
    env = dict(os.environ, GO111MODULE='off', GOPATH='/usr/share/gocode', GOCACHE=os.path.join(WORK, 'go'), GOFLAGS='')
    run('go', 'build', '-o', os.path.join(WORK, 'render'), '.', cwd=os.path.join(HERE, 'render'), env=env)


def install_validators():
    """npm's packages as package-lock.json has them, installed when it has changed."""
    lock, mark = os.path.join(HERE, 'package-lock.json'), os.path.join(WORK, 'installed.json')
    with open(lock) as f:
        want = f.read()
    if os.path.exists(mark) and open(mark).read() == want:
        return
    for name in ('package.json', 'package-lock.json', '.npmrc'):
        shutil.copy(os.path.join(HERE, name), WORK)
    run('npm', 'ci', '--cache', os.path.join(WORK, 'npm'), '--no-audit', '--no-fund', '--loglevel=error', cwd=WORK)
    with open(mark, 'w') as f:
        f.write(want)


def nested(path, value):
    """{'a.b': 1} is {'a': {'b': 1}}."""
    head, _, rest = path.partition('.')
    return {head: nested(rest, value) if rest else value}


def merged(*layers):
    out = {}
    for layer in layers:
        for key, value in layer.items():
            both = isinstance(value, dict) and isinstance(out.get(key), dict)
            out[key] = merged(out[key], value) if both else value
    return out


def values(**by_path):
    """values(hubble__ui__enabled=True), with the image that every case needs."""
    return merged(IMAGE, *(nested(k.replace('__', '.'), v) for k, v in by_path.items()))


class Case:
    def __init__(self, said, name='tycho', namespace='obs', revision=1, api_versions=(), cluster=()):
        self.input = {'values': said, 'name': name, 'namespace': namespace, 'revision': revision,
                      'api_versions': list(api_versions), 'cluster': list(cluster)}
        self.error = self.objects = self.notes = self.texts = None

    def get(self, kind, name):
        found = [o for o in self.objects if (o['kind'], o['metadata']['name']) == (kind, name)]
        assert len(found) == 1, '%s %s: %d of them' % (kind, name, len(found))
        return found[0]

    def has(self, kind, name):
        return any((o['kind'], o['metadata']['name']) == (kind, name) for o in self.objects)

    def container(self, program):
        kind = 'DaemonSet' if program == 'observer' else 'Deployment'
        return self.get(kind, 'tycho-' + program)['spec']['template']['spec']['containers'][0]


def render(cases):
    cases = list(cases)
    out = json.loads(run(os.path.join(WORK, 'render'), CHART, input=json.dumps([c.input for c in cases])))
    for case, got in zip(cases, out):
        case.error, case.objects = got.get('error'), got['objects']
        case.notes, case.texts = got['notes'], got['texts']
    return cases


def validate(objects):
    """For each object, sentences about what an API server would refuse."""
    out = run('node', os.path.join(HERE, 'validate.mjs'), os.path.join(WORK, 'node_modules'), input=json.dumps(objects))
    return json.loads(out)


def leaves():
    """[(path, default as it is written, what the comment above it says)] of values.yaml."""
    found, path, comment = [], [], []
    with open(os.path.join(CHART, 'values.yaml'), encoding='utf-8') as f:
        for line in f:
            line = line.rstrip('\n')
            if not line.strip():
                comment = []
            elif line.strip().startswith('#'):
                comment.append(line.strip()[1:].strip())
            else:
                indent, key, value = re.match(r'( *)([\w]+):(?: (.*))?$', line).groups()
                path = path[:len(indent) // 2] + [key]
                if value is not None:
                    found.append(('.'.join(path), value, ' '.join(comment)))
                comment = []
    return found
