"""``FpgaAdapter``: accelerated images in container groups, scored over gRPC.

Azure ML's FPGA service is no longer sold. Its rules are kept: one service per workspace (here: resource group) until
more quota is granted, replicas, keys with TLS only. What computes is the simulator of the device, live too. On Azure
the service ran on nodes of AKS with an FPGA each; until the AKS target is there, a container group takes their place.
"""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from windtunnel.adapters.aci import PROBE_TIMEOUT_S, AciAdapter
from windtunnel.adapters.aci_work import AciWork
from windtunnel.adapters.building import new_keys
from windtunnel.adapters.fpga_group import FpgaDesired, FpgaView
from windtunnel.errors import InvalidSpec, QuotaExceeded
from windtunnel.interface import Endpoint, Keys, Protocol
from windtunnel.model import Model
from windtunnel.operation import BackgroundOperation
from windtunnel.prediction.client import PredictionClient
from windtunnel.spec import MOST_REPLICAS, Target

if TYPE_CHECKING:
    from windtunnel.adapters.aci_desired import Desired
    from windtunnel.adapters.aci_view import View
    from windtunnel.context import Context
    from windtunnel.interface import Deployment
    from windtunnel.operation import Stop
    from windtunnel.records import Record
    from windtunnel.spec import Change, Spec

NO_QUOTA = (
    "This workspace does not have enough quota for FPGA service creation."
    "To request quota for the first time or request additional quota, follow this link"
    " (https://aka.ms/aml-real-time-ai-request). "
)
"""Azure ML's own words (azureml-contrib-brainwave), for the status 412."""
_KEYS_NEED_TLS = "the FPGA service asks for keys with TLS only, and always then"


class FpgaWork(AciWork):
    """The steps, where they are others than those of a scoring server."""

    target: ClassVar[Target] = Target.FPGA

    def package(self, spec: Spec) -> tuple[Model, Context]:
        """As for a scoring server; what of the model the device runs is found out by what serves it."""
        from windtunnel import accelerated  # lazily: what only reads needs none of it

        model = Model.read(spec.model)
        model.check_target(self.target)
        model.check_runtime(self._runtime)
        return model, accelerated.build_context(model, spec.effective_model_name, self._settings.python)

    def create(self, spec: Spec, model: Model, context: Context, record: Record, stop: Stop) -> Desired:
        desired = super().create(spec, model, context, record, stop)
        return FpgaDesired.of(
            replace(desired, cpu=spec.fpga.cpu, memory_gb=spec.fpga.memory_gb), replicas=spec.fpga.replicas
        )

    def as_is(self, now: View, record: Record) -> Desired:
        replicas = now.replicas if isinstance(now, FpgaView) else 1
        return FpgaDesired.of(super().as_is(now, record), replicas=replicas)


class FpgaAdapter(AciAdapter):
    """Raises the errors of ``windtunnel.errors``."""

    target: ClassVar[Target] = Target.FPGA
    views: ClassVar[type[View]] = FpgaView
    works: ClassVar[type[AciWork]] = FpgaWork

    def _keys_of(self, spec: Spec) -> Keys | None:
        if spec.tls is None:
            if spec.authenticates:
                raise InvalidSpec(
                    f"authentication was asked for, and no certificate: {_KEYS_NEED_TLS}",
                    way_out="Give a certificate (--ssl-cert, --ssl-key, --ssl-cname), or leave authentication out.",
                )
            return None
        return super()._keys_of(replace(spec, auth_enabled=True))

    def _check_quota(self, spec: Spec) -> None:
        """Raises ``QuotaExceeded``."""
        limit = self._settings.fpga_quota
        others = sorted(name for name, tags in self._groups.tags().items() if self.owns(tags) and name != spec.name)
        if len(others) >= limit:
            raise QuotaExceeded(
                f"{NO_QUOTA}\nRequest ID: {secrets.token_hex(16)}",
                code="412",
                way_out=f"{limit} may be there, and there is already: {', '.join(others)}. Delete one, or say that more"
                " was granted: --set fpga_quota=2.",
            )

    def _secured(self, desired: Desired, record: Record, change: Change) -> Desired:
        tls = change.tls is not None or desired.certificate is not None
        if change.auth_enabled is not None and change.auth_enabled is not tls:
            raise InvalidSpec(
                f"authentication cannot be switched {'on' if change.auth_enabled else 'off'}: {_KEYS_NEED_TLS}",
                way_out="Give a certificate with it." if change.auth_enabled else "Deploy it again without TLS.",
            )
        secured = super()._secured(desired, record, change)
        return replace(secured, keys=record.keys or new_keys()) if tls else secured

    def _answers(self, endpoint: Endpoint) -> bool:
        client = PredictionClient(endpoint, timeout_s=PROBE_TIMEOUT_S)
        answers = client.alive()
        client.close()
        return answers

    def _endpoint(self, view: View, key: str | None) -> Endpoint:
        endpoint = super()._endpoint(view, key)
        return replace(
            endpoint,
            scoring_uri=view.scoring_uri or "",
            swagger_uri="",
            protocol=Protocol.GRPC,
            service=view.name,
        )

    def scale(self, name: str, replicas: int) -> BackgroundOperation[Deployment]:
        """Raises ``InvalidSpec`` for a number of devices that cannot be."""
        if not 1 <= replicas <= MOST_REPLICAS:
            raise InvalidSpec(f"Invalid configuration, num_replicas must be from 1 to {MOST_REPLICAS}.")
        return BackgroundOperation(f"scaling of service {name!r}", lambda stop: self._scale(name, replicas, stop))

    def _scale(self, name: str, replicas: int, stop: Stop) -> Deployment:
        desired = self._work.as_is(self._view(name), self._record(name))
        self._work.put(FpgaDesired.of(desired, replicas=replicas), stop, delete_when_cancelled=False)
        return self.get(name)
