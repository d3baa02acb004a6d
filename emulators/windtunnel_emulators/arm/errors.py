"""The one way to refuse a request: ``ArmError``, and the refusals that ARM itself makes.

    ArmError                 any refusal: HTTP status, code, sentence, target, details

Sources of codes and sentences: recordings of the real service, azure-resource-manager-rpc, Microsoft's documentation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from windtunnel_emulators.jsontypes import Json, JsonObject


class ArmError(Exception):
    """A refusal in ARM's shape. Raised anywhere in a provider, answered by the front door.

    An ordinary class: a frozen dataclass breaks when the interpreter sets ``__traceback__``.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        target: str | None = None,
        details: Sequence[JsonObject] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.target = target
        self.details = tuple(details)
        self.headers = dict(headers or {})

    def body(self) -> JsonObject:
        """``{"error": {"code", "message"[, "target", "details"]}}``."""
        error: JsonObject = {"code": self.code, "message": self.message}
        if self.target is not None:
            error["target"] = self.target
        if self.details:
            details: list[Json] = [dict(d) for d in self.details]
            error["details"] = details
        return {"error": error}


def by_gateway(status: int, code: str, message: str, *, target: str | None = None) -> ArmError:
    """A refusal of ARM itself, before or instead of a provider; the answer says so."""
    return ArmError(status, code, message, target=target, headers={"x-ms-failure-cause": "gateway"})


def resource_not_found(type_and_name: str, group: str) -> ArmError:
    """404, for a resource that is not there. ``type_and_name`` as in ``Microsoft.X/things/name``."""
    return by_gateway(
        404,
        "ResourceNotFound",
        f"The Resource '{type_and_name}' under resource group '{group}' was not found."
        " For more details please go to https://aka.ms/ARMResourceNotFoundFix",
    )


def resource_group_not_found(group: str) -> ArmError:
    """404, for anything in a resource group that is not there."""
    return by_gateway(404, "ResourceGroupNotFound", f"Resource group '{group}' could not be found.")


def invalid_request_content(message: str, *, target: str | None = None) -> ArmError:
    """400, for a body that is not JSON or has the wrong shape."""
    return ArmError(400, "InvalidRequestContent", message, target=target)


def not_implemented(what: str, way_out: str) -> ArmError:
    """501, for what Azure has and this emulator has not: never pretended."""
    return ArmError(501, "NotImplemented", f"{what} is not emulated. {way_out}")
