"""``Desired``: what the container group of a service should be, and the ARM body that asks for it.

Without authentication and TLS the group has one container, ``scoring``. With either, the container ``frontend`` (the
same image, another command) is what is exposed, and passes on what it lets through, as Azure ML's sidecar did.

Cores and memory are the group's: ARM refuses to change its totals, so the front end gets a share of them rather than
some of its own, and authentication can be switched on and off in place. Both containers may use all that is unused.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING

from windtunnel import __version__
from windtunnel.layout import FRONTEND_COMMAND, SCORING_COMMAND, SCORING_PORT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from windtunnel.adapters.registries import Admin
    from windtunnel.interface import Keys
    from windtunnel.jsontypes import Json, JsonObject
    from windtunnel.records import Certificate
    from windtunnel.spec import Spec

SCORING, FRONTEND = "scoring", "frontend"
HTTPS_PORT = 5443
"""Exposed with TLS; without it, 5001. A process without privileges can open both, which it cannot 80 and 443."""
FRONTEND_SHARE, FRONTEND_MEMORY_GB = 0.2, 0.1
LEAST = 1.0
"""Cores, and gigabytes, that a group has at least (Microsoft's documentation of container groups)."""
PRIMARY_KEY, SECONDARY_KEY = "WINDTUNNEL_PRIMARY_KEY", "WINDTUNNEL_SECONDARY_KEY"
TLS_CERT, TLS_KEY = "WINDTUNNEL_TLS_CERT", "WINDTUNNEL_TLS_KEY"

TAG = "windtunnel-"
TAG_TARGET, TAG_OWNER, TAG_EXPIRES = f"{TAG}target", f"{TAG}owner", f"{TAG}expires"
TAG_VERSION, TAG_MODEL, TAG_DIGEST = f"{TAG}version", f"{TAG}model", f"{TAG}model-digest"
TAG_CNAME = f"{TAG}cname"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pull:
    """How the group gets its image."""

    server: str
    admin: Admin | None = None
    identity: str | None = None
    """Resource id of a user-assigned managed identity."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Desired:
    """One container group."""

    name: str
    location: str
    image: str
    pull: Pull
    cpu: float
    memory_gb: float
    port: int | None = None
    """None: what fits the front end."""
    dns_name_label: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    keys: Keys | None = None
    certificate: Certificate | None = None
    tags: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def with_frontend(self) -> bool:
        """Whether something stands before the scoring server."""
        return self.keys is not None or self.certificate is not None

    @property
    def exposed_port(self) -> int:
        """The port that clients use."""
        if self.port is not None:
            return self.port
        return default_port(tls=self.certificate is not None)

    def with_certificate(self, certificate: Certificate | None) -> Desired:
        """Served with TLS under the certificate's name."""
        if certificate is None:
            return self
        return replace(self, certificate=certificate, tags={**self.tags, TAG_CNAME: certificate.cname})

    def expiring(self, expires: datetime | None) -> Desired:
        """Tagged so that ``sweep`` removes it; None: never."""
        if expires is None:
            return self
        return replace(self, tags={**self.tags, TAG_EXPIRES: expires.replace(microsecond=0).isoformat()})

    def body(self) -> JsonObject:
        """For ``PUT .../containerGroups/{name}``."""
        containers: list[Json] = [self._scoring()]
        if self.with_frontend:
            containers.append(self._frontend())
        address: JsonObject = {"type": "Public", "ports": [port_of(self.exposed_port)]}
        if self.dns_name_label is not None:
            address["dnsNameLabel"] = self.dns_name_label
        body: JsonObject = {
            "location": self.location,
            "tags": dict(self.tags),
            "properties": {
                "osType": "Linux",
                "restartPolicy": "Always",
                "containers": containers,
                "imageRegistryCredentials": [self._credentials()],
                "ipAddress": address,
            },
        }
        if self.pull.identity is not None:
            body["identity"] = {"type": "UserAssigned", "userAssignedIdentities": {self.pull.identity: {}}}
        return body

    def _credentials(self) -> JsonObject:
        if self.pull.identity is not None:
            return {"server": self.pull.server, "identity": self.pull.identity}
        if self.pull.admin is None:
            raise ValueError(f"container group {self.name!r} has no way to pull from {self.pull.server}")
        return {
            "server": self.pull.server,
            "username": self.pull.admin.username,
            "password": self.pull.admin.password,
        }

    def _scoring(self) -> JsonObject:
        port = self._inner_port if self.with_frontend else self.exposed_port
        cpu, memory_gb = self.cpu, self.memory_gb
        if self.with_frontend:
            cpu, memory_gb = cpu - self._frontend_cpu, memory_gb - FRONTEND_MEMORY_GB
        plain = {"SERVICE_NAME": self.name, **dict(sorted(self.environment.items()))}
        if port != SCORING_PORT:
            plain["WINDTUNNEL_PORT"] = str(port)
        properties: JsonObject = {
            "image": self.image,
            "command": list(SCORING_COMMAND),
            "environmentVariables": environment_of(plain),
            "resources": self._resources(cpu, memory_gb),
            "readinessProbe": _ready(port, "http"),
        }
        if not self.with_frontend:
            properties["ports"] = [port_of(port)]
        return {"name": SCORING, "properties": properties}

    @property
    def _inner_port(self) -> int:
        """Of the scoring server behind a front end: the containers of a group share one address."""
        return SCORING_PORT + 1 if self.exposed_port != SCORING_PORT + 1 else SCORING_PORT + 2

    @property
    def _frontend_cpu(self) -> float:
        return max(0.01, round(self.cpu * FRONTEND_SHARE, 2))

    def _resources(self, cpu: float, memory_gb: float) -> JsonObject:
        resources: JsonObject = {"requests": {"cpu": round(cpu, 2), "memoryInGB": round(memory_gb, 1)}}
        # Without a limit a container gets what it asks for, and its part of what is left of the one core and one
        # gigabyte that Azure gives to the smallest group: a limit below those would only take away.
        limits: JsonObject = {}
        if self.with_frontend and self.cpu >= LEAST:
            limits["cpu"] = self.cpu
        if self.with_frontend and self.memory_gb >= LEAST:
            limits["memoryInGB"] = self.memory_gb
        if limits:
            resources["limits"] = limits
        return resources

    def _frontend(self) -> JsonObject:
        port = self.exposed_port
        plain = {"WINDTUNNEL_FRONTEND_PORT": str(port), "WINDTUNNEL_UPSTREAM_PORT": str(self._inner_port)}
        secure: dict[str, str] = {}
        if self.keys is None:
            # TLS alone: without keys the front end starts only when it is told that everyone may come in.
            plain["WINDTUNNEL_AUTH"] = "none"
        if self.keys is not None:
            secure |= {PRIMARY_KEY: self.keys.primary, SECONDARY_KEY: self.keys.secondary}
        if self.certificate is not None:
            secure |= {TLS_CERT: self.certificate.certificate, TLS_KEY: self.certificate.key}
        return {
            "name": FRONTEND,
            "properties": {
                "image": self.image,
                "command": list(FRONTEND_COMMAND),
                "ports": [port_of(port)],
                "environmentVariables": environment_of(plain, secure),
                "resources": self._resources(self._frontend_cpu, FRONTEND_MEMORY_GB),
                "readinessProbe": _ready(port, "https" if self.certificate is not None else "http"),
            },
        }


def default_port(*, tls: bool) -> int:
    """The exposed port when none was chosen: with keys and without, so that switching them keeps the URI."""
    return HTTPS_PORT if tls else SCORING_PORT


def own_tags(spec: Spec, *, model_digest: str, owner: str) -> dict[str, str]:
    """The tags that say what a group is and whose."""
    return {
        TAG_TARGET: spec.target.value,
        TAG_OWNER: owner,
        TAG_VERSION: __version__,
        TAG_MODEL: spec.effective_model_name,
        TAG_DIGEST: model_digest,
    }


def expiry_of(tags: Mapping[str, str]) -> datetime | None:
    """When what has these tags expires; None when it never does, or when somebody broke the tag."""
    try:
        expires = datetime.fromisoformat(tags.get(TAG_EXPIRES, ""))
    except ValueError:
        return None
    return expires if expires.tzinfo is not None else None


def environment_of(plain: Mapping[str, str], secure: Mapping[str, str] = MappingProxyType({})) -> list[Json]:
    """Variables as ARM has them; it never gives the secure ones back."""
    values: list[Json] = [{"name": name, "value": value} for name, value in plain.items()]
    secrets: list[Json] = [{"name": name, "secureValue": value} for name, value in secure.items()]
    return values + secrets


def port_of(port: int) -> JsonObject:
    """As ARM has one."""
    return {"port": port, "protocol": "TCP"}


def _ready(port: int, scheme: str) -> JsonObject:
    return {
        "httpGet": {"path": "/", "port": port, "scheme": scheme},
        "initialDelaySeconds": 1,
        "periodSeconds": 5,
        "timeoutSeconds": 5,
    }
