"""A service as the router knows it: values out of the objects that ``objects.py`` describes.

Names of JSON members, defaults and limits are Azure ML's (``AksWebservice``, ``AksEndpoint``; azureml-core 1.61).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from windtunnel_scoring.errors import ScoringError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from windtunnel_scoring.jsontypes import Json, JsonObject

MOST_VERSIONS: Final = 6
MOST_MIRRORED: Final = 50
VersionType: TypeAlias = Literal["", "Control", "Treatment"]
_TYPES: Final[Mapping[str, VersionType]] = {"": "", "Control": "Control", "Treatment": "Treatment"}


class LayoutError(ScoringError):
    """An object that does not follow the layout; the message says where and what is needed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AutoScaler:
    """``autoScaler`` of a version."""

    enabled: bool = False
    min_replicas: int = 1
    max_replicas: int = 10
    refresh_period_s: int = 1
    target_utilization: int = 70
    """Percent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionDefinition:
    """One version of a service: a Deployment, and how requests go to it."""

    name: str
    is_default: bool = False
    type: VersionType = ""
    traffic_percentile: int = 0
    """Of the service's requests; the default version gets what the others leave, too."""
    mirror_percentile: int = 0
    """Of the service's requests: so many are copied to this version, whose answers nobody sees."""
    scoring_timeout_ms: int = 60_000
    max_concurrent_requests: int = 1
    """Of one replica."""
    max_queue_wait_ms: int = 500
    num_replicas: int | None = None
    auto_scaler: AutoScaler = field(default_factory=AutoScaler)
    collects_data: bool = False

    @classmethod
    def parse(cls, reader: Reader) -> VersionDefinition:
        """Raises ``LayoutError``."""
        scaler, collection = reader.inner("autoScaler"), reader.inner("dataCollection")
        found = AutoScaler(
            enabled=scaler.flag("autoscaleEnabled", default=False),
            min_replicas=scaler.whole("minReplicas", 1, least=1),
            max_replicas=scaler.whole("maxReplicas", 10, least=1),
            refresh_period_s=scaler.whole("refreshPeriodInSeconds", 1, least=1),
            target_utilization=scaler.whole("targetUtilization", 70, least=1, most=100),
        )
        if found.min_replicas > found.max_replicas:
            raise LayoutError(f"{scaler.where}: minReplicas is {found.min_replicas}, above maxReplicas")
        replicas = reader.whole("numReplicas", 0, least=0)
        kind = _TYPES.get(said := reader.text("type"))
        if kind is None:
            raise LayoutError(f"{reader.where}/type is {said!r}; Control or Treatment is needed")
        return cls(
            name=reader.text("name", needed=True),
            is_default=reader.flag("isDefault", default=False),
            type=kind,
            traffic_percentile=reader.whole("trafficPercentile", 0, most=100),
            mirror_percentile=reader.whole("mirrorPercentile", 0, most=MOST_MIRRORED),
            scoring_timeout_ms=reader.whole("scoringTimeoutMs", 60_000, least=1),
            max_concurrent_requests=reader.whole("maxConcurrentRequestsPerContainer", 1, least=1),
            max_queue_wait_ms=reader.whole("maxQueueWaitMs", 500, least=1),
            num_replicas=replicas or None,
            auto_scaler=found,
            collects_data=collection.flag("storageEnabled", default=False),
        )

    def to_json(self) -> JsonObject:
        """What ``parse`` reads."""
        scaler = self.auto_scaler
        return {
            "name": self.name,
            "isDefault": self.is_default,
            "type": self.type,
            "trafficPercentile": self.traffic_percentile,
            "mirrorPercentile": self.mirror_percentile,
            "scoringTimeoutMs": self.scoring_timeout_ms,
            "maxConcurrentRequestsPerContainer": self.max_concurrent_requests,
            "maxQueueWaitMs": self.max_queue_wait_ms,
            "numReplicas": self.num_replicas,
            "autoScaler": {
                "autoscaleEnabled": scaler.enabled,
                "minReplicas": scaler.min_replicas,
                "maxReplicas": scaler.max_replicas,
                "refreshPeriodInSeconds": scaler.refresh_period_s,
                "targetUtilization": scaler.target_utilization,
            },
            "dataCollection": {"storageEnabled": self.collects_data, "eventHubEnabled": False},
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceDefinition:
    """A service and its versions."""

    name: str
    versions: tuple[VersionDefinition, ...]
    auth_enabled: bool = True
    """Keys are asked for."""
    aad_auth_enabled: bool = False
    """Tokens are asked for, and keys are refused."""
    app_insights_enabled: bool = False
    """Requests are exported where the router exports at all."""
    cors_origins: str = ""
    """As ``AML_CORS_ORIGINS``; empty: a browser's preflight fails."""

    def __post_init__(self) -> None:
        names = [version.name for version in self.versions]
        if not 1 <= len(names) <= MOST_VERSIONS:
            raise LayoutError(f"{self.name} has {len(names)} versions; 1 to {MOST_VERSIONS} are needed")
        if len(set(names)) != len(names):
            raise LayoutError(f"{self.name} has two versions of one name: {', '.join(sorted(names))}")
        if sum(version.is_default for version in self.versions) != 1:
            raise LayoutError(f"{self.name} needs exactly one version with isDefault")
        if sum(version.traffic_percentile for version in self.versions) > 100:
            raise LayoutError(f"{self.name} has a trafficPercentile of more than 100 in all")
        if sum(version.mirror_percentile > 0 for version in self.versions) > 1:
            raise LayoutError(f"{self.name} has more than one version with a mirrorPercentile")
        if any(version.mirror_percentile and self.shares[version.name] for version in self.versions):
            raise LayoutError(
                f"{self.name} has a version that gets live and mirrored requests; one of the two is needed"
            )
        if self.auth_enabled and self.aad_auth_enabled:
            raise LayoutError(f"{self.name}: authEnabled and aadAuthEnabled cannot both be true")

    @classmethod
    def parse(cls, value: Json) -> ServiceDefinition:
        """Raises ``LayoutError``. Members that are not known are left alone."""
        reader = Reader.of(value, "service.json")
        return cls(
            name=reader.text("name", needed=True),
            auth_enabled=reader.flag("authEnabled", default=True),
            aad_auth_enabled=reader.flag("aadAuthEnabled", default=False),
            app_insights_enabled=reader.flag("appInsightsEnabled", default=False),
            cors_origins=reader.text("corsOrigins"),
            versions=tuple(VersionDefinition.parse(version) for version in reader.items("versions")),
        )

    def to_json(self) -> JsonObject:
        """What ``parse`` reads."""
        return {
            "name": self.name,
            "authEnabled": self.auth_enabled,
            "aadAuthEnabled": self.aad_auth_enabled,
            "appInsightsEnabled": self.app_insights_enabled,
            "corsOrigins": self.cors_origins,
            "versions": [version.to_json() for version in self.versions],
        }

    @property
    def default(self) -> VersionDefinition:
        """The default version."""
        return next(version for version in self.versions if version.is_default)

    @property
    def shares(self) -> Mapping[str, int]:
        """Percent of the requests by version; 100 in all."""
        shares = {version.name: version.traffic_percentile for version in self.versions}
        shares[self.default.name] += 100 - sum(shares.values())
        return shares


class Reader:
    """Reads members of a JSON object; what is wrong is a ``LayoutError`` with its place."""

    def __init__(self, content: Mapping[str, Json], where: str) -> None:
        self._content = content
        self.where = where

    @classmethod
    def of(cls, value: Json, where: str) -> Reader:
        """``None`` counts as an object without members."""
        if value is None:
            return cls({}, where)
        if not isinstance(value, dict):
            raise LayoutError(f"{where} is no JSON object")
        return cls(value, where)

    def inner(self, name: str) -> Reader:
        """An object inside."""
        return Reader.of(self._content.get(name), f"{self.where}/{name}")

    def items(self, name: str) -> Iterable[Reader]:
        """Objects in a list."""
        value = self._content.get(name)
        if not isinstance(value, list):
            raise LayoutError(f"{self.where}/{name} is no list")
        return [Reader.of(item, f"{self.where}/{name}/{index}") for index, item in enumerate(value)]

    def text(self, name: str, *, needed: bool = False) -> str:
        """A string."""
        value = self._content.get(name)
        if value is None and not needed:
            return ""
        if not isinstance(value, str) or (needed and not value):
            raise LayoutError(f"{self.where}/{name} is {value!r}; a text is needed")
        return value

    def flag(self, name: str, *, default: bool) -> bool:
        """True or false."""
        value = self._content.get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise LayoutError(f"{self.where}/{name} is {value!r}; true or false is needed")
        return value

    def whole(self, name: str, default: int, *, least: int = 0, most: int = 2**31) -> int:
        """A whole number within limits."""
        value = self._content.get(name)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise LayoutError(f"{self.where}/{name} is {value!r}; a whole number from {least} to {most} is needed")
        return value
