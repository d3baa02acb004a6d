"""What keeps pages of the web away from servers on loopback, which every browser of this machine can reach.

A page can make its visitor's browser send forms to any address (forgery: ``Origin`` and ``Sec-Fetch-Site`` tell), and
its host's name can be made to resolve to loopback (rebinding: ``Host`` tells, since it is then that name).
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from windtunnel_emulators.tls import EMULATED_DOMAINS

if TYPE_CHECKING:
    from collections.abc import Mapping


def is_ours(host: str) -> bool:
    """Whether a Host header is an address, ``localhost`` or a name that is emulated, rather than anybody's name."""
    name = host.lower().rsplit(":", 1)[0] if not host.endswith("]") else host
    if any(name == domain or name.endswith(f".{domain}") for domain in EMULATED_DOMAINS):
        return True
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


def from_this_site(headers: Mapping[str, str], scheme: str) -> bool:
    """Whether a browser, if that is what sends a request, says that one of our own pages, or the user, does.

    Programs that are no browsers send neither header. Names of headers are in lower case.
    """
    host = headers.get("host", "").lower()
    origin = headers.get("origin")
    return (
        is_ours(host)
        and headers.get("sec-fetch-site", "none") in ("same-origin", "none")
        and (origin is None or origin.lower() == f"{scheme}://{host}")
    )
