from __future__ import annotations

import base64
import io
import zipfile
from typing import TYPE_CHECKING

import pytest

from aks_bodies import GROUP, cluster_body

if TYPE_CHECKING:
    from typing import Any

    from tests.container_service.conftest import Emulators, Reply


@pytest.mark.parametrize(
    ("action", "name", "first"),
    [
        ("listClusterAdminCredential", "clusterAdmin", "# admin clusterAdmin_rg_k1\n"),
        ("listClusterUserCredential", "clusterUser", "# user clusterUser_rg_k1\n"),
    ],
)
async def test_kubeconfigs_are_for_the_users_aks_names(
    emulators: Emulators, action: str, name: str, first: str
) -> None:
    await emulators.created()
    (config,) = (await emulators.call("POST", action)).body["kubeconfigs"]
    assert config["name"] == name
    assert base64.b64decode(config["value"]).decode() == first


async def test_without_local_accounts_there_is_no_admin(emulators: Emulators) -> None:
    await emulators.created(cluster_body(disableLocalAccounts=True))
    refused = await emulators.call("POST", "listClusterAdminCredential")
    assert (refused.status, "disable local accounts" in refused.message) == (400, True)


async def test_certificates_are_rotated(emulators: Emulators) -> None:
    await emulators.created()
    await emulators.changed("POST", "rotateClusterCertificates")
    assert emulators.cluster.rotated == 1


async def test_upgrades_are_offered(emulators: Emulators) -> None:
    await emulators.created(cluster_body(kubernetesVersion="1.34.3"))
    profile = (await emulators.call("GET", "upgradeProfiles/default")).body["properties"]
    offered = [one["kubernetesVersion"] for one in profile["controlPlaneProfile"]["upgrades"]]
    assert offered == ["1.34.4", "1.35.0", "1.35.1"]


async def test_the_versions_of_a_location(emulators: Emulators) -> None:
    path = f"/subscriptions/{GROUP.split('/')[2]}/providers/Microsoft.ContainerService/locations/eastus"
    values = (await emulators.request("GET", f"{path}/kubernetesVersions")).body["values"]
    assert [value["version"] for value in values if value.get("isDefault")] == ["1.34"]
    assert values[0]["capabilities"]["supportPlan"]
    older = (await emulators.request("GET", f"{path}/orchestrators")).body["properties"]["orchestrators"]
    assert {"1.33.5", "1.35.1"} <= {one["orchestratorVersion"] for one in older}


async def test_what_is_not_done_is_refused(emulators: Emulators) -> None:
    await emulators.created()
    assert (await emulators.call("POST", "abort")).status == 400
    assert (await emulators.call("POST", "listClusterMonitoringUserCredential")).status == 404
    refused = await emulators.call("POST", "resetServicePrincipalProfile", {"clientId": "x"})
    assert "managed identity" in refused.message


# aks command invoke


async def ran(emulators: Emulators, command: str, files: dict[str, str] | None = None) -> dict[str, Any]:
    context = ""
    if files is not None:
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as made:
            for name, content in files.items():
                made.writestr(name, content)
        context = base64.b64encode(archive.getvalue()).decode()
    started = await emulators.call("POST", "runCommand", {"command": command, "context": context})
    assert started.status == 202, started.body
    done = await result(emulators, started.headers["location"])
    found: dict[str, Any] = done.body["properties"]
    return found


async def result(emulators: Emulators, link: str) -> Reply:
    while (found := await emulators.request("GET", link)).status == 202:
        assert found.body["properties"]["provisioningState"] == "Running"
        await emulators.clock.sleep(0)
    return found


async def test_a_command_really_runs_with_the_clusters_kubeconfig(emulators: Emulators) -> None:
    await emulators.created()
    done = await ran(emulators, 'cat "$KUBECONFIG"; echo oops >&2; exit 3')
    assert done["logs"] == "# admin clusterAdmin_rg_k1\noops\n"
    assert (done["exitCode"], done["provisioningState"]) == (3, "Succeeded")


async def test_a_command_finds_its_files_beside_it_and_nothing_of_the_environment(
    emulators: Emulators, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_THE_USER", "hidden")
    await emulators.created()
    done = await ran(emulators, "cat chart/values.yaml; echo $SECRET_OF_THE_USER", {"chart/values.yaml": "a: 1"})
    assert done["logs"] == "a: 1\n"


@pytest.mark.parametrize("name", ["../outside", "/etc/outside"])
async def test_files_cannot_leave_their_folder(emulators: Emulators, name: str) -> None:
    await emulators.created()
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as made:
        made.writestr(name, "x")
    body = {"command": "true", "context": base64.b64encode(archive.getvalue()).decode()}
    refused = await emulators.call("POST", "runCommand", body)
    assert (refused.status, "no file inside it" in refused.message) == (400, True)


async def test_a_context_that_is_no_zip_is_refused(emulators: Emulators) -> None:
    await emulators.created()
    for context in ("%%%", base64.b64encode(b"no zip").decode()):
        refused = await emulators.call("POST", "runCommand", {"command": "true", "context": context})
        assert (refused.status, refused.code) == (400, "InvalidParameter")


async def test_a_command_that_was_cut_off_has_failed(emulators: Emulators) -> None:
    await emulators.created()
    started = await emulators.call("POST", "runCommand", {"command": "sleep 60"})
    await emulators.stop()
    await emulators.start()
    done = await emulators.request("GET", started.headers["location"])
    assert done.body["properties"]["provisioningState"] == "Failed"
    assert "stopped" in done.body["properties"]["reason"]


async def test_commands_can_be_forbidden(emulators: Emulators) -> None:
    await emulators.created(cluster_body(apiServerAccessProfile={"disableRunCommand": True}))
    assert (await emulators.call("POST", "runCommand", {"command": "true"})).code == "RunCommandDisabled"


async def test_maintenance_windows_are_kept(emulators: Emulators) -> None:
    await emulators.created()
    window = {"schedule": {"weekly": {"intervalWeeks": 1, "dayOfWeek": "Saturday"}}, "durationHours": 12}
    body = {"properties": {"maintenanceWindow": {**window, "startTime": "00:00"}}}
    below = "maintenanceConfigurations/aksManagedAutoUpgradeSchedule"
    kept = await emulators.call("PUT", below, body)
    assert kept.status == 200
    assert kept.body["properties"]["maintenanceWindow"]["utcOffset"] == "+00:00"
    assert len((await emulators.call("GET", "maintenanceConfigurations")).body["value"]) == 1
    assert (await emulators.call("PUT", "maintenanceConfigurations/other", body)).code == "InvalidParameter"
    assert (await emulators.call("DELETE", below)).status == 200
    assert (await emulators.call("GET", below)).status == 404
