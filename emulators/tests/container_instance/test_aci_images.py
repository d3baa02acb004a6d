"""Images of emulated registries, which are looked up when a group is sent."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from windtunnel_emulators.arm.ids import ResourceId
from windtunnel_emulators.arm.provider import Resource

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.container_instance.conftest import Emulators

    Make = Callable[..., dict[str, Any]]

REGISTRY = ResourceId(
    subscription="22222222-2222-2222-2222-222222222222",
    group="rg",
    namespace="Microsoft.ContainerRegistry",
    types=("registries",),
    names=("acr1",),
)
ADMIN = {"username": "acr1", "password": "one"}


@pytest.fixture
def registry(emulators: Emulators) -> Resource:
    """With ``team/app:1`` in it, an admin user, and no anonymous pull."""
    resource = emulators.kernel.resources.save(
        Resource(
            id=REGISTRY,
            location="westus",
            tags=None,
            properties={"loginServer": "localhost:5001", "adminUserEnabled": True},
            secrets={"password": "one", "password2": "two"},
        )
    )
    content = emulators.world.content
    blob = content.add_blob(b"{}")
    content.link(REGISTRY.key, "team/app", blob.digest)
    kind = "application/vnd.oci.image.manifest.v1+json"
    manifest: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": kind,
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": blob.digest, "size": blob.size},
        "layers": [],
    }
    content.put_manifest(REGISTRY.key, "team/app", "1", kind, msgspec.json.encode(manifest))
    return resource


def with_image(body: Make, image: str, server: str = "localhost:5001", **credential: str) -> dict[str, Any]:
    credentials = [{"server": server, **credential}] if credential else None
    return body(image=image, imageRegistryCredentials=credentials)


@pytest.mark.parametrize("server", ["localhost:5001", "127.0.0.1:5001", "acr1.azurecr.io", "ACR1.azurecr.io"])
@pytest.mark.parametrize("password", ["one", "two"])
async def test_an_image_that_is_there_is_accepted(
    emulators: Emulators, registry: Resource, body: Make, server: str, password: str
) -> None:
    given = {"username": "acr1", "password": password}
    assert (await emulators.put("g1", with_image(body, f"{server.lower()}/team/app:1", server, **given))).status == 201


@pytest.mark.parametrize(
    ("image", "credential", "why"),
    [
        ("localhost:5001/team/app:1", {}, "without credentials"),
        ("localhost:5001/team/app:1", {"username": "acr1", "password": "three"}, "refuses the password"),
        ("localhost:5001/team/app:2", ADMIN, "has no '2' in 'team/app'"),
        ("localhost:5001/team/app", ADMIN, "has no 'latest' in 'team/app'"),
        ("acr1.azurecr.io/team/other:1", ADMIN, "has no '1' in 'team/other'"),
        (f"localhost:5001/team/app@sha256:{'0' * 64}", ADMIN, "has no 'sha256:0"),
    ],
)
async def test_an_image_that_cannot_be_had_is_refused_at_once(
    emulators: Emulators, registry: Resource, body: Make, image: str, credential: dict[str, str], why: str
) -> None:
    reply = await emulators.put("g1", with_image(body, image, **credential))
    assert (reply.status, reply.code) == (400, "InaccessibleImage")
    assert reply.message.startswith(
        f"The image '{image}' in container group 'g1' is not accessible. Please check the image and registry"
        " credential."
    )
    assert why in reply.message
    assert (await emulators.get("g1")).status == 404


async def test_images_of_init_containers_are_looked_up_too(
    emulators: Emulators, registry: Resource, body: Make
) -> None:
    asked = body(initContainers=[{"name": "i", "properties": {"image": "localhost:5001/none"}}])
    assert (await emulators.put("g1", asked)).code == "InaccessibleImage"


async def test_a_registry_may_give_images_to_anybody(emulators: Emulators, registry: Resource, body: Make) -> None:
    opened = replace(registry, properties={**registry.properties, "anonymousPullEnabled": True})
    emulators.kernel.resources.save(opened)
    assert (await emulators.put("g1", with_image(body, "localhost:5001/team/app:1"))).status == 201


async def test_an_identity_of_the_group_pulls_with_a_token(
    emulators: Emulators, registry: Resource, body: Make
) -> None:
    identity = "/subscriptions/s/resourceGroups/r/providers/Microsoft.ManagedIdentity/userAssignedIdentities/i"
    asked = body(
        image="localhost:5001/team/app:1",
        imageRegistryCredentials=[{"server": "localhost:5001", "identity": identity}],
    )
    asked["identity"] = {"type": "UserAssigned", "userAssignedIdentities": {identity: {}}}
    shown = await emulators.created("g1", asked)
    ((_, (credential,)),) = emulators.runtime.pulls
    claims = msgspec.json.decode(credential.password)
    assert credential.username == "00000000-0000-0000-0000-000000000000"
    assert (claims["aud"], claims["grant_type"], claims["sub"]) == ("localhost:5001", "refresh_token", identity)
    assert shown.body["properties"]["imageRegistryCredentials"] == [{"server": "localhost:5001", "identity": identity}]


async def test_other_credentials_are_checked_by_the_pull(emulators: Emulators, registry: Resource, body: Make) -> None:
    given = {"username": "an-application", "password": "secret"}
    assert (await emulators.put("g1", with_image(body, "localhost:5001/team/app:1", **given))).status == 201


async def test_other_registries_are_asked_by_the_pull(emulators: Emulators, body: Make) -> None:
    assert (await emulators.put("g1", with_image(body, "other.azurecr.io/app"))).status == 201
