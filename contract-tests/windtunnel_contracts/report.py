"""The table of what works where, from the results of runs: never typed.

    python -m windtunnel_contracts.report JUNIT.xml... [--by capability] [--into README.md]

A row is a contract test, or with ``--by capability`` a capability; a column is a backend and target of the run. With
``--into`` the table replaces what stands between the two marker comments of that file; ``--check`` only says whether
it is current.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

BEGIN = "<!-- contract table: made by python -m windtunnel_contracts.report -->"
END = "<!-- end of contract table -->"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One test at one place."""

    contract: str
    place: str
    outcome: str
    """``passed``, ``failed`` or the reason of a skip."""
    capabilities: tuple[str, ...]
    """What the test needs of a backend."""
    standing: str
    validated: str | None


def read(path: Path) -> list[Result]:
    """The contract results of a JUnit file that the plugin wrote. Raises ``ValueError`` when there is none in it."""
    found: list[Result] = []
    for case in ET.parse(path).getroot().iter("testcase"):
        properties = {p.get("name", ""): p.get("value", "") for p in case.iter("property")}
        if "contract" not in properties:
            continue
        name = case.get("name", "")
        found.append(
            Result(
                contract=properties["contract"],
                place=_place(name),
                outcome=_outcome(case),
                capabilities=tuple(properties.get("capabilities", "").split()),
                standing=properties.get("standing", ""),
                validated=properties.get("validated"),
            )
        )
    if not found:
        raise ValueError(f"{path} holds no result of the contract")
    return found


def _place(name: str) -> str:
    parts = name.partition("[")[2].rstrip("]").split("-")
    return "/".join(parts[:2])


def _outcome(case: ET.Element) -> str:
    if case.find("failure") is not None or case.find("error") is not None:
        return "failed"
    skipped = case.find("skipped")
    return "passed" if skipped is None else (skipped.get("message") or "skipped")


def table(results: list[Result]) -> str:
    """Markdown: what a contract says, how it went at each place, and what that rests on."""
    places, absent = _places(results)
    lines = [
        f"| What holds | {' | '.join(places)} | Live Azure |",
        f"| --- | {' | '.join('---' for _ in places)} | --- |",
    ]
    for contract in sorted({r.contract for r in results}):
        mine = [r for r in results if r.contract == contract]
        cells = [_cell([r for r in mine if r.place == place]) for place in places]
        lines.append(f"| {_sentence(contract)} | {' | '.join(cells)} | {_live(mine)} |")
    return "\n".join([*lines, *absent])


def capabilities(results: list[Result]) -> str:
    """Markdown: a row for each capability that a test needs, and whether those tests passed at each place."""
    places, absent = _places(results)
    lines = [f"| Capability | {' | '.join(places)} |", f"| --- | {' | '.join('---' for _ in places)} |"]
    for name in sorted({c for r in results for c in r.capabilities}):
        mine = [r for r in results if name in r.capabilities]
        cells = [_capability(name, [r for r in mine if r.place == place]) for place in places]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join([*lines, *absent])


def _places(results: list[Result]) -> tuple[list[str], list[str]]:
    """The places with a column; and a line for each where nothing is offered, with the one reason for it."""
    shown: list[str] = []
    absent: list[str] = []
    for place in sorted({r.place for r in results}):
        mine = [r for r in results if r.place == place]
        reasons = {r.outcome.rpartition(": ")[2] for r in mine if r.outcome not in ("passed", "failed")}
        # The refusals of what is withheld pass at such a place; they need no capability.
        if len(reasons) == 1 and all(r.outcome != "passed" for r in mine if r.capabilities):
            absent.extend(["", f"`{place}`: {reasons.pop()}."])
        else:
            shown.append(place)
    return shown, absent


def _capability(name: str, results: list[Result]) -> str:
    """Tests that need several capabilities may be skipped for another one; those say nothing of this one."""
    own = [r for r in results if r.outcome in ("passed", "failed") or f"{name}: " in r.outcome]
    return _cell(own or results)


def _cell(results: list[Result]) -> str:
    if not results:
        return "not run"
    if any(r.outcome == "failed" for r in results):
        return "**fails**"
    if any(r.outcome == "passed" for r in results):
        return "yes"
    return "withheld: " + results[0].outcome.rpartition(": ")[2]


def _live(results: list[Result]) -> str:
    date = next((r.validated for r in results if r.validated), None)
    return date or {"offline_only": "offline only"}.get(results[0].standing, "not run yet")


def _sentence(contract: str) -> str:
    area, _, test = contract.partition("::")
    return f"{area}: {test.rpartition('::')[2].removeprefix('test_').replace('_', ' ')}"


def main(arguments: list[str] | None = None) -> int:
    """0 done or current; 1 not current; 2 wrong usage."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("junit", nargs="+", type=Path)
    parser.add_argument("--into", type=Path)
    parser.add_argument("--by", choices=("test", "capability"), default="test")
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 when the file is not current")
    given = parser.parse_args(arguments)
    results = [result for path in given.junit for result in read(path)]
    text = capabilities(results) if given.by == "capability" else table(results)
    if given.into is None:
        print(text)
        return 0
    old = given.into.read_text("utf-8")
    before, begin, rest = old.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        parser.error(f"{given.into} lacks the lines {BEGIN!r} and {END!r}")
    new = f"{before}{BEGIN}\n{text}\n{END}{after}"
    if given.check:
        return int(new != old)
    given.into.write_text(new, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
