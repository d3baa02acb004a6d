"""The files of a report: the document, two pictures, the trace."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from windtunnel_emulators.brainwave.errors import BadOption
from windtunnel_emulators.brainwave.report.lanes import lanes
from windtunnel_emulators.brainwave.report.roofline import roofline
from windtunnel_emulators.brainwave.report.trace import trace

if TYPE_CHECKING:
    from pathlib import Path

    from windtunnel_emulators.brainwave.analysis import Analysis
    from windtunnel_emulators.brainwave.jsontypes import JsonObject

DOCUMENT, ROOFLINE, TIMELINE, TRACE = "report.json", "roofline.svg", "timeline.svg", "trace.json"


def write_files(folder: Path, analysis: Analysis, content: JsonObject) -> list[Path]:
    """What was written. A model that does not fit has no pictures: its times are not times. Raises ``BadOption``."""
    texts = {DOCUMENT: json.dumps(content, indent=2, ensure_ascii=False) + "\n"}
    if analysis.fits:
        texts[TIMELINE] = lanes(analysis)
        texts[TRACE] = json.dumps(trace(analysis), ensure_ascii=False) + "\n"
        if any(time.layer.macs and time.weight_bytes for time in analysis.times()):
            texts[ROOFLINE] = roofline(analysis)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            (folder / name).write_text(text, "utf-8")
    except OSError as problem:
        raise BadOption(
            f"the report cannot be written to {str(folder)!r}: {problem.strerror or problem}",
            way_out="Name a folder that can be written to: --out FOLDER.",
        ) from problem
    return [folder / name for name in texts]
