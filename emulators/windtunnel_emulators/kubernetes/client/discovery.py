"""What an API serves: the kinds of every group in its preferred version, with their verbs."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from windtunnel_emulators.kubernetes.client.interface import Client, Kind, KubernetesProblem, StatusError
from windtunnel_emulators.kubernetes.client.meta import entries, flag, text, words

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """One kind that is served under a name of its own."""

    kind: Kind
    verbs: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Discovery:
    """All of them. ``failures`` are the group versions that did not answer, as an aggregated API may."""

    served: tuple[Served, ...]
    failures: tuple[tuple[str, str], ...] = ()
    """(group version, what it answered)"""

    def find(self, api_version: str, name: str) -> Kind | None:
        """The kind an owner reference names; of another version of its group where that one is not preferred."""
        group = api_version.rpartition("/")[0]
        for each in self.served:
            if each.kind.group == group and each.kind.name == name:
                return each.kind
        return None


async def discover(client: Client) -> Discovery:
    """Ask. Raises ``KubernetesProblem`` where the list of groups itself cannot be had."""
    groups = await client.request("GET", "/apis")
    versions = ["v1"] + [
        preferred for each in entries(groups, "groups") if (preferred := text(each, "preferredVersion", "groupVersion"))
    ]
    answers = await asyncio.gather(*(_resources(client, each) for each in versions), return_exceptions=True)
    served: list[Served] = []
    failures: list[tuple[str, str]] = []
    for version, answer in zip(versions, answers, strict=True):
        if isinstance(answer, KubernetesProblem):
            # A group that went between the two requests is not missed.
            if not (isinstance(answer, StatusError) and answer.code == 404):
                failures.append((version, str(answer)))
        elif isinstance(answer, BaseException):
            raise answer
        else:
            served += answer
    return Discovery(served=tuple(served), failures=tuple(failures))


async def _resources(client: Client, group_version: str) -> Sequence[Served]:
    path = "/api/v1" if group_version == "v1" else f"/apis/{group_version}"
    answer = await client.request("GET", path)
    group, _, version = group_version.rpartition("/")
    return [
        Served(
            kind=Kind(
                group=group,
                version=version,
                plural=text(each, "name"),
                name=text(each, "kind"),
                namespaced=flag(each, "namespaced"),
            ),
            verbs=frozenset(words(each, "verbs")),
        )
        for each in entries(answer, "resources")
        if "/" not in text(each, "name")
    ]
