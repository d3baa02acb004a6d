"""``createOptions``: Docker's settings of a container, as far as they can be honoured on this machine.

CreateOptionsProblem
+-- BadOptions      they are not what Docker takes
+-- Unsupported     they ask for what cannot be done here; the message names it
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from windtunnel_emulators.jsontypes import as_list, as_object

if TYPE_CHECKING:
    from collections.abc import Mapping

    from windtunnel_emulators.jsontypes import Json, JsonObject

_IGNORED = frozenset(
    # They change nothing here: labels are for people, and the log and the restarts are the agent's.
    ("Labels", "Image", "HostConfig", "NetworkingConfig", "AttachStdout", "AttachStderr", "Hostname", "StopSignal")
)
_IGNORED_OF_HOST = frozenset(("LogConfig", "RestartPolicy", "NetworkMode", "Init", "AutoRemove"))
_LEAST_MEMORY = 6 * 1024 * 1024
"""Docker refuses less."""


class CreateOptionsProblem(Exception):
    """Settings of a container that it cannot be made with; the message is a sentence."""


class BadOptions(CreateOptionsProblem):
    """They are malformed."""


class Unsupported(CreateOptionsProblem):
    """They ask for what this machine does not do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A port of the container that is open at the device's address."""

    container: int
    host: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What is honoured."""

    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    command: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] = ()
    working_directory: str | None = None
    ports: tuple[int, ...] = ()
    published: tuple[Published, ...] = ()
    memory_bytes: int | None = None
    cpu: float | None = None


def parse(value: JsonObject) -> Options:
    """Raises ``BadOptions``, ``Unsupported``."""
    host = as_object(value.get("HostConfig"))
    for key, one in value.items():
        if key not in _IGNORED and key not in _READ and not _is_nothing(one):
            raise Unsupported(f"createOptions.{key} is not supported for modules that run as processes of this machine")
    for key, one in host.items():
        if key not in _IGNORED_OF_HOST and key not in _READ_OF_HOST and not _is_nothing(one):
            raise Unsupported(
                f"createOptions.HostConfig.{key} is not supported for modules that run as processes of this machine"
            )
    published = _published(host.get("PortBindings"))
    exposed = tuple(_port(name) for name in as_object(value.get("ExposedPorts")))
    return Options(
        environment=_environment(value.get("Env")),
        command=_words(value.get("Cmd"), "Cmd"),
        entrypoint=_words(value.get("Entrypoint"), "Entrypoint"),
        working_directory=_working_directory(value.get("WorkingDir")),
        ports=tuple(sorted({*exposed, *(port.container for port in published)})),
        published=published,
        memory_bytes=_memory(host.get("Memory")),
        cpu=_cpu(host.get("NanoCpus")),
    )


_READ = frozenset(("Env", "Cmd", "Entrypoint", "WorkingDir", "ExposedPorts"))
_READ_OF_HOST = frozenset(("PortBindings", "Memory", "NanoCpus"))


def _is_nothing(value: Json) -> bool:
    """As Docker's own tools write what was not asked for."""
    return value in (None, False, "", 0) or value == [] or value == {}


def _environment(value: Json) -> dict[str, str]:
    found: dict[str, str] = {}
    for entry in as_list(value):
        if not isinstance(entry, str) or entry.startswith("="):
            raise BadOptions("createOptions.Env is no list of NAME=VALUE")
        name, _, text = entry.partition("=")
        found[name] = text
    return found


def _words(value: Json, key: str) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    found = as_list(value)
    words = tuple(one for one in found if isinstance(one, str))
    if len(words) != len(found):
        raise BadOptions(f"createOptions.{key} is no list of texts")
    return words


def _working_directory(value: Json) -> str | None:
    if value in (None, ""):
        return None
    if not isinstance(value, str) or not value.startswith("/"):
        raise BadOptions("createOptions.WorkingDir is no absolute path")
    return value


def _port(text: str) -> int:
    number, _, protocol = text.partition("/")
    if not (number.isascii() and number.isdigit() and 0 < int(number) < 65536):
        raise BadOptions(f"createOptions: {text[:50]!r} is no port")
    if protocol not in ("", "tcp"):
        raise Unsupported(f"createOptions: port {text[:50]!r} is not TCP, and no other can be published here")
    return int(number)


def _published(value: Json) -> tuple[Published, ...]:
    found: list[Published] = []
    for name, bindings in as_object(value).items():
        container = _port(name)
        for binding in as_list(bindings):
            wanted = as_object(binding).get("HostPort")
            text = str(wanted) if isinstance(wanted, int) else wanted
            if not isinstance(text, str) or not text:
                raise Unsupported(
                    f"createOptions.HostConfig.PortBindings.{name} names no HostPort, and none is chosen for it here"
                )
            found.append(Published(container=container, host=_port(text)))
    return tuple(found)


def _memory(value: Json) -> int | None:
    if value in (None, 0):
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < _LEAST_MEMORY:
        raise BadOptions(f"createOptions.HostConfig.Memory is no number of bytes, {_LEAST_MEMORY} at least")
    return value


def _cpu(value: Json) -> float | None:
    if value in (None, 0):
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise BadOptions("createOptions.HostConfig.NanoCpus is no number of billionths of a processor")
    return value / 1_000_000_000
