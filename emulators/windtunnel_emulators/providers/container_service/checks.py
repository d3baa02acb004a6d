"""Reading values of a body, and refusing them in the service's words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.arm.errors import ArmError, not_implemented

if TYPE_CHECKING:
    from windtunnel_emulators.jsontypes import Json, JsonObject

NAMES = "https://aka.ms/aks-naming-rules"


def invalid(parameter: str, why: str, link: str = NAMES) -> ArmError:
    """400 ``InvalidParameter``."""
    return ArmError(
        400,
        "InvalidParameter",
        f"The value of parameter {parameter} is invalid. Error details: {why}. Please see {link} for more details.",
        target=parameter,
    )


def given(body: JsonObject, name: str) -> Json:
    """A value that the caller chose; the service's clients send an empty string for "you choose"."""
    value = body.get(name)
    return None if value == "" else value


def text(body: JsonObject, name: str, parameter: str) -> str | None:
    """Raises ``ArmError`` 400 for what is no string."""
    value = given(body, name)
    if value is None or isinstance(value, str):
        return value
    raise invalid(f"{parameter}.{name}", f"{name} must be a string")


def number(body: JsonObject, name: str, parameter: str) -> int | None:
    """Raises ``ArmError`` 400 for what is no whole number."""
    value = given(body, name)
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    raise invalid(f"{parameter}.{name}", f"{name} must be a whole number")


def flag(body: JsonObject, name: str, parameter: str) -> bool | None:
    """Raises ``ArmError`` 400 for what is neither true nor false."""
    value = given(body, name)
    if value is None or isinstance(value, bool):
        return value
    raise invalid(f"{parameter}.{name}", f"{name} must be true or false")


def one_of(body: JsonObject, name: str, words: tuple[str, ...], parameter: str) -> str | None:
    """One of the words, in its published spelling. Raises ``ArmError`` 400."""
    value = text(body, name, parameter)
    if value is None:
        return None
    found = {word.lower(): word for word in words}.get(value.lower())
    if found is None:
        raise invalid(f"{parameter}.{name}", f"{name} is {value!r} and must be one of {', '.join(words)}")
    return found


def obj(body: JsonObject, name: str, parameter: str) -> JsonObject | None:
    """Raises ``ArmError`` 400 for what is no object."""
    value = given(body, name)
    if value is None or isinstance(value, dict):
        return value
    raise invalid(f"{parameter}.{name}", f"{name} must be an object")


def strings(body: JsonObject, name: str, parameter: str) -> dict[str, str] | None:
    """An object of strings. Raises ``ArmError`` 400."""
    value = obj(body, name, parameter)
    if value is None:
        return None
    found: dict[str, str] = {}
    for key, item in value.items():
        if not isinstance(item, str):
            raise invalid(f"{parameter}.{name}", f"{name}.{key} must be a string")
        found[key] = item
    return found


def turned_on(value: Json) -> bool:
    """Whether a part of a body asks for something: a flag that is on, somewhere, or a value that is not empty."""
    if isinstance(value, dict):
        switches = [item for key, item in value.items() if key.lower() in ("enabled", "enable")]
        if switches:
            return any(item is True for item in switches)
        return any(turned_on(item) for item in value.values())
    return bool(value)


def refuse(body: JsonObject, refused: dict[str, str], where: str) -> None:
    """Raises ``ArmError`` 501 for what a body asks for and nobody here does; ``refused`` has the way out by field."""
    for name, way_out in refused.items():
        if turned_on(body.get(name)):
            raise not_implemented(f"'{name}' of {where}", way_out)
