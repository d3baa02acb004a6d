"""The docker runtime on a real engine. ``.ci/docker-engine`` makes one, and a base image, where there is none."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import windtunnel_emulators
from windtunnel_emulators.clock import Pace, RealClock
from windtunnel_emulators.jsontypes import as_list, as_str
from windtunnel_emulators.runtime.builder import BuildFailed, ImageBuilder
from windtunnel_emulators.runtime.docker import DockerRuntime
from windtunnel_emulators.runtime.engine.client import Engine, EngineProblem
from windtunnel_emulators.runtime.engine.guard import LABEL
from windtunnel_emulators.runtime.group import ContainerGroup
from windtunnel_emulators.runtime.interface import ContainerSpec, Credentials, ImageError, Mount, StartError
from windtunnel_emulators.runtime.logs import read_log
from windtunnel_emulators.runtime.plan import ContainerPlan, GroupPlan, HttpAction, Probe, RestartPolicy
from windtunnel_emulators.runtime.status import GroupState

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from windtunnel_emulators.registry.pull import FetchedManifest
    from windtunnel_emulators.runtime.engine.container import EngineContainer

pytestmark = pytest.mark.docker

BASE = os.environ.get("WINDTUNNEL_TEST_BASE", "windtunnel-test/python:3.11")
SERVE = ("python3", "-m", "http.server", "8099")


class NoRegistries:
    def owns(self, reference: str) -> bool:
        return False

    def local_name(self, reference: str) -> str:
        return reference

    def fetch(self, reference: str, credentials: Sequence[Credentials] = ()) -> FetchedManifest:
        raise AssertionError(reference)


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """Answers, and has the base image."""
    engine = Engine()
    try:
        engine.call_here(lambda api: api.version())
        engine.call_here(lambda api: api.inspect_image(BASE))
    except EngineProblem as problem:
        engine.close()
        pytest.skip(f"{problem} (.ci/docker-engine makes an engine and the image)")
    yield engine
    engine.close()


class Machine:
    """One runtime, and a short way to start something on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.runtime = DockerRuntime(folder / "runtime", RealClock(), NoRegistries())
        self._count = 0

    async def start(self, *command: str, owner: str = "group", **settings: Any) -> EngineContainer:
        self._count += 1
        usual: dict[str, Any] = {
            "id": f"test.{self._count}",
            "owner": owner,
            "image": await self.runtime.pull(BASE),
            "command": command,
            "address": self.runtime.allocate_address(owner),
            "log": self.folder / f"{self._count}.log",
            "directory": self.folder / f"{self._count}",
        }
        return await self.runtime.start(ContainerSpec(**usual | settings))


@pytest.fixture
async def machine(engine: Engine, tmp_path: Path) -> AsyncIterator[Machine]:
    machine = Machine(tmp_path)
    await machine.runtime.start_up()
    yield machine
    await machine.runtime.close()
    assert left(engine, machine) == []


def left(engine: Engine, machine: Machine) -> list[str]:
    """The containers that the runtime has at the engine."""
    key = machine.runtime.key
    found = engine.call_here(lambda api: api.containers(all=True, filters={"label": f"{LABEL}={key}"}))
    return [as_str(as_list(entry.get("Names"))[0]) for entry in found]


async def ask(address: str, port: int = 8099) -> bytes:
    """The first line that a web server answers, once it does."""
    async with asyncio.timeout(20):
        while True:
            try:
                reader, writer = await asyncio.open_connection(address, port)
                writer.write(b"GET / HTTP/1.0\r\n\r\n")
                line = await reader.readline()
                writer.close()
            except OSError:
                line = b""
            if line:
                return line
            await asyncio.sleep(0.02)


async def test_a_container_runs_to_its_end(engine: Engine, machine: Machine) -> None:
    script = "import os, sys; print(os.environ['A'], os.getcwd()); print('bad', file=sys.stderr); sys.exit(5)"
    container = await machine.start("python3", "-c", script, environment={"A": "b=c"}, working_directory="/tmp")
    end = await container.wait()
    assert (end.code, end.reason) == (5, "Error")
    assert end.started <= end.finished
    lines = [line.split(b" ", 2)[1:] for line in container.spec.log.read_bytes().splitlines()]
    assert sorted(lines) == [[b"stderr", b"bad"], [b"stdout", b"b=c /tmp"]]
    assert (await container.stop(0), container.running) == (end, False)
    assert left(engine, machine) != []
    with pytest.raises(StartError, match="does not run"):
        await container.execute(("true",))


async def test_the_containers_of_a_group_are_localhost_to_each_other(machine: Machine) -> None:
    server = await machine.start(*SERVE, group_ports=(8099, 8100))
    assert b"200" in await ask(server.spec.address)
    script = "import urllib.request as u; print(u.urlopen('http://localhost:8099/').status)"
    client = await machine.start("python3", "-c", script, group_ports=(8099, 8100))
    await client.wait()
    assert read_log(client.spec.log) == "200\n"


