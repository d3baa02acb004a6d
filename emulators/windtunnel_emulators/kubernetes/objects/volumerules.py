"""Rules of a pod's volumes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.jsontypes import as_list, as_object, as_str
from windtunnel_emulators.kubernetes.objects import names
from windtunnel_emulators.kubernetes.objects.containerrules import check_field_reference, check_resource_reference
from windtunnel_emulators.kubernetes.objects.resourcerules import amount
from windtunnel_emulators.kubernetes.objects.schemas import definition

if TYPE_CHECKING:
    from windtunnel_emulators.jsontypes import Json, JsonObject
    from windtunnel_emulators.kubernetes.objects.findings import Findings

_LARGEST_MODE = 0o777
_MODE_MESSAGE = "must be a number between 0 and 0777 (octal), both inclusive"
_HOST_TYPES = ("", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket")
_SHORTEST_TOKEN_S = 600


def check_volumes(field: str, volumes: list[Json], found: Findings) -> set[str]:
    """All volumes; their names, for mounts."""
    seen: set[str] = set()
    for index, entry in enumerate(volumes):
        volume, at = as_object(entry), f"{field}[{index}]"
        name = as_str(volume.get("name"))
        if not name:
            found.required(f"{at}.name")
        else:
            wrong = names.label(name)
            found.each(f"{at}.name", name, wrong)
            if not wrong and name in seen:
                found.duplicate(f"{at}.name", name)
        seen.add(name)
        _source(at, volume, found)
    return seen


def _source(at: str, volume: JsonObject, found: Findings) -> None:
    # The kinds in the order in which the API looks for them.
    order = [kind for kind in definition("io.k8s.api.core.v1.Volume").properties if kind != "name"]
    order.remove("emptyDir")
    kinds = [kind for kind in ("emptyDir", *order) if volume.get(kind) is not None]
    if not kinds:
        found.required(at, "must specify a volume type")
        return
    for kind in kinds[1:]:
        found.forbidden(f"{at}.{kind}", "may not specify more than 1 volume type")
    kind = kinds[0]
    check = _SOURCES.get(kind)
    if check is not None:
        check(f"{at}.{kind}", as_object(volume[kind]), found)


def _mode(field: str, value: Json, found: Findings) -> None:
    if isinstance(value, int) and not 0 <= value <= _LARGEST_MODE:
        found.invalid(field, value, _MODE_MESSAGE)


def check_local_path(field: str, value: Json, found: Findings) -> None:
    """A path below the volume's."""
    text = as_str(value)
    if not text:
        found.required(field)
    elif text.startswith("/"):
        found.invalid(field, text, "must be a relative path")
    elif ".." in text.split("/"):
        found.invalid(field, text, "must not contain '..'")
    elif text.startswith(".."):
        found.invalid(field, text, "must not start with '..'")


def _items(field: str, source: JsonObject, found: Findings) -> None:
    for index, entry in enumerate(as_list(source.get("items"))):
        item, at = as_object(entry), f"{field}.items[{index}]"
        if not item.get("key"):
            found.required(f"{at}.key")
        check_local_path(f"{at}.path", item.get("path"), found)
        _mode(f"{at}.mode", item.get("mode"), found)


def _empty_dir(field: str, source: JsonObject, found: Findings) -> None:
    if amount(source.get("sizeLimit") or "0").amount < 0:
        found.forbidden(f"{field}.sizeLimit", "SizeLimit field must be a valid resource quantity")


def _keyed(name: str) -> _Check:
    def check(field: str, source: JsonObject, found: Findings) -> None:
        if not source.get(name):
            found.required(f"{field}.{name}")
        _mode(f"{field}.defaultMode", source.get("defaultMode"), found)
        _items(field, source, found)

    return check


def _host_path(field: str, source: JsonObject, found: Findings) -> None:
    path = as_str(source.get("path"))
    if not path:
        found.required(f"{field}.path")
        return
    if ".." in path.split("/"):
        found.invalid(f"{field}.path", path, "must not contain '..'")
    found.one_of(f"{field}.type", source.get("type"), _HOST_TYPES)


def _claim(field: str, source: JsonObject, found: Findings) -> None:
    if not source.get("claimName"):
        found.required(f"{field}.claimName")


def _downward(field: str, source: JsonObject, found: Findings) -> None:
    _mode(f"{field}.defaultMode", source.get("defaultMode"), found)
    for entry in as_list(source.get("items")):
        item = as_object(entry)
        check_local_path(f"{field}.path", item.get("path"), found)
        if item.get("fieldRef") is not None:
            check_field_reference(f"{field}.fieldRef", as_object(item["fieldRef"]), found, volume=True)
            if item.get("resourceFieldRef") is not None:
                found.invalid(field, "resource", "fieldRef and resourceFieldRef can not be specified simultaneously")
        elif item.get("resourceFieldRef") is not None:
            check_resource_reference(
                f"{field}.resourceFieldRef", as_object(item["resourceFieldRef"]), found, volume=True
            )
        else:
            found.required(field, "one of fieldRef and resourceFieldRef is required")
        _mode(f"{field}.mode", item.get("mode"), found)


def _projected(field: str, source: JsonObject, found: Findings) -> None:
    _mode(f"{field}.defaultMode", source.get("defaultMode"), found)
    for index, entry in enumerate(as_list(source.get("sources"))):
        one, at = as_object(entry), f"{field}.sources[{index}]"
        kinds = [kind for kind in one if one[kind] is not None]
        for kind in kinds[1:]:
            found.forbidden(f"{at}.{kind}", "may not specify more than 1 volume type per source")
        for kind in ("secret", "configMap"):
            if one.get(kind) is not None:
                if not as_object(one[kind]).get("name"):
                    found.required(f"{at}.{kind}.name")
                _items(f"{at}.{kind}", as_object(one[kind]), found)
        if one.get("downwardAPI") is not None:
            _downward(f"{at}.downwardAPI", as_object(one["downwardAPI"]), found)
        if one.get("serviceAccountToken") is not None:
            token = as_object(one["serviceAccountToken"])
            seconds = token.get("expirationSeconds")
            if isinstance(seconds, int) and seconds < _SHORTEST_TOKEN_S:
                message = "may not specify a duration less than 10 minutes"
                found.invalid(f"{at}.serviceAccountToken.expirationSeconds", seconds, message)
            if not token.get("path"):
                found.required(f"{field}.path")
            else:
                check_local_path(f"{at}.serviceAccountToken.path", token.get("path"), found)


def _nfs(field: str, source: JsonObject, found: Findings) -> None:
    for name in ("server", "path"):
        if not source.get(name):
            found.required(f"{field}.{name}")
    path = as_str(source.get("path"))
    if path and not path.startswith("/"):
        found.invalid(f"{field}.path", path, "must be an absolute path")


def _csi(field: str, source: JsonObject, found: Findings) -> None:
    if not source.get("driver"):
        found.required(f"{field}.driver")


if TYPE_CHECKING:
    from collections.abc import Callable

    _Check = Callable[[str, JsonObject, Findings], None]

_SOURCES: dict[str, _Check] = {
    "configMap": _keyed("name"),
    "csi": _csi,
    "downwardAPI": _downward,
    "emptyDir": _empty_dir,
    "hostPath": _host_path,
    "nfs": _nfs,
    "persistentVolumeClaim": _claim,
    "projected": _projected,
    "secret": _keyed("secretName"),
}
