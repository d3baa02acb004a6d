"""JSON patches through both API servers: what is refused and what they make, as recorded of the real one (1.34)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from windtunnel_emulators.kubernetes.client.interface import JSON_PATCH, StatusError
from windtunnel_emulators.kubernetes.client.kinds import CONFIG_MAP
from windtunnel_emulators.kubernetes.client.meta import dig

if TYPE_CHECKING:
    from tests.kubernetes.conftest import Cluster
    from windtunnel_emulators.jsontypes import Json, JsonObject

LIST = "/metadata/finalizers"
MAP: JsonObject = {
    "metadata": {"name": "patched", "finalizers": ["wind.example/a", "wind.example/b"]},
    "data": {"a": "b"},
}


async def _patched(cluster: Cluster, *operations: JsonObject) -> JsonObject:
    await cluster.admin.create(CONFIG_MAP, MAP, cluster.namespace)
    try:
        path = f"/api/v1/namespaces/{cluster.namespace}/configmaps/patched"
        client = cluster.clients[0]
        return await client.request("PATCH", path, body=[*operations], content_type=JSON_PATCH)
    finally:
        await cluster.admin.patch(CONFIG_MAP, cluster.namespace, "patched", {"metadata": {"finalizers": None}})
        await cluster.admin.delete(CONFIG_MAP, cluster.namespace, "patched")


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "remove", "path": "/data/farewell"},
        {"op": "remove", "path": "/binaryData"},
        {"op": "remove", "path": "/nothing/farewell"},
        {"op": "replace", "path": "/nothing/farewell", "value": "x"},
        {"op": "add", "path": "/nothing/farewell", "value": "x"},
        {"op": "test", "path": "/data/farewell", "value": "x"},
        {"op": "test", "path": "/data/a", "value": "x"},
        {"op": "test", "path": "/data/a"},
        {"op": "test", "path": "/nothing/farewell", "value": None},
        {"op": "copy", "from": "/nothing/farewell", "path": "/data/q"},
        {"op": "move", "from": "/data/farewell", "path": "/data/q"},
        {"op": "remove", "path": f"{LIST}/5"},
        {"op": "remove", "path": f"{LIST}/-"},
        {"op": "replace", "path": f"{LIST}/5", "value": "wind.example/c"},
        {"op": "replace", "path": f"{LIST}/-", "value": "wind.example/c"},
        {"op": "add", "path": f"{LIST}/3", "value": "wind.example/c"},
        {"op": "test", "path": f"{LIST}/3", "value": None},
        {"op": "copy", "from": f"{LIST}/7", "path": "/data/q"},
        {"op": "add", "path": "/metadata/labels/x", "value": "y"},
        {"op": "fly", "path": "/data/a"},
        {"op": "remove"},
    ],
    ids=lambda operation: " ".join(map(str, operation.values())),
)
async def test_what_cannot_be_done_is_refused(cluster: Cluster, operation: JsonObject) -> None:
    with pytest.raises(StatusError) as refused:
        await _patched(cluster, operation)
    status = refused.value.status
    said = {name: status.get(name) for name in ("code", "reason", "message", "details")}
    assert said == {
        "code": 422,
        "reason": "Invalid",
        "message": "the server rejected our request due to an error in our request",
        "details": {},
    }


@pytest.mark.parametrize(
    ("operation", "data", "finalizers"),
    [
        ({"op": "replace", "path": "/data/farewell", "value": "x"}, {"a": "b", "farewell": "x"}, "ab"),
        ({"op": "replace", "path": "/data/a"}, {"a": ""}, "ab"),
        ({"op": "test", "path": "/data/farewell", "value": None}, {"a": "b"}, "ab"),
        ({"op": "copy", "from": "/data/farewell", "path": "/data/q"}, {"a": "b", "q": ""}, "ab"),
        ({"op": "move", "from": "/data/a", "path": "/data/q"}, {"q": "b"}, "ab"),
        ({"op": "add", "path": "/data/n", "value": None}, {"a": "b", "n": ""}, "ab"),
        ({"op": "remove", "path": f"{LIST}/-1"}, {"a": "b"}, "a"),
        ({"op": "add", "path": f"{LIST}/2", "value": "wind.example/c"}, {"a": "b"}, "abc"),
        ({"op": "remove", "path": "/data"}, None, "ab"),
    ],
)
async def test_what_is_not_there_may_be_replaced_and_copied(
    cluster: Cluster, operation: JsonObject, data: Json, finalizers: str
) -> None:
    made = await _patched(cluster, operation)
    assert made.get("data") == data
    assert dig(made, "metadata", "finalizers") == [f"wind.example/{each}" for each in finalizers]
