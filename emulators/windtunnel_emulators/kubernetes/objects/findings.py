"""What a validation finds, collected; and the checks that many rules share."""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING

from windtunnel_emulators.jsontypes import as_list, as_object, as_str
from windtunnel_emulators.kubernetes.objects import causes, names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from windtunnel_emulators.jsontypes import Json, JsonObject
    from windtunnel_emulators.kubernetes.objects.causes import Cause

NOT_NEGATIVE = "must be greater than or equal to 0"
PROTOCOLS = ("SCTP", "TCP", "UDP")
_PERCENT = re.compile(r"[0-9]+%")
_PERCENT_MESSAGE = (
    "a valid percent string must be a numeric string followed by an ending '%'"
    " (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')"
)
NETWORK_MESSAGE = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
_OPERATORS = ("In", "NotIn", "Exists", "DoesNotExist")


class Findings:
    """The causes, in the order in which they were found."""

    def __init__(self) -> None:
        self.causes: list[Cause] = []

    def required(self, field: str, detail: str = "") -> None:
        self.causes.append(causes.required(field, detail))

    def invalid(self, field: str, value: Json, detail: str) -> None:
        self.causes.append(causes.invalid(field, value, detail))

    def unsupported(self, field: str, value: Json, supported: Iterable[str]) -> None:
        self.causes.append(causes.unsupported(field, value, supported))

    def duplicate(self, field: str, value: Json) -> None:
        self.causes.append(causes.duplicate(field, value))

    def forbidden(self, field: str, detail: str) -> None:
        self.causes.append(causes.forbidden(field, detail))

    def not_found(self, field: str, value: Json) -> None:
        self.causes.append(causes.not_found(field, value))

    def add(self, found: Iterable[Cause]) -> None:
        self.causes.extend(found)

    def each(self, field: str, value: Json, messages: Iterable[str]) -> None:
        """One cause for each thing that is wrong with a value."""
        for message in messages:
            self.invalid(field, value, message)

    def named(self, field: str, value: Json, check: Callable[[str], list[str]]) -> None:
        """A name that must be there and look like one."""
        text = as_str(value)
        if not text:
            self.required(field)
        else:
            self.each(field, text, check(text))

    def one_of(self, field: str, value: Json, supported: Iterable[str]) -> None:
        """A word that is one of several; nothing is said of null."""
        known = tuple(supported)
        if value is not None and value not in known:
            self.unsupported(field, value, known)

    def not_negative(self, field: str, value: Json) -> None:
        if isinstance(value, int) and not isinstance(value, bool) and value < 0:
            self.invalid(field, value, NOT_NEGATIVE)

    def port(self, field: str, value: Json) -> None:
        """A number or a name of a port."""
        if isinstance(value, str):
            self.each(field, value, names.port_name(value))
        elif isinstance(value, int):
            self.each(field, value, names.port_number(value))

    def address(self, field: str, value: Json) -> bool:
        """An IP address; whether it is one."""
        messages = names.address(as_str(value))
        self.each(field, value, messages)
        return not messages

    def network(self, field: str, value: Json) -> None:
        if not is_network(as_str(value)):
            self.invalid(field, value, NETWORK_MESSAGE)

    def amount_or_percent(self, field: str, value: Json, *, most_all: bool = True) -> None:
        """``maxSurge`` and the like: a number that is not negative, or a percentage."""
        if isinstance(value, str):
            if not _PERCENT.fullmatch(value):
                self.invalid(field, value, _PERCENT_MESSAGE)
            elif most_all and int(value[:-1]) > 100:
                self.invalid(field, value, "must not be greater than 100%")
        else:
            self.not_negative(field, value)

    def labels(self, field: str, value: Json) -> None:
        """Keys and values of labels."""
        for key, text in as_object(value).items():
            self.each(field, key, names.qualified(key))
            self.each(field, text, names.label_value(as_str(text)))

    def selector(self, field: str, value: Json) -> bool:
        """A structured label selector; whether it is right."""
        before = len(self.causes)
        found = as_object(value)
        self.labels(f"{field}.matchLabels", found.get("matchLabels"))
        for index, expression in enumerate(as_list(found.get("matchExpressions"))):
            self._expression(f"{field}.matchExpressions[{index}]", as_object(expression))
        return len(self.causes) == before

    def _expression(self, field: str, expression: JsonObject) -> None:
        operator, values = expression.get("operator"), as_list(expression.get("values"))
        if operator in ("In", "NotIn"):
            if not values:
                self.required(f"{field}.values", "must be specified when `operator` is 'In' or 'NotIn'")
        elif operator in ("Exists", "DoesNotExist"):
            if values:
                self.forbidden(f"{field}.values", "may not be specified when `operator` is 'Exists' or 'DoesNotExist'")
        else:
            self.invalid(f"{field}.operator", operator or "", "not a valid selector operator")
        key = as_str(expression.get("key"))
        self.each(f"{field}.key", key, names.qualified(key))
        for index, value in enumerate(values):
            self.each(f"{field}.values[{index}]", value, names.label_value(as_str(value)))


def is_network(text: str) -> bool:
    """Whether a text is a range of addresses."""
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return "/" in text


def number(value: Json) -> int:
    """A whole number; zero for anything else."""
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def is_zero(value: Json) -> bool:
    """Whether an amount or a percentage is nothing."""
    if isinstance(value, str):
        return bool(_PERCENT.fullmatch(value)) and int(value[:-1]) == 0
    return value in (None, 0)
