"""What every container of the process runtime finds in its root besides its image: the machine's programs, read-only
in effect, and a small ``/etc`` of its own; nothing of the machine's people, state or settings.
"""

from __future__ import annotations

import os
import shutil
import site
import sys
from dataclasses import dataclass
from pathlib import Path

from windtunnel_emulators.images import interpreter

SYSTEM_FOLDERS = ("usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32", "nix", "gnu")
"""Programs and libraries of the machine (the last two are where NixOS and Guix have them)."""

_OWN_FOLDERS = ("dev", "etc", "home", "media", "mnt", "opt", "proc", "run", "srv", "sys", "var/lib", "var/log")
_FREE_FOLDERS = ("tmp", "var/tmp", "run/lock")
_SETTINGS = (
    "alternatives",
    "ca-certificates.conf",
    "debian_version",
    "fonts",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "mime.types",
    "nsswitch.conf",
    "os-release",
    "pki/ca-trust",
    "pki/tls/certs",
    "pki/tls/openssl.cnf",
    "protocols",
    "services",
    "ssl/certs",
    "ssl/openssl.cnf",
    "terminfo",
)
_USERS = """root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin
www-data:x:33:33:www-data:/var/www:/usr/sbin/nologin
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
"""
_GROUPS = "root:x:0:\ndaemon:x:1:\ntty:x:5:\nwww-data:x:33:\nnogroup:x:65534:\n"


@dataclass(frozen=True, slots=True)
class Skeleton:
    """Made anew by each runtime, below ``folder``."""

    folder: Path

    @property
    def base(self) -> Path:
        """The lowest layer of every root."""
        return self.folder / "base"

    @property
    def python(self) -> Path:
        """A virtual environment without packages, for images that bring none of their own."""
        return self.folder / "python"

    def build(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        base = self.base
        for name in _OWN_FOLDERS:
            (base / name).mkdir(parents=True)
        for name in _FREE_FOLDERS:
            (base / name).mkdir(parents=True)
            (base / name).chmod(0o1777)
        (base / "root").mkdir(mode=0o700)
        (base / "var/run").symlink_to("/run")
        for name in SYSTEM_FOLDERS:
            host = Path("/") / name
            if host.is_symlink():
                (base / name).symlink_to(host.readlink())
            elif host.is_dir():
                (base / name).mkdir()
        (base / "etc/passwd").write_text(_USERS)
        (base / "etc/group").write_text(_GROUPS)
        interpreter.prepare(self.python)


def settings() -> list[Path]:
    """What a container sees of the machine's ``/etc``."""
    return [path for name in _SETTINGS if (path := Path("/etc") / name).exists()]


def interpreter_folders() -> list[Path]:
    """Where Python and the packages that it can import are, outside the system folders; the outermost ones."""
    importable = [entry for entry in sys.path if Path(entry).name in ("site-packages", "dist-packages")]
    if site.ENABLE_USER_SITE and site.USER_SITE:
        importable.append(site.USER_SITE)
    candidates = {sys.base_prefix, sys.base_exec_prefix, sys.prefix, sys.exec_prefix, *importable}
    folders = sorted({Path(os.path.realpath(path)) for path in candidates if Path(path).is_dir()})
    links = [Path(path) for path in candidates if os.path.realpath(path) != path and Path(path).is_dir()]
    found: list[Path] = []
    for folder in [*folders, *sorted(links)]:
        if folder.parts[1] not in SYSTEM_FOLDERS and not any(folder.is_relative_to(other) for other in found):
            found.append(folder)
    return found
