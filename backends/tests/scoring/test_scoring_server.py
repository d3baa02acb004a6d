"""The server as a container runs it: a child process with an environment, a port, output, signals and an exit code."""

from __future__ import annotations

import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from windtunnel_contracts import models

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.scoring.conftest import Reply, Server

DEADLINE_S = 30.0
ROOT = Path(__file__).parents[2]
LINE = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} [DIWEC] \[\d+\] windtunnel[.\w]* - .*"

SCRIPT = """
import os, sys, time

def init():
    print("init was here")
    if os.environ.get("FAIL"):
        raise RuntimeError("no weights")

def run(data):
    if data == "pid":
        return os.getpid()
    if data == "sleep":
        print("sleeping")
        time.sleep(30)
    if data == "spin":
        print("spinning")
        while True:
            pass
    if data.startswith("wait "):
        print("waiting for", data[5:])
        while not os.path.exists(data[5:]):
            time.sleep(0.005)
    if data == "crash":
        os._exit(9)
    print("run:", data)
    return data
"""


@pytest.fixture
def model(tmp_path: Path) -> dict[str, str]:
    models.write(models.identity(), tmp_path / "model")
    return {"AZUREML_MODEL_DIR": str(tmp_path / "model")}


@pytest.fixture
def slow_model(tmp_path: Path) -> dict[str, str]:
    models.write(models.slow(), tmp_path / "slow")
    return {"AZUREML_MODEL_DIR": str(tmp_path / "slow")}


@pytest.fixture
def script(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "score.py").write_text(SCRIPT)
    return {"AML_APP_ROOT": str(tmp_path), "AZUREML_ENTRY_SCRIPT": "score.py"}


class InBackground:
    """A request that is sent while the test goes on."""

    def __init__(self, call: Callable[[], Reply]) -> None:
        self._result: list[Reply | BaseException] = []

        def run() -> None:
            try:
                self._result.append(call())
            except BaseException as error:
                self._result.append(error)

        self._thread = threading.Thread(target=run)
        self._thread.start()

    @property
    def done(self) -> bool:
        return bool(self._result)

    def result(self) -> Reply | BaseException:
        self._thread.join(DEADLINE_S)
        return self._result[0]


def test_a_model_is_served_and_the_server_ends_with_0(serve: Callable[..., Server], model: dict[str, str]) -> None:
    server = serve(model)
    assert server.announced == {"pid": server.process.pid, "address": "127.0.0.1", "port": server.port}
    assert server.request("GET", "/").body == b"Healthy"
    assert server.score({"data": [[1, 2]]}).json() == [[1.0, 2.0]]
    assert server.stop() == 0
    log = server.log()
    assert all(re.fullmatch(LINE, line) for line in log.splitlines()), log
    assert f"Listening at: http://127.0.0.1:{server.port} ({server.process.pid})" in log
    assert re.search(r"windtunnel - POST /score 200 \d+\.\d{3}ms 12 request-id=", log)


def test_a_script_prints_as_it_goes(serve: Callable[..., Server], script: dict[str, str]) -> None:
    server = serve(script)
    assert "init was here\n" in server.log(), "before it is ready"
    assert server.request("POST", "/score", b"hello").json() == "hello"
    server.wait_logged("run: hello\n")
    assert server.stop() == 0


def test_requests_of_a_script_wait_for_each_other_on_the_main_thread(
    serve: Callable[..., Server], script: dict[str, str], tmp_path: Path
) -> None:
    server = serve(script)
    first = InBackground(lambda: server.request("POST", "/score", f"wait {tmp_path}/go".encode()))
    server.wait_logged("waiting for")
    second = InBackground(lambda: server.request("POST", "/score", b"second"))
    assert server.request("GET", "/").status == 200, "health is answered while run() works"
    assert "run: second" not in server.log()
    (tmp_path / "go").touch()
    results = [first.result(), second.result()]
    assert [result.status for result in results if not isinstance(result, BaseException)] == [200, 200]
    assert server.log().index("run: wait") < server.log().index("run: second")


def test_health_is_answered_while_the_model_computes(serve: Callable[..., Server], slow_model: dict[str, str]) -> None:
    server = serve({**slow_model, "SCORING_TIMEOUT_MS": "1000", "WINDTUNNEL_CONCURRENCY": "1"})
    busy = InBackground(lambda: server.score({"data": 10**9}))
    waiting = InBackground(lambda: server.score({"data": 1}))
    answers = 0
    while not busy.done:
        assert server.request("GET", "/").status == 200
        answers += 1
    assert answers > 10
    timed_out, after = busy.result(), waiting.result()
    assert not isinstance(timed_out, BaseException)
    assert not isinstance(after, BaseException)
    assert sorted([timed_out.status, after.status]) == [200, 500]


