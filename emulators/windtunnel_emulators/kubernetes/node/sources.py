"""Where a node's pods get ConfigMaps, Secrets and tokens from: each object that a pod refers to is watched alone."""

from __future__ import annotations

import asyncio
import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from windtunnel_emulators.jsontypes import as_object
from windtunnel_emulators.kubernetes.client.informer import Informer
from windtunnel_emulators.kubernetes.client.interface import StatusError
from windtunnel_emulators.kubernetes.client.kinds import CONFIG_MAP, SECRET, SERVICE_ACCOUNT
from windtunnel_emulators.kubernetes.client.meta import (
    entries,
    mapping,
    name_of,
    namespace_of,
    parse_time,
    text,
    uid_of,
)
from windtunnel_emulators.kubernetes.client.objects import Objects
from windtunnel_emulators.runtime.hooks import NotConfigured
from windtunnel_emulators.runtime.interface import Credentials

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from windtunnel_emulators.clock import Clock
    from windtunnel_emulators.jsontypes import JsonObject
    from windtunnel_emulators.kubernetes.client.interface import Client, Kind

_LEAST_TOKEN_S = 600
_DOCKER_CONFIGS = {"kubernetes.io/dockerconfigjson": ".dockerconfigjson", "kubernetes.io/dockercfg": ".dockercfg"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Token:
    value: str
    renew: datetime


class Sources:
    """Of one node."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self._objects = Objects(client)
        self._client = client
        self._clock = clock
        self._informers: dict[tuple[str, str, str], Informer] = {}
        self._tokens: dict[tuple[str, str, int], _Token] = {}
        self._listeners: list[Callable[[str, str], None]] = []

    def on_change(self, listener: Callable[[str, str], None]) -> None:
        """Called with (namespace, ``configmap/NAME`` or ``secret/NAME``)."""
        self._listeners.append(listener)

    async def stop(self) -> None:
        await asyncio.gather(*(informer.stop() for informer in self._informers.values()))
        self._informers = {}

    async def config_map(self, namespace: str, name: str) -> JsonObject | None:
        return await self._find(CONFIG_MAP, namespace, name)

    async def secret(self, namespace: str, name: str) -> JsonObject | None:
        return await self._find(SECRET, namespace, name)

    async def token(self, pod: JsonObject, audience: str, seconds: int) -> str:
        """A token of the pod's service account that is bound to the pod; the same one until four fifths of its life
        are over. Raises ``NotConfigured``."""
        known = self._tokens.get((uid_of(pod), audience, seconds))
        if known is not None and self._clock.now() < known.renew:
            return known.value
        namespace = namespace_of(pod)
        account = text(pod, "spec", "serviceAccountName") or "default"
        spec: JsonObject = {
            "expirationSeconds": max(_LEAST_TOKEN_S, seconds),
            "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": name_of(pod), "uid": uid_of(pod)},
        }
        if audience:
            spec["audiences"] = [audience]
        body: JsonObject = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        try:
            made = await self._objects.create_subresource(SERVICE_ACCOUNT, namespace, account, "token", body)
        except StatusError as problem:
            raise NotConfigured(f"failed to fetch token: {problem}") from problem
        value = text(made, "status", "token")
        now = self._clock.now()
        expires = parse_time(mapping(made, "status").get("expirationTimestamp"))
        renew = now if expires is None else now + (expires - now) * 0.8
        self._tokens[uid_of(pod), audience, seconds] = _Token(value=value, renew=renew)
        return value

    def forget(self, pod: JsonObject) -> None:
        """The pod is gone: its tokens are, too."""
        for key in [key for key in self._tokens if key[0] == uid_of(pod)]:
            del self._tokens[key]

    async def pull_credentials(self, pod: JsonObject) -> tuple[Credentials, ...]:
        """Of the pod's ``imagePullSecrets``; those that are not there or are of another type are passed over."""
        found: list[Credentials] = []
        for reference in entries(pod, "spec", "imagePullSecrets"):
            secret = await self.secret(namespace_of(pod), text(reference, "name"))
            if secret is not None:
                found += _credentials(secret)
        return tuple(found)

    async def _find(self, kind: Kind, namespace: str, name: str) -> JsonObject | None:
        informer = await self._informer(kind, namespace, name)
        known = informer.get(namespace, name) if informer.synced.is_set() else None
        # What was made a moment ago may not have reached the cache.
        return known or await self._objects.find(kind, namespace, name)

    async def _informer(self, kind: Kind, namespace: str, name: str) -> Informer:
        """Of one object alone, as nodes may not list others' Secrets."""
        key = (kind.name.lower(), namespace, name)
        informer = self._informers.get(key)
        if informer is None:
            selector = f"metadata.name={name}"
            informer = Informer(self._client, kind, self._clock, namespace=namespace, field_selector=selector)
            self._informers[key] = informer
            informer.add_handler(lambda old, new: self._changed(kind.name.lower(), new or old or {}))
            await informer.start()
        return informer

    async def keep_only(self, wanted: set[tuple[str, str]]) -> None:
        """Stop looking at what no pod of the node refers to any more: (namespace, ``configmap/NAME``)."""
        for key in [key for key in self._informers if (key[1], f"{key[0]}/{key[2]}") not in wanted]:
            await self._informers.pop(key).stop()

    def _changed(self, word: str, found: JsonObject) -> None:
        for listener in self._listeners:
            listener(namespace_of(found), f"{word}/{name_of(found)}")


def _credentials(secret: JsonObject) -> list[Credentials]:
    key = _DOCKER_CONFIGS.get(text(secret, "type"))
    if key is None:
        return []
    try:
        document = as_object(msgspec.json.decode(base64.b64decode(text(secret, "data", key))))
    except (ValueError, msgspec.DecodeError):
        return []
    servers = mapping(document, "auths") if key == ".dockerconfigjson" else document
    found: list[Credentials] = []
    for server, entry in servers.items():
        name, password = text(entry, "username"), text(entry, "password")
        if not name:
            try:
                name, _, password = base64.b64decode(text(entry, "auth")).decode().partition(":")
            except ValueError:
                continue
        host = server.removeprefix("https://").removeprefix("http://").split("/", 1)[0]
        found.append(Credentials(server=host, username=name, password=password))
    return found
