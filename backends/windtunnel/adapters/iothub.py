"""``IotHubs``: the IoT hubs of a resource group by ARM, and ``Hub``: one hub's own API, on azure-iot-hub.

Twins are JSON here, as the hub sends them. azure-iot-hub imports uamqp, and six without saying so: both are looked
for before anything is done.
"""

from __future__ import annotations

import importlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, cast

from windtunnel.adapters.clients import is_installed
from windtunnel.adapters.errors import translated
from windtunnel.errors import (
    AuthenticationFailed,
    Conflict,
    InvalidSpec,
    MissingExtra,
    NotFound,
    ServiceError,
    WindtunnelError,
)
from windtunnel.interface import Progress
from windtunnel.iothub_errors import said_of
from windtunnel.jsontypes import as_list, as_object

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

    from azure.mgmt.iothub import IotHubClient

    from windtunnel.adapters.clients import Clients
    from windtunnel.clouds import Cloud
    from windtunnel.jsontypes import Json, JsonObject

AGENT: Final = "$edgeAgent"
EDGE_HUB: Final = "$edgeHub"
_NEEDED = ("azure.mgmt.iothub", "six", "uamqp", "msrest", "azure.iot.hub")
_OWNER, _SERVICE = "iothubowner", "service"
_PAGE = 100


class IotHubs:
    """Raises ``MissingExtra`` on first use, and the errors of ``windtunnel.errors``."""

    def __init__(
        self,
        clients: Clients,
        *,
        group: str,
        location: str,
        tags: Mapping[str, str],
        progress: Callable[[Progress], None],
    ) -> None:
        self._clients = clients
        self._group = group
        self._location = location
        self._tags = tags
        self._progress = progress
        self._client: IotHubClient | None = None

    def get(self, name: str) -> Hub | None:
        """None when there is no such hub."""
        from azure.core.exceptions import ResourceNotFoundError

        client = self._management()
        with translated(f"IoT hub {name!r}"):
            try:
                found = client.iot_hub_resource.get(self._group, name)
            except ResourceNotFoundError:
                return None
            properties = found.properties
            host = properties.host_name if properties is not None else None
            if properties is None or not host:
                return None
            events = (properties.event_hub_endpoints or {}).get("events")
            keys = {
                str(key.key_name): str(key.primary_key) for key in client.iot_hub_resource.list_keys(self._group, name)
            }
        return Hub(
            self._clients.cloud,
            name=name,
            id=str(found.id),
            host=host,
            location=found.location or "",
            keys=keys,
            events=("", "") if events is None else (str(events.endpoint or ""), str(events.path or "")),
        )

    def require(self, name: str) -> Hub:
        """Raises ``NotFound``."""
        found = self.get(name)
        if found is None:
            raise NotFound(
                f"there is no IoT hub {name!r} in resource group {self._group!r}",
                way_out="A deployment to IoT Edge makes it; or name another one: --set iot_hub=NAME.",
            )
        return found

    def ensure(self, name: str) -> Hub:
        """Make it (tier S1) unless it is there; its resource group is."""
        found = self.get(name)
        if found is not None:
            return found
        client = self._management()
        self._progress(Progress(step=f"creating IoT hub {name}"))
        body = {
            "location": self._location,
            "tags": dict(self._tags),
            "sku": {"name": "S1", "capacity": 1},
            "properties": {},
        }
        with translated(f"creating IoT hub {name!r}"):
            client.iot_hub_resource.begin_create_or_update(self._group, name, cast("Any", body)).result()
        return self.require(name)

    def _management(self) -> IotHubClient:
        if self._client is None:
            for module in _NEEDED:
                if not is_installed(module):
                    raise MissingExtra("IoT Edge", "iot", module)
            self._client = self._clients.iot_hubs
        return self._client


