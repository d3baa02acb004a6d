"""Load on a deployed service, and its report: what was measured, of what, on which machine."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from windtunnel.errors import InvalidSpec, ScoringFailed
from windtunnel.interface import Protocol
from windtunnel.scoring_client import ScoringClient, tls_context
from windtunnel_perf import load
from windtunnel_perf.load import Outcome, Where
from windtunnel_perf.machine import machine

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from windtunnel.interface import Backend, Deployment, Endpoint
    from windtunnel.jsontypes import Json, JsonObject
    from windtunnel.spec import Target


def plan(**values: float | int | bool) -> load.Plan:
    """A plan from values of a command line. Raises ``InvalidSpec``."""
    try:
        return load.Plan(**values)  # type: ignore[arg-type]  # checked by the command line
    except ValueError as error:
        raise InvalidSpec(str(error)) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One run."""

    backend: str
    service: Deployment
    plan: load.Plan
    outcome: Outcome
    machine: Mapping[str, str | int]

    @property
    def warnings(self) -> list[str]:
        """What to know before the figures are believed."""
        found = self.outcome.warnings(self.plan)
        if self.outcome.errors:
            found.append(
                f"{sum(self.outcome.errors.values())} of {self.outcome.requests} requests failed; latencies are of the"
                " others only"
            )
        return found

    @property
    def achieved_rate(self) -> float:
        """Good answers per second."""
        return self.outcome.answered / self.outcome.seconds if self.outcome.seconds else 0.0

    def fields(self) -> dict[str, object]:
        """For a person."""
        outcome = self.outcome
        errors = ", ".join(f"{kind}: {count}" for kind, count in sorted(outcome.errors.items()))
        arrivals = f"Poisson arrivals, seed {self.plan.seed}" if self.plan.poisson else "evenly spaced"
        return {
            "service": f"{self.service.name} ({self.backend}/{self.service.target})",
            "model": self.service.model_name,
            "load": f"{self.plan.rate:g}/s for {self.plan.duration_s:g} s, {arrivals},"
            f" at most {self.plan.connections} connections",
            "answered": f"{outcome.answered} of {outcome.requests} ({self.achieved_rate:.1f}/s)",
            **{f"{name} ms": f"{value:.2f}" for name, value in outcome.latency.summary().items()},
            "errors": errors or "none",
            "generator": f"p99 {outcome.lag.percentile_ms(99):.2f} ms late, {outcome.cpu_share:.0%} of a core",
            "machine": f"{self.machine.get('processor')}, {self.machine.get('cores')} cores,"
            f" Python {self.machine.get('python')}",
        }

    def json(self) -> JsonObject:
        """For a program."""
        outcome = self.outcome
        errors: JsonObject = dict(outcome.errors)
        latency: JsonObject = dict(outcome.latency.summary())
        lag: JsonObject = dict(outcome.lag.summary())
        versions: JsonObject = dict(self.machine)
        planned: JsonObject = dict(asdict(self.plan))
        warnings: list[Json] = [*self.warnings]
        return {
            "source": "measured",
            "backend": self.backend,
            "target": self.service.target.value,
            "service": self.service.name,
            "model": self.service.model_name,
            "modelDigest": self.service.model_digest,
            "plan": planned,
            "requests": outcome.requests,
            "answered": outcome.answered,
            "answeredPerSecond": round(self.achieved_rate, 2),
            "latencyMs": latency,
            "errors": errors,
            "generator": {
                "lagMs": lag,
                "late": outcome.late,
                "queued": outcome.queued,
                "cpuShare": round(outcome.cpu_share, 3),
            },
            "warnings": warnings,
            "machine": versions,
        }


def bench_service(
    backend: Backend, target: Target, name: str, body: bytes, plan: load.Plan, note: Callable[[str], None]
) -> Report:
    """Load a service as planned. Raises ``ScoringFailed`` when even one request, before the load, is not answered."""
    service = backend.get(target, name)
    endpoint = backend.endpoint(target, name)
    if endpoint.protocol is not Protocol.HTTP:
        raise InvalidSpec(
            f"service {name!r} speaks {endpoint.protocol}, and the load generator speaks HTTP only",
            way_out="Measure it with pytest perf/bench_fpga.py --benchmark-only, over gRPC.",
        )
    client = ScoringClient(endpoint, timeout_s=plan.timeout_s)
    first = client.score(body)
    client.close()
    if first.status >= 400:
        raise ScoringFailed(
            f"service {name!r} answers this request with status {first.status}: {first.text(300)}",
            status=first.status,
            body=first.text(2000),
            way_out="Load with a request that is answered.",
        )
    note(f"loading {endpoint.scoring_uri} for {plan.warm_up_s + plan.duration_s:g} s")
    outcome = asyncio.run(load.run(where_of(endpoint, body), plan))
    return Report(backend=backend.name, service=service, plan=plan, outcome=outcome, machine=machine())


def where_of(endpoint: Endpoint, body: bytes) -> Where:
    """The request that is sent, and to where."""
    url = urlsplit(endpoint.scoring_uri)
    secure = url.scheme == "https"
    lines = [
        f"POST {url.path or '/'} HTTP/1.1",
        f"Host: {url.netloc}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
    ]
    if endpoint.key is not None:
        lines.append(f"Authorization: Bearer {endpoint.key}")
    return Where(
        host=endpoint.address or url.hostname or "",
        port=url.port or (443 if secure else 80),
        request="\r\n".join([*lines, "", ""]).encode() + body,
        tls=tls_context(endpoint) if secure else None,
        server_name=url.hostname,
    )


def save(report: Report, path: Path) -> None:
    """Write the report as JSON."""
    path.write_text(json.dumps(report.json(), indent=2) + "\n", "utf-8")
