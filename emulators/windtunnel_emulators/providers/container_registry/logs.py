"""The logs of runs: one file per run, appended while it runs, with the word that tells readers it is complete."""

from __future__ import annotations

import hashlib
import re
import shutil
from typing import TYPE_CHECKING

from windtunnel_emulators.jsontypes import as_str

if TYPE_CHECKING:
    from pathlib import Path

    from windtunnel_emulators.arm.ids import ResourceId
    from windtunnel_emulators.arm.resources import Resources
    from windtunnel_emulators.clock import Clock

RUN_TYPE = "Microsoft.ContainerRegistry/registries/runs"

# What the metadata ``complete`` says for each final status; the Azure CLI's log reader knows these words.
_COMPLETE = {
    "Succeeded": "successful",
    "Failed": "failed",
    "Canceled": "canceled",
    "Timeout": "timedout",
    "Error": "internalerror",
}
_NAME = re.compile(r"([0-9a-f]{64})/([a-z]{2}\d{1,9})/rawtext\.log")


class RunLogs:
    """Log files below one folder, by registry and run."""

    def __init__(self, folder: Path, resources: Resources) -> None:
        self._folder = folder
        self._resources = resources

    def name(self, run: ResourceId) -> str:
        """The name of a run's log, as a blob."""
        return f"{_mark(run.parent)}/{run.name}/rawtext.log"

    def path(self, run: ResourceId) -> Path:
        return self._folder / _mark(run.parent) / f"{run.name}.log"

    def find(self, name: str) -> Path | None:
        """The file of a blob's name; None when there is none."""
        match = _NAME.fullmatch(name)
        path = self._folder / match[1] / f"{match[2]}.log" if match else None
        return path if path is not None and path.is_file() else None

    def completion(self, name: str) -> str | None:
        """How the run ended; None while it goes on."""
        match = _NAME.fullmatch(name)
        if match is None:
            return None
        link = self._folder / match[1] / "registry"
        registry = link.read_text("utf-8") if link.is_file() else ""
        run = self._resources.get(f"{registry}/runs/{match[2]}") if registry else None
        return None if run is None else _COMPLETE.get(as_str(run.properties.get("status")))

    def begin(self, run: ResourceId) -> Path:
        """An empty log; safe to repeat, which begins it anew."""
        path = self.path(run)
        path.parent.mkdir(parents=True, exist_ok=True)
        (path.parent / "registry").write_text(run.parent.key if run.parent else "", "utf-8")
        path.write_bytes(b"")
        return path

    def drop(self, registry: ResourceId) -> None:
        """Remove all logs of a registry."""
        shutil.rmtree(self._folder / _mark(registry), ignore_errors=True)


class LogWriter:
    """Appends lines to one log; each is on its way to readers when the call returns."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self._file = path.open("ab", buffering=0)
        self._clock = clock

    def stamped(self, text: str) -> None:
        """A line of the task service's own, with the time."""
        self.line(f"{self._clock.now():%Y/%m/%d %H:%M:%S} {text}")

    def line(self, text: str) -> None:
        """Lines end with CR and LF: the Azure CLI prints a log up to the last of these."""
        for part in text.splitlines() or [""]:
            self._file.write(part.encode("utf-8", "replace") + b"\r\n")

    def close(self) -> None:
        self._file.close()


def _mark(registry: ResourceId | None) -> str:
    return hashlib.sha256((registry.key if registry else "").encode()).hexdigest()
