"""Requests about resources: found, authorized, carried out, answered as a value."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from windtunnel_emulators.kubernetes.access.interface import Attributes, SpecialRequest
from windtunnel_emulators.kubernetes.api import bodies, reading, rules
from windtunnel_emulators.kubernetes.api import metadata as meta
from windtunnel_emulators.kubernetes.api.definitions import Definitions
from windtunnel_emulators.kubernetes.api.deleting import Deleting, Deletion, success
from windtunnel_emulators.kubernetes.api.failures import (
    Failure,
    failure,
    forbidden,
    method_not_allowed,
    not_found,
    translated,
    unknown_path,
    unknown_resource,
)
from windtunnel_emulators.kubernetes.api.negotiation import media_type, negotiate
from windtunnel_emulators.kubernetes.api.options import DeleteOptions, delete_options, write_options
from windtunnel_emulators.kubernetes.api.replies import ListReply, ObjectReply, PassedOn, WatchReply
from windtunnel_emulators.kubernetes.api.requests import Target
from windtunnel_emulators.kubernetes.api.scale import scale_of, scaled
from windtunnel_emulators.kubernetes.api.selectors import exact_name
from windtunnel_emulators.kubernetes.api.writing import Write, Writing
from windtunnel_emulators.kubernetes.client.interface import APPLY_PATCH
from windtunnel_emulators.kubernetes.objects.causes import ObjectProblem

if TYPE_CHECKING:
    from windtunnel_emulators.clock import Clock
    from windtunnel_emulators.jsontypes import JsonObject
    from windtunnel_emulators.kubernetes.access.interface import Access, SpecialSubresource, User
    from windtunnel_emulators.kubernetes.api.negotiation import Form
    from windtunnel_emulators.kubernetes.api.registry import Registry
    from windtunnel_emulators.kubernetes.api.replies import Headers, Reply
    from windtunnel_emulators.kubernetes.api.requests import Call
    from windtunnel_emulators.kubernetes.api.served import Served
    from windtunnel_emulators.kubernetes.api.storage import Storage, Stored

_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


def verb_of(call: Call, target: Target) -> str:
    """The verb that RBAC knows a request by. Raises ``Failure`` 405 for a method that is none."""
    if call.method in ("GET", "HEAD"):
        if target.watched or (not target.name and call.flag("watch")):
            return "watch"
        return "get" if target.name else "list"
    verb = _VERBS.get(call.method)
    if verb is None:
        raise method_not_allowed()
    return "deletecollection" if verb == "delete" and not target.name else verb


class Handler:
    """The verbs of one cluster's resources."""

    def __init__(self, registry: Registry, storage: Storage, access: Access, clock: Clock) -> None:
        self._registry = registry
        self._storage = storage
        self._access = access
        self._clock = clock
        self._writing = Writing(storage, access, clock)
        self._deleting = Deleting(storage, access, clock)
        self._definitions = Definitions(storage, registry, clock, self.delete_all)
        self._writing.hooks[rules.DEFINITIONS] = self._definitions.completed

    def start(self) -> None:
        """Serve what is defined."""
        self._definitions.start()

    async def stop(self) -> None:
        await self._definitions.stop()

    async def delete_all(self, served: Served) -> None:
        """Delete every object of a kind, as the server itself."""
        for stored in self._storage.table(served.storage).objects_in(None):
            target = Target(
                group=served.kind.group,
                version=served.kind.version,
                plural=served.kind.plural,
                namespace=stored.key[0],
                name=stored.key[1],
            )
            deletion = Deletion(target=target, served=served, user=self._access.server(), options=DeleteOptions())
            try:
                await self._deleting.delete(deletion)
            except Failure as problem:
                if problem.code != 404:
                    raise

    async def authorize(self, user: User, verb: str, target: Target, selector: str = "") -> None:
        """Raises ``Failure`` 403."""
        served = self._registry.find(target.group, target.version, target.plural)
        name = target.name
        if not name and served is not None and selector:
            name = exact_name(served, selector)
        attributes = Attributes(
            selector=selector,
            verb=verb,
            group=target.group,
            version=target.version,
            resource=target.plural,
            subresource=target.subresource,
            namespace=target.namespace,
            name=name,
        )
        decision = self._access.authorize(user, attributes)
        if not decision.allowed:
            raise denied(user, verb, target, decision.reason)

    async def handle(self, call: Call, target: Target, user: User) -> Reply:
        """Carry out a request. Raises ``Failure``."""
        served = self._registry.find(target.group, target.version, target.plural)
        deprecation = () if served is None else bodies.warning_headers(rules.deprecation(served))
        try:
            try:
                reply = await self._handle(call, target, user)
            except ObjectProblem as problem:
                kind = target.plural if served is None else served.kind.name
                raise translated(problem, target.group, kind, target.name) from problem
        except Failure as refusal:
            refusal.headers = (*deprecation, *refusal.headers)
            raise
        if not deprecation or isinstance(reply, PassedOn):
            return reply
        return replace(reply, headers=(*deprecation, *reply.headers))

    async def _handle(self, call: Call, target: Target, user: User) -> Reply:
        verb = verb_of(call, target)
        await self.authorize(user, verb, target, call.one("fieldSelector"))
        served = self._registry.find(target.group, target.version, target.plural)
        if served is None and not self._registry.has(target.group, target.version):
            raise unknown_path() if target.group not in ("", *self._registry.groups()) else unknown_resource()
        if served is None or (target.namespace and not served.kind.namespaced and target.plural != "namespaces"):
            raise unknown_resource()
        await self._storage.settled()
        special = self._access.special(target.group, target.plural, target.subresource)
        if special is not None and (verb in special.verbs or target.subresource):
            return await self._special(call, target, served, user, verb, special)
        if target.subresource:
            return await self._subresource(call, target, served, user, verb)
        if verb not in served.info.verbs:
            raise method_not_allowed()
        if bool(target.name) == (verb in ("create", "list", "deletecollection")) and not (verb == "watch"):
            raise method_not_allowed()
        if served.kind.namespaced and not target.namespace:
            if target.name:
                raise unknown_resource()
            if verb not in ("list", "watch"):
                raise method_not_allowed()
        if verb == "list":
            return self._list(call, target, served)
        if verb == "watch":
            form = _form(call, listed=False)
            return WatchReply(watch=reading.watch(self._storage, served, target, call), served=served, form=form)
        if verb == "get":
            form = _form(call)
            stored = reading.get(self._storage, served, target, call)
            return self._object(served, stored.object, form)
        if verb == "create":
            return await self._create(call, target, served, user)
        if verb == "update":
            return await self._update(call, target, served, user)
        if verb == "patch":
            return await self._patch(call, target, served, user)
        if verb == "delete":
            return await self._delete(call, target, served, user)
        return await self._delete_collection(call, target, served, user)

    def _object(
        self, served: Served, kept: JsonObject, form: Form, status: int = 200, headers: Headers = ()
    ) -> ObjectReply:
        return ObjectReply(object=served.present(kept), form=form, status=status, served=served, headers=headers)

    def _list(self, call: Call, target: Target, served: Served) -> ListReply:
        return reading.list_objects(self._storage, served, target, call, _form(call, listed=True))

    async def _create(self, call: Call, target: Target, served: Served, user: User) -> Reply:
        form = _form(call)
        if served.custom and self._definitions.terminating(served):
            kind = served.kind
            why = "create not allowed while custom resource definition is terminating"
            raise failure(405, "MethodNotAllowed", why, {"group": kind.group, "kind": kind.plural})
        options = write_options(call, "CreateOptions")
        decoded = bodies.read_object(served, call, options.field_validation)
        write = Write(target=target, served=served, user=user, options=options, operation="Update")
        written = await self._writing.create(write, decoded.object)
        warnings = [*decoded.warnings, *write.warnings]
        return self._object(served, written.object, form, 201, bodies.warning_headers(warnings))

    async def _update(self, call: Call, target: Target, served: Served, user: User) -> Reply:
        form = _form(call)
        options = write_options(call, "UpdateOptions")
        decoded = bodies.read_object(served, call, options.field_validation)
        part = self._access.part(target.group, target.plural, target.subresource) if target.subresource else None
        write = Write(
            target=target,
            served=served,
            user=user,
            options=options,
            operation="Update",
            partial=part is not None,
        )

        def next_state(old: JsonObject) -> JsonObject:
            return decoded.object if part is None else part(old, decoded.object)

        def first_state() -> JsonObject:
            return decoded.object

        create = first_state if rules.created_by_update(served) and not target.subresource else None

        # Without a version the write is not for any particular state.
        unconditional = not meta.text(decoded.object, "resourceVersion")
        written = await self._writing.change(write, next_state, retried=unconditional, create=create)
        status = 201 if written.created else 200
        warnings = [*decoded.warnings, *write.warnings]
        return self._object(served, written.object, form, status, bodies.warning_headers(warnings))

    async def _patch(self, call: Call, target: Target, served: Served, user: User) -> Reply:
        form = _form(call)
        patch = bodies.read_patch(served, call)
        options = write_options(call, "PatchOptions", applied=patch.applied)
        operation = "Apply" if patch.applied else "Update"
        part = self._access.part(target.group, target.plural, target.subresource) if target.subresource else None
        write = Write(
            target=target,
            served=served,
            user=user,
            options=options,
            operation=operation,
            partial=part is not None,
        )
        warnings: list[str] = []
        now = self._clock.now()

        def next_state(old: JsonObject) -> JsonObject:
            warnings.clear()
            made = patch.next_state(old, options, target.subresource, now, warnings)
            return made if part is None else part(old, made)

        def first_state() -> JsonObject:
            warnings.clear()
            return patch.first_state(target, options, now, warnings)

        create = first_state if patch.applied and not target.subresource else None

        written = await self._writing.change(write, next_state, retried=True, create=create)
        status = 201 if written.created else 200
        warnings.extend(write.warnings)
        return self._object(served, written.object, form, status, bodies.warning_headers(warnings))

    async def _delete(self, call: Call, target: Target, served: Served, user: User) -> Reply:
        form = _form(call)
        options = delete_options(call)
        deletion = Deletion(target=target, served=served, user=user, options=options)
        deleted = await self._deleting.delete(deletion)
        headers = bodies.warning_headers(rules.deletion_warnings(served, options))
        if deleted.gone and not rules.returns_deleted(served):
            return ObjectReply(object=success(served, deleted.object), form=form, headers=headers)
        return self._object(served, deleted.object, form, headers=headers)

    async def _delete_collection(self, call: Call, target: Target, served: Served, user: User) -> Reply:
        form = _form(call, listed=True)
        options = delete_options(call)
        listed = reading.list_objects(self._storage, served, target, call, form)
        found: list[Stored] = list(listed.items)
        for stored in found:
            one = replace(target, namespace=stored.key[0] or target.namespace, name=stored.key[1])
            try:
                await self._deleting.delete(Deletion(target=one, served=served, user=user, options=options))
            except Failure as problem:
                if problem.code != 404:  # somebody else has deleted it
                    raise
        metadata: JsonObject = {"resourceVersion": str(self._storage.version)}
        return ListReply(items=found, metadata=metadata, served=served, form=form)

    async def _subresource(self, call: Call, target: Target, served: Served, user: User, verb: str) -> Reply:
        known = {sub.name: sub for sub in served.info.subresources}
        sub = known.get(target.subresource)
        if sub is None:
            # Of custom kinds the real server says it of the object, whether it is there or not.
            raise not_found(served.kind.group, served.kind.plural, target.name) if served.custom else unknown_resource()
        if verb not in sub.verbs:
            raise method_not_allowed()
        if target.subresource == "status":
            if verb == "get":
                stored = reading.get(self._storage, served, target, call)
                return self._object(served, stored.object, _form(call))
            return await (self._update if verb == "update" else self._patch)(call, target, served, user)
        if verb == "get" and sub.kind == served.kind.name:
            stored = reading.get(self._storage, served, target, call)
            return self._object(served, stored.object, _form(call))
        if target.subresource != "scale" and verb in ("update", "patch") and sub.kind == served.kind.name:
            return await (self._update if verb == "update" else self._patch)(call, target, served, user)
        if target.subresource == "scale":
            return await self._scale(call, target, served, user, verb)
        raise unknown_resource()

    async def _special(
        self, call: Call, target: Target, served: Served, user: User, verb: str, special: SpecialSubresource
    ) -> Reply:
        form = _form(call, shapes=False)
        if verb not in special.verbs:
            raise method_not_allowed()
        options = write_options(call, {"create": "CreateOptions", "update": "UpdateOptions"}.get(verb, "PatchOptions"))
        sub = served.info.subresource(target.subresource) if target.subresource else None
        warnings: list[str] = []
        if not target.subresource or (sub is not None and not sub.group and sub.kind == served.kind.name):
            read = bodies.read_object(served, call, options.field_validation)
            body = read.object
            warnings.extend(read.warnings)
        else:
            body = bodies.read_generic(call, target.subresource if sub is None else sub.kind)
        request = SpecialRequest(
            user=user,
            verb=verb,
            group=target.group,
            namespace=target.namespace,
            name=target.name,
            body=body,
            dry_run=options.dry_run,
            warnings=warnings,
        )
        done = await special.handle(request)
        headers = bodies.warning_headers(warnings)
        return ObjectReply(object=done.object, form=form, status=done.code, headers=headers)

    async def _scale(self, call: Call, target: Target, served: Served, user: User, verb: str) -> Reply:
        form = _form(call, shapes=False)
        if verb == "get":
            stored = reading.get(self._storage, served, target, call)
            return ObjectReply(object=scale_of(served, served.present(stored.object)), form=form)
        applied = media_type(call.headers.get("content-type", ""))[0] == APPLY_PATCH
        options = write_options(call, "UpdateOptions" if verb == "update" else "PatchOptions", applied=applied)
        write = Write(target=target, served=served, user=user, options=options, operation="Update", version_free=True)
        sent = bodies.read_generic(call, "Scale") if verb == "update" else None

        def next_state(old: JsonObject) -> JsonObject:
            scale = sent if sent is not None else rules.patched_scale(scale_of(served, old), call)
            return scaled(served, old, scale, target.name)

        written = await self._writing.change(write, next_state, retried=True)
        return ObjectReply(object=scale_of(served, served.present(written.object)), form=form)


def _form(call: Call, *, listed: bool = False, shapes: bool = True) -> Form:
    return negotiate(
        call.headers.get("accept", ""),
        listed=listed,
        shapes=shapes,
        include=call.one("includeObject"),
        pretty=call.one("pretty"),
        agent=call.headers.get("user-agent", ""),
    )


def denied(user: User, verb: str, target: Target, reason: str) -> Failure:
    """The user may not, in the words of the real server."""
    what = f"{target.plural}/{target.subresource}" if target.subresource else target.plural
    where = f' in the namespace "{target.namespace}"' if target.namespace else " at the cluster scope"
    message = f'User "{user.name}" cannot {verb} resource "{what}" in API group "{target.group}"{where}'
    if reason:
        message += f": {reason}"
    return forbidden(target.group, target.plural, target.name, message)
