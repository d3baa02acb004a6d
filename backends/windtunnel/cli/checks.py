"""``check``: the contract suite as a command."""

# Typer evaluates annotations when a command is registered: here they are not postponed.
import os
import subprocess
import sys
import tempfile
from importlib import util
from pathlib import Path
from typing import Annotated

import typer

from windtunnel import registry
from windtunnel.cli.context import Context
from windtunnel.cli.options import command
from windtunnel.cli.output import Format
from windtunnel.errors import MissingExtra
from windtunnel.spec import Target

SUITE = "windtunnel_contracts"
TESTS = f"{SUITE}.all"
"""A module that is named is collected whatever its file is called."""
TargetsOption = Annotated[list[Target] | None, typer.Option("--target", "-t", help="Only this one; repeatable.")]
JunitOption = Annotated[Path | None, typer.Option("--junit", help="Where the JUnit XML goes.")]
HtmlOption = Annotated[Path | None, typer.Option("--html", help="Where the report for people goes.")]
KeywordOption = Annotated[str | None, typer.Option("-k", metavar="EXPRESSION", help="Only tests whose names match.")]
# The suite's own plugin, and nothing of the configuration that the folder may have for its own tests.
_ALONE = ("-p", f"{SUITE}.plugin", "-p", "no:cacheprovider", "-c", os.devnull, "-rs")


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "check")(check)


def check(
    context: Context,
    target: TargetsOption = None,
    junit: JunitOption = None,
    html: HtmlOption = None,
    keyword: KeywordOption = None,
) -> None:
    """Run the contract suite against the profile's backend; exit code 1 when a test failed."""
    for module in ("pytest", SUITE):
        if util.find_spec(module) is None:
            raise MissingExtra("check", "contracts", module)
    profile = context.profile
    registry.load(profile.backend).prepare(profile, progress=context.output.progress)
    with tempfile.TemporaryDirectory(prefix="windtunnel-check-") as folder:
        code = _run(context, target or [], junit, html, keyword, Path(folder))
    raise SystemExit(min(code, 1) if code != 4 else 2)  # pytest's 4 is wrong usage


def _run(
    context: Context, targets: list[Target], junit: Path | None, html: Path | None, keyword: str | None, folder: Path
) -> int:
    profile, as_json = context.profile, context.output.format is Format.JSON
    xml = junit or (html.with_suffix(".xml") if html is not None else folder / "junit.xml" if as_json else None)
    options = ["--backend", profile.backend, "--profile", profile.name]
    options += [*(word for t in targets for word in ("--target", t.value))]
    options += ["-k", keyword] if keyword is not None else []
    options += [f"--junitxml={xml}"] if xml is not None else []
    environment = {**context.environment, **context.exported()}
    arguments = [sys.executable, "-m", "pytest", *_ALONE, "--pyargs", TESTS, *options]
    # Where the data is JSON, what pytest prints is for the person who watches.
    code = subprocess.run(arguments, env=environment, stdout=sys.stderr if as_json else None, check=False).returncode
    if xml is not None and html is not None and xml.is_file():
        from windtunnel.junit_page import write_page

        write_page(xml, html)
        context.output.note(f"report: {html}")
    if as_json and xml is not None and xml.is_file():
        from windtunnel.junit_page import summary

        context.output.json(summary(xml))
    return code
