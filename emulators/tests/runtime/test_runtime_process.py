"""Containers of the process runtime, really run: with a root of their own, and without."""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from windtunnel_emulators.clock import RealClock
from windtunnel_emulators.images.interpreter import base_interpreter
from windtunnel_emulators.runtime.interface import ContainerSpec, Image, ImageError, StartError
from windtunnel_emulators.runtime.keeper import processes
from windtunnel_emulators.runtime.logs import read_log
from windtunnel_emulators.runtime.process import ProcessRuntime

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from windtunnel_emulators.runtime.interface import ExecSession
    from windtunnel_emulators.runtime.process_container import ProcessContainer

PYTHON = str(base_interpreter())
ADDRESS = "127.77.200.1"


class Machine:
    """One runtime, and a short way to start something on it."""

    def __init__(self, folder: Path, *, own_root: bool, control_groups: bool) -> None:
        self.own_root = own_root
        self.folder = folder
        self.runtime = ProcessRuntime(
            folder / "runtime", RealClock(), own_root=own_root, control_groups=None if control_groups else False
        )
        self._count = 0

    async def start(self, *command: str, **settings: Any) -> ProcessContainer:
        """The settings are those of a ``ContainerSpec``."""
        self._count += 1
        usual: dict[str, Any] = {
            "id": f"test.{self._count}",
            "owner": "test",
            "image": Image(reference="test", digest="sha256:0"),
            "command": command,
            "address": ADDRESS,
            "log": self.folder / f"{self._count}.log",
            "directory": self.folder / f"{self._count}",
        }
        return await self.runtime.start(ContainerSpec(**usual | settings))

    async def shell(self, script: str, **settings: Any) -> ProcessContainer:
        return await self.start("/bin/sh", "-c", script, **settings)

    async def output(self, script: str, **settings: Any) -> str:
        container = await self.shell(script, **settings)
        await container.wait()
        return log(container)


def log(container: ProcessContainer) -> str:
    return read_log(container.spec.log)


async def until_logged(container: ProcessContainer, text: str) -> None:
    async with asyncio.timeout(20):
        while text not in log(container):  # noqa: ASYNC110  # nothing else says when a container writes
            await asyncio.sleep(0.005)


@pytest.fixture(params=["own root", "shared root, no control groups"])
async def machine(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Machine]:
    how: str = request.param
    machine = Machine(tmp_path, own_root=how.startswith("own"), control_groups="no control" not in how)
    await machine.runtime.start_up()
    if machine.own_root:
        try:
            await (await machine.start("true")).wait()
        except StartError as problem:
            await machine.runtime.close()
            pytest.skip(str(problem))
    yield machine
    await machine.runtime.close()


@pytest.mark.parametrize(
    ("script", "code", "reason"),
    [
        ("exit 0", 0, "Completed"),
        ("exit 3", 3, "Error"),
        ("exit 255", 255, "Error"),
        ("kill -TERM $$", 143, "Error"),
        ("kill -KILL $$", 137, "Error"),
        ("kill -SEGV $$", 139, "Error"),
    ],
)
async def test_exit_codes_are_real(machine: Machine, script: str, code: int, reason: str) -> None:
    before = datetime.now(UTC)
    container = await machine.shell(script)
    end = await container.wait()
    assert (end.code, end.reason) == (code, reason)
    assert before <= end.started <= end.finished <= datetime.now(UTC)
    assert not container.running
    assert await container.wait() == end
    assert await container.stop(0) == end


async def test_output_is_kept_with_time_and_stream(machine: Machine) -> None:
    container = await machine.shell(r"printf 'a\n\033[31mred\033[0m\n'; printf 'bad \377 byte\nno newline' >&2")
    end = await container.wait()
    lines = [line.split(b" ", 2) for line in container.spec.log.read_bytes().splitlines()]
    assert sorted((stream, text) for _, stream, text in lines) == [
        (b"stderr", b"bad \xff byte"),
        (b"stderr", b"no newline"),
        (b"stdout", b"\x1b[31mred\x1b[0m"),
        (b"stdout", b"a"),
    ]
    for time, _, _ in lines:
        assert (
            end.started.timestamp() - 1
            < datetime.fromisoformat(time.decode()).timestamp()
            <= end.finished.timestamp() + 1
        )


