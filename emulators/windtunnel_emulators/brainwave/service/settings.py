"""What the service takes from its environment: one variable for each thing, checked once, when it starts."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from windtunnel_emulators.brainwave.errors import BadOption
from windtunnel_emulators.brainwave.numerics.emulation import Numerics

if TYPE_CHECKING:
    from collections.abc import Mapping

PORT = 50051
"""What the documents of the preview service use."""
DEVICE = "BW_CNN_A10"
"""That of the service: whatever the model, it had no other. ``auto`` takes the one that suits the model."""


class Pace(StrEnum):
    """Whether simulated time passes."""

    VIRTUAL = "virtual"
    """An answer comes when it is there; its simulated latency is told beside it."""
    REALTIME = "realtime"
    """An answer that is there before its simulated latency has passed waits for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """PEM texts."""

    certificate: str
    key: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Of one service."""

    model_folder: Path
    name: str = "service"
    address: str = "0.0.0.0"  # noqa: S104  inside a container; elsewhere it is given
    port: int = PORT
    device: str = DEVICE
    numerics: Numerics = Numerics.BFP
    number_format: str | None = None
    """None: the device's own."""
    pace: Pace = Pace.VIRTUAL
    replicas: int = 1
    threads: int | None = None
    keys: tuple[str, ...] = field(default=(), repr=False)
    tls: Tls | None = None
    order: str = "RGB"
    scaling: float = 1.0
    network_ms: float = 0.3
    most_bytes: int = 64 << 20

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Settings:
        """Raises ``BadOption`` with the variable's name."""
        folder = environment.get("AZUREML_MODEL_DIR", "")
        if not folder:
            raise BadOption("AZUREML_MODEL_DIR is not set", way_out="Set it to the folder of the model.")
        values = _Values(environment)
        keys = tuple(k for n in ("PRIMARY", "SECONDARY") if (k := values.text(f"{n}_KEY", "")))
        certificate, key = values.pem("TLS_CERT"), values.pem("TLS_KEY")
        if bool(certificate) != bool(key):
            raise BadOption("of WINDTUNNEL_TLS_CERT and WINDTUNNEL_TLS_KEY only one is set", way_out="Set both.")
        if keys and not certificate:
            raise BadOption(
                "the service has keys, and no certificate: a key would be sent in the clear",
                way_out="The FPGA service asks for keys with TLS only: give it a certificate, or no keys.",
            )
        return cls(
            model_folder=Path(folder),
            name=environment.get("SERVICE_NAME", "service"),
            address=values.text("ADDRESS", "0.0.0.0"),  # noqa: S104  as above
            port=values.whole("PORT", PORT, 0, 65535),
            device=values.text("FPGA_DEVICE", DEVICE),
            numerics=Numerics(values.one_of("FPGA_NUMERICS", Numerics.BFP, list(Numerics))),
            number_format=values.text("FPGA_FORMAT", "") or None,
            pace=Pace(values.one_of("FPGA_PACE", Pace.VIRTUAL, list(Pace))),
            replicas=values.whole("REPLICAS", 1, 1, 64),
            threads=values.whole("FPGA_THREADS", 0, 0, 256) or None,
            keys=keys,
            tls=Tls(certificate=certificate, key=key) if certificate else None,
            order=values.one_of("FPGA_CHANNELS", "RGB", ["RGB", "BGR"]),
            scaling=values.number("FPGA_SCALING", 1.0),
            network_ms=values.number("FPGA_NETWORK_MS", 0.3),
            most_bytes=values.whole("FPGA_MOST_BYTES", 64 << 20, 1 << 10, 1 << 29),
        )


class _Values:
    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment

    def text(self, name: str, default: str) -> str:
        return self._environment.get(f"WINDTUNNEL_{name}") or default

    def pem(self, name: str) -> str:
        """The text itself, or the name of a file that has it."""
        value = self.text(name, "")
        if not value or value.lstrip().startswith("-----BEGIN"):
            return value
        try:
            return Path(value).read_text("utf-8")
        except (OSError, ValueError) as problem:
            raise BadOption(f"WINDTUNNEL_{name} is neither PEM nor a file that can be read") from problem

    def whole(self, name: str, default: int, least: int, most: int) -> int:
        text = self.text(name, str(default))
        if not text.isascii() or not text.isdigit() or not least <= int(text) <= most:
            raise BadOption(f"WINDTUNNEL_{name}={text!r} is no whole number from {least} to {most}")
        return int(text)

    def number(self, name: str, default: float) -> float:
        text = self.text(name, str(default))
        try:
            value = float(text)
        except ValueError:
            value = -1.0
        if not 0 <= value < 1e6:
            raise BadOption(f"WINDTUNNEL_{name}={text!r} is no number from 0 to a million")
        return value

    def one_of(self, name: str, default: str, known: list[str]) -> str:
        text = self.text(name, default)
        if text not in known:
            raise BadOption(f"WINDTUNNEL_{name}={text!r} is not known", way_out=f"One of: {', '.join(known)}.")
        return text
