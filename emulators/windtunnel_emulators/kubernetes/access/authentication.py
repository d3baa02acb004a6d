"""Who makes a request: by client certificate, bearer token or neither, and as whom they ask to be treated.

What has been checked is remembered by its hash; what a token is bound to is looked at each time.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import unquote

from windtunnel_emulators.kubernetes.access import users
from windtunnel_emulators.kubernetes.access.accounts import Refused, still_holds
from windtunnel_emulators.kubernetes.access.interface import (
    ANONYMOUS,
    AUTHENTICATED,
    UNAUTHENTICATED,
    Attributes,
    User,
)
from windtunnel_emulators.kubernetes.api.failures import forbidden, internal, unauthorized

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from windtunnel_emulators.kubernetes.access.accounts import AccountTokens, Checked
    from windtunnel_emulators.kubernetes.access.interface import Decision
    from windtunnel_emulators.kubernetes.access.state import State

_T = TypeVar("_T")
_REMEMBERED = 4096
_PROTOCOL_TOKEN = "base64url.bearer.authorization.k8s.io."  # noqa: S105  # how browsers' WebSockets carry one
_EXTRA = "impersonate-extra-"
_IMPERSONATION = ("impersonate-user", "impersonate-group", "impersonate-uid")


class Authentication:
    """One cluster's ways to know who asks. ``static`` are tokens of their own, and whose they are."""

    def __init__(
        self,
        tokens: AccountTokens,
        static: Mapping[str, User],
        authorize: Callable[[User, Attributes], Decision],
    ) -> None:
        self._tokens = tokens
        self._static = {_digest(token.encode()): user for token, user in static.items()}
        self._authorize = authorize
        self._certificates: dict[bytes, User] = {}
        self._checked: dict[bytes, Checked] = {}

    def authenticate(self, headers: Mapping[str, str], peer: bytes | None, state: State) -> User:
        """Raises ``Failure`` 401 for what is wrong, 403 for impersonation that is not allowed."""
        user = self._known(headers, peer, state)
        for name in headers:
            if name.startswith("impersonate-"):
                return self._impersonated(user, headers)
        return user

    def _known(self, headers: Mapping[str, str], peer: bytes | None, state: State) -> User:
        if peer is not None:
            return self._certified(peer)
        token = _bearer(headers)
        if token is None:
            if headers.get("authorization"):
                raise unauthorized()
            return users.NOBODY
        try:
            return self.token_user(token, state, (self._tokens.issuer,))[0]
        except Refused as problem:
            raise unauthorized() from problem

    def token_user(self, token: str, state: State, audiences: Sequence[str]) -> tuple[User, tuple[str, ...]]:
        """Whose token it is, and for which of ``audiences``. Raises ``Refused``."""
        digest = _digest(token.encode("utf-8", "surrogatepass"))
        static = self._static.get(digest)
        if static is not None:
            if self._tokens.issuer not in audiences:
                raise Refused("invalid bearer token")
            return static, (self._tokens.issuer,)
        checked = self._checked.get(digest)
        if checked is None:
            checked = self._tokens.read(token)
            _remember(self._checked, digest, checked)
        return checked.user, still_holds(checked, state, audiences)

    def _certified(self, der: bytes) -> User:
        digest = _digest(der)
        user = self._certificates.get(digest)
        if user is None:
            user = _certificate_user(der, digest)
            _remember(self._certificates, digest, user)
        return user

    def _impersonated(self, user: User, headers: Mapping[str, str]) -> User:
        name = headers.get("impersonate-user", "")
        groups = _values(headers.get("impersonate-group", ""))
        uid = headers.get("impersonate-uid", "")
        extra: dict[str, tuple[str, ...]] = {
            unquote(key[len(_EXTRA) :]): _values(value) for key, value in headers.items() if key.startswith(_EXTRA)
        }
        if not name:
            if groups or uid or extra:
                raise internal(f"requesting uid, groups or user-extra for {user.name} without impersonating a user")
            return user
        account = users.split_account(name)
        if account is not None:
            self._check(
                user, Attributes(verb="impersonate", resource="serviceaccounts", namespace=account[0], name=account[1])
            )
        else:
            self._check(user, Attributes(verb="impersonate", resource="users", name=name))
        for group in groups:
            self._check(user, Attributes(verb="impersonate", resource="groups", name=group))
        reviewed = "authentication.k8s.io"
        for key, values in extra.items():
            for value in values:
                asked = Attributes(
                    verb="impersonate", group=reviewed, version="v1", resource="userextras", subresource=key, name=value
                )
                self._check(user, asked)
        if uid:
            self._check(user, Attributes(verb="impersonate", group=reviewed, version="v1", resource="uids", name=uid))
        if account is not None and not groups:
            groups = users.account_groups(account[0])
        if not {AUTHENTICATED, UNAUTHENTICATED}.intersection(groups):
            groups = (*groups, UNAUTHENTICATED if name == ANONYMOUS else AUTHENTICATED)
        return User(name=name, groups=groups, uid=uid, extra=tuple(sorted(extra.items())))

    def _check(self, user: User, asked: Attributes) -> None:
        decision = self._authorize(user, asked)
        if decision.allowed:
            return
        what = f"{asked.resource}/{asked.subresource}" if asked.subresource else asked.resource
        where = f' in the namespace "{asked.namespace}"' if asked.namespace else " at the cluster scope"
        why = f'User "{user.name}" cannot impersonate resource "{what}" in API group "{asked.group}"{where}'
        if decision.reason:
            why += f": {decision.reason}"
        raise forbidden(asked.group, asked.resource, asked.name, why)


def _digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def _remember(known: dict[bytes, _T], digest: bytes, value: _T) -> None:
    if len(known) >= _REMEMBERED:
        del known[next(iter(known))]
    known[digest] = value


def _values(text: str) -> tuple[str, ...]:
    """Several headers of one name arrive as one, with commas."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _bearer(headers: Mapping[str, str]) -> str | None:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    for protocol in headers.get("sec-websocket-protocol", "").split(","):
        text = protocol.strip()
        if text.startswith(_PROTOCOL_TOKEN):
            encoded = text[len(_PROTOCOL_TOKEN) :]
            try:
                return base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode()
            except (binascii.Error, UnicodeDecodeError):
                return ""
    return None


def _certificate_user(der: bytes, digest: bytes) -> User:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    try:
        subject = x509.load_der_x509_certificate(der).subject
    except ValueError as problem:
        raise unauthorized() from problem
    names = [str(part.value) for part in subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    if not names:
        raise unauthorized()
    groups = [str(part.value) for part in subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]
    return users.named(names[-1], groups, extra=((users.CREDENTIAL_ID, (f"X509SHA256={digest.hex()}",)),))
