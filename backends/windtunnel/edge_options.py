"""What only IoT Edge needs to know of a service: ``EdgeOptions``.

Rules and messages are those of ``IotWebservice.deploy_configuration`` (azureml-contrib-iot), where it had any.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from windtunnel.errors import InvalidSpec

if TYPE_CHECKING:
    from collections.abc import Mapping

_NOTHING: Mapping[str, str] = MappingProxyType({})
_MODULE = re.compile(r"[a-zA-Z0-9_-]{1,128}")
_ROUTE = re.compile(r"[^.$# ]{1,128}")
_DEVICE = re.compile(r"[A-Za-z0-9\-:.+%_#*?!(),=@;$']{1,128}")
_HUB = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{1,48}[A-Za-z0-9])")


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeOptions:
    """Names of Azure ML where it had them."""

    hub: str | None = None
    """Default: the profile's ``iot_hub``."""
    device: str | None = None
    """Default: the profile's ``edge_device``."""
    routes: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    """By name. Default: one from ``amlOutput`` to the hub, and one from ``source`` to ``amlInput``."""
    source: str | None = None
    """``MODULE/OUTPUT``: where messages to score come from."""
    modules: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    """Further modules of the same deployment: image by name."""
    variables: Mapping[str, Mapping[str, str]] = field(default_factory=lambda: MappingProxyType({}))
    """Environment variables of further modules, by the module's name."""
    create_options: str | None = None
    """Docker's options of the module's container, as JSON."""

    def __post_init__(self) -> None:
        if self.hub is not None:
            check_hub(self.hub)
        if self.device is not None:
            check_device(self.device)
        for name, route in self.routes.items():
            if not _ROUTE.fullmatch(name):
                raise InvalidSpec(f"the route name {name!r} is invalid: 1 to 128 characters, none of . $ # and space")
            if not route.strip():
                raise InvalidSpec("Invalid configuration, routes must be provided.")
        for name, image in self.modules.items():
            if not _MODULE.fullmatch(name):
                raise InvalidSpec(f"the module name {name!r} is invalid: 1 to 128 letters, digits, - and _")
            if not image.strip():
                raise InvalidSpec(f"Invalid configuration, custom_module {name} missing image_location.")
        for name in self.variables:
            if name not in self.modules:
                raise InvalidSpec(
                    f"variables were given for {name!r}, which is none of the further modules:"
                    f" {', '.join(self.modules) or 'there are none'}"
                )
        if self.source is not None:
            self.source_parts()
        if self.create_options is not None:
            _check_create_options(self.create_options)

    def source_parts(self) -> tuple[str, str]:
        """Module and output of ``source``. Raises ``InvalidSpec``."""
        module, slash, output = (self.source or "").partition("/")
        if not slash or not _MODULE.fullmatch(module) or not re.fullmatch(r"[^/\"' ]+", output):
            raise InvalidSpec(f"{self.source!r} is not of the form MODULE/OUTPUT, as in tempSensor/temperatureOutput")
        return module, output

    def routes_of(self, name: str) -> dict[str, str]:
        """The routes of service ``name``: those that were given, else the default ones."""
        if self.routes:
            found = dict(self.routes)
        else:
            found = {f"{name}ToIoTHub": f"FROM /messages/modules/{name}/outputs/amlOutput INTO $upstream"}
        if self.source is not None:
            module, output = self.source_parts()
            found[f"{module}To{name}"] = (
                f"FROM /messages/modules/{module}/outputs/{output}"
                f' INTO BrokeredEndpoint("/modules/{name}/inputs/amlInput")'
            )
        return found


def check_hub(name: str) -> str:
    """The name, if an IoT hub may have it; raises ``InvalidSpec``."""
    if not _HUB.fullmatch(name):
        raise InvalidSpec(
            f"the IoT hub name {name!r} is invalid: 3 to 50 letters, digits and dashes, with a letter or digit at both"
            " ends"
        )
    return name


def check_device(name: str) -> str:
    """The id, if a device may have it; raises ``InvalidSpec``."""
    if not _DEVICE.fullmatch(name):
        raise InvalidSpec(
            f"the device id {name!r} is invalid: 1 to 128 letters, digits and - : . + % _ # * ? ! ( ) , = @ ; $ '"
        )
    return name


def _check_create_options(text: str) -> None:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise InvalidSpec(f"create_options is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise InvalidSpec("create_options must be a JSON object, as Docker's container-create takes it")
