"""The document of the model's accuracy (docs/fpga-accuracy.md), computed anew each time: no result is typed in."""

from __future__ import annotations

from windtunnel_emulators.brainwave.accuracy import networks
from windtunnel_emulators.brainwave.accuracy.rows import Row, deepbench, intel, max_pct, mean_pct
from windtunnel_emulators.brainwave.analysis import EngineName, analyse
from windtunnel_emulators.brainwave.devices import load_device
from windtunnel_emulators.brainwave.timing.timeline import surroundings

COMMAND = "python -m windtunnel_emulators.brainwave accuracy > docs/fpga-accuracy.md"
_INTEL_FITTED = ("issue_cycles", "read_cycles", "matrix_cycles", "operation_cycles", "write_cycles")
_FITTED = ("dependency_cycles", "drain_cycles", "invoke_us")


def accuracy_document() -> str:
    """Markdown."""
    return "\n".join([*_head(), *_recurrent(), *_intel(), *_counts(), *_latency(), *_end_to_end(), *_unknown()]) + "\n"


def _head() -> list[str]:
    return [
        "# How sure the FPGA model is",
        "",
        f"Made by `{COMMAND}`; a test holds it to what the command prints.",
        "",
        "Confidence of a published figure: A read in a primary or public source; B recalled from the paper and"
        " confirmed by arithmetic. The text of ISCA 2018 was not at hand: its rows are recalled. Figures that could not"
        " be confirmed are not here.",
        "",
    ]


