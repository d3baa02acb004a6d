"""What Azure tells of repositories, manifests and tags beyond the OCI API: times, sizes, attributes.

The JSON is that of Azure's registry API (``/acr/v1``), as the Azure CLI and azure-containerregistry read it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.registry.attributes import LIST, change_attributes, show_attributes
from windtunnel_emulators.registry.errors import RegistryError, manifest_unknown, name_unknown, tag_unknown
from windtunnel_emulators.registry.rows import integer, text

if TYPE_CHECKING:
    from windtunnel_emulators.jsontypes import Json, JsonObject
    from windtunnel_emulators.registry.content import Content
    from windtunnel_emulators.store import SqlValue

_MANIFEST = (
    "SELECT digest, content_size, created, updated, architecture, os, media_type, config_media_type, attributes,"
    " length(body) FROM registry_manifests WHERE registry = ? AND repository = ?"
)
_TAG = "SELECT tag, digest, created, updated, attributes FROM registry_tags WHERE registry = ? AND repository = ?"
_ORDERS = {
    # What the API's ``orderby`` may be; without one, by name.
    "timedesc": "updated DESC, {name} DESC",
    "timeasc": "updated, {name}",
    "none": "{name}",
    "": "{name}",
}


class Inventory:
    """Descriptions of what ``Content`` holds."""

    def __init__(self, content: Content) -> None:
        self._content = content
        self._store = content.store

    def repositories(self, registry: str, *, last: str = "", limit: int = -1) -> list[str]:
        """Names in order, from after ``last`` on, without those that are not to be listed."""
        rows = self._store.rows(
            "SELECT name FROM registry_repositories WHERE registry = ? AND name > ? AND attributes & ?"
            " ORDER BY name LIMIT ?",
            (registry, last, LIST, limit),
        )
        return [text(name) for (name,) in rows]

    def repository(self, registry: str, name: str) -> JsonObject | None:
        """One repository; None when it is not there."""
        row = self._store.row(
            "SELECT created, updated, attributes,"
            " (SELECT count(*) FROM registry_manifests WHERE registry = ?1 AND repository = ?2),"
            " (SELECT count(*) FROM registry_tags WHERE registry = ?1 AND repository = ?2)"
            " FROM registry_repositories WHERE registry = ?1 AND name = ?2",
            (registry, name),
        )
        if row is None:
            return None
        created, updated, attributes, manifests, tags = row
        return {
            "imageName": name,
            "createdTime": created if isinstance(created, str) else None,
            "lastUpdateTime": updated if isinstance(updated, str) else None,
            "manifestCount": integer(manifests),
            "tagCount": integer(tags),
            "changeableAttributes": show_attributes(integer(attributes)),
        }

    def tags(
        self, registry: str, name: str, *, digest: str = "", last: str = "", limit: int = -1, order: str = ""
    ) -> list[JsonObject]:
        """Tags of a repository. ``last`` is the name of the one before. Raises UNSUPPORTED for an unknown order."""
        rows = self._page(_TAG + " AND attributes & ?", (registry, name, LIST), "tag", last, limit, order, digest)
        return [_tag(row) for row in rows]

    def tag(self, registry: str, name: str, tag: str) -> JsonObject:
        """Raises TAG_UNKNOWN."""
        row = self._store.row(_TAG + " AND tag = ?", (registry, name, tag))
        if row is None:
            raise tag_unknown(name, tag)
        return _tag(row)

    def manifests(
        self, registry: str, name: str, *, last: str = "", limit: int = -1, order: str = ""
    ) -> list[JsonObject]:
        """Manifests of a repository, like ``tags``; ``last`` is a digest."""
        rows = self._page(_MANIFEST + " AND attributes & ?", (registry, name, LIST), "digest", last, limit, order, "")
        return [self._manifest(registry, name, row) for row in rows]

    def manifest(self, registry: str, name: str, reference: str) -> JsonObject:
        """By digest or tag. Raises MANIFEST_UNKNOWN."""
        digest = self._content.resolve(registry, name, reference)
        row = self._store.row(_MANIFEST + " AND digest = ?", (registry, name, digest))
        if row is None:
            raise manifest_unknown(name, reference)
        return self._manifest(registry, name, row)

    def change_repository(self, registry: str, name: str, wanted: Json) -> None:
        """Change attributes. Raises NAME_UNKNOWN, and UNSUPPORTED for a body that is none."""
        self._change("registry_repositories", "registry = ? AND name = ?", (registry, name), wanted, name_unknown(name))

    def change_tag(self, registry: str, name: str, tag: str, wanted: Json) -> None:
        """Raises TAG_UNKNOWN."""
        where = "registry = ? AND repository = ? AND tag = ?"
        self._change("registry_tags", where, (registry, name, tag), wanted, tag_unknown(name, tag))

    def change_manifest(self, registry: str, name: str, digest: str, wanted: Json) -> None:
        """Raises MANIFEST_UNKNOWN."""
        where = "registry = ? AND repository = ? AND digest = ?"
        self._change("registry_manifests", where, (registry, name, digest), wanted, manifest_unknown(name, digest))

    def _change(self, table: str, where: str, key: tuple[SqlValue, ...], wanted: Json, unknown: RegistryError) -> None:
        row = self._store.row(f"SELECT attributes FROM {table} WHERE {where}", key)  # noqa: S608
        if row is None:
            raise unknown
        try:
            bits = change_attributes(integer(row[0]), wanted)
        except ValueError as error:
            raise RegistryError(400, "UNSUPPORTED", str(error)) from error
        self._store.execute(f"UPDATE {table} SET attributes = ? WHERE {where}", (bits, *key))  # noqa: S608

    def _page(
        self, sql: str, key: tuple[SqlValue, ...], column: str, last: str, limit: int, order: str, digest: str
    ) -> list[tuple[SqlValue, ...]]:
        ordering = _ORDERS.get(order.lower())
        if ordering is None:
            raise RegistryError(
                400, "UNSUPPORTED", f"orderby {order[:40]!r} is none of timeasc, timedesc, none", detail=order[:40]
            )
        values = list(key)
        if digest:
            sql += " AND digest = ?"
            values.append(digest)
        rows = self._store.rows(f"{sql} ORDER BY {ordering.format(name=column)}", values)
        if last:
            names = [row[0] for row in rows]
            # One that is gone meanwhile still has its place in an order by name.
            start = names.index(last) + 1 if last in names else sum(text(name) <= last for name in names)
            rows = rows[start:]
        return rows if limit < 0 else rows[:limit]

    def _manifest(self, registry: str, name: str, row: tuple[SqlValue, ...]) -> JsonObject:
        digest, size, created, updated, architecture, system, media_type, config_type, attributes, own_size = row
        tags = self._store.rows(
            "SELECT tag FROM registry_tags WHERE registry = ? AND repository = ? AND digest = ? ORDER BY tag",
            (registry, name, digest),
        )
        found: JsonObject = {
            "digest": text(digest),
            "imageSize": integer(size) + integer(own_size),
            "createdTime": text(created),
            "lastUpdateTime": text(updated),
            "mediaType": text(media_type),
        }
        optional = {"architecture": architecture, "os": system, "configMediaType": config_type}
        found |= {key: value for key, value in optional.items() if isinstance(value, str)}
        if tags:
            found["tags"] = [text(tag) for (tag,) in tags]
        found["changeableAttributes"] = show_attributes(integer(attributes))
        return found


def _tag(row: tuple[SqlValue, ...]) -> JsonObject:
    tag, digest, created, updated, attributes = row
    return {
        "name": text(tag),
        "digest": text(digest),
        "createdTime": text(created),
        "lastUpdateTime": text(updated),
        "signed": False,
        "changeableAttributes": show_attributes(integer(attributes)),
    }
