"""Users by what they are: holders of certificates, service accounts, nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.kubernetes.access.interface import ANONYMOUS, AUTHENTICATED, UNAUTHENTICATED, User

if TYPE_CHECKING:
    from collections.abc import Iterable

SERVICE_ACCOUNT_PREFIX = "system:serviceaccount:"
NODE_PREFIX = "system:node:"
NODES = "system:nodes"
CREDENTIAL_ID = "authentication.kubernetes.io/credential-id"

NOBODY = User(name=ANONYMOUS, groups=(UNAUTHENTICATED,))
"""Who says nothing of themselves."""


def named(
    name: str, groups: Iterable[str] = (), *, uid: str = "", extra: tuple[tuple[str, tuple[str, ...]], ...] = ()
) -> User:
    """A user who has shown who they are."""
    found = tuple(groups)
    if AUTHENTICATED not in found:
        found = (*found, AUTHENTICATED)
    return User(name=name, groups=found, uid=uid, extra=extra)


def account_name(namespace: str, name: str) -> str:
    """The user name of a service account."""
    return f"{SERVICE_ACCOUNT_PREFIX}{namespace}:{name}"


def account_groups(namespace: str) -> tuple[str, ...]:
    """The groups of a namespace's service accounts."""
    return ("system:serviceaccounts", f"system:serviceaccounts:{namespace}")


def service_account(
    namespace: str, name: str, *, uid: str = "", extra: tuple[tuple[str, tuple[str, ...]], ...] = ()
) -> User:
    """A service account as a user."""
    return named(account_name(namespace, name), account_groups(namespace), uid=uid, extra=extra)


def split_account(name: str) -> tuple[str, str] | None:
    """Namespace and name of the service account that a user name is of; None for other users."""
    if not name.startswith(SERVICE_ACCOUNT_PREFIX):
        return None
    namespace, found, account = name[len(SERVICE_ACCOUNT_PREFIX) :].partition(":")
    return (namespace, account) if found and namespace and account and ":" not in account else None


def node(name: str) -> User:
    """A node as a user."""
    return named(NODE_PREFIX + name, (NODES,))


def node_of(user: User) -> str | None:
    """The name of the node that a user is; None for other users."""
    if NODES not in user.groups or not user.name.startswith(NODE_PREFIX):
        return None
    return user.name[len(NODE_PREFIX) :] or None
