"""The contract of a Windtunnel backend, as importable pytest classes.

A third party's backend joins with three lines::

    # conftest.py
    pytest_plugins = ["windtunnel_contracts.plugin"]

    # test_contract.py
    from windtunnel_contracts.all import *

and runs ``pytest --backend NAME``. ``--target`` narrows it; live backends take their settings from the profile of the
same name. A capability that a backend withholds must be refused with the reason of its offer: that is tested too.
"""

from __future__ import annotations

try:
    import pytest
except ImportError as error:
    raise ImportError("windtunnel_contracts needs pytest: pip install 'windtunnel[contracts]'") from error

# Without this, users of the suite see a bare AssertionError: rewriting does not reach imported modules by itself.
pytest.register_assert_rewrite(
    "windtunnel_contracts.authentication",
    "windtunnel_contracts.capacity",
    "windtunnel_contracts.deployment",
    "windtunnel_contracts.grpc",
    "windtunnel_contracts.logs",
    "windtunnel_contracts.scoring",
    "windtunnel_contracts.updates",
    "windtunnel_contracts.withheld",
)
