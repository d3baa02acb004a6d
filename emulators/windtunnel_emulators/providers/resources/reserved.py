"""Names that Azure reserves: ``checkResourceName``.

The words are those of Microsoft's page "Resolve errors for reserved resource names".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.arm import checks
from windtunnel_emulators.arm.errors import invalid_request_content
from windtunnel_emulators.arm.responses import Answer

if TYPE_CHECKING:
    from windtunnel_emulators.arm.kernel import Kernel
    from windtunnel_emulators.arm.provider import Call

_WHOLE = frozenset(
    (
        "access",
        "azure",
        "bing",
        "bizspark",
        "biztalk",
        "cortana",
        "directx",
        "dotnet",
        "dynamics",
        "excel",
        "exchange",
        "forefront",
        "groove",
        "hololens",
        "hyperv",
        "kinect",
        "lync",
        "msdn",
        "o365",
        "office",
        "office365",
        "onedrive",
        "onenote",
        "outlook",
        "powerpoint",
        "sharepoint",
        "skype",
        "visio",
        "visualstudio",
    )
)
_ANYWHERE = ("microsoft", "windows")
_AT_THE_START = ("login", "xbox")


def check(kernel: Kernel, call: Call) -> Answer:
    """Whether a name is allowed."""
    body = checks.object_body(call.body, "a name to check")
    name, type_ = body.get("name"), body.get("type")
    if not isinstance(name, str) or not name:
        raise invalid_request_content("The request content was invalid: 'name' is required.", target="name")
    if not isinstance(type_, str) or not type_:
        raise invalid_request_content("The request content was invalid: 'type' is required.", target="type")
    folded = name.lower()
    reserved = folded in _WHOLE or folded.startswith(_AT_THE_START) or any(word in folded for word in _ANYWHERE)
    return Answer(status=200, body={"name": name, "type": type_, "status": "Reserved" if reserved else "Allowed"})
