"""What the owner of a group does around each run of its containers; nothing for a container group of ACI.

NotConfigured    a container that cannot be made as things are, and may be made later
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from windtunnel_emulators.runtime.interface import RuntimeProblem

if TYPE_CHECKING:
    from windtunnel_emulators.runtime.interface import Exit, Image
    from windtunnel_emulators.runtime.plan import ContainerPlan


class NotConfigured(RuntimeProblem):
    """What the container refers to is not there (yet); ``reason`` is the word of its waiting state."""

    def __init__(self, message: str, *, reason: str = "CreateContainerConfigError") -> None:
        super().__init__(message)
        self.reason = reason


class Hooks(Protocol):
    """Called by the supervisor of each container."""

    async def prepare(self, plan: ContainerPlan, image: Image, run: int) -> ContainerPlan:
        """The plan with all that is only known now. Raises ``NotConfigured`` and ``StartError``."""
        ...

    async def message(self, plan: ContainerPlan, run: int, end: Exit) -> str:
        """What is kept as the message of a run that ended."""
        ...


class NoHooks:
    """Plans are complete, and ends say nothing."""

    async def prepare(self, plan: ContainerPlan, image: Image, run: int) -> ContainerPlan:
        return plan

    async def message(self, plan: ContainerPlan, run: int, end: Exit) -> str:
        return ""


class KnownImages:
    """The images that a node has, by the reference they were pulled by."""

    def __init__(self) -> None:
        self._images: dict[str, Image] = {}

    def get(self, reference: str) -> Image | None:
        return self._images.get(reference)

    def put(self, reference: str, image: Image) -> None:
        self._images[reference] = image

    def all(self) -> dict[str, Image]:
        return dict(self._images)
