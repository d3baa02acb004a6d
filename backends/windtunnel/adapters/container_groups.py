"""``ContainerGroups``: ``Microsoft.ContainerInstance/containerGroups`` of one resource group, by the official SDK.

Bodies go and come as JSON: the SDK's models changed shape between its 10.1 and 10.2, the wire did not. They go as
bytes, since 10.1 takes a stream for a model.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Protocol, TypeAlias, cast

from windtunnel.adapters.errors import translated
from windtunnel.errors import Timeout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from azure.core.polling import LROPoller

    from windtunnel.adapters.clients import Clients
    from windtunnel.adapters.images import Waiting
    from windtunnel.jsontypes import JsonObject

    _Read: TypeAlias = Callable[["_Answer", object, object], object]

_CHECK_EVERY_S = 0.2
_LIMIT_S = 2100.0
"""ACI itself gives up provisioning after 30 minutes (``provisioningTimeoutInSeconds``)."""


class _Response(Protocol):
    @property
    def status_code(self) -> int: ...
    def text(self) -> str: ...


class _Answer(Protocol):
    @property
    def http_response(self) -> _Response: ...


class _Named(Protocol):
    name: str
    tags: dict[str, str] | None


class _Operations(Protocol):
    """The operations that are used, with their ``cls``: a function of the raw answer in place of the SDK's models."""

    def get(self, group: str, name: str, /, *, cls: _Read) -> object: ...
    def list_by_resource_group(self, group: str, /) -> Iterable[_Named]: ...
    def begin_create_or_update(self, group: str, name: str, body: bytes, /, *, cls: _Read) -> LROPoller[object]: ...
    def update(self, group: str, name: str, body: bytes, /, *, cls: _Read) -> object: ...
    def begin_delete(self, group: str, name: str, /, *, cls: _Read) -> LROPoller[object]: ...


def _as_json(response: _Answer, _model: object, _headers: object) -> object:
    """For the SDK's ``cls``: the body itself in place of its model."""
    return json.loads(response.http_response.text())


class ContainerGroups:
    """Raises the errors of ``windtunnel.errors``."""

    def __init__(self, clients: Clients, group: str) -> None:
        self._clients = clients
        self._group = group

    @property
    def _operations(self) -> _Operations:
        return cast("_Operations", self._clients.instances.container_groups)

    def get(self, name: str) -> JsonObject | None:
        """None when there is none."""
        from azure.core.exceptions import ResourceNotFoundError

        with translated(f"reading container group {name!r}"):
            try:
                found = self._operations.get(self._group, name, cls=_as_json)
            except ResourceNotFoundError:
                return None
        return cast("JsonObject", found)

    def tags(self) -> dict[str, Mapping[str, str]]:
        """The tags of all groups, by name. ARM's list does not say how they are."""
        from azure.core.exceptions import ResourceNotFoundError

        with translated(f"listing the container groups of {self._group!r}"):
            try:
                groups = list(self._operations.list_by_resource_group(self._group))
            except ResourceNotFoundError:  # the resource group itself
                return {}
        return {group.name: group.tags or {} for group in groups}

    def put(self, name: str, body: JsonObject, waiting: Waiting) -> None:
        """Create or update, and wait until ARM says that it is over."""
        doing = f"deploying container group {name!r}"
        with translated(doing):
            poller = self._operations.begin_create_or_update(self._group, name, json.dumps(body).encode(), cls=_as_json)
        self._wait(poller, doing, waiting)

    def tag(self, name: str, tags: Mapping[str, str]) -> None:
        """Replace the tags; the group runs on."""
        with translated(f"tagging container group {name!r}"):
            self._operations.update(self._group, name, json.dumps({"tags": dict(tags)}).encode(), cls=_as_json)

    def delete(self, name: str, waiting: Waiting) -> bool:
        """False when there was none."""
        from azure.core.exceptions import ResourceNotFoundError

        doing = f"deleting container group {name!r}"
        gone: list[bool] = []

        def status(response: _Answer, _model: object, _headers: object) -> None:
            gone.append(response.http_response.status_code == 204)

        with translated(doing):
            try:
                poller = self._operations.begin_delete(self._group, name, cls=status)
            except ResourceNotFoundError:
                return False
        self._wait(poller, doing, waiting)
        return not (gone and gone[0])

    def log(self, name: str, container: str, tail: int) -> str:
        """The last lines of a container's output."""
        with translated(f"reading the log of container group {name!r}"):
            logs = self._clients.instances.containers.list_logs(self._group, name, container, tail=tail)
        return logs.content or ""

    def _wait(self, poller: LROPoller[object], doing: str, waiting: Waiting) -> None:
        waited = 0.0
        while not poller.done():
            waiting.check(f"{doing} goes on at Azure")
            with translated(doing):
                poller.wait(_CHECK_EVERY_S)
            waited += _CHECK_EVERY_S
            if waited > _LIMIT_S:
                raise Timeout(f"{doing} is not over after {waited:.0f} s", way_out="Look at its state later.")
        with translated(doing):
            poller.result()
