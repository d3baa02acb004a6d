"""``keys show``, ``keys regenerate`` and ``keys token``."""

# Typer evaluates annotations when a command is registered: here they are not postponed.
from typing import Annotated

import typer

from windtunnel.cli.context import Context
from windtunnel.cli.options import NameArgument, TargetOption, TimeoutOption, command
from windtunnel.errors import InvalidSpec
from windtunnel.interface import KeyName
from windtunnel.session import DEPLOY_LIMIT_S, HEALTHY_LIMIT_S, wait_until_healthy
from windtunnel.spec import Target

WhichOption = Annotated[str, typer.Option("--key", metavar="Primary|Secondary", help="Which of the two.")]
ValueOption = Annotated[
    str | None, typer.Option("--value", envvar="WINDTUNNEL_KEY", help="A key of your own; default: a new one.")
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    keys = typer.Typer(name="keys", help="The keys of a service.", no_args_is_help=True)
    command(keys, "show")(show)
    command(keys, "regenerate")(regenerate)
    command(keys, "token")(token)
    app.add_typer(keys)


def show(context: Context, name: NameArgument, target: TargetOption = Target.ACI) -> None:
    """Print the two keys."""
    with context.backend() as backend:
        keys = backend.keys(target, name)
    fields = {"primary": keys.primary, "secondary": keys.secondary}
    context.output.fields(fields, {"primaryKey": keys.primary, "secondaryKey": keys.secondary})


def regenerate(
    context: Context,
    name: NameArgument,
    key: WhichOption = "Primary",
    value: ValueOption = None,
    target: TargetOption = Target.ACI,
    timeout: TimeoutOption = DEPLOY_LIMIT_S,
) -> None:
    """Replace one key, and wait until the service answers again; the other key stays valid."""
    which = key.capitalize()
    if which not in list(KeyName):
        raise InvalidSpec(f"Error, invalid value provided for key: {which}.\nValid options are: Primary, Secondary")
    with context.backend() as backend:
        context.wait(backend.regenerate_key(target, name, KeyName(which), value), timeout)
        wait_until_healthy(backend, target, name, timeout_s=min(timeout, HEALTHY_LIMIT_S))
    context.output.done(
        f"the {which.lower()} key of service {name} is new; `windtunnel keys show {name}` prints it",
        {"name": name, "regenerated": which.lower()},
    )


def token(context: Context, name: NameArgument, target: TargetOption = Target.AKS) -> None:
    """Print a token for a service that asks for tokens, and when to ask for the next."""
    with context.backend() as backend:
        found = backend.token(target, name)
    refresh, expires = found.refresh_after.isoformat(), found.expires.isoformat()
    context.output.fields(
        {"token": found.value, "refresh after": refresh, "expires": expires},
        {"accessToken": found.value, "tokenType": "Bearer", "refreshAfter": refresh, "expiryOn": expires},
    )
