"""``demo``: a real model, deployed, asked about real data it has not seen; the accuracy is measured."""

# Typer evaluates annotations when a command is registered: here they are not postponed.
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from windtunnel import digits
from windtunnel.cli.context import Context
from windtunnel.cli.options import command
from windtunnel.emulated import EmulatedBackend, Emulators
from windtunnel.session import Session
from windtunnel.spec import Spec

if TYPE_CHECKING:
    from windtunnel.jsontypes import Json

KeepOption = Annotated[bool, typer.Option("--keep", help="Leave the services running.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "demo")(demo)


def demo(context: Context, keep: KeepOption = False) -> None:
    """Deploy a classifier of handwritten digits, and measure its accuracy on held-out images."""
    example = digits.load()
    rows: list[tuple[object, ...]] = []
    values: list[Json] = []
    with _somewhere(context, keep) as context, context.backend(prepare=True) as backend:
        for target in digits.TARGETS:
            with Session(backend, target, keep=keep) as session:
                start = time.perf_counter()
                service = session.deploy(Spec(name="digits-demo", model=example.model, target=target, overwrite=True))
                session.predict(service.name, example.first_request())
                seconds = time.perf_counter() - start
                right, asked = example.ask(lambda body: session.predict(service.name, body))  # noqa: B023
            context.output.note(f"{target}: {service.scoring_uri} answered after {seconds:.2f} s")
            rows.append((target, asked, right, f"{right / asked:.1%}", f"{seconds:.2f} s"))
            values.append({"target": target.value, "images": asked, "right": right, "accuracy": right / asked,
                           "secondsToFirstPrediction": seconds})  # fmt: skip
    context.output.rows(("target", "images", "right", "accuracy", "to first prediction"), rows, values)


@contextmanager
def _somewhere(context: Context, keep: bool) -> Generator[Context]:
    """Where the demo runs: emulators that run already, or its own, on free ports, which end with it."""
    if context.profile.backend != EmulatedBackend.name or keep or Emulators(context.profile.state_dir).running():
        yield context
        return
    with tempfile.TemporaryDirectory(prefix="windtunnel-demo-") as folder:
        own = {"state_dir": folder, "data_dir": folder, "port": "0", **context.flags}
        context = replace(context, flags=own)
        try:
            yield context
        finally:
            Emulators(context.profile.state_dir).stop()
