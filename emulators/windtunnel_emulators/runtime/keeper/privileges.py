"""Whether this process may make namespaces, by its own right or in a user namespace of its own."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from windtunnel_emulators.runtime.keeper import kernel

if TYPE_CHECKING:
    from collections.abc import Callable

_NEEDED = kernel.CLONE_NEWNS | kernel.CLONE_NEWPID


def become_able() -> bool:
    """Get the right to make namespaces; True when that took a user namespace. Without the right, nothing changes."""
    if not kernel.linux or _works(lambda: None) or not _works(_enter_user_namespace):
        return False
    _enter_user_namespace()
    return True


def _works(first: Callable[[], None]) -> bool:
    """Try in a fork: some systems let one enter a user namespace and then permit nothing in it."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            first()
            kernel.unshare(_NEEDED)
            kernel.mount("none", "/", None, kernel.MS_REC | kernel.MS_PRIVATE)
            code = 0
        except OSError:
            code = 1
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def _enter_user_namespace() -> None:
    """The own user becomes root of a namespace in which nobody else exists."""
    user, group = os.geteuid(), os.getegid()
    kernel.unshare(kernel.CLONE_NEWUSER)
    for name, content in (("setgroups", "deny"), ("uid_map", f"0 {user} 1"), ("gid_map", f"0 {group} 1")):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
            file.write(content)
