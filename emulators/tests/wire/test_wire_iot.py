"""An IoT hub by Microsoft's own clients, unmodified and over TLS: ARM, the registry, devices, modules."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from datetime import UTC, datetime, timedelta
from queue import Queue
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from azure.core.exceptions import HttpResponseError
from azure.mgmt.iothub import IotHubClient
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from msrest.exceptions import HttpOperationError

from iot_wire import DEVICE, GROUP, HUB, MODELS, SDK_LEFTOVERS, WAIT_S, Hub, eventually, trusting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.wire.conftest import Launch, Launched

NAME = "wireHub"

pytestmark = SDK_LEFTOVERS


@pytest.fixture(scope="module")
def launched(launch: Launch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launched]:
    with launch(tmp_path_factory.mktemp("iot")) as found, trusting(found):
        yield found


@pytest.fixture(scope="module")
def hub(launched: Launched) -> Hub:
    return Hub(launched)


@pytest.fixture
def connect() -> Iterator[Callable[..., Any]]:
    """Connected clients, which are shut down at the end."""
    clients: list[Any] = []

    def make(connection_string: str, **options: Any) -> Any:
        kind: Any = DEVICE.IoTHubModuleClient if "ModuleId=" in connection_string else DEVICE.IoTHubDeviceClient
        client = kind.create_from_connection_string(connection_string, connection_retry_interval=1, **options)
        clients.append(client)
        client.connect()
        return client

    yield make
    for client in clients:
        try:
            client.shutdown()
        except DEVICE.exceptions.NoConnectionError:  # it was just connecting anew
            client.shutdown()


def answering(client: Any, payload: Any) -> Callable[[Any], None]:
    """What answers every method with 200."""

    def answer(request: Any) -> None:
        client.send_method_response(DEVICE.MethodResponse.create_from_method_request(request, 200, payload))

    return answer


def test_arm_tells_of_the_hub(hub: Hub) -> None:
    resources = hub.arm.iot_hub_resource
    found = resources.get(GROUP, NAME)
    assert (found.name, found.properties.state, found.sku.tier) == (NAME, "Active", "Standard")
    assert found.properties.event_hub_endpoints["events"].partition_ids == ["0", "1", "2", "3"]
    assert NAME in [one.name for one in resources.list_by_resource_group(GROUP)]
    assert {key: value.rights for key, value in hub.keys.items()} == {
        "iothubowner": "RegistryWrite, ServiceConnect, DeviceConnect",
        "service": "ServiceConnect",
        "device": "DeviceConnect",
        "registryRead": "RegistryRead",
        "registryReadWrite": "RegistryWrite",
    }
    assert resources.get_keys_for_key_name(GROUP, NAME, "service").primary_key == hub.keys["service"].primary_key
    assert resources.check_name_availability({"name": NAME}).name_available is False
    assert resources.check_name_availability({"name": "another-hub"}).name_available is True
    assert {one.name for one in resources.get_quota_metrics(GROUP, NAME)} == {"TotalMessages", "TotalDeviceCount"}
    assert [one.sku.name for one in resources.get_valid_skus(GROUP, NAME)] == ["S1", "S2", "S3"]


def test_consumer_groups_come_and_go(hub: Hub) -> None:
    resources = hub.arm.iot_hub_resource
    body = {"properties": {"name": "mine"}}
    assert resources.create_event_hub_consumer_group(GROUP, NAME, "events", "mine", body).name == "mine"
    listed = [one.name for one in resources.list_event_hub_consumer_groups(GROUP, NAME, "events")]
    assert listed == ["$Default", "mine"]
    resources.delete_event_hub_consumer_group(GROUP, NAME, "events", "mine")
    with pytest.raises(HttpResponseError, match="no consumer group 'mine'"):
        resources.get_event_hub_consumer_group(GROUP, NAME, "events", "mine")


def test_the_registry_keeps_devices_and_modules(hub: Hub) -> None:
    registry = hub.registry
    key = base64.b64encode(b"k" * 32).decode()
    made = registry.create_device_with_sas("kept", key, key, "disabled", status_reason="not yet")
    assert (made.status, made.status_reason, made.authentication.symmetric_key.primary_key) == (
        "disabled",
        "not yet",
        key,
    )
    with pytest.raises(HttpOperationError, match="Conflict"):
        registry.create_device_with_sas("kept", key, key, "enabled")
    changed = registry.update_device_with_sas("kept", made.etag, key, key, "enabled")
    assert (changed.status, changed.etag == made.etag) == ("enabled", False)
    with pytest.raises(HttpOperationError, match="Precondition Failed"):
        registry.update_device_with_sas("kept", made.etag, key, key, "enabled")
    module = registry.create_module_with_sas("kept", "part", "", key, key)
    assert [one.module_id for one in registry.get_modules("kept")] == ["part"]
    registry.delete_module("kept", "part", module.etag)
    registry.delete_device("kept")
    with pytest.raises(HttpOperationError, match="Not Found"):
        registry.get_device("kept")


def test_an_edge_device_has_its_two_modules_and_its_scope(hub: Hub) -> None:
    hub.new_device("edge", edge=True)
    device = hub.registry.get_device("edge")
    assert device.capabilities.iot_edge is True
    assert device.device_scope.startswith("ms-azure-iot-edge://edge-")
    assert [one.module_id for one in hub.registry.get_modules("edge")] == ["$edgeAgent", "$edgeHub"]
    child = hub.registry.create_device_with_sas("child", "", "", "enabled", device_scope=device.device_scope)
    assert (child.device_scope, child.parent_scopes) == (device.device_scope, [device.device_scope])


def test_policies_may_do_what_they_have_the_right_to(hub: Hub) -> None:
    hub.new_device("guarded")
    reader = HUB.IoTHubRegistryManager.from_connection_string(hub.for_policy(hub.keys["registryRead"]))
    assert reader.get_device("guarded").device_id == "guarded"
    with pytest.raises(HttpOperationError, match="Unauthorized"):
        reader.delete_device("guarded")
    service = HUB.IoTHubRegistryManager.from_connection_string(hub.for_policy(hub.keys["service"]))
    assert service.get_twin("guarded").device_id == "guarded"
    with pytest.raises(HttpOperationError, match="Unauthorized"):
        service.get_device("guarded")


def test_telemetry_twins_methods_and_messages_of_a_device(hub: Hub, connect: Callable[..., Any]) -> None:
    device = connect(hub.new_device("whole"))
    message: Any = DEVICE.Message(b'{"t": 21}')
    message.message_id, message.content_type, message.content_encoding = "1/é", "application/json", "utf-8"
    message.custom_properties["alert"] = "a b&c=d"
    device.send_message(message)
    assert hub.registry.get_service_statistics().connected_device_count >= 1
    assert hub.registry.get_device("whole").connection_state == "Connected"

    patches: Queue[Any] = Queue()
    device.on_twin_desired_properties_patch_received = patches.put
    twin = hub.registry.get_twin("whole")
    wanted = MODELS.Twin(tags={"site": {"floor": 1}}, properties=MODELS.TwinProperties(desired={"rate": {"s": 5}}))
    changed = hub.registry.update_twin("whole", wanted, twin.etag)
    assert changed.tags == {"site": {"floor": 1}}
    assert patches.get(timeout=WAIT_S) == {"rate": {"s": 5}, "$version": 2}
    device.patch_twin_reported_properties({"rate": {"s": 5}, "gone": 1})
    device.patch_twin_reported_properties({"gone": None})
    assert device.get_twin() == {
        "desired": {"rate": {"s": 5}, "$version": 2},
        "reported": {"rate": {"s": 5}, "$version": 3},
    }
    with pytest.raises(HttpOperationError, match="Precondition Failed"):
        hub.registry.update_twin("whole", wanted, twin.etag)

    def answer(request: Any) -> None:
        payload = {"name": request.name, "payload": request.payload}
        device.send_method_response(DEVICE.MethodResponse.create_from_method_request(request, 207, payload))

    device.on_method_request_received = answer
    call = MODELS.CloudToDeviceMethod(method_name="do it", payload=[1, None], response_timeout_in_seconds=10)
    result = hub.registry.invoke_device_method("whole", call)
    assert (result.status, result.payload) == (207, {"name": "do it", "payload": [1, None]})


def test_a_module_sends_and_is_called(hub: Hub, connect: Callable[..., Any]) -> None:
    hub.new_device("host")
    made = hub.registry.create_module_with_sas("host", "worker", "", "", "")
    key = made.authentication.symmetric_key.primary_key
    module = connect(f"HostName={hub.address};DeviceId=host;ModuleId=worker;SharedAccessKey={key}")
    module.send_message_to_output("x", "out")
    module.on_method_request_received = answering(module, None)
    call = MODELS.CloudToDeviceMethod(method_name="ping", response_timeout_in_seconds=10, connect_timeout_in_seconds=10)
    assert hub.registry.invoke_device_module_method("host", "worker", call).status == 200
    assert module.get_twin()["reported"] == {"$version": 1}


def test_who_may_not_connect_is_told_so(hub: Hub, connect: Callable[..., Any]) -> None:
    good = hub.new_device("locked")
    wrong = base64.b64encode(b"w" * 32).decode()
    with pytest.raises(DEVICE.exceptions.CredentialError):
        connect(hub.device_string("locked", wrong))
    with pytest.raises(DEVICE.exceptions.CredentialError):
        connect(hub.device_string("nobody", wrong))
    device = hub.registry.get_device("locked")
    keys = device.authentication.symmetric_key
    hub.registry.update_device_with_sas("locked", device.etag, keys.primary_key, keys.secondary_key, "disabled")
    with pytest.raises(DEVICE.exceptions.CredentialError):
        connect(good)


def test_a_device_that_is_not_connected_cannot_be_called(hub: Hub) -> None:
    hub.new_device("absent")
    with pytest.raises(HttpOperationError) as refused:
        hub.registry.invoke_device_method("absent", MODELS.CloudToDeviceMethod(method_name="ping"))
    assert refused.value.response.status_code == 404
    assert '\\"errorCode\\":404103' in refused.value.response.text


def test_mqtt_over_websockets(hub: Hub, connect: Callable[..., Any]) -> None:
    if ":" in hub.host:
        pytest.skip("port 443, which clients insist on for WebSockets, may not be opened by this user")
    device = connect(hub.new_device("socket"), websockets=True)
    device.send_message("x" * 100_000)
    assert device.get_twin()["desired"] == {"$version": 1}


def test_a_newer_connection_takes_the_place_of_the_older(hub: Hub, connect: Callable[..., Any]) -> None:
    string = hub.new_device("twice")
    first = connect(string, auto_connect=False)
    connect(string)
    eventually(lambda: not first.connected, "the older connection stays")
    assert hub.registry.get_device("twice").connection_state == "Connected"


def test_devices_with_certificates(hub: Hub, connect: Callable[..., Any], tmp_path: Path) -> None:
    certificate, key = _certificate("x509own")
    thumbprint = certificate.fingerprint(hashes.SHA256()).hex().upper()
    hub.registry.create_device_with_x509("x509own", thumbprint, "0" * 40, "enabled")
    client = _with_certificate(hub, "x509own", certificate, key, tmp_path)
    client.connect()
    client.send_message("signed")
    client.shutdown()
    other, other_key = _certificate("x509own")
    refused = _with_certificate(hub, "x509own", other, other_key, tmp_path)
    with pytest.raises(DEVICE.exceptions.CredentialError):
        refused.connect()
    refused.shutdown()


def test_devices_of_a_certificate_authority_that_was_verified(hub: Hub, tmp_path: Path) -> None:
    authority, authority_key = _certificate("lab authority", ca=True)
    certificates = hub.arm.certificates
    encoded = base64.b64encode(authority.public_bytes(serialization.Encoding.PEM)).decode()
    made = certificates.create_or_update(GROUP, NAME, "lab", {"properties": {"certificate": encoded}})
    assert made.properties.is_verified is False
    hub.registry.create_device_with_certificate_authority("x509ca", "enabled")
    certificate, key = _certificate("x509ca", issuer=(authority, authority_key))
    client = _with_certificate(hub, "x509ca", certificate, key, tmp_path)
    with pytest.raises(DEVICE.exceptions.CredentialError):
        client.connect()
    code = certificates.generate_verification_code(GROUP, NAME, "lab", made.etag).properties.verification_code
    proof, _ = _certificate(code, issuer=(authority, authority_key))
    sent = base64.b64encode(proof.public_bytes(serialization.Encoding.PEM)).decode()
    current = certificates.get(GROUP, NAME, "lab")
    verified = certificates.verify(GROUP, NAME, "lab", current.etag, {"certificate": sent})
    assert verified.properties.is_verified is True
    client.connect()
    client.send_message("of the lab")
    client.shutdown()


def test_an_entra_token_opens_the_service_api(hub: Hub) -> None:
    with hub.launched.http() as client:
        token = hub.launched.credential.get_token("https://iothubs.azure.net/.default").token
        url = f"https://{hub.host}/devices?api-version=2021-04-12"
        assert client.get(url, headers={"Authorization": f"Bearer {token}"}).status_code == 200
        other = hub.launched.credential.get_token(f"{hub.launched.base}/.default").token
        refused = client.get(url, headers={"Authorization": f"Bearer {other}"})
        assert (refused.status_code, refused.headers["iothub-errorcode"]) == (401, "IotHubUnauthorizedAccess")
        assert client.get(url).status_code == 401


def test_a_device_makes_its_own_modules_as_iotedgehubdev_does(hub: Hub) -> None:
    string = dict(part.split("=", 1) for part in hub.new_device("self", edge=True).split(";"))
    audience, expiry = quote(f"{hub.host}/devices/self", safe=""), int(time.time()) + 60
    key = base64.b64decode(string["SharedAccessKey"])
    digest = base64.b64encode(hmac.digest(key, f"{audience}\n{expiry}".encode(), hashlib.sha256))
    headers = {"Authorization": f"SharedAccessSignature sr={audience}&sig={quote(digest, safe='')}&se={expiry}"}
    base = f"https://{hub.host}/devices"
    version = {"api-version": "2020-05-31-preview"}
    with hub.launched.http(headers=headers, params=version) as client:
        made = client.put(f"{base}/self/modules/part", json={"moduleId": "part", "deviceId": "self"})
        assert made.status_code == 200
        assert made.json()["authentication"]["symmetricKey"]["primaryKey"]
        assert client.get(f"{base}/self/modules/$edgeHub").status_code == 200
        assert client.get(f"{base}/absent/modules").status_code == 401
        assert client.get(base).status_code == 401


def test_a_device_goes_on_when_the_hub_was_killed(launch: Launch, tmp_path: Path, connect: Callable[..., Any]) -> None:
    """What was acknowledged is there, and the client, which never subscribes again, still receives."""
    with launch(tmp_path) as first, trusting(first):
        hub = Hub(first, "killed")
        device = connect(hub.new_device("survivor"))
        patches: Queue[Any] = Queue()
        device.on_twin_desired_properties_patch_received = patches.put
        device.on_method_request_received = answering(device, "here")
        for number in range(20):
            device.send_message(str(number))
        before = hub.host
        first.process.kill()
        first.process.wait(timeout=WAIT_S)
        with launch(tmp_path) as second:
            again: Any = second.client(IotHubClient).iot_hub_resource
            assert again.get(GROUP, "killed").properties.host_name == before
            metrics: dict[str, int] = {one.name: one.current_value for one in again.get_quota_metrics(GROUP, "killed")}
            assert metrics["TotalMessages"] == 20
            call = MODELS.CloudToDeviceMethod(
                method_name="ping", response_timeout_in_seconds=10, connect_timeout_in_seconds=int(WAIT_S)
            )
            assert hub.registry.invoke_device_method("survivor", call).payload == "here"
            hub.registry.update_twin("survivor", MODELS.Twin(properties=MODELS.TwinProperties(desired={"x": 1})), "*")
            eventually(lambda: {"x": 1, "$version": 2} in list(patches.queue), "no patch after the restart")
            device.send_message("after")


def test_a_deleted_hub_is_gone(launched: Launched, connect: Callable[..., Any]) -> None:
    hub = Hub(launched, "shortlived")
    device = connect(hub.new_device("d"), auto_connect=False)
    hub.arm.iot_hub_resource.begin_delete(GROUP, "shortlived").result()
    eventually(lambda: not device.connected, "the device is still connected")
    with pytest.raises(HttpResponseError, match="was not found"):
        hub.arm.iot_hub_resource.get(GROUP, "shortlived")
    again = Hub(launched, "shortlived")
    assert again.registry.get_devices(10) == []


Pair = tuple[x509.Certificate, ec.EllipticCurvePrivateKey]


def _certificate(name: str, *, ca: bool = False, issuer: Pair | None = None) -> Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer[0].subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    )
    return builder.sign(issuer[1] if issuer else key, hashes.SHA256()), key


def _with_certificate(
    hub: Hub, name: str, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey, folder: Path
) -> Any:
    cert_file, key_file = folder / f"{name}.pem", folder / f"{name}-key.pem"
    cert_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    shown = DEVICE.X509(cert_file=str(cert_file), key_file=str(key_file))
    kind: Any = DEVICE.IoTHubDeviceClient
    return kind.create_from_x509_certificate(
        shown, f"{hub.name}.azure-devices.net", name, gateway_hostname=hub.address, connection_retry=False
    )
