"""Builds by a runtime that takes any Dockerfile (docker): built by its engine, and pushed over the registry's port."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.registry.access import NULL_USER
from windtunnel_emulators.runtime.builder import BuildFailed
from windtunnel_emulators.runtime.interface import Credentials

from .running import RunFailed

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from windtunnel_emulators.runtime.builder import ImageBuilder

    from .logs import LogWriter
    from .plans import Plan


async def build_with_engine(
    builder: ImageBuilder, *, context: Path, plan: Plan, images: Sequence[str], server: str, token: str, log: LogWriter
) -> str:
    """Build what a plan says and push it to the login server, with a refresh token of the registry; the digest, empty
    when nothing is to be pushed. Raises ``RunFailed``."""
    for name, value, secret in plan.arguments:
        log.line(f"build argument {name}={'***' if secret else value}")
    credentials = Credentials(server=server, username=NULL_USER, password=token)
    try:
        image = await builder.build_image(
            context=context,
            dockerfile=plan.dockerfile,
            arguments={name: value for name, value, _ in plan.arguments},
            target=plan.target or None,
            cache=plan.cache,
            log=log.line,
        )
        references = [f"{server}/{name}" for name in images]
        return await builder.push_image(image, references, credentials, log.line) if references else ""
    except BuildFailed as problem:
        raise RunFailed(str(problem)) from problem
