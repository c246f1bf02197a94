"""A tycho-observer that follows a Hubble server, and what it has kept of it."""
import json

from cluster import Node
from daemon import until
from observer import Observer

HISTORY = '1000000h'  # our own flows are from 2023


class Following(Observer):
    """with Following(address) as ob: an observer whose one source is that server."""

    def __init__(self, address, *options, history=HISTORY, **kw):
        super().__init__('--hubble-server', address, '--hubble-history', history, *options, keep_time=False, **kw)

    def argv(self):
        words = super().argv()
        at = words.index('--replay')
        return words[:at] + words[at + 2:] + ['--source', 'hubble']

    def __enter__(self):
        self.path = ''  # no standard input to write to
        return super().__enter__()

    def messages(self, **fields):
        """Everything GetFlows has, flows and lost events."""
        with self.client() as c:
            return list(c.GetFlows(first=True, **fields))

    def uuids(self):
        return [m.flow.uuid for m in self.messages() if m.HasField('flow')]

    def lost(self):
        return [m for m in self.messages() if m.HasField('lost_events')]

    def wait(self, test, what):
        """What test() says, once that is true."""
        return until(test, fault=lambda: '%s: %s' % (what, self.log()))

    def wait_uuids(self, n):
        return self.wait(lambda: (lambda u: u if len(u) >= n else None)(self.uuids()), '%d flows' % n)

    def wait_for(self, uuid):
        """All that it has once that flow has come; what it had before it was started may be among it, or not."""
        return self.wait(lambda: (lambda u: u if uuid in u else None)(self.uuids()), uuid)

    def agent_events(self, kind):
        """Notifications of our own agent events of that type."""
        with self.client() as c:
            events = [r for r in c.GetAgentEvents(number=10000)]
        return [json.loads(r.agent_event.unknown.notification) for r in events
                if r.agent_event.unknown.type == kind]

    def wait_agent_event(self, kind, n=1):
        return self.wait(lambda: (lambda e: e if len(e) >= n else None)(self.agent_events(kind)),
                         '%d events %s' % (n, kind))


class Server(Node):
    """A Tycho observer as the server that is followed: at one address over its restarts. It has no past but its ring."""

    def __init__(self, name='up', *options, store='off', **kw):
        kept = ['--store', store] if store and store != 'off' else []
        super().__init__(name, *options, *kept, has_store=store != 'off', **kw)

    def die(self):
        """As the machine would take it: nothing is said."""
        self.kill()
