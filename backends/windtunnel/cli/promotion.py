"""``promote`` and ``sweep``: to another profile, and away with what has expired."""

# Typer evaluates annotations when a command is registered: here they are not postponed.
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated

import typer

from windtunnel import registry
from windtunnel.cli.context import Context, targets_of
from windtunnel.cli.options import NameArgument, TargetOption, TimeoutOption, command
from windtunnel.cli.render import SERVICE_COLUMNS, service_fields, service_json, service_row
from windtunnel.errors import InvalidSpec
from windtunnel.session import DEPLOY_LIMIT_S, HEALTHY_LIMIT_S, sweep, wait_until_healthy
from windtunnel.spec import Target

ToOption = Annotated[str, typer.Option("--to", metavar="PROFILE", help="Where it is deployed as well.")]
OverwriteOption = Annotated[bool, typer.Option("--overwrite", help="Replace a service of that name there.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    command(app, "promote")(promote)
    command(app, "sweep")(sweep_expired)


def promote(
    context: Context,
    name: NameArgument,
    to: ToOption,
    target: TargetOption = Target.ACI,
    overwrite: OverwriteOption = False,
    timeout: TimeoutOption = DEPLOY_LIMIT_S,
) -> None:
    """Deploy a service of this profile, from the same files, with another profile."""
    from windtunnel.adapters.azure import AzureBackend

    with context.backend() as source:
        if not isinstance(source, AzureBackend):
            raise InvalidSpec(f"backend {source.name!r} does not know what its services were deployed from")
        source.get(target, name)
        spec = replace(source.spec(target, name), overwrite=overwrite)
    there = context.profile_called(to)
    kind = registry.load(there.backend)
    kind.prepare(there, progress=context.output.progress)
    with kind.connect(there, progress=context.output.progress) as destination:
        context.wait(destination.deploy(spec), timeout)
        service = wait_until_healthy(destination, target, name, timeout_s=min(timeout, HEALTHY_LIMIT_S))
    context.output.fields(service_fields(service), service_json(service))


def sweep_expired(context: Context) -> None:
    """Delete the services whose expiry (tag windtunnel-expires) has passed."""
    with context.backend() as backend:
        gone = [s for target in targets_of(backend) for s in sweep(backend, target, datetime.now(UTC))]
    context.output.rows(SERVICE_COLUMNS, [service_row(s) for s in gone], [service_json(s) for s in gone])
    context.output.note(f"{len(gone)} expired services were deleted")
