"""The one way in which a hub refuses: ``HubError``, answered by the service API in IoT Hub's shape.

The names and numbers are IoT Hub's ("Understand Azure IoT Hub error codes", and the ``ErrorCode`` of its SDKs).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from windtunnel_emulators.jsontypes import JsonObject


class HubError(Exception):
    """A refusal: HTTP's status, IoT Hub's name and number for it, and a sentence."""

    def __init__(
        self, status: int, name: str, message: str, *, number: int | None = None, info: JsonObject | None = None
    ) -> None:
        """``number`` makes the answer's message a JSON text with the number in it, as those of methods are."""
        super().__init__(message)
        self.status = status
        self.name = name
        self.message = message
        self.number = number
        self.info = info


def device_not_found(device: str) -> HubError:
    return HubError(404, "DeviceNotFound", f"There is no device '{device}' in this hub.")


def module_not_found(device: str, module: str) -> HubError:
    return HubError(404, "ModuleNotFound", f"There is no module '{module}' on device '{device}'.")


def argument_invalid(message: str) -> HubError:
    return HubError(400, "ArgumentInvalid", message)


def precondition_failed(what: str) -> HubError:
    return HubError(
        412, "PreconditionFailed", f"{what} was changed meanwhile: its etag is another. Read it and try again."
    )


def unauthorized(message: str) -> HubError:
    return HubError(401, "IotHubUnauthorizedAccess", message)


def not_implemented(what: str, way_out: str) -> HubError:
    """501, for what IoT Hub has and this one has not: never pretended."""
    return HubError(501, "NotImplemented", f"{what} is not emulated. {way_out}")
