"""A hub's service API by Microsoft's azure-iot-hub, unmodified: queries, deployments, jobs; and what the CLI sends."""

from __future__ import annotations

import inspect
import re
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest
from msrest.exceptions import HttpOperationError

from iot_manifests import AGENT, HUB, MODULE, layer, manifest
from iot_wire import DEVICE, MODELS, SDK_LEFTOVERS, WAIT_S, Hub, eventually, trusting
from iot_wire import HUB as CLIENTS
from windtunnel_emulators.iot.service.app import ROUTES
from windtunnel_emulators.iot.service.routes import find

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.wire.conftest import Launch, Launched

OPERATIONS: Any = import_module("azure.iot.hub.protocol.operations")

pytestmark = SDK_LEFTOVERS


@pytest.fixture(scope="module")
def launched(launch: Launch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launched]:
    with launch(tmp_path_factory.mktemp("iot")) as found, trusting(found):
        yield found


@pytest.fixture(scope="module")
def hub(launched: Launched) -> Hub:
    return Hub(launched, "serviceHub")


@pytest.fixture(scope="module")
def configurations(hub: Hub) -> Any:
    return CLIENTS.IoTHubConfigurationManager.from_connection_string(hub.connection_string)


@pytest.fixture(scope="module")
def jobs(hub: Hub) -> Any:
    return CLIENTS.IoTHubJobManager.from_connection_string(hub.connection_string)


def operations() -> Iterator[Any]:
    """The method and the path of everything that the SDK can ask."""
    for group in (name for name in dir(OPERATIONS) if name.endswith("Operations")):
        members: dict[str, Any] = getattr(OPERATIONS, group).__dict__
        for name, member in members.items():
            url: str | None = getattr(member, "metadata", {}).get("url")
            if url is not None:
                (method,) = re.findall(r"self\._client\.(get|put|post|patch|delete)\(", inspect.getsource(member))
                yield pytest.param(method.upper(), url, id=f"{group}.{name}")


@pytest.mark.parametrize(("method", "url"), list(operations()))
def test_every_operation_of_the_sdk_has_its_route(method: str, url: str) -> None:
    """It is answered, or refused with the way out; not as a path that nobody knows."""
    assert not isinstance(find(ROUTES, method, url.strip("/").split("/")), bool)


def queried(hub: Hub, text: str, **more: Any) -> Any:
    return hub.registry.query_iot_hub(MODELS.QuerySpecification(query=text), **more)


def test_a_query_is_read_page_by_page(hub: Hub) -> None:
    for number in range(5):
        hub.new_device(f"page{number}")
    pages: list[list[str]] = []
    token: str | None = None
    while token is not None or not pages:
        text = "SELECT * FROM devices WHERE STARTSWITH(deviceId, 'page')"
        found = queried(hub, text, max_item_count=2, continuation_token=token)
        assert found.type == "twin"
        pages.append([one.device_id for one in found.items])
        token = found.continuation_token
    assert pages == [["page0", "page1"], ["page2", "page3"], ["page4"]]
    with pytest.raises(HttpOperationError) as refused:
        queried(hub, "SELECT FROM")
    assert refused.value.response.status_code == 400


def test_rows_of_groups_are_raw(hub: Hub) -> None:
    hub.new_device("grouped", edge=True)
    text = "SELECT capabilities.iotEdge AS edge, COUNT() AS n FROM devices WHERE deviceId = 'grouped' GROUP BY"
    found = queried(hub, f"{text} capabilities.iotEdge")
    assert (found.type, [one.additional_properties for one in found.items]) == ("raw", [{"edge": True, "n": 1}])


def desired(hub: Hub, device: str, module: str) -> Any:
    found = hub.registry.get_module_twin(device, module).properties.desired
    return {name: value for name, value in found.items() if not name.startswith("$")}


