"""``ModelDataCollector``: where rows go, what is in them, and that no request fails or waits for it."""

from __future__ import annotations

import importlib
import json
import re
import sys
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from windtunnel_scoring import current
from windtunnel_scoring.collection.collector import COLUMNS, ModelDataCollector
from windtunnel_scoring.collection.places import DAY, Place, Source
from windtunnel_scoring.collection.sinks import BlobSink, SinkError
from windtunnel_scoring.collection.writer import Lines, Writer

if TYPE_CHECKING:
    from pathlib import Path

    from tests.collection.conftest import BlobService, Collected
    from windtunnel_scoring.jsontypes import JsonObject

_ID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"


def today() -> str:
    return f"{datetime.now(UTC):%Y/%m/%d}"


def test_inputs_go_to_the_documented_path_with_the_eight_columns(collected: Collected) -> None:
    dc = ModelDataCollector("best_model", designation="inputs", feature_names=["f1", "f2"])
    token = current.request_id.set("request-1")
    found = dc.collect([1, 2.5])
    current.request_id.reset(token)
    assert found is not None
    assert list(found) == list(COLUMNS)
    files = collected.files()
    assert list(files) == [f"sub/group/ws/svc/best_model/default/inputs/{today()}/data.csv"]
    header, row = next(iter(files.values()))
    assert header == (
        "f1,f2,$aml_dc_correlation_id,$aml_dc_scoring_timestamp,$aml_dc_boundary,$aml_workspace,$aml_service_name,"
        "$aml_model_name,$aml_model_version,$aml_request_id"
    )
    wanted = rf"1,2.5,{_ID},\d{{4}}-\d\d-\d\dT[\d:.]+,1440,sub/group/ws,svc,best_model,default,request-1"
    assert re.fullmatch(wanted, row)
    assert str(found["$aml_dc_correlation_id"]) in row


def test_predictions_are_placed_by_the_time_of_their_inputs(collected: Collected) -> None:
    inputs = ModelDataCollector("m", "inputs", ["a"])
    predictions = ModelDataCollector("m", "predictions", ["p"])
    correlations = inputs.collect([1], user_correlation_id="mine")
    assert correlations is not None
    assert str(correlations["$aml_dc_correlation_id"]).startswith("mine-")
    correlations["$aml_dc_scoring_timestamp"] = "2018-12-31T23:59:59.999999"
    predictions.collect(predictions.add_correlations([0.5], correlations))
    files = collected.files()
    header, row = files["sub/group/ws/svc/m/default/predictions/2018/12/31/data.csv"]
    assert header.startswith("p,$aml_dc_correlation_id")
    assert row.startswith(f"0.5,{correlations['$aml_dc_correlation_id']},2018-12-31T23:59:59.999999,1440")


def test_the_boundary_of_an_hour(collected: Collected) -> None:
    collected.set(AML_MODEL_DC_BOUNDARY="hour")
    dc = ModelDataCollector("m", "inputs", ["a"])
    found = dc.collect([1])
    assert found is not None
    assert found["$aml_dc_boundary"] == 60
    (path,) = collected.files()
    assert re.fullmatch(r"sub/group/ws/svc/m/default/inputs/\d{4}/\d\d/\d\d/\d\d/data\.csv", path)


def test_arrays_and_rows(collected: Collected) -> None:
    dc = ModelDataCollector("m", "general", ["a", "b"])
    dc.collect(np.array([[1, 2], [3, 4]]))
    dc.collect(np.array([5, 6]))
    changed = [7, 8]
    dc.collect(changed)
    changed[0] = 9
    (lines,) = collected.files().values()
    assert lines == ["a,b", "1,2", "3,4", "5,6", "7,8"]


def test_frames_bring_their_own_header(collected: Collected) -> None:
    pandas: Any = importlib.import_module("pandas")
    dc = ModelDataCollector("m", "inputs")
    dc.collect(pandas.DataFrame({"x": [1, 2], "y": ["a", "b,c"]}))
    (lines,) = collected.files().values()
    assert lines[0].startswith("x,y,$aml_dc_correlation_id")
    assert lines[2].startswith('2,"b,c",')


