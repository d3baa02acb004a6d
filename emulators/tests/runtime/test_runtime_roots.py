"""What a container of the process runtime sees of files, where it has a root of its own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from windtunnel_emulators.clock import RealClock
from windtunnel_emulators.images import interpreter
from windtunnel_emulators.runtime.interface import ContainerSpec, Image, Mount, StartError
from windtunnel_emulators.runtime.logs import read_log
from windtunnel_emulators.runtime.process import ProcessRuntime

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

ADDRESS = "127.77.200.2"


@pytest.fixture
async def runtime(tmp_path: Path) -> AsyncIterator[ProcessRuntime]:
    runtime = ProcessRuntime(tmp_path / "state" / "runtime", RealClock(), own_root=True, control_groups=False)
    yield runtime
    await runtime.close()


@pytest.fixture
def shell(runtime: ProcessRuntime, tmp_path: Path) -> Callable[..., Awaitable[str]]:
    """Runs a script in a container; its output."""
    count = 0

    async def shell(
        script: str, *, image: Image | None = None, mounts: tuple[Mount, ...] = (), folder: str = "/"
    ) -> str:
        nonlocal count
        count += 1
        spec = ContainerSpec(
            id=f"c_{count}.x",
            owner="test",
            image=image or Image(reference="test", digest="sha256:0"),
            command=("/bin/sh", "-c", script),
            address=ADDRESS,
            mounts=mounts,
            working_directory=folder,
            log=tmp_path / f"{count}.log",
            directory=tmp_path / "containers" / str(count),
        )
        try:
            container = await runtime.start(spec)
        except StartError as problem:
            if "cannot have a root of their own" in str(problem):
                pytest.skip(str(problem))
            raise
        await container.wait()
        return read_log(spec.log)

    return shell


@pytest.fixture
def image(tmp_path: Path) -> Image:
    root = tmp_path / "state" / "images" / "one"
    for path, content in {
        "app/main.txt": "of the image",
        "usr/share/nginx/html/index.html": "of the image too",
        "bin/own-tool": "#!/bin/sh\necho own tool\n",
        "etc/os-release": "ID=mine\n",
    }.items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
        file.chmod(0o755)
    (root / "link").symlink_to("app")
    return Image(reference="one", digest="sha256:1", root=root, working_directory="/app")


async def test_the_image_lies_over_the_machines_programs(shell: Callable[..., Awaitable[str]], image: Image) -> None:
    script = (
        "cat main.txt /usr/share/nginx/html/index.html; echo; own-tool;"
        " cat /link/main.txt /etc/os-release; ls -d /usr/share"
    )
    output = await shell(script, image=image, folder="/app")
    assert output == "of the imageof the image too\nown tool\nof the imageID=mine\n/usr/share\n"


async def test_writing_anywhere_changes_neither_image_nor_machine(
    shell: Callable[..., Awaitable[str]], image: Image, tmp_path: Path
) -> None:
    assert image.root is not None
    script = (
        "echo x > main.txt; rm /link; { echo x > /usr/bin/made-here; } 2>/dev/null; echo x >> /etc/passwd;"
        " mkdir /new; touch /tmp/t; cat main.txt"
    )
    assert await shell(script, image=image, folder="/app") == "x\n"
    assert (image.root / "app/main.txt").read_text() == "of the image"
    assert (image.root / "link").is_symlink()
    assert not (image.root / "new").exists()
    assert not Path("/usr/bin/made-here").exists()
    assert "x" not in Path("/etc/passwd").read_text().splitlines()
    assert not list(tmp_path.glob("containers/*/layer"))
    assert await shell("cat main.txt; ls /new 2>/dev/null", image=image, folder="/app") == "of the image\n"


async def test_people_and_state_of_the_machine_are_out_of_sight(
    shell: Callable[..., Awaitable[str]], tmp_path: Path
) -> None:
    secret = tmp_path / "state" / "secret.txt"
    secret.parent.mkdir(exist_ok=True)
    secret.write_text("hidden")
    home = Path.home()
    output = await shell(f"{{ cat {secret}; ls -A {home} /home /var/lib; cat /etc/shadow; }} 2>&1; ls -d {tmp_path}")
    assert "hidden" not in output
    names = {path.name for path in home.iterdir()} if home.is_dir() else set[str]()
    allowed = {path.relative_to(home).parts[0] for path in _interpreters() if path.is_relative_to(home)}
    assert names & set(output.split()) <= allowed
    assert "/etc/shadow: No such file" in output


def _interpreters() -> list[Path]:
    from windtunnel_emulators.runtime.skeleton import interpreter_folders

    return interpreter_folders()


async def test_mounts_are_at_their_exact_paths(
    shell: Callable[..., Awaitable[str]], image: Image, tmp_path: Path
) -> None:
    folder, file = tmp_path / "share", tmp_path / "one file"
    folder.mkdir()
    (folder / "a").write_text("shared\n")
    file.write_text("secret\n")
    mounts = (
        Mount(source=folder, target="/mnt/deep/down"),
        Mount(source=folder, target="/usr/share/nginx/html", read_only=True),
        Mount(source=file, target="/run/secrets/one"),
    )
    script = (
        "cat /mnt/deep/down/a /usr/share/nginx/html/a /run/secrets/one; echo new > /mnt/deep/down/b;"
        " { echo no > /usr/share/nginx/html/c; } 2>/dev/null || echo refused"
    )
    assert await shell(script, image=image, mounts=mounts) == "shared\nshared\nsecret\nrefused\n"
    assert {path.name: path.read_text() for path in folder.iterdir()} == {"a": "shared\n", "b": "new\n"}


async def test_a_link_in_an_image_does_not_lead_a_mount_out_of_it(
    shell: Callable[..., Awaitable[str]], image: Image, tmp_path: Path
) -> None:
    assert image.root is not None
    outside, share = tmp_path / "outside", tmp_path / "share"
    outside.mkdir()
    share.mkdir()
    (image.root / "data").symlink_to(outside)
    output = await shell(
        "ls -d /data/inner; touch /data/inner/made", image=image, mounts=(Mount(source=share, target="/data/inner"),)
    )
    assert output == "/data/inner\n"
    assert list(outside.iterdir()) == []
    assert [path.name for path in share.iterdir()] == ["made"]


@pytest.mark.parametrize("link", ["data", "etc", "usr/share"])
async def test_no_image_leads_the_runtime_to_the_machines_files(
    shell: Callable[..., Awaitable[str]], tmp_path: Path, link: str
) -> None:
    root, outside, share = tmp_path / "bad", tmp_path / "outside", tmp_path / "share"
    for folder in (root, outside, share):
        folder.mkdir()
    (root / link).parent.mkdir(exist_ok=True)
    (root / link).symlink_to(f"{'../' * link.count('/')}.windtunnel-host{outside}")
    bad = Image(reference="bad", digest="sha256:3", root=root)
    mounts = (Mount(source=share, target="/data/inner"), Mount(source=share, target="/usr/share/inner"))
    with pytest.raises(StartError, match=r"a link in the image makes .* lead out of the container"):
        await shell("true", image=bad, mounts=mounts)
    assert list(outside.iterdir()) == []


async def test_a_mount_of_nothing_is_refused(shell: Callable[..., Awaitable[str]], tmp_path: Path) -> None:
    with pytest.raises(StartError, match="the mount at /data has nothing behind it"):
        await shell("true", mounts=(Mount(source=tmp_path / "absent", target="/data"),))


async def test_a_container_has_processes_devices_and_names_of_its_own(shell: Callable[..., Awaitable[str]]) -> None:
    output = await shell(
        "ls /proc | grep -c '^[0-9]'; head -c 4 /dev/zero | wc -c; ls /dev/sda /dev/vda /dev/mem 2>/dev/null;"
        " hostname; cat /etc/hosts; id -u; mount -t tmpfs none /mnt 2>/dev/null || echo no mounts; ls /dev/shm /dev/pts"
    )
    lines = output.splitlines()
    assert int(lines[0]) < 10
    assert lines[1:] == [
        "4",
        "c-1-x",
        f"{ADDRESS}\tlocalhost c-1-x",
        "0",
        "no mounts",
        "/dev/pts:",
        "ptmx",
        "",
        "/dev/shm:",
    ]


async def test_root_of_a_container_cannot_change_the_machines_kernel(shell: Callable[..., Awaitable[str]]) -> None:
    # Not by writing: where this fails, the machine must stay as it is.
    output = await shell(
        "for file in sys/kernel/core_pattern sys/kernel/panic sysrq-trigger;"
        " do test -w /proc/$file && echo $file may be written; done;"
        " grep -c . /proc/sys/kernel/core_pattern; grep NoNewPrivs /proc/self/status"
    )
    assert output.split("\n") == ["1", "NoNewPrivs:\t1", ""]


async def test_packages_are_found_as_in_an_official_python_image(
    shell: Callable[..., Awaitable[str]], image: Image, tmp_path: Path
) -> None:
    packages = tmp_path / "state" / "packages"
    interpreter.prepare(packages)
    (interpreter.site_packages(packages) / "gauge.py").write_text("reading = 21\n")
    tool = interpreter.programs(packages) / "gauge"
    tool.write_text("#!/bin/sh\nexec python -c 'import gauge; print(gauge.reading)'\n")
    tool.chmod(0o755)
    with_packages = Image(reference="one", digest="sha256:1", root=image.root, packages=packages)
    script = "gauge; /usr/local/bin/gauge; /usr/local/bin/python -c 'import gauge; print(gauge.reading)'; ls /app"
    assert await shell(script, image=with_packages) == "21\n21\n21\nmain.txt\n"
    assert "No module named 'gauge'" in await shell("/usr/local/bin/python -c 'import gauge'", image=image)


async def test_a_name_with_commas_and_colons_is_no_obstacle(
    shell: Callable[..., Awaitable[str]], tmp_path: Path
) -> None:
    root = tmp_path / "odd, name: with \\ signs"
    root.mkdir()
    (root / "file").write_text("found\n")
    odd = Image(reference="odd", digest="sha256:2", root=root)
    assert await shell("cat /file", image=odd, mounts=(Mount(source=root, target="/mnt/a:b,c"),)) == "found\n"


async def test_the_layer_in_memory_works_as_the_one_on_disk(tmp_path: Path, image: Image) -> None:
    from windtunnel_emulators.runtime.connection import KeeperConnection
    from windtunnel_emulators.runtime.filesystem import OwnRoot, order
    from windtunnel_emulators.runtime.roots import Roots

    (tmp_path / "r").mkdir()
    roots = OwnRoot(Roots(tmp_path / "r" / "skeleton", in_memory=True), in_memory=True)
    directory = tmp_path / "c"
    directory.mkdir()
    spec = ContainerSpec(id="m", owner="test", image=image, address=ADDRESS, log=tmp_path / "log", directory=directory)
    keeper = KeeperConnection()
    read, write = os.pipe()
    null = os.open(os.devnull, os.O_RDWR)
    try:
        argv = ("/bin/sh", "-c", "echo new > main.txt; cat main.txt; own-tool")
        child = await keeper.launch(order("m", argv, roots.surround(spec)), [null, write, write])
        assert await child.code == 0
        os.close(write)
        assert os.read(read, 1000) == b"new\nown tool\n"
        assert list((directory / "layer").iterdir()) == []
    except StartError as problem:
        os.close(write)
        pytest.skip(str(problem))
    finally:
        os.close(read)
        os.close(null)
        await keeper.close()
