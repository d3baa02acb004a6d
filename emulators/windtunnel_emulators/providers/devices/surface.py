"""What the namespace says of itself: its operations, for those who make roles of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.arm.provider import Reply

if TYPE_CHECKING:
    from windtunnel_emulators.arm.provider import Call, Resource
    from windtunnel_emulators.jsontypes import Json

    from .service import IotHubs

_OPERATIONS = {
    "checkNameAvailability/Action": "Check whether an IoT hub name is available",
    "usages/Read": "Get what a subscription uses of this namespace",
    "operations/Read": "List the operations of this namespace",
    "iotHubs/Read": "Get or list IoT hubs",
    "iotHubs/Write": "Create or update an IoT hub",
    "iotHubs/Delete": "Delete an IoT hub",
    "iotHubs/listkeys/Action": "List the shared access policies of an IoT hub with their keys",
    "iotHubs/iotHubKeys/listkeys/Action": "Get one shared access policy with its keys",
    "iotHubs/iotHubStats/Read": "Get the statistics of an IoT hub",
    "iotHubs/quotaMetrics/Read": "Get the quotas of an IoT hub",
    "iotHubs/skus/Read": "List the SKUs that an IoT hub may have",
    "iotHubs/eventHubEndpoints/consumerGroups/Read": "Get or list consumer groups",
    "iotHubs/eventHubEndpoints/consumerGroups/Write": "Create a consumer group",
    "iotHubs/eventHubEndpoints/consumerGroups/Delete": "Delete a consumer group",
    "iotHubs/certificates/Read": "Get or list certificates",
    "iotHubs/certificates/Write": "Create or update a certificate",
    "iotHubs/certificates/Delete": "Delete a certificate",
    "iotHubs/certificates/generateVerificationCode/Action": "Get a code that proves possession of a certificate's key",
    "iotHubs/certificates/verify/Action": "Verify a certificate",
    "iotHubs/routing/routes/$testall/Action": "Test a message against all routes",
    "iotHubs/routing/routes/$testnew/Action": "Test a message against a new route",
    "iotHubs/routingEndpointsHealth/Read": "Get the health of the endpoints of routes",
    "iotHubs/jobs/Read": "Get or list jobs",
}


async def list_operations(_: Call, __: Resource | None, ___: IotHubs) -> Reply:
    """``operations``."""
    value: list[Json] = []
    for name, description in _OPERATIONS.items():
        about, _slash, operation = name.rpartition("/")
        value.append(
            {
                "name": f"Microsoft.Devices/{name}",
                "display": {
                    "provider": "Microsoft Devices",
                    "resource": about,
                    "operation": operation,
                    "description": description,
                },
            }
        )
    return Reply(status=200, body={"value": value})
