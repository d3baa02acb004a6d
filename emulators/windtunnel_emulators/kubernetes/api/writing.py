"""Create, update and patch: from the body of a request to a committed object."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from windtunnel_emulators.jsontypes import as_list
from windtunnel_emulators.kubernetes.access.interface import Admission
from windtunnel_emulators.kubernetes.api import metadata as meta
from windtunnel_emulators.kubernetes.api import rules
from windtunnel_emulators.kubernetes.api.failures import (
    already_exists,
    bad_request,
    conflict,
    generate_name_conflict,
    invalid,
    nameless,
    not_found,
)
from windtunnel_emulators.kubernetes.api.reading import key_of
from windtunnel_emulators.kubernetes.api.storage import Changed, Taken

if TYPE_CHECKING:
    from collections.abc import Callable

    from windtunnel_emulators.clock import Clock
    from windtunnel_emulators.jsontypes import JsonObject
    from windtunnel_emulators.kubernetes.access.interface import Access, User
    from windtunnel_emulators.kubernetes.api.options import WriteOptions
    from windtunnel_emulators.kubernetes.api.requests import Target
    from windtunnel_emulators.kubernetes.api.served import Served
    from windtunnel_emulators.kubernetes.api.storage import Storage, Stored

_GENERATED_TRIES = 8
_PATCH_TRIES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """A write as it was asked for."""

    target: Target
    served: Served
    user: User
    options: WriteOptions
    operation: str
    """For ``managedFields``: ``Update`` or ``Apply``."""
    warnings: list[str] = field(default_factory=list[str], compare=False)
    """What the client is to be told; admission adds to it."""
    partial: bool = False
    """``transform`` has kept already what this subresource cannot change."""
    version_free: bool = False
    """The body is no object of the kind: it need not name the version it was made for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What became of it: the object in its storage version."""

    object: JsonObject
    created: bool = False
    deleted: bool = False


class Writing:
    """The writes of one cluster."""

    def __init__(self, storage: Storage, access: Access, clock: Clock) -> None:
        self._storage = storage
        self._access = access
        self._clock = clock
        self.hooks: dict[str, Callable[[JsonObject, JsonObject | None], JsonObject]] = {}
        """By storage: what the server adds to the next state of an object, given the present one."""

    def _completed(self, write: Write, new: JsonObject, old: JsonObject | None) -> JsonObject:
        hook = self.hooks.get(write.served.storage)
        return new if hook is None or write.target.subresource else hook(new, old)

    async def create(self, write: Write, body: JsonObject, *, tracked: bool = False) -> Written:
        """Store a new object; ``body`` is decoded, of the served version. Raises ``Failure``."""
        served, target = write.served, write.target
        kind = served.kind
        namespace = target.namespace if kind.namespaced else ""
        self._check_namespace(body, namespace)
        if meta.text(body, "resourceVersion"):
            # A mistake of the client, which the real server calls 500 without a reason.
            raise nameless("resourceVersion should not be set on objects to be created")
        wanted, prefix = meta.text(body, "name"), meta.text(body, "generateName")
        for attempt in range(_GENERATED_TRIES):
            whole = body
            if not wanted and prefix:
                generated: JsonObject = {**meta.of(body), "name": meta.generated_name(prefix)}
                named: JsonObject = {**body, "metadata": generated}
                whole = named
            try:
                return await self._create(write, whole, namespace, tracked=tracked)
            except Taken:
                name = meta.text(whole, "name")
                if wanted or not prefix:
                    raise already_exists(kind.group, kind.plural, name) from None
                if attempt + 1 == _GENERATED_TRIES:
                    raise generate_name_conflict(kind.group, kind.plural, name) from None
        raise AssertionError("unreachable")

    async def _create(self, write: Write, body: JsonObject, namespace: str, *, tracked: bool) -> Written:
        served, options, now = write.served, write.options, self._clock.now()
        name = meta.text(body, "name")
        whole = rules.defaulted(served, body)
        whole = meta.born(whole, namespace=namespace, now=now, generation=rules.first_generation(served))
        key = (namespace, name)
        table = self._storage.table(served.storage)
        if not tracked:
            whole = rules.tracked(served, whole, None, options.manager, "Update", "", now)
        if key in table.objects:
            # Admission counts and allocates, which is not for objects that cannot be.
            self._check_new(write, self._completed(write, rules.prepared_for_create(served, whole, now), None))
            raise Taken
        whole = await self._access.mutate(self._admission(write, "CREATE", whole, None))
        whole = self._completed(write, rules.prepared_for_create(served, whole, now), None)
        self._check_new(write, whole)
        whole = meta.with_metadata(whole, meta.of(whole))
        await self._access.validate(self._admission(write, "CREATE", whole, None))
        kept = served.keep(whole)
        if options.dry_run:
            if key in table.objects:
                raise Taken
            return Written(object=kept, created=True)
        stored = await self._storage.create(served.storage, key, kept)
        return Written(object=stored.object, created=True)

    def _check_new(self, write: Write, whole: JsonObject) -> None:
        causes = rules.check_create(write.served, whole)
        if causes:
            kind = write.served.kind
            raise invalid(kind.group, kind.name, meta.text(whole, "name"), causes)

    async def change(
        self,
        write: Write,
        transform: Callable[[JsonObject], JsonObject],
        *,
        retried: bool,
        create: Callable[[], JsonObject] | None = None,
    ) -> Written:
        """Store the next state of an object, which ``transform`` makes of the present one (both of the served version).

        ``retried``: what was made for a state that another write has replaced is made again. ``create`` makes the
        object when there is none. Raises ``Failure``.
        """
        served, target = write.served, write.target
        kind = served.kind
        tries = _PATCH_TRIES if retried else 1
        for attempt in range(10 * tries):
            current = self._storage.table(served.storage).objects.get(key_of(served, target))
            if current is None:
                if create is None:
                    raise not_found(kind.group, kind.plural, target.name)
                try:
                    return await self._create(write, create(), key_of(served, target)[0], tracked=True)
                except Taken:
                    continue
            try:
                return await self._change(write, current, transform)
            except Changed:
                if attempt + 1 >= tries and not retried:
                    raise conflict(kind.group, kind.plural, target.name) from None
        raise conflict(kind.group, kind.plural, target.name)

    async def _change(self, write: Write, current: Stored, transform: Callable[[JsonObject], JsonObject]) -> Written:
        served, target, options, now = write.served, write.target, write.options, self._clock.now()
        kind = served.kind
        old = served.present(current.object)
        new = transform(old)
        self._check_identity(write, current, new)
        whole = rules.defaulted(served, new)
        whole = meta.carried(old, whole, namespace=current.key[0])
        if write.operation != "Apply":
            whole = rules.tracked(served, whole, old, options.manager, "Update", target.subresource, now)
        whole = await self._access.mutate(self._admission(write, "UPDATE", whole, old))
        if not write.partial:
            whole = rules.prepared_for_update(served, whole, old, target.subresource)
        whole = rules.with_generation(served, whole, old, target.subresource)
        whole = self._completed(write, whole, old)
        causes = rules.check_update(served, old, whole, target.subresource)
        if causes:
            raise invalid(kind.group, kind.name, target.name, causes)
        whole = meta.with_metadata(whole, meta.of(whole))
        await self._access.validate(self._admission(write, "UPDATE", whole, old))
        kept = served.keep(whole)
        if rules.unchanged(current.object, kept):
            return Written(object=current.object)
        if options.dry_run:
            return Written(object=kept)
        if self._is_finished(kept):
            last = await self._storage.remove(served.storage, current, kept)
            # The answer has the version that the object had, not that of its deletion.
            shown = {**meta.of(last.object), "resourceVersion": str(current.version)}
            return Written(object=meta.with_metadata(last.object, shown), deleted=True)
        stored = await self._storage.replace(served.storage, current, kept)
        return Written(object=stored.object)

    def _is_finished(self, whole: JsonObject) -> bool:
        """Whether the object waits for nothing but its last finalizer, which is gone."""
        found = meta.of(whole)
        return (
            bool(found.get("deletionTimestamp"))
            and not as_list(found.get("finalizers"))
            and not found.get("deletionGracePeriodSeconds")
            and not rules.spec_finalizers(whole)
        )

    def _admission(self, write: Write, operation: str, new: JsonObject, old: JsonObject | None) -> Admission:
        return Admission(
            kind=write.served.kind,
            subresource=write.target.subresource,
            namespace=write.target.namespace,
            name=meta.text(new, "name"),
            operation=operation,
            object=new,
            old=old,
            user=write.user,
            dry_run=write.options.dry_run,
            warnings=write.warnings,
        )

    def _check_namespace(self, body: JsonObject, namespace: str) -> None:
        said = meta.text(body, "namespace")
        if said and said != namespace:
            raise bad_request("the namespace of the provided object does not match the namespace sent on the request")

    def _check_identity(self, write: Write, current: Stored, new: JsonObject) -> None:
        served, target = write.served, write.target
        kind = served.kind
        name = meta.text(new, "name")
        if not name:
            why = f"the name of the object ({target.name} based on URL) was undeterminable: name must be provided"
            raise bad_request(why)
        if name != target.name:
            raise bad_request(f"the name of the object ({name}) does not match the name on the URL ({target.name})")
        self._check_namespace(new, current.key[0])
        version = meta.text(new, "resourceVersion")
        if version and version != "0" and version != str(current.version):
            raise conflict(kind.group, kind.plural, name)
        if not version and write.operation == "Update" and not write.version_free and rules.needs_version(served):
            cause: JsonObject = {
                "reason": "FieldValueInvalid",
                "message": "Invalid value: 0: must be specified for an update",
                "field": "metadata.resourceVersion",
            }
            raise invalid(kind.group, kind.plural, name, [cause])
        uid, known = meta.text(new, "uid"), meta.text(current.object, "uid")
        if uid and uid != known:
            place = "/".join(part for part in (served.storage.partition(".")[0], *current.key) if part)
            why = (
                f"StorageError: invalid object, Code: 4, Key: /registry/{place}, ResourceVersion: 0,"
                f" AdditionalErrorMsg: Precondition failed: UID in precondition: {uid}, UID in object meta: {known}"
            )
            raise conflict(kind.group, kind.plural, name, why)
