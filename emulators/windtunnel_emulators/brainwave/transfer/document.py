"""The document of the example (docs/fpga-transfer-learning.md), computed anew each time: no result is typed in."""

from __future__ import annotations

from windtunnel_emulators.brainwave.numerics import Numerics, preset
from windtunnel_emulators.brainwave.transfer.digits import FIRST_NEW, new_task, old_task
from windtunnel_emulators.brainwave.transfer.example import featurizer, pixels_alone, results

COMMAND = "python -m windtunnel_emulators.brainwave.transfer > docs/fpga-transfer-learning.md"


def transfer_document() -> str:
    """Markdown."""
    train, held_out = new_task()
    analysis = featurizer(Numerics.BFP, None).analysis
    found = results()
    lines = [
        "# Transfer learning on the FPGA",
        "",
        f"Made by `{COMMAND}`; a test holds it to what the command prints,"
        " to half a percent: kernels of other processors round sums otherwise.",
        "",
        "The service ran a frozen network on the FPGA as a featurizer; its users trained a small classifier on the"
        " features. Here both are small enough to be committed, and the data are real: handwritten digits"
        " (scikit-learn), upscaled to 16 by 16.",
        "",
        f"- The featurizer (two convolutions) was trained on the {len(old_task())} digits 0 to {FIRST_NEW - 1}"
        " (`transfer/train.py`), and is frozen.",
        f"- The head (ridge regression) is trained on features of {len(train)} digits {FIRST_NEW} to 9, which the"
        f" featurizer has never seen, and judged on {len(held_out)} others.",
        f"- The same head on the pixels themselves gets {_pct(pixels_alone())}.",
        f"- The device is {analysis.device.name}; by the model, the NPU takes"
        f" {analysis.timeline.npu_ms:.3f} ms for a digit (not measured).",
        "",
        "| Numbers on the device | Bits each | Block | Head trained on the device's features"
        " | Head trained in float32 |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for row in found:
        bits = 32.0 if row.block is None else preset(row.name).bits_per_element
        lines.append(f"| {row.name} | {bits:.2f} | {row.block or '-'} | {_pct(row.transferred)} | {_pct(row.moved)} |")
    return "\n".join([*lines, "", *_notes(), ""])


def _notes() -> list[str]:
    return [
        "The device of the service has 1s.5e.5m (sign, 5 bits of mantissa, an exponent of 5 bits to a native vector of"
        " 128). A head that is trained on the features that it will get makes up for what the rounding moved. Formats"
        " of narrower blocks are those of later products; the device's timing is not theirs.",
    ]


def _pct(share: float) -> str:
    return f"{share:.1%}".replace("%", " %")
