"""What every namespace is given: its ``default`` service account and the cluster's certificate authority; and the
tokens of secrets that ask for one."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from windtunnel_emulators.kubernetes.client.interface import StatusError
from windtunnel_emulators.kubernetes.client.kinds import CONFIG_MAP, NAMESPACE, SECRET, SERVICE_ACCOUNT
from windtunnel_emulators.kubernetes.client.meta import (
    annotations_of,
    deleting,
    join_key,
    mapping,
    name_of,
    namespace_of,
    text,
    uid_of,
)
from windtunnel_emulators.kubernetes.client.objects import already_exists
from windtunnel_emulators.kubernetes.controllers.controller import Controller

if TYPE_CHECKING:
    from collections.abc import Iterable

    from windtunnel_emulators.jsontypes import JsonObject

DEFAULT = "default"
ROOT_CA = "kube-root-ca.crt"
ACCOUNT_NAME = "kubernetes.io/service-account.name"
ACCOUNT_UID = "kubernetes.io/service-account.uid"
TOKEN_TYPE = "kubernetes.io/service-account-token"  # noqa: S105  # the type's name
_DESCRIPTION = (
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the "
    "internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes "
    "clusters."
)
# TokenRequest's longest lifetime is 2**32 s; these tokens end with their secret.
_LIFETIME_S = 2**32


def _namespace_key(obj: JsonObject) -> Iterable[str]:
    return (namespace_of(obj),)


class _OfNamespaces(Controller):
    def prepare(self) -> None:
        self._namespaces = self.watch(NAMESPACE)

    def _lives(self, name: str) -> bool:
        namespace = self._namespaces.get(None, name)
        return namespace is not None and not deleting(namespace) and text(namespace, "status", "phase") != "Terminating"


class ServiceAccounts(_OfNamespaces):
    """Makes the ``default`` service account."""

    name = "serviceaccount-controller"

    def prepare(self) -> None:
        super().prepare()
        self._accounts = self.watch(SERVICE_ACCOUNT, _namespace_key)

    async def reconcile(self, key: str) -> None:
        if not self._lives(key) or self._accounts.get(key, DEFAULT) is not None:
            return
        await _create(self, {"metadata": {"name": DEFAULT, "namespace": key}})


async def _create(controller: Controller, account: JsonObject) -> None:
    try:
        await controller.objects.create(SERVICE_ACCOUNT, account)
    except StatusError as failure:
        if not already_exists(failure):
            raise


class RootCertificates(_OfNamespaces):
    """Publishes the cluster's certificate authority to each namespace, and puts it right if it is changed."""

    name = "root-ca-certificate-publisher"

    def prepare(self) -> None:
        super().prepare()
        self._maps = self.watch(CONFIG_MAP, lambda obj: _namespace_key(obj) if name_of(obj) == ROOT_CA else ())

    async def reconcile(self, key: str) -> None:
        if not self.settings.root_ca or not self._lives(key):
            return
        known = self._maps.get(key, ROOT_CA)
        data: JsonObject = {"ca.crt": self.settings.root_ca}
        annotation = "kubernetes.io/description"
        if known is None:
            wanted: JsonObject = {
                "metadata": {"name": ROOT_CA, "namespace": key, "annotations": {annotation: _DESCRIPTION}},
                "data": data,
            }
            try:
                await self.objects.create(CONFIG_MAP, wanted)
            except StatusError as failure:
                if not already_exists(failure):
                    raise
        elif known.get("data") != data or annotations_of(known).get(annotation) != _DESCRIPTION:
            annotations: JsonObject = {**annotations_of(known), annotation: _DESCRIPTION}
            metadata: JsonObject = {**mapping(known, "metadata"), "annotations": annotations}
            await self.objects.update(CONFIG_MAP, {**known, "metadata": metadata, "data": data})


class TokenSecrets(Controller):
    """Fills secrets of type ``kubernetes.io/service-account-token``, and removes those of accounts that are gone.

    The token comes from the TokenRequest API, bound to the secret: it ends when the secret does.
    """

    name = "legacy-service-account-token-controller"

    def prepare(self) -> None:
        self._secrets = self.watch(SECRET, lambda obj: self._own_key(obj))
        self._accounts = self.watch(SERVICE_ACCOUNT, self._keys_of_account)

    @staticmethod
    def _own_key(secret: JsonObject) -> Iterable[str]:
        if text(secret, "type") == TOKEN_TYPE:
            yield join_key(namespace_of(secret), name_of(secret))

    def _keys_of_account(self, account: JsonObject) -> Iterable[str]:
        for secret in self._secrets.objects(namespace_of(account)):
            if annotations_of(secret).get(ACCOUNT_NAME) == name_of(account):
                yield from self._own_key(secret)

    async def reconcile(self, key: str) -> None:
        secret = self._secrets.by_key(key)
        if secret is None or deleting(secret) or text(secret, "type") != TOKEN_TYPE:
            return
        annotations = annotations_of(secret)
        namespace, name = namespace_of(secret), annotations.get(ACCOUNT_NAME, "")
        account = self._accounts.get(namespace, name)
        if account is None:
            account = await self.objects.find(SERVICE_ACCOUNT, namespace, name) if name else None
        known_uid = annotations.get(ACCOUNT_UID)
        if account is None or (known_uid and known_uid != uid_of(account)):
            await self.objects.delete(SECRET, namespace, name_of(secret), uid=uid_of(secret))
            return
        data = mapping(secret, "data")
        authority = base64.b64encode(self.settings.root_ca.encode()).decode()
        inside = base64.b64encode(namespace.encode()).decode()
        right = data.get("token") and data.get("namespace") == inside and known_uid
        if right and (not authority or data.get("ca.crt") == authority):
            return
        wanted: JsonObject = {**data, "namespace": inside, **({"ca.crt": authority} if authority else {})}
        if not data.get("token"):
            wanted["token"] = base64.b64encode((await self._token(account, secret)).encode()).decode()
        marked: JsonObject = {**annotations, ACCOUNT_UID: uid_of(account)}
        metadata: JsonObject = {**mapping(secret, "metadata"), "annotations": marked}
        await self.objects.update(SECRET, {**secret, "metadata": metadata, "data": wanted})

    async def _token(self, account: JsonObject, secret: JsonObject) -> str:
        bound: JsonObject = {
            "kind": "Secret",
            "apiVersion": "v1",
            "name": name_of(secret),
            "uid": uid_of(secret),
        }
        answer = await self.objects.create_subresource(
            SERVICE_ACCOUNT,
            namespace_of(account),
            name_of(account),
            "token",
            {
                "apiVersion": "authentication.k8s.io/v1",
                "kind": "TokenRequest",
                "metadata": {},
                "spec": {"audiences": [], "expirationSeconds": _LIFETIME_S, "boundObjectRef": bound},
            },
        )
        return text(answer, "status", "token")
