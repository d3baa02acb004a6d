"""Each stand-in of the catalogue really answers, with a root of its own and without."""

from __future__ import annotations

import asyncio
import http.client
import re
from typing import TYPE_CHECKING

import pytest

from windtunnel_emulators.clock import RealClock
from windtunnel_emulators.images.interpreter import VERSION
from windtunnel_emulators.runtime.interface import ContainerSpec, ImageError, StartError
from windtunnel_emulators.runtime.logs import read_log
from windtunnel_emulators.runtime.process import ProcessRuntime
from windtunnel_emulators.standins.catalogue import StandIns, catalogue

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from windtunnel_emulators.runtime.process_container import ProcessContainer

MCR = "mcr.microsoft.com/azuredocs"


class Tutorial:
    """Runs images by name."""

    def __init__(self, folder: Path, *, own_root: bool) -> None:
        self.folder = folder
        self.runtime = ProcessRuntime(
            folder / "runtime",
            RealClock(),
            [StandIns(folder / "runtime" / "standins")],
            own_root=own_root,
            control_groups=False,
        )
        self.address = self.runtime.allocate_address("tutorial")
        self._count = 0

    async def run(self, reference: str, *command: str, **environment: str) -> ProcessContainer:
        self._count += 1
        image = await self.runtime.pull(reference)
        return await self.runtime.start(
            ContainerSpec(
                id=str(self._count),
                owner="tutorial",
                image=image,
                command=command,
                environment=environment,
                address=self.address,
                log=self.folder / f"{self._count}.log",
                directory=self.folder / str(self._count),
            )
        )

    async def output(self, reference: str, *command: str, **environment: str) -> str:
        container = await self.run(reference, *command, **environment)
        end = await container.wait()
        output = read_log(container.spec.log)
        assert end.code == 0, output
        return output

    async def logged(self, container: ProcessContainer, text: str) -> str:
        """The output, once the text is in it."""
        async with asyncio.timeout(20):
            while text not in (output := read_log(container.spec.log)):
                assert container.running, output
                await asyncio.sleep(0.005)
        return output

    async def get(self, path: str) -> tuple[int, str]:
        def ask() -> tuple[int, str]:
            connection = http.client.HTTPConnection(self.address, 80, timeout=20)
            connection.request("GET", path)
            answer = connection.getresponse()
            body = answer.read().decode()
            connection.close()
            return answer.status, body

        return await asyncio.to_thread(ask)


@pytest.fixture(params=[True, False], ids=["own root", "shared root"])
async def tutorial(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Tutorial]:
    tutorial = Tutorial(tmp_path, own_root=request.param)
    try:
        container = await tutorial.run("alpine")
        await container.wait()
    except StartError as problem:
        await tutorial.runtime.close()
        pytest.skip(str(problem))
    yield tutorial
    await tutorial.runtime.close()


@pytest.fixture
def privileged(tutorial: Tutorial) -> None:
    """Port 80 may be used here."""
    import socket

    with socket.socket() as probe:
        try:
            probe.bind((tutorial.address, 80))
        except PermissionError:
            pytest.skip("this user may not listen on port 80")


@pytest.mark.usefixtures("privileged")
async def test_helloworld_serves_its_page(tutorial: Tutorial) -> None:
    container = await tutorial.run(f"{MCR}/aci-helloworld")
    assert await tutorial.logged(container, "\n") == "listening on port 80\n"
    status, body = await tutorial.get("/")
    assert (status, "<title>Welcome to Azure Container Instances!</title>" in body) == (200, True)
    assert (await tutorial.get("/absent"))[0] == 404
    assert '"GET / HTTP/1.1" 200' in await tutorial.logged(container, "GET / ")
    second = await tutorial.run(f"{MCR}/aci-helloworld:latest")
    assert (await second.wait()).code == 1
    assert f"cannot listen on {tutorial.address}:80: Address already in use" in read_log(second.spec.log)
    assert (await container.stop(20)).code == 0


@pytest.mark.usefixtures("privileged")
async def test_nginx_serves_its_folder_of_static_files(tutorial: Tutorial) -> None:
    container = await tutorial.run("nginx:1.27-alpine")
    await tutorial.logged(container, "listening")
    assert "<title>Welcome to nginx!</title>" in (await tutorial.get("/"))[1]
    session = await container.execute(("/bin/sh", "-c", 'echo mine > "$WINDTUNNEL_HTML/own.txt"'))
    assert await session.wait() == 0
    await session.close()
    assert await tutorial.get("/own.txt") == (200, "mine\n")
    await container.stop(20)


@pytest.mark.usefixtures("privileged")
async def test_the_sidecar_sees_the_web_server_of_its_group(tutorial: Tutorial) -> None:
    server = await tutorial.run(f"{MCR}/aci-helloworld")
    await tutorial.logged(server, "listening")
    sidecar = await tutorial.run(f"{MCR}/aci-tutorial-sidecar:latest")
    assert "HTTP/1.1 200 OK" in await tutorial.logged(sidecar, "Content-Length")


async def test_the_sidecar_says_when_nothing_answers(tutorial: Tutorial) -> None:
    sidecar = await tutorial.run(f"{MCR}/aci-tutorial-sidecar")
    await tutorial.logged(sidecar, "no answer from localhost port 80")


