"""What ARM asks of every request before anybody else sees it."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pytest

from windtunnel_emulators.arm.operations import Operations
from windtunnel_emulators.arm.resources import Resources

if TYPE_CHECKING:
    from tests.arm.conftest import Door

THING = "/resourceGroups/g/providers/Fake.Things/things/t"
SUBSCRIPTION = "5b5b5b5b-0000-4000-8000-000000000001"


async def test_every_answer_has_arms_headers(door: Door) -> None:
    answer = await door.core("GET", "/resourceGroups/g")
    assert answer.status == 200
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["expires"] == "-1"
    assert answer.headers["strict-transport-security"] == "max-age=31536000; includeSubDomains"
    assert answer.headers["x-ms-correlation-request-id"] == answer.headers["x-ms-request-id"]
    assert answer.headers["x-ms-routing-request-id"].endswith(answer.headers["x-ms-request-id"])
    assert "x-ms-client-request-id" not in answer.headers


async def test_what_is_left_of_the_requests_counts_down(door: Door) -> None:
    name = "x-ms-ratelimit-remaining-subscription-reads"
    first = int((await door.core("GET", "/resourceGroups/g")).headers[name])
    assert int((await door.core("GET", "/resourceGroups/g")).headers[name]) == first - 1
    assert "x-ms-ratelimit-remaining-subscription-deletes" in (await door.core("DELETE", "/resourceGroups/x")).headers


async def test_request_ids_are_echoed_when_asked_for(door: Door) -> None:
    asked = {"x-ms-client-request-id": "mine", "x-ms-correlation-request-id": "ours"}
    answer = await door.core("GET", "/resourceGroups/g", headers=asked)
    assert answer.headers["x-ms-correlation-request-id"] == "ours"
    assert "x-ms-client-request-id" not in answer.headers
    answer = await door.core("GET", "/resourceGroups/g", headers={**asked, "x-ms-return-client-request-id": "true"})
    assert answer.headers["x-ms-client-request-id"] == "mine"


async def test_an_echoed_id_cannot_end_a_header(door: Door) -> None:
    asked = {"x-ms-correlation-request-id": "a\r\nset-cookie: b\x00"}
    answer = await door.core("GET", "/resourceGroups/g", headers=asked)
    assert answer.headers["x-ms-correlation-request-id"] == "aset-cookie: b"


@pytest.mark.parametrize("path", ["/subscriptions", "/nowhere", f"/subscriptions/{SUBSCRIPTION}{THING}"])
async def test_a_token_is_asked_for_before_anything_else(door: Door, path: str) -> None:
    answer = await door.call("GET", f"/{path}", version=None, headers={"authorization": "Bearer bad"})
    assert (answer.status, answer.code) == (401, "AuthenticationFailed")
    assert "www-authenticate" in answer.headers


async def test_an_api_version_is_required(door: Door) -> None:
    answer = await door.call("GET", THING, version=None)
    assert (answer.status, answer.code) == (400, "MissingApiVersionParameter")
    assert answer.headers["x-ms-failure-cause"] == "gateway"


async def test_an_unknown_api_version_of_arm_itself_is_refused_with_the_list(door: Door) -> None:
    answer = await door.call("GET", "/resourceGroups/g", version="2024-02-30")
    assert (answer.status, answer.code) == (400, "InvalidApiVersionParameter")
    assert "2024-11-01" in answer.body["error"]["message"]


async def test_an_unknown_api_version_of_a_provider_is_refused_with_the_list(door: Door) -> None:
    answer = await door.call("GET", THING, version="2023-01-01")
    assert (answer.status, answer.code) == (400, "NoRegisteredProviderFound")
    assert "'2024-01-01, 2020-01-01'" in answer.body["error"]["message"]


async def test_every_published_api_version_gets_the_same_answer(door: Door) -> None:
    await door.thing()
    old = await door.call("GET", THING, version="2020-01-01")
    assert old.body == (await door.call("GET", THING, version="2024-01-01")).body


async def test_api_versions_and_their_name_have_no_case(door: Door) -> None:
    answer = await door.call("GET", "/resourceGroups/g", version=None, query="API-Version=2024-06-01-PREVIEW")
    assert answer.status == 200


async def test_another_subscription_is_not_found(door: Door) -> None:
    answer = await door.core("GET", "//subscriptions/5b5b5b5b-0000-4000-8000-00000000ffff/resourceGroups/g")
    assert (answer.status, answer.code) == (404, "SubscriptionNotFound")


async def test_a_subscription_that_is_no_guid_is_refused(door: Door) -> None:
    answer = await door.core("GET", "//subscriptions/mine/resourceGroups/g")
    assert (answer.status, answer.code) == (400, "InvalidSubscriptionId")


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/resourceGroups/g/providers/No.Such/things/t", "InvalidResourceNamespace"),
        ("/providers/No.Such/things", "InvalidResourceNamespace"),
        (f"{THING}/providers/Microsoft.Authorization/roleAssignments/r", "InvalidResourceNamespace"),
        ("/resourceGroups/g/providers/Fake.Things/nothings/t", "InvalidResourceType"),
        ("/providers/Fake.Things/things/t", "InvalidResourceType"),
        (f"{THING}/holes/h", "InvalidResourceType"),
        ("/nowhere", "NotFound"),
    ],
)
async def test_what_leads_nowhere_is_not_found(door: Door, path: str, code: str) -> None:
    answer = await door.call("GET", path)
    assert (answer.status, answer.code) == (404, code)


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_a_resource_in_a_group_that_is_not_there(door: Door, method: str) -> None:
    path = "/resourceGroups/other/providers/Fake.Things/things/t"
    answer = await door.call(method, path, {"location": "eastus"} if method == "PUT" else None)
    assert (answer.status, answer.code) == (404, "ResourceGroupNotFound")
    assert answer.body["error"]["message"] == "Resource group 'other' could not be found."


async def test_a_resource_that_is_not_there(door: Door) -> None:
    answer = await door.get("nobody")
    assert (answer.status, answer.code) == (404, "ResourceNotFound")
    assert "'Fake.Things/things/nobody' under resource group 'g'" in answer.body["error"]["message"]


async def test_a_nested_resource_needs_its_parent(door: Door) -> None:
    for method, path in (("PUT", f"{THING}/parts/p"), ("GET", f"{THING}/parts")):
        answer = await door.call(method, path, {} if method == "PUT" else None)
        assert (answer.status, answer.code) == (404, "ParentResourceNotFound")


@pytest.mark.parametrize("method", ["POST", "TRACE", "OPTIONS"])
async def test_a_method_that_a_resource_does_not_know(door: Door, method: str) -> None:
    answer = await door.call(method, THING)
    assert (answer.status, answer.code) == (405, "MethodNotAllowed")


@pytest.mark.parametrize(
    ("content", "where"),
    [
        (b'{"location": ', "truncated"),
        (b'{\n  "location": eastus }', "line 2, position 15"),
        (b"\xff\xfe", "line 1, position 1"),
        (b'{\n"location": "west\xff"}', "not UTF-8 at line 2, position 18"),
        (b'{"a": NaN}', "line 1, position 7"),
        (b'{"a": 1e999}', "out of range"),
        (b"[" * 5000 + b"]" * 5000, "levels deep"),
        (b"[]", "must be a JSON object"),
        (b"", "must be a JSON object"),
        (b'"text"', "must be a JSON object"),
    ],
)
async def test_a_body_that_is_no_json_object_is_refused_with_the_place(door: Door, content: bytes, where: str) -> None:
    answer = await door.call("PUT", THING, content)
    assert (answer.status, answer.code) == (400, "InvalidRequestContent")
    assert where in answer.body["error"]["message"]


async def test_a_body_is_json_whatever_its_content_type_says(door: Door) -> None:
    content = b'\xef\xbb\xbf{"location": "eastus", "note": "[[[' + b"[" * 500 + b'"}'
    answer = await door.call("PUT", THING, content, headers={"content-type": "text/plain"})
    assert answer.status == 201


async def test_a_body_over_four_megabytes_is_refused_by_its_length(door: Door) -> None:
    answer = await door.call("PUT", THING, headers={"content-length": str(100_000_000)})
    assert (answer.status, answer.code) == (413, "RequestEntityTooLarge")


async def test_a_body_of_unsaid_length_is_read_no_further_than_the_limit(door: Door) -> None:
    read = 0

    def pieces() -> tuple[bytes, ...]:
        return (b" " * 1_000_000,) * 100

    before = door.everything()
    answer = await door.raw(
        "PUT", f"/subscriptions/{SUBSCRIPTION}{THING}".encode(), b"api-version=2024-01-01", pieces()
    )
    assert (answer.status, answer.code, read) == (413, "RequestEntityTooLarge", 0)
    assert door.everything() == before


async def test_a_client_that_goes_away_gets_no_answer(door: Door) -> None:
    answer = await door.raw("PUT", f"/subscriptions/{SUBSCRIPTION}{THING}".encode(), b"api-version=2024-01-01", ())
    assert answer.status == 0


@pytest.mark.parametrize(
    "spelling",
    [
        "/resourcegroups/G/providers/fake.things/THINGS/T",
        "//resourceGroups//g/providers/Fake.Things//things/t",
        "/resourceGroups/g/providers/Fake%2EThings/things/%74",
        "/resourceGroups/g/providers/Fake.Things/things/t/",
    ],
)
async def test_a_resource_is_found_in_every_spelling_and_printed_as_first_written(door: Door, spelling: str) -> None:
    await door.thing("t")
    answer = await door.raw(
        "GET", f"/subscriptions/{SUBSCRIPTION.upper()}{spelling}".encode(), b"api-version=2024-01-01"
    )
    assert answer.status == 200
    assert answer.body["id"] == f"/subscriptions/{SUBSCRIPTION}/resourceGroups/g/providers/Fake.Things/things/t"


async def test_a_path_that_is_no_text(door: Door) -> None:
    answer = await door.raw("GET", b"/subscriptions/%ff", b"api-version=2024-01-01")
    assert (answer.status, answer.code) == (400, "BadRequest")


async def test_a_path_that_is_too_long(door: Door) -> None:
    answer = await door.raw("GET", b"/" + b"a" * 10_000, b"api-version=2024-01-01")
    assert (answer.status, answer.code) == (414, "UriTooLong")


async def test_a_provider_that_was_unregistered_makes_nothing_until_it_is_registered(door: Door) -> None:
    assert (await door.core("POST", "/providers/fake.things/unregister")).body["registrationState"] == "NotRegistered"
    answer = await door.thing()
    assert (answer.status, answer.code) == (409, "MissingSubscriptionRegistration")
    assert "'Fake.Things'" in answer.body["error"]["message"]
    assert (await door.core("POST", "/providers/Fake.Things/register")).body["registrationState"] == "Registered"
    assert (await door.thing()).status == 201
    answer = await door.core("POST", "/providers/Fake.Things/unregister")
    assert (answer.status, answer.code) == (409, "Conflict")


async def test_a_store_that_cannot_be_written_to_is_no_defect(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no room")

    monkeypatch.setattr(Resources, "save", full)
    monkeypatch.setattr(Operations, "begin", full)
    answer = await door.thing("new")
    assert (answer.status, answer.code) == (507, "InsufficientStorage")
    assert "its disk is full" in answer.body["error"]["message"]