class Hub:
    """One hub's identities, twins, deployments and direct methods."""

    def __init__(
        self,
        cloud: Cloud,
        *,
        name: str,
        id: str,
        host: str,
        location: str,
        keys: Mapping[str, str],
        events: tuple[str, str] = ("", ""),
    ) -> None:
        """``keys`` are those of the policies; ``events`` is the Event Hubs-compatible endpoint, and its path."""
        self.name = name
        self.id = id
        self.host = host
        self.location = location
        self._cloud = cloud
        self._events = events
        self._keys = {key.lower(): value for key, value in keys.items()}
        self._manager: Any = None

    # --- identities

    def has_device(self, device: str) -> bool:
        """Raises ``InvalidSpec`` for a device that is no IoT Edge device."""
        found = self._asked(f"device {device!r}", lambda p: p.devices.get_identity(device, raw=True), missing=True)
        if found is None:
            return False
        if as_object(as_object(found).get("capabilities")).get("iotEdge") is not True:
            raise InvalidSpec(
                f"device {device!r} of IoT hub {self.name!r} is not an IoT Edge device",
                way_out="Name another one (--device), or let a deployment make one.",
            )
        return True

    def create_device(self, device: str) -> None:
        """An IoT Edge device with generated keys."""
        made = _models().Device(
            device_id=device,
            status="enabled",
            authentication=_models().AuthenticationMechanism(type="sas"),
            capabilities=_models().DeviceCapabilities(iot_edge=True),
        )
        self._asked(
            f"creating device {device!r}", lambda p: p.devices.create_or_update_identity(device, made, raw=True)
        )

    # --- twins and deployments

    def device_twin(self, device: str) -> JsonObject:
        """Raises ``NotFound``."""
        return as_object(self._asked(f"device {device!r}", lambda p: p.devices.get_twin(device, raw=True)))

    def module_twin(self, device: str, module: str) -> JsonObject:
        """Empty for a module that is not there."""
        found = self._asked(
            f"module {module!r} of device {device!r}",
            lambda p: p.modules.get_twin(device, module, raw=True),
            missing=True,
        )
        return as_object(found)

    def tag(self, device: str, tags: JsonObject, etag: str) -> bool:
        """Patch a device's tags; False when the twin has changed since it had that etag."""
        twin = _models().Twin(tags=tags)
        quoted = etag if etag.startswith('"') else f'"{etag}"'
        try:
            self._asked(f"device {device!r}", lambda p: p.devices.update_twin(device, twin, quoted, raw=True))
        except Conflict:
            return False
        return True

    def apply(self, device: str, content: JsonObject) -> None:
        """Set the modules of a device."""
        body = _models().ConfigurationContent(modules_content=content)
        self._asked(
            f"setting the modules of device {device!r}",
            lambda p: p.configuration.apply_on_edge_device(device, body, raw=True),
        )

    def agents(self) -> list[JsonObject]:
        """The twins of all edge agents."""
        query = _models().QuerySpecification(query="SELECT * FROM devices.modules WHERE moduleId = '$edgeAgent'")
        found: list[JsonObject] = []
        token: str | None = None
        while True:
            response = self._response(
                "looking for edge devices",
                lambda p: p.query.get_twins(query, token, str(_PAGE), raw=True),  # noqa: B023
            )
            found += [as_object(item) for item in as_list(response.json())]
            token = response.headers.get("x-ms-continuation")
            if not token:
                return found

    # --- direct methods

    def call(self, device: str, module: str, method: str, payload: Json, *, seconds: int = 30) -> tuple[int, Json]:
        """Status and payload. Raises ``NotFound`` for a module that is not connected."""
        request = _models().CloudToDeviceMethod(
            method_name=method,
            payload="" if payload is None else payload,
            response_timeout_in_seconds=seconds,
            connect_timeout_in_seconds=min(seconds, 10),
        )
        doing = f"direct method {method!r} of module {module!r} of device {device!r}"
        found = as_object(self._asked(doing, lambda p: p.modules.invoke_method(device, module, request, raw=True)))
        status = found.get("status")
        return status if isinstance(status, int) else 0, found.get("payload")

    def scoring_token(self, ttl_s: int = 3600) -> str:
        """What direct methods may be called with, for a while."""
        policy = _SERVICE if _SERVICE in self._keys else _OWNER
        return str(_sdk("sastoken").SasToken(self.host, self._key(policy), policy, ttl_s))

    def connection_string(self) -> str:
        """Of the policy that may do everything."""
        return f"HostName={self.host};SharedAccessKeyName={_OWNER};SharedAccessKey={self._key(_OWNER)}"

    def events_string(self) -> str:
        """Where what devices have sent is read. Raises ``ServiceError`` for a hub without the built-in endpoint."""
        endpoint, path = self._events
        if not endpoint or not path:
            raise ServiceError(f"IoT hub {self.name!r} has no built-in endpoint for events")
        policy = _SERVICE if _SERVICE in self._keys else _OWNER
        return f"Endpoint={endpoint};SharedAccessKeyName={policy};SharedAccessKey={self._key(policy)};EntityPath={path}"

    def _key(self, policy: str) -> str:
        if policy not in self._keys:
            raise AuthenticationFailed(
                f"IoT hub {self.name!r} has no shared access policy {policy!r}",
                way_out="Add it to the hub, with the rights that it has on a new one.",
            )
        return self._keys[policy]

    def _asked(self, doing: str, ask: Callable[[Any], Any], *, missing: bool = False) -> Json:
        """The answer's JSON; None for 404 where that may be."""
        try:
            response = self._response(doing, ask)
        except NotFound:
            if missing:
                return None
            raise
        return cast("Json", response.json()) if response.content else None

    def _response(self, doing: str, ask: Callable[[Any], Any]) -> Any:
        with _hub_errors(doing):
            return ask(self._protocol()).response

    def _protocol(self) -> Any:
        if self._manager is None:
            self._manager = _sdk("iothub_registry_manager").IoTHubRegistryManager.from_connection_string(
                self.connection_string()
            )
            configuration = self._manager.protocol.config
            if self._cloud.ca_file is not None:
                configuration.connection.verify = str(self._cloud.ca_file)
            configuration.proxies.use_env_settings = self._cloud.environment_proxies
        return self._manager.protocol


def _sdk(module: str) -> Any:
    """A module of azure-iot-hub, which has no types; imported when it is used: uamqp takes its time."""
    return importlib.import_module(f"azure.iot.hub.{module}")


def _models() -> Any:
    return _sdk("protocol.models")


@contextmanager
def _hub_errors(doing: str) -> Generator[None]:
    """Raises our errors for those of msrest."""
    from msrest.exceptions import ClientException, HttpOperationError

    try:
        yield
    except HttpOperationError as error:
        raise _refused(cast("Any", error).response, doing) from error
    except ClientException as error:
        raise ServiceError(
            f"{doing}: the IoT hub cannot be reached: {error}",
            way_out="Check the network, the proxy settings and, for another cloud, its ca_file.",
        ) from error


def _refused(response: Any, doing: str) -> WindtunnelError:
    status = int(response.status_code)
    code, said = said_of(str(response.text), str(response.reason))
    message = f"{doing}: {said}"
    if status in (401, 403):
        return AuthenticationFailed(message, code=code, way_out="Check the shared access policies of the hub.")
    if status == 404:
        return NotFound(message, code=code)
    if status in (409, 412):
        return Conflict(message, code=code, way_out="Wait for it to end, then try again.")
    if status == 400:
        return InvalidSpec(message, code=code)
    return ServiceError(message, status=status, code=code)
