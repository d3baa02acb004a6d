"""``bench``: open-loop load on a deployed service."""

# Typer evaluates annotations when a command is registered: here they are not postponed.
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

from windtunnel.cli.context import Context
from windtunnel.cli.options import NameArgument, TargetOption, command
from windtunnel.errors import MissingExtra
from windtunnel.payloads import read_payload
from windtunnel.scoring_client import ScoringClient
from windtunnel.spec import Target

InputOption = Annotated[
    str | None,
    typer.Option(
        "--input", "-i", metavar="FILE", help="JSON, .npy, or - for stdin; default: the example in its swagger."
    ),
]
RateOption = Annotated[float, typer.Option("--rate", min=0.1, max=100_000, help="Requests per second.")]
DurationOption = Annotated[float, typer.Option("--duration", min=0.1, max=3600, help="Seconds, after the warm-up.")]
WarmUpOption = Annotated[float, typer.Option("--warm-up", min=0, max=600, help="Seconds that are not counted.")]
ConnectionsOption = Annotated[int, typer.Option("--connections", min=1, max=1000, help="At most, at a time.")]
PoissonOption = Annotated[bool, typer.Option("--poisson", help="Random arrivals, not evenly spaced ones.")]
SeedOption = Annotated[int, typer.Option("--seed", help="Of the random arrivals.")]
ResultOption = Annotated[Path | None, typer.Option("--result", help="Write the result as JSON to this file too.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "bench")(bench)


def bench(
    context: Context,
    name: NameArgument,
    input_file: InputOption = None,
    rate: RateOption = 50.0,
    duration: DurationOption = 10.0,
    warm_up: WarmUpOption = 1.0,
    connections: ConnectionsOption = 32,
    timeout: Annotated[float, typer.Option("--timeout", min=0.01, max=600, help="Seconds per request.")] = 10.0,
    poisson: PoissonOption = False,
    seed: SeedOption = 1,
    result: ResultOption = None,
    target: TargetOption = Target.ACI,
) -> None:
    """Load a service at a fixed rate, and print how long its answers take."""
    body = None if input_file is None else read_payload(input_file)
    try:
        perf = import_module("windtunnel_perf.bench")
    except ModuleNotFoundError as error:
        raise MissingExtra("bench", "perf", error.name or "windtunnel_perf") from error
    plan = perf.plan(
        rate=rate,
        duration_s=duration,
        warm_up_s=warm_up,
        connections=connections,
        timeout_s=timeout,
        poisson=poisson,
        seed=seed,
    )
    with context.backend() as backend:
        if body is None:
            body = ScoringClient(backend.endpoint(target, name)).example()
        report = perf.bench_service(backend, target, name, body, plan, context.output.note)
    if result is not None:
        perf.save(report, result)
    for warning in report.warnings:
        context.output.note(f"warning: {warning}")
    context.output.fields(report.fields(), report.json())
