"""What is said of a group's containers in events and states: ACI's words; the node of a pod has others."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from windtunnel_emulators.runtime.interface import Image


class Words:
    """Sentences only; names of events are the same everywhere."""

    kubernetes = False
    """A kubelet says more: of each failure also what it means for the container."""

    def pulling(self, reference: str) -> str:
        return f'pulling image "{reference}"'

    def pulled(self, image: Image, seconds: float) -> str:
        return f'Successfully pulled image "{image.reference}"'

    def present(self, reference: str) -> str:
        return f'Container image "{reference}" already present on machine'

    def pull_failed(self, reference: str, problem: str) -> str:
        return f'Failed to pull image "{reference}": {problem}'

    def pull_error(self, reference: str, problem: str) -> str:
        """Of the state ``ErrImagePull``."""
        return problem

    def pull_backs_off(self, reference: str, problem: str) -> str:
        """Of the state ``ImagePullBackOff``."""
        return f'Back-off pulling image "{reference}"'

    def created(self, name: str) -> str:
        return "Created container"

    def started(self, name: str) -> str:
        return "Started container"

    def stopping(self, name: str) -> str:
        return f"Stopping container {name}"

    def backs_off(self, name: str) -> str:
        return "Back-off restarting failed container"

    def waits_to_restart(self, name: str, wait_s: float) -> str:
        """Of the state ``CrashLoopBackOff``."""
        return f"Back-off {wait_s:g}s restarting failed"

    def ended_by_probe(self, name: str, kind: str, *, restarts: bool) -> str:
        return f"Container {name} failed {kind} probe{', will be restarted' if restarts else ''}"

    def ended_by_change(self, name: str, *, sidecar: bool) -> str:
        """Of one that runs when it is given another image."""
        changed = f"ontainer {name} definition changed"
        return f"Init c{changed}" if sidecar else f"C{changed}, will be restarted"
