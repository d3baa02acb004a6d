"""CertificateApproval, CertificateSigning, CertificateSubjectRestriction: who may have which certificates signed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.jsontypes import as_list, as_object, as_str
from windtunnel_emulators.kubernetes.access.interface import Attributes
from windtunnel_emulators.kubernetes.api.failures import forbidden

if TYPE_CHECKING:
    from collections.abc import Callable

    from windtunnel_emulators.jsontypes import Json, JsonObject
    from windtunnel_emulators.kubernetes.access.interface import Admission, Decision, User

GROUP = "certificates.k8s.io"
CLIENT_SIGNER = "kubernetes.io/kube-apiserver-client"


def mutate(admission: Admission, whole: JsonObject, now: str) -> JsonObject:
    """A new request says who asks; conditions say when they came to be."""
    if admission.operation == "CREATE":
        user = admission.user.json()
        spec = {name: value for name, value in as_object(whole.get("spec")).items() if name not in ("uid", "extra")}
        spec["username"] = user["username"]
        for name in ("uid", "groups", "extra"):
            if name in user:
                spec[name] = user[name]
            else:
                spec.pop(name, None)
        return {**whole, "spec": spec, "status": {}}
    if admission.subresource not in ("approval", "status"):
        return whole
    status = as_object(whole.get("status"))
    before = {
        as_str(as_object(one).get("type")): as_object(one)
        for one in as_list(as_object(as_object(admission.old).get("status")).get("conditions"))
    }
    conditions: list[Json] = []
    for one in as_list(status.get("conditions")):
        condition = as_object(one)
        known = before.get(as_str(condition.get("type")))
        if not condition.get("lastUpdateTime"):
            condition = {**condition, "lastUpdateTime": now}
        if not condition.get("lastTransitionTime"):
            same = known is not None and known.get("status") == condition.get("status")
            since = as_str(as_object(known).get("lastTransitionTime")) if same else ""
            condition = {**condition, "lastTransitionTime": since or now}
        conditions.append(condition)
    return {**whole, "status": {**status, "conditions": conditions}} if conditions else whole


def check(admission: Admission, authorize: Callable[[User, Attributes], Decision]) -> None:
    """Raises ``Failure`` 403."""
    whole, old = admission.object, admission.old
    if whole is None:
        return
    signer = as_str(as_object(whole.get("spec")).get("signerName"))
    if admission.operation == "CREATE" and signer == CLIENT_SIGNER and _asks_for_masters(whole):
        why = f"use of {CLIENT_SIGNER} signer with system:masters group is not allowed"
        raise forbidden(GROUP, "certificatesigningrequests", admission.name, why)
    if admission.operation != "UPDATE" or old is None:
        return
    verb = ""
    if admission.subresource == "approval":
        verb = "approve"
    elif admission.subresource == "status" and _certificate(whole) != _certificate(old):
        verb = "sign"
    if verb and not _may(admission.user, verb, signer, authorize):
        why = f'user not permitted to {verb} requests with signerName "{signer}"'
        raise forbidden(GROUP, "certificatesigningrequests", admission.name, why)


def _certificate(whole: JsonObject) -> tuple[Json, list[JsonObject]]:
    status = as_object(whole.get("status"))
    failed = [as_object(one) for one in as_list(status.get("conditions")) if as_object(one).get("type") == "Failed"]
    return status.get("certificate"), failed


def _may(user: User, verb: str, signer: str, authorize: Callable[[User, Attributes], Decision]) -> bool:
    domain = signer.partition("/")[0]
    return any(
        authorize(user, Attributes(verb=verb, group=GROUP, version="*", resource="signers", name=name)).allowed
        for name in (signer, f"{domain}/*")
    )


def _asks_for_masters(whole: JsonObject) -> bool:
    from base64 import b64decode

    from cryptography import x509
    from cryptography.x509.oid import NameOID

    try:
        request = x509.load_pem_x509_csr(b64decode(as_str(as_object(whole.get("spec")).get("request"))))
    except ValueError:
        return False  # validation refuses it
    found = request.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    return any(part.value == "system:masters" for part in found)


def approved(whole: JsonObject) -> bool:
    """Whether a request is to be signed and has not been."""
    status = as_object(whole.get("status"))
    types = {as_str(as_object(one).get("type")) for one in as_list(status.get("conditions"))}
    return "Approved" in types and not types & {"Denied", "Failed"} and not status.get("certificate")
