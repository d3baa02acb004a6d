"""What a hub has and may have: device counts, quotas, editions, jobs; and a subscription's usages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.arm.errors import ArmError
from windtunnel_emulators.arm.provider import Reply
from windtunnel_emulators.jsontypes import as_object

from .names import TYPE
from .skus import edition_of, offered

if TYPE_CHECKING:
    from windtunnel_emulators.arm.provider import Call, Resource

    from .service import IotHubs


async def stats(_: Call, hub: Resource | None, service: IotHubs) -> Reply:
    """``IotHubStats``."""
    assert hub is not None
    total, enabled = service.device_counts(hub)
    return Reply(
        status=200,
        body={"totalDeviceCount": total, "enabledDeviceCount": enabled, "disabledDeviceCount": total - enabled},
    )


async def quotas(_: Call, hub: Resource | None, service: IotHubs) -> Reply:
    """``quotaMetrics``: messages of today, and devices."""
    assert hub is not None
    sku = as_object(hub.envelope.get("sku"))
    units = sku["capacity"]
    assert isinstance(units, int)
    edition = edition_of(sku)
    total, _enabled = service.device_counts(hub)
    return Reply(
        status=200,
        body={
            "value": [
                {
                    "name": "TotalMessages",
                    "currentValue": service.messages_today(hub),
                    "maxValue": edition.daily * units,
                },
                {"name": "TotalDeviceCount", "currentValue": total, "maxValue": edition.devices},
            ]
        },
    )


async def skus(_: Call, hub: Resource | None, __: IotHubs) -> Reply:
    """``skus``."""
    assert hub is not None
    return Reply(status=200, body={"value": offered(as_object(hub.envelope.get("sku")))})


async def usages(call: Call, _: Resource | None, service: IotHubs) -> Reply:
    """``usages`` of the subscription."""
    free = sum(
        as_object(hub.envelope.get("sku")).get("tier") == "Free"
        for hub in service.world.resources.list(TYPE, subscription=call.subscription)
    )
    place = f"/subscriptions/{call.subscription}/providers/Microsoft.Devices/usages"
    return Reply(
        status=200,
        body={
            "value": [
                {
                    "id": f"{place}/freeHubCount",
                    "type": place,
                    "unit": "count",
                    "currentValue": free,
                    "limit": 1,
                    "name": {"value": "FreeHubCount", "localizedValue": "Free Hub Count"},
                }
            ]
        },
    )


async def jobs(_: Call, __: Resource | None, ___: IotHubs) -> Reply:
    """``jobs``: imports and exports, of which there are none."""
    return Reply(status=200, body={"value": []})


async def job(call: Call, _: Resource | None, __: IotHubs) -> Reply:
    """``jobs/{id}``."""
    raise ArmError(404, "JobNotFound", f"There is no job '{call.parameters['id'][:80]}'.")
