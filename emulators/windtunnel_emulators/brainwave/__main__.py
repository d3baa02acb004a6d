"""``python -m windtunnel_emulators.brainwave``: the report of a model, and the document of the model's accuracy.

``report MODEL.onnx`` prints one JSON document. What went wrong is printed in its place, as ``{"failure": {...}}``.
Exit status: 0 done, 1 failed or the model does not fit, 2 wrong usage.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from windtunnel_emulators.brainwave.errors import BadDevice, BadOption, BrainwaveError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from windtunnel_emulators.brainwave.jsontypes import JsonObject


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse and run."""
    given = _parser().parse_args(arguments)
    try:
        if given.command == "accuracy":
            from windtunnel_emulators.brainwave.accuracy.document import accuracy_document

            sys.stdout.write(accuracy_document())
            return 0
        return _report(given)
    except BrainwaveError as problem:
        usage = isinstance(problem, BadOption | BadDevice)
        error: JsonObject = {"message": problem.message, "way_out": problem.way_out, "usage": usage}
        print(json.dumps({"failure": error}, ensure_ascii=False))
        return 2 if usage else 1


def _report(given: argparse.Namespace) -> int:
    from windtunnel_emulators.brainwave.analysis import AUTOMATIC, EngineName, analyse, choose_device
    from windtunnel_emulators.brainwave.devices import Kind, load_device, names
    from windtunnel_emulators.brainwave.reading import read_graph
    from windtunnel_emulators.brainwave.report.document import document
    from windtunnel_emulators.brainwave.timing.timeline import surroundings

    shapes = dict(_shape(text) for text in given.shape)
    around = surroundings()
    if given.rtt_ms is not None:
        if not 0 <= given.rtt_ms < 1e6:
            raise BadOption(f"--rtt-ms is {given.rtt_ms}", way_out="It is the round trip in milliseconds.")
        around = around.with_rtt(given.rtt_ms)
    device = None if given.device.lower() == AUTOMATIC else load_device(given.device)
    if device is not None and device.kind is Kind.CHECK:
        raise BadDevice(
            f"{device.name} is no Brainwave: it only checks the chain engine",
            way_out=f"Use one of {', '.join(names())}.",
        )
    model: Path = given.model
    graph = read_graph(model, shapes)
    device = device or choose_device(graph)
    study = None
    if given.precision:
        from windtunnel_emulators.brainwave.report.precision import BITS, studier

        study = studier()(model, device=device, bits=BITS, data=given.data, shapes=shapes)
    elif given.data is not None:
        raise BadOption("--data is for the precision study", way_out="Give --precision too.")
    analysis = analyse(graph, device, engine=EngineName(given.engine), around=around)
    content = document(analysis, study=study)
    if given.out is not None:
        from windtunnel_emulators.brainwave.report.files import write_files

        content["files"] = [str(path) for path in write_files(given.out, analysis, content)]
    print(json.dumps(content, indent=2, ensure_ascii=False))
    return 0 if analysis.fits else 1


def _shape(text: str) -> tuple[str, tuple[int, ...]]:
    name, sign, numbers = text.rpartition("=")
    parts = numbers.split(",")
    if not sign or not name or not all(part.strip().isascii() and part.strip().isdigit() for part in parts):
        raise BadOption(f"--shape {text!r} is not of the form NAME=1,3,224,224")
    shape = tuple(int(part) for part in parts)
    if not all(0 < number < 2**31 for number in shape):
        raise BadOption(f"--shape {text!r} has a dimension that is no size", way_out="Dimensions are greater than 0.")
    return name, shape


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m windtunnel_emulators.brainwave", description="A simulator of the Project Brainwave NPU."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    report = commands.add_parser("report", help="what a model costs on a device, as JSON")
    add = report.add_argument
    add("model", type=Path, metavar="MODEL.onnx")
    add("--device", default="auto", help="a device's name, a .toml file, or auto (default)")
    add("--engine", choices=("closed", "chains"), default="closed", help="closed form (default), or chains scheduled")
    add("--shape", action="append", default=[], metavar="NAME=1,3,224,224", help="of an input with open dimensions")
    add("--rtt-ms", type=float, metavar="MS", help="round trip of the network")
    add("--out", type=Path, metavar="FOLDER", help="pictures, trace and document go here")
    add("--precision", action="store_true", help="run the model with 2 to 7 mantissa bits")
    add("--data", type=Path, metavar="FILE.npz", help="inputs for the precision study, and labels")
    commands.add_parser("accuracy", help="the document of the model's accuracy, as Markdown")
    return parser


if __name__ == "__main__":
    sys.exit(main())
