"""How Python runs inside a container of the process runtime: with the standard library and one folder of packages.

Such a folder has the layout of a virtual environment on the interpreter that the emulators' own was made from, so
that nothing else is importable: not the emulators, not what they have installed, not the user's own packages.

    pyvenv.cfg
    bin/python, bin/python3, bin/python3.11, bin/<console scripts>
    lib/python3.11/site-packages/
"""

from __future__ import annotations

import os
import sys
from pathlib import Path, PurePosixPath

VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
"""Of the interpreter that runs containers, as in ``python:3.11-slim``: the emulators' own."""

FULL_VERSION = ".".join(map(str, sys.version_info[:3]))

INTERPRETER_NAMES = ("python", f"python{sys.version_info.major}", f"python{VERSION}")

# Where the official Python images, and the system, keep programs of these names.
_PROGRAM_FOLDERS = frozenset({"/usr/local/bin", "/usr/bin", "/bin"})

# The PATH of the official images, which a process on this machine needs as well.
_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def base_interpreter() -> Path:
    """The interpreter outside any virtual environment."""
    # The attribute that the standard library's venv module builds on, too; other Pythons than CPython may lack it.
    base: str = getattr(sys, "_base_executable", sys.executable)
    return Path(base)


def site_packages(packages: Path) -> Path:
    """Where the importable packages of such a folder are."""
    return packages / "lib" / f"python{VERSION}" / "site-packages"


def programs(packages: Path) -> Path:
    """Where the interpreter and the console scripts of such a folder are."""
    return packages / "bin"


def prepare(packages: Path) -> None:
    """Make an empty folder of packages that has an interpreter."""
    base = base_interpreter()
    site_packages(packages).mkdir(parents=True, exist_ok=True)
    programs(packages).mkdir(parents=True, exist_ok=True)
    first, *others = INTERPRETER_NAMES
    (programs(packages) / first).symlink_to(base)
    for name in others:
        (programs(packages) / name).symlink_to(first)
    (packages / "pyvenv.cfg").write_text(
        f"home = {base.parent}\ninclude-system-site-packages = false\nversion = {FULL_VERSION}\n", "utf-8"
    )


def interpreter_environment(packages: Path | None) -> tuple[tuple[str, ...], dict[str, str]]:
    """How to start Python so that only ``packages`` and the standard library are importable.

    The first is the start of an argument list, to be followed by ``-m module``, a script or any other option of
    ``python``; the second are environment variables: the ``PATH`` on which a shell finds the same interpreter and the
    packages' console scripts. Whoever starts it must not pass on its own ``PYTHONHOME`` or ``PYTHONPATH``.
    None is Python without any package.
    """
    if packages is None:
        return (str(base_interpreter()), "-s", "-S"), {"PATH": _SYSTEM_PATH, "PYTHONNOUSERSITE": "1"}
    folder = programs(packages)
    return (str(folder / INTERPRETER_NAMES[0]),), {"PATH": f"{folder}{os.pathsep}{_SYSTEM_PATH}"}


def find_program(packages: Path | None, name: str) -> tuple[str, ...] | None:
    """The start of an argument list for a program of the packages: ``python3``, ``/usr/local/bin/gunicorn``.

    None when the packages have no such program: it is then a path or a program of the image or the machine.
    """
    wanted = PurePosixPath(name)
    if "/" in name and str(wanted.parent) not in _PROGRAM_FOLDERS:
        return None
    if packages is None:
        return interpreter_environment(None)[0] if wanted.name in INTERPRETER_NAMES else None
    program = programs(packages) / wanted.name
    return (str(program),) if wanted.name not in {"", ".", ".."} and program.exists() else None
