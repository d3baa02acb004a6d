"""stdout and stderr, line by line, to somewhere else too: what a script prints stays where it is."""

from __future__ import annotations

import io
import sys
import threading
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TextIO

_LONGEST: Final = 64 * 1024
_OWN_THREADS: Final = "Otel"
"""The SDK's threads have names that begin so: what they say of a failed export must not be exported again."""


class Tee(io.TextIOBase):
    """A stream that writes to another one and tells of each line."""

    def __init__(self, stream: TextIO, tell: Callable[[str], None]) -> None:
        self.stream = stream
        self._tell = tell
        self._local = threading.local()

    @property
    def encoding(self) -> str:  # type: ignore[override]  # a property there, and a plain attribute in typeshed
        return self.stream.encoding

    def write(self, text: str) -> int:
        self.stream.write(text)
        if not threading.current_thread().name.startswith(_OWN_THREADS):
            begun: str = getattr(self._local, "begun", "")
            *lines, rest = (begun + text).split("\n")
            if len(rest) >= _LONGEST:
                lines, rest = [*lines, rest], ""
            self._local.begun = rest
            for line in lines:
                if line:
                    self._tell(line)
        return len(text)

    def flush(self) -> None:
        self.stream.flush()

    def fileno(self) -> int:
        return self.stream.fileno()

    def isatty(self) -> bool:
        return self.stream.isatty()

    def writable(self) -> bool:
        return True


def capture(tell: Callable[[str, str], None]) -> None:
    """From here on; undone by ``release``."""
    release()
    sys.stdout = Tee(sys.stdout, lambda line: tell(line, "STDOUT"))
    sys.stderr = Tee(sys.stderr, lambda line: tell(line, "STDERR"))


def release() -> None:
    """The streams as they were."""
    if isinstance(sys.stdout, Tee):
        sys.stdout = sys.stdout.stream
    if isinstance(sys.stderr, Tee):
        sys.stderr = sys.stderr.stream
