"""A ClickHouse server of the distribution for the tests of this folder, and what tests/api and tests/relay have for all."""
import os
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
# where both have a file of a name, the relay's is meant
sys.path[:0] = [HERE, os.path.join(HERE, os.pardir, 'relay'), os.path.join(HERE, os.pardir, 'api')]

from clickhouse import ClickHouse  # noqa: E402


@pytest.fixture(scope='session')
def server():
    """One for all who leave it as it is; each test has a database of its own in it."""
    with ClickHouse() as ch:
        yield ch


@pytest.fixture
def db(server, request):
    """A fresh database of the server."""
    name = 'db_%d' % len(server.databases)
    server.databases.append(name)
    server.ask('CREATE DATABASE ' + name)
    return server.database(name)
