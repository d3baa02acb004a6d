"""What is read from an ONNX file, against the ``onnx`` package; and files that cannot be deployed."""

from __future__ import annotations

import hashlib
import importlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from windtunnel.errors import (
    DamagedModel,
    EmptyModel,
    MissingData,
    ModelError,
    ModelTooLarge,
    NeedsNewerRuntime,
    NotFound,
    NotOnnx,
)
from windtunnel.model import GB, Model
from windtunnel.onnx_wire import DTYPES
from windtunnel.runtime_check import InstalledRuntime
from windtunnel.spec import Target

if TYPE_CHECKING:
    from collections.abc import Callable


def save(model: onnx.ModelProto, folder: Path, name: str = "m.onnx") -> Path:
    path = folder / name
    path.write_bytes(model.SerializeToString())
    return path


def linear(opset: int = 17, ir_version: int = 8, domain: str = "") -> onnx.ModelProto:
    weights = numpy_helper.from_array(np.ones((4, 3), np.float32), "W")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "W"], ["y"])],
        "g",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4]),
            # Old exporters list weights as inputs too.
            helper.make_tensor_value_info("W", TensorProto.FLOAT, [4, 3]),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 3])],
        [weights],
    )
    imports = [helper.make_opsetid("", 17 if domain else opset)]
    if domain:
        imports.append(helper.make_opsetid(domain, opset))
    return helper.make_model(
        graph, opset_imports=imports, ir_version=ir_version, producer_name="p", producer_version="1"
    )


def test_a_model_is_read(tmp_path: Path) -> None:
    path = save(linear(), tmp_path)
    model = Model.read(path)
    assert model.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert model.size == path.stat().st_size
    assert (model.ir_version, dict(model.opsets), model.producer, model.nodes) == (8, {"": 17}, "p 1", 1)
    assert [(t.name, t.dtype, t.shape) for t in model.inputs] == [("x", "float32", ("batch", 4))]
    assert [t.text for t in model.outputs] == ["float32[batch,3]"]


def test_the_names_of_types_are_those_of_onnx() -> None:
    # An older onnx package knows fewer of them.
    known = [number for number in TensorProto.DataType.values() if number != TensorProto.UNDEFINED]
    names = {number: helper.tensor_dtype_to_np_dtype(number).name for number in known}
    assert {n: DTYPES[n] for n in known} == {n: {"object": "str"}.get(name, name) for n, name in names.items()}


dimension = st.one_of(st.integers(min_value=0, max_value=2**40), st.text("abcN_", min_size=1, max_size=5), st.none())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    shapes=st.lists(st.one_of(st.none(), st.lists(dimension, max_size=4)), min_size=1, max_size=3),
    dtype=st.sampled_from(sorted(set(DTYPES) & set(TensorProto.DataType.values()))),
)
def test_types_and_shapes_are_read_as_onnx_wrote_them(
    tmp_path: Path, shapes: list[list[int | str | None] | None], dtype: int
) -> None:
    inputs = [helper.make_tensor_value_info(f"i{n}", dtype, shape) for n, shape in enumerate(shapes)]
    output = helper.make_tensor_value_info("o", dtype, None)
    graph = helper.make_graph([helper.make_node("Identity", ["i0"], ["o"])], "g", inputs, [output])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    read = Model.read(save(model, tmp_path))
    assert [t.shape for t in read.inputs] == [None if s is None else tuple(s) for s in shapes]
    assert {t.dtype for t in (*read.inputs, *read.outputs)} == {DTYPES[dtype]}


def test_sequences_and_maps_are_named_and_are_no_tensors(tmp_path: Path) -> None:
    inner = helper.make_map_type_proto(TensorProto.INT64, helper.make_tensor_type_proto(TensorProto.FLOAT, []))
    output = helper.make_value_info("o", helper.make_sequence_type_proto(inner))
    graph = helper.make_graph(
        [helper.make_node("ZipMap", ["x"], ["o"], domain="ai.onnx.ml")],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 2])],
        [output],
    )
    model = Model.read(save(helper.make_model(graph, ir_version=8), tmp_path))
    assert (model.outputs[0].text, model.outputs[0].dtype) == ("sequence(map(int64,float32[]))", None)
    assert model.inputs[0].text == "float32[?,2]"


