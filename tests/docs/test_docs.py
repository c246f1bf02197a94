"""What the documents say exists: options are in their pages and the other way round, links lead somewhere."""
import os
import re
import subprocess

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BIN = os.path.join(os.environ['TYCHO_BUILD'], 'bin')


def tracked(*suffixes):
    names = subprocess.run(['git', '-C', ROOT, 'ls-files'], stdout=subprocess.PIPE, text=True, check=True).stdout.split('\n')
    return [n for n in names if n.endswith(suffixes)]


def read(name):
    with open(os.path.join(ROOT, name), encoding='utf-8') as f:
        return f.read()


def options_of(text):
    return set(re.findall(r'^  --([a-z][a-z-]+)', text, re.M))


@pytest.mark.parametrize('program', ['tycho-observer', 'tycho-port-forward', 'tycho-relay', 'tycho-ui'])
def test_a_page_names_every_option_of_its_program_and_no_other(program):
    shown = subprocess.run([os.path.join(BIN, program), '--help'], stdout=subprocess.PIPE, text=True, check=True).stdout
    page = read('docs/man/%s.8' % program)
    in_page = set(m.replace('\\-', '-').lstrip('-') for m in re.findall(r'Fl ((?:-|\\-)+[a-z][a-z\\-]*)', page))
    assert options_of(shown) == {o for o in in_page if o}


@pytest.mark.parametrize('program', ['tycho-observer', 'tycho-port-forward', 'tycho-relay', 'tycho-ui'])
def test_an_option_stands_under_one_heading_in_help_and_page(program):
    shown = subprocess.run([os.path.join(BIN, program), '--help'], stdout=subprocess.PIPE, text=True, check=True).stdout
    in_help = {name: heading for heading, part in re.findall(r'^([A-Z].*):\n((?: +.*\n)+)', shown, re.M)
               for name in options_of(part)}
    in_page = {name: part.split('\n', 1)[0] for part in read('docs/man/%s.8' % program).split('\n.Ss ')[1:]
               for line in re.findall(r'^\.It (.*)', part, re.M) for name in re.findall(r'Fl -([a-z-]+)', line)}
    assert in_page == in_help


@pytest.mark.parametrize('answers', ['--help', '--version', '--doctor=json'])
def test_an_answer_that_a_full_disk_swallows_is_no_success(answers):
    for program in ('tycho-observer', 'tycho-port-forward', 'tycho-relay', 'tycho-ui') if answers != '--doctor=json' else ('tycho-observer',):
        with open('/dev/full', 'w') as full:
            p = subprocess.run([os.path.join(BIN, program), answers], stdout=full, stderr=subprocess.PIPE, text=True, timeout=30)
        assert p.returncode == 1
        assert re.fullmatch(program + ': standard output: [^\n]+\n', p.stderr)


@pytest.mark.parametrize('document', tracked('.md'))
def test_links_lead_to_files_that_exist(document):
    folder = os.path.dirname(os.path.join(ROOT, document))
    for target in re.findall(r'\]\(([^)#]+)(?:#[^)]*)?\)', read(document)):
        if not re.match(r'[a-z]+:', target):
            assert os.path.exists(os.path.join(folder, target)), target


@pytest.mark.parametrize('document', tracked('.md'))
def test_paths_in_documents_exist(document):
    tops = ('bpf/', 'cli/', 'deploy/', 'docs/', 'lib/', 'observer/', 'proto/', 'relay/', 'tests/', 'ui-server/')
    for name in re.findall(r'`([a-z][\w./-]*)`', read(document)):
        if name.startswith(tops):
            assert os.path.exists(os.path.join(ROOT, name)), name


def test_no_comment_was_torn_by_the_formatter():
    """clang-format breaks what is wider than 100 columns, and goes on at the margin: diagrams and paragraphs fall to pieces."""
    torn = ['%s:%d: %s' % (name, n, line) for name in tracked('.c', '.h')
            for n, line in enumerate(read(name).split('\n'), 1) if re.match(r' \*[^\s/*]', line)]
    assert torn == []


def said_by_programs():
    """All sources, with texts that go on in the next line put together; and what the system says."""
    sources = ''.join(read(name) for name in tracked('.c') if not name.startswith('tests/'))
    return re.sub(r'"\s*\n\s*"', '', sources) + '\n'.join(os.strerror(n) for n in range(1, 133))


def test_sentences_that_documents_quote_are_said():
    said = said_by_programs()
    table = read('docs/operations.md').split('| sentence | means |')[1].split('\n\n')[0]
    quoted = [part for row in re.findall(r'^\| ([^|-][^|]*) \|', table, re.M) for part in row.split('…')]
    for name in tracked('.md'):
        for log in re.findall(r'its log: ((?:"[^"]+"(?:, )?)+)', read(name)):
            quoted += re.findall(r'"([^"]+)"', log)
    quoted = [part.strip() for part in quoted if part.strip()]
    assert len(quoted) > 10 and [part for part in quoted if part not in said] == []


def test_every_make_target_of_the_readme_exists():
    targets = set(re.findall(r'^([a-z-]+):', read('Makefile'), re.M))
    assert set(re.findall(r'make ([a-z-]+)', read('README.md'))) <= targets | {'and'}


def test_the_page_about_sql_has_every_table_and_column_there_is():
    """In the program's order and words."""
    schema = subprocess.run([os.path.join(BIN, 'tycho'), 'sql', '--schema'], stdout=subprocess.PIPE, text=True, check=True).stdout
    want = []
    for line in schema.splitlines():
        table, column = re.match(r'CREATE TABLE (\w+)', line), re.match(r'  (\w+) (\w+),? -- (.*)', line)
        want += ['## ' + table.group(1)] if table else ['| `%s` | %s | %s |' % column.groups()] if column else []
    page = read('docs/sql.md').splitlines()
    got = [line for line in page if line in want or re.match(r'\| `\w+` \| (TEXT|INTEGER) ', line)]
    assert got == want