async def test_wordcount_counts_words(tutorial: Tutorial) -> None:
    assert (await tutorial.output(f"{MCR}/aci-wordcount")).startswith("[('the', 21), ('to', 15), ('of', 15), ")
    long = await tutorial.output(f"{MCR}/aci-wordcount:latest", NumWords="2", MinLength="10")
    words = re.findall(r"\('([a-z']+)', \d+\)", long)
    assert len(words) == 2
    assert all(len(word) >= 10 for word in words)


async def test_wordcount_refuses_nonsense(tutorial: Tutorial) -> None:
    container = await tutorial.run(f"{MCR}/aci-wordcount", NumWords="many")
    assert (await container.wait()).code == 1
    assert read_log(container.spec.log) == "NumWords must be a whole number, not 'many'\n"
    container = await tutorial.run(f"{MCR}/aci-wordcount", "python", "wordcount.py", "file:///etc/passwd")
    assert (await container.wait()).code == 1
    assert "is not an http or https address" in read_log(container.spec.log)


@pytest.mark.usefixtures("privileged")
async def test_wordcount_counts_what_it_is_pointed_at(tutorial: Tutorial) -> None:
    server = await tutorial.run("nginx")
    await tutorial.logged(server, "listening")
    url = f"http://{tutorial.address}/"
    output = await tutorial.output(f"{MCR}/aci-wordcount", "python", "wordcount.py", url, NumWords="1", MinLength="5")
    assert "nginx" in output


async def test_hello_world_greets(tutorial: Tutorial) -> None:
    assert "Hello from Docker!\n(In truth from Windtunnel" in await tutorial.output("hello-world")


@pytest.mark.parametrize("reference", ["alpine:3.20", "busybox", "debian:bookworm-slim", "ubuntu:24.04"])
async def test_base_images_have_a_shell_and_tools(tutorial: Tutorial, reference: str) -> None:
    assert await tutorial.output(reference) == ""
    script = "echo b > /tmp/x; echo a >> /tmp/x; sort /tmp/x | tr a-z A-Z; rm /tmp/x"
    assert await tutorial.output(reference, "/bin/sh", "-c", script) == "A\nB\n"


async def test_python_has_its_library_and_nothing_else(tutorial: Tutorial) -> None:
    reference = f"python:{VERSION}-slim"
    assert await tutorial.output(reference) == ""
    assert await tutorial.output(reference, "python", "-c", "import ssl; print(6 * 7)") == "42\n"
    container = await tutorial.run(reference, "/bin/sh", "-c", "python3 -c 'import windtunnel_emulators'")
    assert (await container.wait()).code == 1
    assert "No module named" in read_log(container.spec.log)


async def test_each_says_that_it_stands_in(tmp_path: Path) -> None:
    source = StandIns(tmp_path)
    for entry in catalogue():
        assert not entry.sentence.endswith(".")
        assert "stand" in entry.sentence
        for name in entry.names:
            tag = next(t for t in ("latest", "stable", "3") if entry.has(t))
            image = await source.fetch(f"{name}:{tag}", ())
            assert image.stand_in == entry.sentence
            assert re.fullmatch("sha256:[0-9a-f]{64}", image.digest)


@pytest.mark.parametrize(
    "reference",
    ["nginx:no-such-tag", "docker.io/library/alpine:4", f"{MCR}/aci-helloworld:beta", "python:2.7", "ubuntu:99.99"],
)
async def test_a_tag_that_the_real_repository_lacks_is_refused(tmp_path: Path, reference: str) -> None:
    source = StandIns(tmp_path)
    assert source.owns(reference)
    with pytest.raises(ImageError, match="does not know") as problem:
        await source.fetch(reference, ())
    assert problem.value.denied


async def test_a_digest_is_taken_as_it_is(tmp_path: Path) -> None:
    digest = f"sha256:{'b9' * 32}"
    image = await StandIns(tmp_path).fetch(f"{MCR}/aci-helloworld@{digest}", ())
    assert (image.digest, image.stand_in is None) == (digest, False)


@pytest.mark.parametrize("reference", ["example.com/nginx", "me/alpine", "nginxx", "localhost:5000/nginx", "NOT VALID"])
def test_other_images_are_none_of_its_business(tmp_path: Path, reference: str) -> None:
    assert not StandIns(tmp_path).owns(reference)


async def test_what_it_writes_is_written_once(tmp_path: Path) -> None:
    source = StandIns(tmp_path)
    roots = [
        (await source.fetch(name, ())).root for name in ("nginx", "nginx:latest", "docker.io/library/nginx:stable")
    ]
    assert roots[0] is not None
    assert roots == [roots[0]] * 3
    assert (roots[0] / "usr/sbin/nginx").stat().st_mode & 0o777 == 0o755
    assert (roots[0] / "usr/share/nginx/html/index.html").stat().st_mode & 0o777 == 0o644
    assert [path.name for path in tmp_path.iterdir()] == [roots[0].name]


async def test_containers_that_pull_at_the_same_time_all_get_the_image(tmp_path: Path) -> None:
    source = StandIns(tmp_path / "made" / "by the first")
    images = await asyncio.gather(*(source.fetch("nginx:1.27", ()) for _ in range(16)))
    roots = {image.root for image in images}
    assert len(roots) == 1
    (root,) = roots
    assert root is not None
    assert [path.name for path in root.parent.iterdir()] == [root.name]
