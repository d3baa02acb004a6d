"""Bindings, evictions, certificate requests, and webhooks that are really called."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from windtunnel_emulators.clock import ManualClock
from windtunnel_emulators.kubernetes import issuing
from windtunnel_emulators.server import Listeners
from windtunnel_emulators.store import Store

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from pathlib import Path

    from tests.kubernetes.access.conftest import Lab
    from windtunnel_emulators.asgi import Receive, Scope, Send

LAB = "/api/v1/namespaces/lab"
REQUESTS = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
HOOKS = "/apis/admissionregistration.k8s.io/v1"


def _binding(pod: str, node: str = "") -> Any:
    return {"metadata": {"name": pod}, "target": {"kind": "Node", **({"name": node} if node else {})}}


async def test_a_pod_is_bound_once(lab: Lab) -> None:
    await lab.post(f"{LAB}/pods", lab.pod("p"))
    path = f"{LAB}/pods/p/binding"
    nameless = await lab.refused("POST", path, {"target": {"kind": "Node", "name": "n"}})
    assert (nameless.code, str(nameless)) == (400, "name in URL does not match name in Binding object")
    assert str(await lab.refused("POST", path, _binding("p"))) == "target.name: Required value"
    done = await lab.post(path, _binding("p", "n"))
    assert done["status"] == "Success"
    found: Any = await lab.get(f"{LAB}/pods/p")
    assert found["spec"]["nodeName"] == "n"
    assert [(one["type"], one["status"]) for one in found["status"]["conditions"]] == [("PodScheduled", "True")]
    again = await lab.refused("POST", path, _binding("p", "m"))
    assert (again.code, str(again)) == (
        409,
        'Operation cannot be fulfilled on pods/binding "p": pod p is already assigned to node "n"',
    )


async def _running(lab: Lab, name: str) -> None:
    body = lab.pod(name, nodeName="n")
    body["metadata"] = {"name": name, "labels": {"app": "a"}}
    await lab.post(f"{LAB}/pods", body)
    ready: Any = {"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}}
    await lab.patch(f"{LAB}/pods/{name}/status", ready)


async def _budget(lab: Lab, name: str, **status: Any) -> None:
    path = "/apis/policy/v1/namespaces/lab/poddisruptionbudgets"
    spec: Any = {"minAvailable": 1, "selector": {"matchLabels": {"app": "a"}}}
    await lab.post(path, {"metadata": {"name": name}, "spec": spec})
    if status:
        await lab.patch(f"{path}/{name}/status", {"status": {"observedGeneration": 1, **status}})


async def test_an_eviction_waits_for_the_budget(lab: Lab) -> None:
    await _running(lab, "p")
    path = f"{LAB}/pods/p/eviction"
    body: Any = {"metadata": {"name": "p"}}
    await _budget(lab, "b", disruptionsAllowed=0, currentHealthy=1, desiredHealthy=1, expectedPods=1)
    refused = await lab.refused("POST", path, body)
    assert (refused.code, refused.reason) == (429, "TooManyRequests")
    assert str(refused) == "Cannot evict pod as it would violate the pod's disruption budget."
    why = "The disruption budget b needs 1 healthy pods and has 1 currently"
    assert refused.status["details"] == {"causes": [{"reason": "DisruptionBudget", "message": why}]}
    budget = "/apis/policy/v1/namespaces/lab/poddisruptionbudgets/b"
    await lab.patch(f"{budget}/status", {"status": {"disruptionsAllowed": 1}})
    await lab.post(path, body)
    found: Any = await lab.get(f"{LAB}/pods/p")
    assert found["metadata"]["deletionTimestamp"]
    assert [one["reason"] for one in found["status"]["conditions"] if one["type"] == "DisruptionTarget"] == [
        "EvictionByEvictionAPI"
    ]
    left: Any = await lab.get(budget)
    assert left["status"]["disruptionsAllowed"] == 0
    assert list(left["status"]["disruptedPods"]) == ["p"]


async def test_a_budget_that_has_not_been_looked_at_yet_asks_to_come_again(lab: Lab) -> None:
    await _running(lab, "p")
    await _budget(lab, "b")
    refused = await lab.refused("POST", f"{LAB}/pods/p/eviction", {"metadata": {"name": "p"}})
    assert (refused.code, refused.status["details"]) == (
        429,
        {
            "causes": [
                {
                    "reason": "DisruptionBudget",
                    "message": "The disruption budget b is still being processed by the server.",
                }
            ],
            "retryAfterSeconds": 10,
        },
    )


async def test_a_pod_that_does_not_run_is_evicted_whatever_the_budget(lab: Lab) -> None:
    await lab.post(f"{LAB}/pods", lab.pod("p"))
    await _budget(lab, "b")
    await lab.post(f"{LAB}/pods/p/eviction", {"metadata": {"name": "p"}})
    assert (await lab.refused("GET", f"{LAB}/pods/p")).code == 404


def _request(*organizations: str) -> str:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    subject = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, one) for one in organizations]
    name = x509.Name([*subject, x509.NameAttribute(NameOID.COMMON_NAME, "alice")])
    made = x509.CertificateSigningRequestBuilder().subject_name(name)
    signed = made.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    return base64.b64encode(signed.public_bytes(serialization.Encoding.PEM)).decode()


def _csr(name: str, *organizations: str) -> Any:
    signer = "kubernetes.io/kube-apiserver-client"
    spec: Any = {"request": _request(*organizations), "signerName": signer, "usages": ["client auth"]}
    return {"metadata": {"name": name}, "spec": {**spec, "username": "somebody else"}}


async def test_an_approved_request_is_signed_and_its_holder_known(lab: Lab) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization

    made: Any = await lab.post(REQUESTS, _csr("c", "dev"))
    assert made["spec"]["username"] == "masterclient"
    condition: Any = {"type": "Approved", "status": "True", "reason": "Test", "message": "fine"}
    approved: Any = {"status": {"conditions": [condition]}}
    await lab.patch(f"{REQUESTS}/c/approval", approved)
    for _ in range(5):
        await lab.clock.advance(0)
    found: Any = await lab.get(f"{REQUESTS}/c")
    certificate = x509.load_pem_x509_certificate(base64.b64decode(found["status"]["certificate"]))
    der = certificate.public_bytes(serialization.Encoding.DER)
    user = await lab.access.authenticate({}, der)
    assert (user.name, user.groups) == ("alice", ("dev", "system:authenticated"))


async def test_certificates_are_approved_by_those_who_may_and_never_for_masters(lab: Lab) -> None:
    masters = await lab.refused("POST", REQUESTS, _csr("c", "system:masters"))
    assert "use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed" in str(masters)
    await lab.post(REQUESTS, _csr("c"))
    rule: Any = {
        "apiGroups": ["certificates.k8s.io"],
        "resources": ["certificatesigningrequests/approval"],
        "verbs": ["patch"],
    }
    await lab.grant("bob", rule)
    condition: Any = {"type": "Approved", "status": "True"}
    body: Any = {"status": {"conditions": [condition]}}
    refused = await lab.refused("PATCH", f"{REQUESTS}/c/approval", body, by=lab.as_user("bob"))
    assert str(refused) == (
        'certificatesigningrequests.certificates.k8s.io "c" is forbidden: user not permitted to approve requests with'
        ' signerName "kubernetes.io/kube-apiserver-client"'
    )


@contextlib.asynccontextmanager
async def _webhook(folder: Path, answer: Callable[[Any], Any]) -> AsyncGenerator[tuple[int, str, list[Any]]]:
    """A webhook over TLS: its port, what its certificate is checked with, and what it was asked."""
    import ssl

    now = ManualClock().now()
    ca = issuing.authority("webhooks", now=now)
    certificate, key = issuing.leaf(
        ca,
        now=now,
        life=timedelta(days=3650),
        common_name="hook",
        names=("hook.lab.svc",),
        addresses=("127.0.0.1",),
        server=True,
    )
    file = folder / "hook.pem"
    file.write_text(certificate + key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    seen: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        body = (await receive()).get("body", b"")
        review: Any = msgspec.json.decode(body)
        seen.append(review["request"])
        response = {"uid": review["request"]["uid"], **answer(review["request"])}
        content = msgspec.json.encode(
            {"kind": "AdmissionReview", "apiVersion": review["apiVersion"], "response": response}
        )
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    store = Store(None)
    listeners = Listeners(store, context)
    port = await listeners.open("hook", app)
    try:
        yield port, base64.b64encode(ca[0].encode()).decode(), seen
    finally:
        await listeners.close("hook")
        store.close()


def _hook(kind: str, client: Any, **more: Any) -> Any:
    rule: Any = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}
    hook: Any = {
        "name": "hook.example.org",
        "rules": [rule],
        "clientConfig": client,
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        **more,
    }
    return {"metadata": {"name": "h"}, "webhooks": [hook]}


async def test_a_mutating_webhook_changes_what_is_written(lab: Lab, tmp_path: Path) -> None:
    patch = base64.b64encode(msgspec.json.encode([{"op": "add", "path": "/data", "value": {"a": "b"}}])).decode()
    async with _webhook(tmp_path, lambda _: {"allowed": True, "patch": patch, "patchType": "JSONPatch"}) as found:
        port, bundle, seen = found
        client: Any = {"url": f"https://127.0.0.1:{port}/mutate", "caBundle": bundle}
        await lab.post(f"{HOOKS}/mutatingwebhookconfigurations", _hook("Mutating", client))
        made: Any = await lab.post(f"{LAB}/configmaps", {"metadata": {"name": "x"}})
    assert made["data"] == {"a": "b"}
    assert (seen[0]["operation"], seen[0]["userInfo"]["username"]) == ("CREATE", "masterclient")
    assert seen[0]["object"]["metadata"]["name"] == "x"


async def test_a_validating_webhook_behind_a_service_denies(lab: Lab, tmp_path: Path) -> None:
    denied: Any = {"allowed": False, "status": {"message": "not here", "code": 403}, "warnings": ["look out"]}
    async with _webhook(tmp_path, lambda _: denied) as (port, bundle, _):
        ports: Any = [{"name": "", "port": 443, "targetPort": port}]
        await lab.post(f"{LAB}/services", {"metadata": {"name": "hook"}, "spec": {"ports": ports}})
        pod = lab.pod("hook")
        pod["metadata"] = {"name": "hook", "annotations": {"windtunnel.dev/address": "127.0.0.1"}}
        await lab.post(f"{LAB}/pods", pod)
        each: Any = {
            "metadata": {"name": "hook-1", "labels": {"kubernetes.io/service-name": "hook"}},
            "addressType": "IPv4",
            "endpoints": [{"addresses": ["10.244.0.9"], "targetRef": {"kind": "Pod", "name": "hook"}}],
            "ports": [{"name": "", "port": port, "protocol": "TCP"}],
        }
        await lab.post("/apis/discovery.k8s.io/v1/namespaces/lab/endpointslices", each)
        client: Any = {"service": {"namespace": "lab", "name": "hook", "path": "/v"}, "caBundle": bundle}
        await lab.post(f"{HOOKS}/validatingwebhookconfigurations", _hook("Validating", client))
        refused = await lab.refused("POST", f"{LAB}/configmaps", {"metadata": {"name": "x"}})
    assert (refused.code, str(refused)) == (403, 'admission webhook "hook.example.org" denied the request: not here')


@pytest.mark.parametrize(("policy", "refused"), [("Fail", True), ("Ignore", False)])
async def test_a_webhook_that_does_not_answer_counts_as_it_says(lab: Lab, policy: str, refused: bool) -> None:
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    client: Any = {"url": f"https://127.0.0.1:{port}/"}
    hook = _hook("Validating", client, failurePolicy=policy, timeoutSeconds=1)
    await lab.post(f"{HOOKS}/validatingwebhookconfigurations", hook)
    body: Any = {"metadata": {"name": "x"}}
    if refused:
        problem = await lab.refused("POST", f"{LAB}/configmaps", body)
        assert problem.code == 500
        assert str(problem).startswith(
            'Internal error occurred: failed calling webhook "hook.example.org": failed to call webhook: Post'
        )
    else:
        await lab.post(f"{LAB}/configmaps", body)


async def test_a_webhook_for_a_service_that_nobody_serves_fails(lab: Lab) -> None:
    client: Any = {"service": {"namespace": "lab", "name": "nobody"}}
    await lab.post(f"{HOOKS}/validatingwebhookconfigurations", _hook("Validating", client))
    problem = await lab.refused("POST", f"{LAB}/configmaps", {"metadata": {"name": "x"}})
    assert 'service "nobody" not found' in str(problem)
    # Whoever is locked out can take the webhook away.
    await lab.delete(f"{HOOKS}/validatingwebhookconfigurations/h")
    await lab.post(f"{LAB}/configmaps", {"metadata": {"name": "x"}})
