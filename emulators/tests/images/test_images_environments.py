from __future__ import annotations

import asyncio
import base64
import errno
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from windtunnel_emulators.images import frozen, interpreter
from windtunnel_emulators.images.environments import Environments
from windtunnel_emulators.images.errors import EnvironmentError_
from windtunnel_emulators.images.resolution import Request
from windtunnel_emulators.images.wheels import Wheel, inspect, unpack


def make_wheel(
    folder: Path, name: str, version: str, requires: tuple[str, ...] = (), *, extra: str = "", code: str = ""
) -> Wheel:
    """A wheel of one module of the same name, with a program."""
    information = f"{name}-{version}.dist-info"
    lines = [f"Name: {name}", f"Version: {version}", *(f"Requires-Dist: {one}" for one in requires)]
    files = {
        f"{name}.py": f"version = {version!r}\ndef main():\n    print('{name}', version)\n{code}\n",
        f"{information}/METADATA": "\n".join(["Metadata-Version: 2.1", *lines, extra, ""]),
        f"{information}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{information}/entry_points.txt": f"[console_scripts]\n{name} = {name}:main\n",
    }
    record = "".join(f"{path},sha256={digest(text)},{len(text)}\n" for path, text in files.items())
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in (files | {f"{information}/RECORD": record + f"{information}/RECORD,,\n"}).items():
            archive.writestr(zipfile.ZipInfo(file), text)
    return inspect(path)


