"""``edge``: the local edge devices: ``list``, ``status``, ``cut``, ``restore``, ``faults``, ``logs``."""

# Typer evaluates annotations when a command is registered: here they are not postponed.
from typing import TYPE_CHECKING, Annotated

import typer

from windtunnel.cli.context import Context
from windtunnel.cli.options import command
from windtunnel.edge_devices import EdgeDevice, EdgeDevices
from windtunnel.emulated import EmulatedBackend
from windtunnel.errors import NotConfigured
from windtunnel.jsontypes import as_object

if TYPE_CHECKING:
    from windtunnel.jsontypes import JsonObject

DeviceArgument = Annotated[str, typer.Argument(help="The device's id.", metavar="DEVICE")]
HubOption = Annotated[str | None, typer.Option("--hub", help="Its hub, where two hubs have a device of that name.")]
LatencyOption = Annotated[float | None, typer.Option(metavar="MS", help="Added to every byte, in each direction.")]
JitterOption = Annotated[float | None, typer.Option(metavar="MS", help="At most so much more.")]
LossOption = Annotated[
    float | None, typer.Option(metavar="CHANCE", help="Of losing all connections, each second: 0 to 1.")
]
UpOption = Annotated[float | None, typer.Option(metavar="SECONDS", help="A link that flaps: it is there so long.")]
DownOption = Annotated[float | None, typer.Option(metavar="SECONDS", help="... and then gone so long.")]
SeedOption = Annotated[int | None, typer.Option(help="The same seed makes the same chances.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    edge = typer.Typer(name="edge", help="The local edge devices, and their links to the cloud.", no_args_is_help=True)
    command(edge, "list")(list_devices)
    command(edge, "status")(status)
    command(edge, "cut")(cut)
    command(edge, "restore")(restore)
    command(edge, "faults")(faults)
    command(edge, "logs")(logs)
    app.add_typer(edge)


def list_devices(context: Context) -> None:
    """List the devices, whether they run or not."""
    devices = _devices(context).all()
    rows = [(d.name, d.hub, d.address, "yes" if d.pid else "no", d.folder) for d in devices]
    context.output.rows(("device", "hub", "address", "runs", "folder"), rows, [_json(device) for device in devices])


def status(context: Context, device: DeviceArgument, hub: HubOption = None) -> None:
    """Show a device: its link, its modules, and the messages that wait in it."""
    found = _devices(context).find(device, hub)
    _print(context, found, found.status())


def cut(context: Context, device: DeviceArgument, hub: HubOption = None) -> None:
    """Take the cloud away from a device; what it runs goes on."""
    _devices(context).find(device, hub).cut()
    context.output.done(f"cut the link of {device}", {"device": device, "cut": True})


def restore(context: Context, device: DeviceArgument, hub: HubOption = None) -> None:
    """Give the cloud back to a device."""
    _devices(context).find(device, hub).restore()
    context.output.done(f"restored the link of {device}", {"device": device, "cut": False})


def faults(
    context: Context,
    device: DeviceArgument,
    hub: HubOption = None,
    latency_ms: LatencyOption = None,
    jitter_ms: JitterOption = None,
    loss_per_second: LossOption = None,
    up_seconds: UpOption = None,
    down_seconds: DownOption = None,
    seed: SeedOption = None,
) -> None:
    """Make a device's link as bad as networks are; without options, good again."""
    given: JsonObject = {
        "latencyMs": latency_ms,
        "jitterMs": jitter_ms,
        "lossPerSecond": loss_per_second,
        "upSeconds": up_seconds,
        "downSeconds": down_seconds,
        "seed": seed,
    }
    profile: JsonObject = {name: value for name, value in given.items() if value is not None}
    _devices(context).find(device, hub).set_faults(profile)
    said = ", ".join(f"{name} {value}" for name, value in profile.items()) or "nothing is wrong with it"
    context.output.done(f"link of {device}: {said}", {"device": device, "faults": profile})


def logs(
    context: Context,
    device: DeviceArgument,
    hub: HubOption = None,
    tail: Annotated[int, typer.Option("--tail", help="How many lines, from the end.")] = 1000,
) -> None:
    """Print the log of a device's own process; a module's is `windtunnel logs NAME --target iotedge`."""
    context.output.log(_devices(context).find(device, hub).log(tail))


def _devices(context: Context) -> EdgeDevices:
    """Raises ``NotConfigured`` for a profile whose devices are not on this machine."""
    profile = context.profile
    if profile.backend != EmulatedBackend.name:
        raise NotConfigured(
            f"profile {profile.name!r} (backend {profile.backend!r}) has no local edge devices: the link of a real"
            " device is not Windtunnel's to cut",
            way_out="Use a local profile: --profile local",
        )
    return EdgeDevices(profile.state_dir)


def _json(device: EdgeDevice) -> "JsonObject":
    return {
        "device": device.name,
        "hub": device.hub,
        "address": device.address,
        "running": device.pid is not None,
        "pid": device.pid,
        "folder": str(device.folder),
    }


def _print(context: Context, device: EdgeDevice, said: "JsonObject") -> None:
    link, queues = as_object(said.get("link")), as_object(said.get("queues"))
    modules = as_object(said.get("modules"))
    fields: dict[str, object] = {
        "device": device.name,
        "hub": device.hub,
        "address": device.address,
        "process": device.pid,
        "link": "cut" if link.get("cut") is True else "up" if link.get("up") is True else "down",
        "faults": _pairs(as_object(link.get("faults"))) or None,
        "waiting": _pairs(queues) or "nothing",
        "modules": _pairs(modules) or None,
        "folder": device.folder,
    }
    context.output.fields(fields, {**_json(device), **said})


def _pairs(values: "JsonObject") -> str:
    return "\n".join(f"{name}: {value}" for name, value in values.items() if value not in (0, 0.0, None))
