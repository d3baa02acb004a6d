"""``fpga report``: what a model costs on a Project Brainwave device, and whether it fits.

The simulator is a process of its own that prints one JSON document.
"""

# Typer evaluates annotations when a command is registered: here they are not postponed.
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from enum import StrEnum
from importlib import util
from pathlib import Path
from typing import Annotated

import typer

from windtunnel.cli.context import Context
from windtunnel.cli.options import command
from windtunnel.cli.output import Format
from windtunnel.errors import InvalidSpec, MissingExtra, ModelError, WindtunnelError
from windtunnel.jsontypes import JsonObject, as_object, as_str

PACKAGE = "windtunnel_emulators"
MODULE = f"{PACKAGE}.brainwave"


class Engine(StrEnum):
    """How layers are timed."""

    CLOSED = "closed"
    CHAINS = "chains"


ModelArgument = Annotated[Path, typer.Argument(help="The ONNX file.", metavar="MODEL.onnx", show_default=False)]
DeviceOption = Annotated[
    str,
    typer.Option(
        "--device",
        "-d",
        help="BW_CNN_A10, BW_S10, BW_A10, BW_S5, a .toml file of your own, or auto: what fits the model.",
    ),
]
OutOption = Annotated[
    Path | None, typer.Option("--out", metavar="FOLDER", help="Pictures, Chrome trace and JSON go here.")
]
EngineOption = Annotated[Engine, typer.Option("--engine", help="Closed form, or chains scheduled one by one.")]
ShapeOption = Annotated[
    list[str] | None,
    typer.Option("--shape", metavar="NAME=1,3,224,224", help="Shape of an input with open dimensions; repeatable."),
]
RttOption = Annotated[
    float | None, typer.Option("--rtt-ms", metavar="MS", help="Round trip of the network between client and service.")
]
PrecisionOption = Annotated[bool, typer.Option("--precision", help="Run the model with 2 to 7 mantissa bits too.")]
DataOption = Annotated[
    Path | None, typer.Option("--data", metavar="FILE.npz", help="Inputs by name, and labels, for --precision.")
]


def register(app: typer.Typer) -> None:
    """Add the command group."""
    group = typer.Typer(no_args_is_help=True, help="Models on Project Brainwave devices, simulated.")
    command(group, "report")(report)
    app.add_typer(group, name="fpga")


def report(
    context: Context,
    model: ModelArgument,
    device: DeviceOption = "auto",
    out: OutOption = None,
    engine: EngineOption = Engine.CLOSED,
    shape: ShapeOption = None,
    rtt_ms: RttOption = None,
    precision: PrecisionOption = False,
    data: DataOption = None,
) -> None:
    """Say what a model costs on an FPGA, layer by layer; exit code 1 when it does not fit."""
    options = ["--device", device, "--engine", engine.value]
    options += [*(word for text in shape or () for word in ("--shape", text))]
    options += ["--rtt-ms", str(rtt_ms)] if rtt_ms is not None else []
    options += ["--out", str(out)] if out is not None else []
    options += ["--precision"] if precision else []
    options += ["--data", str(data)] if data is not None else []
    found = run_simulator(["report", *options, "--", str(model)])
    if context.output.format is Format.JSON:
        context.output.json(found)
    else:
        from windtunnel.cli.fpga_render import render

        render(context.output, found)
    if found.get("fits") is not True:
        context.output.note("error: the model does not fit the device; the report says why and what to do")
        raise SystemExit(1)


def run_simulator(arguments: Sequence[str]) -> JsonObject:
    """The simulator's document. Raises ``ModelError`` and ``InvalidSpec`` with its sentence, ``MissingExtra``."""
    if util.find_spec(PACKAGE) is None:
        raise MissingExtra("the FPGA report", "emulators", PACKAGE)
    done = subprocess.run(
        [sys.executable, "-m", MODULE, *arguments], capture_output=True, text=True, env=dict(os.environ), check=False
    )
    try:
        found = as_object(json.loads(done.stdout))
    except ValueError:
        found = {}
    if "failure" in found:
        error = as_object(found["failure"])
        kind = InvalidSpec if error.get("usage") is True else ModelError
        raise kind(as_str(error.get("message")), way_out=as_str(error.get("way_out")) or None)
    if not found:
        last = next((line for line in reversed(done.stderr.splitlines()) if line.strip()), "it printed nothing")
        raise WindtunnelError(
            f"the FPGA simulator ended with exit code {done.returncode}: {last.strip()}",
            way_out=f"This is a defect of Windtunnel; python -m {MODULE} report shows where it happened.",
        )
    return found
