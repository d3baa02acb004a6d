"""What tables show of storage."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.jsontypes import as_list, as_object, as_str
from windtunnel_emulators.kubernetes.objects.cellvalues import NONE, UNSET, age, at, name, text

if TYPE_CHECKING:
    from datetime import datetime

    from windtunnel_emulators.jsontypes import Json, JsonObject


_MODES = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}


def _modes(value: Json) -> str:
    return ",".join(_MODES.get(as_str(mode), as_str(mode)) for mode in as_list(value))


def _phase(whole: JsonObject) -> str:
    return "Terminating" if at(whole, "metadata", "deletionTimestamp") else text(whole, "status", "phase")


def claim_cells(whole: JsonObject, now: datetime) -> list[Json]:
    volume = text(whole, "spec", "volumeName")
    return [
        name(whole),
        _phase(whole),
        volume,
        text(whole, "status", "capacity", "storage") if volume else "",
        _modes(at(whole, "status", "accessModes")) if volume else "",
        text(whole, "spec", "storageClassName"),
        text(whole, "spec", "volumeAttributesClassName") or UNSET,
        age(whole, now),
        text(whole, "spec", "volumeMode") or UNSET,
    ]


def volume_cells(whole: JsonObject, now: datetime) -> list[Json]:
    claim = at(whole, "spec", "claimRef")
    return [
        name(whole),
        text(whole, "spec", "capacity", "storage"),
        _modes(at(whole, "spec", "accessModes")),
        text(whole, "spec", "persistentVolumeReclaimPolicy"),
        _phase(whole),
        f"{text(claim, 'namespace')}/{text(claim, 'name')}" if claim else "",
        text(whole, "spec", "storageClassName"),
        text(whole, "spec", "volumeAttributesClassName") or UNSET,
        text(whole, "status", "reason"),
        age(whole, now),
        text(whole, "spec", "volumeMode") or UNSET,
    ]


def class_cells(whole: JsonObject, now: datetime) -> list[Json]:
    default = at(whole, "metadata", "annotations", "storageclass.kubernetes.io/is-default-class") == "true"
    return [
        name(whole) + (" (default)" if default else ""),
        text(whole, "provisioner"),
        text(whole, "reclaimPolicy"),
        text(whole, "volumeBindingMode"),
        at(whole, "allowVolumeExpansion") is True,
        age(whole, now),
    ]


def driver_cells(whole: JsonObject, now: datetime) -> list[Json]:
    spec = as_object(whole.get("spec"))
    tokens = ",".join(text(one, "audience") for one in as_list(spec.get("tokenRequests"))) or UNSET
    modes = ",".join(as_str(one) for one in as_list(spec.get("volumeLifecycleModes"))) or NONE
    flags = [spec.get(key) is True for key in ("attachRequired", "podInfoOnMount", "storageCapacity")]
    return [name(whole), *flags, tokens, spec.get("requiresRepublish") is True, modes, age(whole, now)]
