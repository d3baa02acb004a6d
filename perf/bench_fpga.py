"""The FPGA emulation beside plain onnxruntime on the same cores, and a request over gRPC beside what it computes."""

from __future__ import annotations

import contextlib
import statistics
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from onnx import numpy_helper

from windtunnel_perf.machine import machine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from onnx import ModelProto, NodeProto

    from windtunnel_perf.fixture import Benchmark

ROUNDS = 15
REQUESTS = 400
AT_ONCE = 8
SLOWDOWN = 2.0
BEYOND_MS = 5.0

# The benchmarks know the emulators as a program to start; here a library of theirs is what is measured.
numerics: Any = import_module("windtunnel_emulators.brainwave.numerics")
topologies: Any = import_module("windtunnel_emulators.brainwave.topologies.resnet")


def _resnet() -> ModelProto:
    """ResNet-50 of the simulator's own topology, with random weights that keep every layer within fp16."""
    model: ModelProto = topologies.resnet50()
    shapes = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    random = np.random.default_rng(0)
    kept: list[NodeProto] = []
    for node in model.graph.node:
        if node.op_type != "ConstantOfShape":
            kept.append(node)
            continue
        shape = tuple(int(size) for size in shapes[node.input[0]])
        if len(shape) == 4:
            values = random.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]))
        elif len(shape) == 2:
            values = random.standard_normal(shape) * np.sqrt(1 / shape[0])
        else:
            values = random.uniform(0.3, 0.7, shape)
        model.graph.initializer.append(numpy_helper.from_array(np.asarray(values, np.float32), node.output[0]))
    del model.graph.node[:]
    model.graph.node.extend(kept)
    return model


def _plain(model: ModelProto) -> Callable[[], object]:
    runtime: Any = import_module("onnxruntime")
    session = runtime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    given = {session.get_inputs()[0].name: _pixels(session.get_inputs()[0].shape)}
    return lambda: session.run(None, given)


def _pixels(shape: Sequence[int | str]) -> np.ndarray[Any, np.dtype[np.float32]]:
    sizes = [size if isinstance(size, int) else 1 for size in shape]
    return np.random.default_rng(1).standard_normal(sizes).astype(np.float32)


def test_resnet50_in_block_floating_point_beside_plain_onnxruntime(benchmark: Benchmark) -> None:
    runs: dict[str, Callable[[], object]] = {"onnxruntime": _plain(_resnet())}
    for label, mode in (("bfp", numerics.Numerics.BFP), ("bfp+fp16", numerics.Numerics.BFP_FP16)):
        session = numerics.Session(numerics.emulate(_resnet(), numerics.preset("1s.5e.5m"), mode).model)
        given = {name: _pixels(shape) for name, (_, shape) in session.inputs.items()}
        runs[label] = lambda session=session, given=given: session.run(given)  # type: ignore[misc]  # defaults bind
    seconds: dict[str, list[float]] = {name: [] for name in runs}

    def one_round() -> None:
        # One after the other in each round, so that whatever else the machine does meets all alike.
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)

    benchmark.pedantic(one_round, rounds=ROUNDS, warmup_rounds=3)
    middle = {name: statistics.median(values[3:]) * 1000 for name, values in seconds.items()}
    slowdown = statistics.median(b / p for b, p in zip(seconds["bfp"][3:], seconds["onnxruntime"][3:], strict=True))
    benchmark.extra_info.update(machine=machine(), milliseconds=middle, slowdown=slowdown)
    print(
        f"\nResNet-50: {', '.join(f'{n} {ms:.1f} ms' for n, ms in middle.items())}; bfp is {slowdown:.2f} times plain"
    )
    assert slowdown < SLOWDOWN


@pytest.fixture
def service(tmp_path: Path) -> Iterator[tuple[int, Any]]:
    """The digits CNN, served: the port, and the model that computes."""
    example: Any = import_module("windtunnel_emulators.brainwave.transfer.example")
    accelerated: Any = import_module("windtunnel_emulators.brainwave.service.accelerated")
    server: Any = import_module("windtunnel_emulators.brainwave.service.server")
    settings: Any = import_module("windtunnel_emulators.brainwave.service.settings")
    path = tmp_path / "digits.onnx"
    path.write_bytes(example.classifier().SerializeToString())
    chosen = settings.Settings(model_folder=tmp_path, address="127.0.0.1", port=0)
    model = accelerated.Accelerated(path, chosen)
    model.warm_up()
    lines: list[str] = []
    running = server.PredictionServer(model, replace(chosen, replicas=2), lines.append)
    port = running.start()
    yield port, model
    running.stop(0)


@pytest.mark.parametrize("clients", [1, AT_ONCE])
def test_a_prediction_of_the_digits_cnn_over_grpc(benchmark: Benchmark, service: tuple[int, Any], clients: int) -> None:
    from windtunnel.interface import Endpoint, Protocol
    from windtunnel.prediction.client import PredictionClient

    port, model = service
    pixels = np.random.default_rng(0).uniform(0, 1, (1, 1, 16, 16)).astype(np.float32)
    body = ('{"data": ' + str(pixels.tolist()) + "}").encode()
    endpoint = Endpoint(
        scoring_uri=f"http://127.0.0.1:{port}/", swagger_uri="", protocol=Protocol.GRPC, service="digits"
    )
    milliseconds: list[float] = []
    lock = threading.Lock()

    def client() -> None:
        with contextlib.closing(PredictionClient(endpoint)) as connected:
            found: list[float] = []
            for _ in range(REQUESTS // clients):
                start = time.perf_counter()
                assert connected.score(body).status == 200
                found.append((time.perf_counter() - start) * 1000)
        with lock:
            milliseconds.extend(found[5:])

    def load() -> None:
        with ThreadPoolExecutor(clients) as pool:
            for done in [pool.submit(client) for _ in range(clients)]:
                done.result()

    benchmark.pedantic(load, rounds=1, warmup_rounds=1)
    work = model.understand({"images": pixels})
    alone: list[float] = []
    for _ in range(100):
        start = time.perf_counter()
        model.compute(work)
        alone.append((time.perf_counter() - start) * 1000)
    computing = statistics.median(alone)
    p50, p95, p99 = (float(np.percentile(milliseconds, q)) for q in (50, 95, 99))
    benchmark.extra_info.update(
        machine=machine(), clients=clients, p50_ms=p50, p95_ms=p95, p99_ms=p99, computing_ms=computing
    )
    print(
        f"\n{clients} clients: p50 {p50:.2f} ms, p95 {p95:.2f} ms, p99 {p99:.2f} ms; computing alone {computing:.2f} ms"
    )
    if clients == 1:
        assert p50 - computing < BEYOND_MS
