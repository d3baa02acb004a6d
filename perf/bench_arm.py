"""The ARM front door: GET beside a bare ASGI application in one run, a durable PUT, and how listing grows."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import os
import shutil
import ssl
import statistics
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from windtunnel_perf.closed import throughput
from windtunnel_perf.emulators import Emulators, running
from windtunnel_perf.machine import machine

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path

    from windtunnel_perf.fixture import Benchmark

CONNECTIONS = 16
REQUESTS = 4000
ROUNDS = 5
API = "api-version=2023-05-01"


@pytest.fixture(scope="module")
def one_core() -> Iterator[list[str]]:
    """The servers on the first core, this process on the others."""
    if shutil.which("taskset") is None or (os.cpu_count() or 1) < 2:
        pytest.skip("needs taskset and two cores: server and client would share one")
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, before - {0})
    yield ["taskset", "-c", "0"]
    os.sched_setaffinity(0, before)


@pytest.fixture(scope="module")
def emulators(tmp_path_factory: pytest.TempPathFactory, one_core: list[str]) -> Iterator[Emulators]:
    state = tmp_path_factory.mktemp("arm") / "state"
    with running(state, prefix=one_core) as found:
        with found.client() as client:
            group = f"/subscriptions/{found.subscription}/resourceGroups/bench"
            client.put(f"{group}?api-version=2022-09-01", json={"location": "westus2"}).raise_for_status()
            _put(client, found, "get")
        yield found


def _path(emulators: Emulators, name: str) -> str:
    group = f"/subscriptions/{emulators.subscription}/resourceGroups/bench"
    return f"{group}/providers/Microsoft.ContainerInstance/containerGroups/{name}?{API}"


def _put(client: object, emulators: Emulators, name: str) -> None:
    import httpx

    assert isinstance(client, httpx.Client)
    container = {
        "image": "hello-world",
        "resources": {"requests": {"cpu": 0.01, "memoryInGB": 0.1}},
    }
    body = {
        "location": "westus2",
        "properties": {
            "osType": "Linux",
            "restartPolicy": "Never",
            "containers": [{"name": "c", "properties": container}],
        },
    }
    answer = client.put(_path(emulators, name), json=body)
    assert answer.status_code == 201, answer.text
    link = answer.headers["azure-asyncoperation"]
    end = time.monotonic() + 30
    while (status := client.get(link).json()["status"]) not in {"Succeeded", "Failed"}:
        assert time.monotonic() < end
        time.sleep(0.01)
    assert status == "Succeeded"


@contextlib.contextmanager
def _bare(folder: Path, prefix: list[str], flavour: str) -> Generator[tuple[int, ssl.SSLContext]]:
    """The yardstick, with a certificate of its own."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem, private, ready = folder / "bare.pem", folder / "bare.key", folder / f"bare-{flavour}.ready"
    pem.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    command = [*prefix, sys.executable, "-m", "windtunnel_perf.bare", str(ready), str(pem), str(private)]
    with subprocess.Popen([*command, "--json", flavour]) as process:
        try:
            end = time.monotonic() + 20
            while not (ready.exists() and ready.read_text("utf-8")):
                assert process.poll() is None
                assert time.monotonic() < end
                time.sleep(0.01)
            yield int(ready.read_text("utf-8")), ssl.create_default_context(cafile=str(pem))
        finally:
            process.terminate()


def test_get_of_a_group_beside_a_bare_application(
    benchmark: Benchmark, emulators: Emulators, one_core: list[str], tmp_path: Path
) -> None:
    rates: dict[str, list[float]] = {"emulator": [], "msgspec": [], "stdlib": []}

    def measure(name: str, port: int, tls: ssl.SSLContext, path: str) -> None:
        result = asyncio.run(
            throughput(
                host="localhost",
                port=port,
                tls=tls,
                path=path,
                token=emulators.token,
                requests=REQUESTS,
                connections=CONNECTIONS,
            )
        )
        rates[name].append(result.per_second)

    with _bare(tmp_path, one_core, "msgspec") as fast, _bare(tmp_path, one_core, "stdlib") as plain:

        def one_round() -> None:
            measure("emulator", emulators.port, emulators.tls, _path(emulators, "get"))
            measure("msgspec", *fast, "/bench")
            measure("stdlib", *plain, "/bench")

        benchmark.pedantic(one_round, rounds=ROUNDS, warmup_rounds=1)
    middle = {name: statistics.median(values[1:]) for name, values in rates.items()}
    ratios = {name: middle["emulator"] / middle[name] for name in ("msgspec", "stdlib")}
    benchmark.extra_info.update(machine=machine(), rates=middle, ratios=ratios)
    print(
        f"\nGET per second: emulator {middle['emulator']:.0f}; bare with msgspec {middle['msgspec']:.0f}"
        f" (ratio {ratios['msgspec']:.2f}), with the standard library's json {middle['stdlib']:.0f}"
        f" (ratio {ratios['stdlib']:.2f})"
    )


def test_a_durable_put(benchmark: Benchmark, emulators: Emulators) -> None:
    numbers = iter(range(10_000))
    seconds: list[float] = []
    with emulators.client() as client:
        group = f"/subscriptions/{emulators.subscription}/resourceGroups"

        def put() -> None:
            start = time.perf_counter()
            answer = client.put(f"{group}/g{next(numbers)}?api-version=2022-09-01", json={"location": "westus2"})
            seconds.append(time.perf_counter() - start)
            assert answer.status_code == 201

        benchmark.pedantic(put, rounds=200, warmup_rounds=5)
    benchmark.extra_info.update(machine=machine(), median_ms=statistics.median(seconds) * 1000)
    print(f"\ndurable PUT, with the client: median {statistics.median(seconds) * 1000:.2f} ms")
