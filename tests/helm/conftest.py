import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import chart  # noqa: E402


@pytest.fixture(scope='session', autouse=True)
def tools():
    os.makedirs(chart.WORK, exist_ok=True)
    chart.build_renderer()
    chart.install_validators()
