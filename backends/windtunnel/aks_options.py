"""What only AKS needs to know of a service: ``AksOptions`` for a new one, ``AksChange`` for one that runs.

Parameters, defaults, rules and messages are those of ``AksWebservice.deploy_configuration`` and ``update``
(azureml-core 1.61). All that is wrong is said at once, a line each.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import StrEnum
from typing import TYPE_CHECKING

from windtunnel import names
from windtunnel.errors import InvalidSpec

if TYPE_CHECKING:
    from collections.abc import Iterator

DEFAULT_MIN_REPLICAS = 1
DEFAULT_MAX_REPLICAS = 10
DEFAULT_REFRESH_SECONDS = 1
DEFAULT_TARGET_UTILIZATION = 70
MOST_MIRRORED = 50
_POSITIVE = (
    "autoscale_min_replicas",
    "autoscale_max_replicas",
    "autoscale_refresh_seconds",
    "autoscale_target_utilization",
    "cpu_cores",
    "memory_gb",
    "scoring_timeout_ms",
    "replica_max_concurrent_requests",
    "max_request_wait_time",
    "num_replicas",
    "period_seconds",
    "initial_delay_seconds",
    "timeout_seconds",
    "success_threshold",
    "failure_threshold",
)
_AUTOSCALER = _POSITIVE[:4]


class Purpose(StrEnum):
    """``AksCompute.ClusterPurpose``."""

    FAST_PROD = "FastProd"
    DEV_TEST = "DevTest"

    @property
    def nodes(self) -> int:
        """How many, when nobody says."""
        return 3 if self is Purpose.FAST_PROD else 1


@dataclass(frozen=True, slots=True, kw_only=True)
class AksOptions:
    """Names and defaults of Azure ML; times in the units that their names say."""

    cpu_cores: float = 0.1
    """Requested of a node; may use more unless ``cpu_cores_limit`` says otherwise."""
    memory_gb: float = 0.5
    cpu_cores_limit: float | None = None
    memory_gb_limit: float | None = None
    gpu_cores: int = 0
    num_replicas: int | None = None
    autoscale_enabled: bool | None = None
    """Default: whether ``num_replicas`` is not given."""
    autoscale_min_replicas: int | None = None
    autoscale_max_replicas: int | None = None
    autoscale_refresh_seconds: int | None = None
    autoscale_target_utilization: int | None = None
    """Percent of the replicas' places that are busy or waited for."""
    scoring_timeout_ms: int = 60_000
    replica_max_concurrent_requests: int = 1
    max_request_wait_time: int = 500
    """Milliseconds in the queue, after which the answer is 503."""
    period_seconds: int = 10
    initial_delay_seconds: int = 310
    timeout_seconds: int = 2
    success_threshold: int = 1
    failure_threshold: int = 3
    namespace: str | None = None
    """Default: that of the cluster's router."""
    token_auth_enabled: bool = False
    version_name: str | None = None
    """Default: the service's name. Another one than those of a service that is there is added to it."""
    traffic_percentile: int | None = None
    """Percent of the requests; default: what the other versions leave, when it is the first one."""

    def __post_init__(self) -> None:
        problems = [*_problems(self), *_autoscaler_problems(self)]
        if problems:
            raise InvalidSpec("\n".join(f"Invalid configuration, {problem}" for problem in problems))
        if self.version_name is not None:
            names.check_service(self.version_name)

    @property
    def autoscales(self) -> bool:
        """Whether the replicas follow the load."""
        return self.num_replicas is None if self.autoscale_enabled is None else self.autoscale_enabled

    @property
    def min_replicas(self) -> int:
        """The fewest, and how many there are at first."""
        return self.autoscale_min_replicas or DEFAULT_MIN_REPLICAS

    @property
    def max_replicas(self) -> int:
        """The most."""
        return self.autoscale_max_replicas or DEFAULT_MAX_REPLICAS


