"""What conditions ask of one message: its properties and its body, taken apart when first asked for."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import msgspec

from windtunnel_emulators.edge.interface import Kind as MessageKind
from windtunnel_emulators.edge.routing.values import UNDEFINED
from windtunnel_emulators.iot.hub import bags
from windtunnel_emulators.jsontypes import as_list, as_object

if TYPE_CHECKING:
    from windtunnel_emulators.edge.interface import Message
    from windtunnel_emulators.edge.routing.values import Undefined, Value
    from windtunnel_emulators.jsontypes import Json, JsonObject

SYSTEM_NAMES: Final = {
    "message-id": "messageId",
    "correlation-id": "cid",
    "user-id": "userId",
    "to": "to",
    "content-type": "contentType",
    "content-encoding": "contentEncoding",
    "absolute-expiry-time": "absolute-expiry-time",
    "creation-time-utc": "creationTime",
    "interface-id": "interfaceId",
    "component-name": "componentName",
    "message-schema": "messageSchema",
    "operation": "operation",
    "ack": "ack",
}
"""What edge-hub calls the system's properties (its ``SystemProperties.cs``); conditions ask for them in any case."""
_TWIN_CHANGE = "twinChangeNotification"
_ENCODINGS = {"utf-8": "utf-8", "utf-16": "utf-16-le", "utf-32": "utf-32-le"}
# A string that looks so is a date for edge-hub's JSON reader, and a date is nothing that conditions know.
_DATE = re.compile(
    r"\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])T(?:[01]\d|2[0-4]):[0-5]\d:[0-5]\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d)?"
    r"|/Date\([+-]?\d+(?:[+-]\d{4})?\)/"
)
_decode = msgspec.json.decode


class Facts:
    """One message, as conditions see it. Names are looked up in lower case."""

    __slots__ = ("_application", "_body", "_message", "_system")

    def __init__(self, message: Message) -> None:
        self._message = message
        self._application: dict[str, str] | None = None
        self._system: dict[str, str] = {}
        self._body: JsonObject | Undefined | None = None

    def application(self, name: str) -> Value:
        """An application's property."""
        if self._application is None:
            self._application = self._split()
        return self._application.get(name, UNDEFINED)

    def system(self, name: str) -> Value:
        """A property of the system."""
        if self._application is None:
            self._application = self._split()
        return self._system.get(name, UNDEFINED)

    def body(self, path: tuple[str | int, ...]) -> Value:
        """A place of the body. Null for one that is not there, undefined for objects, arrays, dates, and for a body
        that is no JSON or is not said to be.
        """
        document = self.document()
        if document is UNDEFINED:
            return UNDEFINED
        place: Json = document
        for step in path:
            if isinstance(step, str):
                place = as_object(place).get(step)
            else:
                items = as_list(place)
                place = items[step] if step < len(items) else None
        return _simple(place)

    def includes(self, path: tuple[str, ...]) -> Value:
        """Whether a change of a twin touches a place. The change may be a whole notification or the patch alone."""
        document = self.document()
        if document is UNDEFINED:
            return UNDEFINED
        place: Json = document
        for step in path if path[0] in document else path[2:]:
            if not isinstance(place, dict) or step not in place:
                return False
            place = place[step]
        return True

    def document(self) -> JsonObject | Undefined:
        """The body as a JSON object; undefined where it is none, or is not said to be JSON."""
        if self._body is None:
            self._body = self._read()
        return self._body

    def _split(self) -> dict[str, str]:
        message = self._message
        split = bags.split(bags.decode(message.bag)) if message.bag else bags.Properties(system={}, application={})
        system = {SYSTEM_NAMES[name].lower(): value for name, value in split.system.items() if name in SYSTEM_NAMES}
        system["connectiondeviceid"] = message.sender.device
        if message.sender.module:
            system["connectionmoduleid"] = message.sender.module
        if message.output is not None:
            system["outputname"] = message.output
        system["enqueuedtime"] = datetime.fromtimestamp(message.enqueued, UTC).isoformat().replace("+00:00", "Z")
        if message.kind is MessageKind.TWIN_CHANGE:
            system["messagetype"] = system["messageschema"] = _TWIN_CHANGE
        self._system = system
        return {name.lower(): value for name, value in split.application.items()}

    def _read(self) -> JsonObject | Undefined:
        twin = self._message.kind is MessageKind.TWIN_CHANGE
        content, encoding = self.system("contenttype"), self.system("contentencoding")
        if twin:
            content = "application/json" if content is UNDEFINED else content
            encoding = "utf-8" if encoding is UNDEFINED else encoding
        codec = _ENCODINGS.get(str(encoding).lower())
        if codec is None or str(content).lower() != "application/json":
            return UNDEFINED
        try:
            document: Json = _decode(self._message.body.decode(codec).removeprefix("\ufeff"))
        except (ValueError, RecursionError):
            return UNDEFINED
        return document if isinstance(document, dict) else UNDEFINED


def _simple(place: Json) -> Value:
    if place is None or isinstance(place, bool):
        return place
    if isinstance(place, str):
        return UNDEFINED if _DATE.fullmatch(place) else place
    if isinstance(place, int | float):
        try:
            return float(place)
        except OverflowError:
            return float("inf") if place > 0 else float("-inf")
    return UNDEFINED