@pytest.mark.parametrize("what", [b"sleep", b"spin"])
def test_a_run_that_takes_too_long_is_interrupted(
    serve: Callable[..., Server], script: dict[str, str], what: bytes
) -> None:
    server = serve({**script, "SCORING_TIMEOUT_MS": "200"})
    reply = server.request("POST", "/score", what)
    assert (reply.status, reply.message) == (500, "Scoring timeout after 200 ms")
    assert reply.headers["x-ms-run-function-failed"] == "True"
    assert server.request("POST", "/score", b"next").json() == "next"


def test_sigterm_lets_requests_finish(
    serve: Callable[..., Server], exchange: Callable[..., Reply], script: dict[str, str], tmp_path: Path
) -> None:
    server = serve(script)
    idle = server.connect()
    assert exchange(idle, "GET", "/").status == 200
    working = InBackground(lambda: server.request("POST", "/score", f"wait {tmp_path}/go".encode()))
    server.wait_logged("waiting for")
    server.process.send_signal(signal.SIGTERM)
    server.wait_logged("Shutting down")
    with pytest.raises(OSError, match=r"."):
        server.request("GET", "/")
    assert server.process.poll() is None, "a request is in work"
    (tmp_path / "go").touch()
    result = working.result()
    assert not isinstance(result, BaseException)
    assert result.status == 200
    assert server.wait() == 0, "and an idle connection is not waited for"
    idle.close()


def test_a_run_that_outlives_the_grace_is_dropped(serve: Callable[..., Server], script: dict[str, str]) -> None:
    server = serve({**script, "WINDTUNNEL_GRACE_S": "0.3"})
    working = InBackground(lambda: server.request("POST", "/score", b"spin"))
    server.wait_logged("spinning")
    assert server.stop() == 1
    assert "1 requests did not end within 0.3 s and are dropped" in server.log()
    result = working.result()
    assert not isinstance(result, BaseException)
    assert (result.status, result.message) == (503, "The server was stopped before this request was done.")


def test_a_model_that_outlives_the_grace_is_dropped(serve: Callable[..., Server], slow_model: dict[str, str]) -> None:
    server = serve({**slow_model, "WINDTUNNEL_GRACE_S": "0.3"})
    connection = server.connect()
    connection.request("POST", "/score", b'{"data": 100000000000}', {"Content-Type": "application/json"})
    assert server.request("GET", "/").status == 200, "so the request before it was read too"
    assert server.stop() == 1
    answer = connection.getresponse()
    assert (answer.status, b"stopped" in answer.read()) == (503, True)
    connection.close()


def test_init_that_fails_ends_with_3_and_a_log(
    serve: Callable[..., Server], script: dict[str, str], tmp_path: Path
) -> None:
    models.write(b"x", tmp_path / "models", "a/weights.bin")
    server = serve({**script, "FAIL": "1", "AZUREML_MODEL_DIR": str(tmp_path / "models")}, wait=False)
    assert server.wait() == 3
    log = server.log()
    assert "User's init function failed" in log
    assert "RuntimeError: no weights" in log
    assert 'score.py", line 7, in init' in log
    assert "Model Directory Contents:" in log
    assert "weights.bin" in log


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({}, "there is nothing to serve: set AZUREML_ENTRY_SCRIPT to a script, or AZUREML_MODEL_DIR"),
        ({"AZUREML_MODEL_DIR": "/no/such/folder"}, "there is no such file or folder"),
        ({"AML_APP_ROOT": "/", "AZUREML_ENTRY_SCRIPT": "no.py"}, "there is no script /no.py"),
        ({"SCORING_TIMEOUT_MS": "soon"}, "SCORING_TIMEOUT_MS is 'soon': a whole number from 1 is needed"),
        ({"AZUREML_LOG_LEVEL": "LOUD"}, "AZUREML_LOG_LEVEL is 'LOUD': one of DEBUG, INFO"),
        ({"WINDTUNNEL_ADDRESS": "203.0.113.1"}, "cannot listen at 203.0.113.1 port 0: "),
        ({"WINDTUNNEL_ADDRESS": "no such host"}, "cannot listen at no such host port 0: "),
    ],
)
def test_what_cannot_start_ends_with_3_and_a_sentence(
    serve: Callable[..., Server], variables: dict[str, str], said: str
) -> None:
    server = serve(variables, wait=False)
    assert server.wait() == 3
    assert said in server.log()
    assert "Traceback" not in server.log()


