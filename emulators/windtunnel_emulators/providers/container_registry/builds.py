"""The seam between a run and the image builder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.images.errors import ImageProblem

from .running import RunFailed

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from windtunnel_emulators.world import World

    from .logs import LogWriter
    from .plans import Plan


async def run_build(
    *,
    world: World,
    context: Path,
    plan: Plan,
    images: Sequence[str],
    servers: Sequence[str],
    log: LogWriter,
    registry: str,
    work: Path,
) -> str:
    """Build what a plan says and put it into a registry; returns the digest. Raises ``RunFailed``.

    ``servers`` are the registry's names in a Dockerfile's FROM.
    """
    from windtunnel_emulators.images.build import build
    from windtunnel_emulators.images.environments import Environments

    for name, value, secret in plan.arguments:
        log.line(f"build argument {name}={'***' if secret else value}")
    try:
        result = await build(
            context=context,
            dockerfile=plan.dockerfile,
            images=images,
            arguments={name: value for name, value, _ in plan.arguments},
            log=log.line,
            content=world.content,
            registry=registry,
            environments=Environments(world.folder / "environments"),
            work=work,
            servers=servers,
            target=plan.target or None,
            cache=plan.cache,
        )
    except ImageProblem as error:
        raise RunFailed(str(error)) from error
    return result.digest
