"""``HubEvents``: what devices have sent to a hub, read at its Event Hubs-compatible endpoint with azure-eventhub."""

from __future__ import annotations

import importlib
import queue
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from windtunnel.adapters.clients import is_installed
from windtunnel.errors import AuthenticationFailed, MissingExtra, ServiceError
from windtunnel.interface import Event

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    from windtunnel.clouds import Cloud

_PACKAGE = "azure.eventhub"
_FIRST = "-1"
_POLL_S = 0.2
_BALANCE_S = 1.0
"""How often the SDK looks for other readers of the group; closing waits for it (30 s by default)."""
_AHEAD = 8
"""Events that a partition sends ahead. The SDK hands nothing out before it has so many, while they keep coming."""
_JOIN_S = 10.0
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
        options: dict[str, object] = {"load_balancing_interval": _BALANCE_S}
        if self._cloud.ca_file is not None:
            options["connection_verify"] = str(self._cloud.ca_file)
        sdk: Any = importlib.import_module(_PACKAGE)

        def new() -> Any:
            return sdk.EventHubConsumerClient.from_connection_string(self._connection_string, group, **options)

        with closing(new()) as asking, _sentences(sdk):
            partitions = [str(partition) for partition in asking.get_partition_ids()]
        reading = Reading()
        position = _FIRST if since is None else since
        # One reader of all partitions would wait for each in turn.
        clients = [new() for _ in partitions]

        def receive(client: Any, partition: str) -> None:
            try:
                client.receive_batch(
                    reading.take,
                    on_error=reading.fail,
                    partition_id=partition,
                    max_batch_size=_AHEAD,
                    max_wait_time=_POLL_S,
                    prefetch=_AHEAD,
                    starting_position=position,
                    starting_position_inclusive=True,
                )
            except Exception as error:
                reading.fail(None, error)

        threads = [
            threading.Thread(target=receive, args=(client, partition), name=f"iot-events-{partition}", daemon=True)
            for client, partition in zip(clients, partitions, strict=True)
        ]
        for thread in threads:
            thread.start()
        try:
            yield reading
        finally:
            # Closing waits for what a reader is doing: all at once.
            with ThreadPoolExecutor(len(clients)) as pool:
                list(pool.map(_close, clients))
            for thread in threads:
                thread.join(_JOIN_S)


@contextmanager
def _sentences(sdk: Any) -> Generator[None]:
    """Raises ``ServiceError`` and ``AuthenticationFailed`` for the SDK's."""
    try:
        yield
    except sdk.exceptions.AuthenticationError as error:
        raise AuthenticationFailed(f"the hub's events cannot be read: {error}") from error
    except sdk.exceptions.EventHubError as error:
        raise ServiceError(f"the hub's events cannot be read: {error}") from error


def _close(client: Any) -> None:
    client.close()


class Reading:
    """Events as they come, in order per partition."""

    def __init__(self) -> None:
        self._events: queue.SimpleQueue[Event | Exception] = queue.SimpleQueue()

    def take(self, partition: Any, events: Sequence[Any]) -> None:
        """The SDK's callback."""
        for event in events:
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
