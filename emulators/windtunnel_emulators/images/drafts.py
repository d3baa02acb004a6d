"""Folders that appear whole or not at all, and locks so that each is made once.

A draft lies beside what it becomes and names the process that makes it: when that is gone, the draft is abandoned.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
import weakref
from typing import TYPE_CHECKING

from windtunnel_emulators.images.errors import EnvironmentError_

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator
    from pathlib import Path

_DRAFT = ".draft-"
_LOCKS = ".locks"
_RETRY_S = 0.02
_LIMIT_S = 1800.0


class Drafts:
    """Drafts and locks of one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # A lock is there as long as somebody holds it or waits for it.
        self._locks = weakref.WeakValueDictionary[str, asyncio.Lock]()
        self._cleaned = False

    @staticmethod
    def owns(path: Path) -> bool:
        """Whether an entry of the folder is a draft or the locks."""
        return path.name.startswith((_DRAFT, _LOCKS))

    @contextlib.contextmanager
    def new(self) -> Generator[Path]:
        """A path for a draft, which is removed at the end unless it was finished."""
        self._folder.mkdir(parents=True, exist_ok=True)
        if not self._cleaned:
            self._cleaned = True
            self.remove_abandoned()
        path = self._folder / f"{_DRAFT}{os.getpid()}-{secrets.token_hex(6)}"
        try:
            yield path
        finally:
            if path.is_dir():
                shutil.rmtree(path)

    def finish(self, draft: Path, final: Path) -> None:
        """Make the draft what it is meant to be; when somebody else has made the same meanwhile, theirs stays."""
        try:
            draft.rename(final)
        except OSError:
            if not final.is_dir():
                raise

    def write(self, file: Path, content: bytes) -> None:
        """Write a small file whole."""
        with self.new() as draft:
            draft.mkdir()
            (draft / "file").write_bytes(content)
            file.parent.mkdir(parents=True, exist_ok=True)
            (draft / "file").replace(file)

    def remove_abandoned(self) -> None:
        """Remove the drafts of processes that are gone."""
        for path in self._folder.glob(f"{_DRAFT}*"):
            owner = path.name.removeprefix(_DRAFT).partition("-")[0]
            if not (owner.isdigit() and _runs(int(owner))):
                shutil.rmtree(path, ignore_errors=True)

    @contextlib.asynccontextmanager
    async def locked(self, key: str) -> AsyncGenerator[None]:
        """Nobody else, in this process or another, is in here with the same key."""
        lock = self._locks.setdefault(key, asyncio.Lock())
        async with lock:
            handle = await self._locked_file(key)
            try:
                yield
            finally:
                os.close(handle)

    async def _locked_file(self, key: str) -> int:
        """The lock file's handle; closing it, or the end of the process, gives it back."""
        folder = self._folder / _LOCKS
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder / key, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            # Another process holds it for seconds at most, or for as long as pip takes; it has its own limit.
            async with asyncio.timeout(_LIMIT_S):
                while not _try_lock(handle):  # noqa: ASYNC110  # another process can set no event
                    await asyncio.sleep(_RETRY_S)
        except TimeoutError as error:
            os.close(handle)
            raise EnvironmentError_(
                f"another process has been making the same packages for {_LIMIT_S:.0f} s"
            ) from error
        except BaseException:
            os.close(handle)
            raise
        return handle


def _try_lock(handle: int) -> bool:
    import fcntl

    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
