"""``POST /devices/query``: pages, item types, refusals; and a fleet that changes between two pages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

if TYPE_CHECKING:
    from iot_api import Api


async def page(
    api: Api, query: str, *, most: int | None = None, token: str | None = None
) -> tuple[list[Any], str | None, str]:
    """Rows, what continues the query, and the type of the rows."""
    headers = {} if most is None else {"x-ms-max-item-count": str(most)}
    if token is not None:
        headers["x-ms-continuation"] = token
    answer = await api.client.post("/devices/query", json={"query": query}, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json(), answer.headers.get("x-ms-continuation"), answer.headers["x-ms-item-type"]


async def pages(api: Api, query: str, most: int) -> list[Any]:
    rows: list[Any] = []
    token: str | None = None
    while True:
        found, token, _ = await page(api, query, most=most, token=token)
        assert len(found) <= most
        rows += found
        if token is None:
            return rows


@pytest.fixture
async def fleet(api: Api) -> None:
    for number in range(7):
        device = f"d{number}"
        await api("PUT", f"/devices/{device}", {"capabilities": {"iotEdge": number == 0}})
        await api("PATCH", f"/twins/{device}", {"tags": {"env": "lab" if number % 2 else "prod", "n": number}})
    await api("PUT", "/devices/d1/modules/m", {})


async def test_twins_are_found_as_they_are_read(api: Api, fleet: None) -> None:
    rows, token, kind = await page(api, "SELECT * FROM devices WHERE tags.env = 'lab'")
    assert (kind, token) == ("twin", None)
    assert rows == [await api("GET", f"/twins/{device}") for device in ("d1", "d3", "d5")]
    rows, _, kind = await page(api, "select * from devices.modules")
    assert (kind, [(one["deviceId"], one["moduleId"]) for one in rows]) == (
        "twin",
        [("d0", "$edgeAgent"), ("d0", "$edgeHub"), ("d1", "m")],
    )


async def test_projections_and_groups_are_raw(api: Api, fleet: None) -> None:
    rows, _, kind = await page(api, "SELECT deviceId, tags.n AS n FROM devices WHERE capabilities.iotEdge = true")
    assert (rows, kind) == ([{"deviceId": "d0", "n": 0}], "raw")
    query = "SELECT tags.env AS env, COUNT() AS n FROM devices GROUP BY tags.env"
    expected = [{"env": "prod", "n": 4}, {"env": "lab", "n": 3}]
    assert (await page(api, query))[0] == expected
    assert await pages(api, query, 1) == expected


@pytest.mark.parametrize("most", [1, 2, 3, 7, 1000])
async def test_pages_end_where_the_rows_end(api: Api, fleet: None, most: int) -> None:
    assert [one["deviceId"] for one in await pages(api, "SELECT * FROM devices", most)] == [f"d{n}" for n in range(7)]
    assert len(await pages(api, "SELECT TOP 5 * FROM devices", most)) == 5
    assert len(await pages(api, "SELECT TOP 50 * FROM devices", most)) == 7
    assert await pages(api, "SELECT * FROM devices WHERE false", most) == []


async def test_devices_that_come_and_go_between_pages_hide_no_others(api: Api, fleet: None) -> None:
    query = "SELECT deviceId FROM devices"
    first, token, _ = await page(api, query, most=3)
    await api("DELETE", "/devices/d0", status=204)
    await api("DELETE", "/devices/d2", status=204)
    await api("PUT", "/devices/d00", {})
    await api("PUT", "/devices/d35", {})
    rest, token, _ = await page(api, query, token=token)
    assert [one["deviceId"] for one in first + rest] == ["d0", "d1", "d2", "d3", "d35", "d4", "d5", "d6"]
    assert token is None


@pytest.mark.parametrize(
    ("body", "headers", "told"),
    [
        ({}, {}, "'query'"),
        ({"query": ""}, {}, "'query'"),
        ({"query": 5}, {}, "'query'"),
        ({"query": "SELECT * FROM nowhere"}, {}, "at position 15"),
        ({"query": "SELECT * FROM devices ORDER BY deviceId"}, {}, "does not sort"),
        ({"query": "SELECT * FROM devices"}, {"x-ms-max-item-count": "many"}, "x-ms-max-item-count"),
        ({"query": "SELECT * FROM devices"}, {"x-ms-continuation": "no token"}, "none that this hub has given"),
        ({"query": "SELECT * FROM devices"}, {"x-ms-continuation": "e30="}, "none that this hub has given"),
        ({"query": "SELECT * FROM devices"}, {"x-ms-continuation": "WyJ4IiwxLFtdXQ=="}, "of another query"),
    ],
)
async def test_what_cannot_be_read_is_refused(api: Api, body: Any, headers: dict[str, str], told: str) -> None:
    answer = await api.client.post("/devices/query", json=body, headers=headers)
    assert (answer.status_code, answer.headers["iothub-errorcode"]) == (400, "ArgumentInvalid")
    assert told in answer.json()["Message"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(query=st.text(max_size=40), token=st.text(alphabet=st.characters(codec="ascii", categories=["L", "N"])))
async def test_no_query_is_a_failure_of_the_service(api: Api, query: str, token: str) -> None:
    for text in (query, f"SELECT * FROM devices WHERE {query}"):
        answer = await api.client.post("/devices/query", json={"query": text}, headers={"x-ms-continuation": token})
        assert answer.status_code in (200, 400)
