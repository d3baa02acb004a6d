"""An embedded API server in this process with the real access, and clients of it by identity.

Starts empty but for what every cluster has; a namespace ``lab`` with its ``default`` service account is there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from windtunnel_emulators.clock import ManualClock
from windtunnel_emulators.kubernetes.access.access import ClusterAccess, role_user
from windtunnel_emulators.kubernetes.access.users import named
from windtunnel_emulators.kubernetes.api.server import ApiServer
from windtunnel_emulators.kubernetes.certificates import ClusterAuthority
from windtunnel_emulators.kubernetes.client.interface import MERGE_PATCH, StatusError
from windtunnel_emulators.store import Store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from windtunnel_emulators.jsontypes import Json, JsonObject
    from windtunnel_emulators.kubernetes.access.interface import User
    from windtunnel_emulators.kubernetes.client.interface import Client

NAMESPACE = "lab"
CORE = "/api/v1"
LAB = f"{CORE}/namespaces/{NAMESPACE}"
RBAC = "/apis/rbac.authorization.k8s.io/v1"


@dataclass(kw_only=True)
class Lab:
    """The cluster, as the administrator sees it."""

    server: ApiServer
    access: ClusterAccess
    authority: ClusterAuthority
    clock: ManualClock
    admin: Client

    def as_user(self, name: str, *groups: str) -> Client:
        """A client of somebody else."""
        return self.server.client(named(name, groups))

    def client(self, user: User) -> Client:
        return self.server.client(user)

    async def get(self, path: str) -> JsonObject:
        return await self.admin.request("GET", path)

    async def post(self, path: str, body: JsonObject, **query: str) -> JsonObject:
        return await self.admin.request("POST", path, body=body, query=query)

    async def patch(self, path: str, body: Json) -> JsonObject:
        return await self.admin.request("PATCH", path, body=body, content_type=MERGE_PATCH)

    async def delete(self, path: str) -> JsonObject:
        return await self.admin.request("DELETE", path)

    async def refused(self, method: str, path: str, body: Json = None, *, by: Client | None = None) -> StatusError:
        """The failure of a request that has to fail."""
        content_type = MERGE_PATCH if method == "PATCH" else "application/json"
        with pytest.raises(StatusError) as caught:
            await (by or self.admin).request(method, path, body=body, content_type=content_type)
        return caught.value

    @staticmethod
    def pod(name: str, *, resources: Json = None, **spec: Json) -> JsonObject:
        """A pod of one container."""
        container: JsonObject = {"name": "c", "image": "i"}
        if resources is not None:
            container["resources"] = resources
        return {"metadata": {"name": name}, "spec": {"containers": [container], **spec}}

    async def grant(self, user: str, *rules: JsonObject, name: str = "granted", namespace: str = "") -> None:
        """Give a user rules: everywhere, or in a namespace."""
        kind, where = ("Role", f"/namespaces/{namespace}") if namespace else ("ClusterRole", "")
        plural = f"{kind.lower()}s"
        await self.post(f"{RBAC}{where}/{plural}", {"metadata": {"name": name}, "rules": [*rules]})
        binding: JsonObject = {
            "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
        }
        await self.post(f"{RBAC}{where}/{kind.lower()}bindings", binding)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> ClusterAuthority:
    """Keys for every cluster of these tests."""
    return ClusterAuthority.create(tmp_path_factory.mktemp("keys") / "keys.json", now=ManualClock().now())


@pytest.fixture
async def lab(authority: ClusterAuthority, tmp_path: Path) -> AsyncIterator[Lab]:
    """The cluster of one test."""
    store, clock = Store(None), ManualClock()
    access = ClusterAccess(authority, clock)
    server = ApiServer(store=store, cluster="c1", clock=clock, access=access)
    await server.start()
    made = Lab(server=server, access=access, authority=authority, clock=clock, admin=server.client(role_user("admin")))
    await made.post(f"{CORE}/namespaces", {"metadata": {"name": NAMESPACE}})
    await made.post(f"{LAB}/serviceaccounts", {"metadata": {"name": "default"}})
    yield made
    await server.stop()
    store.close()
