"""Azure's own credentials at a registry: access tokens of the emulated tenant, and its application's secret."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from windtunnel_emulators.arm.errors import ArmError
from windtunnel_emulators.arm.provider import Caller
from windtunnel_emulators.identity.audiences import registry as registry_audiences
from windtunnel_emulators.identity.audiences import resource_manager as arm_audiences
from windtunnel_emulators.identity.tokens import InvalidToken
from windtunnel_emulators.jsontypes import as_str

if TYPE_CHECKING:
    from windtunnel_emulators.identity.directory import Directory
    from windtunnel_emulators.identity.tokens import Tokens

_LOOPBACK = ("localhost", "127.0.0.1", "::1")


class AzureCallers:
    """Whoever the token service knows. Everyone there may do everything: roles are not emulated."""

    def __init__(self, tokens: Tokens, directory: Directory | None = None) -> None:
        self._tokens = tokens
        self._directory = directory

    def caller(self, token: str, *, arm: bool) -> Caller | None:
        """Who an access token for a registry (or, with ``arm``, for ARM) stands for; None when it does not hold."""
        try:
            audience = as_str(self._tokens.read(token).get("aud"))
            # The token service gives out no loopback audience but its own front door's.
            own = audience if urlsplit(audience).hostname in _LOOPBACK else "https://localhost"
            audiences = registry_audiences(own)
            return self._tokens.verify(
                f"Bearer {token}", audiences=audiences if arm else audiences - arm_audiences(own)
            )
        except (InvalidToken, ArmError, ValueError):
            return None

    def application(self, client_id: str, secret: str) -> Caller | None:
        """The application, when id and secret are its own; ``docker login -u <id> -p <secret>`` sends them."""
        directory = self._directory
        if directory is None or client_id.lower() != directory.application.client_id.lower():
            return None
        if not directory.has_secret(secret):
            return None
        application = directory.application
        return Caller(
            tenant=directory.tenant,
            object_id=application.object_id,
            app_id=application.client_id,
            name=application.name,
            kind=application.kind,
        )
