from __future__ import annotations

import asyncio
import io
import json
import os
import tarfile
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from windtunnel_emulators.images import interpreter
from windtunnel_emulators.images.build import build
from windtunnel_emulators.images.environments import Environments
from windtunnel_emulators.images.errors import BuildError
from windtunnel_emulators.images.unpack import materialise
from windtunnel_emulators.registry.content import Content
from windtunnel_emulators.store import Store

PYTHON = f"python:{interpreter.VERSION}-slim"
FILES = {"a": "1", "d/b": "2", "d/.wh.x": "3", "requirements.txt": "missing==1\n", "é": "4"}
ODD_WORDS = """
a d d/ * /x /x/ . .. / $A ${A:-a} ${A:?} 'q " [a /tmp é \0 /bin/a d/.wh.x /etc/passwd -r 1000:x a=b A=1 80 80-90/udp
tcp -- -rf +x 755 requirements.txt && ; --chown=1 --chmod=700 --from=s --from=0 NONE SIGINT
[] [""] ["a","/b"] {base} s AS
"""
NAMES = """
COPY ADD WORKDIR ENV ARG LABEL RUN USER EXPOSE VOLUME CMD ENTRYPOINT STOPSIGNAL HEALTHCHECK FROM MAINTAINER ONBUILD
"""
COMMANDS = ("RUN mkdir -p", "RUN mkdir", "RUN rm -rf", "RUN rm", "RUN chmod -R", "RUN chmod", "RUN pip install")
WORD = st.sampled_from(ODD_WORDS.split(" ")) | st.just("a" * 300) | st.text(max_size=4)
LINE = st.tuples(st.sampled_from([*NAMES.split(), *COMMANDS]), st.lists(WORD, max_size=4).map(" ".join)).map(" ".join)
WORKS = st.sampled_from(
    ["COPY a /x/a", "COPY [ad] /x/", "WORKDIR /x", "RUN mkdir -p /x/y && chmod 700 /x", "RUN rm -rf /x", "COPY a /x"]
)


async def build_once(dockerfile: str) -> str | None:
    """The digest of an image that was built and can be unpacked, None when the build failed as builds may fail."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        with tarfile.open(folder / "context.tar", "w") as archive:
            for path, text in {"Dockerfile": dockerfile, **FILES}.items():
                data = text.encode()
                info = tarfile.TarInfo(path)
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
        content = Content(Store(None), folder / "registry")
        (folder / "work").mkdir()
        lines: list[str] = []
        error: BuildError | None = None
        try:
            await build(
                context=folder / "context.tar",
                dockerfile="Dockerfile",
                images=["app:1"],
                arguments={"A": "d"},
                log=lines.append,
                content=content,
                registry="r",
                environments=Environments(folder, path=[], environment={"PATH": "", "PIP_NO_INDEX": "1"}),
                work=folder / "work",
            )
        except BuildError as failure:
            error = failure
        assert os.listdir(folder / "work") == []
        manifest = content.manifest("r", "app", "1")
        if error is not None:
            assert (lines[-1], manifest) == (str(error), None)
            return None
        assert manifest is not None
        layers = [content.blob_path(layer["digest"]) for layer in json.loads(manifest.body)["layers"]]
        assert materialise(manifest.digest, [path for path in layers if path], folder / "images").is_dir()
        return manifest.digest


@settings(deadline=None, max_examples=80)
@given(st.lists(WORKS | WORKS | WORKS | WORKS | LINE, max_size=8).map("\n".join))
def test_any_dockerfile_is_built_the_same_way_twice_or_fails_with_a_sentence(text: str) -> None:
    dockerfile = f"FROM {PYTHON} AS s\nARG A\n{text.replace('{base}', PYTHON)}"
    assert asyncio.run(build_once(dockerfile)) == asyncio.run(build_once(dockerfile))
