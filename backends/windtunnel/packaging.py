"""A model (and a script) as an image: the build context that ``docker build`` and ACR tasks accept as it is.

    Dockerfile
    requirements.txt                       the scoring server's pins, then the user's lines
    wheels/windtunnel_scoring-*.whl
    app/score.py                           with a script only
    azureml-models/<name>/1/<file>         the model, and its external data beside it

Paths inside the image are Azure ML's, so that its scripts run unchanged.
"""

from __future__ import annotations

import platform
import re
from typing import TYPE_CHECKING

from windtunnel import names, scripts
from windtunnel.context import Context, Entry
from windtunnel.errors import InvalidSpec
from windtunnel.layout import APP_ROOT, MODEL_VERSION, MODELS, SCORING_COMMAND, SCORING_PORT
from windtunnel.wheel import REQUIREMENTS, build_wheel, pins, wheel_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from windtunnel.model import Model
    from windtunnel.spec import Script


def this_python() -> str:
    """The version of this interpreter, as in ``3.12``."""
    return ".".join(platform.python_version_tuple()[:2])


def build_context(
    model: Model,
    model_name: str,
    script: Script | None = None,
    python: str | None = None,
    *,
    also: tuple[str, ...] = (),
    base: str | None = None,
) -> Context:
    """Raises ``InvalidSpec`` for a script that cannot work, ``MissingExtra`` without the scoring server.

    ``python`` is the version of the base image; default: that of this interpreter, whose packages are pinned.
    ``also`` are packages that are installed here and in the image, in the same versions; ``base`` is the image to
    start from where it is not Docker Hub's Python.
    """
    python = python_of(python)
    names.check_model(model_name)
    pinned = pins(python, (*REQUIREMENTS, *also))
    requirements = [f"{name}=={version}" for name, version in pinned.items()]
    folder = f"azureml-models/{model_name}/{MODEL_VERSION}"
    entries = [
        Entry.of_bytes(f"wheels/{wheel_name()}", build_wheel()),
        *model_entries(model, folder),
    ]
    if script is not None:
        entries.append(Entry.of_bytes("app/score.py", scripts.check_script(script.entry)))
        if script.requirements is not None:
            requirements += scripts.check_requirements(script.requirements, pinned)
    entries.append(Entry.of_bytes("requirements.txt", "".join(f"{line}\n" for line in requirements).encode()))
    text = dockerfile(
        model_name, python, wheel_name(), SCORING_PORT, SCORING_COMMAND, with_script=script is not None, base=base
    )
    entries.append(Entry.of_bytes("Dockerfile", text))
    return Context(entries)


def python_of(python: str | None) -> str:
    """The version of the base image. Raises ``InvalidSpec``."""
    python = python or this_python()
    if not re.fullmatch(r"3\.\d{1,2}", python):
        raise InvalidSpec(f"the Python version {python!r} is invalid: two numbers, as in {this_python()}")
    return python


def model_entries(model: Model, folder: str) -> list[Entry]:
    """The model's file and its external data."""
    return [
        Entry.of_file(f"{folder}/{_safe(model.path.name)}", model.path, model.sha256),
        *(Entry.of_file(f"{folder}/{f.as_posix()}", model.path.parent / f) for f in model.data_files),
    ]


def image_tag(context: Context) -> str:
    """The tag of the context's image: the same for the same content, so that nothing is built twice."""
    return context.digest[:32]


def image_name(context: Context, model_name: str) -> str:
    """``repository:tag``, without a registry."""
    return f"{names.repository_of(model_name)}:{image_tag(context)}"


def dockerfile(
    model_name: str,
    python: str,
    wheel: str,
    port: int,
    command: Sequence[str],
    *,
    with_script: bool = False,
    base: str | None = None,
) -> bytes:
    """The Dockerfile of an image that serves a model."""
    lines = [
        f"FROM {base or f'python:{python}-slim'}",
        "ENV PYTHONUNBUFFERED=1",
        f"ENV AML_APP_ROOT={APP_ROOT}",
        f"ENV AZUREML_MODEL_DIR={MODELS}/{model_name}/{MODEL_VERSION}",
    ]
    if with_script:
        lines += [f"ENV AZUREML_SOURCE_DIRECTORY={APP_ROOT}", "ENV AZUREML_ENTRY_SCRIPT=score.py"]
    lines += [
        f"WORKDIR {APP_ROOT}",
        "COPY wheels/ /tmp/wheels/",
        "COPY requirements.txt /tmp/requirements.txt",
        # The wheel first: the line is the same for every model, so that its layer is.
        f"RUN pip install --no-cache-dir /tmp/wheels/{wheel} -r /tmp/requirements.txt",
        f"COPY azureml-models/ {MODELS}/",
    ]
    if with_script:
        lines.append(f"COPY app/ {APP_ROOT}/")
    words = ", ".join(f'"{word}"' for word in command)
    lines += [f"EXPOSE {port}", f"CMD [{words}]"]
    return "".join(f"{line}\n" for line in lines).encode()


def _safe(name: str) -> str:
    """A file name that every tool between here and the container takes as it is."""
    safe = re.sub(r"[^A-Za-z0-9._-]+", "-", name).lstrip("-.")
    return safe or "model.onnx"
