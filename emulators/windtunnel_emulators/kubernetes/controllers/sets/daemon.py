"""Keeps one pod of each daemon set on every node that it fits."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from windtunnel_emulators.kubernetes.client.interface import StatusError
from windtunnel_emulators.kubernetes.client.kinds import DAEMON_SET, NODE, POD
from windtunnel_emulators.kubernetes.client.meta import (
    deleting,
    dig,
    entries,
    flag,
    key_of,
    labels_of,
    mapping,
    name_of,
    namespace_of,
    number,
    optional_number,
    text,
    uid_of,
)
from windtunnel_emulators.kubernetes.client.recorder import NORMAL, WARNING
from windtunnel_emulators.kubernetes.client.selectors import matches
from windtunnel_emulators.kubernetes.controllers.claims import Claims
from windtunnel_emulators.kubernetes.controllers.controller import (
    Controller,
    keys_of_controller,
    namespace_terminating,
    orphan_labels,
)
from windtunnel_emulators.kubernetes.controllers.deployments.rollout import share
from windtunnel_emulators.kubernetes.controllers.pods import available, finished, pod_from_template, ready, with_labels
from windtunnel_emulators.kubernetes.controllers.sets.history import HASH, History, hash_of
from windtunnel_emulators.kubernetes.scheduler.affinity import REQUIRED, node_matches, untolerated

if TYPE_CHECKING:
    from collections.abc import Iterable

    from windtunnel_emulators.jsontypes import Json, JsonObject

# What daemons tolerate without saying so (DaemonSet documentation, "Taints and tolerations").
_TOLERATED: tuple[tuple[str, str], ...] = (
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
)
_NETWORK = ("node.kubernetes.io/network-unavailable", "NoSchedule")


def daemon_pod(owner: JsonObject, node: str, hashed: str) -> JsonObject:
    """The pod for that node: bound to it by affinity, so that the scheduler still counts what it asks for."""
    pod = with_labels(pod_from_template(dig(owner, "spec", "template"), owner, DAEMON_SET), {HASH: hashed})
    spec = {**mapping(pod, "spec")}
    affinity = {**mapping(spec, "affinity")}
    fields: JsonObject = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]}
    terms = entries(affinity, "nodeAffinity", REQUIRED, "nodeSelectorTerms")
    bound: list[Json] = [{**term, **fields} for term in terms] or [fields]
    affinity["nodeAffinity"] = {**mapping(affinity, "nodeAffinity"), REQUIRED: {"nodeSelectorTerms": bound}}
    spec["affinity"] = affinity
    wanted = [*_TOLERATED, *([_NETWORK] if flag(spec, "hostNetwork") else [])]
    known = {(text(each, "key"), text(each, "effect")) for each in entries(spec, "tolerations")}
    tolerations: list[Json] = [*entries(spec, "tolerations")]
    for key, effect in wanted:
        if (key, effect) not in known:
            tolerations.append({"key": key, "operator": "Exists", "effect": effect})
    spec["tolerations"] = tolerations
    return {**pod, "spec": spec}


def placement(owner: JsonObject, node: JsonObject) -> tuple[bool, bool]:
    """(it should run there, it may go on running there)."""
    pod = daemon_pod(owner, name_of(node), "")
    if not node_matches(pod, labels_of(node), name_of(node)):
        return False, False
    tolerations, taints = entries(pod, "spec", "tolerations"), entries(node, "spec", "taints")
    if untolerated(tolerations, taints, frozenset({"NoExecute"})) is not None:
        return False, False
    return untolerated(tolerations, taints, frozenset({"NoSchedule"})) is None, True


class DaemonSets(Controller):
    """The controller of DaemonSets."""

    name = "daemonset-controller"
    workers = 2

    def prepare(self) -> None:
        self._sets = self.watch(DAEMON_SET)
        self._claims = Claims(self.objects, DAEMON_SET, POD)
        self._history = History(self.objects, DAEMON_SET)
        self._pods = self.watch(POD, self._keys_of_pod)
        self._nodes = self.objects.informer(NODE)
        self._nodes.add_handler(self._node_changed)

    def _keys_of_pod(self, pod: JsonObject) -> Iterable[str]:
        labels = orphan_labels(pod)
        if labels is None:
            yield from keys_of_controller(DAEMON_SET)(pod)
            return
        for each in self._sets.objects(namespace_of(pod)):
            if matches(dig(each, "spec", "selector"), labels):
                yield key_of(each)

    def _node_changed(self, old: JsonObject | None, new: JsonObject | None) -> None:
        if old is None or new is None or _matters(old) != _matters(new):
            for each in self._sets.objects():
                self.queue.add(key_of(each))

    async def reconcile(self, key: str) -> None:
        owner = self._sets.by_key(key)
        if owner is None or deleting(owner):
            return
        if dig(owner, "spec", "selector") == {}:
            said = "This daemon set is selecting all pods. A non-empty selector is required."
            self.recorder.event(owner, WARNING, "SelectingAll", said)
            return
        revision, revisions = await self._history.current(owner)
        hashed = hash_of(revision)
        pods = await self._claims.claim(owner, dig(owner, "spec", "selector"))
        by_node: dict[str, list[JsonObject]] = {}
        for pod in pods:
            by_node.setdefault(_node_of(pod), []).append(pod)
        await self._place(owner, by_node, hashed)
        if text(owner, "spec", "updateStrategy", "type", default="RollingUpdate") == "RollingUpdate":
            await self._roll(owner, by_node, hashed)
        live = {labels_of(pod).get(HASH, "") for pod in pods} | {hashed}
        await self._history.clean(owner, revisions, live)
        await self._write_status(owner, hashed)

    async def _place(self, owner: JsonObject, by_node: dict[str, list[JsonObject]], hashed: str) -> None:
        create: list[str] = []
        remove: list[JsonObject] = []
        known = set[str]()
        surging = bool(_bounds(owner, 100)[0])
        for node in self._nodes.objects():
            name = name_of(node)
            known.add(name)
            should, may = placement(owner, node)
            here = by_node.get(name, [])
            if not may:
                remove += [pod for pod in here if not deleting(pod)]
                continue
            failed = [pod for pod in here if text(pod, "status", "phase") == "Failed" and not deleting(pod)]
            for pod in failed:
                said = f"Found failed daemon pod {key_of(pod)} on node {name}, will try to kill it"
                self.recorder.event(owner, WARNING, "FailedDaemonPod", said)
            remove += failed
            living = [pod for pod in here if not deleting(pod) and not finished(pod)]
            if should and not living and not any(deleting(pod) for pod in here):
                create.append(name)
            elif len(living) > 1 and not surging:
                living.sort(key=lambda pod: (not ready(pod), text(pod, "metadata", "creationTimestamp")))
                remove += living[1:]
        remove += [pod for name, pods in by_node.items() if name not in known for pod in pods if not deleting(pod)]
        await asyncio.gather(*(self._delete(owner, pod) for pod in remove))
        await asyncio.gather(*(self._create(owner, name, hashed) for name in create))

    async def _roll(self, owner: JsonObject, by_node: dict[str, list[JsonObject]], hashed: str) -> None:
        """Replace pods of older templates: as many at a time as may be missing, or beside the new ones."""
        wanted = [node for node in self._nodes.objects() if placement(owner, node)[0]]
        surge, unavailable = _bounds(owner, len(wanted))
        now, least = self.clock.now(), number(owner, "spec", "minReadySeconds")
        missing = surging = 0
        doomed: list[JsonObject] = []
        fresh: list[str] = []
        for node in wanted:
            here = [pod for pod in by_node.get(name_of(node), []) if not deleting(pod) and not finished(pod)]
            old = [pod for pod in here if labels_of(pod).get(HASH) != hashed]
            new = [pod for pod in here if labels_of(pod).get(HASH) == hashed]
            usable = [pod for pod in here if available(pod, least, now)]
            missing += 0 if usable else 1
            surging += 1 if old and new else 0
            if not old:
                continue
            if surge:
                if any(available(pod, least, now) for pod in new):
                    doomed += old
                elif not new:
                    fresh.append(name_of(node))
            elif not usable:
                # It serves nobody: replacing it costs nothing.
                doomed += old
                continue
            else:
                fresh.append(name_of(node))
        if surge:
            for name in fresh[: max(surge - surging, 0)]:
                await self._create(owner, name, hashed)
        else:
            for name in fresh[: max(unavailable - missing, 0)]:
                doomed += [pod for pod in by_node[name] if not deleting(pod) and labels_of(pod).get(HASH) != hashed]
        for pod in doomed:
            await self._delete(owner, pod)

    async def _create(self, owner: JsonObject, node: str, hashed: str) -> None:
        try:
            pod = await self.objects.create(POD, daemon_pod(owner, node, hashed), namespace_of(owner))
        except StatusError as failure:
            if not namespace_terminating(failure):
                self.recorder.event(owner, WARNING, "FailedCreate", f"Error creating: {failure}")
            raise
        self.recorder.event(owner, NORMAL, "SuccessfulCreate", f"Created pod: {name_of(pod)}")

    async def _delete(self, owner: JsonObject, pod: JsonObject) -> None:
        await self.objects.delete(POD, namespace_of(pod), name_of(pod), uid=uid_of(pod))
        self.recorder.event(owner, NORMAL, "SuccessfulDelete", f"Deleted pod: {name_of(pod)}")

    async def _write_status(self, owner: JsonObject, hashed: str) -> None:
        pods = [pod for pod in self._pods.by_index("controller", uid_of(owner)) if not deleting(pod)]
        by_node: dict[str, list[JsonObject]] = {}
        for pod in pods:
            by_node.setdefault(_node_of(pod), []).append(pod)
        now, least = self.clock.now(), number(owner, "spec", "minReadySeconds")
        names = ("desired", "current", "misscheduled", "ready", "available", "updated")
        counts = dict.fromkeys(names, 0)
        for node in self._nodes.objects():
            here = by_node.get(name_of(node), [])
            if not placement(owner, node)[0]:
                counts["misscheduled"] += 1 if here else 0
                continue
            counts["desired"] += 1
            if here:
                here.sort(key=lambda pod: (not ready(pod), text(pod, "metadata", "creationTimestamp")))
                counts["current"] += 1
                counts["ready"] += 1 if ready(here[0]) else 0
                counts["available"] += 1 if available(here[0], least, now) else 0
                counts["updated"] += 1 if any(labels_of(pod).get(HASH) == hashed for pod in here) else 0
        if counts["ready"] != counts["available"]:
            self.queue.add_after(key_of(owner), max(least, 1))
        status: JsonObject = {
            "currentNumberScheduled": counts["current"],
            "numberMisscheduled": counts["misscheduled"],
            "desiredNumberScheduled": counts["desired"],
            "numberReady": counts["ready"],
            "observedGeneration": number(owner, "metadata", "generation"),
        }
        for field, value in (
            ("updatedNumberScheduled", counts["updated"]),
            ("numberAvailable", counts["available"]),
            ("numberUnavailable", counts["desired"] - counts["available"]),
        ):
            if value:
                status[field] = value
        if optional_number(owner, "status", "collisionCount") is not None:
            status["collisionCount"] = number(owner, "status", "collisionCount")
        if status != mapping(owner, "status"):
            await self.objects.update_status(DAEMON_SET, {**owner, "status": status})


def _bounds(owner: JsonObject, wanted: int) -> tuple[int, int]:
    """(surge, unavailable): both rounded up; one may be missing where neither says otherwise."""
    rolling = dig(owner, "spec", "updateStrategy", "rollingUpdate")
    surge = share(dig(rolling, "maxSurge"), wanted, up=True)
    given = dig(rolling, "maxUnavailable")
    unavailable = share(1 if given is None else given, wanted, up=True)
    return surge, unavailable if surge or unavailable else 1


def _node_of(pod: JsonObject) -> str:
    """The node it is on, or is meant for."""
    name = text(pod, "spec", "nodeName")
    if name:
        return name
    for term in entries(pod, "spec", "affinity", "nodeAffinity", REQUIRED, "nodeSelectorTerms"):
        for each in entries(term, "matchFields"):
            values = each.get("values")
            if each.get("key") == "metadata.name" and isinstance(values, list) and len(values) == 1:
                return str(values[0])
    return ""


def _matters(node: JsonObject) -> tuple[object, ...]:
    return labels_of(node), entries(node, "spec", "taints"), flag(node, "spec", "unschedulable")