@pytest.mark.parametrize(("designation", "file"), [("inputs", "inputs.csv"), ("signals", "mine.csv")])
def test_the_file_names_of_the_package(collected: Collected, designation: str, file: str) -> None:
    collected.set(WINDTUNNEL_DC_FILES="package")
    ModelDataCollector("m", designation, ["a"], collection_name="mine").collect([1])
    (path,) = collected.files()
    assert path.endswith(f"/{file}")


def test_the_map_of_models_says_version_workspace_and_path(collected: Collected, tmp_path: Path) -> None:
    content: JsonObject = {
        "accountContext": {"subscriptionId": "S1", "resourceGroupName": "RG", "accountName": "Work"},
        "modelsInfo": {
            "m": {"2": {}, "10": {}},
            "own": {"1": {"dataCollectorStoragePath": "/modeldata/x/{webservice_name}/y"}},
        },
    }
    (tmp_path / "model_config_map.json").write_text(json.dumps(content), "utf-8")
    ModelDataCollector("m", "inputs").collect([1])
    ModelDataCollector("own", "inputs").collect([1])
    assert list(collected.files()) == [
        f"s1/rg/work/svc/m/10/inputs/{today()}/data.csv",
        f"x/svc/y/inputs/{today()}/data.csv",
    ]


def test_the_version_of_the_model_directory(collected: Collected) -> None:
    collected.set(AZUREML_MODEL_DIR="/var/azureml-app/azureml-models/m/7")
    ModelDataCollector("m", "inputs").collect([1])
    assert "/m/7/inputs/" in next(iter(collected.files()))


def test_off_by_default(collected: Collected, capsys: pytest.CaptureFixture[str]) -> None:
    collected.set(AML_MODEL_DC_STORAGE_ENABLED="false")
    assert ModelDataCollector("m", "inputs").collect([1]) is None
    assert capsys.readouterr().out == (
        "Data collection is not enabled. Set environment variable AML_MODEL_DC_STORAGE_ENABLED to 'true' to enable"
        " (http://aka.ms/amlmodeldatacollection).\n"
    )
    assert collected.files() == {}


def test_debug_prints_and_stores_nothing(collected: Collected, capsys: pytest.CaptureFixture[str]) -> None:
    collected.set(AML_MODEL_DC_STORAGE_ENABLED="false", AML_MODEL_DC_DEBUG="true")
    ModelDataCollector("m", "general", ["a", "b"]).collect([1, 2])
    assert capsys.readouterr().out.endswith("a,b\n1,2\n\n")
    assert collected.files() == {}


def test_a_designation_that_there_is_not(collected: Collected, capsys: pytest.CaptureFixture[str]) -> None:
    assert ModelDataCollector("m", "input").collect([1]) is None
    assert "Incorrect designation value. Supported values: 'default', 'inputs'" in capsys.readouterr().out


def test_without_a_storage_it_warns_and_does_nothing(collected: Collected) -> None:
    collected.set(AML_MODEL_DC_STORAGE="")
    with pytest.warns(UserWarning, match="AML_MODEL_DC_STORAGEmust be set to an Azure storage connection string"):
        dc = ModelDataCollector("m", "inputs")
    assert dc.collect([1]) is None


def test_data_of_another_kind_is_refused_with_a_warning(collected: Collected) -> None:
    dc = ModelDataCollector("m", "inputs")
    with pytest.warns(UserWarning, match="collect failed: input data must be list"):
        assert dc.collect({"a": 1}) is None


def test_names_do_not_lead_out_of_the_folder() -> None:
    source = Source(workspace="a/../..", service="..", model="m/../../x", version="\0")
    path = Place(source=source, designation="inputs", file="data.csv").path(datetime(2018, 1, 2, tzinfo=UTC), DAY)
    assert path == "a/_/_/_/m_.._.._x/_/inputs/2018/01/02/data.csv"


