"""Where lines are appended: a folder, or append blobs of Azure storage.

Several replicas append to one file; whoever comes first writes the header.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any, Final, Protocol

from windtunnel_scoring.collection.places import CONTAINER

if TYPE_CHECKING:
    from pathlib import Path

_BLOCK: Final = 4 * 1024 * 1024
"""The most that one append takes on all versions of the service."""
_LIMIT_S: Final = 10


class SinkError(Exception):
    """It could not be written; the message never holds a key."""


class Sink(Protocol):
    """Appends."""

    def append(self, path: str, header: bytes, lines: bytes) -> None:
        """``header`` comes first in a new file. Raises ``SinkError``."""
        ...


class FolderSink:
    """Files below ``<folder>/modeldata``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / CONTAINER

    def append(self, path: str, header: bytes, lines: bytes) -> None:
        import fcntl

        file = self._folder / path
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                data = memoryview(lines if os.fstat(descriptor).st_size else header + lines)
                while data:
                    data = data[os.write(descriptor, data) :]
            finally:
                os.close(descriptor)
        except OSError as error:
            raise SinkError(f"{file}: {error.strerror}") from error


class BlobSink:
    """Append blobs in the container ``modeldata``, by the azure-storage-blob package."""

    def __init__(self, connection_string: str) -> None:
        """Raises ``SinkError`` for a connection string that is none, or without the package."""
        try:
            blob: Any = importlib.import_module("azure.storage.blob")
            self._errors: Any = importlib.import_module("azure.core.exceptions")
        except ImportError as error:
            raise SinkError(
                "azure-storage-blob is not installed in this image: add it to the requirements,"
                " or collect into a folder"
            ) from error
        try:
            service = blob.BlobServiceClient.from_connection_string(
                connection_string, retry_total=2, connection_timeout=_LIMIT_S, read_timeout=_LIMIT_S
            )
        except ValueError as error:
            # Its own message would hold the string.
            raise SinkError("AML_MODEL_DC_STORAGE is no connection string of Azure storage") from error
        self._container: Any = service.get_container_client(CONTAINER)
        self._begun: set[str] = set()
        self._part: dict[str, int] = {}

    def append(self, path: str, header: bytes, lines: bytes) -> None:
        try:
            for start in range(0, len(lines), _BLOCK):
                self._append(path, header, lines[start : start + _BLOCK])
        except self._errors.AzureError as error:
            code: object = getattr(error, "error_code", None) or type(error).__name__
            raise SinkError(f"{path}: {getattr(code, 'value', code)}") from error

    def _append(self, path: str, header: bytes, lines: bytes) -> None:
        errors = self._errors
        for _ in range(6):
            name = self._name(path)
            client = self._container.get_blob_client(name)
            try:
                if name in self._begun:
                    client.append_block(lines)
                else:
                    client.append_block(header + lines, appendpos_condition=0)
                    self._begun.add(name)
                return
            except errors.ResourceNotFoundError as error:
                self._begun.discard(name)
                self._create(client, container=error.error_code == "ContainerNotFound")
            except errors.HttpResponseError as error:
                if error.error_code == "AppendPositionConditionNotMet":
                    # Another replica was first: the header is there.
                    self._begun.add(name)
                elif error.error_code == "BlockCountExceedsLimit":
                    self._part[path] = self._part.get(path, 1) + 1
                else:
                    raise
        raise SinkError(f"{path}: it is created and deleted again and again")

    def _name(self, path: str) -> str:
        part = self._part.get(path, 1)
        return path if part == 1 else f"{path.removesuffix('.csv')}_{part}.csv"

    def _create(self, client: Any, *, container: bool) -> None:
        try:
            if container:
                self._container.create_container()
            else:
                client.create_append_blob(if_none_match="*")
        except self._errors.ResourceExistsError:
            pass  # another replica made it
        except self._errors.ResourceModifiedError:
            pass
