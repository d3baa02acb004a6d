"""Rules of Jobs and CronJobs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.jsontypes import as_list, as_object, as_str
from windtunnel_emulators.kubernetes.objects import names
from windtunnel_emulators.kubernetes.objects.podrules import check_template
from windtunnel_emulators.kubernetes.objects.schedules import ScheduleError, parse
from windtunnel_emulators.kubernetes.objects.selectors import SelectorError, label_selector
from windtunnel_emulators.kubernetes.objects.workloadrules import template_labels

if TYPE_CHECKING:
    from windtunnel_emulators.jsontypes import JsonObject
    from windtunnel_emulators.kubernetes.objects.findings import Findings

_UID_LABEL = "batch.kubernetes.io/controller-uid"
_MISMATCH = "`selector` does not match template `labels`"
_IMMUTABLE = "field is immutable"
_RESTARTS = 'valid values: "OnFailure", "Never"'


def check_job_spec(field: str, spec: JsonObject, found: Findings) -> None:
    """The specification of a job, alone or in a CronJob's template."""
    for name in (
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "ttlSecondsAfterFinished",
        "backoffLimitPerIndex",
        "maxFailedIndexes",
    ):
        found.not_negative(f"{field}.{name}", spec.get(name))
    mode = spec.get("completionMode")
    found.one_of(f"{field}.completionMode", mode, ("NonIndexed", "Indexed"))
    if mode == "Indexed" and spec.get("completions") is None:
        found.required(f"{field}.completions", "when completion mode is Indexed")
    found.one_of(f"{field}.podReplacementPolicy", spec.get("podReplacementPolicy"), ("Failed", "TerminatingOrFailed"))
    for index, rule in enumerate(as_list(as_object(spec.get("podFailurePolicy")).get("rules"))):
        _failure_rule(f"{field}.podFailurePolicy.rules[{index}]", as_object(rule), found)
    check_template(f"{field}.template", as_object(spec.get("template")), found)
    pod = as_object(as_object(spec.get("template")).get("spec"))
    if pod.get("restartPolicy") in (None, "", "Always"):
        found.required(f"{field}.template.spec.restartPolicy", _RESTARTS)
    elif pod.get("restartPolicy") not in ("OnFailure", "Never"):
        found.unsupported(f"{field}.template.spec.restartPolicy", pod["restartPolicy"], ("OnFailure", "Never"))
    elif spec.get("podFailurePolicy") is not None and pod["restartPolicy"] != "Never":
        message = 'only "Never" is supported when podFailurePolicy is specified'
        found.invalid(f"{field}.template.spec.restartPolicy", pod["restartPolicy"], message)


def _failure_rule(field: str, rule: JsonObject, found: Findings) -> None:
    action = rule.get("action")
    if not action:
        found.required(f"{field}.action", 'valid values: "Count", "FailIndex", "FailJob", "Ignore"')
    else:
        found.one_of(f"{field}.action", action, ("Count", "FailIndex", "FailJob", "Ignore"))
    exits, conditions = rule.get("onExitCodes"), as_list(rule.get("onPodConditions"))
    if exits is not None:
        codes = as_object(exits)
        found.one_of(f"{field}.onExitCodes.operator", codes.get("operator"), ("In", "NotIn"))
        values = as_list(codes.get("values"))
        if not values:
            found.invalid(f"{field}.onExitCodes.values", values, "at least one value is required")
        for index, value in enumerate(values):
            if value == 0 and codes.get("operator") == "In":
                found.invalid(f"{field}.onExitCodes.values[{index}]", 0, "must not be 0 for the In operator")
            if value in values[:index]:
                found.duplicate(f"{field}.onExitCodes.values[{index}]", value)
    for index, entry in enumerate(conditions):
        condition, at = as_object(entry), f"{field}.onPodConditions[{index}]"
        kind = as_str(condition.get("type"))
        found.each(f"{at}.type", kind, names.qualified(kind))
        found.one_of(f"{at}.status", condition.get("status"), ("False", "True", "Unknown"))
    if exits is None and not conditions:
        from windtunnel_emulators.kubernetes.objects.causes import INVALID, Cause

        message = "Invalid value: specifying one of OnExitCodes and OnPodConditions is required"
        found.add([Cause(field=field, reason=INVALID, message=message)])


