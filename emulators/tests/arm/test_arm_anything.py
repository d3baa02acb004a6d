"""Whatever is sent to ARM, the answer is ARM's, is never a 500, and a refusal leaves the store as it was."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import HealthCheck, event, example, given, settings
from hypothesis import strategies as st

from windtunnel_emulators.store import Store

if TYPE_CHECKING:
    from tests.arm.conftest import Answer, Door, Open

SUBSCRIPTION = "5b5b5b5b-0000-4000-8000-000000000001"

segments = st.one_of(
    st.sampled_from(
        [
            "subscriptions",
            SUBSCRIPTION,
            "resourceGroups",
            "RESOURCEGROUPS",
            "g",
            "providers",
            "Fake.Things",
            "Microsoft.Resources",
            "Microsoft.Authorization",
            "things",
            "t",
            "parts",
            "p",
            "poke",
            "again",
            "tags",
            "default",
            "tagNames",
            "resources",
            "operations",
            "operationresults",
            "locations",
            "westus2",
            "deployments",
            "register",
            "",
            "%2e%2e",
            "..",
            "%00",
            "%ff",
            "%",
            "a%2Fb",
        ]
    ),
    st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="?#/"), max_size=12),
    st.text(max_size=6).map(lambda text: "".join(f"%{byte:02x}" for byte in text.encode("utf-8", "surrogatepass"))),
)
known = st.sampled_from(
    [
        "/resourceGroups/g",
        "/resourceGroups/new",
        "/resourceGroups",
        "/resources",
        "/resourceGroups/g/resources",
        "/resourceGroups/g/providers/Fake.Things/things",
        "/resourceGroups/g/providers/Fake.Things/things/t",
        "/resourceGroups/g/providers/Fake.Things/things/new",
        "/resourceGroups/g/providers/Fake.Things/things/t/parts/p",
        "/resourceGroups/g/providers/Fake.Things/things/t/again",
        "/resourceGroups/g/providers/Fake.Things/things/t/providers/Microsoft.Resources/tags/default",
        "/providers/Microsoft.Resources/tags/default",
        "/providers/Fake.Things/unregister",
        "/providers/Fake.Things/register",
        "/tagNames/n",
        "/tagNames/n/tagValues/v",
    ]
).map(lambda path: f"/subscriptions/{SUBSCRIPTION}{path}")
paths = st.one_of(
    st.lists(segments, max_size=12).map(lambda parts: "/" + "/".join(parts)),
    st.tuples(known, st.lists(segments, max_size=3)).map(lambda both: "/".join([both[0], *both[1]])),
    known,
)
scalars: st.SearchStrategy[Any] = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text()
)
anything: st.SearchStrategy[Any] = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(), inner, max_size=4)),
    max_leaves=8,
)
fields: dict[str, st.SearchStrategy[Any]] = {
    "location": st.one_of(st.sampled_from(["westus2", "East US", "mars"]), anything),
    "tags": st.one_of(st.dictionaries(st.text(max_size=5), st.one_of(st.text(max_size=5), scalars)), anything),
    "properties": st.one_of(
        st.fixed_dictionaries(
            {},
            optional={
                "work": st.sampled_from(["run", "fail", "nonsense"]),
                "slow": st.booleans(),
                "held": st.booleans(),
                "tags": anything,
            },
        ),
        anything,
    ),
    "operation": anything,
    "managedBy": anything,
}
bodies = st.one_of(
    st.binary(max_size=64),
    anything.map(msgspec.json.encode),
    st.fixed_dictionaries({}, optional=fields).map(msgspec.json.encode),
)
queries = st.one_of(
    *[st.sampled_from(["api-version=2024-01-01", "api-version=2024-11-01", "API-VERSION=2024-11-01"])] * 4,
    st.just("&".join(["api-version=2024-11-01"] * 200)),
    st.binary(max_size=20).map(lambda raw: raw.decode("latin-1")),
    st.tuples(
        st.sampled_from(["$filter", "$top", "$skiptoken", "$expand", "x"]), st.text(st.characters(max_codepoint=126))
    ).map(lambda both: f"api-version=2024-11-01&{both[0]}={both[1]}"),
)
methods = st.sampled_from(["GET", "HEAD", "PUT", "PATCH", "POST", "DELETE", "OPTIONS", "PROPFIND"])
hosts = st.sampled_from(["localhost:4580", "127.0.0.1", "[::1]:1", "a" * 300, "", "é", "x y"])
requests = st.tuples(methods, paths, queries, bodies, hosts)


def check(answer: Answer, method: str) -> None:
    """An answer is ARM's."""
    assert 200 <= answer.status < 500 or answer.status == 501, answer
    assert answer.headers["x-ms-request-id"]
    if answer.status >= 400 and method != "HEAD" and answer.content:
        error = answer.body["error"]
        assert error["code"]
        assert error["message"]
    if answer.content:
        assert answer.headers["content-type"] == "application/json; charset=utf-8"
        assert b":null" not in answer.content


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(requests, min_size=1, max_size=12))
@example([("PUT", f"/subscriptions/{SUBSCRIPTION}/resourceGroups/new", "api-version=2024-11-01", b"{}", "localhost")])
def test_nothing_that_is_sent_is_answered_with_a_500(
    opened: Open, caplog: pytest.LogCaptureFixture, sent: list[tuple[str, str, str, bytes, str]]
) -> None:
    async def play() -> None:
        store = Store(None)
        async with opened(store) as door:
            await door.group()
            await door.thing(slow=True)
            for method, path, query, body, host in sent:
                await one(door, method, path, query, body, host)
        store.close()

    async def one(door: Door, method: str, path: str, query: str, body: bytes, host: str) -> None:
        # What is in progress is let go first, so that a refusal is alone with the store.
        await asyncio.sleep(0)
        for name in ("t", "new", "p"):
            door.service.finish(name)
        await door.kernel.operations.settled()
        before = door.everything()
        raw = path.encode("ascii", "replace")
        answer = await door.raw(method, raw, query.encode("latin-1", "replace"), (body,), {"host": host})
        event(f"{method} {answer.status}")
        check(answer, method)
        if answer.status >= 400:
            assert door.everything() == before
        for name in ("azure-asyncoperation", "location"):
            if name in answer.headers:
                assert answer.headers[name].startswith("https://")

    with caplog.at_level(logging.ERROR):
        asyncio.run(play())
    assert not caplog.records


@pytest.mark.parametrize("value", [0, -1, 2**63, 2**64, 2**200, -(2**70), 1e308, 5e-324])
async def test_numbers_of_any_size_come_back(door: Door, value: Any) -> None:
    answer = await door.call(
        "PUT",
        "/resourceGroups/g/providers/Fake.Things/things/t",
        msgspec.json.encode({"location": "eastus", "properties": {"n": value}}),
    )
    assert answer.body["properties"]["n"] == value
