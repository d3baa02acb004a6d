"""Who a device or module is, by what it shows: a shared access signature, or a certificate.

AuthenticationFailed
+-- (the message says why, for the log; the client is only told that it may not connect)

A token is the identity's own; of a policy of the hub with the right to connect devices; of the device, for its
modules; or of the edge device that speaks for it (``auth-chain``), if the identity belongs to that device's scope.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import msgspec

from windtunnel_emulators.iot.hub import tokens
from windtunnel_emulators.iot.hub.identity import EDGE_HUB, Who

if TYPE_CHECKING:
    from collections.abc import Iterator

    from windtunnel_emulators.iot.hub.certificates import Chains
    from windtunnel_emulators.iot.hub.identity import Identity, Keys
    from windtunnel_emulators.iot.hub.policies import Policies
    from windtunnel_emulators.iot.hub.usernames import Username

DEVICE_CONNECT = "DeviceConnect"


class AuthenticationFailed(Exception):
    """Who connects is not let in; the message says why, for the log."""


class KnownIdentities(Protocol):
    """The devices and modules that may connect: all of a hub's registry, or those behind an edge device."""

    def get(self, who: Who) -> Identity | None:
        """None when there is none."""
        ...

    def keys(self, who: Who) -> Keys:
        """The symmetric keys; empty ones for an identity that has none, or is not there."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What a client shows of itself."""

    password: bytes | None
    certificates: tuple[bytes, ...]
    """In DER, its own first; empty without one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Authenticated:
    """An identity that has shown who it is."""

    identity: Identity
    method: str
    """JSON, as ``iothub-connection-auth-method`` has it."""
    expires: float | None
    """When its token ends, in seconds since 1970; None for a certificate."""


class Authenticator:
    """Checks the clients of one hub."""

    def __init__(
        self, *, names: frozenset[str], identities: KnownIdentities, policies: Policies, chains: Chains
    ) -> None:
        """``names`` are those of the hub, in lower case."""
        self._names = names
        self._identities = identities
        self._policies = policies
        self._chains = chains

    def check(self, username: Username, shown: Shown, now: float) -> Authenticated:
        """Raises ``AuthenticationFailed``."""
        if username.host not in self._names:
            raise AuthenticationFailed(f"the user name is for the hub '{username.host[:100]}', which this is not")
        who = username.who
        identity = self._identities.get(who)
        if identity is None:
            raise AuthenticationFailed(f"there is no {'module' if who.module else 'device'} '{who}'")
        device = identity if not who.module else self._identities.get(Who(who.device))
        for one in (identity, device):
            if one is None or not one.enabled:
                raise AuthenticationFailed(f"'{who}' is disabled")
        if shown.password:
            expires = self._check_token(identity, username, _text(shown.password), now)
            return Authenticated(identity=identity, method=_method(who, "sas"), expires=expires)
        if not shown.certificates:
            raise AuthenticationFailed("neither a token nor a certificate was shown")
        return Authenticated(identity=identity, method=self._check_certificate(identity, shown, now), expires=None)

    def check_token(self, who: Who, text: str, now: float) -> float:
        """For what is not MQTT: the token of an identity or of its device; returns when it ends."""
        identity, device = self._identities.get(who), self._identities.get(Who(who.device))
        if identity is None or not identity.enabled or device is None or not device.enabled:
            raise AuthenticationFailed(f"there is no '{who}', or it is disabled")
        return self._check(identity, (), text, now)

    def _check_token(self, identity: Identity, username: Username, text: str, now: float) -> float:
        return self._check(identity, username.chain, text, now)

    def _check(self, identity: Identity, chain: tuple[Who, ...], text: str, now: float) -> float:
        try:
            signature = tokens.parse(text)
            expires = signature.expires()
        except tokens.BadToken as problem:
            raise AuthenticationFailed(f"the token {problem}") from None
        if expires <= now:
            raise AuthenticationFailed(f"the token expired {now - expires:.0f} s ago")
        host, path = tokens.split_audience(signature.audience)
        if host not in self._names:
            raise AuthenticationFailed(f"the token is for the host '{host[:100]}', which is not this hub")
        if signature.policy is not None:
            self._check_policy(signature, path, identity.who)
            return expires
        for signer in self._signers(identity, chain):
            if path != signer.path:
                continue
            if any(signature.is_signed_with(key) for key in self._keys_of(signer)):
                return expires
            raise AuthenticationFailed(f"the token is not signed with a key of '{signer}'")
        raise AuthenticationFailed(f"the token is for '{path[:200]}', which '{identity.who}' may not use")

    def _check_policy(self, signature: tokens.Signature, path: str, who: Who) -> None:
        policy = self._policies.get(signature.policy or "")
        if policy is None or not any(signature.is_signed_with(key) for key in policy.keys):
            raise AuthenticationFailed(f"the token is not signed with a key of the policy '{signature.policy}'")
        if DEVICE_CONNECT not in policy.rights:
            raise AuthenticationFailed(f"the policy '{policy.name}' has no right to connect devices")
        if path and path != who.path and not who.path.startswith(f"{path}/"):
            raise AuthenticationFailed(f"the token is for '{path[:200]}' and not for '{who.path}'")

    def _signers(self, identity: Identity, chain: tuple[Who, ...]) -> Iterator[Who]:
        """Whose token may stand for an identity."""
        who = identity.who
        yield who
        if who.module:
            yield Who(who.device)
        device = identity if not who.module else self._identities.get(Who(who.device))
        belongs = () if device is None else tuple(filter(None, (device.scope, *device.parents)))
        for actor in chain:
            edge = self._identities.get(Who(actor.device))
            if edge is None or not edge.edge or not edge.enabled:
                continue
            if actor.device == who.device or edge.scope in belongs:
                yield Who(actor.device, EDGE_HUB)
                if edge.scope is not None and actor.device != who.device:
                    belongs = (*belongs, *edge.parents)

    def _keys_of(self, who: Who) -> tuple[str, ...]:
        identity = self._identities.get(who)
        if identity is None or not identity.enabled or identity.authentication != "sas":
            return ()
        keys = self._identities.keys(who)
        return tuple(filter(None, (keys.primary, keys.secondary)))

    def _check_certificate(self, identity: Identity, shown: Shown, now: float) -> str:
        if identity.authentication == "selfSigned":
            thumbprints = identity.thumbprints
            allowed = () if thumbprints is None else (thumbprints.primary, thumbprints.secondary)
            if not self._chains.has_thumbprint(shown.certificates[0], allowed):
                raise AuthenticationFailed("the certificate has none of the identity's thumbprints")
            return _method(identity.who, "x509Certificate")
        if identity.authentication == "certificateAuthority":
            problem = self._chains.problem(shown.certificates, identity.device, now)
            if problem is not None:
                raise AuthenticationFailed(problem)
            return _method(identity.who, "x509Certificate")
        raise AuthenticationFailed(f"a certificate was shown, and '{identity.who}' authenticates by a token")


def _text(password: bytes) -> str:
    return password.decode("utf-8", "replace")


def _method(who: Who, kind: str) -> str:
    scope = "module" if who.module else "device"
    issuer = "iothub" if kind == "sas" else "external"
    return msgspec.json.encode({"scope": scope, "type": kind, "issuer": issuer, "acceptingIpFilterRule": None}).decode()
