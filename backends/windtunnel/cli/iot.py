"""``iot monitor``: what devices send to an IoT hub, as it comes."""

# Typer evaluates annotations when a command is registered: here they are not postponed.
import json
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from windtunnel.cli.context import Context
from windtunnel.cli.options import command
from windtunnel.cli.output import Format
from windtunnel.errors import InvalidSpec
from windtunnel.spec import Target

if TYPE_CHECKING:
    from windtunnel.interface import Event
    from windtunnel.jsontypes import Json, JsonObject

HubOption = Annotated[str | None, typer.Option("--hub", help="The hub; default: the profile's (iot_hub).")]
DeviceOption = Annotated[str | None, typer.Option("--device", "-d", help="Only what this device sends.")]
ModuleOption = Annotated[str | None, typer.Option("--module", "-m", help="Only what this module sends.")]
GroupOption = Annotated[str, typer.Option("--consumer-group", help="The group of readers.")]
FromOption = Annotated[
    str,
    typer.Option("--from", metavar="WHEN", help="now, start, a time (2026-01-31T12:00:00Z) or an age (5m)."),
]
CountOption = Annotated[int | None, typer.Option("--count", min=1, help="End after so many messages.")]
LimitOption = Annotated[float | None, typer.Option("--timeout", metavar="SECONDS", min=0.0, help="End after so long.")]
_AGE = re.compile(r"(\d+)([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def register(app: typer.Typer) -> None:
    """Add the commands."""
    iot = typer.Typer(name="iot", help="The IoT hub of a profile.", no_args_is_help=True)
    command(iot, "monitor")(monitor)
    app.add_typer(iot)


def monitor(
    context: Context,
    hub: HubOption = None,
    device: DeviceOption = None,
    module: ModuleOption = None,
    group: GroupOption = "$Default",
    start: FromOption = "now",
    count: CountOption = None,
    timeout: LimitOption = None,
) -> None:
    """Print what devices send, until Ctrl-C, --count or --timeout; with -o json one object a line."""
    since = _since(start, datetime.now(UTC))
    with context.backend() as backend, backend.events(Target.IOT_EDGE, hub=hub, since=since, group=group) as reading:
        printed = 0
        for event in reading.events(limit_s=timeout):
            if (device is not None and event.device != device) or (module is not None and event.module != module):
                continue
            print(_line(event, context.output.format), flush=True)
            printed += 1
            if printed == count:
                return


def _since(text: str, now: datetime) -> datetime | None:
    """None for everything that the hub has. Raises ``InvalidSpec``."""
    if text == "start":
        return None
    if text == "now":
        return now
    age = _AGE.fullmatch(text)
    if age is not None:
        try:
            return now - timedelta(**{_UNITS[age[2]]: int(age[1])})
        except OverflowError:
            return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidSpec(
            f"--from is {text!r}; it is now, start, a time as in 2026-01-31T12:00:00Z, or an age as in 30s, 5m, 2h, 1d"
        ) from error
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def _line(event: "Event", form: Format) -> str:
    if form is Format.JSON:
        said: JsonObject = {
            "device": event.device,
            "module": event.module or None,
            "enqueued": event.enqueued.isoformat(),
            "partition": event.partition,
            "sequence": event.sequence,
            "properties": dict(event.properties),
            "system": dict(event.system),
            "body": _content(event.body),
        }
        return json.dumps(said, ensure_ascii=False)
    who = f"{event.device}/{event.module}" if event.module else event.device
    properties = "".join(f" {name}={value}" for name, value in event.properties.items())
    return f"{event.enqueued.isoformat(timespec='milliseconds')} {who}{properties} {_content(event.body, text=True)}"


def _content(body: bytes, *, text: bool = False) -> "Json":
    """The body as JSON where it is JSON, else as text. Control characters would be the terminal's."""
    found = body.decode("utf-8", "replace")
    if text:
        return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in found)
    try:
        value: Json = json.loads(found)
    except (ValueError, RecursionError):
        return found
    return value