def test_a_manifest_sets_the_modules_of_an_edge_device(hub: Hub, configurations: Any) -> None:
    hub.new_device("edge", edge=True)
    content = manifest(score={"properties.desired": {"limit": 3}})["modulesContent"]
    configurations.apply_configuration_on_edge_device("edge", MODELS.ConfigurationContent(modules_content=content))
    assert desired(hub, "edge", "$edgeAgent") == AGENT
    assert desired(hub, "edge", "$edgeHub") == HUB
    assert desired(hub, "edge", "score") == {"limit": 3}
    assert hub.registry.get_module("edge", "score").managed_by == "IotEdge"
    bad = manifest(**{"$edgeHub": {"properties.desired": {**HUB, "routes": {"a.b": "FROM /* INTO $upstream"}}}})
    with pytest.raises(HttpOperationError) as refused:
        configurations.apply_configuration_on_edge_device(
            "edge", MODELS.ConfigurationContent(modules_content=bad["modulesContent"])
        )
    assert (refused.value.response.status_code, "routes.a.b" in refused.value.response.text) == (400, True)
    assert desired(hub, "edge", "$edgeHub") == HUB


def configuration(id: str, content: dict[str, Any], **more: Any) -> Any:
    given = {"modulesContent": "modules_content", "deviceContent": "device_content"}
    ((kind, value),) = content.items()
    return MODELS.Configuration(
        id=id, schema_version="2.0", content=MODELS.ConfigurationContent(**{given[kind]: value}), **more
    )


def tag(hub: Hub, device: str, **tags: Any) -> None:
    hub.registry.update_twin(device, MODELS.Twin(tags=tags), "*")


def test_deployments_at_scale(hub: Hub, configurations: Any) -> None:
    """A base, a layer over it, their metrics; then the layer goes, and the base stays."""
    for name in ("fleet1", "fleet2"):
        hub.new_device(name, edge=True)
        tag(hub, name, fleet=name)
    other = {**MODULE, "settings": {"image": "localhost:5000/other:2"}}
    metrics = MODELS.ConfigurationMetrics(queries={"mine": "SELECT deviceId FROM devices WHERE tags.fleet = 'fleet1'"})
    base = configurations.create_configuration(
        configuration(
            "base",
            manifest(),
            target_condition="IS_DEFINED(tags.fleet)",
            priority=1,
            labels={"a": "b"},
            metrics=metrics,
        )
    )
    assert (base.etag, base.labels, base.metrics.results) == ("MQ==", {"a": "b"}, {"mine": 1})
    configurations.create_configuration(
        configuration("layer", layer(extra=other), target_condition="tags.fleet = 'fleet2'", priority=2)
    )
    assert {"base", "layer"} <= {one.id for one in configurations.get_configurations(10)}
    eventually(lambda: set(desired(hub, "fleet2", "$edgeAgent").get("modules", {})) == {"score", "extra"}, "no layer")
    assert set(desired(hub, "fleet1", "$edgeAgent")["modules"]) == {"score"}
    found = configurations.get_configuration("base")
    counts = found.system_metrics.results
    assert (counts["targetedCount"], counts["appliedCount"]) == (2, 2)
    for name in ("targetedCount", "appliedCount"):
        assert len(queried(hub, found.system_metrics.queries[name]).items) == 2
    for name in ("reportedSuccessfulCount", "reportedFailedCount"):  # the devices run, and report at any moment
        assert len(queried(hub, found.system_metrics.queries[name]).items) <= 2
    with pytest.raises(HttpOperationError, match="Precondition Failed"):
        configurations.update_configuration(base, "other")
    base.priority = 7  # above the layer, which then has no base below it
    changed = configurations.update_configuration(base, base.etag)
    assert (changed.priority, changed.etag) == (7, "Mg==")
    eventually(lambda: set(desired(hub, "fleet2", "$edgeAgent")["modules"]) == {"score"}, "the layer still applies")
    base.content.modules_content = manifest(more={})["modulesContent"]
    with pytest.raises(HttpOperationError, match="Bad Request"):
        configurations.update_configuration(base, "*")
    for id in ("base", "layer"):
        configurations.delete_configuration(id)
    assert not {"base", "layer"} & {one.id for one in configurations.get_configurations()}
    assert set(desired(hub, "fleet2", "$edgeAgent")["modules"]) == {"score"}