async def test_groups_may_use_the_same_port(machine: Machine) -> None:
    if not machine.runtime.limits()["addresses"].startswith("each"):
        pytest.skip("this machine has only one loopback address")
    servers = [await machine.start(*SERVE, owner=owner, ports=(8099,)) for owner in ("one", "two")]
    assert servers[0].spec.address != servers[1].spec.address
    for server in servers:
        assert b"200" in await ask(server.spec.address)


async def test_what_cannot_be_started_says_why(engine: Engine, machine: Machine) -> None:
    with pytest.raises(StartError, match=r"\"nonesuch\": executable file not found"):
        await machine.start("nonesuch")
    with pytest.raises(StartError, match="nothing behind it"):
        await machine.start("true", mounts=(Mount(source=machine.folder / "absent", target="/x"),))
    assert len(left(engine, machine)) == 1


async def test_a_port_in_use_is_an_error_of_the_start(machine: Machine) -> None:
    address = machine.runtime.allocate_address("group")
    taken = await asyncio.start_server(lambda reader, writer: None, address, 8099)
    async with taken:
        with pytest.raises(StartError, match=rf"network of group at {address} \(ports 8099\) cannot be made"):
            await machine.start(*SERVE, ports=(8099,))


async def test_limits_hold(machine: Machine) -> None:
    container = await machine.start("python3", "-c", "print(len(bytearray(300 << 20)))", memory_bytes=100 << 20)
    end = await container.wait()
    assert (end.code, end.reason) == (137, "OOMKilled")


async def test_mounts_are_at_their_exact_paths(machine: Machine) -> None:
    share = machine.folder / "share"
    share.mkdir()
    (share / "a").write_text("shared\n")
    mounts = (Mount(source=share, target="/mnt/rw"), Mount(source=share, target="/mnt/ro", read_only=True))
    script = "cat /mnt/rw/a; echo new > /mnt/rw/b; { echo no > /mnt/ro/c; } 2>/dev/null || echo refused"
    container = await machine.start("sh", "-c", script, mounts=mounts)
    await container.wait()
    assert read_log(container.spec.log) == "shared\nrefused\n"
    assert sorted(path.name for path in share.iterdir()) == ["a", "b"]


async def test_stop_asks_first_and_then_kills(machine: Machine) -> None:
    polite = await machine.start("sh", "-c", "trap 'exit 7' TERM; while :; do sleep 0.05; done")
    deaf = await machine.start("sleep", "600")
    await asyncio.sleep(0.2)
    assert (await polite.stop(30)).code == 7
    assert (await deaf.stop(0.1)).code == 137


async def test_commands_are_executed_in_the_container(machine: Machine) -> None:
    container = await machine.start("sleep", "600", environment={"COLOUR": "green"})
    session = await container.execute(("sh", "-c", "echo early; read line; echo $COLOUR $line; echo oops >&2; exit 5"))
    await session.send(b"grass\n")
    output = b"".join([chunk async for chunk in session.output()])
    # The engine keeps the order of each stream, not of the two.
    assert output.replace(b"oops\n", b"", 1) == b"early\ngreen grass\n"
    assert await session.wait() == 5
    await session.close()
    with pytest.raises(BrokenPipeError):
        await session.send(b"more")
    with pytest.raises(StartError, match="executable file not found"):
        await container.execute(("nonesuch",))
    sleeping = await container.execute(("sleep", "600"))
    await sleeping.close()
    assert await sleeping.wait() == 137
    assert container.running
    assert container.usage().memory_bytes > 0


async def test_a_terminal_is_a_terminal(machine: Machine) -> None:
    container = await machine.start("sleep", "600")
    session = await container.execute(("sh",), terminal=(24, 80))
    await session.send(b"stty size; tty\r")
    output = b""
    async with asyncio.timeout(20):
        async for chunk in session.output():
            output += chunk
            if b"/dev/pts/0\r\n" in output:
                break
    assert b"24 80\r\n" in output
    await session.resize(40, 132)
    await session.send(b"stty size; exit 3\r")
    assert b"40 132\r\n" in b"".join([chunk async for chunk in session.output()])
    assert await session.wait() == 3
    await session.close()


async def test_a_group_is_supervised_as_on_any_runtime(machine: Machine) -> None:
    probe = Probe(action=HttpAction(port=8099), period_s=0.1)
    plan = GroupPlan(
        owner="supervised",
        containers=(
            ContainerPlan(name="server", image=BASE, command=SERVE, readiness=probe),
            ContainerPlan(name="job", image=BASE, command=("sh", "-c", "exit 3")),
        ),
        restart_policy=RestartPolicy.ALWAYS,
    )
    group = ContainerGroup(
        plan,
        runtime=machine.runtime,
        clock=RealClock(),
        pace=Pace.parse("fast"),
        folder=machine.folder / "group",
    )
    await group.start()
    async with asyncio.timeout(60):
        status = await group.wait(lambda s: s.containers[0].ready and s.containers[1].restarts >= 2)
    assert status.state is GroupState.RUNNING
    assert status.containers[1].previous is not None
    assert status.containers[1].previous.exit_code == 3
    await group.stop(0)
    assert group.status.state is GroupState.STOPPED


