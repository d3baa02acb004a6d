"""ValidatingAdmissionPolicy: expressions that decide about writes, where bindings say that they do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from windtunnel_emulators.jsontypes import as_list, as_object, as_str
from windtunnel_emulators.kubernetes.access.admission import matching
from windtunnel_emulators.kubernetes.access.admission.celvalues import Expressions
from windtunnel_emulators.kubernetes.api import metadata as meta
from windtunnel_emulators.kubernetes.api.failures import Failure, failure, invalid, qualified
from windtunnel_emulators.kubernetes.objects import causes
from windtunnel_emulators.kubernetes.objects.cel import CelError, compile_expression
from windtunnel_emulators.kubernetes.objects.selectors import label_selector, labels_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from windtunnel_emulators.jsontypes import Json, JsonObject
    from windtunnel_emulators.kubernetes.access.interface import Admission, Attributes, Decision, User
    from windtunnel_emulators.kubernetes.access.state import State
    from windtunnel_emulators.kubernetes.api.storage import Event

_GROUP = "admissionregistration.k8s.io"
POLICIES, BINDINGS = f"validatingadmissionpolicies.{_GROUP}", f"validatingadmissionpolicybindings.{_GROUP}"
_KNOWN = frozenset({"object", "oldObject", "request", "namespaceObject", "variables", "authorizer"})
"""What every policy's expressions may speak of."""
_CODES = {"Unauthorized": 401, "Forbidden": 403, "RequestEntityTooLarge": 413, "Invalid": 422}
_NO_PARAMS = "no params found for policy binding with `Deny` parameterNotFoundAction"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One validation that did not hold."""

    message: str
    reason: str = "Invalid"


class Policies:
    """The policies of one cluster."""

    def __init__(self, state: State, authorize: Callable[[User, Attributes], Decision]) -> None:
        self._state = state
        self._authorize = authorize

    def start(self) -> None:
        """Say of each policy that it has been seen."""
        for policy in list(self._state.objects(POLICIES)):
            self._see(policy)
        self._state.follow(POLICIES, self._changed)

    def _changed(self, event: Event) -> None:
        if not event.deleted:
            self._see(event.new.object)

    def _see(self, policy: JsonObject) -> None:
        generation = meta.of(policy).get("generation")
        if as_object(policy.get("status")).get("observedGeneration") != generation:
            self._state.spawn(self._observe(meta.text(policy, "name")), "status of an admission policy")

    async def _observe(self, name: str) -> None:
        def seen(policy: JsonObject) -> JsonObject:
            status = {**as_object(policy.get("status")), "observedGeneration": meta.of(policy).get("generation")}
            # Expressions are not checked against the types of what they match: no warnings, which is not to say none.
            status.setdefault("typeChecking", {})
            return {**policy, "status": status}

        if self._state.get(POLICIES, "", name) is not None:
            await self._state.update(POLICIES, "", name, seen)

    def check_references(self, admission: Admission) -> None:
        """A policy's expressions speak of what they can know. Raises ``Failure`` 422."""
        whole = admission.object
        if whole is None or admission.subresource or admission.kind.plural != "validatingadmissionpolicies":
            return
        spec = as_object(whole.get("spec"))
        known = _KNOWN | {"params"} if spec.get("paramKind") else _KNOWN
        problems = [
            causes.invalid(f"spec.{field}[{index}].{name}", source, f"compilation failed: {complaint}")
            for field, names in (("variables", ("expression",)), ("validations", ("expression", "messageExpression")))
            for index, one in enumerate(as_list(spec.get(field)))
            for name in names
            if (source := as_str(as_object(one).get(name))) and (complaint := _undeclared(source, known))
        ]
        if problems:
            kind = admission.kind
            raise invalid(kind.group, kind.name, admission.name, [problem.json() for problem in problems])

    def check(self, admission: Admission) -> None:
        """Raises ``Failure`` with what the policies that deny say; others' findings are warnings."""
        bindings = list(self._state.objects(BINDINGS))
        if not bindings or matching.exempt(admission):
            return
        denied: Finding | None = None
        for binding in bindings:
            policy = self._state.get(POLICIES, "", as_str(as_object(binding.get("spec")).get("policyName")))
            if policy is not None:
                for finding in self._apply(policy, binding, admission):
                    denied = denied or finding
        if denied is not None:
            raise _denied(admission, denied)

    def _apply(self, policy: JsonObject, binding: JsonObject, admission: Admission) -> Iterator[Finding]:
        spec, bound = as_object(policy.get("spec")), as_object(binding.get("spec"))
        constraints, narrowed = as_object(spec.get("matchConstraints")), as_object(bound.get("matchResources"))
        if not matching.resources_match(constraints, admission, self._state):
            return
        if not matching.resources_match(narrowed, admission, self._state):
            return
        actions = [as_str(action) for action in as_list(bound.get("validationActions"))]
        policy_name, binding_name = meta.text(policy, "name"), meta.text(binding, "name")
        for finding in self._findings(spec, bound, admission):
            if "Deny" in actions:
                what = f"ValidatingAdmissionPolicy '{policy_name}' with binding '{binding_name}' denied request"
                yield Finding(message=f"{what}: {finding.message}", reason=finding.reason)
            elif "Warn" in actions:
                what = f"Validation failed for ValidatingAdmissionPolicy '{policy_name}' with binding '{binding_name}'"
                admission.warnings.append(f"{what}: {finding.message}")

    def _findings(self, spec: JsonObject, bound: JsonObject, admission: Admission) -> Iterator[Finding]:
        fails = as_str(spec.get("failurePolicy")) != "Ignore"
        try:
            params = self._params(spec, bound, admission)
        except CelError as problem:
            if fails:
                yield Finding(message=f"failed to configure binding: {problem}")
            return
        variables = {
            as_str(as_object(one).get("name")): as_str(as_object(one).get("expression"))
            for one in as_list(spec.get("variables"))
        }
        for param in params:
            expressions = Expressions(admission, self._state, self._authorize, params=param, variables=variables)
            try:
                if not conditions_hold(spec, expressions):
                    continue
            except CelError as problem:
                if fails:
                    yield Finding(message=str(problem))
                continue
            yield from _validate(spec, expressions, fails=fails)

    def _params(self, spec: JsonObject, bound: JsonObject, admission: Admission) -> list[JsonObject | None]:
        kind = as_object(spec.get("paramKind"))
        if not kind:
            return [None]
        reference = as_object(bound.get("paramRef"))
        if not reference:
            return [None]
        group, _, version = as_str(kind.get("apiVersion")).rpartition("/")
        info = self._state.registry.catalogue.find_kind(group, version, as_str(kind.get("kind")))
        if info is None:
            raise CelError(f"failed to find resource referenced by paramKind: '{group}/{version}, Kind={kind['kind']}'")
        namespace = ""
        if info.kind.namespaced:
            namespace = as_str(reference.get("namespace")) or admission.namespace
            if not namespace:
                raise CelError("cannot use namespaced paramRef in policy binding that matches cluster-scoped resources")
        resource, name = qualified(group, info.kind.plural), as_str(reference.get("name"))
        found: list[JsonObject | None] = []
        if name:
            one = self._state.get(resource, namespace, name)
            found = [] if one is None else [one]
        else:
            selector = label_selector(reference.get("selector"))
            found.extend(one for one in self._state.objects(resource, namespace) if selector.matches(labels_of(one)))
        if not found and reference.get("parameterNotFoundAction") == "Deny":
            raise CelError(_NO_PARAMS)
        return found


