"""Discovery: which groups, versions and resources there are, as lists of each and aggregated."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING

import msgspec

from windtunnel_emulators.kubernetes.api.encoding import finished
from windtunnel_emulators.kubernetes.api.failures import not_acceptable, unknown_path, unknown_resource
from windtunnel_emulators.kubernetes.api.negotiation import JSON_TYPE, READ, YAML_TYPE, Form, media_type
from windtunnel_emulators.kubernetes.api.replies import BytesReply

if TYPE_CHECKING:
    from collections.abc import Callable

    from windtunnel_emulators.jsontypes import Json, JsonObject
    from windtunnel_emulators.kubernetes.api.registry import Registry
    from windtunnel_emulators.kubernetes.api.requests import Call
    from windtunnel_emulators.kubernetes.api.served import Served

_AGGREGATED = "APIGroupDiscoveryList"
_GROUP = "apidiscovery.k8s.io"


class Discovery:
    """What a registry serves, described; made again only when it changes."""

    def __init__(self, registry: Registry, address: Callable[[], str]) -> None:
        self._registry = registry
        self._address = address
        self._made: dict[tuple[str, int], tuple[bytes, str]] = {}

    def owns(self, path: str) -> bool:
        """Whether the path is one of discovery's."""
        parts = path.strip("/").split("/")
        return (parts[0] == "api" and len(parts) <= 2) or (parts[0] == "apis" and len(parts) <= 3)

    def answer(self, call: Call) -> BytesReply:
        """The answer to ``GET`` of one of its paths. Raises ``Failure``."""
        parts = [part for part in call.path.split("/") if part]
        if len(parts) == 1:
            aggregated = self._wants_aggregated(call)
            if aggregated:
                return self._aggregated(call, parts[0])
            return self._plain(call, self._versions() if parts[0] == "api" else self._groups())
        form = _form(call)
        if form is None:
            raise not_acceptable(READ)
        if parts[0] == "api":
            return self._plain(call, self._resources("", parts[1]))
        if len(parts) == 2:
            return self._plain(call, self._group(parts[1]))
        return self._plain(call, self._resources(parts[1], parts[2]))

    def _wants_aggregated(self, call: Call) -> bool:
        accept = call.headers.get("accept", "")
        clauses = [media_type(clause) for clause in accept.split(",") if clause.strip()]
        for kind, parameters in clauses:
            if parameters.get("as"):
                if (
                    kind == JSON_TYPE
                    and parameters.get("as") == _AGGREGATED
                    and parameters.get("g") == _GROUP
                    and parameters.get("v") == "v2"
                ):
                    return True
            elif kind in (JSON_TYPE, YAML_TYPE, "*/*", "application/*"):
                return False
        if clauses:
            raise not_acceptable(READ)
        return False

    def _plain(self, call: Call, whole: JsonObject) -> BytesReply:
        form = _form(call)
        if form is None:
            raise not_acceptable(READ)
        return BytesReply(
            body=finished(msgspec.json.encode(whole), form),
            content_type=form.content_type,
            headers=((b"cache-control", b"no-cache, private"),),
        )

    def _aggregated(self, call: Call, root: str) -> BytesReply:
        key = (root, self._registry.changes)
        if key not in self._made:
            self._made = {known: made for known, made in self._made.items() if known[1] == key[1]}
            body = msgspec.json.encode(self._everything(root))
            self._made[key] = (body, hashlib.sha512(body).hexdigest().upper())
        body, tag = self._made[key]
        headers = ((b"etag", f'"{tag}"'.encode()), (b"vary", b"Accept"), (b"cache-control", b"public"))
        content_type = f"{JSON_TYPE};g={_GROUP};v=v2;as={_AGGREGATED}".encode()
        if call.headers.get("if-none-match", "").strip('"') == tag:
            return BytesReply(body=b"", status=304, content_type=content_type, headers=headers)
        form = _form(call, shapes=True)
        shown = msgspec.json.format(body, indent=2) if form is not None and form.pretty else body
        return BytesReply(body=shown, content_type=content_type, headers=headers)

    def _everything(self, root: str) -> JsonObject:
        registry = self._registry
        items: list[Json] = []
        for group in [""] if root == "api" else registry.groups():
            versions: list[Json] = []
            for version in registry.versions(group):
                described = registry.described_elsewhere(group, version)
                if described is not None:
                    versions.append(described)
                    continue
                resources: list[Json] = [_aggregated_resource(served) for served in registry.served(group, version)]
                versions.append({"version": version, "resources": resources, "freshness": "Current"})
            items.append({"metadata": {"name": group} if group else {}, "versions": versions})
        return {"kind": _AGGREGATED, "apiVersion": f"{_GROUP}/v2", "metadata": {}, "items": items}

    def _versions(self) -> JsonObject:
        address: JsonObject = {"clientCIDR": "0.0.0.0/0", "serverAddress": self._address()}
        return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": [address]}

    def _groups(self) -> JsonObject:
        groups: list[Json] = [self._group_of(name) for name in self._registry.groups()]
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}

    def _group_of(self, name: str) -> JsonObject:
        versions: list[Json] = [
            {"groupVersion": f"{name}/{version}", "version": version} for version in self._registry.versions(name)
        ]
        return {"name": name, "versions": versions, "preferredVersion": versions[0]}

    def _group(self, name: str) -> JsonObject:
        if name not in self._registry.groups():
            raise unknown_path()
        return {"kind": "APIGroup", "apiVersion": "v1", **self._group_of(name)}

    def _resources(self, group: str, version: str) -> JsonObject:
        if version not in self._registry.versions(group):
            raise unknown_resource() if group in self._registry.groups() else unknown_path()
        resources: list[Json] = []
        for served in self._registry.served(group, version):
            listed = _listed_resource(served)
            resources.extend(listed if served.custom else sorted(listed, key=_name))
        return {
            "kind": "APIResourceList",
            "apiVersion": "v1",
            "groupVersion": f"{group}/{version}" if group else version,
            "resources": resources,
        }