async def test_a_flood_of_output_ends_and_its_last_line_is_there(machine: Machine) -> None:
    container = await machine.start(PYTHON, "-c", "print('x' * 3_000_000); print('last')")
    end = await container.wait()
    assert end.code == 0
    lines = log(container).splitlines()
    assert lines[-1] == "last"
    assert sum(len(line) for line in lines[:-1]) == 3_000_000


async def test_nothing_of_the_emulators_environment_is_inherited(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_CLIENT_SECRET", "hidden")
    monkeypatch.setenv("SOME_OTHER", "hidden")
    image = Image(reference="test", digest="sha256:0", environment={"A": "image", "B": "image"})
    output = await machine.output("env", image=image, environment={"B": "spec = value"})
    found = dict(line.split("=", 1) for line in output.splitlines())
    assert (found["A"], found["B"], found["WINDTUNNEL_ADDRESS"]) == ("image", "spec = value", ADDRESS)
    assert "hidden" not in output
    assert found.keys() <= {
        "A",
        "B",
        "WINDTUNNEL_ADDRESS",
        "PATH",
        "HOME",
        "HOSTNAME",
        "PWD",
        "TMPDIR",
        "OLDPWD",
        "_",
        "SHLVL",
    }


async def test_standard_input_is_empty(machine: Machine) -> None:
    assert await machine.output("cat; echo end") == "end\n"


@pytest.mark.parametrize(
    ("entrypoint", "command", "given", "arguments", "expected"),
    [
        (("echo", "e"), ("c",), (), (), "e c"),
        (("echo", "e"), ("c",), (), ("a",), "e a"),
        (("echo", "e"), ("c",), ("echo", "g"), (), "g"),
        (("echo", "e"), ("c",), ("echo", "g"), ("a",), "g a"),
        ((), ("echo", "c"), (), (), "c"),
    ],
)
async def test_what_is_executed(
    machine: Machine,
    entrypoint: tuple[str, ...],
    command: tuple[str, ...],
    given: tuple[str, ...],
    arguments: tuple[str, ...],
    expected: str,
) -> None:
    image = Image(reference="test", digest="sha256:0", entrypoint=entrypoint, command=command)
    container = await machine.start(*given, image=image, arguments=arguments)
    await container.wait()
    assert log(container) == f"{expected}\n"


@pytest.mark.parametrize(
    ("command", "settings", "message"),
    [
        (("nonesuch", "x"), {}, r"exec: 'nonesuch': executable file not found in \$PATH"),
        (("/no/such/program",), {}, "no such file or directory"),
        (("/etc/passwd",), {}, "ermission denied"),
        ((), {}, "image 'test' has neither an entry point nor a command"),
        (
            ("true",),
            {"working_directory": "/no/such/folder"},
            "working directory '.*/no/such/folder' cannot be entered",
        ),
    ],
)
async def test_what_cannot_be_started_says_why(
    machine: Machine, command: tuple[str, ...], settings: dict[str, object], message: str
) -> None:
    with pytest.raises(StartError, match=message):
        await machine.start(*command, **settings)
    assert not [path for path in machine.folder.glob("*/layer")]
    assert await machine.output("echo still alive") == "still alive\n"


async def test_stop_asks_first_and_then_kills(machine: Machine) -> None:
    polite = await machine.shell("trap 'echo bye; exit 7' TERM; echo up; while :; do sleep 0.01; done")
    await until_logged(polite, "up")
    assert (await polite.stop(30)).code == 7
    assert log(polite).endswith("bye\n")
    deaf = await machine.shell("trap '' TERM; echo up; while :; do sleep 0.01; done")
    await until_logged(deaf, "up")
    slow, fast = asyncio.create_task(deaf.stop(60)), asyncio.create_task(deaf.stop(0.05))
    assert (await fast).code == (await slow).code == 137
    ordinary = await machine.start("sleep", "600")
    assert (await ordinary.stop(30)).code == 143


async def test_daemons_end_with_their_container(machine: Machine, tmp_path: Path) -> None:
    marker = f"6{os.getpid() % 100_000:05}.{len(tmp_path.name)}"
    daemon = f"setsid sh -c 'setsid sleep {marker} & setsid sleep {marker} & sleep {marker}' &"
    for script, stop in ((f"{daemon} sleep 0.1; echo up", False), (f"{daemon} sleep 0.1; echo up; sleep 600", True)):
        container = await machine.shell(script)
        await until_logged(container, "up")
        if stop:
            assert len(running(marker)) >= 3
            await container.stop(0)
        else:
            await container.wait()
        assert running(marker) == []


def running(marker: str) -> list[int]:
    """The processes of this machine that have such an argument."""
    found: list[int] = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/cmdline", "rb") as file:
                    arguments = file.read().split(b"\0")
            except OSError:
                continue
            if marker.encode() in arguments:
                found.append(int(name))
    return found


async def test_more_memory_than_the_limit_is_the_end(machine: Machine) -> None:
    script = "import time; data = bytearray(400 << 20); print(len(data)); time.sleep(60)"
    container = await machine.start(PYTHON, "-c", script, memory_bytes=100 << 20)
    end = await container.wait()
    assert (end.code, end.reason) == (137, "OOMKilled")
    within = await machine.start(PYTHON, "-c", "print(len(bytearray(40 << 20)))", memory_bytes=100 << 20)
    assert (await within.wait()).reason == "Completed"


async def test_usage_counts_children_and_the_limit_of_the_processor_holds(machine: Machine) -> None:
    script = (
        "import time, os\nend = time.time() + 0.6\nos.fork()\n"
        "while time.time() < end: pass\nprint('spun', flush=True)\ntime.sleep(60)"
    )
    container = await machine.start(PYTHON, "-c", script, cpu=0.25)
    await until_logged(container, "spun\nspun")
    usage = container.usage()
    enforced = machine.runtime.limits()["cpu"].startswith("enforced")
    assert 0.05 < usage.cpu_seconds < (0.35 if enforced else 5)
    assert 1 << 20 < usage.memory_bytes < 200 << 20
    await container.stop(0)


async def test_commands_are_executed_in_the_container(machine: Machine) -> None:
    container = await machine.shell("cd /tmp; sleep 600", environment={"COLOUR": "green"}, working_directory="/tmp")
    session = await container.execute(("/bin/sh", "-c", "read line; echo $COLOUR $line $PWD; echo oops >&2; exit 5"))
    await session.send(b"grass\n")
    output = b"".join([chunk async for chunk in session.output()])
    assert output.startswith(b"green grass /")
    assert output.endswith(b"oops\n")
    assert await session.wait() == 5
    await session.close()
    await session.close()
    with pytest.raises(BrokenPipeError):
        await session.send(b"more")
    with pytest.raises(StartError, match="executable file not found"):
        await container.execute(("nonesuch",))
    with pytest.raises(StartError, match="is empty"):
        await container.execute(())
    await container.stop(0)
    with pytest.raises(StartError, match="does not run"):
        await container.execute(("true",))


async def test_closing_a_session_ends_its_command_and_nothing_else(machine: Machine) -> None:
    container = await machine.start("sleep", "600")
    session = await container.execute(("/bin/sh", "-c", "trap '' TERM; echo up; sleep 600"))
    assert await anext(aiter(session.output())) == b"up\n"
    await session.close()
    assert await session.wait() == 137
    assert container.running


async def test_sessions_end_with_their_container(machine: Machine) -> None:
    container = await machine.start("sleep", "600")
    session = await container.execute(("sleep", "600"))
    await container.stop(0)
    assert await session.wait() == 137
    await session.close()


async def read_until(session: ExecSession, text: bytes) -> bytes:
    """The output so far, which ends with the text or with the command."""
    output = b""
    async with asyncio.timeout(20):
        async for chunk in session.output():
            output += chunk
            if text in output:
                break
    return output


async def test_a_terminal_is_a_terminal(machine: Machine) -> None:
    container = await machine.start("sleep", "600")
    session = await container.execute(("/bin/sh",), terminal=(24, 80))
    await session.send(b"stty size; tty; echo $TERM\r")
    output = await read_until(session, b"xterm\r\n")
    assert b"24 80\r\n" in output
    assert b"/dev/pts/" in output
    await session.resize(40, 132)
    await session.send(b"stty size\r")
    await read_until(session, b"40 132\r\n")
    await session.send(b"exit 9\r")
    await read_until(session, b"never")
    assert await session.wait() == 9
    await session.close()


async def test_keys_of_a_terminal_are_signals(machine: Machine) -> None:
    container = await machine.start("sleep", "600")
    script = "import time; print('up', flush=True); time.sleep(600)"
    session = await container.execute((PYTHON, "-c", script), terminal=(24, 80))
    await read_until(session, b"up\r\n")
    await session.send(b"\x03")
    assert b"KeyboardInterrupt" in await read_until(session, b"never")
    assert await session.wait() == 128 + signal.SIGINT
    await session.close()


async def test_a_second_container_of_the_same_id_is_refused(machine: Machine) -> None:
    container = await machine.start("sleep", "600")
    with pytest.raises(StartError, match="runs already"):
        await machine.runtime.start(container.spec)


async def test_containers_are_many_and_apart(machine: Machine) -> None:
    containers = await asyncio.gather(*(machine.shell(f"echo {n}; exit {n}") for n in range(20)))
    ends = await asyncio.gather(*(container.wait() for container in containers))
    assert [end.code for end in ends] == list(range(20))
    assert [log(container) for container in containers] == [f"{n}\n" for n in range(20)]


async def test_the_loss_of_the_keeper_ends_its_containers_and_is_survived(machine: Machine) -> None:
    container = await machine.start("sleep", "600")
    child = container.init
    assert machine.runtime.keeper_pid is not None
    os.kill(machine.runtime.keeper_pid, signal.SIGKILL)
    assert (await container.wait()).code == 137
    async with asyncio.timeout(20):
        while processes.start_time(child) is not None:  # noqa: ASYNC110  # it is nobody's child any more
            await asyncio.sleep(0.005)
    assert await machine.output("echo again") == "again\n"


async def test_what_is_enforced_is_said_in_words(machine: Machine) -> None:
    await machine.output("true")
    limits = machine.runtime.limits()
    assert set(limits) == {"memory", "cpu", "filesystem", "addresses"}
    assert ("each container has its own root" in limits["filesystem"]) is machine.own_root
    assert ("paths" in limits["filesystem"]) is True


async def test_an_unknown_image_is_refused_with_the_way_out(machine: Machine) -> None:
    with pytest.raises(ImageError, match=r"'example.com/thing:1' cannot run here.*--runtime docker") as problem:
        await machine.runtime.pull("example.com/thing:1")
    assert not problem.value.denied


async def test_a_port_below_1024_that_is_not_permitted_is_explained(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    import socket

    def bind(self: socket.socket, address: tuple[str, int]) -> None:
        if address[1] < 1024:
            raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket.socket, "bind", bind)
    output = await machine.output("echo own message; exit 1", ports=(8080, 80))
    assert "own message\n" in output
    assert "may not listen on port 80: ports below 1024 need root" in output
    assert "8080" not in output


async def test_the_interpreter_runs_where_it_is(machine: Machine) -> None:
    script = "import sys, ssl, sqlite3; print(sys.version_info[:2])"
    container = await machine.start("python", "-c", script)
    await container.wait()
    assert log(container) == f"{sys.version_info[:2]}\n"
    for name in ("python3", f"python{sys.version_info[0]}.{sys.version_info[1]}"):
        assert await machine.output(f"{name} -c {shlex.quote(script)}") == log(container)
