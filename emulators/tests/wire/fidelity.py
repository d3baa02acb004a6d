"""Prints docs/fidelity.md: ``python emulators/tests/wire/fidelity.py > docs/fidelity.md``.

It is made of the data files that the tests hold to be exact; a test holds the document to what is printed.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

TESTS = Path(__file__).resolve().parents[1]
HEAD = """# How close the answers are to Azure's

Made by `python emulators/tests/wire/fidelity.py > docs/fidelity.md`; a test holds it to what the command prints.

Offline, four kinds of witness stand in for a subscription. Each is a test.

| Witness | Where | What is known to differ |
| --- | --- | --- |
| Unmodified clients: the Azure SDKs for Python, azure-identity, MSAL, `az` | `emulators/tests/wire`, `tox -e az` | \
nothing that these tests ask for |
| Recordings of the real service (Container Instances, Container Registry, IoT Hub), replayed with values | \
`emulators/tests/wire/test_recordings.py`, folder in `WINDTUNNEL_RECORDINGS` | [below](#recordings) |
| Microsoft's published examples | `emulators/tests/container_instance/test_aci_examples.py`, \
`emulators/tests/devices/test_iothub_examples.py` and \
`emulators/tests/registry/test_published_examples.py`, folder in `WINDTUNNEL_SPECS` | [below](#examples) |
| The OCI distribution conformance suite | `tox -e oci` | nothing: 0 failures |

A difference that is not listed here fails the test, and so does a listed one that no longer occurs. The recordings and
the examples are Microsoft's and no part of this repository; without them their tests are skipped, with that reason.
"""
RECORDINGS = """
## Recordings

An answer agrees when its status, its error code, the announcement of long-running work, all fields and their types, and
the words of enumerations are those that Azure sent. People made the recordings of the registry, and the replay signs in
as an application, which `systemData` says: the last column leaves that aside.

| Recording | Answers | Agree | Agree but for who signed in |
| --- | ---: | ---: | ---: |"""
DIFFERENCES = """
| Recording | Answers | What differs | Why |
| --- | --- | --- | --- |"""
EXAMPLES = """
## Examples

The status has to be one that the specification gives for the request, and the body has to fit its schema.

| Specification | Examples | As specified |
| --- | ---: | ---: |"""
EXCEPTIONS = """
| Specification | Examples | Answer | Why |
| --- | --- | --- | --- |"""
_SINGLE = {
    "Microsoft.ContainerInstance 2023-05-01 containerInstance.json": "container_instance/aci_examples.toml",
    "Microsoft.Devices 2023-06-30 iothub.json": "devices/iothub_examples.toml",
}
"""Specifications whose exceptions have a file of their own."""


def data(file: str) -> dict[str, Any]:
    return tomllib.loads((TESTS / file).read_text("utf-8"))


def row(*cells: object) -> str:
    return f"| {' | '.join(str(cell).replace('|', '/') for cell in cells)} |"


def code(words: Iterable[str]) -> str:
    return ", ".join(f"`{word}`" for word in words)


def recordings() -> Iterator[str]:
    listed = data("wire/differences.toml")
    answers: dict[str, int] = listed["answers"]
    agree = _agree(answers, listed["difference"])
    nearly = _agree(answers, [entry for entry in listed["difference"] if not entry.get("caller")])
    yield RECORDINGS
    yield from (row(f"`{name}`", count, agree[name], nearly[name]) for name, count in answers.items())
    yield row("all", *(sum(counts.values()) for counts in (answers, agree, nearly)))
    yield DIFFERENCES
    for entry in listed["difference"]:
        numbers = ", ".join(f"#{number}" for number in entry["interactions"])
        what = "<br>".join(entry["differences"])
        when = " (depending on the moment)" if entry.get("moment") else ""
        yield row(f"`{entry['recording']}`", numbers, what + when, entry["reason"])


def _agree(answers: dict[str, int], differences: Iterable[dict[str, Any]]) -> dict[str, int]:
    """How many answers of each recording have none of the differences."""
    differ: dict[str, set[int]] = {name: set() for name in answers}
    for entry in differences:
        differ[entry["recording"]].update(entry["interactions"])
    return {name: count - len(differ[name]) for name, count in answers.items()}


def examples() -> Iterator[str]:
    others = data("registry/published_examples.toml")
    single = {name: data(file) for name, file in _SINGLE.items()}
    counts: dict[str, int] = {name: listed.pop("examples") for name, listed in single.items()} | others["examples"]
    exceptions: list[dict[str, Any]] = [
        *(
            {"specification": specification, "examples": [name], **entry}
            for specification, listed in single.items()
            for name, entry in listed.items()
        ),
        *others["exception"],
    ]
    otherwise = dict.fromkeys(counts, 0)
    for entry in exceptions:
        otherwise[entry["specification"]] += len(entry["examples"])
    yield EXAMPLES
    yield from (row(name, count, count - otherwise[name]) for name, count in counts.items())
    yield EXCEPTIONS
    for entry in exceptions:
        answer = f"{entry['status']} `{entry['code']}`"
        yield row(entry["specification"], code(entry["examples"]), answer, entry["reason"])


if __name__ == "__main__":
    sys.stdout.write("\n".join((HEAD.rstrip("\n"), *recordings(), *examples(), "")))
