"""AMQP of an IoT hub by Microsoft's own clients, unmodified and over TLS: events, messages to devices, feedback."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

from iot_wire import DEVICE, GROUP, HUB, SDK_LEFTOVERS, WAIT_S, Hub, eventually, trusting

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    from tests.wire.conftest import Launch, Launched

EVENTS: Any = import_module("azure.eventhub")
AIO: Any = import_module("azure.eventhub.aio")
CHECKPOINTS: Any = import_module("azure.eventhub._eventprocessor.in_memory_checkpoint_store")
PYAMQP: Any = import_module("azure.eventhub._pyamqp")
PYAMQP_AUTH: Any = import_module("azure.eventhub._pyamqp.authentication")
PYAMQP_ERRORS: Any = import_module("azure.eventhub._pyamqp.error")
UAMQP: Any = import_module("uamqp")
ACCESS_TOKEN: Any = import_module("azure.core.credentials").AccessToken

pytestmark = SDK_LEFTOVERS


@pytest.fixture(scope="module")
def launched(launch: Launch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launched]:
    with launch(tmp_path_factory.mktemp("iot-amqp")) as found, trusting(found):
        yield found


@pytest.fixture(scope="module")
def hub(launched: Launched) -> Hub:
    return Hub(launched, "amqpHub")


@pytest.fixture(scope="module")
def sent(hub: Hub) -> Sequence[str]:
    """The bodies of what a device and a module have sent, in order; all of it is in one partition."""
    bodies = [f"number {number}" for number in range(8)]
    client: Any = DEVICE.IoTHubDeviceClient.create_from_connection_string(hub.new_device("teller"))
    client.connect()
    for body in bodies[:-1]:
        message: Any = DEVICE.Message(body.encode())
        message.message_id, message.correlation_id = f"id of {body}", "some"
        message.content_type, message.content_encoding = "text/plain", "utf-8"
        message.custom_properties["alert"] = "a b&c=é"
        client.send_message(message)
    client.shutdown()
    made = hub.registry.create_module_with_sas("teller", "part", "", "", "")
    key = made.authentication.symmetric_key.primary_key
    module: Any = DEVICE.IoTHubModuleClient.create_from_connection_string(
        f"HostName={hub.address};DeviceId=teller;ModuleId=part;SharedAccessKey={key}"
    )
    module.connect()
    module.send_message_to_output(bodies[-1], "out")
    module.shutdown()
    return bodies


def events_string(hub: Hub, policy: str = "service", *, key: str | None = None, entity: str | None = None) -> str:
    """As the portal shows it for the built-in endpoint, made of what ARM tells."""
    events = hub.arm.iot_hub_resource.get(GROUP, hub.name).properties.event_hub_endpoints["events"]
    found = hub.keys[policy]
    return (
        f"Endpoint={events.endpoint};SharedAccessKeyName={found.key_name};"
        f"SharedAccessKey={key or found.primary_key};EntityPath={entity or events.path}"
    )


def consumer(hub: Hub, string: str | None = None, group: str = "$Default", **options: Any) -> Any:
    return EVENTS.EventHubConsumerClient.from_connection_string(
        string or events_string(hub),
        group,
        connection_verify=hub.launched.environment["SSL_CERT_FILE"],
        load_balancing_interval=0.2,  # closing waits for it
        **{"retry_total": 0, **options},
    )


class Reading:
    """A consumer that receives in a thread until it is closed."""

    def __init__(self, client: Any, **options: Any) -> None:
        self.client = client
        self.events: list[Any] = []
        self.errors: list[Exception] = []
        self._thread = threading.Thread(target=self._receive, kwargs={"starting_position": "-1", **options})
        self._thread.start()

    def _receive(self, **options: Any) -> None:
        self.client.receive(self._take, on_error=self._fail, **options)

    def _fail(self, _: Any, error: Exception) -> None:
        self.errors.append(error)

    def _take(self, _: Any, event: Any) -> None:
        self.events.append(event)

    def has_events(self) -> bool:
        return bool(self.events)

    @property
    def bodies(self) -> list[str]:
        return [event.body_as_str() for event in self.events]

    def __enter__(self) -> Reading:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()
        self._thread.join(WAIT_S)
        assert not self._thread.is_alive()


@contextmanager
def together(readings: list[Reading]) -> Generator[list[Reading]]:
    """Closed all at once: the client waits a second for each."""
    try:
        yield readings
    finally:
        with ThreadPoolExecutor(len(readings)) as pool:
            list(pool.map(Reading.__exit__, readings))


def partition_of(hub: Hub) -> str:
    """Where the events are."""
    with consumer(hub) as client:
        for partition in client.get_partition_ids():
            if not client.get_partition_properties(partition)["is_empty"]:
                return str(partition)
    raise AssertionError("no partition has events")


def test_the_endpoint_tells_of_itself(hub: Hub, sent: Sequence[str]) -> None:
    with consumer(hub) as client:
        found = client.get_eventhub_properties()
        assert (found["eventhub_name"], found["partition_ids"]) == ("amqphub", ["0", "1", "2", "3"])
        assert abs(found["created_at"] - datetime.now(UTC)) < timedelta(minutes=5)
        last = [client.get_partition_properties(one) for one in found["partition_ids"]]
    assert sorted(one["last_enqueued_sequence_number"] for one in last) == [-1, -1, -1, len(sent) - 1]
    assert [one["is_empty"] for one in last].count(False) == 1


def test_events_have_what_iot_hub_says_of_them(hub: Hub, sent: Sequence[str]) -> None:
    # One partition: of all, the client asks one after the other, and waits for each that has nothing.
    with Reading(consumer(hub), partition_id=partition_of(hub)) as reading:
        eventually(lambda: len(reading.events) >= len(sent), "events are missing")
    assert reading.bodies == list(sent)
    first, last = reading.events[0], reading.events[-1]
    assert [event.sequence_number for event in reading.events] == list(range(len(sent)))
    assert first.properties == {b"alert": "a b&c=é".encode()}
    assert (first.message_id, first.correlation_id) == (f"id of {sent[0]}", "some")
    assert (first.content_type, first.raw_amqp_message.properties.content_encoding) == ("text/plain", b"utf-8")
    system = {bytes(name).decode(): value for name, value in first.system_properties.items()}
    assert system["iothub-connection-device-id"] == b"teller"
    assert json.loads(system["iothub-connection-auth-method"]) == {
        "scope": "device",
        "type": "sas",
        "issuer": "iothub",
        "acceptingIpFilterRule": None,
    }
    assert system["iothub-message-source"] == b"Telemetry"
    assert system["iothub-connection-auth-generation-id"]
    assert "iothub-connection-module-id" not in system
    assert system["iothub-enqueuedtime"] == system["x-opt-enqueued-time"]
    assert abs(first.enqueued_time - datetime.now(UTC)) < timedelta(minutes=5)
    assert last.system_properties[b"iothub-connection-module-id"] == b"part"


def test_reading_begins_where_it_is_told_to(hub: Hub, sent: Sequence[str]) -> None:
    partition = partition_of(hub)
    with Reading(consumer(hub), partition_id=partition) as reading:
        eventually(lambda: len(reading.events) >= len(sent), "events are missing")
    third = reading.events[2]
    cases: list[tuple[dict[str, Any], int]] = [
        ({"starting_position": third.offset}, 3),
        ({"starting_position": third.offset, "starting_position_inclusive": True}, 2),
        ({"starting_position": third.sequence_number}, 3),
        ({"starting_position": third.sequence_number, "starting_position_inclusive": True}, 2),
        ({"starting_position": third.enqueued_time - timedelta(milliseconds=1)}, 2),
    ]
    begun = [Reading(consumer(hub), partition_id=partition, **options) for options, _ in cases]
    with together(begun):
        for again, (options, _) in zip(begun, cases, strict=True):
            eventually(again.has_events, f"nothing from {options}")
    for again, (options, expected) in zip(begun, cases, strict=True):
        first = again.events[0].sequence_number
        # Several may have been stored in the same millisecond.
        is_time = isinstance(options["starting_position"], datetime)
        assert first <= expected if is_time else first == expected, options


def test_what_comes_later_is_read_at_once(launched: Launched) -> None:
    hub = Hub(launched, "amqpLater")
    string = hub.new_device("later")
    early: Any = DEVICE.IoTHubDeviceClient.create_from_connection_string(string)
    early.connect()
    early.send_message("old")
    early.shutdown()
    with Reading(consumer(hub), starting_position="@latest") as reading:
        client: Any = DEVICE.IoTHubDeviceClient.create_from_connection_string(string)
        client.connect()
        deadline = time.monotonic() + WAIT_S
        while not reading.events:  # until all partitions are read, events go by
            assert time.monotonic() < deadline
            client.send_message("news")
        client.shutdown()
    assert set(reading.bodies) == {"news"}


def test_an_asynchronous_client_goes_on_from_its_checkpoint(hub: Hub, sent: Sequence[str]) -> None:
    store = CHECKPOINTS.InMemoryCheckpointStore()
    assert asyncio.run(_read_some(hub, store, 3, sent)) == list(sent[:3])
    assert asyncio.run(_read_some(hub, store, 2, sent)) == list(sent[3:5])


async def _read_some(hub: Hub, store: Any, count: int, known: Sequence[str]) -> list[str]:
    client: Any = AIO.EventHubConsumerClient.from_connection_string(
        events_string(hub),
        "$Default",
        checkpoint_store=_Asynchronous(store),
        load_balancing_interval=1,
        connection_verify=hub.launched.environment["SSL_CERT_FILE"],
    )
    found: list[str] = []
    enough = asyncio.Event()

    async def take(context: Any, event: Any) -> None:
        if event.body_as_str() in known and len(found) < count:
            found.append(event.body_as_str())
            await context.update_checkpoint(event)
        if len(found) >= count:
            enough.set()

    async with client:
        task = asyncio.create_task(client.receive(take, starting_position="-1"))
        await asyncio.wait_for(enough.wait(), WAIT_S)
    await asyncio.wait_for(task, WAIT_S)
    return found


class _Asynchronous(AIO.CheckpointStore):  # type: ignore[misc]  # has no types
    """A checkpoint store for the asynchronous client, in memory."""

    def __init__(self, store: Any) -> None:
        self._store = store

    async def list_ownership(self, *names: str, **_: Any) -> Any:
        return []

    async def claim_ownership(self, ownership_list: Any, **_: Any) -> Any:
        return [{**one, "etag": "1", "last_modified_time": time.time()} for one in ownership_list]

    async def update_checkpoint(self, checkpoint: Any, **_: Any) -> None:
        self._store.update_checkpoint(checkpoint)

    async def list_checkpoints(self, *names: str, **_: Any) -> Any:
        return self._store.list_checkpoints(*names)


def test_what_is_not_there_is_refused(hub: Hub, sent: Sequence[str]) -> None:
    with Reading(consumer(hub, group="nobody")) as reading:
        eventually(lambda: reading.errors, "the group was found")
    assert "amqp:not-found" in str(reading.errors[0]) or "no consumer group 'nobody'" in str(reading.errors[0])
    with consumer(hub) as client, pytest.raises(EVENTS.exceptions.EventHubError, match="between 0 and 3"):
        client.get_partition_properties("9")
    with Reading(consumer(hub), partition_id="9") as reading:
        eventually(lambda: reading.errors, "the partition was found")
    # Its processor has asked for the partitions, and looks by itself.
    assert "0', '1', '2', '3'" in str(reading.errors[0])
    with (
        consumer(hub, events_string(hub, entity="another")) as client,
        pytest.raises(EVENTS.exceptions.EventHubError, match="could not be found"),
    ):
        client.get_partition_ids()


def test_who_may_not_read_is_told_so(hub: Hub, sent: Sequence[str]) -> None:
    wrong = "d3Jvbmd3cm9uZ3dyb25nd3Jvbmc="
    for string in (events_string(hub, key=wrong), events_string(hub, "device"), events_string(hub, "registryRead")):
        with consumer(hub, string) as client, pytest.raises(EVENTS.exceptions.AuthenticationError):
            client.get_partition_ids()


def test_an_owner_level_takes_a_partition_over(hub: Hub, sent: Sequence[str]) -> None:
    partition = partition_of(hub)
    with Reading(consumer(hub), partition_id=partition, owner_level=1) as first:
        eventually(lambda: first.events, "the first reads nothing")
        with Reading(consumer(hub), partition_id=partition, owner_level=2) as second:
            eventually(lambda: second.events, "the second reads nothing")
            eventually(lambda: first.errors, "the first was not ended")
            with Reading(consumer(hub), partition_id=partition) as third:
                eventually(lambda: third.errors, "one without a level was let in")
            with Reading(consumer(hub), partition_id=partition, owner_level=1) as fourth:
                eventually(lambda: fourth.errors, "a lower level was let in")
            assert not second.errors
    assert "higher epoch of '2'" in str(first.errors[0])
    assert "non-epoch receiver is not allowed" in str(third.errors[0])
    assert "lower epoch" in str(fourth.errors[0])


def test_five_readers_of_a_group_are_enough(hub: Hub, sent: Sequence[str]) -> None:
    partition = partition_of(hub)
    with together([Reading(consumer(hub), partition_id=partition) for _ in range(5)]) as readers:
        eventually(lambda: all(one.events for one in readers), "some read nothing")
        with Reading(consumer(hub), partition_id=partition) as sixth:
            eventually(lambda: sixth.errors, "the sixth was let in")
        assert "Exceeded the maximum number of allowed receivers" in str(sixth.errors[0])


def test_the_emulator_flag_of_the_client_is_understood(hub: Hub, sent: Sequence[str]) -> None:
    """Without TLS then, and with the same tokens."""
    string = f"{events_string(hub)};UseDevelopmentEmulator=true"
    with consumer(hub, string) as client:
        assert client.get_partition_ids() == ["0", "1", "2", "3"]
    with (
        consumer(hub, f"{events_string(hub, 'device')};UseDevelopmentEmulator=true") as client,
        pytest.raises(EVENTS.exceptions.AuthenticationError),
    ):
        client.get_partition_ids()


def test_nobody_but_devices_sends(hub: Hub) -> None:
    producer: Any = EVENTS.EventHubProducerClient.from_connection_string(
        events_string(hub), connection_verify=hub.launched.environment["SSL_CERT_FILE"], retry_total=0
    )
    with producer, pytest.raises(EVENTS.exceptions.EventHubError, match="messages come from devices alone"):
        producer.send_event(EVENTS.EventData("x"))


def test_the_hub_sends_who_monitors_on_to_the_endpoint(hub: Hub) -> None:
    """The first hop of ``az iot hub monitor-events``, with the client that its extension uses."""
    policy = hub.keys["iothubowner"]

    def token() -> Any:
        expiry = int(time.time()) + 360
        made = hub_token(hub.address, policy.key_name, policy.primary_key, expiry)
        return ACCESS_TOKEN(made, expiry)

    source = f"amqps://{hub.address}/messages/events/$management"
    auth = PYAMQP_AUTH._CBSAuth(
        uri=source,
        audience=hub.address,
        token_type=b"servicebus.windows.net:sastoken",
        get_token=token,
        expires_in=360,
    )
    client = PYAMQP.ReceiveClient(
        hostname=hub.address,
        source=source,
        auth=auth,
        timeout=10,
        connection_verify=hub.launched.environment["SSL_CERT_FILE"],
    )
    try:
        client.open()
        with pytest.raises(PYAMQP_ERRORS.AMQPLinkRedirect) as redirected:
            client.receive_message_batch(max_batch_size=1, timeout=5)
    finally:
        client.close()
    found = redirected.value
    assert found.hostname == hub.address
    assert found.address == f"amqps://{hub.address}:5671/amqphub/$management"


def hub_token(resource: str, policy: str, key: str, expiry: int) -> str:
    """As azure-iot-hub signs: over the resource as it is, with the key's bytes."""
    import base64
    import hashlib
    import hmac
    from urllib.parse import quote

    digest = hmac.digest(base64.b64decode(key), f"{resource}\n{expiry}".encode(), hashlib.sha256)
    signature = quote(base64.b64encode(digest), safe="")
    return f"SharedAccessSignature sr={resource}&sig={signature}&se={expiry}&skn={policy}"


