"""Devices: their numbers agree with each other, and a file of the user's is read or refused with a sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from windtunnel_emulators.brainwave.devices import Confidence, Kind, load_device, names
from windtunnel_emulators.brainwave.errors import BadDevice

if TYPE_CHECKING:
    from pathlib import Path

PEAKS = {"BW_S5": 2.4, "BW_A10": 9.8, "BW_S10": 48.0, "BW_CNN_A10": 9.8}


def test_peaks_are_those_of_the_paper() -> None:
    assert sorted(PEAKS) == names()
    for name, peak in PEAKS.items():
        assert load_device(name).peak_tflops == pytest.approx(peak, abs=0.05)
    assert load_device("bw_s10").macs == 96_000


def test_the_checking_device_is_not_offered() -> None:
    assert load_device("INTEL_S10NX").kind is Kind.CHECK
    assert "INTEL_S10NX" not in names()
    assert load_device("INTEL_S10NX").peak_tflops == pytest.approx(40.3, abs=0.05)


@pytest.mark.parametrize("name", [*PEAKS, "INTEL_S10NX"])
def test_every_number_has_a_source_and_bounds_around_it(name: str) -> None:
    for key, quantity in load_device(name).quantities():
        assert quantity.source, key
        assert quantity.confidence in Confidence
        assert quantity.is_fact == (quantity.status != "assumed")
        if quantity.low is not None and quantity.high is not None:
            assert quantity.low <= quantity.value <= quantity.high


def test_a_device_of_the_users_builds_on_another(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('name = "MINE"\nbase = "bw_cnn_a10"\nmhz = 250\ndram_gbps = { value = 38.4, source = "board" }\n')
    device = load_device(str(path))
    assert (device.name, device.mhz.value, device.native_dim.whole) == ("MINE", 250, 128)
    assert device.mhz.source == "given in mine.toml"
    assert not device.mhz.is_fact
    assert device.dram_gbps is not None
    assert device.dram_gbps.source == "board"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name = 'X", "no TOML"),
        ("name = 'X'\nbase = 'BW_S10'\nmhz = 'fast'", "mhz"),
        ("name = 'X'\nbase = 'BW_S10'\nmhz = nan", "mhz"),
        ("name = 'X'\nbase = 'BW_S10'\nmhz = 0", "greater than zero|mhz"),
        ("name = 'X'\nbase = 'BW_S10'\nengines = -1", "engines"),
        ("name = 'X'\nbase = 'BW_S10'\nengines = 1.5", "engines"),
        ("name = 'X'\nbase = 'BW_S99'", "BW_S99"),
        ("name = 'X'\nbase = 'BW_S10'\nspeed = 3", "speed"),
        ("name = 'X'\nmhz = 100", "lacks"),
        ("base = 'BW_S10'", "'name'"),
        ("name = 'X'\nbase = 'BW_S10'\nkind = 'gpu'", "gpu"),
    ],
)
def test_a_bad_device_file_is_refused(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(BadDevice, match=words):
        load_device(str(path))


def test_an_unknown_device_names_those_that_are_known() -> None:
    with pytest.raises(BadDevice) as caught:
        load_device("BW_S11")
    assert caught.value.way_out is not None
    assert "BW_S10" in caught.value.way_out
    with pytest.raises(BadDevice, match="cannot be read"):
        load_device("nowhere.toml")