async def test_an_image_that_cannot_be_pulled_is_refused(machine: Machine) -> None:
    with pytest.raises(ImageError, match="'localhost:1/nothing:1' cannot be pulled"):
        await machine.runtime.pull("localhost:1/nothing:1")
    with pytest.raises(ImageError, match="is not an image reference"):
        await machine.runtime.pull("NOT VALID")


def context(path: Path, dockerfile: str) -> Path:
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as tar:
        for name, content in {"Dockerfile": dockerfile, "word": "hello"}.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content.encode()))
    return path


@pytest.mark.parametrize("name", ["context.tar", "context.tar.gz"])
async def test_any_dockerfile_is_built(engine: Engine, machine: Machine, name: str) -> None:
    builder: ImageBuilder = machine.runtime
    assert isinstance(machine.runtime, ImageBuilder)
    dockerfile = (
        f"FROM {BASE} AS wanted\nARG WHO\nCOPY word /word\nRUN echo $(cat /word) $WHO > /said\n"
        'CMD ["cat", "/said"]\nFROM wanted AS last\nRUN false\n'
    )
    log: list[str] = []
    image = await builder.build_image(
        context=context(machine.folder / name, dockerfile),
        dockerfile="Dockerfile",
        arguments={"WHO": "you"},
        target="wanted",
        cache=False,
        log=log.append,
    )
    await asyncio.sleep(0)
    assert image.startswith("sha256:")
    assert any("RUN echo" in line for line in log)
    tag = f"windtunnel-test/built-{os.getpid()}"
    engine.call_here(lambda api: api.tag(image, tag, "1"))
    container = await machine.start(image=await machine.runtime.pull(f"{tag}:1"))
    await container.wait()
    assert read_log(container.spec.log) == "hello you\n"
    credentials = Credentials(server="localhost:1", username="u", password="p")
    with pytest.raises(BuildFailed, match="connection refused"):
        await builder.push_image(image, ["localhost:1/built:1"], credentials, log.append)
    with pytest.raises(EngineProblem, match="No such image"):
        engine.call_here(lambda api: api.inspect_image("localhost:1/built:1"))
    engine.call_here(lambda api: api.remove_image(f"{tag}:1", noprune=False))


async def test_a_build_that_fails_says_so(machine: Machine) -> None:
    log: list[str] = []
    with pytest.raises(BuildFailed, match="returned a non-zero code: 1"):
        await machine.runtime.build_image(
            context=context(machine.folder / "c.tar", f"FROM {BASE}\nRUN echo trying; false\n"),
            dockerfile="Dockerfile",
            arguments={},
            target=None,
            cache=True,
            log=log.append,
        )
    await asyncio.sleep(0)
    assert "trying" in log


KILLED = """
import asyncio, sys
from pathlib import Path
from windtunnel_emulators.clock import RealClock
from windtunnel_emulators.runtime.docker import DockerRuntime
from windtunnel_emulators.runtime.interface import ContainerSpec

class None_:
    def owns(self, reference): return False

async def main(folder, base):
    runtime = DockerRuntime(folder / "runtime", RealClock(), None_())
    await runtime.start_up()
    spec = ContainerSpec(id="c", owner="o", image=await runtime.pull(base), command=("sleep", "600"),
        address="127.0.0.1", log=folder / "log", directory=folder / "c")
    await runtime.start(spec)
    print("up", flush=True)
    await asyncio.Event().wait()

asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
"""


def emulators(folder: Path) -> subprocess.Popen[bytes]:
    packages = str(Path(windtunnel_emulators.__file__).parents[1])
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(folder), BASE],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([packages, *sys.path])},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"up\n"
    return process


async def test_killed_emulators_leave_nothing_at_the_engine(engine: Engine, machine: Machine) -> None:
    process = await asyncio.to_thread(emulators, machine.folder)
    assert len(left(engine, machine)) == 2
    process.send_signal(signal.SIGKILL)
    await asyncio.to_thread(process.communicate)
    async with asyncio.timeout(30):
        while left(engine, machine):  # noqa: ASYNC110  # nothing else says when the engine is done
            await asyncio.sleep(0.05)


async def test_a_start_ends_what_was_left(engine: Engine, machine: Machine) -> None:
    container = await machine.start("sleep", "600")
    other = DockerRuntime(machine.folder / "runtime", RealClock(), NoRegistries())
    await other.start_up()
    assert left(engine, machine) == []
    assert (await container.wait()).code == 137
    await other.close()
