"""Rules of who may do what: roles and bindings, admission's configurations and policies, certificates."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING

from windtunnel_emulators.jsontypes import as_list, as_object, as_str
from windtunnel_emulators.kubernetes.objects import names
from windtunnel_emulators.kubernetes.objects.findings import Findings, number

if TYPE_CHECKING:
    from windtunnel_emulators.jsontypes import Json, JsonObject

_RBAC = "rbac.authorization.k8s.io"
_IMMUTABLE = "field is immutable"


def check_role(whole: JsonObject, found: Findings, *, cluster: bool = False) -> None:
    """A Role or, with ``cluster``, a ClusterRole."""
    for index, entry in enumerate(as_list(whole.get("rules"))):
        rule, at = as_object(entry), f"rules[{index}]"
        if not rule.get("verbs"):
            found.required(f"{at}.verbs", "verbs must contain at least one value")
        urls = as_list(rule.get("nonResourceURLs"))
        if urls:
            if not cluster:
                found.invalid(f"{at}.nonResourceURLs", [*urls], "namespaced rules cannot apply to non-resource URLs")
            if rule.get("apiGroups") or rule.get("resources") or rule.get("resourceNames"):
                message = "rules cannot apply to both regular resources and non-resource URLs"
                found.invalid(f"{at}.nonResourceURLs", [*urls], message)
            continue
        if not rule.get("apiGroups"):
            found.required(f"{at}.apiGroups", "resource rules must supply at least one api group")
        if not rule.get("resources"):
            found.required(f"{at}.resources", "resource rules must supply at least one resource")
    aggregation = whole.get("aggregationRule")
    if aggregation is not None:
        selectors = as_list(as_object(aggregation).get("clusterRoleSelectors"))
        if not selectors:
            message = "at least one clusterRoleSelector required if aggregationRule is non-nil"
            found.required("aggregationRule.clusterRoleSelectors", message)
        for index, selector in enumerate(selectors):
            found.selector(f"aggregationRule.clusterRoleSelectors[{index}]", selector)


def check_cluster_role(whole: JsonObject, found: Findings) -> None:
    check_role(whole, found, cluster=True)


def check_binding(whole: JsonObject, found: Findings, *, cluster: bool = False) -> None:
    """A RoleBinding or, with ``cluster``, a ClusterRoleBinding."""
    role = as_object(whole.get("roleRef"))
    if role.get("apiGroup") != _RBAC:
        found.unsupported("roleRef.apiGroup", role.get("apiGroup", ""), (_RBAC,))
    kinds = ("ClusterRole",) if cluster else ("Role", "ClusterRole")
    if role.get("kind") not in kinds:
        found.unsupported("roleRef.kind", role.get("kind", ""), kinds)
    name = as_str(role.get("name"))
    if not name:
        found.required("roleRef.name")
    else:
        found.each("roleRef.name", name, names.path_segment(name))
    for index, entry in enumerate(as_list(whole.get("subjects"))):
        _subject(f"subjects[{index}]", as_object(entry), found, cluster=cluster)


def _subject(at: str, subject: JsonObject, found: Findings, *, cluster: bool) -> None:
    name, kind = as_str(subject.get("name")), subject.get("kind")
    if not name:
        found.required(f"{at}.name")
    if kind == "ServiceAccount":
        if name:
            found.each(f"{at}.name", name, names.subdomain(name))
        if subject.get("apiGroup"):
            found.unsupported(f"{at}.apiGroup", subject["apiGroup"], ("",))
        if cluster and not subject.get("namespace"):
            found.required(f"{at}.namespace")
    elif kind in ("User", "Group"):
        if subject.get("apiGroup") != _RBAC:
            found.unsupported(f"{at}.apiGroup", subject.get("apiGroup", ""), (_RBAC,))
    else:
        found.unsupported(f"{at}.kind", kind, ("ServiceAccount", "User", "Group"))


def check_cluster_binding(whole: JsonObject, found: Findings) -> None:
    check_binding(whole, found, cluster=True)


def check_binding_update(old: JsonObject, new: JsonObject, found: Findings) -> None:
    if old.get("roleRef") != new.get("roleRef"):
        found.invalid("roleRef", new.get("roleRef"), "cannot change roleRef")


def check_service_account(whole: JsonObject, found: Findings) -> None:
    """Nothing but metadata."""


def check_signing_request(whole: JsonObject, found: Findings) -> None:
    spec = as_object(whole.get("spec"))
    encoded = as_str(spec.get("request"))
    try:
        text = base64.b64decode(encoded, validate=True)
    except (ValueError, binascii.Error):
        text = b""
    if b"-----BEGIN CERTIFICATE REQUEST-----" not in text:
        found.invalid("spec.request", encoded, "PEM block type must be CERTIFICATE REQUEST")
    usages = as_list(spec.get("usages"))
    if not usages:
        found.required("spec.usages")
    for index, usage in enumerate(usages):
        if usage in usages[:index]:
            found.duplicate(f"spec.usages[{index}]", usage)
    signer = as_str(spec.get("signerName"))
    domain, slash, path = signer.partition("/")
    if not signer:
        found.required("spec.signerName")
    elif not slash or not path or names.subdomain(domain) or "." not in domain:
        message = "must be a fully qualified domain and path of the form 'example.com/signer-name'"
        found.invalid("spec.signerName", signer, message)
    seconds = spec.get("expirationSeconds")
    if isinstance(seconds, int) and seconds < 600:
        message = "may not specify a duration less than 600 seconds (10 minutes)"
        found.invalid("spec.expirationSeconds", seconds, message)


def check_webhooks(whole: JsonObject, found: Findings) -> None:
    """Configurations of webhooks, of both kinds."""
    mutating = whole.get("kind") == "MutatingWebhookConfiguration"
    seen: set[str] = set()
    for index, entry in enumerate(as_list(whole.get("webhooks"))):
        hook, at = as_object(entry), f"webhooks[{index}]"
        name = as_str(hook.get("name"))
        found.each(f"{at}.name", name, names.fully_qualified(name))
        if name in seen:
            found.duplicate(f"{at}.name", name)
        seen.add(name)
        for place, rule in enumerate(as_list(hook.get("rules"))):
            _rule(f"{at}.rules[{place}]", as_object(rule), found)
        found.one_of(f"{at}.failurePolicy", hook.get("failurePolicy"), ("Fail", "Ignore"))
        found.one_of(f"{at}.matchPolicy", hook.get("matchPolicy"), ("Equivalent", "Exact"))
        if hook.get("sideEffects") is None:
            found.required(f"{at}.sideEffects", "must specify one of None, NoneOnDryRun")
        found.one_of(f"{at}.sideEffects", hook.get("sideEffects"), ("None", "NoneOnDryRun"))
        if mutating:
            found.one_of(f"{at}.reinvocationPolicy", hook.get("reinvocationPolicy"), ("IfNeeded", "Never"))
        seconds = hook.get("timeoutSeconds")
        if isinstance(seconds, int) and not 1 <= seconds <= 30:
            found.invalid(f"{at}.timeoutSeconds", seconds, "the timeout value must be between 1 and 30 seconds")
        for selector in ("namespaceSelector", "objectSelector"):
            if hook.get(selector) is not None:
                found.selector(f"{at}.{selector}", hook[selector])
        _client(f"{at}.clientConfig", as_object(hook.get("clientConfig")), found)
        if not hook.get("admissionReviewVersions"):
            found.required(f"{at}.admissionReviewVersions", "must specify one of v1, v1beta1")


def _rule(at: str, rule: JsonObject, found: Findings) -> None:
    for name in ("operations", "apiGroups", "apiVersions", "resources"):
        if not rule.get(name):
            found.required(f"{at}.{name}")
    for index, operation in enumerate(as_list(rule.get("operations"))):
        found.one_of(f"{at}.operations[{index}]", operation, ("*", "CONNECT", "CREATE", "DELETE", "UPDATE"))
    found.one_of(f"{at}.scope", rule.get("scope"), ("*", "Cluster", "Namespaced"))


def _client(field: str, config: JsonObject, found: Findings) -> None:
    url, service = config.get("url"), config.get("service")
    if (url is None) == (service is None):
        found.required(field, "exactly one of url or service is required")
    elif url is not None and not as_str(url).startswith("https://"):
        message = "'https' is the only allowed URL scheme; desired format: https://host[/path]"
        found.invalid(f"{field}.url", url, message)
    elif service is not None:
        for name in ("name", "namespace"):
            if not as_object(service).get(name):
                found.required(f"{field}.service.{name}", f"service {name} is required")


def check_policy(whole: JsonObject, found: Findings) -> None:
    """A ValidatingAdmissionPolicy."""
    spec = as_object(whole.get("spec"))
    found.one_of("spec.failurePolicy", spec.get("failurePolicy"), ("Fail", "Ignore"))
    constraints = spec.get("matchConstraints")
    if constraints is None:
        found.required("spec.matchConstraints")
    else:
        rules = as_list(as_object(constraints).get("resourceRules"))
        if not rules:
            found.required("spec.matchConstraints.resourceRules")
        for index, rule in enumerate(rules):
            _rule(f"spec.matchConstraints.resourceRules[{index}]", as_object(rule), found)
    validations = as_list(spec.get("validations"))
    if not validations and not spec.get("auditAnnotations"):
        found.required("spec.validations", "validations or auditAnnotations must be non-empty")
    for index, entry in enumerate(validations):
        at = f"spec.validations[{index}]"
        _expression(f"{at}.expression", as_object(entry).get("expression"), found)
    for index, entry in enumerate(as_list(spec.get("variables"))):
        _expression(f"spec.variables[{index}].expression", as_object(entry).get("expression"), found)
    for index, entry in enumerate(as_list(spec.get("matchConditions"))):
        _expression(f"spec.matchConditions[{index}].expression", as_object(entry).get("expression"), found)


def _expression(field: str, value: Json, found: Findings) -> None:
    from windtunnel_emulators.kubernetes.objects.cel import CelError, compile_expression

    text = as_str(value)
    if not text.strip():
        found.required(field, "expression is not specified")
        return
    try:
        compile_expression(text)
    except CelError as problem:
        found.invalid(field, text, str(problem))


def check_policy_binding(whole: JsonObject, found: Findings) -> None:
    """A ValidatingAdmissionPolicyBinding."""
    spec = as_object(whole.get("spec"))
    if not spec.get("policyName"):
        found.required("spec.policyName")
    actions = as_list(spec.get("validationActions"))
    if not actions:
        found.required("spec.validationActions", "at least one validation action is required")
    for index, action in enumerate(actions):
        found.one_of(f"spec.validationActions[{index}]", action, ("Audit", "Deny", "Warn"))
    if "Deny" in actions and "Warn" in actions:
        message = (
            "must not contain both Deny and Warn (repeating the same validation failure information in the API"
            " response and headers serves no purpose)"
        )
        found.invalid("spec.validationActions", [*actions], message)


def check_api_service(whole: JsonObject, found: Findings) -> None:
    spec = as_object(whole.get("spec"))
    name = as_str(as_object(whole.get("metadata")).get("name"))
    group, version = as_str(spec.get("group")), as_str(spec.get("version"))
    wanted = f"{version}.{group}"
    if name != wanted:
        found.invalid("metadata.name", name, f'must be `spec.version+"."+spec.group`: "{wanted}"')
    for field, most in (("groupPriorityMinimum", 20000), ("versionPriority", 1000)):
        value = number(spec.get(field))
        if not 0 < value <= most:
            found.invalid(f"spec.{field}", value, f"must be positive and less than {most}")
    service = spec.get("service")
    if service is not None:
        for field in ("namespace", "name"):
            if not as_object(service).get(field):
                found.required(f"spec.service.{field}")
        if spec.get("insecureSkipTLSVerify") is True and spec.get("caBundle"):
            found.invalid("spec.insecureSkipTLSVerify", True, "may not be true if caBundle is present")
    elif spec.get("caBundle") or spec.get("insecureSkipTLSVerify") is True:
        found.invalid("spec.insecureSkipTLSVerify", True, "local APIServices may not have insecureSkipTLSVerify")
