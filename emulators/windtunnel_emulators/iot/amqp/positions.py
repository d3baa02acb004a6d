"""Where a reader of events begins: the selector that Event Hubs' clients attach with, such as
``amqp.annotation.x-opt-offset > '1024'``."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from windtunnel_emulators.iot.amqp.errors import ARGUMENT, AmqpRefusal

if TYPE_CHECKING:
    from windtunnel_emulators.iot.hub.messages import MessageLog

FILTER = "apache.org:selector-filter:string"
LATEST = "@latest"
_SELECTOR = re.compile(
    r"\s*amqp\.annotation\.x-opt-(offset|sequence-number|enqueued-time(?:-utc)?|enqueuedtimeutc)\s*(>=?)\s*"
    r"'?(@latest|-?\d{1,19})'?\s*",
    re.IGNORECASE,
)
_LARGEST = 2**62
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_MS = 253_402_300_799_000
"""The end of the year 9999."""


def first_sequence(selector: str | None, log: MessageLog, partition: int) -> int:
    """The sequence number of the first event that a selector lets through; without one, of the oldest. Raises."""
    if selector is None:
        return 0
    found = _SELECTOR.fullmatch(selector)
    if found is None:
        raise AmqpRefusal(
            ARGUMENT,
            f"The filter {selector[:200]!r} is not understood: it compares amqp.annotation.x-opt-offset,"
            " x-opt-sequence-number or x-opt-enqueued-time with > or >= to a number, or to '@latest'.",
        )
    what, inclusive, text = found[1].lower(), found[2] == ">=", found[3].lower()
    if text == LATEST:
        return log.state(partition).last_sequence + (0 if inclusive else 1)
    number = max(-1, min(int(text), _LARGEST))
    if what == "sequence-number":
        return number if inclusive else number + 1
    if what == "offset":
        return log.sequence_after_offset(partition, number - 1 if inclusive else number)
    ms = min(number if inclusive else number + 1, _LAST_MS)
    # The log compares whole milliseconds; half of one keeps floating point on the right side.
    return log.sequence_since(partition, _EPOCH + timedelta(milliseconds=max(0, ms), microseconds=500))
