"""ServiceAccount: pods run as an account that is there, with its token in a volume."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.jsontypes import as_list, as_object, as_str
from windtunnel_emulators.kubernetes.api import metadata as meta
from windtunnel_emulators.kubernetes.api.failures import forbidden

if TYPE_CHECKING:
    from windtunnel_emulators.jsontypes import Json, JsonObject
    from windtunnel_emulators.kubernetes.access.interface import Admission
    from windtunnel_emulators.kubernetes.access.state import State

MOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
MIRROR = "kubernetes.io/config.mirror"
_PREFIX = "kube-api-access-"
_EXPIRATION_S = 3607
"""What the real plugin asks for, so that tokens of pods can be told from others."""
_ENFORCED = "kubernetes.io/enforce-mountable-secrets"


def mutate(admission: Admission, whole: JsonObject, state: State) -> JsonObject:
    """The pod with its account and the account's token. Raises ``Failure`` 403."""
    if admission.subresource or admission.operation != "CREATE":
        return whole
    spec = as_object(whole.get("spec"))
    if MIRROR in as_object(meta.of(whole).get("annotations")):
        _check_mirror(admission, spec)
        return whole
    name = as_str(spec.get("serviceAccountName")) or as_str(spec.get("serviceAccount")) or "default"
    account = state.get("serviceaccounts", admission.namespace, name)
    if account is None:
        where = f"{admission.namespace}/{name}"
        raise _refused(admission, f'error looking up service account {where}: serviceaccount "{name}" not found')
    made: JsonObject = {**spec, "serviceAccountName": name, "serviceAccount": name}
    _check_secrets(admission, account, made)
    if _mounted(made, account):
        made = _with_token(made)
    if not made.get("imagePullSecrets") and account.get("imagePullSecrets"):
        made["imagePullSecrets"] = account["imagePullSecrets"]
    return {**whole, "spec": made}


def _refused(admission: Admission, why: str) -> Exception:
    return forbidden("", "pods", admission.name, why)


def _check_mirror(admission: Admission, spec: JsonObject) -> None:
    if spec.get("serviceAccountName"):
        raise _refused(admission, "a mirror pod may not reference service accounts")
    for one in as_list(spec.get("volumes")):
        volume = as_object(one)
        if "secret" in volume:
            raise _refused(admission, "a mirror pod may not reference secrets")
        for source in as_list(as_object(volume.get("projected")).get("sources")):
            if "serviceAccountToken" in as_object(source):
                raise _refused(admission, "a mirror pod may not use ServiceAccountToken volume projections")


def _check_secrets(admission: Admission, account: JsonObject, spec: JsonObject) -> None:
    """For accounts that say so, pods use the account's own secrets only."""
    if as_object(meta.of(account).get("annotations")).get(_ENFORCED) != "true":
        return
    mountable = {as_str(as_object(one).get("name")) for one in as_list(account.get("secrets"))}
    unknown = f"service account {meta.text(account, 'name')} does not reference that secret"
    for one in as_list(spec.get("volumes")):
        secret = as_str(as_object(as_object(one).get("secret")).get("secretName"))
        if secret and secret not in mountable:
            why = f'volume with secret.secretName="{secret}" is not allowed because {unknown}'
            raise _refused(admission, why)
    for group, said in (("initContainers", "init container"), ("containers", "container")):
        for one in as_list(spec.get(group)):
            container = as_object(one)
            for inner in as_list(container.get("env")):
                source = as_object(as_object(as_object(inner).get("valueFrom")).get("secretKeyRef"))
                secret = as_str(source.get("name"))
                if secret and secret not in mountable:
                    why = (
                        f"{said} {as_str(container.get('name'))} with envVar {as_str(as_object(inner).get('name'))}"
                        f' referencing secret.secretName="{secret}" is not allowed because {unknown}'
                    )
                    raise _refused(admission, why)
    pulls = {as_str(as_object(one).get("name")) for one in as_list(account.get("imagePullSecrets"))}
    for index, one in enumerate(as_list(spec.get("imagePullSecrets"))):
        secret = as_str(as_object(one).get("name"))
        if secret not in pulls:
            pull = unknown.removesuffix("secret") + "imagePullSecret"
            why = f'imagePullSecrets[{index}].name="{secret}" is not allowed because {pull}'
            raise _refused(admission, why)


def _mounted(spec: JsonObject, account: JsonObject) -> bool:
    for holder in (spec, account):
        said = holder.get("automountServiceAccountToken")
        if isinstance(said, bool):
            return said
    return True


def _has_mount(container: JsonObject) -> bool:
    return any(as_object(mount).get("mountPath") == MOUNT for mount in as_list(container.get("volumeMounts")))


def _with_token(spec: JsonObject) -> JsonObject:
    volumes = as_list(spec.get("volumes"))
    name = next(
        (
            as_str(as_object(one).get("name"))
            for one in volumes
            if as_str(as_object(one).get("name")).startswith(_PREFIX)
        ),
        "",
    )
    added = not name
    name = name or meta.generated_name(_PREFIX)
    mount: JsonObject = {"name": name, "readOnly": True, "mountPath": MOUNT}
    made, needed = dict(spec), False
    for group in ("initContainers", "containers"):
        containers: list[Json] = []
        for one in as_list(spec.get(group)):
            container = dict(as_object(one))
            if not _has_mount(container):
                needed = True
                mounts: list[Json] = [*as_list(container.get("volumeMounts")), mount]
                container["volumeMounts"] = mounts
            containers.append(container)
        if containers:
            made[group] = containers
    if needed and added:
        made["volumes"] = [*volumes, _volume(name)]
    return made


def _volume(name: str) -> JsonObject:
    namespace: JsonObject = {
        "path": "namespace",
        "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"},
    }
    return {
        "name": name,
        "projected": {
            "sources": [
                {"serviceAccountToken": {"expirationSeconds": _EXPIRATION_S, "path": "token"}},
                {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                {"downwardAPI": {"items": [namespace]}},
            ],
            "defaultMode": 420,
        },
    }
