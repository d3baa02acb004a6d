"""Builds the sdist, the wheel from it, installs that wheel in an empty environment and imports every module of it.

    python .ci/package_check.py FOLDER

FOLDER is emptied first. Exit 1 names the first thing that does not hold.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("windtunnel", "windtunnel_scoring", "windtunnel_emulators", "windtunnel_contracts", "windtunnel_perf")

IMPORT_ALL = """
import importlib, pkgutil, sys
names = []
for package in sys.argv[1:]:
    module = importlib.import_module(package)
    names.append(package)
    for found in pkgutil.walk_packages(module.__path__, package + "."):
        if not found.name.endswith("__main__"):
            importlib.import_module(found.name)
            names.append(found.name)
print(f"{len(names)} modules imported")
"""


def run(*command: str | Path, cwd: Path | None = None) -> None:
    """Raises ``SystemExit`` with the command when it fails."""
    environment = {k: v for k, v in os.environ.items() if k not in {"PYTHONPATH", "VIRTUAL_ENV"}}
    if subprocess.run([str(c) for c in command], cwd=cwd, env=environment, check=False).returncode:
        raise SystemExit(f"package check: failed: {' '.join(str(c) for c in command)}")


def main(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    run(sys.executable, "-m", "build", "--sdist", "--installer", "uv", "--outdir", folder, ROOT)
    (sdist,) = folder.glob("*.tar.gz")
    shutil.unpack_archive(sdist, folder / "source", filter="data")
    (source,) = (folder / "source").iterdir()
    run(sys.executable, "-m", "build", "--wheel", "--installer", "uv", "--outdir", folder, source)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        held = {name.split("/")[0] for name in archive.namelist()}
        typed = {name.split("/")[0] for name in archive.namelist() if name.endswith("/py.typed")}
    if missing := [p for p in PACKAGES if p not in held or p not in typed]:
        raise SystemExit(f"package check: the wheel lacks {', '.join(missing)} (or their py.typed)")
    environment = folder / "empty"
    run("uv", "venv", "--quiet", "--python", sys.executable, environment)
    run(
        "uv",
        "pip",
        "install",
        "--quiet",
        "--python",
        environment / "bin" / "python",
        f"windtunnel[all] @ {wheel.as_uri()}",
    )
    run(environment / "bin" / "python", "-W", "error::SyntaxWarning", "-c", IMPORT_ALL, *PACKAGES, cwd=folder)
    run(environment / "bin" / "windtunnel", "--version", cwd=folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
