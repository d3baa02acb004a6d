"""``up``, ``down``, ``status``, ``reset``, ``logs``, ``env`` and ``az``: the emulators of a state folder."""

# Typer evaluates annotations when a command is registered: here they are not postponed.
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from windtunnel.cli.context import Context
from windtunnel.cli.options import TargetOption, command
from windtunnel.cli.output import Format
from windtunnel.cli.services import service_logs
from windtunnel.errors import InvalidSpec
from windtunnel.jsontypes import as_object, as_str
from windtunnel.shells import SHELLS, exports
from windtunnel.spec import Target

if TYPE_CHECKING:
    from windtunnel.jsontypes import JsonObject

PortOption = Annotated[int | None, typer.Option("--port", help="Of the front door; 0: any that is free.")]
EphemeralOption = Annotated[bool, typer.Option("--ephemeral", help="Keep nothing.")]
RuntimeOption = Annotated[str | None, typer.Option("--runtime", metavar="process|docker", help="How containers run.")]
KubernetesOption = Annotated[
    str | None,
    typer.Option("--kubernetes", metavar="embedded|binaries|kind", help="What serves the Kubernetes API of clusters."),
]
PaceOption = Annotated[str | None, typer.Option("--pace", metavar="fast|azure|FACTOR", help="How Azure's waits pass.")]
ReadyOption = Annotated[Path | None, typer.Option("--ready-file", help="Written, whole, once everything listens.")]
ForegroundOption = Annotated[bool, typer.Option("--foreground", help="Stay in the foreground until Ctrl+C.")]
ShellOption = Annotated[str, typer.Option("--shell", metavar="|".join(SHELLS), help="Whose syntax.")]
TailOption = Annotated[int, typer.Option("--tail", min=1, help="How many lines from the end.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    command(app, "up")(up)
    command(app, "down")(down)
    command(app, "status")(status)
    command(app, "reset")(reset)
    command(app, "logs")(logs)
    command(app, "env")(env)
    command(app, "az", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(az)


def up(
    context: Context,
    port: PortOption = None,
    ephemeral: EphemeralOption = False,
    runtime: RuntimeOption = None,
    kubernetes: KubernetesOption = None,
    pace: PaceOption = None,
    ready_file: ReadyOption = None,
    foreground: ForegroundOption = False,
) -> None:
    """Start the emulators, and wait until they are ready."""
    from windtunnel.emulated import Emulators, start_options

    chosen = {"port": port, "runtime": runtime, "kubernetes": kubernetes, "pace": pace}
    context.flags = {**context.flags, **{k: str(v) for k, v in chosen.items() if v is not None}}
    emulators = Emulators(context.profile.state_dir)
    options = start_options(context.profile) + (["--ephemeral"] if ephemeral else [])
    options += ["--ready-file", str(ready_file.absolute())] if ready_file is not None else []
    if foreground:
        command_line = emulators.command(options)
        os.execve(command_line[0], command_line, dict(context.environment))  # noqa: S606  # becomes the emulators
    if emulators.running() is not None:
        context.output.note(f"the emulators are running already (state folder {emulators.folder})")
    else:
        emulators.start(options, context.environment)
    _print_status(context)


def down(context: Context) -> None:
    """Stop the emulators and everything that they run; state is kept."""
    from windtunnel.emulated import Emulators

    emulators = Emulators(context.profile.state_dir)
    stopped = emulators.stop()
    what = "are stopped" if stopped else "were not running"
    where = f"(state folder {emulators.folder})"
    context.output.done(f"the emulators {what} {where}", {"stopped": stopped, "stateDir": str(emulators.folder)})


def status(context: Context) -> None:
    """Say whether the emulators run, where, and which limits of containers hold; exit code 1 when they do not."""
    _print_status(context)


def _print_status(context: Context) -> None:
    from windtunnel.emulated import Emulators

    emulators = Emulators(context.profile.state_dir)
    ready = emulators.require()
    runtime = as_object(emulators.health().get("runtime"))
    limits = as_object(runtime.get("limits"))
    fields = {"state": "running", "pid": str(ready.pid), "version": ready.version, **ready.endpoints}
    endpoints: JsonObject = dict(ready.endpoints)
    context.output.fields(
        {**fields, "state folder": emulators.folder, "runtime": as_str(runtime.get("name")), **limits},
        {
            "state": "running",
            "pid": ready.pid,
            "version": ready.version,
            "endpoints": endpoints,
            "stateDir": str(emulators.folder),
            "runtime": runtime,
        },
    )


def reset(context: Context) -> None:
    """Empty the emulators: every resource, image and container is gone; they keep running."""
    from windtunnel.emulated import Emulators

    emulators = Emulators(context.profile.state_dir)
    emulators.reset()
    context.output.done(
        f"the emulators are empty (state folder {emulators.folder})",
        {"reset": True, "stateDir": str(emulators.folder)},
    )


def logs(
    context: Context,
    name: Annotated[str | None, typer.Argument(help="A service; default: the emulators themselves.")] = None,
    target: TargetOption = Target.ACI,
    tail: TailOption = 5000,
) -> None:
    """Print the log of a service, or of the emulators."""
    if name is not None:
        service_logs(context, name, target, tail)
        return
    from windtunnel.emulated import Emulators

    context.output.log(Emulators(context.profile.state_dir).log_tail(tail))


def env(context: Context, shell: ShellOption = "sh") -> None:
    """Print what points az, the SDKs and other clients at the emulators: eval "$(windtunnel env)"."""
    from windtunnel.emulated import Emulators

    if shell not in SHELLS:
        raise InvalidSpec(f"shell {shell!r} is none of: {', '.join(SHELLS)}")
    ready = Emulators(context.profile.state_dir).require()
    if context.output.format is Format.JSON:
        value: JsonObject = dict(ready.environment)
        context.output.json(value)
    else:
        context.output.text(exports(ready.environment, shell))


def az(
    context: Context, arguments: Annotated[list[str] | None, typer.Argument(metavar="-- ARGUMENTS...")] = None
) -> None:
    """Run the real Azure CLI, pointed at the emulators, with a configuration folder of its own."""
    from windtunnel.az import run_az
    from windtunnel.emulated import Emulators

    ready = Emulators(context.profile.state_dir).require()
    sys.stdout.flush()
    code = run_az(arguments or [], ready, context.profile.state_dir, context.environment, context.output.note)
    raise SystemExit(code)