def check_job(whole: JsonObject, found: Findings) -> None:
    """A new job, its selector made."""
    spec = as_object(whole.get("spec"))
    check_job_spec("spec", spec, found)
    selector = spec.get("selector")
    if selector is None:
        found.required("spec.selector")
        found.invalid("spec.template.metadata.labels", template_labels(spec), _MISMATCH)
        return
    found.selector("spec.selector", selector)
    if spec.get("manualSelector") is not True:
        uid = as_object(whole.get("metadata")).get("uid")
        if as_object(as_object(selector).get("matchLabels")) != {_UID_LABEL: uid}:
            found.invalid("spec.selector", selector, "`selector` not auto-generated")
    try:
        if not label_selector(selector).matches(as_object(template_labels(spec))):
            found.invalid("spec.template.metadata.labels", template_labels(spec), _MISMATCH)
    except SelectorError as problem:
        found.invalid("spec.selector", selector, str(problem))


def check_job_update(old: JsonObject, new: JsonObject, found: Findings) -> None:
    """What of a job stays as it is."""
    before, after = as_object(old.get("spec")), as_object(new.get("spec"))
    check_job_spec("spec", after, found)
    suspended = before.get("suspend") is True and not as_object(old.get("status")).get("startTime")
    for name in ("completions", "selector", "template", "completionMode", "podFailurePolicy", "backoffLimitPerIndex"):
        if before.get(name) == after.get(name):
            continue
        if name == "template" and suspended and _scheduling_only(before, after):
            continue
        if (
            name == "completions"
            and after.get("completionMode") == "Indexed"
            and after.get(name) == after.get("parallelism")
        ):
            continue
        found.invalid(f"spec.{name}", after.get(name), _IMMUTABLE)


def _scheduling_only(before: JsonObject, after: JsonObject) -> bool:
    """Whether only where the pods may run differs, which a suspended job may change."""

    def rest(spec: JsonObject) -> JsonObject:
        template = as_object(spec.get("template"))
        pod = as_object(template.get("spec"))
        kept = {
            name: value
            for name, value in pod.items()
            if name not in ("nodeSelector", "affinity", "tolerations", "schedulingGates")
        }
        metadata = {
            name: value
            for name, value in as_object(template.get("metadata")).items()
            if name not in ("labels", "annotations")
        }
        return {"metadata": metadata, "spec": kept}

    return rest(before) == rest(after)


def check_cron_job(whole: JsonObject, found: Findings) -> None:
    spec = as_object(whole.get("spec"))
    schedule = as_str(spec.get("schedule"))
    if not schedule:
        found.required("spec.schedule")
    else:
        try:
            parse(schedule)
        except ScheduleError as problem:
            found.invalid("spec.schedule", schedule, str(problem))
        if "TZ" in schedule:
            found.invalid("spec.schedule", schedule, "cannot use TZ or CRON_TZ in schedule, use timeZone field instead")
    found.not_negative("spec.startingDeadlineSeconds", spec.get("startingDeadlineSeconds"))
    zone = spec.get("timeZone")
    if isinstance(zone, str):
        _zone(zone, found)
    found.one_of("spec.concurrencyPolicy", spec.get("concurrencyPolicy"), ("Allow", "Forbid", "Replace"))
    job = as_object(as_object(spec.get("jobTemplate")).get("spec"))
    check_job_spec("spec.jobTemplate.spec", job, found)
    if job.get("manualSelector") is not None and job["manualSelector"] is not False:
        found.unsupported("spec.jobTemplate.spec.manualSelector", job["manualSelector"], ("nil", "false"))
    for name in ("successfulJobsHistoryLimit", "failedJobsHistoryLimit"):
        found.not_negative(f"spec.{name}", spec.get(name))


def _zone(name: str, found: Findings) -> None:
    import zoneinfo

    if not name:
        found.invalid("spec.timeZone", name, "timeZone must be nil or non-empty string")
        return
    if name.lower() == "local":
        found.invalid(
            "spec.timeZone",
            name,
            "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones",
        )
        return
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        found.invalid("spec.timeZone", name, f"unknown time zone {name}")
