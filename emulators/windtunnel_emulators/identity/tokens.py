"""Access tokens: signed as Entra signs them, and really checked where they are shown.

A token is a JSON Web Token (RS256) whose claims are those of Entra's v1.0 tokens, which is what ARM and the registries
get. Checking one costs a signature the first time, and a hash and a look-up from then on.
"""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from windtunnel_emulators.arm.errors import ArmError
from windtunnel_emulators.arm.provider import Caller
from windtunnel_emulators.identity import jws
from windtunnel_emulators.identity.audiences import normal
from windtunnel_emulators.identity.keys import SigningKey
from windtunnel_emulators.jsontypes import Json, JsonObject, as_str

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet
    from pathlib import Path

    from windtunnel_emulators.clock import Clock
    from windtunnel_emulators.identity.directory import Directory, Kind, Principal

LIFETIME: Final = 3599
"""Seconds, as Entra's."""

_BACKDATED: Final = 300
"""Entra's tokens count from five minutes before they are issued, since clocks differ."""

_REMEMBERED: Final = 4096

_END_OF_TIME: Final = 253402300800
"""Seconds until the year 10000, past which no date can be told."""

PUBLIC_ISSUER = "https://sts.windows.net/"

_KINDS = {"Application": "app", "ManagedIdentity": "app", "User": "user"}


