"""The FPGA adapter, through the real SDKs, at a subscription in memory; and what an accelerated image is made of."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from windtunnel import accelerated
from windtunnel.adapters.building import Settings
from windtunnel.adapters.clients import Clients
from windtunnel.adapters.fpga import FpgaAdapter
from windtunnel.errors import InvalidSpec, NotFound, QuotaExceeded
from windtunnel.interface import KeyName, Protocol, ServiceState
from windtunnel.jsontypes import Json, JsonObject, as_list, as_object
from windtunnel.model import Model
from windtunnel.prediction.client import PredictionClient
from windtunnel.records import Records
from windtunnel.runtime_check import InstalledRuntime
from windtunnel.spec import Change, FpgaOptions, Spec, Target, Tls

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Protocol as Shape

    from windtunnel.clouds import Cloud
    from windtunnel.interface import Progress

    class FakeAzure(Shape):
        groups: dict[str, JsonObject]

        def sent(self, method: str, path: str) -> list[Json]: ...

    class MakeFpga(Shape):
        def __call__(self, **changes: object) -> FpgaAdapter: ...


LIMIT_S = 30.0
SECRET = "********"
"""What the subscription in memory shows of secrets."""


@pytest.fixture
def make_fpga(
    tmp_path: Path, cloud: Cloud, azure: FakeAzure, steps: list[Progress], monkeypatch: pytest.MonkeyPatch
) -> MakeFpga:
    """The adapter, whose services answer."""

    def alive(_client: PredictionClient) -> bool:
        return True

    monkeypatch.setattr(PredictionClient, "alive", alive)
    settings = Settings(
        resource_group="models", location="westeurope", registry="acme12345", owner="ada", lifetime=None
    )

    def make(**changes: object) -> FpgaAdapter:
        return FpgaAdapter(
            Clients(cloud, "00000000-0000-0000-0000-000000000001"),
            replace(settings, **changes),  # type: ignore[arg-type]  # the tests' own business
            Records(tmp_path / "data", cloud=cloud.resource_manager, subscription="s", group="models"),
            InstalledRuntime(),
            steps.append,
        )

    return make


@pytest.fixture
def tls(tmp_path: Path) -> Tls:
    for name in ("cert.pem", "key.pem"):
        (tmp_path / name).write_text(f"the {name}", "utf-8")
    return Tls(certificate=tmp_path / "cert.pem", key=tmp_path / "key.pem", cname="wings.example")


def spec(model_file: Path, **changes: object) -> Spec:
    made = Spec(name="svc", model=model_file, target=Target.FPGA)
    return replace(made, **changes)  # type: ignore[arg-type]  # the tests' own business


def container(azure: FakeAzure, at: int = -1, name: str = "svc") -> JsonObject:
    """The one container of a group that was asked for."""
    body = as_object(azure.sent("PUT", f"containerGroups/{name}")[at])
    (only,) = as_list(as_object(body["properties"])["containers"])
    return as_object(as_object(only)["properties"])


def test_the_group_runs_the_simulator_and_exposes_its_port(
    make_fpga: MakeFpga, azure: FakeAzure, model_file: Path
) -> None:
    service = make_fpga().deploy(spec(model_file)).result(LIMIT_S)
    assert (service.state, service.target, service.replicas) == (ServiceState.HEALTHY, Target.FPGA, 1)
    assert (service.scoring_uri, service.swagger_uri) == ("http://192.0.2.7:50051/", None)
    assert (service.cpu, service.memory_gb) == (1.0, 1.5)
    found = container(azure)
    assert found["command"] == ["python", "-m", "windtunnel_emulators.brainwave.service"]
    assert found["ports"] == [{"port": 50051, "protocol": "TCP"}]
    assert found["environmentVariables"] == [{"name": "SERVICE_NAME", "value": "svc"}]
    assert "readinessProbe" not in found
    endpoint = make_fpga().endpoint("svc")
    assert (endpoint.protocol, endpoint.service, endpoint.key) == (Protocol.GRPC, "svc", None)


def test_on_port_80_the_uri_is_one_that_microsofts_client_can_use(make_fpga: MakeFpga, model_file: Path) -> None:
    asked = spec(model_file)
    service = make_fpga().deploy(replace(asked, aci=replace(asked.aci, port=80))).result(LIMIT_S)
    assert service.scoring_uri == "http://192.0.2.7/"


def test_a_second_service_is_more_than_the_quota_in_azures_words_and_is_not_made(
    make_fpga: MakeFpga, azure: FakeAzure, model_file: Path
) -> None:
    make_fpga().deploy(spec(model_file)).result(LIMIT_S)
    with pytest.raises(QuotaExceeded) as refused:
        make_fpga().deploy(spec(model_file, name="second")).result(LIMIT_S)
    assert str(refused.value).startswith(
        "This workspace does not have enough quota for FPGA service creation.To request quota for the first time"
    )
    assert refused.value.code == "412"
    assert "svc" in (refused.value.way_out or "")
    assert azure.sent("PUT", "containerGroups/second") == []
    with pytest.raises(NotFound):
        make_fpga().get("second")


def test_the_quota_is_a_setting_and_overwriting_is_no_second_service(make_fpga: MakeFpga, model_file: Path) -> None:
    make_fpga().deploy(spec(model_file)).result(LIMIT_S)
    make_fpga().deploy(spec(model_file, overwrite=True)).result(LIMIT_S)
    make_fpga(fpga_quota=2).deploy(spec(model_file, name="second")).result(LIMIT_S)
    assert [service.name for service in make_fpga().list_services()] == ["second", "svc"]


def test_keys_come_with_tls_and_only_then(make_fpga: MakeFpga, azure: FakeAzure, model_file: Path, tls: Tls) -> None:
    with pytest.raises(InvalidSpec, match="with TLS only"):
        make_fpga().deploy(spec(model_file, auth_enabled=True))
    fpga = make_fpga()
    service = fpga.deploy(spec(model_file, tls=tls)).result(LIMIT_S)
    assert (service.auth_enabled, service.tls_enabled) == (True, True)
    assert service.scoring_uri == "https://wings.example:50051/"
    variables = as_list(container(azure)["environmentVariables"])
    for name in ("WINDTUNNEL_PRIMARY_KEY", "WINDTUNNEL_SECONDARY_KEY", "WINDTUNNEL_TLS_KEY"):
        assert {"name": name, "secureValue": SECRET} in variables
    endpoint = fpga.endpoint("svc")
    assert endpoint.key == fpga.keys("svc").primary
    assert (endpoint.address, endpoint.certificate) == ("192.0.2.7", "the cert.pem")
    before = fpga.keys("svc")
    after = fpga.regenerate_key("svc", KeyName.PRIMARY, None).result(LIMIT_S)
    assert (after.primary != before.primary, after.secondary) == (True, before.secondary)


def test_keys_cannot_be_switched_without_tls_nor_tls_kept_without_keys(
    make_fpga: MakeFpga, model_file: Path, tls: Tls
) -> None:
    fpga = make_fpga()
    fpga.deploy(spec(model_file)).result(LIMIT_S)
    with pytest.raises(InvalidSpec, match="cannot be switched on"):
        fpga.update("svc", Change(auth_enabled=True)).result(LIMIT_S)
    changed = fpga.update("svc", Change(tls=tls)).result(LIMIT_S)
    assert (changed.auth_enabled, changed.tls_enabled) == (True, True)
    with pytest.raises(InvalidSpec, match="cannot be switched off"):
        fpga.update("svc", Change(auth_enabled=False)).result(LIMIT_S)


def test_devices_are_scaled_and_stay_through_other_changes(
    make_fpga: MakeFpga, azure: FakeAzure, model_file: Path
) -> None:
    fpga = make_fpga()
    fpga.deploy(spec(model_file, fpga=FpgaOptions(replicas=3))).result(LIMIT_S)
    assert {"name": "WINDTUNNEL_REPLICAS", "value": "3"} in as_list(container(azure)["environmentVariables"])
    assert fpga.update("svc", Change(environment={"A": "b"})).result(LIMIT_S).replicas == 3
    assert fpga.scale("svc", 1).result(LIMIT_S).replicas == 1
    for wrong in (0, 65):
        with pytest.raises(InvalidSpec, match="num_replicas"):
            fpga.scale("svc", wrong)
    assert fpga.spec("svc").fpga.replicas == 3


def test_services_of_other_targets_are_not_its_own(make_fpga: MakeFpga, azure: FakeAzure, model_file: Path) -> None:
    fpga = make_fpga()
    fpga.deploy(spec(model_file)).result(LIMIT_S)
    (group,) = azure.groups.values()
    as_object(group["tags"])["windtunnel-target"] = "aci"
    assert list(fpga.list_services()) == []
    with pytest.raises(NotFound):
        fpga.get("svc")


def test_an_accelerated_image_is_made_of_pins_the_model_and_the_simulator_alone(model_file: Path) -> None:
    context = accelerated.build_context(Model.read(model_file), "linear", "3.11")
    contents = {entry.path: entry.source for entry in context.entries}
    (wheel,) = (path for path in contents if path.startswith("wheels/"))
    assert sorted(contents) == ["Dockerfile", "azureml-models/linear/1/linear.onnx", "requirements.txt", wheel]
    pins = contents["requirements.txt"]
    assert isinstance(pins, bytes)
    assert {"grpcio", "onnxruntime", "pillow", "protobuf"} <= {line.split("==")[0] for line in pins.decode().split()}
    text = contents["Dockerfile"]
    assert isinstance(text, bytes)
    assert text.decode().splitlines()[-2:] == [
        "EXPOSE 50051",
        'CMD ["python", "-m", "windtunnel_emulators.brainwave.service"]',
    ]
    assert accelerated.build_context(Model.read(model_file), "linear", "3.11").digest == context.digest