@dataclass(frozen=True, slots=True, kw_only=True)
class AksChange:
    """What to change; None leaves a thing as it is."""

    cpu_cores: float | None = None
    memory_gb: float | None = None
    cpu_cores_limit: float | None = None
    memory_gb_limit: float | None = None
    gpu_cores: int | None = None
    num_replicas: int | None = None
    autoscale_enabled: bool | None = None
    autoscale_min_replicas: int | None = None
    autoscale_max_replicas: int | None = None
    autoscale_refresh_seconds: int | None = None
    autoscale_target_utilization: int | None = None
    scoring_timeout_ms: int | None = None
    replica_max_concurrent_requests: int | None = None
    max_request_wait_time: int | None = None
    period_seconds: int | None = None
    initial_delay_seconds: int | None = None
    timeout_seconds: int | None = None
    success_threshold: int | None = None
    failure_threshold: int | None = None
    token_auth_enabled: bool | None = None
    collect_model_data: bool | None = None
    app_insights: bool | None = None
    version_name: str | None = None
    """Which version of the service is changed; default: its default version."""
    traffic_percentile: int | None = None
    mirror_percentile: int | None = None
    """Percent of the requests that are copied to the version; nobody sees its answers."""
    is_default: bool | None = None
    """Make it the version that gets what the others leave."""
    remove_version: bool | None = None

    def __post_init__(self) -> None:
        problems = [*_problems(self)]
        if self.mirror_percentile is not None and not 0 <= self.mirror_percentile <= MOST_MIRRORED:
            problems.append(f"mirror_percentile cannot be negative or greater than {MOST_MIRRORED}.")
        if self.remove_version and self.version_name is None:
            problems.append("version_name is needed to remove a version.")
        if self.autoscale_enabled and self.num_replicas is not None:
            problems.append("autoscale enabled and num_replicas provided.")
        if self.autoscale_enabled is False:
            problems += [
                f"{name} provided without enabling autoscaling."
                for name in _AUTOSCALER
                if getattr(self, name) is not None
            ]
        if problems:
            raise InvalidSpec("\n".join(f"Error, {problem}" for problem in problems))

    @property
    def given(self) -> dict[str, int | float | bool | str]:
        """What is to change, by name."""
        pairs = ((f.name, getattr(self, f.name)) for f in fields(self))
        return {name: value for name, value in pairs if value is not None}


def _problems(options: AksOptions | AksChange) -> Iterator[str]:
    for name in _POSITIVE:
        value = getattr(options, name)
        if value is not None and not value > 0:
            yield f"{name} must be greater than zero."
    least, most = options.autoscale_min_replicas, options.autoscale_max_replicas
    if least is not None and most is not None and least > most:
        yield "autoscale_min_replicas cannot be greater than autoscale_max_replicas."
    for limit, request in (("cpu_cores_limit", "cpu_cores"), ("memory_gb_limit", "memory_gb")):
        most_of, asked = getattr(options, limit), getattr(options, request)
        if most_of is not None and asked is not None and most_of < asked:
            yield f"{limit} must be greater than or equal to {request}."
        elif most_of is not None and not most_of > 0:
            yield f"{limit} must be greater than zero."
    if options.gpu_cores is not None and options.gpu_cores < 0:
        yield "gpu_cores must be greater than or equal to zero."
    percentile = options.traffic_percentile
    if percentile is not None and not 0 <= percentile <= 100:
        yield "traffic_percentile cannot be negative or greater than 100."


def _autoscaler_problems(options: AksOptions) -> Iterator[str]:
    if options.autoscale_enabled and options.num_replicas is not None:
        yield "autoscale enabled and num_replicas provided."
    if options.autoscale_enabled is False and options.num_replicas is None:
        yield "autoscale disabled but num_replicas not provided."
    if not options.autoscale_enabled:
        for name in _AUTOSCALER:
            if getattr(options, name) is not None:
                yield f"{name} provided without enabling autoscaling."
    least = options.autoscale_min_replicas
    if options.autoscale_max_replicas is None and least is not None and least > DEFAULT_MAX_REPLICAS:
        yield "autoscale_min_replicas cannot be greater than autoscale_max_replicas."
    if options.namespace is not None and not names.is_namespace(options.namespace):
        yield (f"namespace must be a valid Kubernetes namespace. Regex for validation is {names.NAMESPACE.pattern}")
