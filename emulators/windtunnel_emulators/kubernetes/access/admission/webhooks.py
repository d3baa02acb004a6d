"""Mutating and validating webhooks: services that are asked about writes, by HTTPS.

A webhook that names a Service is called where that Service is really served (``resolve``), with the Service's name for
its certificate. ``httpx`` is imported with the first call.
"""

from __future__ import annotations

import asyncio
import base64
import ssl
import uuid
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

import msgspec

from windtunnel_emulators.jsontypes import as_list, as_object, as_str
from windtunnel_emulators.kubernetes.access.admission import matching
from windtunnel_emulators.kubernetes.access.admission.celvalues import Expressions
from windtunnel_emulators.kubernetes.access.admission.policies import conditions_hold
from windtunnel_emulators.kubernetes.api.failures import Failure, bad_request, failure, internal
from windtunnel_emulators.kubernetes.objects.cel import CelError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from windtunnel_emulators.jsontypes import Json, JsonObject
    from windtunnel_emulators.kubernetes.access.interface import Admission, Attributes, Decision, User
    from windtunnel_emulators.kubernetes.access.state import State

_GROUP = "admissionregistration.k8s.io"
MUTATING, VALIDATING = f"mutatingwebhookconfigurations.{_GROUP}", f"validatingwebhookconfigurations.{_GROUP}"
_USUAL_S = 10
_MOST_BYTES = 4 * 1024 * 1024


class Resolver(Protocol):
    """Where a Service is really served."""

    def __call__(self, namespace: str, name: str, port: int) -> tuple[str, int] | None:
        """Host and port; None when nobody serves it."""
        ...


