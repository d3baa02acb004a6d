"""Signs approved certificate requests with the cluster's authority, for the signers of Kubernetes itself."""

from __future__ import annotations

import base64
from datetime import timedelta
from typing import TYPE_CHECKING

from windtunnel_emulators.jsontypes import as_list, as_object, as_str
from windtunnel_emulators.kubernetes.access.admission.certificates import approved
from windtunnel_emulators.kubernetes.api import metadata as meta

if TYPE_CHECKING:
    from windtunnel_emulators.jsontypes import Json, JsonObject
    from windtunnel_emulators.kubernetes.access.state import State
    from windtunnel_emulators.kubernetes.api.storage import Event
    from windtunnel_emulators.kubernetes.certificates import ClusterAuthority

REQUESTS = "certificatesigningrequests.certificates.k8s.io"
_KEY_USAGES = frozenset({"key encipherment", "digital signature"})
_CLIENT, _SERVER = _KEY_USAGES | {"client auth"}, _KEY_USAGES | {"server auth"}
_SIGNERS = {
    "kubernetes.io/kube-apiserver-client": _CLIENT,
    "kubernetes.io/kube-apiserver-client-kubelet": _CLIENT,
    "kubernetes.io/kubelet-serving": _SERVER,
}
"""What their certificates may be used for."""
_LIFE = timedelta(days=365)


class CertificateSigner:
    """Follows the requests of one cluster."""

    def __init__(self, state: State, authority: ClusterAuthority) -> None:
        self._state = state
        self._authority = authority

    def start(self) -> None:
        """Sign what is approved, and what will be."""
        for whole in self._state.objects(REQUESTS):
            self._look(whole)
        self._state.follow(REQUESTS, self._changed)

    def _changed(self, event: Event) -> None:
        if not event.deleted:
            self._look(event.new.object)

    def _look(self, whole: JsonObject) -> None:
        if as_str(as_object(whole.get("spec")).get("signerName")) in _SIGNERS and approved(whole):
            self._state.spawn(self._sign(meta.text(whole, "name")), "signing a certificate")

    async def _sign(self, name: str) -> None:
        whole = self._state.get(REQUESTS, "", name)
        if whole is None or not approved(whole):
            return
        spec = as_object(whole.get("spec"))
        signer, usages = as_str(spec.get("signerName")), [as_str(one) for one in as_list(spec.get("usages"))]
        seconds = spec.get("expirationSeconds")
        life = timedelta(seconds=seconds) if isinstance(seconds, int) else _LIFE
        why, certificate = "", ""
        allowed = _SIGNERS[signer]
        needed = allowed - _KEY_USAGES
        if not set(usages) <= allowed or not needed <= set(usages):
            shown = " ".join(usages)
            why = f"invalid usages for {signer}: [{shown}]"
        else:
            try:
                certificate = self._authority.sign_request(
                    base64.b64decode(as_str(spec.get("request"))),
                    now=self._state.now(),
                    life=min(life, _LIFE),
                    usages=tuple(usages),
                )
            except ValueError as problem:
                why = str(problem)

        def signed(current: JsonObject) -> JsonObject:
            if not approved(current):
                return current
            status = as_object(current.get("status"))
            if certificate:
                return {**current, "status": {**status, "certificate": base64.b64encode(certificate.encode()).decode()}}
            now = meta.timestamp(self._state.now())
            failed: JsonObject = {
                "type": "Failed",
                "status": "True",
                "reason": "SignerValidationFailure",
                "message": why,
                "lastUpdateTime": now,
                "lastTransitionTime": now,
            }
            conditions: list[Json] = [*as_list(status.get("conditions")), failed]
            return {**current, "status": {**status, "conditions": conditions}}

        await self._state.update(REQUESTS, "", name, signed)
