"""The recorded truth table of filters, asked of a relay: the node under it selects, and the same flows come through."""
import pytest

from cluster import Relay
from test_filters import Served, as_filters, ranges, rows

COLUMNS = 'flows/synthetic.jsonl', 'flows/real.jsonl'


class Relayed(Served):
    """A recorded file in an observer; asked through a relay that has it as its one peer."""

    def __init__(self, name):
        super().__init__(name, 'log')
        self.client.close()
        self.relay = Relay('--sort-buffer-drain-timeout', '50ms', peers=['n0=' + self.observer.socket]).__enter__()
        self.client = self.relay.client()

    def close(self):
        self.client.close()
        self.relay.__exit__(None)
        self.observer.__exit__(None)


@pytest.fixture(scope='module', params=COLUMNS)
def relayed(request):
    one = Relayed(request.param[len('flows/'):])
    yield request.param, one
    one.close()


# Which flows, not in which order: a relay puts them in that of their times, and recorded files are not.
@pytest.mark.repeats_units  # unit_filter_golden
def test_every_filter_of_the_truth_table_selects_its_flows_through_a_relay(relayed):
    column, one = relayed
    wrong = []
    for row in rows():
        if row['error'] != '-':
            continue
        want = [one.flow_of_line[n] for n in ranges(row[column]) if n in one.flow_of_line]
        got = one.flows(as_filters(row['allowlist']), as_filters(row['denylist']))
        if sorted(got) != sorted(want):
            wrong.append((row['id'], '%d flows, %d expected' % (len(got), len(want))))
    assert not wrong
