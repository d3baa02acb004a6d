"""Who is behind an edge device: what the hub tells, to whom it tells it, and what the device keeps."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest

from edge_cloud import HUB, LocalHub, until
from windtunnel_emulators.edge.interface import Refused, Unreachable
from windtunnel_emulators.edge.upstream.place import Signer
from windtunnel_emulators.edge.upstream.rest import Rest
from windtunnel_emulators.edge.upstream.scope import Scope
from windtunnel_emulators.iot.hub.identity import Keys, Who
from windtunnel_emulators.iot.service import identities
from windtunnel_emulators.jsontypes import as_list, as_object

if TYPE_CHECKING:
    from edge_cloud import Cloud, Edge
    from windtunnel_emulators.jsontypes import Json

PATH = ("devices", "edge1", "modules", "$edgeHub", "devicesAndModulesInTargetDeviceScope")


def own(cloud: Cloud, who: Who) -> Signer:
    return Signer(who=who, key=cloud.keys[who])


def scope_of(cloud: Cloud, edge: Edge) -> Scope:
    return Scope(edge.folder / "scope.json", own(cloud, Who("edge1")), Rest(edge.place), edge.clock)


def populate(cloud: Cloud) -> str:
    scope = cloud.add_edge("edge1", "a", "b")
    cloud.add("leaf", scope=scope, parents=(scope,))
    cloud.add("leaf", "inner")
    cloud.add(
        "signed", scope=scope, parents=(scope,), authentication="selfSigned", thumbprints=Keys("A" * 40, ""),
        enabled=False,
    )  # fmt: skip
    other = cloud.add_edge("edge2", "a")
    cloud.add("stranger", scope=other, parents=(other,))
    cloud.add("alone")
    return scope


MEMBERS = {
    "edge1", "edge1/$edgeAgent", "edge1/$edgeHub", "edge1/a", "edge1/b", "leaf", "leaf/inner", "signed",
}  # fmt: skip


async def test_the_scope_is_learned_kept_for_its_owner_alone_and_known_without_a_cloud(
    cloud: Cloud, edge: Edge
) -> None:
    populate(cloud)
    scope = scope_of(cloud, edge)
    assert not list(scope.all())
    await scope.renew()
    edge.link.cut()
    file = edge.folder / "scope.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    again = scope_of(cloud, edge)
    with pytest.raises(Unreachable):
        await again.renew()
    for known in (scope, again):
        assert {str(one.who) for one in known.all()} == MEMBERS
        assert known.keys(Who("leaf", "inner")).primary == cloud.keys[Who("leaf", "inner")]
        signed = known.get(Who("signed"))
        assert signed is not None
        assert (signed.enabled, signed.authentication, signed.thumbprints) == (False, "selfSigned", Keys("A" * 40, ""))
        assert known.get(Who("stranger")) is None
        assert known.keys(Who("stranger")) == Keys("", "")
    assert cloud.keys[Who("leaf")] not in repr(scope.get(Who("leaf"))) + repr(scope.signer(Who("leaf")))


async def test_who_signs_for_whom(cloud: Cloud, edge: Edge) -> None:
    scope_name = populate(cloud)
    cloud.add("x509", scope=scope_name, parents=(scope_name,), authentication="selfSigned")
    identity = cloud.hub.identities.get(Who("x509"))
    assert identity is not None
    cloud.hub.identities.save(identity, Keys("", ""))
    scope = scope_of(cloud, edge)
    await scope.renew()
    for who in (Who("edge1"), Who("edge1", "a"), Who("leaf")):
        assert scope.signer(who) == own(cloud, who)
    assert scope.signer(Who("x509")) == own(cloud, Who("edge1", "$edgeHub"))
    assert scope.signer(Who("signed")) is None
    assert scope.signer(Who("stranger")) is None


async def test_the_answer_comes_in_pages(cloud: Cloud, edge: Edge) -> None:
    populate(cloud)
    signer = own(cloud, Who("edge1", "$edgeHub"))
    seen: list[str] = []
    link: Json = ""
    while True:
        answer = as_object(
            await Rest(edge.place).call(
                "POST", PATH, signer, {"pageSize": 3, "continuationLink": link, "authChain": "edge1"}
            )
        )
        page = [*as_list(answer["devices"]), *as_list(answer["modules"])]
        assert 1 <= len(page) <= 3
        seen += [str(Who(str(as_object(one)["deviceId"]), str(as_object(one).get("moduleId", "")))) for one in page]
        link = answer["continuationLink"]
        if not link:
            break
    assert len(seen) == len(MEMBERS)
    assert set(seen) == MEMBERS


@pytest.mark.parametrize(
    ("who", "path", "body", "status"),
    [
        (Who("edge1"), PATH, {"authChain": "edge1"}, 401),
        (Who("edge1", "a"), PATH, {"authChain": "edge1"}, 401),
        (Who("edge1", "a"), (*PATH[:3], "a", PATH[4]), {"authChain": "edge1"}, 401),
        (Who("edge2", "$edgeHub"), PATH, {"authChain": "edge1"}, 401),
        (Who("edge1", "$edgeHub"), PATH, {"authChain": "edge2;edge1"}, 401),
        (Who("edge1", "$edgeHub"), PATH, {"authChain": "leaf;edge1"}, 401),
        (Who("edge1", "$edgeHub"), PATH, {"authChain": "edge2"}, 401),
        (Who("edge1", "$edgeHub"), PATH, {"authChain": ""}, 401),
        (Who("edge1", "$edgeHub"), PATH, {}, 400),
        (Who("edge1", "$edgeHub"), PATH, {"authChain": "edge1", "pageSize": 1001}, 400),
        (Who("edge1", "$edgeHub"), PATH, {"authChain": "edge1", "continuationLink": "x"}, 400),
    ],
)
async def test_nobody_else_is_told(
    cloud: Cloud, edge: Edge, who: Who, path: tuple[str, ...], body: dict[str, Json], status: int
) -> None:
    populate(cloud)
    with pytest.raises(Refused) as refusal:
        await Rest(edge.place).call("POST", path, own(cloud, who), body)
    assert refusal.value.status == status


async def test_a_nested_edge_is_asked_about_by_its_parent(cloud: Cloud, edge: Edge) -> None:
    scope = cloud.add_edge("edge1")
    cloud.add("below", edge=True, scope=f"{identities.SCOPE}below-1", parents=(scope,))
    answer = as_object(
        await Rest(edge.place).call("POST", PATH, own(cloud, Who("edge1", "$edgeHub")), {"authChain": "below;edge1"})
    )
    assert [as_object(one)["deviceId"] for one in as_list(answer["devices"])] == ["below"]


async def test_changes_in_the_cloud_are_told_once(cloud: Cloud, edge: Edge) -> None:
    populate(cloud)
    scope = scope_of(cloud, edge)
    told: list[None] = []
    scope.listen(lambda: told.append(None))
    await scope.renew()
    await scope.renew()
    assert len(told) == 1
    cloud.hub.identities.remove(Who("leaf"))
    await scope.refresh(Who("leaf"))
    assert scope.get(Who("leaf")) is None
    assert len(told) == 2
    cloud.add("edge1", "new")
    await scope.refresh(Who("leaf"))
    assert scope.get(Who("edge1", "new")) is None, "it was asked about a moment ago"
    await scope.refresh(Who("edge1", "new"))
    assert scope.get(Who("edge1", "new")) is not None


async def test_a_damaged_file_is_replaced(cloud: Cloud, edge: Edge, caplog: pytest.LogCaptureFixture) -> None:
    populate(cloud)
    file = edge.folder / "scope.json"
    file.write_bytes(b'{"members": [')
    scope = scope_of(cloud, edge)
    assert "damaged" in caplog.text
    assert not list(scope.all())
    await scope.renew()
    assert {str(one.who) for one in scope_of(cloud, edge).all()} == MEMBERS


async def test_a_wrong_key_of_the_device_is_a_refusal(cloud: Cloud, edge: Edge) -> None:
    populate(cloud)
    wrong = Signer(who=Who("edge1"), key=cloud.keys[Who("edge2")])
    scope = Scope(edge.folder / "scope.json", wrong, Rest(edge.place), edge.clock)
    with pytest.raises(Refused, match="token is refused"):
        await scope.renew()
    await scope.refresh(Who("edge1", "a"))
    assert HUB
    assert not scope.is_current


async def test_modules_are_made_and_removed_by_the_device_itself(cloud: Cloud, edge: Edge) -> None:
    cloud.add_edge("edge1", "theirs")
    upstream = await edge.reached()
    local = LocalHub()
    upstream.listen(local)
    await edge.registry.agree(["m1", "m2", "theirs"])
    assert set(await edge.registry.modules()) == {"$edgeAgent", "$edgeHub", "m1", "m2", "theirs"}
    made = await edge.registry.module("m1")
    assert edge.scope.keys(Who("edge1", "m1")) == made.keys
    assert made.keys.primary
    assert "identities" in local.events
    assert (await edge.registry.create("m1")).keys == made.keys
    await edge.registry.agree(["m2"])
    assert set(await edge.registry.modules()) == {"$edgeAgent", "$edgeHub", "m2", "theirs"}
    assert edge.scope.get(Who("edge1", "m1")) is None
    await edge.registry.delete("m1")
    edge.link.cut()
    with pytest.raises(Unreachable):
        await edge.registry.agree(["m3"])


async def test_a_call_that_is_on_its_way_when_the_link_is_cut_is_over(cloud: Cloud, edge: Edge) -> None:
    import asyncio

    populate(cloud)
    scope = scope_of(cloud, edge)
    asking = asyncio.ensure_future(scope.renew())
    await until(lambda: edge.link.state()["connections"] == 0 and not asking.done())
    edge.link.cut()
    with pytest.raises(Unreachable):
        await asking
