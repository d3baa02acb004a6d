"""The kubelet's words (1.34) for what happens to a pod's containers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.runtime.words import Words

if TYPE_CHECKING:
    from windtunnel_emulators.runtime.interface import Image


def duration(seconds: float) -> str:
    """As Go writes a duration: ``1m20s``, ``1.5s``, ``340ms``."""
    if seconds < 1:
        return f"{round(seconds * 1000)}ms" if seconds >= 0.001 else "0s"
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(int(minutes), 60)
    parts = f"{hours}h" if hours else ""
    parts += f"{minutes}m" if hours or minutes else ""
    return f"{parts}{round(rest, 3):g}s"


class KubeletWords(Words):
    """Of one pod."""

    kubernetes = True

    def __init__(self, pod: str, uid: str) -> None:
        """``pod`` as a kubelet names it: ``name_namespace``."""
        self._pod = f"{pod}({uid})"

    def pulling(self, reference: str) -> str:
        return f'Pulling image "{reference}"'

    def pulled(self, image: Image, seconds: float) -> str:
        took = duration(seconds)
        return f'Successfully pulled image "{image.reference}" in {took} ({took} including waiting).'

    def pull_backs_off(self, reference: str, problem: str) -> str:
        return f'Back-off pulling image "{reference}": ErrImagePull: {problem}'

    def created(self, name: str) -> str:
        return f"Created container: {name}"

    def started(self, name: str) -> str:
        return f"Started container {name}"

    def backs_off(self, name: str) -> str:
        return f"Back-off restarting failed container {name} in pod {self._pod}"

    def waits_to_restart(self, name: str, wait_s: float) -> str:
        return f"back-off {duration(wait_s)} restarting failed container={name} pod={self._pod}"