class Uncalled(Exception):
    """A webhook did not give an answer; the message goes on after "failed calling webhook"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hook:
    """One webhook of a configuration."""

    name: str
    spec: JsonObject

    @property
    def ignored(self) -> bool:
        """Whether it does not count when it fails."""
        return self.spec.get("failurePolicy") == "Ignore"

    @property
    def again(self) -> bool:
        return self.spec.get("reinvocationPolicy") == "IfNeeded"


class Webhooks:
    """The webhooks of one cluster."""

    def __init__(self, state: State, authorize: Callable[[User, Attributes], Decision], resolve: Resolver) -> None:
        self._state = state
        self._authorize = authorize
        self._resolve = resolve

    async def mutate(self, admission: Admission) -> JsonObject | None:
        """The object as the mutating webhooks leave it. Raises ``Failure``."""
        whole = admission.object
        if self._none(MUTATING) or matching.exempt(admission):
            return whole
        called: list[tuple[Hook, JsonObject | None]] = []
        for hook in self._hooks(MUTATING):
            before = whole
            whole = await self._mutated(hook, replace(admission, object=whole))
            called.append((hook, whole if whole is not before else before))
        for hook, left in called:
            if hook.again and left != whole:
                whole = await self._mutated(hook, replace(admission, object=whole))
        return whole

    async def _mutated(self, hook: Hook, admission: Admission) -> JsonObject | None:
        response = await self._asked(hook, admission)
        patch = as_str(as_object(response).get("patch"))
        if response is None or not patch or admission.object is None:
            return admission.object
        from windtunnel_emulators.kubernetes.objects.patch import patch_plain

        try:
            return patch_plain(admission.object, base64.b64decode(patch), "application/json-patch+json")
        except Exception as problem:
            raise internal(f'failed calling webhook "{hook.name}": its patch cannot be applied: {problem}') from problem

    async def validate(self, admission: Admission) -> None:
        """Ask the validating webhooks, all at once. Raises ``Failure`` of the first that denies."""
        if self._none(VALIDATING) or matching.exempt(admission):
            return
        asked = [self._asked(hook, admission) for hook in self._hooks(VALIDATING)]
        for result in await asyncio.gather(*asked, return_exceptions=True):
            if isinstance(result, BaseException):
                raise result

    def _none(self, resource: str) -> bool:
        return not self._state.storage.table(resource).objects

    def _hooks(self, resource: str) -> Iterator[Hook]:
        for configuration in self._state.objects(resource):
            for one in as_list(configuration.get("webhooks")):
                spec = as_object(one)
                yield Hook(name=as_str(spec.get("name")), spec=spec)

    async def _asked(self, hook: Hook, admission: Admission) -> JsonObject | None:
        """The response of a webhook that is for this write and lets it through. Raises ``Failure``."""
        rules = as_list(hook.spec.get("rules"))
        if not any(matching.rule_matches(as_object(rule), admission) for rule in rules):
            return None
        if not matching.selected(hook.spec, admission, self._state):
            return None
        try:
            if not conditions_hold(hook.spec, Expressions(admission, self._state, self._authorize)):
                return None
        except CelError as problem:
            if hook.ignored:
                return None
            raise _refused(hook, failure(403, "Forbidden", str(problem))) from problem
        if admission.dry_run and hook.spec.get("sideEffects") not in ("None", "NoneOnDryRun"):
            raise bad_request(f'admission webhook "{hook.name}" does not support dry run')
        try:
            response = await self._call(hook, admission)
        except Uncalled as problem:
            if hook.ignored:
                return None
            raise internal(f'failed calling webhook "{hook.name}": {problem}') from problem
        for warning in as_list(response.get("warnings")):
            admission.warnings.append(as_str(warning))
        if response.get("allowed") is not True:
            raise _refused(hook, _status(hook, as_object(response.get("status"))))
        return response

    async def _call(self, hook: Hook, admission: Admission) -> JsonObject:
        import httpx

        url, server_name = self._place(as_object(hook.spec.get("clientConfig")))
        seconds = hook.spec.get("timeoutSeconds")
        timeout = seconds if isinstance(seconds, int) else _USUAL_S
        identity = str(uuid.uuid4())
        review: JsonObject = {
            "kind": "AdmissionReview",
            "apiVersion": "admission.k8s.io/v1",
            "request": {
                "uid": identity,
                **matching.described(admission),
                "object": admission.object,
                "oldObject": admission.old,
            },
        }
        context = ssl.create_default_context()
        bundle = as_str(as_object(hook.spec.get("clientConfig")).get("caBundle"))
        if bundle:
            context = ssl.create_default_context(cadata=base64.b64decode(bundle).decode("ascii", "replace"))
        shown = f'failed to call webhook: Post "{self._shown(hook, timeout)}"'
        try:
            async with httpx.AsyncClient(verify=context, timeout=timeout, trust_env=False) as client:
                async with asyncio.timeout(timeout):
                    answer = await client.post(
                        url,
                        params={"timeout": f"{timeout}s"},
                        content=msgspec.json.encode(review),
                        headers={"content-type": "application/json", "host": server_name},
                        extensions={"sni_hostname": server_name.partition(":")[0]},
                    )
        except (TimeoutError, httpx.TimeoutException) as problem:
            raise Uncalled(f"{shown}: context deadline exceeded") from problem
        except (httpx.HTTPError, ssl.SSLError, OSError, ValueError) as problem:
            raise Uncalled(f"{shown}: {problem}") from problem
        return _response(answer.status_code, answer.content, identity)

    def _place(self, config: JsonObject) -> tuple[str, str]:
        """Where to call, and the name that the server's certificate is for."""
        service = as_object(config.get("service"))
        if not service:
            url = as_str(config.get("url"))
            return url, urlsplit(url).netloc
        namespace, name = as_str(service.get("namespace")), as_str(service.get("name"))
        port = service.get("port")
        number = port if isinstance(port, int) else 443
        whole = self._state.get("services", namespace, name)
        if whole is None:
            raise Uncalled(f'failed to call webhook: service "{name}" not found')
        found = self._resolve(namespace, name, number)
        if found is None:
            raise Uncalled(f'failed to call webhook: no endpoints available for service "{name}"')
        path = as_str(service.get("path")).lstrip("/")
        return f"https://{found[0]}:{found[1]}/{path}", f"{name}.{namespace}.svc"

    def _shown(self, hook: Hook, timeout: int) -> str:
        config = as_object(hook.spec.get("clientConfig"))
        service = as_object(config.get("service"))
        if not service:
            return f"{as_str(config.get('url'))}?timeout={timeout}s"
        path = as_str(service.get("path")).lstrip("/")
        port = service.get("port") or 443
        return f"https://{service.get('name')}.{service.get('namespace')}.svc:{port}/{path}?timeout={timeout}s"


def _response(status: int, content: bytes, identity: str) -> JsonObject:
    if status != 200:
        raise Uncalled(f"failed to call webhook: the server answered {status}")
    if len(content) > _MOST_BYTES:
        raise Uncalled("expected webhook response: it is too long")
    try:
        found: Json = msgspec.json.decode(content)
    except msgspec.DecodeError as problem:
        raise Uncalled(f"could not get REST client: the answer is no JSON: {problem}") from problem
    review = as_object(found)
    response = as_object(review.get("response"))
    if review.get("kind") != "AdmissionReview" or not response:
        raise Uncalled("expected response to be of kind AdmissionReview with a response")
    if response.get("uid") != identity:
        raise Uncalled(f'expected response.uid="{identity}", got "{as_str(response.get("uid"))}"')
    return response


def _status(hook: Hook, found: JsonObject) -> Failure:
    message, code, reason = as_str(found.get("message")), found.get("code"), as_str(found.get("reason"))
    details = as_object(found.get("details")) or None
    number = code if isinstance(code, int) and 400 <= code < 600 else 403
    if not message:
        message = f"{reason}" if reason else ""
    return failure(number, reason or ("Forbidden" if number == 403 else ""), message, details)


def _refused(hook: Hook, problem: Failure) -> Failure:
    said = str(problem)
    what = f'admission webhook "{hook.name}" denied the request'
    message = f"{what}: {said}" if said else f"{what} without explanation"
    made = failure(problem.code, problem.reason, message, as_object(problem.status.get("details")) or None)
    if not problem.reason:
        del made.status["reason"]
    return made
