"""``Context``: what every command is given: profile, backend and output, made from the common options."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from windtunnel import profiles, registry
from windtunnel.errors import NotConfigured, Timeout
from windtunnel.interface import Capability
from windtunnel.settings import SETTINGS
from windtunnel.spec import Target

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping
    from pathlib import Path
    from typing import TypeVar

    from windtunnel.cli.output import Output
    from windtunnel.interface import Backend, Operation
    from windtunnel.profiles import Profile

    T = TypeVar("T")

_WAIT_S = 0.5


@dataclass(kw_only=True)
class Context:
    """One run of one command."""

    output: Output
    environment: Mapping[str, str]
    folder: Path
    profile_name: str | None = None
    flags: Mapping[str, str] = field(default_factory=dict[str, str])

    @cached_property
    def profile(self) -> Profile:
        """Raises ``NotConfigured``."""
        return profiles.load(self.profile_name, self.flags, self.environment, self.folder)

    def profile_called(self, name: str) -> Profile:
        """Another profile, with the same environment but without the flags, which are for the first."""
        return profiles.load(name, {}, self.environment, self.folder)

    def exported(self) -> dict[str, str]:
        """The flags as environment variables, for a child process that loads the same profile."""
        variables = {SETTINGS[key].variable: value for key, value in self.flags.items() if key in SETTINGS}
        return {**variables, "WINDTUNNEL_STATE_DIR": str(self.profile.state_dir)}

    @contextmanager
    def backend(self, *, prepare: bool = False) -> Generator[Backend]:
        """The profile's backend, closed at the end; ``prepare`` makes ready what it needs on this machine."""
        kind = registry.load(self.profile.backend)
        if prepare:
            kind.prepare(self.profile, progress=self.output.progress)
        backend = kind.connect(self.profile, progress=self.output.progress)
        with backend:
            yield backend

    def wait(self, operation: Operation[T], limit_s: float) -> T:
        """The result. Ctrl+C cancels the operation and waits for the state that it leaves."""
        try:
            waited = 0.0
            while not operation.wait(_WAIT_S):
                waited += _WAIT_S
                if waited >= limit_s:
                    raise Timeout(f"it is not over after {limit_s:g} s", way_out="Give a longer --timeout.")
            return operation.result()
        except (KeyboardInterrupt, Timeout):
            operation.cancel()
            self.output.note("cancelling ...")
            operation.wait(limit_s)
            if operation.done():
                return operation.result()
            raise


def targets_of(backend: Backend) -> list[Target]:
    """The targets that can be predicted with."""
    return [target for target in Target if backend.offer(target).reason(Capability.PREDICT) is None]


def flags_of(pairs: Mapping[str, str | None], extra: list[str]) -> dict[str, str]:
    """The settings given on the command line. Raises ``NotConfigured`` for one that is not ``key=value``."""
    flags = {key: value for key, value in pairs.items() if value is not None}
    for text in extra:
        key, sign, value = text.partition("=")
        if not sign or not key:
            raise NotConfigured(f"--set {text!r} is not of the form key=value")
        flags[key.strip().replace("-", "_")] = value
    return flags
