"""Output on a terminal and elsewhere, shells, the report page, capabilities."""

from __future__ import annotations

import io
import subprocess
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from windtunnel.cli.output import Format, Output
from windtunnel.errors import BuildFailed, WindtunnelError
from windtunnel.interface import Capability, Offer, Progress
from windtunnel.junit_page import summary, write_page
from windtunnel.shells import exports

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def output(form: Format = Format.TABLE, notes: io.StringIO | None = None) -> tuple[Output, io.StringIO, io.StringIO]:
    data, notes = io.StringIO(), notes or io.StringIO()
    return Output(form, data=data, notes=notes), data, notes


def test_progress_is_plain_lines_where_nobody_watches() -> None:
    out, data, notes = output()
    out.progress(Progress(step="building"))
    out.progress(Progress(step="Step 1/2", log=True))
    assert (data.getvalue(), notes.getvalue()) == ("", "building ...\n  | Step 1/2\n")


def test_progress_moves_in_place_on_a_terminal_and_goes_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    out, data, notes = output(notes=Terminal())
    out.progress(Progress(step="building [x]"))
    out.rows(("a",), [("1",)], [])
    assert "building" in notes.getvalue()
    assert data.getvalue() == "A\n1\n"


def test_a_dumb_terminal_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    out, _, notes = output(notes=Terminal())
    out.progress(Progress(step="building"))
    assert notes.getvalue() == "building ...\n"


def test_tables_are_aligned_and_empty_cells_are_empty() -> None:
    out, data, _ = output()
    out.rows(("name", "state"), [("a", None), ("longer", "ok")], [])
    assert data.getvalue() == "NAME    STATE\na\nlonger  ok\n"


def test_fields_skip_what_is_not_known_and_align_lines() -> None:
    out, data, _ = output()
    out.fields({"name": "a", "error": "x\ny", "owner": None}, {})
    assert data.getvalue() == "name   a\nerror  x\n       y\n"


def test_json_is_one_line_in_a_pipe() -> None:
    out, data, _ = output(Format.JSON)
    out.fields({}, {"ä": [1, None]})
    assert data.getvalue() == '{"ä": [1, null]}\n'


def test_an_error_is_what_then_the_log_then_the_way_out() -> None:
    out, data, notes = output()
    out.error(BuildFailed("the build failed", log="a\nb", code="C", way_out="Look."))
    assert data.getvalue() == ""
    assert notes.getvalue() == (
        "error: the build failed\n  Azure's code: C\nthe end of the build log:\n  | a\n  | b\nway out: Look.\n"
    )


def test_an_error_without_a_way_out_has_no_empty_line() -> None:
    out, _, notes = output()
    out.error(WindtunnelError("no"))
    assert notes.getvalue() == "error: no\n"


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=30))
def test_a_shell_gets_every_value_back(value: str) -> None:
    script = exports({"WT_VALUE": value}, "sh") + 'printf %s "$WT_VALUE"'
    done = subprocess.run(["sh", "-c", script], capture_output=True, check=True)
    assert done.stdout.decode() == value


def test_other_shells_have_other_quotes() -> None:
    assert exports({"B": "it's", "A": "\\"}, "fish") == "set -gx A '\\\\'\nset -gx B 'it\\'s'\n"
    assert exports({"B": "it's"}, "powershell") == "$env:B = 'it''s'\n"


def test_the_page_shows_every_test_with_its_reason_and_escapes_it(tmp_path: Path) -> None:
    (tmp_path / "junit.xml").write_text(
        '<testsuites><testsuite><testcase name="a" time="1.5"/>'
        '<testcase name="b&lt;x&gt;" time="0.5"><failure message="m">boom &lt;script&gt;</failure></testcase>'
        '<testcase name="c" time="0"><skipped message="no scale"/></testcase></testsuite></testsuites>',
        "utf-8",
    )
    assert summary(tmp_path / "junit.xml") == {
        "passed": 1,
        "failed": 1,
        "skipped": 1,
        "failures": [{"test": "b<x>", "reason": "boom <script>"}],
    }
    write_page(tmp_path / "junit.xml", tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text("utf-8")
    assert "1 passed" in page
    assert "1 failed" in page
    assert "1 skipped" in page
    assert "in 2.0 s" in page
    assert "boom &lt;script&gt;" in page
    assert "b&lt;x&gt;" in page
    assert "no scale" in page
    assert "<script>" not in page


def test_an_offer_gives_the_first_reason() -> None:
    offer = Offer(can=frozenset({Capability.PREDICT}), cannot={Capability.SCALE: "one is enough"})
    assert offer.why_not([Capability.PREDICT]) is None
    assert offer.why_not([Capability.SCALE, Capability.PREDICT]) == "scale: one is enough"
    assert offer.reason(Capability.TLS) == "the backend does not say why"
