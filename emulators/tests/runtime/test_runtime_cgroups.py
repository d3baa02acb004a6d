"""Control groups in both versions, on folders that look like the kernel's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from windtunnel_emulators.runtime.cgroups import ControlGroup, ControlGroups, Hierarchies

if TYPE_CHECKING:
    from pathlib import Path


def write(folder: Path, **files: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(content)
    return folder


@pytest.fixture
def version_1(tmp_path: Path) -> Path:
    """``/proc/self`` of a machine with version 1."""
    for name in ("memory", "cpu,cpuacct"):
        (tmp_path / name / "user/me").mkdir(parents=True)
    mounts = "".join(
        f"cgroup {tmp_path}/{name} cgroup rw,relatime,{name} 0 0\n" for name in ("memory", "cpu,cpuacct", "pids")
    )
    return write(
        tmp_path / "proc",
        mounts=f"proc /proc proc rw 0 0\n{mounts}cgroup2 {tmp_path}/unified cgroup2 rw 0 0\n",
        cgroup="4:memory:/user/me\n2:cpu,cpuacct:/user/me\n0::/\n",
    )


@pytest.fixture
def version_2(tmp_path: Path) -> Path:
    """``/proc/self`` of a machine with version 2, whose session's groups are handed on by the slice above."""
    top = tmp_path / "unified"
    write(top / "app.slice" / "session.scope", cgroup__subtree_control="")
    write(top / "app.slice", cgroup__subtree_control="cpu memory pids\n")
    return write(
        tmp_path / "proc",
        mounts=f"cgroup2 {top} cgroup2 rw,nosuid 0 0\n",
        cgroup="0::/app.slice/session.scope\n",
    )


def test_version_1_is_found_where_the_own_groups_are(version_1: Path, tmp_path: Path) -> None:
    found = Hierarchies.find(version_1)
    assert found.version == 1
    assert found.memory == tmp_path / "memory/user/me"
    assert found.cpu == found.accounting == tmp_path / "cpu,cpuacct/user/me"


def test_version_2_is_found_beside_the_own_group(version_2: Path, tmp_path: Path) -> None:
    found = Hierarchies.find(version_2)
    assert found.version == 2
    assert found.memory == found.cpu == found.accounting == tmp_path / "unified/app.slice"


@pytest.mark.parametrize("controllers", ["memory pids", "", "cpu"])
def test_version_2_without_the_controllers_is_of_no_use(version_2: Path, tmp_path: Path, controllers: str) -> None:
    (tmp_path / "unified/app.slice/cgroup.subtree_control").write_text(controllers)
    assert Hierarchies.find(version_2) == Hierarchies()


def test_a_machine_without_control_groups_has_none(tmp_path: Path) -> None:
    found = Hierarchies.find(tmp_path / "absent")
    assert found == Hierarchies()
    groups = ControlGroups(found, "windtunnel-x-")
    assert (groups.memory, groups.cpu, groups.sweep()) == (False, False, 0)


@pytest.mark.parametrize(("cores", "quota"), [(0.5, 50_000), (2, 200_000), (0.001, 1_000)])
def test_limits_are_written_as_version_1_wants_them(tmp_path: Path, cores: float, quota: int) -> None:
    memory = write(tmp_path / "memory", memory__limit_in_bytes="", memory__memsw__limit_in_bytes="")
    cpu = write(tmp_path / "cpu", cpu__cfs_quota_us="", cpu__cfs_period_us="")
    group = ControlGroup({"memory": memory, "cpu": cpu}, 1)
    group.limit_memory(123_456_789)
    group.limit_cpu(cores)
    assert (memory / "memory.limit_in_bytes").read_text() == "123456789"
    assert (memory / "memory.memsw.limit_in_bytes").read_text() == "123456789"
    assert (cpu / "cpu.cfs_quota_us").read_text() == str(quota)
    assert (cpu / "cpu.cfs_period_us").read_text() == "100000"
    assert group.joins == [str(cpu / "cgroup.procs"), str(memory / "cgroup.procs")]


def test_limits_are_written_as_version_2_wants_them(tmp_path: Path) -> None:
    folder = write(tmp_path / "g", memory__max="", cpu__max="", memory__oom__group="")
    group = ControlGroup({"memory": folder, "cpu": folder, "accounting": folder}, 2)
    group.limit_memory(1 << 30)
    group.limit_cpu(1.5)
    assert (folder / "memory.max").read_text() == "1073741824"
    assert (folder / "memory.oom.group").read_text() == "1"
    assert not (folder / "memory.swap.max").exists()
    assert (folder / "cpu.max").read_text() == "150000 100000"
    assert group.joins == [str(folder / "cgroup.procs")]


def test_a_limit_that_cannot_be_set_is_an_error(tmp_path: Path) -> None:
    group = ControlGroup({"memory": tmp_path}, 1)
    with pytest.raises(FileNotFoundError):
        group.limit_memory(1)


@pytest.mark.parametrize(
    ("version", "files", "expected"),
    [
        (1, {"memory__oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n"}, True),
        (1, {"memory__oom_control": "oom_kill 0\n"}, False),
        (2, {"memory__events": "oom 2\noom_kill 2\n"}, True),
        (2, {}, False),
    ],
)
def test_the_kernels_kills_for_memory_are_noticed(
    tmp_path: Path, version: int, files: dict[str, str], expected: bool
) -> None:
    assert ControlGroup({"memory": write(tmp_path / "g", **files)}, version).ran_out_of_memory() is expected


def test_use_is_read_in_both_versions(tmp_path: Path) -> None:
    one = write(
        tmp_path / "1",
        memory__usage_in_bytes="1000\n",
        memory__stat="total_inactive_file 300\n",
        cpuacct__usage="1500000000\n",
    )
    two = write(
        tmp_path / "2", memory__current="1000\n", memory__stat="inactive_file 300\n", cpu__stat="usage_usec 1500000\n"
    )
    for version, folder in ((1, one), (2, two)):
        group = ControlGroup({"memory": folder, "accounting": folder}, version)
        assert (group.memory_bytes(), group.cpu_seconds()) == (700, 1.5)
    assert ControlGroup({}, 1).memory_bytes() is None
    assert ControlGroup({}, 1).cpu_seconds() is None


def test_a_sweep_takes_only_groups_of_its_own_prefix(tmp_path: Path) -> None:
    for name in ("windtunnel-a-one", "windtunnel-a-two", "windtunnel-b-one", "other"):
        (tmp_path / name).mkdir()
    assert ControlGroups(Hierarchies(memory=tmp_path), "windtunnel-a-").sweep() == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other", "windtunnel-b-one"]


def test_a_group_that_the_kernel_holds_on_to_is_removed_with_the_next_start(tmp_path: Path) -> None:
    groups = ControlGroups(Hierarchies(memory=tmp_path), "windtunnel-a-")
    first = groups.create("one", cpu=None, memory_bytes=None)
    process = tmp_path / "windtunnel-a-one" / "process"
    process.touch()
    first.remove()
    assert process.exists()
    process.unlink()
    groups.create("two", cpu=None, memory_bytes=None).remove()
    assert list(tmp_path.iterdir()) == []
