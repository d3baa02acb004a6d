"""Resource providers over HTTP: what each namespace has, and whether the subscription uses it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.arm.errors import ArmError
from windtunnel_emulators.arm.locations import regions
from windtunnel_emulators.arm.responses import Answer
from windtunnel_emulators.providers.resources.versions import RESOURCES, TYPES

if TYPE_CHECKING:
    from windtunnel_emulators.arm.catalogue import Loaded
    from windtunnel_emulators.arm.kernel import Kernel
    from windtunnel_emulators.arm.provider import Call
    from windtunnel_emulators.jsontypes import Json, JsonObject

_CORE = "Microsoft.Resources"
_TRACKED = "CrossResourceGroupResourceMove, CrossSubscriptionResourceMove, SupportsTags, SupportsLocation"


def list_all(kernel: Kernel, call: Call) -> Answer:
    """All providers that are loaded."""
    value: list[Json] = [_shown(kernel, call, loaded) for loaded in kernel.catalogue]
    return Answer(status=200, body={"value": value})


def get(kernel: Kernel, call: Call) -> Answer:
    """Read one."""
    return Answer(status=200, body=_shown(kernel, call, _loaded(kernel, call)))


def types(kernel: Kernel, call: Call) -> Answer:
    """The types of one."""
    return Answer(status=200, body={"value": _types(_loaded(kernel, call))})


def register(kernel: Kernel, call: Call) -> Answer:
    """Let the subscription use one."""
    loaded = _loaded(kernel, call)
    kernel.registrations.register(loaded.provider.namespace)
    return Answer(status=200, body=_shown(kernel, call, loaded))


def unregister(kernel: Kernel, call: Call) -> Answer:
    """Stop using one."""
    loaded = _loaded(kernel, call)
    kernel.registrations.unregister(loaded.provider.namespace)
    return Answer(status=200, body=_shown(kernel, call, loaded))


def _loaded(kernel: Kernel, call: Call) -> Loaded:
    namespace = call.parameters["namespace"]
    found = kernel.catalogue.find(namespace)
    if found is None:
        raise ArmError(404, "InvalidResourceNamespace", f"The resource namespace '{namespace}' is invalid.")
    return found


def _shown(kernel: Kernel, call: Call, loaded: Loaded) -> JsonObject:
    namespace = loaded.provider.namespace
    shown: JsonObject = {"namespace": namespace, "resourceTypes": _types(loaded)}
    if "subscription" in call.parameters:
        shown |= {
            "id": f"/subscriptions/{kernel.subscription}/providers/{namespace}",
            "registrationState": "Registered" if kernel.registrations.registered(namespace) else "NotRegistered",
            "registrationPolicy": "RegistrationFree" if namespace == _CORE else "RegistrationRequired",
        }
    return shown


def _types(loaded: Loaded) -> list[Json]:
    if loaded.provider.namespace == _CORE:
        return [_core_type(name) for name in TYPES]
    found: dict[str, JsonObject] = {}
    for kind in loaded.kinds.values():
        locations: list[Json] = [*kind.type.locations]
        versions: list[Json] = [*reversed(kind.type.api_versions)]
        found[kind.type.name] = {
            "resourceType": kind.type.name,
            "locations": locations,
            "apiVersions": versions,
            "defaultApiVersion": next((v for v in versions if "preview" not in str(v)), versions[0]),
            "capabilities": _TRACKED if kind.type.tracked else "None",
        }
    # What is no resource has a line in Azure's answer too: ``locations/usages``, ``operations``.
    everything: list[Json] = [*reversed(loaded.versions)]
    for action in loaded.provider.actions:
        name = "/".join(part for part in action.path.split("/") if not part.startswith("{"))
        found.setdefault(
            name, {"resourceType": name, "locations": [], "apiVersions": everything, "capabilities": "None"}
        )
    return list(found.values())


def _core_type(name: str) -> JsonObject:
    groups = name.lower().endswith("resourcegroups")
    locations: list[Json] = [region.display_name for region in regions().values()] if groups else []
    versions: list[Json] = [*reversed(RESOURCES)]
    capabilities = "SupportsTags, SupportsLocation" if groups else "None"
    return {"resourceType": name, "locations": locations, "apiVersions": versions, "capabilities": capabilities}
