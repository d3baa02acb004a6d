"""``targets``: what each installed backend offers on each target, and why not the rest."""

# Typer evaluates annotations when a command is registered: here they are not postponed.
from typing import TYPE_CHECKING, Annotated

import typer

from windtunnel import registry
from windtunnel.cli.context import Context
from windtunnel.cli.options import command
from windtunnel.cli.output import Format
from windtunnel.interface import Capability
from windtunnel.spec import Target

if TYPE_CHECKING:
    from windtunnel.jsontypes import Json


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "targets")(targets)


def targets(
    context: Context,
    only: Annotated[str | None, typer.Option("--backend", help="Of this backend only; default: of all.")] = None,
) -> None:
    """List what each backend offers on each target, with the reason for what it does not."""
    rows: list[tuple[object, ...]] = []
    values: list[Json] = []
    for name in [only] if only is not None else registry.installed():
        backend = registry.load(name)
        for target in Target:
            offer = backend.offers.get(target)
            if offer is not None and offer.note and context.output.format is Format.TABLE:
                context.output.note(f"{name}/{target}: {offer.note}")
            for capability in Capability:
                reason = "the backend does not serve this target" if offer is None else offer.reason(capability)
                rows.append((name, target, capability, "no" if reason else "yes", reason))
                values.append(
                    {
                        "backend": name,
                        "target": target.value,
                        "capability": capability.value,
                        "offered": reason is None,
                        "reason": reason,
                        "note": offer.note if offer is not None and offer.note else None,
                    }
                )
    context.output.rows(("backend", "target", "capability", "offered", "reason"), rows, values)
