"""Who calls the service API: a shared access policy, a device for what is its own, or an Entra identity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from windtunnel_emulators.arm.errors import ArmError
from windtunnel_emulators.iot.hub import tokens
from windtunnel_emulators.iot.hub.authentication import DEVICE_CONNECT, AuthenticationFailed
from windtunnel_emulators.iot.hub.errors import HubError, unauthorized
from windtunnel_emulators.iot.hub.identity import Who
from windtunnel_emulators.iot.hub.policies import REGISTRY_READ, REGISTRY_WRITE, SERVICE_CONNECT

if TYPE_CHECKING:
    from collections.abc import Callable

    from windtunnel_emulators.iot.hub.hub import Hub

AUDIENCE = "https://iothubs.azure.net"
ALL_RIGHTS = frozenset((REGISTRY_READ, REGISTRY_WRITE, SERVICE_CONNECT, DEVICE_CONNECT))


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who calls."""

    rights: frozenset[str] = frozenset()
    who: Who | None = None
    """The device or module, when it calls for itself."""


class Access:
    """Checks the callers of one hub."""

    def __init__(self, hub: Hub, verify: Callable[[str, frozenset[str]], object]) -> None:
        """``verify`` checks an ``Authorization`` header of Entra's for audiences; it raises ``ArmError``."""
        self._hub = hub
        self._verify = verify

    def caller(self, authorization: str, path: str, *, event_hubs: bool = False) -> Caller:
        """Who shows a header; ``path`` is the request's, without slashes around it. Raises ``HubError`` 401.

        ``event_hubs`` takes signatures as Event Hubs' clients make them, too.
        """
        scheme = authorization.partition(" ")[0].lower()
        if scheme == "bearer":
            try:
                self._verify(authorization, frozenset((AUDIENCE,)))
            except ArmError as problem:
                raise unauthorized(problem.message) from problem
            return Caller(rights=ALL_RIGHTS)
        if scheme == "sharedaccesssignature":
            return self._signed(authorization, path, event_hubs=event_hubs)
        raise unauthorized("The request has no Authorization header with a shared access signature or a bearer token.")

    def _signed(self, text: str, path: str, *, event_hubs: bool) -> Caller:
        now = self._hub.clock.now().timestamp()
        try:
            signature = tokens.parse(text)
            expires = signature.expires()
        except tokens.BadToken as problem:
            raise unauthorized(f"The token {problem}.") from None
        if expires <= now:
            raise unauthorized("The token has expired.")
        host, below = tokens.split_audience(signature.audience)
        if host not in self._hub.definition.names:
            raise unauthorized(f"The token is for '{host[:100]}' and not for this hub.")
        if signature.policy is None:
            return self._device(text, below, now)
        policy = self._hub.definition.policies.get(signature.policy)
        if policy is None or not any(
            signature.is_signed_with(key) or (event_hubs and signature.is_signed_with_text(key)) for key in policy.keys
        ):
            raise unauthorized(f"The token is not signed with a key of the policy '{signature.policy[:100]}'.")
        if below and path != below and not path.startswith(f"{below}/"):
            raise unauthorized(f"The token is for '{below[:200]}' and not for '{path[:200]}'.")
        return Caller(rights=policy.rights)

    def _device(self, text: str, below: str, now: float) -> Caller:
        parts = below.split("/")
        if len(parts) not in (2, 4) or parts[0] != "devices" or parts[2:3] not in ([], ["modules"]):
            raise unauthorized("The token names no policy (skn) and is for no device or module.")
        who = Who(parts[1], parts[3] if len(parts) == 4 else "")
        try:
            self._hub.authenticator.check_token(who, text, now)
        except AuthenticationFailed as problem:
            raise unauthorized(f"The token is refused: {problem}.") from None
        return Caller(who=who)


def check_rights(caller: Caller, needed: frozenset[str], *, own: str | None) -> None:
    """Raises ``HubError`` 401 unless the caller has one of the rights, or is the device ``own``."""
    reads_too = REGISTRY_WRITE in caller.rights and REGISTRY_READ in needed
    if reads_too or caller.rights & needed:
        return
    if caller.who is not None and own is not None and caller.who.device == own:
        return
    raise HubError(
        401,
        "IotHubUnauthorizedAccess",
        f"Unauthorized: one of these rights is needed: {', '.join(sorted(needed))}.",
    )
