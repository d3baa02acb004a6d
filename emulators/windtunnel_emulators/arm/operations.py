"""Long-running operations: stored before they are announced, run one at a time per resource, run again after a crash.

A piece of work is a verb of the resource's type. The resource as it is to become and its operation are written in one
transaction; then the work runs as a task of its own. Whatever ends it (success, refusal, a defect, cancellation) is
written the same way. What is in progress when the process ends is run again by the next one.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from windtunnel_emulators.arm.errors import ArmError
from windtunnel_emulators.arm.journal import CANCELED, FAILED, GROUP_TYPE, SUCCEEDED, Journal, StoredOperation

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Sequence

    from windtunnel_emulators.arm.catalogue import Catalogue
    from windtunnel_emulators.arm.groups import Group, Groups
    from windtunnel_emulators.arm.journal import Removed
    from windtunnel_emulators.arm.provider import Resource
    from windtunnel_emulators.arm.resources import Resources
    from windtunnel_emulators.clock import Clock, Pace
    from windtunnel_emulators.store import Store

_PRUNE_EVERY = 100  # operations begun
_log = logging.getLogger(__name__)


class Operations:
    """The work in progress, and the record of what was done."""

    def __init__(
        self,
        *,
        store: Store,
        resources: Resources,
        groups: Groups,
        catalogue: Catalogue,
        clock: Clock,
        pace: Pace,
    ) -> None:
        self._store = store
        self._resources = resources
        self._groups = groups
        self._catalogue = catalogue
        self._clock = clock
        self._pace = pace
        self._journal = Journal(store)
        self._running: dict[str, asyncio.Task[None]] = {}  # by key of the target
        self._begun = 0
        self._hurried = False

    def get(self, id: str) -> StoredOperation | None:
        """An operation of the last day; None when there is none."""
        return self._journal.get(id)

    def begin(self, resource: Resource, verb: str, *, api_version: str = "") -> StoredOperation:
        """Save a resource and start a work on it. Raises ``ArmError`` 409 while other work goes on."""
        with self._store.transaction():
            current = self._resources.get(resource.id)
            if current is not None and current.busy is not None:
                raise another_operation(current)
            self._resources.save(resource)
            operation = self._add(
                StoredOperation(
                    id=str(uuid.uuid4()),
                    target=resource.id.key,
                    target_id=str(resource.id),
                    type=resource.id.type,
                    verb=verb,
                    location=resource.location or "",
                    api_version=api_version,
                    started=self._clock.now(),
                )
            )
            self._resources.set_busy(resource.id, operation.id, verb)
        self._start(operation)
        return operation

    def remove(
        self, resource: Resource, removed: Sequence[Removed], *, verb: str, at_once: bool, api_version: str = ""
    ) -> StoredOperation:
        """Take a resource away, and what is nested in it: at once or when the work that frees them is done."""
        with self._store.transaction():
            operation = self._add(
                StoredOperation(
                    id=str(uuid.uuid4()),
                    target=resource.id.key,
                    target_id=str(resource.id),
                    type=resource.id.type,
                    verb=verb,
                    removal=tuple(removed),
                    location=resource.location or "",
                    api_version=api_version,
                    started=self._clock.now(),
                )
            )
            self._cancel_rows(removed)
            if at_once:
                self._resources.remove(resource.id)
            else:
                for one in removed:
                    self._resources.set_busy(one.id, operation.id, verb)
        self._start(operation)
        return operation

    def remove_group(self, group: Group, removed: Sequence[Removed], *, api_version: str) -> StoredOperation:
        """Delete a group with all that is in it; the group is there, and takes nothing new, until that is done."""
        with self._store.transaction():
            operation = self._add(
                StoredOperation(
                    id=str(uuid.uuid4()),
                    target=group.key,
                    target_id=group.id,
                    type=GROUP_TYPE,
                    verb="delete",
                    removal=tuple(removed),
                    location=group.location,
                    api_version=api_version,
                    started=self._clock.now(),
                )
            )
            self._cancel_rows(removed)
            self._groups.save(replace(group, deleting=True))
            for one in removed:
                self._resources.set_busy(one.id, operation.id, "delete")
        self._start(operation)
        return operation

    def deleting(self, group: Group) -> StoredOperation | None:
        """The deletion of a group that is going on; None when there is none."""
        return next((o for o in self._journal.in_progress() if o.target == group.key), None)

    def resume(self) -> None:
        """Run again what was in progress when the process before this one ended."""
        self._journal.prune(self._clock.now())
        for operation in self._journal.in_progress():
            _log.info("resumed: operation %s, %s of %s", operation.id, operation.verb, operation.target_id)
            self._start(operation)

    def latest(self, most: int) -> list[StoredOperation]:
        """The last operations, newest first."""
        return self._journal.latest(most)

    @contextmanager
    def hurried(self) -> Generator[None]:
        """Within it, work that begins does not wait as long as Azure takes."""
        self._hurried = True
        try:
            yield
        finally:
            self._hurried = False

    async def settled(self) -> None:
        """Wait until nothing is in progress."""
        while self._running:
            await asyncio.wait(list(self._running.values()))

    async def stop(self) -> None:
        """Interrupt all work; it stays in progress in the store and is run again by the next process."""
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._running.clear()

    # How work runs

    def _add(self, operation: StoredOperation) -> StoredOperation:
        self._journal.add(operation)
        self._begun += 1
        if self._begun % _PRUNE_EVERY == 0:
            self._journal.prune(self._clock.now())
        return operation

    def _cancel_rows(self, removed: Iterable[Removed]) -> None:
        for one in removed:
            earlier = self._resources.operation_in_progress(one.id)
            if earlier is not None:
                self._journal.end(earlier.id, CANCELED, self._clock.now())

    def _start(self, operation: StoredOperation) -> None:
        """Run an operation after whatever still runs on its target; a removal interrupts that."""
        before: list[asyncio.Task[None]] = []
        targets = {operation.target, *(one.id.key for one in operation.removal or ())}
        below = operation.target + "/"
        for key, task in list(self._running.items()):
            if key in targets or (operation.removal is not None and key.startswith(below)):
                before.append(task)
                earlier = self._journal.get(task.get_name())
                if operation.removal is not None and (earlier is None or earlier.removal is None):
                    task.cancel()
        task = asyncio.get_running_loop().create_task(self._run(operation.id, before), name=operation.id)
        self._running[operation.target] = task
        task.add_done_callback(lambda done: self._ended(operation.target, done))

    def _ended(self, target: str, task: asyncio.Task[None]) -> None:
        if self._running.get(target) is task:
            del self._running[target]
        if not task.cancelled() and (problem := task.exception()) is not None:
            # Only the store can have failed here: what a provider raises is caught where it is run.
            _log.error("operation %s could not be recorded", task.get_name(), exc_info=problem)

    async def _run(self, id: str, before: list[asyncio.Task[None]]) -> None:
        if before:
            await asyncio.wait(before)
        operation = self._journal.get(id)
        if operation is None or operation.ended is not None:
            return  # its transaction was undone, or it was cancelled before it began
        passed = (self._clock.now() - operation.started).total_seconds()
        remaining = self._pace.duration(operation.type, operation.verb) - passed
        if remaining > 0 and not self._hurried:
            await self._clock.sleep(remaining)
        if operation.removal is None:
            problem = await self._change(operation)
        else:
            problem = await self._removal(operation, operation.removal)
        now = self._clock.now()
        _log.info(
            "operation %s: %s of %s %s after %.3f s%s",
            id,
            operation.verb,
            operation.target_id,
            SUCCEEDED if problem is None else FAILED,
            (now - operation.started).total_seconds(),
            "" if problem is None else f" ({problem.code}: {problem.message})",
        )

    async def _change(self, operation: StoredOperation) -> ArmError | None:
        kind = self._catalogue.kind(operation.type)
        given = self._resources.get(operation.target)
        result: Resource | None = None
        problem: ArmError | None = None
        if kind is None or operation.verb not in kind.type.works:
            problem = ArmError(
                500, "InternalServerError", f"This release does not know the work {operation.verb} of {operation.type}."
            )
        elif given is None:
            problem = ArmError(404, "ResourceNotFound", f"The Resource '{operation.target_id}' was not found.")
        else:
            try:
                result = await kind.type.works[operation.verb](given, kind.service)
            except ArmError as refused:
                problem = refused
            except Exception:
                problem = _defect(operation)
        with self._store.transaction():
            current = self._resources.get(operation.target)
            if current is not None and given is not None:
                if problem is not None and kind is not None and kind.type.failed is not None:
                    result = kind.type.failed(current, problem)
                if result is not None:
                    self._resources.save(_merged(given, result, current))
                self._resources.set_busy(current.id, None, None)
            self._journal.end(operation.id, SUCCEEDED if problem is None else FAILED, self._clock.now(), problem)
        return problem

    async def _removal(self, operation: StoredOperation, removed: Sequence[Removed]) -> ArmError | None:
        problem: ArmError | None = None
        # What is nested goes before what it is nested in; what stands side by side goes together.
        for depth in sorted({len(one.id.types) for one in removed}, reverse=True):
            level = [one for one in removed if len(one.id.types) == depth]
            problems = await asyncio.gather(*(self._remove_one(operation, one) for one in level))
            problem = next((p for p in problems if p is not None), None)
            if problem is not None:
                break
        with self._store.transaction():
            if problem is not None:
                self._give_back(operation, removed, problem)
            group = self._groups.at(operation.target) if operation.type == GROUP_TYPE else None
            if group is not None and problem is not None:
                self._groups.save(replace(group, deleting=False))
            elif group is not None:
                for resource in self._resources.in_group(group):  # what a service added meanwhile
                    self._resources.remove(resource.id)
                self._groups.remove(group)
            self._journal.end(operation.id, SUCCEEDED if problem is None else FAILED, self._clock.now(), problem)
        return problem

    async def _remove_one(self, operation: StoredOperation, one: Removed) -> ArmError | None:
        key = one.id.key
        resource = one.resource or self._resources.get(key)
        if resource is None:
            return None  # done before a restart
        kind = self._catalogue.kind(one.id.type)
        if kind is not None and one.verb is not None:
            try:
                await kind.type.works[one.verb](resource, kind.service)
            except ArmError as refused:
                return refused
            except Exception:
                return _defect(operation)
        if one.resource is None:
            self._resources.remove(key)
        return None

    def _give_back(self, operation: StoredOperation, removed: Sequence[Removed], problem: ArmError) -> None:
        """Free what a failed removal has left."""
        for one in removed:
            if self._resources.held_by(one.id.key) != operation.id:
                continue
            current = self._resources.get(one.id)
            kind = self._catalogue.kind(one.id.type)
            if current is not None and kind is not None and kind.type.failed is not None:
                self._resources.save(kind.type.failed(current, problem))
            self._resources.set_busy(one.id, None, None)


def another_operation(resource: Resource) -> ArmError:
    """ARM's own refusal of a second change while one is going on."""
    return ArmError(
        409,
        "AnotherOperationInProgress",
        f"Another operation ({resource.busy}) on '{resource.id.type_and_name}' is in progress."
        " Wait for it to finish before starting a new operation.",
    )


def _merged(given: Resource, result: Resource, current: Resource) -> Resource:
    """What a work made of a resource, without undoing what others changed while it ran and it left alone."""
    return replace(
        result,
        state=current.state if result.state is given.state else result.state,
        tags=current.tags if result.tags is given.tags else result.tags,
    )


def _defect(operation: StoredOperation) -> ArmError:
    """An error that no provider foresaw: logged whole, answered with where to look."""
    _log.exception("operation %s: %s of %s failed unexpectedly", operation.id, operation.verb, operation.target_id)
    return ArmError(
        500,
        "InternalServerError",
        f"The operation failed unexpectedly; the emulators' log has the reason under {operation.id}.",
    )
