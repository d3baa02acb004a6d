"""``config show``: every setting of the profile, and where it comes from."""

# Typer evaluates annotations when a command is registered: here they are not postponed.
from typing import TYPE_CHECKING

import typer

from windtunnel.cli.context import Context
from windtunnel.cli.options import command
from windtunnel.settings import SETTINGS

if TYPE_CHECKING:
    from windtunnel.jsontypes import JsonObject


def register(app: typer.Typer) -> None:
    """Add the command."""
    config = typer.Typer(name="config", help="The configuration.", no_args_is_help=True)
    command(config, "show")(show)
    app.add_typer(config)


def show(context: Context) -> None:
    """Print every setting of the profile with where it was found."""
    profile = context.profile
    rows: list[tuple[object, ...]] = [("profile", profile.name, ""), ("backend", profile.backend, "")]
    value: JsonObject = {"profile": profile.name, "backend": profile.backend}
    settings: JsonObject = {}
    computed = {"state_dir": profile.state_dir, "data_dir": profile.data_dir}
    for key in SETTINGS:
        found = profile.values.get(key)
        if found is not None:
            text, source = str(found.value), found.source
        else:
            text, source = (str(computed[key]), "default") if key in computed else ("", "not set")
        if key != "backend":
            rows.append((key, text, source))
        settings[key] = {"value": text if found is None else found.value, "source": source}
    value["settings"] = settings
    context.output.rows(("setting", "value", "source"), rows, value)
