"""The options that every command has, added to its signature by ``command``; and the annotations that several share."""

# Typer evaluates annotations when a command is registered: here they are not postponed.
import functools
import inspect
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Concatenate, ParamSpec, cast

import typer

from windtunnel.cli.context import Context, flags_of
from windtunnel.cli.output import Format, Output
from windtunnel.errors import InvalidSpec
from windtunnel.settings import FLAGS, SETTINGS
from windtunnel.spec import Target

P = ParamSpec("P")
_PANEL = "Profile"

NameArgument = Annotated[str, typer.Argument(help="The service's name.", metavar="NAME")]
TargetOption = Annotated[Target, typer.Option("--target", "-t", help="Where the service runs.", show_default=True)]
TimeoutOption = Annotated[float, typer.Option("--timeout", metavar="SECONDS", help="The longest wait.")]

ProfileOption = Annotated[
    str | None, typer.Option("--profile", help="Which profile; default: local.", rich_help_panel=_PANEL)
]
OutputOption = Annotated[Format, typer.Option("--output", "-o", help="How data is printed.", rich_help_panel=_PANEL)]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Any other setting of the profile.", rich_help_panel=_PANEL),
]


def command(
    app: typer.Typer,
    name: str,
    *,
    context_settings: dict[str, object] | None = None,
    more: tuple[str, Sequence[inspect.Parameter]] | None = None,
) -> Callable[[Callable[Concatenate[Context, P], None]], Callable[Concatenate[Context, P], None]]:
    """Register a command whose first parameter is the ``Context`` that the common options make.

    ``more`` is a parameter of the function that is given the values of further options, by name.
    """

    def register(function: Callable[Concatenate[Context, P], None]) -> Callable[Concatenate[Context, P], None]:
        collected, further = more or ("", [])
        own = [
            p for p in list(inspect.signature(function, eval_str=True).parameters.values())[1:] if p.name != collected
        ]
        common = _common()

        @functools.wraps(function)
        def run(**given: object) -> None:
            chosen = {parameter.name: given.pop(parameter.name) for parameter in common}
            if more is not None:
                given[collected] = {parameter.name: given.pop(parameter.name) for parameter in further}
            # Typer has checked them: it read the signature below.
            cast("Callable[..., None]", function)(_context(chosen), **given)

        run.__signature__ = inspect.Signature([*own, *further, *common])  # type: ignore[attr-defined]  # read by inspect.signature
        run.__annotations__ = {}
        app.command(name, context_settings=dict(context_settings or {}))(run)
        return function

    return register


def _common() -> list[inspect.Parameter]:
    keyword = inspect.Parameter.KEYWORD_ONLY
    flags = [
        inspect.Parameter(
            key,
            keyword,
            default=None,
            annotation=Annotated[
                str | None,
                typer.Option(f"--{key.replace('_', '-')}", help=_sentence(SETTINGS[key].help), rich_help_panel=_PANEL),
            ],
        )
        for key in sorted(FLAGS)
    ]
    return [
        inspect.Parameter("profile", keyword, default=None, annotation=ProfileOption),
        inspect.Parameter("output", keyword, default=Format.TABLE, annotation=OutputOption),
        *flags,
        inspect.Parameter("settings", keyword, default=None, annotation=SetOption),
    ]


def _context(chosen: dict[str, object]) -> Context:
    form, profile, settings = chosen["output"], chosen["profile"], chosen["settings"]
    pairs = {key: str(value) for key, value in chosen.items() if key in FLAGS and value is not None}
    return Context(
        output=Output(form if isinstance(form, Format) else Format.TABLE),
        environment=os.environ,
        folder=Path.cwd(),
        profile_name=profile if isinstance(profile, str) else None,
        flags=flags_of(pairs, cast("list[str] | None", settings) or []),
    )


def pairs(option: str, texts: list[str] | None) -> dict[str, str]:
    """``KEY=VALUE`` texts as a dict. Raises ``InvalidSpec``."""
    found: dict[str, str] = {}
    for text in texts or ():
        key, sign, value = text.partition("=")
        if not sign or not key:
            raise InvalidSpec(f"{option} {text!r} is not of the form KEY=VALUE")
        found[key] = value
    return found


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."
