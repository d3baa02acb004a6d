"""Which resources a cluster serves: the built-in ones, those of its definitions, and those that others serve."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from windtunnel_emulators import __version__
from windtunnel_emulators.kubernetes.api import conversions
from windtunnel_emulators.kubernetes.api.failures import qualified
from windtunnel_emulators.kubernetes.api.served import Served

if TYPE_CHECKING:
    from collections.abc import Sequence

    from windtunnel_emulators.jsontypes import JsonObject
    from windtunnel_emulators.kubernetes.objects.catalogue import Catalogue, KindInfo

_GROUPS = (
    "apiregistration.k8s.io",
    "apps",
    "events.k8s.io",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "autoscaling",
    "batch",
    "certificates.k8s.io",
    "networking.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "storage.k8s.io",
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "scheduling.k8s.io",
    "coordination.k8s.io",
    "node.k8s.io",
    "discovery.k8s.io",
    "resource.k8s.io",
    "flowcontrol.apiserver.k8s.io",
)
"""In the real server's order; clients look for short names in it."""
_VERSION = re.compile(r"v([0-9]+)(?:(alpha|beta)([0-9]+))?")


def version_order(version: str) -> tuple[int, int, int, str]:
    """Sorts the versions of a group as Kubernetes ranks them: stable ones first, newer before older."""
    found = _VERSION.fullmatch(version)
    if found is None:
        return (3, 0, 0, version)
    stage = {None: 0, "beta": 1, "alpha": 2}[found[2]]
    return (stage, -int(found[1]), -int(found[3] or 0), "")


class Registry:
    """``changes`` grows whenever what is served changes."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self.changes = 0
        self._served: dict[tuple[str, str], dict[str, Served]] = {}
        self._elsewhere: dict[tuple[str, str], JsonObject] = {}
        for info in catalogue.kinds():
            self._add(conversions.served(info))

    def _add(self, served: Served) -> None:
        kind = served.kind
        self._served.setdefault((kind.group, kind.version), {})[kind.plural] = served

    def find(self, group: str, version: str, plural: str) -> Served | None:
        """A resource; None when it is not served."""
        return self._served.get((group, version), {}).get(plural)

    def has(self, group: str, version: str) -> bool:
        """Whether anything is served of a group's version here."""
        return (group, version) in self._served

    def groups(self) -> list[str]:
        """The named groups, in the order in which they are listed."""
        found = {group for group, _ in (*self._served, *self._elsewhere) if group}
        known = [name for name in _GROUPS if name in found]
        return known + sorted(found.difference(known))

    def versions(self, group: str) -> list[str]:
        """The versions of a group, the preferred one first."""
        found = {version for name, version in (*self._served, *self._elsewhere) if name == group}
        return sorted(found, key=version_order)

    def fingerprint(self, group: str, version: str) -> str:
        """Something that changes with what is served of a group's version."""
        definitions = [served.info.definition for served in self.served(group, version) if served.custom]
        return f"{__version__} {msgspec.json.encode(definitions).decode()}"

    def served(self, group: str, version: str) -> list[Served]:
        """The resources of a group's version, by name."""
        found = self._served.get((group, version), {})
        return [found[plural] for plural in sorted(found)]

    def storing(self, group: str, plural: str) -> Served | None:
        """A defined kind in the version in which it is stored, or in any if that one is not served."""
        found = [served for served in self._of(group, plural) if served.custom]
        exact = [served for served in found if served.kind.api_version == served.storage_version]
        return next(iter(exact or found), None)

    def _of(self, group: str, plural: str) -> list[Served]:
        return [kinds[plural] for (name, _), kinds in self._served.items() if name == group and plural in kinds]

    def stored(self) -> list[Served]:
        """One served resource of every storage that objects can be in, of the preferred version."""
        found: dict[str, Served] = {}
        for group in ["", *self.groups()]:
            for version in self.versions(group):
                for served in self.served(group, version):
                    if "create" in served.info.verbs and "list" in served.info.verbs:
                        found.setdefault(served.storage, served)
        return list(found.values())

    def described_elsewhere(self, group: str, version: str) -> JsonObject | None:
        """What an aggregated API has said of its resources, as a version of aggregated discovery."""
        return self._elsewhere.get((group, version))

    def set_elsewhere(self, group: str, version: str, described: JsonObject | None) -> None:
        """Somebody else serves a group's version; None when nobody does any more."""
        if self._elsewhere.get((group, version)) == described:
            return
        if described is None:
            self._elsewhere.pop((group, version), None)
        else:
            self._elsewhere[(group, version)] = described
        self.changes += 1

    def replace_custom(self, group: str, plural: str, infos: Sequence[KindInfo], storage_version: str) -> None:
        """Serve a defined kind in the versions of ``infos``, and in no others."""
        for key, found in list(self._served.items()):
            if key[0] == group and plural in found:
                self.catalogue.remove(found[plural].kind)
                del found[plural]
                if not found:
                    del self._served[key]
        for info in infos:
            self.catalogue.add(info)
            self._add(
                Served(
                    info,
                    storage=qualified(group, plural),
                    storage_version=f"{group}/{storage_version}",
                    custom=True,
                )
            )
        self.changes += 1
