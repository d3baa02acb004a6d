"""``Output``: data on stdout as a table or JSON; progress, notes and errors on stderr."""

from __future__ import annotations

import json
import os
import sys
from enum import StrEnum
from typing import TYPE_CHECKING, TextIO

from windtunnel.errors import BuildFailed, DeploymentFailed, EmulatorsFailed, WindtunnelError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.status import Status

    from windtunnel.interface import Progress
    from windtunnel.jsontypes import Json, JsonObject


class Format(StrEnum):
    """How data is printed."""

    TABLE = "table"
    JSON = "json"


class Output:
    """One command's output."""

    def __init__(self, form: Format, *, data: TextIO | None = None, notes: TextIO | None = None) -> None:
        self.format = form
        self._data = data or sys.stdout
        self._notes = notes or sys.stderr
        self._status: Status | None = None

    @property
    def on_terminal(self) -> bool:
        """Whether a person watches: then progress moves in place."""
        return self._notes.isatty() and os.environ.get("TERM") != "dumb"

    def rows(self, columns: Sequence[str], rows: Sequence[Sequence[object]], values: Json) -> None:
        """A table, or ``values`` as JSON."""
        self.end()
        if self.format is Format.JSON:
            self.json(values)
            return
        cells = [[name.upper() for name in columns], *(["" if c is None else str(c) for c in row] for row in rows)]
        widths = [max(len(row[i]) for row in cells) for i in range(len(columns))]
        for row in cells:
            line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            print(line.rstrip(), file=self._data)

    def fields(self, fields: Mapping[str, object], value: Json) -> None:
        """One thing: a name and a value per line, or ``value`` as JSON."""
        self.end()
        if self.format is Format.JSON:
            self.json(value)
            return
        width = max(map(len, fields), default=0)
        for name, content in fields.items():
            if content is not None:
                lines = str(content).splitlines() or [""]
                print(f"{name.ljust(width)}  {lines[0]}", file=self._data)
                for line in lines[1:]:
                    print(f"{' ' * width}  {line}", file=self._data)

    def json(self, value: Json) -> None:
        """A value on stdout."""
        self.end()
        print(json.dumps(value, indent=2 if self._data.isatty() else None, ensure_ascii=False), file=self._data)

    def text(self, text: str) -> None:
        """Text on stdout, as it is."""
        self.end()
        print(text, file=self._data, end="" if text.endswith("\n") or not text else "\n")

    def log(self, text: str) -> None:
        """A log as it is, or its lines as JSON."""
        if self.format is Format.JSON:
            lines: JsonObject = {"lines": list(text.splitlines())}
            self.json(lines)
        else:
            self.text(text)

    def done(self, text: str, value: JsonObject) -> None:
        """What a command without data has done: a note, and ``value`` for programs that asked for JSON."""
        self.note(text)
        if self.format is Format.JSON:
            self.json(value)

    def note(self, text: str) -> None:
        """A line for the person who watches."""
        self.end()
        print(text, file=self._notes, flush=True)

    def progress(self, progress: Progress) -> None:
        """What is being done: in place on a terminal, a line each elsewhere."""
        text = f"  | {progress.step}" if progress.log else f"{progress.step} ..."
        if not self.on_terminal:
            # In one piece: two threads may say something at once.
            print(f"{text}\n", end="", file=self._notes, flush=True)
            return
        if self._status is None:
            from rich.console import Console  # on a terminal only: 60 ms

            self._status = Console(file=self._notes).status("")
            self._status.start()
        self._status.update(progress.step.replace("[", r"\["))

    def end(self) -> None:
        """Take the moving line away."""
        if self._status is not None:
            self._status.stop()
            self._status = None

    def error(self, error: WindtunnelError) -> None:
        """What failed, with which value, and the way out."""
        self.end()
        print(f"error: {error.message}", file=self._notes)
        if error.code or error.request_id:
            parts = (("code", error.code), ("request id", error.request_id))
            print("  Azure's " + ", ".join(f"{name}: {value}" for name, value in parts if value), file=self._notes)
        log = error.log if isinstance(error, DeploymentFailed | EmulatorsFailed) else ""
        if log:
            what = "build log" if isinstance(error, BuildFailed) else "log"
            print(f"the end of the {what}:", file=self._notes)
            for line in log.splitlines():
                print(f"  | {line}", file=self._notes)
        if error.way_out:
            print(f"way out: {error.way_out}", file=self._notes)