class InvalidToken(Exception):
    """A token that is not ours, is damaged, or does not hold at this time; the message goes on after "the token"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Checked:
    caller: Caller
    audience: str
    expires: float


class Tokens:
    """Issues and checks the tokens of one tenant."""

    def __init__(self, *, folder: Path, clock: Clock, directory: Directory) -> None:
        """``folder`` keeps the signing key, so that tokens outlive a restart."""
        self._folder = folder
        self._clock = clock
        self._directory = directory
        self._key: SigningKey | None = None
        self._checked: dict[bytes, _Checked] = {}

    @property
    def key(self) -> SigningKey:
        """The signing key, made or read on first use."""
        if self._key is None:
            self._key = SigningKey.load_or_create(self._folder)
        return self._key

    @property
    def directory(self) -> Directory:
        """Who tokens are issued for; services that take an application's secret itself check it here."""
        return self._directory

    @property
    def issuer(self) -> str:
        """The ``iss`` of access tokens: Entra's own for the tenant, whatever port the emulators have."""
        return f"{PUBLIC_ISSUER}{self._directory.tenant}/"

    @property
    def remembered(self) -> int:
        """How many checked tokens are kept; never more than a few thousand."""
        return len(self._checked)

    def issue(self, principal: Principal, audience: str, *, application: str = "", lifetime: int = LIFETIME) -> str:
        """A token for ``audience``; ``application`` is the client that a person signed in with."""
        now = int(self._clock.now().timestamp())
        claims: JsonObject = {
            "aud": audience,
            "iss": self.issuer,
            "iat": now - _BACKDATED,
            "nbf": now - _BACKDATED,
            "exp": now + lifetime,
            "appid": application or principal.client_id,
            "appidacr": "0" if principal.kind == "User" else "1",
            "idp": self.issuer,
            "idtyp": _KINDS[principal.kind],
            "oid": principal.object_id,
            "sub": principal.object_id,
            "tid": self._directory.tenant,
            "uti": uuid.uuid4().hex,
            "ver": "1.0",
        }
        if principal.kind == "User":
            claims |= {"name": "Developer", "upn": principal.name, "unique_name": principal.name}
            claims |= {"scp": "user_impersonation", "amr": ["pwd"]}
        if principal.kind == "ManagedIdentity":
            claims |= {"appidacr": "2", "xms_mirid": principal.resource_id}
        return self.sign(claims)

    def sign(self, claims: JsonObject) -> str:
        """Any claims as a signed token; who shows it must be checked by ``read`` and its audience by the reader."""
        return jws.sign(claims, self.key.private, self.key.id)

    def read(self, token: str) -> JsonObject:
        """The claims of a token that was signed here and holds now. Raises ``InvalidToken``."""
        try:
            claims = jws.verify(token, self.key.public, self.key.id)
        except jws.NotSigned as problem:
            raise InvalidToken(str(problem)) from problem
        self._refuse_time(claims)
        return claims

    def verify(
        self, authorization: str | None, *, audiences: AbstractSet[str], authority: str = "https://login.windows.net"
    ) -> Caller:
        """Who calls, by the ``Authorization`` header. Raises ``ArmError`` 401 with ARM's codes and sentences.

        ``audiences`` are normal ones (``identity.audiences``); ``authority`` is where callers are told to log in.
        """
        if not authorization:
            raise self._refusal(
                "AuthenticationFailed",
                "Authentication failed. The 'Authorization' header is missing.",
                authority,
                "The authentication failed because of missing 'Authorization' header.",
            )
        scheme, _, token = authorization.partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            raise self._refusal(
                "AuthenticationFailedInvalidHeader",
                "Authentication failed. The 'Authorization' header is provided in an invalid format.",
                authority,
            )
        checked = self._check(token, authority)
        if checked.audience not in audiences:
            allowed = ",".join(f"'{audience}'" for audience in sorted(audiences))
            raise self._refusal(
                "InvalidAuthenticationTokenAudience",
                "The access token has been obtained for wrong audience or resource"
                f" '{checked.audience}'. It should exactly match with one of the allowed audiences {allowed}.",
                authority,
            )
        return checked.caller

    def _check(self, token: str, authority: str) -> _Checked:
        digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        checked = self._checked.get(digest)
        if checked is None:
            checked = self._check_anew(token, authority)
            if len(self._checked) >= _REMEMBERED:
                del self._checked[next(iter(self._checked))]
            self._checked[digest] = checked
        now = self._clock.now()
        if checked.expires <= now.timestamp():
            self._checked.pop(digest, None)
            ended = datetime.fromtimestamp(checked.expires, UTC)
            raise self._refusal(
                "ExpiredAuthenticationToken",
                f"The access token expiry UTC time '{_american(ended)}' is earlier than current UTC time"
                f" '{_american(now)}'.",
                authority,
            )
        return checked

    def _check_anew(self, token: str, authority: str) -> _Checked:
        try:
            claims = jws.verify(token, self.key.public, self.key.id)
        except jws.NotSigned as problem:
            issuer = _claimed_issuer(token)
            if issuer.startswith(PUBLIC_ISSUER) and issuer != self.issuer:
                raise self._wrong_tenant(issuer, authority) from problem
            raise self._invalid(str(problem), authority) from problem
        if claims.get("iss") != self.issuer or claims.get("tid") != self._directory.tenant:
            raise self._wrong_tenant(as_str(claims.get("iss")), authority)
        begins, ends = _moment(claims.get("nbf")), _moment(claims.get("exp"))
        if begins is None or ends is None:
            raise self._invalid("does not say when it begins and ends", authority)
        if begins > self._clock.now().timestamp():
            raise self._invalid("is not valid yet", authority)
        return _Checked(
            caller=Caller(
                tenant=self._directory.tenant,
                object_id=as_str(claims.get("oid")),
                app_id=as_str(claims.get("appid")),
                name=as_str(claims.get("upn")) or as_str(claims.get("appid")),
                kind=_kind(claims),
            ),
            audience=normal(as_str(claims.get("aud"))),
            expires=ends,
        )

    def _refuse_time(self, claims: JsonObject) -> None:
        now = self._clock.now().timestamp()
        begins, ends = _moment(claims.get("nbf", now)), _moment(claims.get("exp"))
        if ends is None or ends <= now:
            raise InvalidToken("has expired")
        if begins is None or begins > now:
            raise InvalidToken("is not valid yet")

    def _invalid(self, why: str, authority: str) -> ArmError:
        return self._refusal(
            "InvalidAuthenticationToken",
            f"The access token is invalid. It {why}; log in again to get one that holds here.",
            authority,
        )

    def _wrong_tenant(self, issuer: str, authority: str) -> ArmError:
        return self._refusal(
            "InvalidAuthenticationTokenTenant",
            f"The access token is from the wrong issuer '{issuer}'. It must match the tenant '{self.issuer}' associated"
            f" with this subscription. Please use the authority (URL) '{authority}/{self._directory.tenant}' to get the"
            " token.",
            authority,
        )

    def _refusal(self, code: str, message: str, authority: str, description: str = "") -> ArmError:
        # Clients read the tenant from this header (RFC 6750; a quoted string has no quotes or line ends inside).
        quoted = (description or message).replace("\\", "").replace('"', "'")
        challenge = (
            f'Bearer authorization_uri="{authority}/{self._directory.tenant}", error="invalid_token",'
            f' error_description="{_printable(quoted)}"'
        )
        return ArmError(401, code, message, headers={"WWW-Authenticate": challenge, "x-ms-failure-cause": "gateway"})


def _moment(value: Json) -> float | None:
    """Seconds since 1970, if that is what it is and a date can be told of it."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _END_OF_TIME:
        return None
    return float(value)


def _kind(claims: JsonObject) -> Kind:
    if claims.get("idtyp") == "user":
        return "User"
    return "ManagedIdentity" if "xms_mirid" in claims else "Application"


def _claimed_issuer(token: str) -> str:
    """The issuer that a token names, for a sentence only: nothing of it has been checked."""
    try:
        return as_str(jws.claimed(token).get("iss"))[:200]
    except jws.NotSigned:
        return ""


def _printable(text: str) -> str:
    return "".join(c if c.isascii() and c.isprintable() else "?" for c in text)


def _american(moment: datetime) -> str:
    """As in ARM's sentence: ``11/9/2026 8:03:38 AM``."""
    hour = moment.hour % 12 or 12
    half = "AM" if moment.hour < 12 else "PM"
    return f"{moment.month}/{moment.day}/{moment.year} {hour}:{moment:%M:%S} {half}"
