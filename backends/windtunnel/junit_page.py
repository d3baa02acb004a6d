"""A JUnit file as one page for people, every test with its time, its reason and its output; and as a summary."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

if TYPE_CHECKING:
    from pathlib import Path

    from windtunnel.jsontypes import Json, JsonObject

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; color: #1b1f24; }
table { border-collapse: collapse; width: 100%; } th, td { text-align: left; padding: .35rem .6rem; }
td { border-top: 1px solid #d8dee4; vertical-align: top; } pre { white-space: pre-wrap; margin: .3rem 0; }
.passed { color: #116329; } .failed { color: #b42318; } .skipped { color: #7d4e00; }
@media (prefers-color-scheme: dark) { body { background: #14171a; color: #e6e8ea; } td { border-color: #343a40; }
.passed { color: #6fdd8b; } .failed { color: #ff8d80; } .skipped { color: #e2b25c; } }
"""


def summary(junit: Path) -> JsonObject:
    """How many tests passed, failed and were skipped, and which failed with what reason."""
    # The file was written by the pytest that this process started.
    cases = [(case.get("name", "?"), *_outcome(case)) for case in ET.parse(junit).iter("testcase")]  # noqa: S314
    counts: JsonObject = {name: sum(case[1] == name for case in cases) for name in ("passed", "failed", "skipped")}
    failures: list[Json] = [{"test": name, "reason": reason} for name, outcome, reason in cases if outcome == "failed"]
    return {**counts, "failures": failures}


def write_page(junit: Path, page: Path) -> None:
    """Write the page; it needs no other file."""
    # The file was written by the pytest that this process started.
    suites = ET.parse(junit).getroot()  # noqa: S314
    rows: list[str] = []
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    seconds = 0.0
    for case in suites.iter("testcase"):
        outcome, reason = _outcome(case)
        counts[outcome] += 1
        seconds += float(case.get("time", "0"))
        detail = f"<pre>{escape(reason)}</pre>" if reason else ""
        rows.append(
            f'<tr><td class="{outcome}">{outcome}</td><td>{escape(case.get("name", "?"))}{detail}</td>'
            f"<td>{float(case.get('time', '0')):.2f} s</td></tr>"
        )
    summary = ", ".join(f'<span class="{name}">{count} {name}</span>' for name, count in counts.items())
    page.write_text(
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Windtunnel: contract</title>'
        f"<style>{_STYLE}</style></head><body><h1>Contract</h1><p>{summary}, in {seconds:.1f} s</p>"
        f"<table><thead><tr><th>Result</th><th>Test</th><th>Time</th></tr></thead><tbody>{''.join(rows)}</tbody>"
        "</table></body></html>\n",
        "utf-8",
    )


def _outcome(case: ET.Element) -> tuple[str, str]:
    for tag, outcome in (("failure", "failed"), ("error", "failed"), ("skipped", "skipped")):
        found = case.find(tag)
        if found is not None:
            return outcome, (found.text or found.get("message") or "").strip()
    return "passed", ""