def test_queries_are_tried_out(configurations: Any) -> None:
    asked = MODELS.ConfigurationQueriesTestInput(target_condition="tags. = 1", custom_metric_queries={"q": "SELECT"})
    found = configurations.test_configuration_queries(asked)
    assert "position" in found.target_condition_error
    assert set(found.custom_metric_query_errors) == {"q"}


def done(jobs: Any, id: str) -> Any:
    return eventually(
        lambda: found if (found := jobs.get_scheduled_job(id)).status in ("completed", "failed") else None,
        f"job {id} is not over",
    )


def test_jobs_change_twins_and_call_methods(hub: Hub, jobs: Any) -> None:
    for name in ("job1", "job2"):
        hub.new_device(name)
    update = MODELS.JobRequest(
        type="scheduleUpdateTwin",
        query_condition="deviceId IN ['job1', 'job2']",
        max_execution_time_in_seconds=60,
        update_twin=MODELS.Twin(etag="*", tags={"seen": 1}),
    )
    made = jobs.create_scheduled_job("update", update)
    assert (made.job_id, made.type) == ("update", "scheduleUpdateTwin")
    found = done(jobs, "update")
    assert (found.status, found.device_job_statistics.succeeded_count) == ("completed", 2)
    assert hub.registry.get_twin("job2").tags == {"seen": 1}
    call = MODELS.JobRequest(
        type="scheduleDeviceMethod",
        query_condition="tags.seen = 1",
        cloud_to_device_method=MODELS.CloudToDeviceMethod(method_name="ping", response_timeout_in_seconds=10),
    )
    client: Any = DEVICE.IoTHubDeviceClient.create_from_connection_string(
        hub.device_string("job1", hub.registry.get_device("job1").authentication.symmetric_key.primary_key)
    )
    try:
        client.connect()

        def answer(request: Any) -> None:
            client.send_method_response(DEVICE.MethodResponse.create_from_method_request(request, 200, "pong"))

        client.on_method_request_received = answer
        jobs.create_scheduled_job("call", call)
        found = done(jobs, "call")
    finally:
        client.shutdown()
    statistics = found.device_job_statistics
    assert (statistics.device_count, statistics.succeeded_count, statistics.failed_count) == (2, 1, 1)
    rows = queried(hub, "SELECT * FROM devices.jobs WHERE jobId = 'call' AND status = 'completed'")
    assert rows.type == "deviceJob"
    assert [one.additional_properties["outcome"] for one in rows.items] == [
        {"deviceMethodResponse": {"status": 200, "payload": "pong"}}
    ]
    with pytest.raises(HttpOperationError, match="Conflict"):
        jobs.create_scheduled_job("call", call)
    with pytest.raises(HttpOperationError, match="Bad Request"):
        jobs.cancel_scheduled_job("call")
    with pytest.raises(HttpOperationError) as refused:
        jobs.create_import_export_job(MODELS.JobProperties(type="export"))
    assert refused.value.response.status_code == 501
    assert jobs.get_import_export_jobs() == []


def test_statistics_and_messages_that_are_purged(hub: Hub) -> None:
    registry = hub.registry
    before = registry.get_device_registry_statistics()
    made = registry.create_device_with_sas("counted", "", "", "disabled")
    after = registry.get_device_registry_statistics()
    assert after.total_device_count == before.total_device_count + 1
    assert after.disabled_device_count == before.disabled_device_count + 1
    purged = registry.protocol.cloud_to_device_messages.purge_cloud_to_device_message_queue("counted")
    assert (purged.device_id, purged.total_messages_purged) == ("counted", 0)
    registry.delete_device("counted", made.etag)