# Messages to devices.


def receiving(hub: Hub, device: str) -> tuple[Any, list[Any]]:
    """A connected device, and what it receives."""
    client: Any = DEVICE.IoTHubDeviceClient.create_from_connection_string(hub.new_device(device))
    found: list[Any] = []
    client.on_message_received = found.append
    client.connect()
    return client, found


def test_a_message_reaches_its_device(hub: Hub) -> None:
    client, found = receiving(hub, "bound")
    registry = hub.registry
    properties = {"contentType": "text/plain", "correlationId": "c1", "messageId": "m1", "level": "high"}
    registry.send_c2d_message("bound", "hello é", properties)
    registry.send_c2d_message("bound", "again", {})
    eventually(lambda: len(found) == 2, "a message is missing")
    client.shutdown()
    registry.amqp_svc_client.disconnect_sync()
    first = found[0]
    assert first.data.decode() == "hello é"
    assert (first.message_id, first.correlation_id, first.content_type) == ("m1", "c1", "text/plain")
    assert first.custom_properties["level"] == "high"


def test_feedback_says_what_became_of_a_message(hub: Hub) -> None:
    client, found = receiving(hub, "asked")
    registry = hub.registry
    registry.send_c2d_message("asked", "told", {"messageId": "m-full", "iothub-ack": "full"})
    registry.send_c2d_message("asked", "not told", {"messageId": "m-negative", "iothub-ack": "negative"})
    eventually(lambda: len(found) == 2, "a message is missing")
    client.shutdown()
    registry.send_c2d_message("asked", "purged", {"messageId": "m-purged", "iothub-ack": "full"})
    with hub.launched.http() as http:
        headers = {"Authorization": rest_token(hub)}
        url = f"https://{hub.host}"
        version = {"api-version": "2021-04-12"}
        assert http.delete(f"{url}/devices/asked/commands", params=version, headers=headers).status_code == 200
        feedback = f"{url}/messages/serviceBound/feedback"
        answer = http.get(feedback, params=version, headers=headers)
        assert [(one["originalMessageId"], one["statusCode"]) for one in answer.json()] == [
            ("m-full", "Success"),
            ("m-purged", "Purged"),
        ]
        assert answer.json()[0]["deviceId"] == "asked"
        assert http.get(feedback, params=version, headers=headers).status_code == 204
        lock = answer.headers["etag"].strip('"')
        assert http.post(f"{feedback}/{lock}/abandon", params=version, headers=headers).status_code == 204
        again = http.get(feedback, params=version, headers=headers)
        lock = again.headers["etag"].strip('"')
        assert len(again.json()) == 2
        assert http.delete(f"{feedback}/{lock}", params=version, headers=headers).status_code == 204
        assert http.delete(f"{feedback}/{lock}", params=version, headers=headers).status_code == 412
        assert http.get(feedback, params=version, headers=headers).status_code == 204
    client = receiver_of(hub, "/messages/servicebound/feedback")
    registry.send_c2d_message("asked", "purged too", {"messageId": "m-amqp", "iothub-ack": "negative"})
    assert registry.protocol.cloud_to_device_messages is not None
    with hub.launched.http() as http:
        http.delete(f"{url}/devices/asked/commands", params=version, headers={"Authorization": rest_token(hub)})
    try:
        message = client.receive_message_batch(max_batch_size=1, timeout=10_000)[0]
        records = json.loads(b"".join(message.get_data()))
        assert [(one["originalMessageId"], one["statusCode"]) for one in records] == [("m-amqp", "Purged")]
        assert bytes(message.properties.content_type) == b"application/vnd.microsoft.iothub.feedback.json"
        message.accept()
    finally:
        client.close()
        registry.amqp_svc_client.disconnect_sync()


