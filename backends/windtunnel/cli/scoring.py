"""``score``: one prediction, from a file or standard input."""

# Typer evaluates annotations when a command is registered: here they are not postponed.
from typing import Annotated

import typer

from windtunnel.cli.context import Context
from windtunnel.cli.options import NameArgument, TargetOption, command
from windtunnel.payloads import read_payload
from windtunnel.session import Session
from windtunnel.spec import Target


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "score")(score)


def score(
    context: Context,
    name: NameArgument,
    input_file: Annotated[str, typer.Option("--input", "-i", metavar="FILE", help="JSON, .npy, or - for stdin.")],
    target: TargetOption = Target.ACI,
) -> None:
    """Ask a service for a prediction, and print its own answer."""
    payload = read_payload(input_file)
    with context.backend() as backend, Session(backend, target) as session:
        context.output.json(session.predict(name, payload))