def test_a_missing_file_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"no\.onnx"):
        Model.read(tmp_path / "no.onnx")


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"")
    with pytest.raises(EmptyModel, match="is empty"):
        Model.read(tmp_path / "m.onnx")


@pytest.mark.parametrize(
    ("content", "hint"),
    [
        (b"this is not a model", ""),
        (b"PK\x03\x04" + b"\0" * 40, "zip archive"),
        (b"\x89HDF\r\n\x1a\n" + b"\0" * 40, "HDF5"),
        (b"\x80\x04\x95" + b"\0" * 40, "pickle"),
        (b"\x1c\0\0\0TFL3" + b"\0" * 40, "TensorFlow Lite"),
        (b'{"a": 1}', "JSON"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
        (b"\xff" * 100, ""),
    ],
)
def test_other_files_are_refused_and_known_ones_are_named(tmp_path: Path, content: bytes, hint: str) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    with pytest.raises(NotOnnx, match=f"not an ONNX model.*{hint}"):
        Model.read(path)


def test_a_truncated_file_is_refused_wherever_it_was_cut(tmp_path: Path) -> None:
    whole = linear().SerializeToString()
    path = tmp_path / "m.onnx"
    for length in range(1, len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(ModelError):
            Model.read(path)


def test_a_file_that_ends_in_the_graph_says_that_it_is_truncated(tmp_path: Path) -> None:
    whole = linear().SerializeToString()
    path = tmp_path / "m.onnx"
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DamagedModel, match=r"is truncated: field 7 says that it has \d+ bytes.*the file has"):
        Model.read(path)


def refusal(path: Path) -> str:
    """Why the model is refused; its name when it is not. Any other exception is a defect."""
    try:
        return Model.read(path).path.name
    except ModelError as error:
        return error.message


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
@given(position=st.integers(min_value=0, max_value=10_000), value=st.integers(min_value=0, max_value=255))
def test_any_changed_byte_gives_a_model_or_a_sentence(tmp_path: Path, position: int, value: int) -> None:
    content = bytearray(linear().SerializeToString())
    content[position % len(content)] = value
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    assert refusal(path).startswith("m.onnx")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(min_size=1, max_size=200))
def test_any_bytes_give_a_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    assert refusal(path).startswith("m.onnx")


def test_a_model_without_outputs_or_opset_is_refused(tmp_path: Path) -> None:
    model = linear()
    del model.graph.output[:]
    with pytest.raises(EmptyModel, match="without outputs"):
        Model.read(save(model, tmp_path))
    model = linear()
    del model.opset_import[:]
    with pytest.raises(DamagedModel, match="which operator set"):
        Model.read(save(model, tmp_path))


def test_deeply_nested_subgraphs_are_refused_and_do_not_exhaust_the_stack(tmp_path: Path) -> None:
    # By hand: protobuf's own library builds no message as deep as one that somebody may send.
    def message(field: int, body: bytes) -> bytes:
        size, length = len(body), b""
        while size > 0x7F:
            length, size = length + bytes([size & 0x7F | 0x80]), size >> 7
        return bytes([field << 3 | 2]) + length + bytes([size]) + body

    graph = b""
    for _ in range(5000):
        graph = message(1, message(5, message(6, graph)))
    path = tmp_path / "m.onnx"
    path.write_bytes(b"\x08\x08" + message(7, graph))
    with pytest.raises(DamagedModel, match="nested more than"):
        Model.read(path)