def test_what_the_azure_cli_sends(hub: Hub) -> None:
    """Quoted etags of configurations, an etag in the body, null in the content, a continuation until there is none."""
    hub.new_device("cli", edge=True)
    token = hub.launched.credential.get_token("https://iothubs.azure.net/.default").token
    with hub.launched.http(
        base_url=f"https://{hub.host}",
        headers={"Authorization": f"Bearer {token}"},
        params={"api-version": "2024-03-31"},
    ) as client:
        sent = {
            "id": "cli",
            "schemaVersion": "2.0",
            "content": manifest(),
            "metrics": {},
            "targetCondition": "tags.cli=true",
            "priority": 0,
            "etag": "*",
        }
        made = client.put("/configurations/cli", json=sent).json()
        assert made["targetCondition"] == "tags.cli=true"
        content = {"deviceContent": None, "moduleContent": None, **made["content"]}
        changed = client.put(
            "/configurations/cli", json={**made, "content": content, "priority": 3}, headers={"If-Match": '"*"'}
        )
        assert (changed.status_code, changed.json()["priority"]) == (200, 3)
        assert "cli" in [one["id"] for one in client.get("/configurations").json()]
        assert client.delete("/configurations/cli", headers={"If-Match": '"*"'}).status_code == 204
        applied = client.post("/devices/cli/applyConfigurationContent", json=manifest())
        assert (applied.status_code, applied.content) == (204, b"")
        headers = {"x-ms-max-item-count": "1"}
        rows: list[str] = []
        while True:
            query = "select * from devices.modules where deviceId='cli'"
            answer = client.post("/devices/query", json={"query": query}, headers=headers)
            rows += [one["moduleId"] for one in answer.json()]
            if "x-ms-continuation" not in answer.headers:
                break
            headers["x-ms-continuation"] = answer.headers["x-ms-continuation"]
        assert rows == ["$edgeAgent", "$edgeHub"]
        listed = client.get("/jobs/v2/query", params={"jobStatus": "completed", "api-version": "2024-03-31"})
        assert all(one["status"] == "completed" for one in listed.json())


def test_what_was_acknowledged_is_done_after_the_hub_was_killed(launch: Launch, tmp_path: Path) -> None:
    """A configuration, a job that waits for its time, and one that is under way while the emulators are killed."""
    with launch(tmp_path) as first, trusting(first):
        hub = Hub(first, "killed")
        jobs: Any = CLIENTS.IoTHubJobManager.from_connection_string(hub.connection_string)
        configurations: Any = CLIENTS.IoTHubConfigurationManager.from_connection_string(hub.connection_string)
        hub.new_device("edge", edge=True)
        call = MODELS.CloudToDeviceMethod(
            method_name="ping", response_timeout_in_seconds=10, connect_timeout_in_seconds=2
        )
        jobs.create_scheduled_job(
            "under-way",
            MODELS.JobRequest(type="scheduleDeviceMethod", query_condition="*", cloud_to_device_method=call),
        )
        jobs.create_scheduled_job(
            "later",
            MODELS.JobRequest(
                type="scheduleUpdateTwin",
                query_condition="*",
                start_time="2100-01-01T00:00:00Z",
                update_twin=MODELS.Twin(etag="*", tags={"a": 1}),
            ),
        )
        configurations.create_configuration(configuration("base", manifest(), target_condition="*"))
        first.process.kill()
        first.process.wait(timeout=WAIT_S)
        with launch(tmp_path):
            eventually(lambda: desired(hub, "edge", "$edgeAgent") == AGENT, "the configuration does not apply")
            found = done(jobs, "under-way")
            assert (found.status, found.device_job_statistics.failed_count) == ("completed", 1)
            later = jobs.get_scheduled_job("later")
            assert later.status == "scheduled"
            assert jobs.cancel_scheduled_job("later").status == "cancelled"
            assert configurations.get_configuration("base").system_metrics.results["appliedCount"] == 1