def _undeclared(source: str, known: frozenset[str]) -> str:
    """What is said of a name that an expression cannot know; empty when there is none, or it is no expression."""
    try:
        unknown = compile_expression(source).names - known
    except CelError:
        return ""  # validation has the words
    for name in sorted(unknown, key=source.find):
        before = source[: source.find(name)]
        line, column = before.count("\n") + 1, len(before.rpartition("\n")[2])
        shown = source.splitlines()[line - 1]
        place = f"ERROR: <input>:{line}:{column + 1}: undeclared reference to '{name}' (in container '')"
        return f"{place}\n | {shown}\n | {'.' * column}^"
    return ""


def conditions_hold(spec: JsonObject, expressions: Expressions) -> bool:
    """Whether every ``matchCondition`` is true; one that is false counts before one that fails. Raises ``CelError``."""
    failed: CelError | None = None
    for one in as_list(spec.get("matchConditions")):
        condition = as_object(one)
        try:
            if expressions.evaluate(as_str(condition.get("expression"))) is not True:
                return False
        except CelError as problem:
            name = as_str(condition.get("name"))
            failed = failed or CelError(
                f"expression '{condition.get('expression')}' resulted in error: {problem} ({name})"
            )
    if failed is not None:
        raise failed
    return True


def _validate(spec: JsonObject, expressions: Expressions, *, fails: bool) -> Iterator[Finding]:
    for one in as_list(spec.get("validations")):
        validation = as_object(one)
        source = as_str(validation.get("expression"))
        try:
            holds = expressions.evaluate(source)
        except CelError as problem:
            if fails:
                yield Finding(message=f"expression '{source}' resulted in error: {problem}")
            continue
        if holds is not True:
            message = _message(validation, expressions) or f"failed expression: {source.strip()}"
            yield Finding(message=message, reason=as_str(validation.get("reason")) or "Invalid")


def _message(validation: JsonObject, expressions: Expressions) -> str:
    made = as_str(validation.get("messageExpression"))
    if made:
        try:
            found = expressions.evaluate(made)
        except CelError:
            found = None  # the plain message counts then
        if isinstance(found, str) and found.strip() and "\n" not in found:
            return found.strip()
    return as_str(validation.get("message")).strip()


def _denied(admission: Admission, first: Finding) -> Failure:
    kind = admission.kind
    details: JsonObject = {"name": admission.name} if admission.name else {}
    if kind.group:
        details["group"] = kind.group
    reasons: list[Json] = [{"message": first.message}]
    details |= {"kind": kind.plural, "causes": reasons}
    subject = qualified(kind.group, kind.plural)
    name = f' "{admission.name}"' if admission.name else ""
    message = f"{subject}{name} is forbidden: {first.message}"
    return failure(_CODES.get(first.reason, 422), first.reason, message, details)
