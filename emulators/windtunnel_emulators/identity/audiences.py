"""What tokens are for: the resources that the token service knows, and how scopes name them."""

from __future__ import annotations

from functools import lru_cache
from urllib.parse import urlsplit

_RESOURCE_MANAGER = (
    "https://management.azure.com",
    "https://management.core.windows.net",
    "797f4846-ba00-4fd7-ba43-dac1f8f63013",
)
_REGISTRY = ("https://containerregistry.azure.net",)
_GRAPH = (
    "https://graph.microsoft.com",
    "https://graph.windows.net",
    "00000003-0000-0000-c000-000000000000",
)
_OTHERS = (
    "https://storage.azure.com",
    "https://vault.azure.net",
    "https://iothubs.azure.net",
    "https://ml.azure.com",
    "https://batch.core.windows.net",
    "https://api.loganalytics.io",
    # Entra's identity for the API servers of all AKS clusters, as kubelogin asks for it.
    "6dae42f8-4368-4678-94ff-3960e28e3630",
)
_KNOWN = frozenset(_RESOURCE_MANAGER + _REGISTRY + _GRAPH + _OTHERS)

_SIGN_IN = frozenset({"openid", "profile", "email", "offline_access"})
"""Scopes of OpenID Connect itself: they ask for kinds of tokens, not for a resource."""

_LOOPBACK = ("localhost", "127.0.0.1", "::1")


class ScopeError(Exception):
    """A scope that names no resource, or more than one; ``scope`` is the whole value."""

    def __init__(self, scope: str, *, several: bool = False) -> None:
        super().__init__(scope)
        self.scope = scope
        self.several = several


def normal(resource: str) -> str:
    """How resources are compared: without case and without slashes at the end."""
    return resource.rstrip("/").lower()


def is_known(resource: str, base_url: str) -> bool:
    """Whether the token service issues tokens for a resource: Azure's, or what the caller called it as."""
    return normal(resource) in _KNOWN or normal(resource) in own(base_url)


@lru_cache(maxsize=64)
def own(base_url: str) -> frozenset[str]:
    """The names under which a front door of this machine may be called: loopback's names are one and the same."""
    try:
        url = urlsplit(base_url.lower())
        host, port = url.hostname, url.port
    except ValueError:  # a Host header may be anything
        return frozenset()
    if host not in _LOOPBACK:
        return frozenset({normal(base_url)})
    ending = "" if port is None else f":{port}"
    return frozenset(f"{url.scheme}://{f'[{name}]' if ':' in name else name}{ending}" for name in _LOOPBACK)


@lru_cache(maxsize=64)
def resource_manager(base_url: str) -> frozenset[str]:
    """Audiences of tokens that ARM accepts."""
    return own(base_url) | frozenset(_RESOURCE_MANAGER)


@lru_cache(maxsize=64)
def registry(base_url: str) -> frozenset[str]:
    """Audiences of tokens that a registry exchanges: its own, and ARM's (as ``az acr login`` has always sent)."""
    return resource_manager(base_url) | frozenset(_REGISTRY)


def requested(scope: str) -> tuple[str, bool]:
    """The resource that a v2.0 ``scope`` asks for, spelled as asked, and whether all of it (``/.default``) is.

    Without any, it is Microsoft Graph, as in Entra. Raises ``ScopeError``.
    """
    resources: dict[str, tuple[str, bool]] = {}
    for word in scope.split():
        if word.lower() in _SIGN_IN:
            continue
        resource, slash, permission = word.rpartition("/")
        if not slash:
            resource, permission = _GRAPH[0], word
        if not permission or not _is_resource(resource):
            raise ScopeError(scope)
        resources.setdefault(normal(resource), (resource, permission == ".default"))
    if len(resources) > 1:
        raise ScopeError(scope, several=True)
    return next(iter(resources.values()), (_GRAPH[0], False))


def wants(scope: str, word: str) -> bool:
    """Whether one of OpenID Connect's own scopes is asked for."""
    return word in scope.lower().split()


def _is_resource(resource: str) -> bool:
    """A URI, or an application's id."""
    scheme, colon, rest = resource.partition("://")
    if colon:
        return scheme.isalnum() and bool(rest.strip("/"))
    return len(resource) == 36 and resource.count("-") == 4
