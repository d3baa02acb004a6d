"""The scripted session of the official Python client: a line for each thing that it did and saw."""

from __future__ import annotations

import importlib
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

# The package has no types.
kubernetes: Any = importlib.import_module("kubernetes")
client: Any = importlib.import_module("kubernetes.client")
config: Any = importlib.import_module("kubernetes.config")
dynamic: Any = importlib.import_module("kubernetes.dynamic")
streams: Any = importlib.import_module("kubernetes.stream")
watch: Any = importlib.import_module("kubernetes.watch")

NAMESPACE = "python"
LIMIT_S = 60.0


def refused(call: Callable[[], Any]) -> str:
    """How the API refused."""
    try:
        call()
    except client.ApiException as error:
        return f"{error.status} {error.reason}"
    return "not refused"


def until(call: Callable[[], Any]) -> Any:
    """The first answer that is true."""
    end = time.monotonic() + LIMIT_S
    while not (found := call()):
        if time.monotonic() > end:
            raise SystemExit("waited too long")
        time.sleep(0.1)
    return found


def main() -> None:
    """The session."""
    config.load_kube_config()
    core, apps, rbac = client.CoreV1Api(), client.AppsV1Api(), client.AuthorizationV1Api()
    print("version:", client.VersionApi().get_code().major)
    print("namespace:", core.create_namespace({"metadata": {"name": NAMESPACE}}).status.phase)
    print("twice:", refused(lambda: core.create_namespace({"metadata": {"name": NAMESPACE}})))
    print("groups:", "apps" in [g.name for g in client.ApisApi().get_api_versions().groups])

    first = core.create_namespaced_config_map(NAMESPACE, {"metadata": {"generateName": "a-"}, "data": {"x": "1"}})
    print("generated:", first.metadata.name.startswith("a-"), len(first.metadata.name))
    stale = core.read_namespaced_config_map(first.metadata.name, NAMESPACE)
    core.patch_namespaced_config_map(first.metadata.name, NAMESPACE, {"data": {"x": "2"}})
    stale.data = {"x": "3"}
    print("stale:", refused(lambda: core.replace_namespaced_config_map(first.metadata.name, NAMESPACE, stale)))

    for n in range(5):
        core.create_namespaced_config_map(NAMESPACE, {"metadata": {"name": f"many-{n}", "labels": {"many": "yes"}}})
    page = core.list_namespaced_config_map(NAMESPACE, label_selector="many=yes", limit=2)
    print("page:", [c.metadata.name for c in page.items], page.metadata.remaining_item_count)
    rest = core.list_namespaced_config_map(
        NAMESPACE, label_selector="many=yes", limit=10, _continue=page.metadata._continue
    )
    print("rest:", [c.metadata.name for c in rest.items], rest.metadata.remaining_item_count)

    seen: list[Any] = []
    start = core.list_namespaced_config_map(NAMESPACE, label_selector="many=yes").metadata.resource_version
    core.patch_namespaced_config_map("many-0", NAMESPACE, {"data": {"a": "b"}})
    core.patch_namespaced_config_map("many-1", NAMESPACE, {"metadata": {"labels": {"many": "no"}}})
    core.delete_namespaced_config_map("many-2", NAMESPACE)
    events = watch.Watch()
    for event in events.stream(
        core.list_namespaced_config_map, NAMESPACE, label_selector="many=yes", resource_version=start, timeout_seconds=5
    ):
        seen.append((event["type"], event["object"].metadata.name))
        if len(seen) == 3:
            events.stop()
    print("watched:", seen)
    print(
        "too old:",
        refused(
            lambda: list(
                watch.Watch().stream(
                    core.list_namespaced_config_map, NAMESPACE, resource_version="1", timeout_seconds=2
                )
            )
        ),
    )

    container: dict[str, Any] = {"name": "web", "image": "nginx:1.27", "ports": [{"containerPort": 80}]}
    container["readinessProbe"] = {"httpGet": {"path": "/", "port": 80}, "periodSeconds": 1}
    template = {
        "metadata": {"labels": {"app": "py"}},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 1},
    }
    spec = {"replicas": 2, "selector": {"matchLabels": {"app": "py"}}, "template": template}
    apps.create_namespaced_deployment(NAMESPACE, {"metadata": {"name": "py"}, "spec": spec})
    until(lambda: apps.read_namespaced_deployment_status("py", NAMESPACE).status.ready_replicas == 2)
    print("ready:", apps.read_namespaced_deployment_scale("py", NAMESPACE).status.replicas)
    apps.patch_namespaced_deployment_scale("py", NAMESPACE, {"spec": {"replicas": 1}})
    until(lambda: len(core.list_namespaced_pod(NAMESPACE, label_selector="app=py").items) == 1)
    pod = core.list_namespaced_pod(NAMESPACE, label_selector="app=py").items[0]
    print("pod:", pod.status.phase, pod.status.qos_class, [c.ready for c in pod.status.container_statuses])
    command = ["sh", "-c", "echo out; echo err >&2"]
    answer = streams.stream(
        core.connect_get_namespaced_pod_exec, pod.metadata.name, NAMESPACE, command=command, stdout=True, stderr=True,
        stdin=False, tty=False, _preload_content=False,
    )  # fmt: skip
    answer.run_forever(timeout=10)
    print("exec:", answer.read_stdout().strip(), answer.read_stderr().strip(), answer.returncode)
    forward = streams.portforward(core.connect_get_namespaced_pod_portforward, pod.metadata.name, NAMESPACE, ports="80")
    socket = forward.socket(80)
    socket.setblocking(True)
    socket.sendall(b"GET / HTTP/1.0\r\n\r\n")
    print("forwarded:", socket.recv(12).decode())
    socket.close()
    print("log:", isinstance(core.read_namespaced_pod_log(pod.metadata.name, NAMESPACE), str))

    review = {"spec": {"resourceAttributes": {"verb": "list", "resource": "secrets", "namespace": NAMESPACE}}}
    print("may:", rbac.create_self_subject_access_review(review).status.allowed)
    resources = dynamic.DynamicClient(client.ApiClient()).resources
    found = resources.get(api_version="apps/v1", kind="Deployment")
    print("dynamic:", found.name, found.namespaced, sorted(found.verbs))
    applied = found.server_side_apply(
        namespace=NAMESPACE, name="py", field_manager="python",
        body={"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "py", "labels": {"by": "python"}}},
    )  # fmt: skip
    print("applied:", applied.metadata.labels.to_dict())
    print("dry run:", core.create_namespaced_secret(NAMESPACE, {"metadata": {"name": "dry"}}, dry_run="All").type)
    print("dry run left:", refused(lambda: core.read_namespaced_secret("dry", NAMESPACE)))
    print("invalid:", refused(lambda: core.create_namespaced_pod(NAMESPACE, {"metadata": {"name": "UPPER"}})))
    print(
        "evict:",
        refused(lambda: core.create_namespaced_pod_eviction("nobody", NAMESPACE, {"metadata": {"name": "nobody"}})),
    )
    core.delete_namespace(NAMESPACE)
    until(lambda: refused(lambda: core.read_namespace(NAMESPACE)) == "404 Not Found")
    print("gone:")


if __name__ == "__main__":
    if not kubernetes.__version__:
        raise SystemExit("no version")
    main()
