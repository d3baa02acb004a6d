"""Starting over: everything is deleted as its own provider deletes it, then the rows are emptied."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.arm.calls import planned_removal
from windtunnel_emulators.arm.provider import Call, Caller

if TYPE_CHECKING:
    from windtunnel_emulators.arm.kernel import Kernel


async def reset(kernel: Kernel) -> None:
    """Delete all groups with what is in them, without Azure's waits, then empty the store.

    Nothing may be asked of ARM meanwhile.
    """
    operations = kernel.operations
    await operations.stop()
    with operations.hurried():
        operations.resume()  # what was being removed has to be freed all the same
        call = _nobodys(kernel)
        for group in kernel.groups.list(kernel.subscription):
            if not group.deleting:
                removed = planned_removal(kernel, call, kernel.resources.in_group(group), at_once=False)
                operations.remove_group(group, removed, api_version="")
        await operations.settled()
    kernel.store.clear()


def _nobodys(kernel: Kernel) -> Call:
    """The request of nobody, for providers that look at one."""
    return Call(
        method="DELETE",
        subscription=kernel.subscription,
        group=None,
        id=None,
        parameters={},
        api_version="",
        query={},
        headers={},
        body=None,
        caller=Caller(tenant=kernel.directory.tenant, object_id="", app_id="", name="reset", kind="Application"),
        base_url="",
        now=kernel.clock.now(),
        group_location=None,
    )
