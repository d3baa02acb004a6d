"""Shared Key: whether a request was signed with a key of the account.

By Microsoft's "Authorize with Shared Key", version 2015-02-21 and later.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING
from urllib.parse import unquote

from .errors import BlobError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_SIGNED = (
    "content-encoding", "content-language", "content-length", "content-md5", "content-type", "date",
    "if-modified-since", "if-match", "if-none-match", "if-unmodified-since", "range",
)  # fmt: skip
_SKEW = timedelta(minutes=15)
_FAILED = (
    "Server failed to authenticate the request. Make sure the value of Authorization header is formed correctly"
    " including the signature."
)


def check(
    method: str,
    path: str,
    query: Sequence[tuple[str, str]],
    headers: Mapping[str, str],
    account: str,
    keys: Iterable[str],
    now: datetime,
) -> None:
    """Raises ``BlobError``. ``path`` is as it was sent, ``query`` decoded, ``headers`` by names in lower case."""
    scheme, _, value = headers.get("authorization", "").partition(" ")
    if not scheme:
        raise BlobError(401, "NoAuthenticationInformation", _FAILED)
    name, _, signature = value.partition(":")
    if scheme.lower() != "sharedkey" or name != account:
        raise BlobError(403, "AuthenticationFailed", f"{_FAILED} Only Shared Key of this account is taken here.")
    _check_time(headers, now)
    text = _string_to_sign(method, path, query, headers, account)
    for key in keys:
        expected = hmac.new(base64.b64decode(key), text.encode(), hashlib.sha256).digest()
        if hmac.compare_digest(base64.b64encode(expected), signature.encode()):
            return
    raise BlobError(403, "AuthenticationFailed", _FAILED)


def _check_time(headers: Mapping[str, str], now: datetime) -> None:
    sent = headers.get("x-ms-date") or headers.get("date", "")
    try:
        moment = parsedate_to_datetime(sent)
        off = abs(now - moment) > _SKEW
    except (ValueError, TypeError):
        off = True
    if off:
        raise BlobError(403, "AuthenticationFailed", f"{_FAILED} The date {sent[:40]!r} is more than 15 minutes away.")


def _string_to_sign(
    method: str, path: str, query: Sequence[tuple[str, str]], headers: Mapping[str, str], account: str
) -> str:
    plain = [headers.get(name, "") for name in _SIGNED]
    plain[2] = "" if plain[2] == "0" else plain[2]
    if "x-ms-date" in headers:
        plain[5] = ""
    own = "".join(f"{k}:{' '.join(v.split())}\n" for k, v in sorted(headers.items()) if k.startswith("x-ms-"))
    # With the account in the path, as here, it stands in the resource twice.
    resource = f"/{account}{path}"
    by_name: dict[str, list[str]] = {}
    for key, value in query:
        by_name.setdefault(key.lower(), []).append(unquote(value) if "%" in value else value)
    resource += "".join(f"\n{key}:{','.join(sorted(values))}" for key, values in sorted(by_name.items()))
    return "\n".join([method, *plain]) + "\n" + own + resource
