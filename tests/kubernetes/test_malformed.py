"""Answers of an API server that lack what tells where to go on: said, and asked anew after a pause."""
import http.server
import json
import threading

import pytest

from agent import Monitor
from test_kubernetes import Node, folder  # noqa: F401: fixtures

PODS = '/api/v1/pods'
POD = {'metadata': {'name': 'p', 'namespace': 'n', 'uid': 'u', 'resourceVersion': '8'}}
EMPTY = {'metadata': {'resourceVersion': '7'}, 'items': []}


class Server(http.server.ThreadingHTTPServer):
    """Nothing is in this cluster but what pages ({the continue token asked with: the page of pods}) and event say."""
    daemon_threads = True

    def __init__(self, pages, event):
        super().__init__(('127.0.0.1', 0), Handler)
        self.pages, self.event, self.asked = pages, event, []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def config(self, folder):  # noqa: F811
        path = folder + '/kubeconfig'
        with open(path, 'w') as f:
            f.write('current-context: c\ncontexts: [{name: c, context: {cluster: k}}]\n'
                    'clusters: [{name: k, cluster: {server: "http://127.0.0.1:%d"}}]\n' % self.server_address[1])
        return path


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        path, _, query = self.path.partition('?')
        self.send_response(200)
        self.end_headers()
        if 'watch=true' in query:
            if path == PODS and self.server.event:
                self.wfile.write(json.dumps(self.server.event).encode() + b'\n')
                self.wfile.flush()
            self.rfile.read(1)  # until the observer leaves
            return
        page = EMPTY
        if path == PODS:
            token = query.partition('continue=')[2]
            self.server.asked.append(token)
            page = self.server.pages[token]
        self.wfile.write(json.dumps(page).encode())


FIRST = {'metadata': {'resourceVersion': '7', 'continue': 'second'}, 'items': [POD]}


@pytest.mark.parametrize('second, says', [
    ({'items': []}, 'the list has no metadata'),
    ({'metadata': {}, 'items': []}, 'the list has no resourceVersion of 1 to 63 bytes'),
    ({'metadata': {'resourceVersion': '7' * 64}, 'items': []}, 'the list has no resourceVersion of 1 to 63 bytes'),
    (FIRST, 'a page of the list names itself as the next one'),
])
def test_a_page_that_does_not_say_where_to_go_on_ends_the_list_with_a_sentence(folder, second, says):  # noqa: F811
    server = Server({'': FIRST, 'second': second}, None)
    with Monitor(folder) as monitor, Node(server.config(folder), monitor) as ob:
        ob.wait(lambda: 'kind=Pod err="%s"' % says in ob.log(), 'a word of it')
        ob.wait(lambda: len(server.asked) >= 5, 'a third list')
    assert server.asked[:5] == ['', 'second', '', 'second', '']


@pytest.mark.parametrize('thing, says', [
    ({'kind': 'Pod'}, "an event's object has no metadata"),
    ({'metadata': {'name': 'p', 'namespace': 'n'}}, "an event's object has no resourceVersion of 1 to 63 bytes"),
])
@pytest.mark.parametrize('kind', ['ADDED', 'BOOKMARK'])
def test_an_event_that_does_not_say_where_to_go_on_leads_to_a_new_list(folder, kind, thing, says):  # noqa: F811
    server = Server({'': {**EMPTY, 'items': [POD]}}, {'type': kind, 'object': thing})
    with Monitor(folder) as monitor, Node(server.config(folder), monitor) as ob:
        ob.wait(lambda: 'kind=Pod err="%s"' % says in ob.log(), 'a word of it')
        ob.wait(lambda: len(server.asked) >= 3, 'a third list')
        assert ob.objects('Pod') == 1
