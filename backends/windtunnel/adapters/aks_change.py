"""From what the user asks for to what the router reads: a new definition, and a changed one."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from windtunnel.aks_options import (
    DEFAULT_REFRESH_SECONDS,
    DEFAULT_TARGET_UTILIZATION,
    AksChange,
)
from windtunnel.errors import InvalidSpec, NotFound
from windtunnel_scoring.router.definition import AutoScaler, LayoutError, ServiceDefinition, VersionDefinition

if TYPE_CHECKING:
    from windtunnel.adapters.aks_objects import Service
    from windtunnel.spec import Change, Spec
    from windtunnel_scoring.router.manifests import Workload

_SIZES = {
    "cpu_cores": "cpu",
    "memory_gb": "memory_gb",
    "cpu_cores_limit": "cpu_limit",
    "memory_gb_limit": "memory_gb_limit",
    "gpu_cores": "gpu",
}
_LIVENESS = {
    "period_seconds": "period_s",
    "initial_delay_seconds": "initial_delay_s",
    "timeout_seconds": "timeout_s",
    "success_threshold": "success_threshold",
    "failure_threshold": "failure_threshold",
}
"""What Azure ML calls a thing, and what the layout does."""


def definition_of(spec: Spec) -> ServiceDefinition:
    """Of a new service: one version, which is the default."""
    options = spec.aks
    version = VersionDefinition(
        name=options.version_name or spec.name,
        is_default=True,
        traffic_percentile=options.traffic_percentile or 0,
        scoring_timeout_ms=options.scoring_timeout_ms,
        max_concurrent_requests=options.replica_max_concurrent_requests,
        max_queue_wait_ms=options.max_request_wait_time,
        num_replicas=options.num_replicas,
        auto_scaler=AutoScaler(
            enabled=options.autoscales or spec.autoscale,
            min_replicas=options.min_replicas,
            max_replicas=options.max_replicas,
            refresh_period_s=options.autoscale_refresh_seconds or DEFAULT_REFRESH_SECONDS,
            target_utilization=options.autoscale_target_utilization or DEFAULT_TARGET_UTILIZATION,
        ),
        collects_data=spec.collect_model_data,
    )
    return ServiceDefinition(
        name=spec.name,
        versions=(version,),
        auth_enabled=spec.authenticates,
        aad_auth_enabled=options.token_auth_enabled,
        app_insights_enabled=spec.app_insights,
    )


def with_version(service: Service, added: Service) -> Service:
    """The service with the version of ``added``, new or in place of the one of that name; raises ``InvalidSpec``."""
    version = added.definition.default
    there = {v.name: v for v in service.definition.versions}
    is_default = version.name in there and there[version.name].is_default
    versions = {**there, version.name: replace(version, is_default=is_default)}
    return replace(
        service,
        definition=_checked(service.definition, tuple(versions.values())),
        workloads={**service.workloads, **added.workloads},
        otlp_endpoint=added.otlp_endpoint or service.otlp_endpoint,
    )


def changed(service: Service, change: Change) -> Service:
    """The service with what the change says of its settings; a new image is made elsewhere. Raises ``InvalidSpec``."""
    only_aks = change.aks or AksChange()
    definition = _authenticated(service.definition, change, only_aks)
    found = version_of(service, change)
    if only_aks.app_insights is not None:
        definition = replace(definition, app_insights_enabled=only_aks.app_insights)
    info = service.info if change.tags is None else replace(service.info, tags=dict(change.tags))
    if only_aks.remove_version:
        if found.is_default:
            raise InvalidSpec(
                f"Error, version {found.name!r} is the default one and cannot be removed.",
                way_out="Make another one the default first: --version-name ... --is-default",
            )
        kept = tuple(v for v in definition.versions if v.name != found.name)
        return replace(service, definition=_checked(definition, kept), info=info)
    workload = _resized(service.workloads[found.name], change, only_aks)
    version = _retuned(found, only_aks)
    default = found.name if only_aks.is_default else definition.default.name
    versions = tuple(
        replace(version if v.name == found.name else v, is_default=v.name == default) for v in definition.versions
    )
    return replace(
        service,
        definition=_checked(definition, versions),
        info=info,
        workloads={**service.workloads, found.name: workload},
    )


def version_of(service: Service, change: Change) -> VersionDefinition:
    """The version that a change is about. Raises ``NotFound``."""
    name = change.aks.version_name if change.aks is not None else None
    if name is None:
        return service.definition.default
    for version in service.definition.versions:
        if version.name == name:
            return version
    names = ", ".join(v.name for v in service.definition.versions)
    raise NotFound(f"service {service.definition.name!r} has no version {name!r}; it has {names}")


def _checked(definition: ServiceDefinition, versions: tuple[VersionDefinition, ...]) -> ServiceDefinition:
    try:
        return replace(definition, versions=versions)
    except LayoutError as error:
        raise InvalidSpec(f"Error, {error}") from error


def _authenticated(definition: ServiceDefinition, change: Change, only_aks: AksChange) -> ServiceDefinition:
    keys, token = change.auth_enabled, only_aks.token_auth_enabled
    if token and definition.auth_enabled and keys is None:
        raise InvalidSpec(
            "Error, cannot set token_auth_enabled without disabling key auth (set auth_enabled to False).",
            way_out="Give --no-auth with it.",
        )
    if keys and definition.aad_auth_enabled and token is None:
        raise InvalidSpec("Error, cannot set both token_auth_enabled and auth_enabled.")
    return replace(
        definition,
        auth_enabled=definition.auth_enabled if keys is None else keys,
        aad_auth_enabled=definition.aad_auth_enabled if token is None else token,
    )


def _resized(workload: Workload, change: Change, only_aks: AksChange) -> Workload:
    sizes = {_SIZES[name]: value for name, value in only_aks.given.items() if name in _SIZES}
    if change.cpu is not None:
        sizes["cpu"] = change.cpu
    if change.memory_gb is not None:
        sizes["memory_gb"] = change.memory_gb
    probe = {_LIVENESS[name]: value for name, value in only_aks.given.items() if name in _LIVENESS}
    found = replace(workload, **sizes)  # type: ignore[arg-type]  # AksChange has checked the types
    if probe:
        found = replace(found, liveness=replace(found.liveness, **probe))  # type: ignore[arg-type]  # likewise
    if change.environment is not None:
        found = replace(found, environment=dict(change.environment))
    for limit, request, name in (
        (found.cpu_limit, found.cpu, "cpu_cores"),
        (found.memory_gb_limit, found.memory_gb, "memory_gb"),
    ):
        if not request > 0:
            raise InvalidSpec(f"Error, {name} must be greater than zero.")
        if limit is not None and limit < request:
            raise InvalidSpec(f"Error, {name}_limit must be greater than or equal to {name}.")
    return found


def _retuned(version: VersionDefinition, change: AksChange) -> VersionDefinition:
    scaler = version.auto_scaler
    scaler = replace(
        scaler,
        min_replicas=change.autoscale_min_replicas or scaler.min_replicas,
        max_replicas=change.autoscale_max_replicas or scaler.max_replicas,
        refresh_period_s=change.autoscale_refresh_seconds or scaler.refresh_period_s,
        target_utilization=change.autoscale_target_utilization or scaler.target_utilization,
    )
    if scaler.min_replicas > scaler.max_replicas:
        raise InvalidSpec("Error, autoscale_min_replicas cannot be greater than autoscale_max_replicas.")
    replicas = change.num_replicas if change.num_replicas is not None else version.num_replicas
    if change.autoscale_enabled is not None:
        scaler = replace(scaler, enabled=change.autoscale_enabled)
    elif change.num_replicas is not None:
        scaler = replace(scaler, enabled=False)
    if not scaler.enabled and replicas is None:
        raise InvalidSpec("Error, autoscale disabled but num_replicas not provided.")
    traffic = change.traffic_percentile
    return replace(
        version,
        auto_scaler=scaler,
        num_replicas=None if scaler.enabled else replicas,
        scoring_timeout_ms=change.scoring_timeout_ms or version.scoring_timeout_ms,
        max_concurrent_requests=change.replica_max_concurrent_requests or version.max_concurrent_requests,
        max_queue_wait_ms=change.max_request_wait_time or version.max_queue_wait_ms,
        traffic_percentile=version.traffic_percentile if traffic is None else traffic,
        mirror_percentile=version.mirror_percentile if change.mirror_percentile is None else change.mirror_percentile,
        collects_data=version.collects_data if change.collect_model_data is None else change.collect_model_data,
    )