class GatedSink:
    """Waits until it may write."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.lines: list[bytes] = []

    def append(self, path: str, header: bytes, lines: bytes) -> None:
        assert self.gate.wait(20)
        self.lines.append(lines)


def line(number: int) -> list[Lines]:
    return [Lines(path="p", header=b"", lines=b"%d\n" % number)]


def test_a_full_queue_drops_and_counts_and_nobody_waits() -> None:
    sink = GatedSink()
    writer = Writer(sink, most=10, flush_s=0.001)
    taken = [writer.offer(lambda number=number: line(number), 1) for number in range(100)]  # type: ignore[misc]
    assert 10 <= sum(taken) <= 20, "ten that wait, and up to ten that the thread took"
    assert writer.counts.dropped == 100 - sum(taken)
    sink.gate.set()
    assert writer.flush(20)
    assert writer.counts.written == sum(taken)
    assert b"".join(sink.lines) == b"".join(b"%d\n" % number for number, kept in enumerate(taken) if kept)
    writer.close()
    assert not writer.offer(lambda: line(1), 1), "after the end nothing is taken"


def test_a_collection_that_is_too_large_is_dropped() -> None:
    writer = Writer(GatedSink())
    assert not writer.offer(lambda: line(1), 64 * 1024 * 1024)
    assert writer.counts.dropped == 1


def test_what_cannot_be_written_is_counted_and_the_next_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("windtunnel_scoring.collection.writer._WAIT_S", 0.0)

    class Failing:
        calls = 0

        def append(self, path: str, header: bytes, lines: bytes) -> None:
            self.calls += 1
            if self.calls <= 3:
                raise SinkError("no")

    writer = Writer(Failing(), flush_s=0.001)
    writer.offer(lambda: line(1), 1)
    assert writer.flush(20)
    writer.offer(lambda: line(2), 1)
    assert writer.flush(20)
    assert (writer.counts.written, writer.counts.dropped) == (1, 1)

    def broken() -> list[Lines]:
        raise ValueError

    writer.offer(broken, 1)
    assert writer.flush(20)
    assert writer.counts.dropped == 2
    writer.close()


def test_blobs_are_created_with_their_header_and_appended_to(collected: Collected, blobs: BlobService) -> None:
    collected.set(AML_MODEL_DC_STORAGE=blobs.connection_string)
    dc = ModelDataCollector("m", "general", ["a"])
    for number in range(3):
        dc.collect([number])
        collected.flush()
    assert blobs.blobs == {f"sub/group/ws/svc/m/default/general/{today()}/data.csv": b"a\n0\n1\n2\n"}
    assert blobs.containers == {"modeldata"}


def test_two_replicas_write_one_header(blobs: BlobService) -> None:
    blobs.containers.add("modeldata")
    first, second = BlobSink(blobs.connection_string), BlobSink(blobs.connection_string)
    blobs.on_create.append("h\nother\n")
    first.append("p.csv", b"h\n", b"1\n")
    second.append("p.csv", b"h\n", b"2\n")
    assert blobs.blobs == {"p.csv": b"h\nother\n1\n2\n"}


def test_a_blob_that_is_full_or_deleted_is_followed_by_another(blobs: BlobService) -> None:
    blobs.most_blocks = 2
    sink = BlobSink(blobs.connection_string)
    for number in range(3):
        sink.append("p.csv", b"h\n", b"%d\n" % number)
    assert blobs.blobs == {"p.csv": b"h\n0\n1\n", "p_2.csv": b"h\n2\n"}
    blobs.blobs.clear()
    sink.append("p.csv", b"h\n", b"3\n")
    assert blobs.blobs == {"p_2.csv": b"h\n3\n"}


def test_a_storage_that_refuses_is_an_error_without_the_key(blobs: BlobService) -> None:
    blobs.failing = True
    with pytest.raises(SinkError) as caught:
        BlobSink(blobs.connection_string).append("p.csv", b"", b"1\n")
    assert str(caught.value) == "p.csv: AuthorizationFailure"
    with pytest.raises(SinkError) as caught:
        BlobSink("AccountKey=c2VjcmV0")
    assert "c2VjcmV0" not in str(caught.value)


def test_scripts_import_it_under_its_own_name(collected: Collected) -> None:
    from windtunnel_scoring.script import imports

    imports.offer()
    try:
        namespace: dict[str, object] = {}
        exec("from azureml.monitoring import ModelDataCollector as C", namespace)
        assert namespace["C"] is ModelDataCollector
        assert sys.modules["azureml.monitoring"].__name__ == "azureml.monitoring"
    finally:
        imports.withdraw()
