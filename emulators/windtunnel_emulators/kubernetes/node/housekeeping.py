"""What a node looks at from time to time: emptyDirs that have outgrown their limit."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

from windtunnel_emulators.kubernetes.objects.quantities import QuantityError, read

if TYPE_CHECKING:
    from pathlib import Path

    from windtunnel_emulators.kubernetes.node.pod import PodWorker


async def over_limit(worker: PodWorker) -> str | None:
    """Why the pod has to go; None when it may stay."""
    for name, limit, folder in worker.volumes.sizes(worker.pod):
        try:
            most = int(read(limit).amount)
        except QuantityError:
            continue
        if most > 0 and folder.is_dir() and await asyncio.to_thread(size, folder) > most:
            return f'Usage of EmptyDir volume "{name}" exceeds the limit "{limit}". '
    return None


def size(folder: Path) -> int:
    """Of all files below it."""
    total = 0
    for path, _, files in os.walk(folder):
        for name in files:
            try:
                total += os.lstat(os.path.join(path, name)).st_size
            except FileNotFoundError:
                continue
    return total
