"""A model as an accelerated image: the build context of a container that computes as the FPGA service did.

    Dockerfile
    requirements.txt                         what the simulator needs, pinned as it is installed here
    wheels/windtunnel_brainwave-*.whl
    azureml-models/<name>/1/<file>           the model, and its external data beside it

There is no such FPGA to be had any more, so what is deployed is its simulator, live too. It is a part of the emulators'
package that stands alone; its wheel is made of that part's files, and nothing of the emulators goes into the image. The
adapter takes it as it takes the model: as files, without importing any of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel import names
from windtunnel.context import Context, Entry
from windtunnel.layout import BRAINWAVE_COMMAND, BRAINWAVE_PORT, MODEL_VERSION
from windtunnel.packaging import dockerfile, model_entries, python_of
from windtunnel.wheel import BRAINWAVE, build_wheel, pins, wheel_name

if TYPE_CHECKING:
    from windtunnel.model import Model


def build_context(model: Model, model_name: str, python: str | None = None) -> Context:
    """Raises ``InvalidSpec`` for the version of Python, ``MissingExtra`` without the simulator."""
    python = python_of(python)
    names.check_model(model_name)
    pinned = pins(python, BRAINWAVE.requirements, BRAINWAVE.extra)
    requirements = "".join(f"{name}=={version}\n" for name, version in pinned.items())
    wheel = wheel_name(BRAINWAVE)
    return Context(
        [
            Entry.of_bytes(f"wheels/{wheel}", build_wheel(BRAINWAVE)),
            Entry.of_bytes("requirements.txt", requirements.encode()),
            *model_entries(model, f"azureml-models/{model_name}/{MODEL_VERSION}"),
            Entry.of_bytes("Dockerfile", dockerfile(model_name, python, wheel, BRAINWAVE_PORT, BRAINWAVE_COMMAND)),
        ]
    )
