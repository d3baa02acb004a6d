"""A service at work: who may call it, which version a request goes to, and the versions' queues."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from windtunnel_scoring.cors import Cors
from windtunnel_scoring.frontend.keys import NO_KEY, Keys
from windtunnel_scoring.router import tokens
from windtunnel_scoring.router.objects import Secrets
from windtunnel_scoring.router.slots import Slots
from windtunnel_scoring.router.traffic import Sample, Split

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from windtunnel_scoring.frontend.upstream import Upstream
    from windtunnel_scoring.router.definition import ServiceDefinition, VersionDefinition
    from windtunnel_scoring.router.objects import Deployment, Pod


@dataclass(frozen=True, slots=True, kw_only=True)
class Environs:
    """What services use of the world."""

    connect: Callable[[str, int], Upstream]
    monotonic: Callable[[], float]
    """Seconds, for durations."""
    now: Callable[[], float]
    """Seconds since 1970, for tokens."""


class Version:
    """One version."""

    def __init__(self, definition: VersionDefinition, environs: Environs) -> None:
        self.definition = definition
        self.slots = Slots(definition.max_concurrent_requests, environs.connect, environs.monotonic)
        self.deployment: Deployment | None = None
        self.mirrored = 0
        """Requests copied to it."""
        self.not_mirrored = 0
        """Copies that were not made: too large, or no place free."""

    @property
    def name(self) -> str:
        return self.definition.name

    def redefine(self, definition: VersionDefinition) -> None:
        """Requests in work go on under the old one."""
        self.definition = definition
        self.slots.set_limit(definition.max_concurrent_requests)


class Service:
    """One service."""

    def __init__(self, namespace: str, definition: ServiceDefinition, environs: Environs) -> None:
        self.namespace = namespace
        self._environs = environs
        self._secrets = Secrets()
        self._keys = Keys()
        self.versions: dict[str, Version] = {}
        self.definition = definition
        self.redefine(definition)

    @property
    def name(self) -> str:
        return self.definition.name

    def redefine(self, definition: ServiceDefinition) -> None:
        """Versions that stay keep their queues. Raises ``SettingError`` for origins that make no sense."""
        self.cors = Cors(definition.cors_origins) if definition.cors_origins else None
        if not self.versions or definition.shares != self.definition.shares:
            self._split = Split(definition.shares)
        self.definition = definition
        before, self.versions = self.versions, {}
        for version in definition.versions:
            known = before.pop(version.name, None)
            if known is None:
                known = Version(version, self._environs)
            else:
                known.redefine(version)
            self.versions[version.name] = known
        for gone in before.values():
            gone.slots.close()
        mirror = next((version for version in definition.versions if version.mirror_percentile), None)
        self._mirror = self.versions[mirror.name] if mirror else None
        self._sample = Sample(mirror.mirror_percentile if mirror else 0)

    def set_secrets(self, secrets: Secrets) -> None:
        """What opens it from now on."""
        if secrets != self._secrets:
            self._secrets = secrets
            self._keys = Keys(secrets.primary_key, secrets.secondary_key)

    def set_pods(self, pods: Iterable[Pod]) -> None:
        """All pods of all versions."""
        given = list(pods)
        for version in self.versions.values():
            version.slots.set_pods(pod for pod in given if pod.version == version.name)

    def set_deployments(self, deployments: Iterable[Deployment]) -> None:
        """All Deployments of it."""
        by_version = {deployment.version: deployment for deployment in deployments}
        for version in self.versions.values():
            version.deployment = by_version.get(version.name)

    def refusal(self, authorization: bytes | None) -> str | None:
        """Why a request with this ``Authorization`` header is refused; None when it may pass."""
        if self.definition.aad_auth_enabled:
            scheme, _, token = (authorization or b"").strip().partition(b" ")
            if scheme.lower() != b"bearer" or not token.strip():
                return NO_KEY
            return tokens.refusal(token.strip(), self._secrets.token_key, self.name, self._environs.now())
        return self._keys.refusal(authorization) if self.definition.auth_enabled else None

    @property
    def guarded(self) -> bool:
        """Whether ``Authorization`` is the router's; else it is passed on."""
        return self.definition.auth_enabled or self.definition.aad_auth_enabled

    def choose(self, asked: str | None) -> Version | None:
        """The version for a request; None when it asks for one that there is not."""
        return self.versions.get(self._split.choose() if asked is None else asked)

    def mirror(self) -> Version | None:
        """The version that gets a copy of this request, if any."""
        return self._mirror if self._mirror is not None and self._sample.take() else None

    @property
    def ready(self) -> bool:
        """Whether some version that gets requests has a ready replica."""
        shares = self.definition.shares
        return any(version.slots.ready for name, version in self.versions.items() if shares[name])

    def close(self) -> None:
        """It is gone."""
        for version in self.versions.values():
            version.slots.close()