def rest_token(hub: Hub) -> str:
    policy = hub.keys["service"]
    return hub_token(hub.host, policy.key_name, policy.primary_key, int(time.time()) + 600)


def receiver_of(hub: Hub, path: str) -> Any:
    """A receiver of uamqp, as azure-iot-hub makes senders."""
    policy = hub.keys["service"]

    def token() -> Any:
        expiry = int(time.time()) + 600
        return ACCESS_TOKEN(hub_token(hub.address, policy.key_name, policy.primary_key, expiry), expiry)

    auth = UAMQP.authentication.JWTTokenAuth(
        audience=f"https://{hub.address}",
        uri=f"https://{hub.address}",
        get_token=token,
        token_type=b"servicebus.windows.net:sastoken",
    )
    auth.update_token()
    return UAMQP.ReceiveClient(f"amqps://{hub.address}{path}", auth=auth, auto_complete=False)


def test_messages_that_cannot_be_sent_are_refused(hub: Hub) -> None:
    registry = hub.registry
    with pytest.raises(Exception, match=r"C2D message send failure|no device 'absent'"):
        registry.send_c2d_message("absent", "x", {})
    hub.new_device("full")
    for number in range(50):
        registry.send_c2d_message("full", str(number), {})
    with pytest.raises(Exception, match=r"C2D message send failure|50 messages wait"):
        registry.send_c2d_message("full", "one too many", {})
    registry.amqp_svc_client.disconnect_sync()


def test_a_policy_without_the_right_sends_no_messages(hub: Hub) -> None:
    hub.new_device("shut")
    registry: Any = HUB.IoTHubRegistryManager.from_connection_string(hub.for_policy(hub.keys["registryReadWrite"]))
    with pytest.raises(Exception, match=r"[Aa]uth|401|[Uu]nauthorized|claim"):
        registry.send_c2d_message("shut", "x", {})
