"""The environment that Microsoft's SDKs read in a module (edge-agent, ``CreateOrUpdateCommand``)."""

from __future__ import annotations

SOCKET = "/var/run/iotedge/workload.sock"
"""Where a module finds its socket."""
_API_VERSION = "2019-01-30"


def variables(*, host: str, gateway: str, device: str, module: str, generation: str) -> dict[str, str]:
    """``gateway`` is the address that the device's certificate is for."""
    return {
        "IOTEDGE_WORKLOADURI": f"unix://{SOCKET}",
        "IOTEDGE_APIVERSION": _API_VERSION,
        "IOTEDGE_MODULEGENERATIONID": generation,
        "IOTEDGE_IOTHUBHOSTNAME": host,
        "IOTEDGE_GATEWAYHOSTNAME": gateway,
        "IOTEDGE_DEVICEID": device,
        "IOTEDGE_MODULEID": module,
        "IOTEDGE_AUTHSCHEME": "sasToken",
    }
