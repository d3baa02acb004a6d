"""A container's own file system: made by a list of steps, in a mount namespace of its own.

The first step's overlay becomes ``/``; all that is written goes to the plan's folder, or to memory. Targets are
resolved by the kernel inside the new root, so that a link in an image leads nowhere else; sources are paths of the
machine, links resolved by who made the list.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from windtunnel_emulators.runtime.keeper import kernel, protocol

if TYPE_CHECKING:
    from windtunnel_emulators.runtime.keeper.protocol import Message, Value

_HOST = "/.windtunnel-host"
"""Where this machine's files are while the steps are taken; no step may lead there by a link of the image."""

# Files of /proc that obey user 0 whatever its capabilities: a core_pattern is a program that the machine's root runs.
_READ_ONLY_IN_PROC = ("bus", "fs", "irq", "sys", "sysrq-trigger")

# What Docker leaves to a container, less MKNOD: nothing here keeps a device node from being opened.
_KEPT_CAPABILITIES = frozenset({0, 1, 3, 4, 5, 6, 7, 8, 10, 13, 18, 29, 31})


def enter_new_root(plan: Message, *, user_namespace: bool) -> None:
    """Leave this machine's files for the container's; raises ``OSError``."""
    kernel.unshare(kernel.CLONE_NEWNS | kernel.CLONE_NEWUTS | kernel.CLONE_NEWIPC)
    kernel.mount("none", "/", None, kernel.MS_REC | kernel.MS_PRIVATE)
    steps = plan.get("steps")
    if not isinstance(steps, list) or not steps:
        raise OSError("the plan of the container's files has no steps")
    folder = protocol.text(plan.get("folder"))
    os.makedirs(folder, exist_ok=True)
    if plan.get("in_memory"):
        kernel.mount("tmpfs", folder, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV)
    top = os.path.join(folder, "merged")
    _overlay(_fields(steps[0]), top, host="", user_namespace=user_namespace)
    os.mkdir(top + _HOST)
    os.chdir(top)
    kernel.pivot_root(".", _HOST[1:])
    os.chdir("/")
    for step in steps[1:]:
        _take(_fields(step), user_namespace=user_namespace)
    kernel.unmount(_HOST)
    os.rmdir(_HOST)
    name = protocol.text(plan.get("hostname"))
    if name:
        kernel.set_host_name(name)


def give_up_capabilities() -> None:
    """Keep root's power inside the container: no mounts, no devices, no kernel settings."""
    number = 0
    while number in _KEPT_CAPABILITIES or kernel.drop_capability(number):
        number += 1


def _take(step: dict[str, Value], *, user_namespace: bool) -> None:
    target = _inside(protocol.text(step.get("target")))
    match step.get("kind"):
        case "overlay":
            _overlay(step, target, host=_HOST, user_namespace=user_namespace)
        case "bind":
            _bind(_HOST + protocol.text(step.get("source")), target, read_only=bool(step.get("read_only")))
        case "tmpfs":
            os.makedirs(target, exist_ok=True)
            kernel.mount("tmpfs", target, "tmpfs", kernel.MS_NOSUID, protocol.text(step.get("options")))
        case "terminals":
            os.makedirs(target, exist_ok=True)
            flags = kernel.MS_NOSUID | kernel.MS_NOEXEC
            kernel.mount("devpts", target, "devpts", flags, "newinstance,ptmxmode=0666,mode=0620")
        case "processes":
            _processes(target)
        case "file":
            _write(target, protocol.text(step.get("content")))
        case "link":
            if not os.path.lexists(target):
                os.symlink(protocol.text(step.get("to")), target)
        case other:
            raise OSError(f"no such step: {other!r}")


def _inside(target: str) -> str:
    """Where a target really is, links of the image followed; raises ``OSError`` when that is outside."""
    folder, name = os.path.split(target)
    real = os.path.realpath(target) if os.path.isdir(target) else os.path.join(os.path.realpath(folder), name)
    if os.path.commonpath([real, _HOST]) == _HOST:
        raise OSError(f"a link in the image makes {target} lead out of the container")
    return real


def _overlay(step: dict[str, Value], target: str, *, host: str, user_namespace: bool) -> None:
    folder = host + protocol.text(step.get("folder"))
    upper, work = os.path.join(folder, "upper"), os.path.join(folder, "work")
    for path in (upper, work, target):
        os.makedirs(path, exist_ok=True)
    lower = ":".join(_escaped(host + path) for path in protocol.texts(step.get("lower")))
    options = f"lowerdir={lower},upperdir={_escaped(upper)},workdir={_escaped(work)}"
    if user_namespace:
        options += ",userxattr"
    kernel.mount("overlay", target, "overlay", kernel.MS_NODEV, options)


def _escaped(path: str) -> str:
    return path.replace("\\", "\\\\").replace(":", "\\:").replace(",", "\\,")


def _bind(source: str, target: str, *, read_only: bool) -> None:
    if os.path.isdir(source):
        os.makedirs(target, exist_ok=True)
    elif not os.path.lexists(target):
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644))
    kernel.mount(source, target, None, kernel.MS_BIND | kernel.MS_REC)
    if read_only:
        kernel.make_read_only(target)


def _write(target: str, content: str) -> None:
    os.makedirs(os.path.dirname(target), exist_ok=True)
    if os.path.lexists(target):
        os.unlink(target)
    file = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    try:
        os.write(file, content.encode("utf-8", "surrogateescape"))
    finally:
        os.close(file)


def _processes(target: str) -> None:
    """The container's own processes; where a new ``proc`` is not permitted (in Docker), the machine's."""
    os.makedirs(target, exist_ok=True)
    try:
        kernel.mount("proc", target, "proc", kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC)
    except PermissionError:
        kernel.mount(_HOST + "/proc", target, None, kernel.MS_BIND | kernel.MS_REC)
    for name in _READ_ONLY_IN_PROC:
        path = os.path.join(target, name)
        if os.path.exists(path):
            _bind(path, path, read_only=True)


def _fields(value: Value) -> dict[str, Value]:
    return value if isinstance(value, dict) else {}
