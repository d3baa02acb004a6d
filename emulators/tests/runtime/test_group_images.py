"""Images that cannot be had: the group waits and tries again, or fails for good, as its plan says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.runtime.plan import ContainerPlan, GroupPlan, RestartPolicy

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.runtime.conftest import Stage

ALWAYS = RestartPolicy.ALWAYS


async def test_a_missing_image_is_tried_again_with_a_growing_wait(
    stage: Stage, one_container: Callable[..., GroupPlan]
) -> None:
    stage.runtime.missing.add("image")
    group = await stage.run(one_container(ALWAYS))
    for tries, wait in enumerate((10, 20, 40, 80, 160, 300, 300), start=1):
        assert len(stage.runtime.pulled) == tries
        assert group.status.state.value == "Pending"
        assert group.status.containers[0].state.detail == 'ImagePullBackOff: Back-off pulling image "image"'
        await stage.clock.advance(wait)
        await stage.settle()
    found = {e.name: (e.count, e.type, e.message) for e in group.status.containers[0].events}
    assert found["Failed"] == (8, "Warning", 'Failed to pull image "image": there is no such image')
    assert found["BackOff"] == (8, "Warning", 'Back-off pulling image "image"')
    stage.runtime.missing.clear()
    await stage.clock.advance(300)
    await stage.settle()
    assert group.status.state.value == "Running"
    assert group.status.containers[0].restarts == 0


async def test_a_wait_for_an_image_shows_first_why(stage: Stage, one_container: Callable[..., GroupPlan]) -> None:
    stage.runtime.missing.add("image")
    group = await stage.run(one_container(ALWAYS, pull_attempts=1))
    assert group.status.containers[0].state.detail == "ErrImagePull: there is no such image"


async def test_after_the_last_attempt_the_group_has_failed(stage: Stage) -> None:
    containers = (ContainerPlan(name="good", image="good"), ContainerPlan(name="bad", image="bad"))
    stage.runtime.missing.add("bad")
    group = await stage.run(GroupPlan(owner="g", containers=containers, pull_attempts=2))
    assert group.status.state.value == "Pending"
    await stage.clock.advance(10)
    await stage.settle()
    failed = group.status
    assert (failed.state.value, failed.refused) == ("Failed", "there is no such image")
    assert not any(container.running for container in stage.runtime.started)
    stage.runtime.missing.clear()
    await group.start()
    await stage.settle()
    assert group.status.state.value == "Running"
    assert group.status.refused is None


async def test_stop_ends_the_wait_for_an_image(stage: Stage, one_container: Callable[..., GroupPlan]) -> None:
    stage.runtime.missing.add("image")
    group = await stage.run(one_container(ALWAYS))
    await group.stop()
    assert group.status.state.value == "Stopped"
    await stage.clock.advance(1_000)
    assert len(stage.runtime.pulled) == 1
