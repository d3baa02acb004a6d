"""Where the process runtime's images come from: sources that are asked in order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from windtunnel_emulators.runtime.interface import Credentials, Image


class ImageSource(Protocol):
    """One place that has images."""

    def owns(self, reference: str) -> bool:
        """Whether this is the place for an image of that reference, had or not."""
        ...

    async def fetch(self, reference: str, credentials: tuple[Credentials, ...]) -> Image:
        """The image, unpacked and ready to run; raises ``ImageError``."""
        ...
