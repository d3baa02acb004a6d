"""What a runtime that can build any Dockerfile offers to the registry's tasks; ask with ``isinstance``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

from windtunnel_emulators.runtime.interface import RuntimeProblem

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from windtunnel_emulators.runtime.interface import Credentials


class BuildFailed(RuntimeProblem):
    """A build or a push that failed; the reason is in its log as well."""


@runtime_checkable
class ImageBuilder(Protocol):
    """Builds as ``docker build`` does, and pushes."""

    async def build_image(
        self,
        *,
        context: Path,
        dockerfile: str,
        arguments: Mapping[str, str],
        target: str | None,
        cache: bool,
        log: Callable[[str], None],
    ) -> str:
        """Build a context (tar, plain or gzip) and return the image's id; ``log`` gets a line at a time, on the event
        loop. Raises ``BuildFailed``. Cancelling ends the build.

        ``cache`` says that steps of earlier builds may be used.
        """
        ...

    async def push_image(
        self, image: str, references: Sequence[str], credentials: Credentials, log: Callable[[str], None]
    ) -> str:
        """Push the image of that id under each ``server/repository:tag``; its digest there. Raises ``BuildFailed``.

        The image may be gone afterwards: it is in the registry now.
        """
        ...
