"""``Registry``: the container registry of a profile, its credentials, and what images it has."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from windtunnel import names
from windtunnel.adapters.errors import translated
from windtunnel.errors import AuthenticationFailed, NotConfigured, ServiceError
from windtunnel.jsontypes import as_object, as_str

if TYPE_CHECKING:
    from collections.abc import Mapping

    from azure.core.rest import HttpResponse

    from windtunnel.adapters.clients import Clients

# What `docker push` and `docker build` write, with and without an index.
_MANIFESTS = ", ".join(
    (
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
    )
)
_ACR_SCOPE = "https://containerregistry.azure.net/.default"


@dataclass(frozen=True, slots=True, kw_only=True)
class Admin:
    """The registry's admin account."""

    username: str
    password: str = field(repr=False)


class Registry:
    """One registry that is there."""

    def __init__(self, clients: Clients, group: str, name: str, login_server: str, admin: Admin | None) -> None:
        self._clients = clients
        self.group = group
        self.name = name
        self.login_server = login_server
        self.admin = admin

    @classmethod
    def ensure(
        cls, clients: Clients, group: str, name: str, location: str, *, tags: Mapping[str, str], identity: str | None
    ) -> Registry:
        """Create it (Basic, with its admin account) unless it is there.

        Raises ``NotConfigured`` when container groups would have no way to pull from it.
        """
        from azure.core.exceptions import ResourceNotFoundError

        names.check_registry(name)
        registries = clients.registries.registries
        with translated(f"container registry {name!r}"):
            try:
                found = registries.get(group, name)
            except ResourceNotFoundError:
                body = {
                    "location": location,
                    "tags": dict(tags),
                    "sku": {"name": "Basic"},
                    "properties": {"adminUserEnabled": identity is None},
                }
                found = registries.begin_create(group, name, body).result()
            properties = found.properties
            login_server = properties.login_server if properties is not None else None
            if properties is None or not login_server:
                raise ServiceError(f"container registry {name!r} has no login server")
            admin = None
            if properties.admin_user_enabled:
                credentials = registries.list_credentials(group, name)
                password = next((p.value for p in credentials.passwords or () if p.value), None)
                if not credentials.username or not password:
                    raise ServiceError(f"container registry {name!r} gave no admin credentials")
                admin = Admin(username=credentials.username, password=password)
            elif identity is None:
                raise NotConfigured(
                    f"container registry {name!r} has no admin account, and no registry_identity is set:"
                    " a container group could not pull its image",
                    way_out=f"Set registry_identity to a managed identity with the role AcrPull, or enable the account:"
                    f" az acr update -n {name} --admin-enabled true",
                )
        return cls(clients, group, name, login_server, admin)

    def reference(self, image: str) -> str:
        """The full reference of ``repository:tag``."""
        return f"{self.login_server}/{image}"

    def digest(self, image: str) -> str | None:
        """The digest of ``repository:tag``; None when there is no such image."""
        from azure.core.rest import HttpRequest

        repository, _, tag = image.rpartition(":")
        token = self._token(f"repository:{repository}:pull")
        url = f"https://{self.login_server}/v2/{repository}/manifests/{tag}"
        headers = {"Authorization": f"Bearer {token}", "Accept": _MANIFESTS}
        answer = self._clients.send(HttpRequest("HEAD", url, headers=headers), f"looking for image {image}")
        if answer.status_code == 404:
            return None
        self._check(answer, f"looking for image {image}")
        return answer.headers.get("Docker-Content-Digest", "")

    def _token(self, scope: str) -> str:
        """A token for the registry's own API, as ``docker login`` gets one (distribution's token specification)."""
        from azure.core.rest import HttpRequest

        base = f"https://{self.login_server}/oauth2/token"
        doing = f"logging in to {self.login_server}"
        if self.admin is not None:
            pair = base64.b64encode(f"{self.admin.username}:{self.admin.password}".encode()).decode()
            query = urlencode({"service": self.login_server, "scope": scope})
            request = HttpRequest("GET", f"{base}?{query}", headers={"Authorization": f"Basic {pair}"})
        else:
            form = {
                "grant_type": "refresh_token",
                "service": self.login_server,
                "scope": scope,
                "refresh_token": self._refresh_token(),
            }
            request = HttpRequest("POST", base, data=form)
        answer = self._clients.send(request, doing)
        self._check(answer, doing)
        return as_str(as_object(answer.json()).get("access_token"))

    def _refresh_token(self) -> str:
        """An Entra token exchanged for one of the registry's."""
        from azure.core.rest import HttpRequest

        doing = f"logging in to {self.login_server}"
        with translated(doing):
            token = self._clients.credential.get_token(_ACR_SCOPE).token
        form = {"grant_type": "access_token", "service": self.login_server, "access_token": token}
        if self._clients.cloud.tenant is not None:
            form["tenant"] = self._clients.cloud.tenant
        answer = self._clients.send(
            HttpRequest("POST", f"https://{self.login_server}/oauth2/exchange", data=form), doing
        )
        self._check(answer, doing)
        return as_str(as_object(answer.json()).get("refresh_token"))

    def _check(self, answer: HttpResponse, doing: str) -> None:
        if answer.status_code in (401, 403):
            raise AuthenticationFailed(f"{doing}: the registry answered {answer.status_code}")
        if answer.status_code >= 300:
            raise ServiceError(f"{doing}: the registry answered {answer.status_code}", status=answer.status_code)
