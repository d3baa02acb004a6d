"""What a user's ``score.py`` and its requirements must be, checked before anything is sent.

The wording follows Azure ML's (azureml-core 1.61, azureml-inference-server-http 1.5).
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from windtunnel.errors import InvalidSpec

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_NOT_IN_CONTEXT = ("-r", "--requirement", "-c", "--constraint", "-e", "--editable", "-f", "--find-links")


def check_script(path: Path) -> bytes:
    """The script's text. Raises ``InvalidSpec`` when it is not there, does not parse, or lacks ``init`` or ``run``."""
    if path.suffix != ".py":
        raise InvalidSpec(
            "Invalid driver type. Currently only Python drivers are supported.", way_out=f"{path.name} is not a .py"
        )
    if not path.is_file():
        raise InvalidSpec(f"Error, unable to find the entry script at {str(path)!r}.")
    source = path.read_bytes()
    try:
        tree = ast.parse(source, filename=path.name)
    except (SyntaxError, ValueError) as error:
        line = f" at line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        reason = error.msg if isinstance(error, SyntaxError) else str(error)
        raise InvalidSpec(
            f"Error, the entry script {path.name} cannot be parsed{line}: {reason}."
            " Please check it and try local deployment to verify."
        ) from error
    defined = set(_defined(tree))
    for function in ("init", "run"):
        # A star import may bring either; what it brings is known only when it runs.
        if function not in defined and "*" not in defined:
            raise InvalidSpec(f"User script at {path.name} does not have a {function}() function defined.")
    return source


def _defined(tree: ast.Module) -> Iterator[str]:
    """The names that the module's own statements bind, inside ``if`` and ``try`` too."""
    todo: list[ast.stmt] = list(tree.body)
    while todo:
        statement = todo.pop()
        match statement:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                yield statement.name
            case ast.Import() | ast.ImportFrom():
                yield from (alias.asname or alias.name for alias in statement.names)
            case ast.Assign():
                yield from (target.id for target in statement.targets if isinstance(target, ast.Name))
            case ast.If() | ast.Try() | ast.With():
                todo += [child for child in ast.iter_child_nodes(statement) if isinstance(child, ast.stmt)]
                if isinstance(statement, ast.Try):
                    todo += [inner for handler in statement.handlers for inner in handler.body]
            case _:
                pass


def check_requirements(path: Path, pinned: Mapping[str, str]) -> tuple[str, ...]:
    """The lines of a requirements file. Raises ``InvalidSpec`` for what cannot work in an image, or with ``pinned``."""
    if not path.is_file():
        raise InvalidSpec(f"there is no requirements file at {str(path)!r}")
    try:
        text = path.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidSpec(f"{path.name} is not UTF-8 text") from error
    lines: list[str] = []
    for number, raw in enumerate(text.replace("\\\n", " ").splitlines(), 1):
        line = raw.split(" #", 1)[0].strip()
        if not line or line.startswith("#"):
            continue
        if line.startswith(_NOT_IN_CONTEXT):
            raise InvalidSpec(
                f"{path.name}, line {number}: {line!r} names a file that is not in the image",
                way_out="Name packages of a package index only.",
            )
        if not line.startswith("-"):
            _check_requirement(path.name, number, line.split(" --hash", 1)[0].strip(), pinned)
        lines.append(line)
    return tuple(lines)


def _check_requirement(file: str, number: int, line: str, pinned: Mapping[str, str]) -> None:
    try:
        requirement = Requirement(line)
    except InvalidRequirement as error:
        raise InvalidSpec(f"{file}, line {number}: {line!r} is not a requirement: {error}") from error
    if requirement.url is not None and requirement.url.startswith("file:"):
        raise InvalidSpec(f"{file}, line {number}: {line!r} is on this machine, not in the image")
    version = pinned.get(canonicalize_name(requirement.name))
    if version is not None and not requirement.specifier.contains(version, prereleases=True):
        raise InvalidSpec(
            f"{file}, line {number}: {line!r} excludes {requirement.name} {version}, which the scoring server needs",
            way_out=f"Allow {requirement.name}=={version}, or install another version here before you deploy.",
        )
