"""The kinds that a cluster serves, as data: the built-in ones from a file, and those of its own definitions.

Facts of the file are the real server's (1.34); it is written by ``make_schemas.py`` of the tests.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from windtunnel_emulators.kubernetes.client.interface import Kind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from windtunnel_emulators.jsontypes import JsonObject
    from windtunnel_emulators.kubernetes.objects.schemas import Schema

_FILE = Path(__file__).parent / "data" / "kinds.json"
_SCHEMA_ROOTS = {
    "": "io.k8s.api.core",
    "apiextensions.k8s.io": "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions",
    "apiregistration.k8s.io": "io.k8s.kube-aggregator.pkg.apis.apiregistration",
}
# Kinds whose metadata.generation the real server counts, and what part of them counts.
_SPEC = frozenset(
    {
        ("", "pods"),
        ("", "replicationcontrollers"),
        ("apiextensions.k8s.io", "customresourcedefinitions"),
        ("apps", "daemonsets"),
        ("apps", "deployments"),
        ("apps", "replicasets"),
        ("apps", "statefulsets"),
        ("batch", "cronjobs"),
        ("batch", "jobs"),
        ("flowcontrol.apiserver.k8s.io", "flowschemas"),
        ("flowcontrol.apiserver.k8s.io", "prioritylevelconfigurations"),
        ("admissionregistration.k8s.io", "validatingadmissionpolicies"),
        ("admissionregistration.k8s.io", "validatingadmissionpolicybindings"),
        ("networking.k8s.io", "ingresses"),
        ("networking.k8s.io", "ingressclasses"),
        ("networking.k8s.io", "networkpolicies"),
        ("policy", "poddisruptionbudgets"),
        ("resource.k8s.io", "resourceslices"),
    }
)
_WHOLE = frozenset(
    {
        ("discovery.k8s.io", "endpointslices"),
        ("scheduling.k8s.io", "priorityclasses"),
        ("admissionregistration.k8s.io", "mutatingwebhookconfigurations"),
        ("admissionregistration.k8s.io", "validatingwebhookconfigurations"),
    }
)
_CREATED_ONLY = frozenset({("scheduling.k8s.io", "priorityclasses")})


@dataclass(frozen=True, slots=True, kw_only=True)
class Subresource:
    """``pods/binding`` and the like; the group is empty (and the version) when it is the kind's own."""

    name: str
    group: str = ""
    version: str = ""
    kind: str
    verbs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PrinterColumn:
    """A column that a definition adds to its tables."""

    name: str
    type: str
    json_path: str
    format: str = ""
    description: str = ""
    priority: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalePaths:
    """Where a custom resource has what its ``scale`` subresource shows."""

    spec_replicas: str
    status_replicas: str
    label_selector: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class KindInfo:
    """One kind in one version."""

    kind: Kind
    singular: str
    list_kind: str
    verbs: tuple[str, ...]
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    subresources: tuple[Subresource, ...] = ()
    schema: str = ""
    """The name of its definition; custom kinds have theirs in ``custom_schema``."""
    storage_hash: str = ""
    generation: str = ""
    """What change counts ``metadata.generation`` up: ``spec`` (of anything in it), ``all`` (anything but metadata
    and status), ``created`` (it is 1 and stays so); empty for kinds that have none."""
    field_selectors: tuple[str, ...] = ("metadata.name", "metadata.namespace")
    strategy: str = ""
    """The name under which rules for the kind are found: ``apps/Deployment``, ``core/Pod``; empty for custom kinds."""
    custom: bool = False
    custom_schema: Schema | None = None
    definition: JsonObject | None = None
    """The CustomResourceDefinition, of a custom kind."""
    columns: tuple[PrinterColumn, ...] = ()
    scale: ScalePaths | None = None

    @property
    def has_status(self) -> bool:
        """Whether status is written by its own subresource only: dropped on create, kept by other updates."""
        return any(sub.name == "status" for sub in self.subresources)

    @property
    def has_generation(self) -> bool:
        return bool(self.generation)

    def subresource(self, name: str) -> Subresource | None:
        """A subresource by name."""
        return next((sub for sub in self.subresources if sub.name == name), None)


class Catalogue:
    """The kinds of one cluster: the built-in ones, and what is added."""

    def __init__(self) -> None:
        self._kinds: dict[tuple[str, str, str], KindInfo] = dict(_built_in())

    def kinds(self) -> Sequence[KindInfo]:
        """All of them, the built-in ones in the real server's order of groups first."""
        return tuple(self._kinds.values())

    def find(self, group: str, version: str, plural: str) -> KindInfo | None:
        """A kind by its plural; None when it is not served."""
        return self._kinds.get((group, version, plural))

    def find_kind(self, group: str, version: str, name: str) -> KindInfo | None:
        """A kind by the name that objects carry."""
        for info in self._kinds.values():
            if info.kind.name == name and info.kind.group == group and info.kind.version == version:
                return info
        return None

    def add(self, info: KindInfo) -> None:
        """Serve a kind, or serve it differently."""
        self._kinds[(info.kind.group, info.kind.version, info.kind.plural)] = info

    def remove(self, kind: Kind) -> None:
        """Serve a kind no more."""
        self._kinds.pop((kind.group, kind.version, kind.plural), None)


class _Entry(msgspec.Struct):
    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool
    singular: str
    verbs: tuple[str, ...]
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    subresources: tuple[Subresource, ...] = ()
    storage_hash: str = ""


def schema_name(group: str, version: str, kind: str) -> str:
    """The name of the definition of a built-in kind."""
    root = _SCHEMA_ROOTS.get(group, f"io.k8s.api.{group.partition('.')[0]}")
    return f"{root}.{version}.{kind}"


def strategy_name(group: str, kind: str) -> str:
    """The name of a built-in kind whatever its version: ``core/Pod``."""
    return f"{group or 'core'}/{kind}"


def _generation(group: str, plural: str) -> str:
    if (group, plural) in _CREATED_ONLY:
        return "created"
    if (group, plural) in _SPEC:
        return "spec"
    return "all" if (group, plural) in _WHOLE else ""


@cache
def _built_in() -> dict[tuple[str, str, str], KindInfo]:
    from windtunnel_emulators.kubernetes.objects.fields import FIELD_SELECTORS

    entries = msgspec.json.decode(_FILE.read_bytes(), type=list[_Entry])
    found: dict[tuple[str, str, str], KindInfo] = {}
    for entry in entries:
        strategy = strategy_name(entry.group, entry.kind)
        found[(entry.group, entry.version, entry.plural)] = KindInfo(
            kind=Kind(
                group=entry.group,
                version=entry.version,
                plural=entry.plural,
                name=entry.kind,
                namespaced=entry.namespaced,
            ),
            singular=entry.singular,
            list_kind=f"{entry.kind}List",
            verbs=entry.verbs,
            short_names=entry.short_names,
            categories=entry.categories,
            subresources=entry.subresources,
            schema=schema_name(entry.group, entry.version, entry.kind),
            storage_hash=entry.storage_hash,
            generation=_generation(entry.group, entry.plural),
            field_selectors=(*FIELD_SELECTORS.get(strategy, ()), "metadata.name", "metadata.namespace"),
            strategy=strategy,
        )
    return found