def test_a_port_that_is_taken_is_noticed_before_init(serve: Callable[..., Server], script: dict[str, str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        server = serve({**script, "WINDTUNNEL_PORT": str(port)}, wait=False)
        assert server.wait() == 3
    assert f"cannot listen at 127.0.0.1 port {port}: " in server.log()
    assert "init was here" not in server.log()


def test_connections_are_refused_until_it_is_ready(serve: Callable[..., Server], tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (tmp_path / "score.py").write_text(
        "import os, time\ndef init():\n    print('started')\n"
        f"    while not os.path.exists({str(tmp_path / 'go')!r}): time.sleep(0.005)\ndef run(d): return d\n"
    )
    variables = {"AML_APP_ROOT": str(tmp_path), "AZUREML_ENTRY_SCRIPT": "score.py", "WINDTUNNEL_PORT": str(port)}
    server = serve(variables, wait=False)
    server.wait_logged("started")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), 5)
    (tmp_path / "go").touch()
    server.wait_ready()
    assert server.request("GET", "/").status == 200


def test_a_separate_health_port(
    serve: Callable[..., Server], exchange: Callable[..., Reply], model: dict[str, str]
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = serve({**model, "SEPERATE_HEALTH_ENDPOINT": "true", "HEALTH_PORT": str(port)})
    assert server.request("GET", "/").status == 200
    health = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE_S)
    assert exchange(health, "GET", "/").status == 200
    health.close()


class TestWorkers:
    """``WORKER_COUNT`` above one."""

    def test_each_worker_works_and_all_end(self, serve: Callable[..., Server], script: dict[str, str]) -> None:
        server = serve({**script, "WORKER_COUNT": "2"})
        assert server.announced["pid"] == server.process.pid, "the supervisor's"
        ends = threading.Event()
        while server.log().count("Listening at") < 2:
            assert not ends.wait(0.005)
        pids: set[int] = set()
        for _ in range(2000):  # the system chooses who gets a connection
            pids.add(int(server.request("POST", "/score", b"pid").body))
            if len(pids) == 2:
                break
        assert len(pids) == 2
        assert server.process.pid not in pids
        assert server.log().count("init was here") == 2
        assert server.stop() == 0
        assert not [pid for pid in pids if alive(pid)]

    def test_a_worker_that_crashes_ends_all(self, serve: Callable[..., Server], script: dict[str, str]) -> None:
        server = serve({**script, "WORKER_COUNT": "2"})
        with pytest.raises((OSError, http.client.HTTPException)):
            server.request("POST", "/score", b"crash")
        assert server.wait() == 9
        assert re.search(r"worker \d+ ended with exit code 9; the others are stopped", server.log())

    def test_init_that_fails_ends_all(self, serve: Callable[..., Server], script: dict[str, str]) -> None:
        server = serve({**script, "WORKER_COUNT": "2", "FAIL": "1"}, wait=False)
        assert server.wait() == 3

    def test_workers_whose_supervisor_was_killed_end(
        self, serve: Callable[..., Server], script: dict[str, str]
    ) -> None:
        server = serve({**script, "WORKER_COUNT": "1"} | {"WORKER_COUNT": "2"})
        pid = int(server.request("POST", "/score", b"pid").body)
        os.kill(server.process.pid, signal.SIGKILL)
        server.process.wait(DEADLINE_S)
        ends = threading.Event()
        for _ in range(2000):
            if not alive(pid):
                return
            ends.wait(0.005)
        pytest.fail("the worker outlives its supervisor")


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_crash_of_the_script_is_the_containers(serve: Callable[..., Server], script: dict[str, str]) -> None:
    server = serve(script)
    with pytest.raises((OSError, http.client.HTTPException)):
        server.request("POST", "/score", b"crash")
    assert server.wait() == 9


def test_a_script_needs_neither_numpy_nor_onnxruntime(script: dict[str, str]) -> None:
    code = (
        "import sys; from windtunnel_scoring.loading import load; from windtunnel_scoring.settings import *;"
        "from windtunnel_scoring.executors import MainThread; import os;"
        "load(ServerSettings.from_environment(os.environ), MainThread());"
        "print(sorted({'numpy', 'onnxruntime'} & set(sys.modules)))"
    )
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **script}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=DEADLINE_S, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"
