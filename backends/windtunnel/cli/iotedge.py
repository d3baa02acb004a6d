"""The options that only IoT Edge has, of ``deploy``."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from windtunnel.cli.options import pairs
from windtunnel.edge_options import EdgeOptions
from windtunnel.errors import InvalidSpec

if TYPE_CHECKING:
    from collections.abc import Mapping

_PANEL = "IoT Edge"
_TEXT: dict[str, tuple[str, str, str]] = {
    "hub": ("--hub", "NAME", "The IoT hub; made when it is not there. Default: the profile's (iot_hub)."),
    "device": ("--device", "ID", "The device; made when it is not there. Default: the profile's (edge_device)."),
    "source": ("--source", "MODULE/OUTPUT", "Where messages to score come from."),
    "create_options": ("--create-options", "JSON", "Docker's options of the module's container."),
}
_PAIRS: dict[str, tuple[str, str, str]] = {
    "module": ("--module", "NAME=IMAGE", "A further module of the deployment."),
    "module_env": ("--module-env", "MODULE.NAME=VALUE", "For the container of a further module."),
    "route": ("--route", "NAME=ROUTE", "A route; default: from amlOutput to the hub."),
}


def parameters() -> list[inspect.Parameter]:
    """All without a default."""
    kinds: list[tuple[dict[str, tuple[str, str, str]], Any]] = [(_TEXT, str | None), (_PAIRS, list[str] | None)]
    return [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[kind, typer.Option(flag, metavar=form, help=words, rich_help_panel=_PANEL)],
        )
        for table, kind in kinds
        for name, (flag, form, words) in table.items()
    ]


def options(given: Mapping[str, object]) -> EdgeOptions:
    """Raises ``InvalidSpec``."""
    text = {name: cast("str | None", given.get(name)) for name in _TEXT}
    return EdgeOptions(
        **text,
        modules=pairs("--module", cast("list[str] | None", given.get("module"))),
        variables=_variables(pairs("--module-env", cast("list[str] | None", given.get("module_env")))),
        routes=pairs("--route", cast("list[str] | None", given.get("route"))),
    )


def given_any(given: Mapping[str, object]) -> bool:
    """Whether one of them was."""
    return any(given.get(name) for name in (*_TEXT, *_PAIRS))


def _variables(found: Mapping[str, str]) -> dict[str, dict[str, str]]:
    variables: dict[str, dict[str, str]] = {}
    for key, value in found.items():
        module, dot, name = key.partition(".")
        if not dot or not name:
            raise InvalidSpec(
                f"--module-env {key}={value}: it has to be MODULE.NAME=VALUE, as in sensor.MessageDelay=1"
            )
        variables.setdefault(module, {})[name] = value
    return variables
