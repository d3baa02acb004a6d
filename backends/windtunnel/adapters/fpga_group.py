"""The container group of an FPGA service: what it should be, and what ARM says of it.

One container, ``scoring``, runs the accelerated image. It serves TLS and asks for keys by itself: no front end stands
before gRPC. With TLS it always asks for a key, without it never does: those were the rules of the service.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar, Self

from windtunnel.adapters.aci_desired import (
    PRIMARY_KEY,
    SCORING,
    SECONDARY_KEY,
    TLS_CERT,
    TLS_KEY,
    Desired,
    environment_of,
    port_of,
)
from windtunnel.adapters.aci_view import View
from windtunnel.layout import BRAINWAVE_COMMAND, BRAINWAVE_PORT
from windtunnel.spec import Target

if TYPE_CHECKING:
    from windtunnel.jsontypes import JsonObject

REPLICAS, PORT = "WINDTUNNEL_REPLICAS", "WINDTUNNEL_PORT"


@dataclass(frozen=True, slots=True, kw_only=True)
class FpgaDesired(Desired):
    """One container group."""

    replicas: int = 1

    @classmethod
    def of(cls, desired: Desired, replicas: int) -> Self:
        """What else a container group should be, with so many devices."""
        values: dict[str, Any] = {f.name: getattr(desired, f.name) for f in fields(Desired)}
        values |= {"port": desired.port or BRAINWAVE_PORT, "replicas": replicas}
        return cls(**values)

    @property
    def with_frontend(self) -> bool:
        """Never."""
        return False

    def _scoring(self) -> JsonObject:
        plain = {"SERVICE_NAME": self.name, **dict(sorted(self.environment.items()))}
        if self.exposed_port != BRAINWAVE_PORT:
            plain[PORT] = str(self.exposed_port)
        if self.replicas != 1:
            plain[REPLICAS] = str(self.replicas)
        secure: dict[str, str] = {}
        if self.keys is not None:
            secure |= {PRIMARY_KEY: self.keys.primary, SECONDARY_KEY: self.keys.secondary}
        if self.certificate is not None:
            secure |= {TLS_CERT: self.certificate.certificate, TLS_KEY: self.certificate.key}
        return {
            "name": SCORING,
            "properties": {
                "image": self.image,
                "command": list(BRAINWAVE_COMMAND),
                "environmentVariables": environment_of(plain, secure),
                "resources": self._resources(self.cpu, self.memory_gb),
                # Without a readiness probe: container groups know HTTP and commands, and this speaks gRPC.
                "ports": [port_of(self.exposed_port)],
            },
        }


class FpgaView(View):
    """One container group."""

    __slots__ = ()
    target: ClassVar[Target] = Target.FPGA

    @property
    def auth_enabled(self) -> bool:
        """Whether the service asks for a key."""
        return PRIMARY_KEY in self.scoring.environment

    @property
    def tls_enabled(self) -> bool:
        """Whether the service serves TLS."""
        return TLS_CERT in self.scoring.environment

    @property
    def replicas(self) -> int:
        """How many devices it has."""
        value = self.scoring.environment.get(REPLICAS)
        return int(value) if value is not None and value.isdigit() else 1

    @property
    def scoring_uri(self) -> str | None:
        """No path: Microsoft's clients want none, and put port 80 or 443 behind a URI that has no port either."""
        return f"{self.base_uri}/" if self.base_uri else None

    @property
    def swagger_uri(self) -> str | None:
        """The service does not describe itself."""
        return None