def _name(resource: Json) -> str:
    return str(resource["name"]) if isinstance(resource, dict) else ""


def _form(call: Call, *, shapes: bool = False) -> Form | None:
    from windtunnel_emulators.kubernetes.api.negotiation import negotiate

    accept = call.headers.get("accept", "")
    agent, pretty = call.headers.get("user-agent", ""), call.one("pretty")
    return negotiate("" if shapes else accept, shapes=False, agent=agent, pretty=pretty)


def _listed_resource(served: Served) -> list[JsonObject]:
    info, kind = served.info, served.kind
    whole: JsonObject = {
        "name": kind.plural,
        "singularName": info.singular,
        "namespaced": kind.namespaced,
        "kind": kind.name,
        "verbs": list(info.verbs),
    }
    if info.short_names:
        whole["shortNames"] = list(info.short_names)
    if info.categories:
        whole["categories"] = list(info.categories)
    if "watch" in info.verbs:
        whole["storageVersionHash"] = _storage_hash(served)
    found = [whole]
    for sub in info.subresources:
        entry: JsonObject = {
            "name": f"{kind.plural}/{sub.name}",
            "singularName": "",
            "namespaced": kind.namespaced,
        }
        if sub.group or (sub.version and sub.version != kind.version):
            entry["group"], entry["version"] = sub.group, sub.version
        entry["kind"] = sub.kind
        entry["verbs"] = list(sub.verbs)
        found.append(entry)
    return found


def _aggregated_resource(served: Served) -> JsonObject:
    info, kind = served.info, served.kind
    own: JsonObject = {"group": "", "version": "", "kind": kind.name}
    if served.custom:
        own["group"], own["version"] = kind.group, kind.version
    whole: JsonObject = {
        "resource": kind.plural,
        "responseKind": own,
        "scope": "Namespaced" if kind.namespaced else "Cluster",
        "singularResource": info.singular,
        "verbs": list(info.verbs),
    }
    if info.short_names:
        whole["shortNames"] = list(info.short_names)
    if info.categories:
        whole["categories"] = list(info.categories)
    subresources: list[Json] = []
    for sub in info.subresources:
        if sub.group or (sub.version and sub.version != kind.version):
            answer: JsonObject = {"group": sub.group, "version": sub.version, "kind": sub.kind}
        else:
            answer = {**own, "kind": sub.kind}
        subresources.append({"subresource": sub.name, "responseKind": answer, "verbs": list(sub.verbs)})
    if subresources:
        whole["subresources"] = subresources
    return whole


def _storage_hash(served: Served) -> str:
    text = f"{served.kind.group}/{served.storage_version.rpartition('/')[2]}/{served.kind.name}"
    return base64.b64encode(hashlib.sha256(text.encode()).digest()[:8]).decode()