class TestExternalData:
    """Weights that are kept beside the model."""

    def save(self, folder: Path) -> Path:
        model = linear()
        (weights,) = model.graph.initializer
        (folder / "weights.bin").write_bytes(weights.raw_data)
        weights.ClearField("raw_data")
        weights.data_location = TensorProto.EXTERNAL
        weights.external_data.add(key="location", value="weights.bin")
        return save(model, folder)

    def test_they_belong_to_the_model(self, tmp_path: Path) -> None:
        model = Model.read(self.save(tmp_path))
        assert model.data_files == (Path("weights.bin"),)
        assert model.size == sum(f.stat().st_size for f in tmp_path.iterdir())

    def test_they_must_be_there(self, tmp_path: Path) -> None:
        path = self.save(tmp_path)
        (tmp_path / "weights.bin").unlink()
        with pytest.raises(MissingData, match=r"weights in 'weights\.bin', and there is no such file"):
            Model.read(path)

    @pytest.mark.parametrize("location", ["../weights.bin", "/etc/hostname", "", "a\\b"])
    def test_they_must_be_beside_the_model(self, tmp_path: Path, location: str) -> None:
        path = self.save(tmp_path)
        model = onnx.ModelProto.FromString(path.read_bytes())
        model.graph.initializer[0].external_data[0].value = location
        with pytest.raises(MissingData, match="not beside the model"):
            Model.read(save(model, tmp_path))

    def test_a_link_out_of_the_folder_is_not_followed(self, tmp_path: Path) -> None:
        folder = tmp_path / "model"
        folder.mkdir()
        path = self.save(folder)
        (folder / "weights.bin").replace(tmp_path / "elsewhere.bin")
        (folder / "weights.bin").symlink_to(tmp_path / "elsewhere.bin")
        with pytest.raises(MissingData):
            Model.read(path)


class TestLimits:
    """Models that are too large, or too new."""

    def test_over_a_gigabyte_is_too_much_for_aci(self, tmp_path: Path) -> None:
        path = TestExternalData().save(tmp_path)
        with (tmp_path / "weights.bin").open("r+b") as file:
            file.truncate(GB)  # sparse
        model = Model.read(path)
        with pytest.raises(ModelTooLarge, match=r"m\.onnx has 1\.00 GB .*under 1 GB"):
            model.check_target(Target.ACI)
        model.check_target(Target.AKS)

    def test_over_two_gigabytes_is_no_protobuf_message(self, tmp_path: Path) -> None:
        path = save(linear(), tmp_path)
        with path.open("r+b") as file:
            file.truncate(2**31)
        with pytest.raises(ModelTooLarge, match="protobuf"):
            Model.read(path)

    def test_what_the_runtime_knows_is_taken(self, tmp_path: Path) -> None:
        runtime = InstalledRuntime()
        Model.read(save(linear(), tmp_path)).check_runtime(runtime)
        newest = linear(runtime.newest_opset(""), runtime.newest_ir())
        Model.read(save(newest, tmp_path)).check_runtime(runtime)

    @pytest.mark.parametrize(
        ("make", "message"),
        [
            (
                lambda: linear(opset=200),
                "needs operator set 200; onnxruntime {version}, which will run it, knows up to",
            ),
            (lambda: linear(opset=99, domain="ai.onnx.ml"), "operator set 99 of domain 'ai.onnx.ml'; onnxruntime"),
            (lambda: linear(ir_version=99), "has IR version 99; onnxruntime {version}, which will run it, knows up to"),
        ],
    )
    def test_what_is_newer_than_the_runtime_is_refused_with_both_versions(
        self, tmp_path: Path, make: Callable[[], onnx.ModelProto], message: str
    ) -> None:
        runtime = InstalledRuntime()
        with pytest.raises(NeedsNewerRuntime, match=message.format(version=runtime.version)):
            Model.read(save(make(), tmp_path)).check_runtime(runtime)

    def test_what_is_refused_here_is_what_onnxruntime_refuses(self, tmp_path: Path) -> None:
        onnxruntime = importlib.import_module("onnxruntime")
        runtime = InstalledRuntime()
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        too_new = save(linear(opset=runtime.newest_opset("") + 1), tmp_path)
        with pytest.raises(Exception, match=r"opset|Opset"):
            onnxruntime.InferenceSession(str(too_new), options, providers=["CPUExecutionProvider"])
