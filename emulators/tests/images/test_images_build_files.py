from __future__ import annotations

import gzip
import tarfile
from typing import TYPE_CHECKING

import pytest

from windtunnel_emulators.images import interpreter
from windtunnel_emulators.images.errors import BuildError

if TYPE_CHECKING:
    from tests.images.conftest import Bench

PYTHON = f"python:{interpreter.VERSION}-slim"


COPIES: list[tuple[str, dict[str, str]]] = [
    ("COPY a /x", {"x": "1"}),
    ("COPY a /x/", {"x/a": "1"}),
    ("COPY a x", {"x": "1"}),
    ("COPY a b /x/", {"x/a": "1", "x/b": "2"}),
    ("COPY d /x", {"x/c": "3", "x/e/f": "4", "x/link": "-> c"}),
    ("COPY d/ /x/", {"x/c": "3", "x/e/f": "4", "x/link": "-> c"}),
    ("COPY d/link /x", {"x": "3"}),
    ("COPY d/e /x", {"x/f": "4"}),
    ("COPY * /x/", {"x/Dockerfile": "…", "x/a": "1", "x/b": "2", "x/c": "3", "x/e/f": "4", "x/link": "-> c"}),
    ("COPY [ab] /x/", {"x/a": "1", "x/b": "2"}),
    ("COPY d/* /x/", {"x/c": "3", "x/f": "4", "x/link": "3"}),
    ('COPY ["a", "/with blank"]', {"with blank": "1"}),
    ("WORKDIR /w/v\nCOPY a .", {"w/v/a": "1"}),
    ("WORKDIR /w/v\nCOPY a ..", {"w/a": "1"}),
    ("WORKDIR /w\nWORKDIR v\nCOPY a b ./", {"w/v/a": "1", "w/v/b": "2"}),
    ("COPY d /x\nCOPY a /x", {"x/a": "1", "x/c": "3", "x/e/f": "4", "x/link": "-> c"}),
    ("COPY a /x\nCOPY b /x", {"x": "2"}),
    ("COPY a /tmp", {"tmp/a": "1"}),
    ("COPY a /bin/tool", {"usr/bin/tool": "1"}),
    ("COPY d /x\nRUN rm -r /x/e && rm -f /x/c /x/no", {"x/link": "-> c"}),
    ("COPY d /x\nRUN rm -rf /x/*", {}),
    ("COPY d /x\nRUN rm -rf /x && mkdir /x\nCOPY a /x", {"x/a": "1"}),
    ("ARG D=/y\nENV E=$D/z\nCOPY a $E/${N:-b}", {"y/z/b": "1"}),
    ("ADD a /x", {"x": "1"}),
    ("ADD pack.tar.gz /x", {"x/in/side": "5"}),
    ("ADD pack.tar.gz a /x/", {"x/in/side": "5", "x/a": "1"}),
    ("COPY pack.tar.gz /x/", {"x/pack.tar.gz": "…"}),
]


@pytest.mark.parametrize(("dockerfile", "expected"), COPIES)
async def test_copies_land_where_docker_puts_them(bench: Bench, dockerfile: str, expected: dict[str, str]) -> None:
    files: dict[str, bytes | str | None] = {"a": "1", "b": "2", "d/c": "3", "d/e/f": "4"}
    if "pack" in dockerfile:
        files["pack.tar.gz"] = gzip.compress(bench.tar({"in/side": "5"}), mtime=0)
    archive = bench.tar({"Dockerfile": f"FROM {PYTHON}\n{dockerfile}\n", **files}, links={"d/link": "c"})
    await bench.build("", archive=archive)
    root = bench.image().root
    found = {
        str(path.relative_to(root)): f"-> {path.readlink()}"
        if path.is_symlink()
        else path.read_bytes().decode("latin-1")
        for path in sorted(root.rglob("*"))
        if path.is_symlink() or path.is_file()
    }
    assert {name: expected[name] if expected.get(name) == "…" else text for name, text in found.items()} == expected


async def test_dockerignore_decides_what_can_be_copied(bench: Bench) -> None:
    files: dict[str, bytes | str | None] = {
        ".dockerignore": "*\n!app\napp/**/*.pyc\n",
        "secret": "1",
        "app/a.py": "2",
        "app/b/c.pyc": "3",
        "app/b/d.py": "4",
    }
    await bench.build(f"FROM {PYTHON}\nCOPY . /x\n", files)
    assert bench.image().tree() == {"x/app/a.py": "2", "x/app/b/d.py": "4"}
    with pytest.raises(
        BuildError, match=r"'secret' is not in the build context \(or its \.dockerignore leaves it out\)"
    ):
        await bench.build(f"FROM {PYTHON}\nCOPY secret /x\n", files)
    await bench.build(f"FROM {PYTHON}\nCOPY . /x\n", files | {"Dockerfile.dockerignore": "app\nDocker*\n.d*"})
    assert bench.image().tree() == {"x/secret": "1"}


async def test_owners_and_modes(bench: Bench) -> None:
    files: dict[str, bytes | str | None] = {"a": "1", "run.sh": "2", "passwd": "ann:x:1234:1235::/:/bin/sh\n"}
    dockerfile = f"""\
FROM {PYTHON}
COPY passwd /etc/passwd
COPY --chown=ann:7 --chmod=750 a /one
COPY --chown=10 a /two
COPY run.sh /three
RUN chmod u=rw,go= /two && chmod +x /two && chmod -R a-w /one && mkdir -m 700 /four
"""
    await bench.build(dockerfile, files)
    members: dict[str, tarfile.TarInfo] = {}
    for path in bench.image().layers:
        with tarfile.open(path) as archive:
            members |= {member.name: member for member in archive.getmembers()}
    assert {n: (m.uid, m.gid, oct(m.mode)) for n, m in members.items() if n in ("one", "two", "three", "four")} == {
        "one": (1234, 7, "0o550"),
        "two": (10, 10, "0o711"),
        "three": (0, 0, "0o755"),
        "four": (0, 0, "0o700"),
    }
    assert await bench.fails(f"FROM {PYTHON}\nCOPY --chown=bob a /x", {"a": ""}, images=()) == (
        "Dockerfile line 2 (COPY --chown=bob a /x): the image has no user 'bob'; use a number"
    )
