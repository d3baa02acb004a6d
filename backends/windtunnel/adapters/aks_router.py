"""``Router``: Windtunnel's router on a cluster, once for all its services, as Azure ML's ``azureml-fe`` was.

It runs from the image of the service that was deployed first (every image has it), and is replaced when a deployment
brings another version of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel import __version__
from windtunnel.adapters.aks_objects import OTLP, PULL_SECRET
from windtunnel.aks_options import Purpose
from windtunnel.jsontypes import as_list, as_object, as_str
from windtunnel_scoring.router import objects
from windtunnel_scoring.router.manifests import ROUTER, RouterWorkload, router_objects

if TYPE_CHECKING:
    from windtunnel.adapters.kube import Kube

VERSION_ANNOTATION = "windtunnel.dev/router"


class Router:
    """Raises the errors of ``windtunnel.errors``."""

    def __init__(self, kube: Kube) -> None:
        self._kube = kube

    def base(self) -> str | None:
        """Where it answers, without a slash at the end; None as long as it has no address."""
        service = self._kube.get("Service", ROUTER, objects.NAMESPACE)
        if service is None:
            return None
        ingress = as_list(as_object(as_object(service.get("status")).get("loadBalancer")).get("ingress"))
        first = as_object(ingress[0]) if ingress else {}
        host = as_str(first.get("hostname")) or as_str(first.get("ip"))
        ports = as_list(as_object(service.get("spec")).get("ports"))
        port = as_object(ports[0]).get("port") if ports else 80
        return f"{'https' if port == 443 else 'http'}://{host}" if host else None

    def ensure(self, image: str, purpose: Purpose, otlp_endpoint: str | None) -> bool:
        """Deploy it, unless it is there in this version; True when something was applied.

        One that exports telemetry goes on doing so when a deployment says nothing of it.
        """
        from windtunnel.wheel import wheel_digest  # lazily: what only reads needs none of it

        version = f"{__version__}+{wheel_digest()}" + (f" {otlp_endpoint}" if otlp_endpoint else "")
        there = self._kube.get("Deployment", ROUTER, objects.NAMESPACE)
        annotations = as_object(as_object((there or {}).get("metadata")).get("annotations"))
        known = as_str(annotations.get(VERSION_ANNOTATION))
        current = known == version or (otlp_endpoint is None and known.partition(" ")[0] == version)
        if current and self._kube.get("Service", ROUTER, objects.NAMESPACE):
            return False
        # Azure ML runs three in production and one otherwise.
        workload = RouterWorkload(
            image=image,
            replicas=1 if purpose is Purpose.DEV_TEST else 3,
            pull_secret=PULL_SECRET,
            environment={OTLP: otlp_endpoint} if otlp_endpoint else {},
        )
        for manifest in router_objects(workload):
            if manifest["kind"] == "Deployment":
                as_object(manifest["metadata"])["annotations"] = {VERSION_ANNOTATION: version}
            self._kube.apply(manifest)
        return True
