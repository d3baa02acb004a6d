"""Every contract, as pytest collects it: ``from windtunnel_contracts.all import *``.

Override one test in a subclass of the contract to state a difference, with its reason in sight.
"""

from __future__ import annotations

from windtunnel_contracts.authentication import AuthenticationContract
from windtunnel_contracts.capacity import CapacityContract
from windtunnel_contracts.cluster import ClusterContract
from windtunnel_contracts.collection import CollectionContract
from windtunnel_contracts.deployment import DeploymentContract
from windtunnel_contracts.edge import EdgeContract
from windtunnel_contracts.grpc import DevicesContract, GrpcContract
from windtunnel_contracts.logs import LogsContract
from windtunnel_contracts.scaling import ScalingContract
from windtunnel_contracts.scoring import ScoringContract
from windtunnel_contracts.updates import UpdateContract
from windtunnel_contracts.versions import VersionsContract
from windtunnel_contracts.withheld import WithheldContract

__all__ = [
    "TestAuthentication",
    "TestCapacity",
    "TestCluster",
    "TestCollection",
    "TestDeployment",
    "TestDevices",
    "TestEdge",
    "TestGrpc",
    "TestLogs",
    "TestScaling",
    "TestScoring",
    "TestUpdates",
    "TestVersions",
    "TestWithheld",
]


class TestAuthentication(AuthenticationContract):
    """Row 6."""


class TestCapacity(CapacityContract):
    """Row 10."""


class TestCluster(ClusterContract):
    """Row 15."""


class TestCollection(CollectionContract):
    """Row 13."""


class TestDeployment(DeploymentContract):
    """Rows 1, 3 and 4."""


class TestDevices(DevicesContract):
    """Rows 3, 4 and 11, where there is no HTTP."""


class TestEdge(EdgeContract):
    """Rows 3, 5, 8, 9 and 16, where messages are scored."""


class TestGrpc(GrpcContract):
    """What a target answers that speaks gRPC instead of HTTP."""


class TestLogs(LogsContract):
    """Row 13."""


class TestScaling(ScalingContract):
    """Rows 9 and 11."""


class TestScoring(ScoringContract):
    """Rows 5, 8 and 12."""


class TestUpdates(UpdateContract):
    """Row 14."""


class TestVersions(VersionsContract):
    """Versions and their shares of the requests."""


class TestWithheld(WithheldContract):
    """What is not offered is refused."""
