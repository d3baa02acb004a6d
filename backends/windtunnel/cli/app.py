"""The Typer app: all commands, and the one place where errors become exit codes."""

# Typer evaluates annotations when a command is registered: here they are not postponed.
import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from typing import Annotated

import typer

from windtunnel import __version__
from windtunnel.cli import (
    checks,
    cluster,
    configuration,
    demo,
    edge,
    emulators,
    fpga,
    iot,
    keys,
    load,
    promotion,
    scoring,
    services,
    targets,
)
from windtunnel.cli.output import Format, Output
from windtunnel.errors import InvalidSpec, NotConfigured, WindtunnelError

app = typer.Typer(
    name="windtunnel",
    help="Prove a model deployment on the ground before it flies on Azure.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
_PARTS = (
    emulators,
    services,
    scoring,
    keys,
    cluster,
    edge,
    iot,
    targets,
    load,
    checks,
    fpga,
    promotion,
    demo,
    configuration,
)
for part in _PARTS:
    part.register(app)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"windtunnel {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", "-V", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Prove a model deployment on the ground before it flies on Azure."""


_WRONG_USAGE = (InvalidSpec, NotConfigured)


def run(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Exit code: 0 done, 1 failed, 2 wrong usage. With ``WINDTUNNEL_DEBUG`` set, tracebacks are shown."""
    debug = environment.get("WINDTUNNEL_DEBUG", "") not in ("", "0")
    try:
        app(args=list(arguments), prog_name="windtunnel")
    except WindtunnelError as error:
        if debug:
            traceback.print_exc()
        Output(Format.TABLE).error(error)
        return 2 if isinstance(error, _WRONG_USAGE) else 1
    except BrokenPipeError:
        # Whoever read our output has gone; Python would complain once more when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except Exception as error:
        if debug:
            traceback.print_exc()
        kind = type(error).__name__
        Output(Format.TABLE).error(
            WindtunnelError(
                f"unexpected {kind}: {error}",
                way_out="This is a defect of Windtunnel. WINDTUNNEL_DEBUG=1 shows where it happened.",
            )
        )
        return 1
    return 0
