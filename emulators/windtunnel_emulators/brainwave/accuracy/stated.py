"""The error that goes with a latency: what the model was checked against, and by how much it missed.

The figures are those of docs/fpga-accuracy.md; a test holds them to what is computed there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from windtunnel_emulators.brainwave.analysis import EngineName
from windtunnel_emulators.brainwave.layers import Form

if TYPE_CHECKING:
    from windtunnel_emulators.brainwave.analysis import Analysis

RECURRENT = {EngineName.CLOSED: (1.7, 4.0), EngineName.CHAINS: (2.2, 4.1)}
"""Mean and largest error over the eleven published rows of BW_S10, in percent."""
CONVOLUTION = {EngineName.CLOSED: 1.7, EngineName.CHAINS: 1.1}
"""Error at the one published latency of a CNN, ResNet-50 on BW_CNN_A10, in percent."""
END_TO_END = (
    "Network and CPU stages are assumptions, not measurements: take the end-to-end latency as an order of magnitude"
    " (measured once, on premises: 10 ms for ResNet-50)."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StatedError:
    """What is said with every latency."""

    checked_rows: int
    """Published results of such a model on this device, on which numbers of the model were fitted or calibrated."""
    mean_pct: float | None
    max_pct: float | None
    basis: str
    low_ms: float
    high_ms: float
    end_to_end: str = END_TO_END


def checked_rows(analysis: Analysis) -> int:
    """How many published results there are of such a model on its device."""
    forms = {time.layer.form for time in analysis.times()}
    if forms == {Form.RECURRENT} and analysis.device.name == "BW_S10":
        return 11
    convolves = Form.CONVOLUTION in forms and Form.RECURRENT not in forms
    return 1 if convolves and analysis.device.name == "BW_CNN_A10" else 0


def stated_error(analysis: Analysis) -> StatedError:
    """For the NPU's latency of one model on one device."""
    low, high = analysis.npu_range_ms()
    rows = checked_rows(analysis)
    now = analysis.timeline.npu_ms
    if not rows:
        return StatedError(
            checked_rows=0,
            mean_pct=None,
            max_pct=None,
            basis=(
                f"no published latency of such a model on {analysis.device.name}: what was fitted or assumed for other"
                " devices is assumed to hold"
            ),
            low_ms=low,
            high_ms=high,
        )
    if rows == 1:
        error = CONVOLUTION[analysis.engine]
        return StatedError(
            checked_rows=1,
            mean_pct=error,
            max_pct=error,
            basis=(
                "one published latency, ResNet-50 at 1.8 ms (ISCA 2018, recalled), on which the assumed DRAM bandwidth"
                " and MFU rate were calibrated; no other CNN was checked, and the range shows what the assumptions move"
            ),
            low_ms=low,
            high_ms=high,
        )
    mean, largest = RECURRENT[analysis.engine]
    return StatedError(
        checked_rows=rows,
        mean_pct=mean,
        max_pct=largest,
        basis=(
            "eleven published latencies of GRU and LSTM layers on BW_S10 (ISCA 2018, recalled), to which three or four"
            " numbers of the model were fitted; the cause of the floor of small layers is not public"
        ),
        low_ms=min(low, now * (1 - largest / 100)),
        high_ms=max(high, now * (1 + largest / 100)),
    )
