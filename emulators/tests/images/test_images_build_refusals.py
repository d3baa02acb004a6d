from __future__ import annotations

import gzip
import random
from typing import TYPE_CHECKING

import pytest

from windtunnel_emulators.images import interpreter
from windtunnel_emulators.images.archive import Limits

if TYPE_CHECKING:
    from tests.images.conftest import Bench

PYTHON = f"python:{interpreter.VERSION}-slim"


DOCKER = "start the emulators with --runtime docker"
REFUSALS: list[tuple[str, str]] = [
    (
        "FROM ubuntu:24.04",
        f"Dockerfile line 1 (FROM ubuntu:24.04): the base image ubuntu:24.04 is not known here|{DOCKER}",
    ),
    ("FROM python:2.7-slim", f"promises Python 2.7, and the emulators run on Python {interpreter.VERSION}|{DOCKER}"),
    ("FROM python:latest", "does not say which Python it has"),
    ("FROM python", "does not say which Python it has"),
    (f"FROM python:{interpreter.VERSION}-alpine", "is of the variant 'alpine'; known are"),
    ("FROM $NOTHING", "is not an image reference"),
    ("FROM Bad/Name", "must be lower case"),
    ("FROM --platform=linux/s390x scratch", "asks for another platform"),
    ("FROM {base}\nRUN apt-get update", f"Dockerfile line 2 (RUN apt-get update): RUN with apt-get update|{DOCKER}"),
    ("FROM {base}\nRUN pip install numpy>=2", "a redirection (quote requirements such as 'numpy>=2')"),
    ("FROM {base}\nRUN pip install a; true", "the command separator ;"),
    ("FROM {base}\nRUN pip install $(cat a)", "a command substitution"),
    ("FROM {base}\nRUN pip install a || true", "a pipe or ||"),
    ("FROM {base}\nRUN pip install -e .", "--editable is not supported without Docker"),
    ("FROM {base}\nRUN pip install -r missing.txt", "/missing.txt, which is not in the image"),
    ("FROM {base}\nRUN pip install missing-package", "missing-package is not installed on this machine|"),
    ("FROM {base}\nRUN --mount=type=secret,id=x pip install a", "RUN with --mount=type=secret,id=x is not supported"),
    ("FROM scratch\nRUN pip install needle", "needs Python, which the base scratch does not promise"),
    ("FROM {base}\nRUN chmod +x /usr/bin/env", "is not among the files that this build has put into the image"),
    ("FROM {base}\nRUN mkdir /a/b", "there is no 'a'; use mkdir -p"),
    ("FROM {base}\nRUN mkdir /tmp", "it exists"),
    ("FROM {base}\nRUN rm /tmp", "it is a directory"),
    ("FROM {base}\nRUN rm -rf /", "which the image needs"),
    ("FROM {base}\nCOPY missing /x", "Dockerfile line 2 (COPY missing /x): 'missing' is not in the build context"),
    ("FROM {base}\nCOPY ../a /x", "is outside of the build context"),
    ("FROM {base}\nCOPY a Dockerfile /x", "the destination must be a directory and end with a /"),
    ("FROM {base}\nCOPY a /x\nCOPY a /x/y", "'x', which is no directory but a file"),
    ("FROM {base}\nCOPY --chmod=rwx a /x", "'rwx' is not three or four octal digits"),
    ("FROM {base}\nCOPY --from=nginx /a /b", f"COPY --from=nginx names no earlier stage|{DOCKER}"),
    (
        "FROM {base} AS s\nFROM s\nCOPY --from=s /usr/local/lib/python3 /x",
        "run pip install in the stage that needs them",
    ),
    ("FROM {base}\nADD https://example/a /b", "which is on another machine"),
    ("FROM {base}\nEXPOSE 0", "EXPOSE takes ports"),
    ("FROM {base}\nEXPOSE 9-5", "EXPOSE takes ports"),
    ("FROM {base}\nVOLUME []", "VOLUME needs a path"),
    ("FROM {base}\nVOLUME $A", "VOLUME takes directories, and '' is none"),
    ("FROM {base}\nCOPY a /a\nVOLUME /a", "VOLUME takes directories, and '/a' is none"),
    ("FROM {base}\nCOPY a /x/\nCOPY . /x/a", "which is no directory"),
    ("FROM {base}\nSTOPSIGNAL now", "STOPSIGNAL takes a signal"),
    ("FROM {base}\nENV A='x", "closing single quote"),
    ('FROM {base}\nSHELL ["bash"]', "Dockerfile line 2: SHELL is not supported without Docker"),
    ("RUN x", "only ARG may stand before the first FROM"),
]


@pytest.mark.parametrize(("dockerfile", "why"), REFUSALS)
async def test_what_cannot_be_built_fails_with_the_line_and_the_reason(bench: Bench, dockerfile: str, why: str) -> None:
    said = await bench.fails(dockerfile.replace("{base}", PYTHON), {"a": "1"})
    everything = "\n".join(bench.lines)
    assert "Dockerfile line" in said
    assert all(part in everything for part in why.split("|"))


@pytest.mark.parametrize(
    ("archive", "why"),
    [
        (b"", "the context cannot be used: the archive is neither a tar file"),
        (b"nonsense", "the context cannot be used: the archive is neither a tar file"),
        ({"a": "1"}, "the context has no Dockerfile at 'Dockerfile'; it has a"),
        ({"../a": "1"}, "goes up with '..'"),
        ({"/a": "1"}, "absolute"),
        ({"Dockerfile": b"\xff"}, "Dockerfile is not UTF-8 text"),
        ({"Dockerfile": None}, "has no Dockerfile"),
        ({"Dockerfile": "FROM scratch", ".dockerignore": "["}, ".dockerignore line 1"),
        (gzip.compress(random.Random(1).randbytes(9000), mtime=0)[:-30], "damaged"),
    ],
    ids=["empty", "text", "none", "up", "absolute", "not-utf8", "folder", "ignore", "damaged"],
)
async def test_a_context_that_cannot_be_used_is_refused(
    bench: Bench, archive: bytes | dict[str, bytes | str | None], why: str
) -> None:
    assert why in await bench.fails("", archive=archive if isinstance(archive, bytes) else bench.tar(archive))


async def test_the_dockerfile_may_be_anywhere_in_the_context(bench: Bench) -> None:
    await bench.build("FROM scratch\nCOPY a /", {"a": "1"}, path="deploy/app.Dockerfile")
    assert bench.image().tree() == {"a": "1"}
    assert "goes up" in await bench.fails("FROM scratch", path="../Dockerfile", archive=bench.tar({"a": ""}), images=())


async def test_a_context_over_its_limits_is_refused(bench: Bench) -> None:
    assert "more than 2 entries" in await bench.fails("FROM scratch", {"a": "1", "b": "2"}, limits=Limits(entries=2))
    assert "more than 20 bytes" in await bench.fails("FROM scratch", {"a": "1" * 30}, limits=Limits(size=20))


async def test_a_target_that_is_not_there_is_refused(bench: Bench) -> None:
    said = await bench.fails("FROM scratch AS a\nFROM scratch AS b", target="c")
    assert said == "the Dockerfile has no stage 'c' to stop after; it has a, b"
