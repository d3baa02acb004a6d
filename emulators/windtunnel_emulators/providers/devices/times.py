"""Times, durations and etags as this provider's bodies have them."""

from __future__ import annotations

import base64
import re
from datetime import timedelta
from email.utils import format_datetime, parsedate_to_datetime
from typing import TYPE_CHECKING

from windtunnel_emulators.arm.errors import ArmError

if TYPE_CHECKING:
    from datetime import datetime

_DURATION = re.compile(r"P(?:(\d{1,4})D)?(?:T(?:(\d{1,6})H)?(?:(\d{1,6})M)?(?:(\d{1,8})S)?)?")


def rfc1123(moment: datetime) -> str:
    """``Thu, 15 Jun 2017 19:20:58 GMT``."""
    return format_datetime(moment, usegmt=True)


def read_rfc1123(text: str) -> datetime | None:
    """None for what is no such time."""
    try:
        return parsedate_to_datetime(text)
    except ValueError:
        return None


def duration(text: str, place: str, *, least: timedelta, most: timedelta) -> timedelta:
    """An ISO 8601 duration within limits. Raises ``ArmError`` 400."""
    matched = _DURATION.fullmatch(text) if text not in ("P", "PT") else None
    if matched is None:
        raise ArmError(400, "InvalidDuration", f"'{place}' is '{text[:40]}', no duration as PT1H is.", target=place)
    days, hours, minutes, seconds = (int(part or 0) for part in matched.groups())
    found = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    if not least <= found <= most:
        raise ArmError(
            400, "InvalidDuration", f"'{place}' is '{text[:40]}'; it is from {least} to {most}.", target=place
        )
    return found


def etag(stored: str) -> str:
    """An etag in the form that this provider's have: base64 of eight bytes."""
    digits = re.sub(r"[^0-9a-f]", "", stored)[:16].ljust(16, "0")
    return base64.b64encode(bytes.fromhex(digits)).decode()
