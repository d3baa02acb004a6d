"""The ACI adapter, through the real SDKs, at a subscription in memory."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from windtunnel.errors import (
    AlreadyExists,
    AuthenticationFailed,
    BuildFailed,
    Cancelled,
    Conflict,
    InvalidSpec,
    ModelError,
    NotConfigured,
    NotFound,
    QuotaExceeded,
    ServiceError,
    WindtunnelError,
)
from windtunnel.interface import KeyName, Progress, ServiceState
from windtunnel.jsontypes import Json, as_list, as_object, as_str
from windtunnel.packaging import build_context
from windtunnel.spec import AciOptions, Change, ChosenKeys, Script, Spec, Tls

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Any, Protocol

    from windtunnel.adapters.aci import AciAdapter
    from windtunnel.clouds import Cloud
    from windtunnel.jsontypes import JsonObject

    MakeAci = Callable[..., AciAdapter]

    class FakeAzure(Protocol):
        images: set[str]
        container_state: JsonObject
        run_status: str
        log: bytes
        group_log: str
        groups: dict[str, JsonObject]
        calls: list[Any]

        def refuse(self, method: str, path: str, status: int, code: str, message: str) -> None: ...
        def sent(self, method: str, path: str) -> list[Json]: ...


LIMIT_S = 30.0
GROUPS = "containerGroups/svc"


@pytest.fixture
def aci(make_aci: MakeAci, cloud: Cloud) -> AciAdapter:
    return make_aci(cloud)


def spec(model_file: Path, **changes: object) -> Spec:
    return replace(Spec(name="svc", model=model_file), **changes)  # type: ignore[arg-type]  # the tests' own business


def container(body: Json, name: str) -> JsonObject:
    containers = map(as_object, as_list(as_object(as_object(body)["properties"])["containers"]))
    return as_object(next(c for c in containers if c["name"] == name)["properties"])


def test_a_deployment_makes_group_registry_image_and_service_in_this_order(
    aci: AciAdapter, azure: FakeAzure, model_file: Path, steps: list[Progress]
) -> None:
    service = aci.deploy(spec(model_file, tags={"team": "a"})).result(LIMIT_S)
    changes = [c.url.partition("?")[0].rpartition("/")[2] for c in azure.calls if c.method in ("PUT", "POST")]
    assert changes == [
        "models", "acme12345", "listCredentials", "listBuildSourceUploadUrl", "context.tar.gz", "scheduleRun",
        "listLogSasUrl", "svc",
    ]  # fmt: skip
    assert service.state is ServiceState.HEALTHY
    assert service.scoring_uri == "http://192.0.2.7:5001/score"
    assert service.swagger_uri == "http://192.0.2.7:5001/swagger.json"
    assert (service.tags, service.owner, service.model_name) == ({"team": "a"}, "ada", "linear")
    assert (service.cpu, service.memory_gb, service.location) == (0.1, 0.5, "westeurope")
    assert next(s.step for s in steps if not s.log) == "created resource group models"


def test_an_unchanged_deployment_builds_nothing(aci: AciAdapter, azure: FakeAzure, model_file: Path) -> None:
    aci.deploy(spec(model_file)).result(LIMIT_S)
    aci.deploy(spec(model_file, name="second")).result(LIMIT_S)
    assert len(azure.sent("POST", "scheduleRun")) == 1


def test_the_group_is_what_azure_ml_made(aci: AciAdapter, azure: FakeAzure, model_file: Path) -> None:
    aci.deploy(spec(model_file, environment={"A": "b"})).result(LIMIT_S)
    (body,) = azure.sent("PUT", GROUPS)
    properties = as_object(as_object(body)["properties"])
    assert properties["ipAddress"] == {"type": "Public", "ports": [{"port": 5001, "protocol": "TCP"}]}
    scoring = container(body, "scoring")
    assert len(as_list(properties["containers"])) == 1
    assert scoring["environmentVariables"] == [{"name": "SERVICE_NAME", "value": "svc"}, {"name": "A", "value": "b"}]
    assert scoring["resources"] == {"requests": {"cpu": 0.1, "memoryInGB": 0.5}}
    assert as_object(as_object(scoring["readinessProbe"])["httpGet"])["path"] == "/"
    assert as_str(scoring["image"]).startswith("acme12345.azurecr.io/windtunnel/linear:")


def test_keys_put_a_front_end_before_the_scoring_server_on_the_same_port(
    aci: AciAdapter, azure: FakeAzure, model_file: Path
) -> None:
    service = aci.deploy(spec(model_file, auth_enabled=True)).result(LIMIT_S)
    (body,) = azure.sent("PUT", GROUPS)
    front, scoring = container(body, "frontend"), container(body, "scoring")
    assert front["image"] == scoring["image"]
    assert front["command"] == ["python", "-m", "windtunnel_scoring.frontend"]
    assert front["ports"] == [{"port": 5001, "protocol": "TCP"}]
    assert "ports" not in scoring
    assert {"name": "WINDTUNNEL_PORT", "value": "5002"} in as_list(scoring["environmentVariables"])
    assert {"name": "WINDTUNNEL_PRIMARY_KEY", "secureValue": "********"} in as_list(front["environmentVariables"])
    assert scoring["resources"] == {"requests": {"cpu": 0.08, "memoryInGB": 0.4}}
    assert front["resources"] == {"requests": {"cpu": 0.02, "memoryInGB": 0.1}}
    # The group's totals are what was asked for, so that keys can be switched on and off in place.
    assert (service.cpu, service.memory_gb) == (0.1, 0.5)
    assert service.auth_enabled
    assert service.scoring_uri == "http://192.0.2.7:5001/score"


def test_the_containers_of_a_larger_group_may_use_all_of_it(
    aci: AciAdapter, azure: FakeAzure, model_file: Path
) -> None:
    aci.deploy(spec(model_file, auth_enabled=True, aci=AciOptions(cpu=2, memory_gb=4))).result(LIMIT_S)
    (body,) = azure.sent("PUT", GROUPS)
    for name, requests in (("scoring", (1.6, 3.9)), ("frontend", (0.4, 0.1))):
        resources = as_object(container(body, name)["resources"])
        assert resources["requests"] == {"cpu": requests[0], "memoryInGB": requests[1]}
        assert resources["limits"] == {"cpu": 2, "memoryInGB": 4}


def test_chosen_keys_are_used_and_kept_from_other_users(aci: AciAdapter, model_file: Path, tmp_path: Path) -> None:
    chosen = ChosenKeys(primary="p" * 32, secondary="s" * 32)
    aci.deploy(spec(model_file, auth_enabled=True, keys=chosen)).result(LIMIT_S)
    keys = aci.keys("svc")
    assert (keys.primary, keys.secondary) == (chosen.primary, chosen.secondary)
    assert aci.endpoint("svc").key == chosen.primary
    (file,) = (tmp_path / "data").rglob("aci-svc.json")
    assert file.stat().st_mode & 0o777 == 0o600


def test_keys_that_this_machine_does_not_know_can_be_made_anew(
    aci: AciAdapter, make_aci: MakeAci, cloud: Cloud, model_file: Path, tmp_path: Path
) -> None:
    aci.deploy(spec(model_file, auth_enabled=True)).result(LIMIT_S)
    for file in (tmp_path / "data").rglob("aci-svc.json"):
        file.unlink()
    elsewhere = make_aci(cloud)
    with pytest.raises(NotFound, match="not on this machine") as missing:
        elsewhere.keys("svc")
    assert "windtunnel keys regenerate svc" in (missing.value.way_out or "")
    made = elsewhere.regenerate_key("svc", KeyName.PRIMARY, None).result(LIMIT_S)
    assert elsewhere.keys("svc") == made


@pytest.mark.parametrize("which", list(KeyName))
def test_one_key_is_regenerated_the_other_stays(aci: AciAdapter, model_file: Path, which: KeyName) -> None:
    aci.deploy(spec(model_file, auth_enabled=True)).result(LIMIT_S)
    before = aci.keys("svc")
    after = aci.regenerate_key("svc", which, None).result(LIMIT_S)
    assert aci.keys("svc") == after
    assert (before.primary != after.primary) == (which is KeyName.PRIMARY)
    assert (before.secondary != after.secondary) == (which is KeyName.SECONDARY)


def test_a_key_that_azure_did_not_take_does_not_replace_the_old_one(
    aci: AciAdapter, azure: FakeAzure, model_file: Path
) -> None:
    aci.deploy(spec(model_file, auth_enabled=True)).result(LIMIT_S)
    before = aci.keys("svc")
    azure.refuse("PUT", GROUPS, 409, "ContainerGroupTransitioning", "The container group 'svc' is still transitioning.")
    with pytest.raises(Conflict, match="still transitioning"):
        aci.regenerate_key("svc", KeyName.PRIMARY, None).result(LIMIT_S)
    assert aci.keys("svc") == before


def test_without_authentication_there_are_no_keys(aci: AciAdapter, model_file: Path) -> None:
    aci.deploy(spec(model_file)).result(LIMIT_S)
    with pytest.raises(InvalidSpec, match="authentication is off"):
        aci.keys("svc")
    with pytest.raises(InvalidSpec, match="authentication is off"):
        aci.regenerate_key("svc", KeyName.PRIMARY, None).result(LIMIT_S)


def test_tls_is_served_under_its_name(aci: AciAdapter, azure: FakeAzure, model_file: Path, tmp_path: Path) -> None:
    for name in ("cert.pem", "key.pem"):
        (tmp_path / name).write_text(f"the {name}", "utf-8")
    tls = Tls(certificate=tmp_path / "cert.pem", key=tmp_path / "key.pem", cname="wings.example")
    service = aci.deploy(spec(model_file, tls=tls)).result(LIMIT_S)
    assert service.scoring_uri == "https://wings.example:5443/score"
    assert (service.tls_enabled, service.auth_enabled) == (True, False)
    (body,) = azure.sent("PUT", GROUPS)
    environment = as_list(container(body, "frontend")["environmentVariables"])
    assert {"name": "WINDTUNNEL_TLS_KEY", "secureValue": "********"} in environment
    endpoint = aci.endpoint("svc")
    assert (endpoint.address, endpoint.certificate, endpoint.key) == ("192.0.2.7", "the cert.pem", None)


def test_a_dns_label_and_a_port_are_asked_for_when_given(aci: AciAdapter, azure: FakeAzure, model_file: Path) -> None:
    options = AciOptions(dns_name_label="wing-1", port=80, location="northeurope")
    service = aci.deploy(spec(model_file, aci=options)).result(LIMIT_S)
    (body,) = azure.sent("PUT", GROUPS)
    address = as_object(as_object(as_object(body)["properties"])["ipAddress"])
    assert (address["dnsNameLabel"], as_object(body)["location"]) == ("wing-1", "northeurope")
    assert {"name": "WINDTUNNEL_PORT", "value": "80"} in as_list(container(body, "scoring")["environmentVariables"])
    assert service.scoring_uri == "http://192.0.2.7/score"


def test_an_expiry_is_a_tag(make_aci: MakeAci, cloud: Cloud, model_file: Path) -> None:
    aci = make_aci(cloud, lifetime=timedelta(hours=2))
    service = aci.deploy(spec(model_file)).result(LIMIT_S)
    assert service.expires is not None
    assert timedelta(minutes=115) < service.expires - datetime.now(UTC) < timedelta(minutes=125)


class TestRefusals:
    """What is refused, and what it leaves."""

    def test_a_name_that_is_taken(self, aci: AciAdapter, azure: FakeAzure, model_file: Path) -> None:
        aci.deploy(spec(model_file)).result(LIMIT_S)
        before = len(azure.calls)
        with pytest.raises(AlreadyExists, match="Service svc with the same name already exists"):
            aci.deploy(spec(model_file)).result(LIMIT_S)
        assert len(azure.calls) == before + 1  # it looked, and did nothing

    def test_a_file_that_is_no_model_before_anything_is_sent(
        self, aci: AciAdapter, azure: FakeAzure, tmp_path: Path
    ) -> None:
        (tmp_path / "x.onnx").write_bytes(b"nonsense")
        with pytest.raises(ModelError):
            aci.deploy(spec(tmp_path / "x.onnx"))
        assert azure.calls == []

    def test_a_quota_keeps_no_record(self, aci: AciAdapter, azure: FakeAzure, model_file: Path, tmp_path: Path) -> None:
        quota = "Resource type 'Microsoft.ContainerInstance/containerGroups' quota exceeded. Limit: '100'"
        azure.refuse("PUT", GROUPS, 400, "ContainerGroupQuotaReached", quota)
        with pytest.raises(QuotaExceeded, match="Limit: '100'") as refused:
            aci.deploy(spec(model_file)).result(LIMIT_S)
        assert refused.value.code == "ContainerGroupQuotaReached"
        with pytest.raises(NotFound):
            aci.get("svc")
        assert list((tmp_path / "data").rglob("*.json")) == []

    def test_somebody_elses_group_is_left_alone(self, aci: AciAdapter, azure: FakeAzure, model_file: Path) -> None:
        azure.groups["svc"] = {"name": "svc", "location": "westeurope", "properties": {"containers": []}}
        with pytest.raises(AlreadyExists, match="was not made by Windtunnel"):
            aci.deploy(spec(model_file, overwrite=True)).result(LIMIT_S)
        with pytest.raises(NotFound):
            aci.get("svc")
        assert aci.delete("svc").result(LIMIT_S) is False
        assert "svc" in azure.groups

    def test_a_failed_build_brings_the_end_of_its_log(
        self, aci: AciAdapter, azure: FakeAzure, model_file: Path
    ) -> None:
        azure.run_status = "Failed"
        with pytest.raises(BuildFailed, match=r"ended as Failed \(run cf1\)") as failed:
            aci.deploy(spec(model_file)).result(LIMIT_S)
        assert "all is well" in failed.value.log
        assert azure.groups == {}

    def test_a_registry_that_groups_cannot_pull_from(self, aci: AciAdapter, azure: FakeAzure, model_file: Path) -> None:
        registry = "/subscriptions/00000000-0000-0000-0000-000000000001/resourcegroups/models/providers"
        registry += "/microsoft.containerregistry/registries/acme12345"
        properties: JsonObject = {"loginServer": "acme12345.azurecr.io", "adminUserEnabled": False}
        azure._made[registry] = {"location": "westeurope", "sku": {"name": "Basic"}, "properties": properties}  # type: ignore[attr-defined]
        with pytest.raises(NotConfigured, match="no admin account, and no registry_identity"):
            aci.deploy(spec(model_file)).result(LIMIT_S)

    @pytest.mark.parametrize(
        ("status", "code", "kind"),
        [
            (401, "InvalidAuthenticationToken", AuthenticationFailed),
            (403, "AuthorizationFailed", AuthenticationFailed),
            (404, "SubscriptionNotFound", NotFound),
            (409, "ContainerGroupTransitioning", Conflict),
            (409, "ServiceUnavailable", ServiceError),
            (400, "InvalidContainerGroupUpdate", InvalidSpec),
            (400, "InvalidTemplate", ServiceError),
        ],
    )
    def test_azures_errors_keep_their_code_and_sentence(
        self, aci: AciAdapter, azure: FakeAzure, model_file: Path, status: int, code: str, kind: type[WindtunnelError]
    ) -> None:
        azure.refuse("PUT", GROUPS, status, code, "a sentence of Azure's")
        with pytest.raises(kind, match="deploying container group 'svc': a sentence of Azure's") as refused:
            aci.deploy(spec(model_file)).result(LIMIT_S)
        assert type(refused.value) is kind
        assert refused.value.code == code
        assert refused.value.__cause__ is not None


class TestManagedIdentity:
    """A registry without its admin account."""

    IDENTITY = "/subscriptions/x/resourceGroups/y/providers/Microsoft.ManagedIdentity/userAssignedIdentities/z"

    def test_the_group_pulls_as_the_identity(
        self, make_aci: MakeAci, cloud: Cloud, azure: FakeAzure, model_file: Path
    ) -> None:
        make_aci(cloud, registry_identity=self.IDENTITY).deploy(spec(model_file)).result(LIMIT_S)
        (body,) = azure.sent("PUT", GROUPS)
        assert as_object(body)["identity"] == {"type": "UserAssigned", "userAssignedIdentities": {self.IDENTITY: {}}}
        credentials = as_object(as_object(body)["properties"])["imageRegistryCredentials"]
        assert credentials == [{"server": "acme12345.azurecr.io", "identity": self.IDENTITY}]
        assert azure.sent("POST", "listCredentials") == []
        assert len(azure.sent("POST", "oauth2/exchange")) == 1


class TestOverwriting:
    """A new service in the place of an old one."""

    def test_the_same_size_is_changed_in_place(self, aci: AciAdapter, azure: FakeAzure, model_file: Path) -> None:
        aci.deploy(spec(model_file, tags={"a": "1"})).result(LIMIT_S)
        service = aci.deploy(spec(model_file, tags={"a": "2"}, overwrite=True)).result(LIMIT_S)
        assert service.tags == {"a": "2"}
        assert azure.sent("DELETE", GROUPS) == []

    def test_another_size_needs_another_group(self, aci: AciAdapter, azure: FakeAzure, model_file: Path) -> None:
        aci.deploy(spec(model_file)).result(LIMIT_S)
        service = aci.deploy(spec(model_file, aci=AciOptions(cpu=1, memory_gb=2), overwrite=True)).result(LIMIT_S)
        assert (service.cpu, service.memory_gb) == (1, 2)
        assert len(azure.sent("DELETE", GROUPS)) == 1


class TestUpdates:
    """What of a running service changes, and what stays."""

    def test_tags_are_replaced_and_nothing_restarts(self, aci: AciAdapter, azure: FakeAzure, model_file: Path) -> None:
        aci.deploy(spec(model_file, tags={"a": "1"})).result(LIMIT_S)
        service = aci.update("svc", Change(tags={"b": "2"})).result(LIMIT_S)
        assert (service.tags, service.owner) == ({"b": "2"}, "ada")
        assert len(azure.sent("PUT", GROUPS)) == 1

    def test_authentication_is_switched_in_place_and_keeps_its_keys(
        self, aci: AciAdapter, azure: FakeAzure, model_file: Path
    ) -> None:
        aci.deploy(spec(model_file)).result(LIMIT_S)
        assert aci.update("svc", Change(auth_enabled=True)).result(LIMIT_S).auth_enabled
        keys = aci.keys("svc")
        again = aci.update("svc", Change(environment={"A": "1"})).result(LIMIT_S)
        assert again.auth_enabled
        assert aci.keys("svc") == keys
        assert not aci.update("svc", Change(auth_enabled=False)).result(LIMIT_S).auth_enabled
        assert azure.sent("DELETE", GROUPS) == []

    def test_the_environment_is_replaced_and_the_rest_stays(
        self, aci: AciAdapter, azure: FakeAzure, model_file: Path
    ) -> None:
        options = AciOptions(port=8000, dns_name_label="wing-1")
        aci.deploy(spec(model_file, environment={"A": "1"}, aci=options, tags={"t": "1"})).result(LIMIT_S)
        aci.update("svc", Change(environment={"B": "2"})).result(LIMIT_S)
        before, after = azure.sent("PUT", GROUPS)
        names = [as_object(e)["name"] for e in as_list(container(after, "scoring")["environmentVariables"])]
        assert names == ["SERVICE_NAME", "B", "WINDTUNNEL_PORT"]
        for key in ("ipAddress", "imageRegistryCredentials", "restartPolicy"):
            assert as_object(as_object(after)["properties"])[key] == as_object(as_object(before)["properties"])[key]
        assert as_object(after)["tags"] == as_object(before)["tags"]

    def test_another_script_is_another_image_with_the_same_model(
        self, aci: AciAdapter, azure: FakeAzure, model_file: Path, script_file: Path
    ) -> None:
        before = aci.deploy(spec(model_file)).result(LIMIT_S)
        after = aci.update("svc", Change(script=Script(entry=script_file))).result(LIMIT_S)
        assert after.image != before.image
        assert after.model_digest == before.model_digest
        assert len(azure.sent("POST", "scheduleRun")) == 2

    def test_what_is_not_there_cannot_be_changed(self, aci: AciAdapter) -> None:
        with pytest.raises(NotFound, match="Webservice with name svc not found"):
            aci.update("svc", Change(tags={})).result(LIMIT_S)

    def test_a_service_of_another_machine_keeps_what_azure_does_not_tell(
        self, aci: AciAdapter, make_aci: MakeAci, cloud: Cloud, model_file: Path, tmp_path: Path
    ) -> None:
        aci.deploy(spec(model_file, auth_enabled=True)).result(LIMIT_S)
        for file in (tmp_path / "data").rglob("*.json"):
            file.unlink()
        elsewhere = make_aci(cloud)
        with pytest.raises(InvalidSpec, match="keys of service 'svc' are not on this machine"):
            elsewhere.update("svc", Change(environment={"A": "1"})).result(LIMIT_S)


class TestReading:
    """What a service is, by what ARM says of its group."""

    @pytest.mark.parametrize(
        ("state", "answers", "expected", "error"),
        [
            ({"currentState": {"state": "Running"}}, True, ServiceState.HEALTHY, None),
            ({"currentState": {"state": "Running"}}, False, ServiceState.TRANSITIONING, None),
            (
                {"currentState": {"state": "Running", "startTime": "2020-01-01T00:00:00Z"}},
                False,
                ServiceState.UNHEALTHY,
                "does not answer",
            ),
            (
                {"currentState": {"state": "Terminated", "exitCode": 3, "detailStatus": "Error"}},
                False,
                ServiceState.FAILED,
                r"has crashed with exit code 3\. Did your init method fail\?",
            ),
            (
                {
                    "currentState": {"state": "Waiting", "detailStatus": "CrashLoopBackOff: back-off 10s"},
                    "previousState": {"state": "Terminated", "exitCode": 137, "detailStatus": "OOMKilled"},
                    "restartCount": 4,
                },
                False,
                ServiceState.FAILED,
                "exit code 137 .*CrashLoopBackOff",
            ),
            (
                {"currentState": {"state": "Running"}, "previousState": {"exitCode": 1}, "restartCount": 1},
                True,
                ServiceState.HEALTHY,
                None,
            ),
            (  # the platform itself ended it, and starts it again
                {"currentState": {"state": "Running"}, "previousState": {"exitCode": 137}, "restartCount": 1},
                False,
                ServiceState.TRANSITIONING,
                None,
            ),
            (
                {
                    "currentState": {"state": "Running"},
                    "previousState": {"exitCode": 137, "detailStatus": "OOMKilled"},
                    "restartCount": 1,
                },
                False,
                ServiceState.FAILED,
                r"exit code 137 \(OOMKilled\)",
            ),
            (
                {
                    "currentState": {"state": "Waiting"},
                    "events": [{"type": "Warning", "message": "Failed to pull image"}],
                },
                False,
                ServiceState.UNHEALTHY,
                "Failed to pull image",
            ),
        ],
    )
    def test_states(
        self,
        aci: AciAdapter,
        azure: FakeAzure,
        model_file: Path,
        alive: list[bool],
        state: JsonObject,
        answers: bool,
        expected: ServiceState,
        error: str | None,
    ) -> None:
        azure.container_state = state
        alive.append(answers)
        service = aci.deploy(spec(model_file)).result(LIMIT_S)
        assert service.state is expected
        assert (service.error is None) == (error is None)
        assert re.search(error or "", service.error or "")

    def test_a_list_is_ours_only_and_in_order(self, aci: AciAdapter, azure: FakeAzure, model_file: Path) -> None:
        for name in ("zeta", "alpha"):
            aci.deploy(spec(model_file, name=name)).result(LIMIT_S)
        azure.groups["theirs"] = {"name": "theirs", "location": "x", "properties": {"containers": []}}
        assert [s.name for s in aci.list_services()] == ["alpha", "zeta"]

    def test_without_a_resource_group_there_is_nothing(self, aci: AciAdapter, azure: FakeAzure) -> None:
        azure.refuse(
            "GET", "containerGroups$", 404, "ResourceGroupNotFound", "Resource group 'models' could not be found."
        )
        assert list(aci.list_services()) == []

    def test_logs_are_the_scoring_servers(self, aci: AciAdapter, azure: FakeAzure, model_file: Path) -> None:
        aci.deploy(spec(model_file, auth_enabled=True)).result(LIMIT_S)
        assert aci.logs("svc", 10) == "init() says: hello"
        assert [c.url for c in azure.calls if "/containers/scoring/logs" in c.url and "tail=10" in c.url]

    def test_deleting_says_whether_there_was_one_and_forgets_it(
        self, aci: AciAdapter, model_file: Path, tmp_path: Path
    ) -> None:
        aci.deploy(spec(model_file, auth_enabled=True)).result(LIMIT_S)
        assert aci.delete("svc").result(LIMIT_S) is True
        assert aci.delete("svc").result(LIMIT_S) is False
        assert list((tmp_path / "data").rglob("*.json")) == []

    def test_the_spec_of_a_service_can_be_deployed_again(
        self, aci: AciAdapter, model_file: Path, script_file: Path
    ) -> None:
        asked = spec(
            model_file,
            tags={"a": "1"},
            environment={"B": "2"},
            script=Script(entry=script_file),
            aci=AciOptions(cpu=2, memory_gb=3, port=8000, dns_name_label="wing-1"),
        )
        aci.deploy(asked).result(LIMIT_S)
        assert aci.spec("svc") == asked
        with pytest.raises(NotFound, match="was not deployed from this machine"):
            aci.spec("other")


class TestCancelling:
    """Every long piece of work leaves a known state."""

    def test_a_build_is_cancelled_and_no_service_is_made(
        self, make_aci: MakeAci, cloud: Cloud, azure: FakeAzure, model_file: Path
    ) -> None:
        azure.run_status = "Running"
        operation = make_aci(cloud).deploy(spec(model_file))
        while not azure.sent("GET", "/runs/cf1"):
            operation.wait(0.01)
        operation.cancel()
        with pytest.raises(Cancelled, match="the build was cancelled"):
            operation.result(LIMIT_S)
        assert len(azure.sent("POST", "runs/cf1/cancel")) == 1
        assert azure.groups == {}

    def test_while_it_is_made_a_service_is_transitioning(
        self, make_aci: MakeAci, cloud: Cloud, azure: FakeAzure, model_file: Path
    ) -> None:
        azure.run_status = "Running"
        aci = make_aci(cloud)
        operation = aci.deploy(spec(model_file))
        assert aci.get("svc").state is ServiceState.TRANSITIONING
        azure.run_status = "Succeeded"
        operation.result(LIMIT_S)
        assert aci.get("svc").state is ServiceState.HEALTHY


def test_the_image_depends_on_the_content_only(aci: AciAdapter, model_file: Path) -> None:
    from windtunnel.model import Model

    digest = build_context(Model.read(model_file), "linear").digest
    image = aci.deploy(spec(model_file)).result(LIMIT_S).image
    assert image == f"acme12345.azurecr.io/windtunnel/linear:{digest[:32]}"