def _recurrent() -> list[str]:
    closed, chains = deepbench(), deepbench(chains=True)
    device = load_device("BW_S10")
    fitted = ", ".join(f"`{name}` {getattr(device, name).value:g}" for name in _FITTED)
    lines = [
        "## Recurrent layers: DeepBench on BW_S10 (ISCA 2018)",
        "",
        "| Row | Confidence | Published ms | Closed form ms | Error | Chain engine ms | Error |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for one, other in zip(closed, chains, strict=True):
        lines.append(
            f"| {one.name} | {one.confidence} | {one.published:g} | {one.model:.4f} | {_pct(one)} | {other.model:.4f}"
            f" | {_pct(other)} |"
        )
    return [
        *lines,
        f"| mean of absolute errors | | | | {mean_pct(closed):.1f} % | | {mean_pct(chains):.1f} % |",
        f"| largest | | | | {max_pct(closed):.1f} % | | {max_pct(chains):.1f} % |",
        "",
        f"Fitted on these eleven rows: {fitted} in the closed form; five latencies in the chain engine. These are"
        " errors of a fit, not of a prediction. Three rows are published with two digits (0.7 % of rounding), GRU 512"
        " with two digits of 13 (4 %). GRU 2816 is timed as 2800, which is what the paper's critical-path table says"
        " and what fits the device; a model with 2816 units is refused (703). What causes the floor of 630 to 700"
        " cycles in a step of small layers is not public: it is an empirical latency here.",
        "",
    ]


def _intel() -> list[str]:
    rows, theirs = intel(), intel("tops_simulator")
    device = load_device("INTEL_S10NX")
    fitted = ", ".join(f"`{name}` {getattr(device, name).value:g}" for name in _INTEL_FITTED)
    lines = [
        "## The chain engine against Intel's open NPU (public RTL results)",
        "",
        "| Workload | RTL cycles | Chain engine | Error | Intel's own simulator against its RTL |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for row, other in zip(rows, theirs, strict=True):
        optimism = 100 * (other.published / row.published - 1)
        lines.append(f"| {row.name} | {row.published:.0f} | {row.model:.0f} | {_pct(row)} | {optimism:+.1f} % |")
    return [
        *lines,
        f"| mean of absolute errors | | | {mean_pct(rows):.1f} % | |",
        f"| largest | | | {max_pct(rows):.1f} % | |",
        "",
        f"The structure of the engine is checked, not its latencies: five were refitted on these fifteen rows"
        f" ({fitted}), and the design's own rules are used (whole operands, column-wise passes, one loader). Source:"
        " github.com/intel/fpga-npu, `scripts/rtl_baseline` and `scripts/perf_baseline`; cycles are those of the"
        " published operations a second at 300 MHz, six inputs.",
        "",
    ]


def _counts() -> list[str]:
    lines = [
        "## Tiles of the published firmware (A)",
        "",
        "| Network | Layers | Native tiles | of them pools | Firmware |",
        "| --- | ---: | ---: | ---: | --- |",
    ]
    for network, (layers, tiles, pools) in networks.FIRMWARE_TILES.items():
        found = networks.counts(network)
        firmware = f"{layers} layers, {tiles} tiles" + (f" and {pools} of pools" if pools else " in all")
        lines.append(f"| {network} | {found.layers} | {found.tiles} | {found.pool_tiles} | {firmware} |")
    found = networks.counts("ResNet-50")
    known = len(networks.FIRMWARE_BOUNDARIES)
    return [
        *lines,
        "",
        f"ResNet-50: {found.passes:,} passes of tiles and {found.vectors:,} native vectors. Its weights are loaded in"
        f" groups that begin at tile {', '.join(map(str, found.boundaries[:known]))} up to res5, as in the firmware.",
        "",
    ]


def _latency() -> list[str]:
    lines = [
        "## ResNet-50 on BW_CNN_A10",
        "",
        "| What | Published | Confidence | Model | Error |",
        "| --- | --- | --- | ---: | ---: |",
    ]
    for engine in EngineName:
        analysis = networks.analysis_of("ResNet-50", engine)
        ms = analysis.timeline.npu_ms
        error = 100 * (ms / networks.RESNET_MS - 1)
        words = "closed form" if engine is EngineName.CLOSED else "chain engine"
        lines.append(f"| latency at the FPGA, {words} | {networks.RESNET_MS} ms | B | {ms:.3f} ms | {error:+.1f} % |")
    low, high = networks.SERVICE_PER_SECOND
    lines.append(
        f"| requests in a second, {networks.CLIENTS} clients, virtual time | {low} to {high} (service),"
        f" {networks.RESNET_PER_SECOND} (paper) | A, B | {networks.plateau():.1f} | |"
    )
    analysis = networks.analysis_of("ResNet-50")
    least, most = analysis.npu_range_ms()
    assumed = [
        f"`{name}` {quantity.value:g}" + (f" ({quantity.low:g} to {quantity.high:g})" if quantity.low else "")
        for name, quantity in analysis.device.quantities()
        if not quantity.is_fact and quantity.low is not None
    ]
    return [
        *lines,
        "",
        "This is a calibration, not a check: there is one published latency, and the DRAM bandwidth and the rate of the"
        " multi-function units were chosen near it. Each assumption at its bounds in turn moves the latency between"
        f" {least:.2f} and {most:.2f} ms. Assumed: {', '.join(assumed)}. Lanes, engines and clock are assumed equal to"
        " BW_A10. No other network has a published latency.",
        "",
    ]


def _end_to_end() -> list[str]:
    near = networks.analysis_of("ResNet-50")
    around = surroundings().with_rtt(networks.REMOTE_RTT_MS)
    far = analyse(near.graph, near.device, around=around)
    rows = (
        ("on premises", networks.ON_PREMISES_MS, near.timeline.end_to_end_ms),
        (f"remote site, {networks.REMOTE_RTT_MS:g} ms of round trip assumed", networks.REMOTE_MS,
         far.timeline.end_to_end_ms),
    )  # fmt: skip
    return [
        "## End to end, ResNet-50",
        "",
        "| Client | Measured ms (A) | Model ms | Error |",
        "| --- | ---: | ---: | ---: |",
        *(f"| {name} | {seen:g} | {ours:.1f} | {100 * (ours / seen - 1):+.0f} % |" for name, seen, ours in rows),
        "",
        "Network and CPU stages are assumptions (`timing/timeline.toml`), fitted to nothing: the latency a client sees"
        " is an order of magnitude.",
        "",
    ]


def _unknown() -> list[str]:
    return [
        "## What is not known",
        "",
        "- BW_S5 and BW_A10 have no published latency: what was fitted on BW_S10 is assumed to hold, and reports"
        " say so.",
        "- Width of the multi-function units, pipeline depths, DRAM and clock of the device for convolutions.",
        "- How the firmware would run grouped convolutions, joins of channels that are no multiple of 128, and maps"
        " that fit neither whole nor in windows: the costs here follow from the instruction set.",
    ]


def _pct(row: Row) -> str:
    return f"{round(row.error_pct, 1) + 0.0:+.1f} %"
