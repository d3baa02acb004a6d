"""``HubEvents``: what devices have sent to a hub, read at its Event Hubs-compatible endpoint with azure-eventhub."""

from __future__ import annotations

import importlib
import queue
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from windtunnel.adapters.clients import is_installed
from windtunnel.errors import MissingExtra, ServiceError
from windtunnel.interface import Event

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from windtunnel.clouds import Cloud

_PACKAGE = "azure.eventhub"
_FIRST = "-1"
_POLL_S = 0.2
_SYSTEM = "iothub-"


class HubEvents:
    """Raises ``MissingExtra`` when the SDK is not there."""

    def __init__(self, cloud: Cloud, connection_string: str) -> None:
        if not is_installed(_PACKAGE):
            raise MissingExtra("reading what devices have sent", "iot", _PACKAGE)
        self._cloud = cloud
        self._connection_string = connection_string

    @contextmanager
    def open(self, *, since: datetime | None = None, group: str = "$Default") -> Generator[Reading]:
        """What has been sent since then, or ever, and what comes while the block lasts."""
        options: dict[str, object] = {}
        if self._cloud.ca_file is not None:
            options["connection_verify"] = str(self._cloud.ca_file)
        sdk: Any = importlib.import_module(_PACKAGE)
        client: Any = sdk.EventHubConsumerClient.from_connection_string(self._connection_string, group, **options)
        reading = Reading()
        position = _FIRST if since is None else since
        arguments = {"starting_position": position, "starting_position_inclusive": True}

        def receive() -> None:
            try:
                client.receive(reading.take, on_error=reading.fail, **arguments)
            except Exception as error:
                reading.fail(None, error)

        thread = threading.Thread(target=receive, name="iot-events", daemon=True)
        thread.start()
        try:
            yield reading
        finally:
            client.close()
            thread.join(10.0)


class Reading:
    """Events as they come, in order per partition."""

    def __init__(self) -> None:
        self._events: queue.SimpleQueue[Event | Exception] = queue.SimpleQueue()

    def take(self, partition: Any, event: Any) -> None:
        """The SDK's callback."""
        if event is not None:
            self._events.put(_event(partition, event))

    def fail(self, partition: Any, error: Exception) -> None:
        """The SDK's callback."""
        del partition
        self._events.put(error)

    def events(self, *, limit_s: float | None = None, idle_s: float | None = None) -> Iterator[Event]:
        """Until so much time has passed, or so much without a message. Raises ``ServiceError``."""
        begun = last = time.monotonic()
        while True:
            try:
                found = self._events.get(timeout=_POLL_S)
            except queue.Empty:
                now = time.monotonic()
                if (limit_s is not None and now - begun >= limit_s) or (idle_s is not None and now - last >= idle_s):
                    return
                continue
            if isinstance(found, Exception):
                raise ServiceError(f"reading what devices have sent: {found}") from found
            last = time.monotonic()
            yield found
            if limit_s is not None and last - begun >= limit_s:
                return


def _event(partition: Any, event: Any) -> Event:
    system = {_text(key): value for key, value in dict(event.system_properties or {}).items()}
    own = {_text(key): _text(value) for key, value in dict(event.properties or {}).items()}
    return Event(
        device=_text(system.get("iothub-connection-device-id", "")),
        module=_text(system.get("iothub-connection-module-id", "")),
        body=b"".join(event.body) if not isinstance(event.body, bytes) else event.body,
        properties={key: value for key, value in own.items() if not key.startswith(_SYSTEM)},
        system={key: _text(value) for key, value in system.items()},
        enqueued=event.enqueued_time or datetime.now(UTC),
        partition=str(partition.partition_id),
        sequence=int(event.sequence_number or 0),
    )


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