def digest(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


class Machine:
    """An interpreter's packages in a folder of their own, and environments linked from them."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "machine"
        self.folder = folder / "environments"
        interpreter.prepare(self.home)
        self.lines: list[str] = []
        self.environments = self.again()

    def again(self, **environment: str) -> Environments:
        """As another process would have it."""
        return Environments(
            self.folder,
            path=[str(interpreter.site_packages(self.home))],
            environment={"PATH": os.environ["PATH"]} | environment,
            install_limit_s=60,
        )

    def has(self, *wheels: Wheel) -> None:
        for wheel in wheels:
            unpack(wheel.file, wheel.sha256, self.home, self.home)

    def lacks(self, name: str) -> None:
        for path in interpreter.site_packages(self.home).glob(f"{name}[.-]*"):
            path.unlink() if path.is_file() else shutil.rmtree(path)

    async def install(self, *requirements: str, **fields: object) -> tuple[dict[str, str], Path]:
        request = Request(requirements=requirements, **fields)  # type: ignore[arg-type]  # the fields of a request
        environment = await self.environments.install(request, self.lines.append)
        return {pin.name: pin.version for pin in environment.pins}, environment.packages


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    return tmp_path / "shelf"


def run(packages: Path, code: str) -> str:
    start, environment = interpreter.interpreter_environment(packages)
    result = subprocess.run([*start, "-c", code], env=environment, capture_output=True, text=True, check=False)
    return result.stdout.strip() or result.stderr.strip().splitlines()[-1]


def output_of(*arguments: str | Path) -> tuple[str, str]:
    result = subprocess.run(arguments, capture_output=True, text=True, check=True)
    return result.stdout, result.stderr


async def test_what_is_installed_is_linked_with_all_it_requires_and_nothing_else(machine: Machine, shelf: Path) -> None:
    machine.has(
        make_wheel(shelf, "dial", "2.0", ("needle>=1", "unneeded; python_version<'3'", "wide; extra=='wide'")),
        make_wheel(shelf, "needle", "1.5"),
        make_wheel(shelf, "wide", "1.0"),
        make_wheel(shelf, "other", "1.0"),
    )
    pins, packages = await machine.install("dial==2.0")
    assert pins == {"dial": "2.0", "needle": "1.5"}
    assert run(packages, "import dial, needle; print(dial.version, needle.version)") == "2.0 1.5"
    assert run(packages, "import other") == "ModuleNotFoundError: No module named 'other'"
    assert run(packages, "import importlib.metadata as m; print([d.name for d in m.distributions()])") in (
        "['dial', 'needle']",
        "['needle', 'dial']",
    )
    assert machine.lines == []
    pins, _ = await machine.install("Dial[wide]")
    assert pins == {"dial": "2.0", "needle": "1.5", "wide": "1.0"}


async def test_packages_on_another_disk_are_linked_too(
    tmp_path: Path, machine: Machine, shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(source: str, target: str) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link", source, None, target)

    monkeypatch.setattr(os, "link", refuse)
    machine.has(make_wheel(shelf, "dial", "2.0"))
    environment = await machine.environments.install(Request(requirements=("dial",)))
    assert run(environment.packages, "import dial; print(dial.version)") == "2.0"
    machine.lacks("dial")
    with pytest.raises(EnvironmentError_, match="exit code 3"):
        await machine.again(PATH=fake_uv(tmp_path / "bin", "exit 3")).get(environment.pins)


async def test_an_environment_stays_whole_when_the_machine_loses_its_packages(machine: Machine, shelf: Path) -> None:
    machine.has(make_wheel(shelf, "dial", "2.0"))
    environment = await machine.environments.install(Request(requirements=("dial",)))
    machine.lacks("dial")
    assert run(environment.packages, "import dial; print(dial.version)") == "2.0"
    assert await machine.again().get(environment.pins) == environment.packages


async def test_the_last_of_two_packages_with_the_same_file_wins(machine: Machine, shelf: Path) -> None:
    machine.has(make_wheel(shelf, "dial", "2.0"), make_wheel(shelf, "needle", "1.5"))
    record = interpreter.site_packages(machine.home) / "needle-1.5.dist-info/RECORD"
    record.write_text(record.read_text() + "dial.py,,\n")
    _, packages = await machine.install("dial", "needle")
    assert run(packages, "import dial, needle; print(dial.version)") == "2.0"


async def test_the_programs_of_linked_packages_run_in_their_environment(machine: Machine, shelf: Path) -> None:
    machine.has(make_wheel(shelf, "dial", "2.0", code="import sys; sys.stderr.write(sys.prefix)"))
    _, packages = await machine.install("dial")
    found = interpreter.find_program(packages, "dial")
    assert found is not None
    assert output_of(*found) == ("dial 2.0\n", str(packages))


async def test_the_packages_of_this_very_interpreter_can_be_linked(tmp_path: Path) -> None:
    environment = await Environments(tmp_path).install(Request(requirements=("numpy",)))
    assert run(environment.packages, "import numpy; print(int(numpy.arange(7).sum()))") == "21"
    assert run(environment.packages, "import windtunnel_emulators").startswith("ModuleNotFoundError")
    assert run(environment.packages, "import msgspec").startswith("ModuleNotFoundError")


async def test_wheels_of_the_image_come_first_and_are_unpacked(machine: Machine, shelf: Path) -> None:
    machine.has(make_wheel(shelf / "old", "dial", "1.0"), make_wheel(shelf, "needle", "1.5"))
    wheel = make_wheel(shelf, "dial", "2.0", ("needle",))
    pins, packages = await machine.install(wheels=(wheel,))
    assert pins == {"dial": "2.0", "needle": "1.5"}
    assert run(packages, "import dial; print(dial.version)") == "2.0"
    pins, _ = await machine.install("dial<3", "needle", offered=(wheel, make_wheel(shelf, "dial", "3.0")))
    assert pins == {"dial": "2.0", "needle": "1.5"}


async def test_without_an_index_only_the_offered_wheels_count(machine: Machine, shelf: Path) -> None:
    machine.has(make_wheel(shelf / "elsewhere", "dial", "2.0"))
    needle = make_wheel(shelf, "needle", "1.5")
    pins, _ = await machine.install("needle", offered=(needle,), index=False)
    assert pins == {"needle": "1.5"}
    with pytest.raises(EnvironmentError_, match="could not install the packages"):
        await machine.install("dial", offered=(needle,), index=False)


async def test_the_same_content_is_the_same_folder_and_another_is_another(machine: Machine, shelf: Path) -> None:
    machine.has(make_wheel(shelf, "dial", "2.0"), make_wheel(shelf, "needle", "1.5"))
    _, first = await machine.install("dial", "needle")
    _, second = await machine.install("needle", "dial>=1")
    _, third = await machine.install("dial")
    assert first == second
    assert first != third


async def test_an_environment_is_made_anew_when_the_machine_has_other_files(machine: Machine, shelf: Path) -> None:
    machine.has(make_wheel(shelf, "dial", "2.0"))
    _, first = await machine.install("dial")
    machine.lacks("dial")
    machine.has(make_wheel(shelf / "more", "dial", "2.0", code="version = 'patched, and longer'"))
    _, second = await machine.install("dial")
    assert first != second
    assert run(second, "import dial; print(dial.version)") == "patched, and longer"


def installers() -> list[str]:
    has_pip = (
        importlib.util.find_spec("pip")
        or not subprocess.run(
            [interpreter.base_interpreter(), "-c", "import pip"], capture_output=True, check=False
        ).returncode
    )
    return [*(["uv"] if shutil.which("uv") else []), *(["pip"] if has_pip else [])]


def only(tool: str, folder: Path) -> str:
    """A PATH with this installer alone."""
    folder.mkdir()
    if tool == "uv":
        (folder / "uv").symlink_to(shutil.which("uv") or "uv")
    return str(folder)


@pytest.mark.parametrize("tool", installers())
async def test_what_is_not_here_is_installed_for_real(tmp_path: Path, machine: Machine, shelf: Path, tool: str) -> None:
    machine.environments = machine.again(PATH=only(tool, tmp_path / "bin"))
    dial = make_wheel(shelf, "dial", "2.0", ("needle<2",))
    offered = (dial, make_wheel(shelf, "needle", "1.5"), make_wheel(shelf, "needle", "3.0"))
    # The first that fits "needle" is 3.0, and then dial does not fit: finding a way is the installer's work.
    pins, packages = await machine.install("dial", "needle", offered=offered, index=False)
    assert pins == {"dial": "2.0", "needle": "1.5"}
    assert machine.lines[0] == "dial 2.0 needs needle<2, and here is needle 3.0; installing"
    assert run(packages, "import dial, needle; print(needle.version)") == "1.5"
    assert output_of(packages / "bin/dial") == ("dial 2.0\n", "")
    count = len(machine.lines)
    assert (await machine.install("dial", "needle", offered=offered, index=False))[1] == packages
    assert machine.lines[count:] == [machine.lines[0], " ---> Using cache"]
    count = len(machine.lines)
    anew = Request(requirements=("dial", "needle"), offered=offered, index=False)
    await machine.environments.install(anew, machine.lines.append, cache=False)
    assert " ---> Using cache" not in machine.lines[count:]
    # What the image keeps is enough to find it again.
    (tmp_path / "root" / frozen.WHEELS).mkdir(parents=True)
    environment = await machine.environments.install(
        Request(requirements=("dial", "needle"), offered=offered, index=False)
    )
    (tmp_path / "root" / frozen.PACKAGES).write_bytes(frozen.encode(environment.pins))
    for wheel in offered:
        shutil.copy(wheel.file, tmp_path / "root" / frozen.WHEELS)
    assert run(await machine.environments.of_image(tmp_path / "root"), "import dial; print(dial.version)") == "2.0"


@pytest.mark.parametrize("tool", installers())
async def test_an_installer_that_fails_is_quoted(tmp_path: Path, machine: Machine, tool: str) -> None:
    machine.environments = machine.again(PATH=only(tool, tmp_path / "bin"))
    with pytest.raises(EnvironmentError_) as error:
        await machine.install("no-such-dial==9", index=False)
    assert str(error.value).startswith(f"{tool} could not install the packages (exit code 1). It said: ")
    assert "no-such-dial" in str(error.value)
    assert any("no-such-dial" in line for line in machine.lines)
    assert leftovers(machine) == []


def leftovers(machine: Machine) -> list[Path]:
    return list(machine.folder.glob(".draft-*"))


def fake_uv(folder: Path, script: str) -> str:
    folder.mkdir()
    (folder / "uv").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "uv").chmod(0o755)
    return f"{folder}:/usr/bin:/bin"


async def test_an_installer_is_ended_at_its_time_limit(tmp_path: Path, machine: Machine) -> None:
    path = fake_uv(tmp_path / "bin", "sleep 600 & echo $! >$0.pid; wait")
    machine.environments = Environments(machine.folder, path=[], environment={"PATH": path}, install_limit_s=0.3)
    with pytest.raises(EnvironmentError_, match=r"did not install the packages within 0\.3 seconds"):
        await machine.install("dial")
    await gone(int((tmp_path / "bin/uv.pid").read_text()))
    assert leftovers(machine) == []


async def test_a_cancelled_install_leaves_nothing(tmp_path: Path, machine: Machine) -> None:
    path = fake_uv(tmp_path / "bin", "echo started; sleep 600 & echo $! >$0.pid; wait")
    machine.environments = machine.again(PATH=path)
    task = asyncio.create_task(machine.install("dial"))
    await until(lambda: "started" in machine.lines and (tmp_path / "bin/uv.pid").exists())
    await until(lambda: (tmp_path / "bin/uv.pid").read_text() != "")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await gone(int((tmp_path / "bin/uv.pid").read_text()))
    assert leftovers(machine) == []


async def until(holds: object, limit_s: float = 20) -> None:
    assert callable(holds)
    async with asyncio.timeout(limit_s):
        while not holds():  # noqa: ASYNC110  # what another process does sets no event
            await asyncio.sleep(0.01)


async def gone(process: int) -> None:
    def ended() -> bool:
        state = Path(f"/proc/{process}/stat")
        if Path("/proc/self").exists():
            return not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "Z"
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return True
        return False

    await until(ended)


async def test_what_is_asked_for_at_once_is_installed_once(tmp_path: Path, machine: Machine, shelf: Path) -> None:
    wheel = make_wheel(shelf, "dial", "2.0")
    # Counts its calls, and installs by unpacking: $8 is what follows --target.
    script = f'echo call >>{tmp_path}/calls; /bin/sleep 0.2; cd "$8" && {sys.executable} -m zipfile -e {wheel.file} .'
    path = fake_uv(tmp_path / "bin", script)
    request = Request(requirements=("dial --hash=sha256:aa",))
    found = await asyncio.gather(*(machine.again(PATH=path).install(request) for _ in range(5)))
    assert {environment.packages for environment in found} == {found[0].packages}
    assert (tmp_path / "calls").read_text() == "call\n"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with a parent that was killed")
async def test_a_killed_process_leaves_no_half_environment_and_no_installer(tmp_path: Path, machine: Machine) -> None:
    path = fake_uv(tmp_path / "bin", 'echo $$ >$0.pid; touch "$8/half.py"; exec sleep 600')
    code = (
        "import asyncio, pathlib, sys\n"
        "from windtunnel_emulators.images.environments import Environments\n"
        "from windtunnel_emulators.images.resolution import Request\n"
        "made = Environments(pathlib.Path(sys.argv[1]), path=[], environment={'PATH': sys.argv[2]})\n"
        "asyncio.run(made.install(Request(requirements=('dial',))))\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, machine.folder, path, env=environment)
    try:
        await until(lambda: any(machine.folder.glob(".draft-*/lib/*/site-packages/half.py")))
    finally:
        process.kill()
        await process.wait()
    await gone(int((tmp_path / "bin/uv.pid").read_text()))
    assert leftovers(machine) != []
    _, packages = await machine.install()
    assert run(packages, "import half").startswith("ModuleNotFoundError")
    assert leftovers(machine) == []
    assert [entry.name for entry in machine.folder.iterdir() if not entry.name.startswith(".")] == [packages.name]


async def test_a_package_that_has_lost_files_is_not_linked(tmp_path: Path, machine: Machine, shelf: Path) -> None:
    machine.has(make_wheel(shelf, "dial", "2.0"))
    (interpreter.site_packages(machine.home) / "dial.py").unlink()
    machine.environments = machine.again(PATH=fake_uv(tmp_path / "bin", "exit 3"))
    with pytest.raises(EnvironmentError_, match="exit code 3"):
        await machine.install("dial")
    assert machine.lines == ["dial lacks its file dial.py; installing"]


async def test_a_package_that_is_installed_in_place_is_not_linked(
    tmp_path: Path, machine: Machine, shelf: Path
) -> None:
    machine.has(make_wheel(shelf, "dial", "2.0"))
    origin = interpreter.site_packages(machine.home) / "dial-2.0.dist-info/direct_url.json"
    origin.write_text(json.dumps({"url": "file:///src/dial", "dir_info": {"editable": True}}))
    machine.environments = machine.again(PATH=fake_uv(tmp_path / "bin", "exit 3"))
    with pytest.raises(EnvironmentError_, match="exit code 3"):
        await machine.install("dial")
    assert machine.lines == ["dial is installed in place from its source tree; installing"]


@pytest.mark.parametrize(
    ("requirement", "why"),
    [
        ("dial==3", "the install needs dial==3, and here is dial 2.0"),
        ("missing", "missing is not installed on this machine"),
        ("dial --hash=sha256:aa", "leaves the choice to pip"),
        ("dial @ https://example/dial.zip", "leaves the choice to pip"),
    ],
)
async def test_what_cannot_be_linked_says_why(
    tmp_path: Path, machine: Machine, shelf: Path, requirement: str, why: str
) -> None:
    machine.has(make_wheel(shelf, "dial", "2.0"))
    machine.environments = machine.again(PATH=fake_uv(tmp_path / "bin", "exit 3"))
    with pytest.raises(EnvironmentError_, match="exit code 3"):
        await machine.install(requirement)
    assert why in machine.lines[0]


async def test_constraints_decide_what_fits(tmp_path: Path, machine: Machine, shelf: Path) -> None:
    machine.has(make_wheel(shelf, "dial", "2.0"))
    assert (await machine.install("dial", constraints=("dial>=2", "other==1")))[0] == {"dial": "2.0"}
    machine.environments = machine.again(PATH=fake_uv(tmp_path / "bin", "exit 3"))
    with pytest.raises(EnvironmentError_, match="exit code 3"):
        await machine.install("dial", constraints=("dial<2",))


@pytest.mark.parametrize("requirement", ["", "a b", "==1", "a[", "a==1;", "ä"])
async def test_what_is_no_requirement_is_refused(machine: Machine, requirement: str) -> None:
    with pytest.raises(EnvironmentError_, match="is not a requirement"):
        await machine.install(requirement)


async def test_a_wheel_for_another_python_is_refused(machine: Machine, shelf: Path) -> None:
    wheel = make_wheel(shelf, "dial", "2.0", extra="Requires-Python: >=4")
    with pytest.raises(EnvironmentError_, match=r"dial 2\.0 needs Python >=4"):
        await machine.install(wheels=(wheel,))


async def test_a_later_install_keeps_what_is_there_and_replaces_what_it_names(machine: Machine, shelf: Path) -> None:
    machine.has(make_wheel(shelf, "needle", "1.5"))
    old, new = make_wheel(shelf, "dial", "1.0"), make_wheel(shelf, "dial", "2.0")
    first = await machine.environments.install(Request(requirements=("needle",), wheels=(old,)))
    second = await machine.environments.install(Request(wheels=(new,), present=first.pins))
    assert [pin.requirement for pin in second.pins] == ["dial==2.0", "needle==1.5"]
    third = await machine.environments.install(Request(requirements=("dial",), present=second.pins))
    assert third.pins == second.pins


async def test_sweeping_removes_what_is_not_kept_and_says_what_is_used(machine: Machine, shelf: Path) -> None:
    wheel = make_wheel(shelf, "dial", "2.0")
    assert (machine.environments.sweep(), machine.environments.usage().environments) == (0, 0)
    _, kept = await machine.install(wheels=(wheel,))
    _, removed = await machine.install()
    usage = machine.environments.usage()
    assert usage.environments == 2
    assert usage.bytes > 100
    assert machine.environments.sweep([kept]) == 1
    assert (kept.exists(), removed.exists()) == (True, False)
