"""From a Pod to the plan that the supervisor of containers carries out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.kubernetes.client.meta import (
    dig,
    entries,
    flag,
    mapping,
    name_of,
    number,
    optional_number,
    text,
    words,
)
from windtunnel_emulators.kubernetes.objects.quantities import QuantityError, read
from windtunnel_emulators.runtime.plan import (
    ContainerPlan,
    ExecAction,
    GroupPlan,
    GrpcAction,
    HttpAction,
    Probe,
    PullPolicy,
    RestartPolicy,
    SleepAction,
    TcpAction,
)

if TYPE_CHECKING:
    from windtunnel_emulators.jsontypes import Json, JsonObject
    from windtunnel_emulators.runtime.interface import Credentials
    from windtunnel_emulators.runtime.plan import ProbeAction


def group_plan(pod: JsonObject, owner: str, credentials: tuple[Credentials, ...]) -> GroupPlan:
    """The plan, but for what is only known when a container starts: commands, environment and mounts."""
    spec = mapping(pod, "spec")
    return GroupPlan(
        owner=owner,
        containers=tuple(_container(c, spec) for c in entries(spec, "containers")),
        init_containers=tuple(_container(c, spec, init=True) for c in entries(spec, "initContainers")),
        restart_policy=RestartPolicy(text(spec, "restartPolicy", default="Always")),
        credentials=credentials,
        grace_s=grace_s(pod),
        hostname=text(spec, "hostname") or name_of(pod)[:63].rstrip(".-"),
    )


def grace_s(pod: JsonObject) -> float:
    """Between SIGTERM and SIGKILL."""
    return float(number(pod, "spec", "terminationGracePeriodSeconds", default=30))


def _container(container: JsonObject, spec: JsonObject, *, init: bool = False) -> ContainerPlan:
    sidecar = init and text(container, "restartPolicy") == "Always"
    lasting = sidecar or not init
    return ContainerPlan(
        name=text(container, "name"),
        image=text(container, "image"),
        working_directory=text(container, "workingDir") or None,
        ports=tuple(number(port, "containerPort") for port in entries(container, "ports")),
        cpu=_quantity(dig(container, "resources", "limits", "cpu")),
        memory_bytes=_bytes(dig(container, "resources", "limits", "memory")),
        liveness=_probe(container, "livenessProbe") if lasting else None,
        readiness=_probe(container, "readinessProbe", eager=True) if lasting else None,
        startup=_probe(container, "startupProbe", eager=True) if lasting else None,
        post_start=_hook(container, "postStart") if lasting else None,
        pre_stop=_hook(container, "preStop") if lasting else None,
        pull=PullPolicy(text(container, "imagePullPolicy", default="IfNotPresent")),
        sidecar=sidecar,
        takes_input=flag(container, "stdin"),
        terminal=flag(container, "tty"),
    )


def _probe(container: JsonObject, field: str, *, eager: bool = False) -> Probe | None:
    probe = container.get(field)
    if not isinstance(probe, dict):
        return None
    action = _action(probe, container)
    if action is None:
        return None
    grace = optional_number(probe, "terminationGracePeriodSeconds")
    return Probe(
        action=action,
        initial_delay_s=number(probe, "initialDelaySeconds"),
        period_s=number(probe, "periodSeconds") or 10,
        timeout_s=number(probe, "timeoutSeconds") or 1,
        success_threshold=number(probe, "successThreshold") or 1,
        failure_threshold=number(probe, "failureThreshold") or 3,
        grace_s=None if grace is None else float(grace),
        eager=eager,
    )


def _hook(container: JsonObject, field: str) -> ProbeAction | None:
    hook = dig(container, "lifecycle", field)
    return _action(hook, container) if isinstance(hook, dict) else None


def _action(asked: JsonObject, container: JsonObject) -> ProbeAction | None:
    if isinstance(asked.get("exec"), dict):
        return ExecAction(command=tuple(words(asked, "exec", "command")))
    http = asked.get("httpGet")
    if isinstance(http, dict):
        path = text(http, "path") or "/"
        return HttpAction(
            port=port_of(http.get("port"), container),
            path=path if path.startswith("/") else f"/{path}",
            scheme=text(http, "scheme", default="HTTP").lower(),
            headers=tuple((text(h, "name"), text(h, "value")) for h in entries(http, "httpHeaders")),
            host=text(http, "host") or None,
        )
    tcp = asked.get("tcpSocket")
    if isinstance(tcp, dict):
        return TcpAction(port=port_of(tcp.get("port"), container), host=text(tcp, "host") or None)
    grpc = asked.get("grpc")
    if isinstance(grpc, dict):
        return GrpcAction(port=number(grpc, "port"), service=text(grpc, "service"))
    sleep = asked.get("sleep")
    if isinstance(sleep, dict):
        return SleepAction(seconds=number(sleep, "seconds"))
    return None


def port_of(port: Json, container: JsonObject) -> int:
    """A number, or the name of one of the container's ports; 0, which answers nothing, for an unknown one."""
    if isinstance(port, int):
        return port
    for known in entries(container, "ports"):
        if known.get("name") == port:
            return number(known, "containerPort")
    return int(port) if isinstance(port, str) and port.isdigit() else 0


def _quantity(value: Json) -> float | None:
    if value is None:
        return None
    try:
        return float(read(value).amount)
    except QuantityError:
        return None


def _bytes(value: Json) -> int | None:
    amount = _quantity(value)
    return None if amount is None else int(amount)
