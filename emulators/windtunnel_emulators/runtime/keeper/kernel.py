"""Calls of the Linux kernel that Python 3.11 does not offer; those that only improve matters do nothing elsewhere."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000

MS_RDONLY = 0x1
MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_REMOUNT = 0x20
MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 0x40000
MNT_DETACH = 2

_PR_SET_PDEATHSIG = 1
_PR_CAPBSET_DROP = 24
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38
_SYS_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
_SYS_CLONE3 = 435
_SYS_MOUNT_SETATTR = 442
_AT_FDCWD = -100
_AT_RECURSIVE = 0x8000
_MOUNT_ATTR_RDONLY = 0x1

linux = sys.platform == "linux"
_libc = ctypes.CDLL(None, use_errno=True)
_python = ctypes.PyDLL(None, use_errno=True)
"""The same, but Python's lock is held during the call: a fork must not happen while it is let go."""


def die_with_parent(number: int) -> None:
    """Get that signal when the parent ends. Holds until the next exec of a set-uid program."""
    if linux:
        _check(_libc.prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0), "PR_SET_PDEATHSIG")


def adopt_orphans() -> None:
    """Descendants whose parent ends become children of this process."""
    if linux:
        _check(_libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "PR_SET_CHILD_SUBREAPER")


def drop_capability(number: int) -> bool:
    """Give up a capability for good, for this process and what it executes; False past the last one there is."""
    return bool(_libc.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0) == 0)


def gain_nothing() -> None:
    """No program that is executed from now on gets rights by its set-uid bit or file capabilities."""
    if linux:
        _check(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "PR_SET_NO_NEW_PRIVS")


def unshare(flags: int) -> None:
    _check(_libc.unshare(flags), "unshare")


def fork_into(flags: int) -> int:
    """``os.fork``, the child in new namespaces; only for a process with one thread.

    ``unshare`` before a fork would do for root, but in a user namespace nothing leads back from it (setns to the own
    process namespace asks for rights where that came from).
    """
    arguments = (ctypes.c_uint64 * 8)(flags, 0, 0, 0, signal.SIGCHLD, 0, 0, 0)
    size = ctypes.c_size_t(ctypes.sizeof(arguments))
    pid = int(_python.syscall(ctypes.c_long(_SYS_CLONE3), ctypes.byref(arguments), size))
    if pid < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"clone3: {os.strerror(number)}")
    return pid


def enter(namespace: int, kind: int = 0) -> None:
    """Go over to the namespace that an open file stands for."""
    _check(_libc.setns(namespace, kind), "setns")


def mount(source: str, target: str, kind: str | None, flags: int, options: str | None = None) -> None:
    result = _libc.mount(
        os.fsencode(source),
        os.fsencode(target),
        None if kind is None else kind.encode(),
        ctypes.c_ulong(flags),
        None if options is None else os.fsencode(options),
    )
    _check(result, f"mount of {source} at {target}")


def unmount(target: str) -> None:
    """Take it away now; what is in use is freed later."""
    _check(_libc.umount2(os.fsencode(target), MNT_DETACH), f"unmount of {target}")


def make_read_only(target: str) -> None:
    """Also what is mounted below it (Linux 5.12); raises ``OSError``."""
    attributes = (ctypes.c_uint64 * 4)(_MOUNT_ATTR_RDONLY, 0, 0, 0)
    result = _libc.syscall(
        ctypes.c_long(_SYS_MOUNT_SETATTR),
        ctypes.c_int(_AT_FDCWD),
        os.fsencode(target),
        ctypes.c_uint(_AT_RECURSIVE),
        ctypes.byref(attributes),
        ctypes.c_size_t(ctypes.sizeof(attributes)),
    )
    _check(result, f"read-only mount at {target}")


def set_host_name(name: str) -> None:
    """In this process's namespace."""
    data = name.encode()
    _check(_libc.sethostname(data, ctypes.c_size_t(len(data))), "sethostname")


def pivot_root(new: str, old: str) -> None:
    number = _SYS_PIVOT_ROOT.get(os.uname().machine)
    if number is None:
        raise OSError(f"pivot_root is not known on {os.uname().machine}")
    _check(_libc.syscall(ctypes.c_long(number), os.fsencode(new), os.fsencode(old)), "pivot_root")


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
