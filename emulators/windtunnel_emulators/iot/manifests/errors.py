"""What may be wrong with the desired properties of ``$edgeAgent`` and ``$edgeHub``, and with a manifest.

ManifestProblem        the message is a sentence that tells what is wrong, and where
+-- EmptyDeployment    nothing is desired (417)
+-- FormatProblem      the agent's part cannot be read (400)
+-- HubFormatProblem   the hub's part cannot be read (400)
+-- VersionProblem     it is written in a schema that this runtime does not know (412)
+-- ContentProblem     the service does not take it; it has the content path

The codes and descriptions are those of edge-agent's ``DeploymentStatusCode`` (wire-iot 7.2).
"""

from __future__ import annotations

EXPECTED_VERSION = "1.1.0"


class ManifestProblem(Exception):
    """``code`` and ``description`` are what the device reports as ``lastDesiredStatus``."""

    code = 400

    @property
    def description(self) -> str:
        return str(self)


class EmptyDeployment(ManifestProblem):
    """Nothing is desired."""

    code = 417

    def __init__(self) -> None:
        super().__init__("This device has an empty configuration for the edge agent. Please set a deployment manifest.")


class FormatProblem(ManifestProblem):
    """It cannot be read. The agent tells the cloud no more than that; the message is for its log."""

    @property
    def description(self) -> str:
        return "Agent configuration format is invalid."


class HubFormatProblem(ManifestProblem):
    """The desired properties of ``$edgeHub`` cannot be read, of whatever version they are."""

    @property
    def description(self) -> str:
        return f"Error while parsing desired properties - {self}"


class VersionProblem(ManifestProblem):
    """It is written in a schema that is not known."""

    code = 412

    def __init__(self, version: str) -> None:
        super().__init__(
            f"The desired properties schema version {version[:100]} is not compatible with the expected version"
            f" {EXPECTED_VERSION}"
        )


class ContentProblem(ManifestProblem):
    """The service does not take a manifest; ``path`` is like ``$edgeAgent.properties.desired.modules.m1``."""

    def __init__(self, path: str, what: str) -> None:
        super().__init__(f"{path[:500]}: {what[:500]}")
        self.path = path
        self.what = what
