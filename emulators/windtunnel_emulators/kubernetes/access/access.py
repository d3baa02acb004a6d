"""Everything that decides for one embedded cluster, put together: the implementation of ``interface.Access``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.kubernetes.access import bootstrap, users
from windtunnel_emulators.kubernetes.access.accounts import ISSUER, AccountTokens
from windtunnel_emulators.kubernetes.access.admission.chain import Chain
from windtunnel_emulators.kubernetes.access.allocation.services import ServiceAllocation
from windtunnel_emulators.kubernetes.access.authentication import Authentication
from windtunnel_emulators.kubernetes.access.authorizer import Authorizer
from windtunnel_emulators.kubernetes.access.endpoints import ServiceEndpoints
from windtunnel_emulators.kubernetes.access.escalation import Escalation
from windtunnel_emulators.kubernetes.access.interface import MASTERS, SERVER, Decision
from windtunnel_emulators.kubernetes.access.nodes import NodeRules
from windtunnel_emulators.kubernetes.access.reviews import Reviews
from windtunnel_emulators.kubernetes.access.roles import Roles
from windtunnel_emulators.kubernetes.access.signing import Signer
from windtunnel_emulators.kubernetes.access.special.binding import Bindings
from windtunnel_emulators.kubernetes.access.special.eviction import Evictions
from windtunnel_emulators.kubernetes.access.special.parts import PARTS
from windtunnel_emulators.kubernetes.access.special.signer import CertificateSigner
from windtunnel_emulators.kubernetes.access.special.tokens import TokenRequests
from windtunnel_emulators.kubernetes.access.state import State
from windtunnel_emulators.kubernetes.api.deleting import Deleting
from windtunnel_emulators.kubernetes.certificates import CLIENTS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from windtunnel_emulators.clock import Clock
    from windtunnel_emulators.jsontypes import JsonObject
    from windtunnel_emulators.kubernetes.access.interface import Admission, Attributes, SpecialSubresource, User
    from windtunnel_emulators.kubernetes.api.registry import Registry
    from windtunnel_emulators.kubernetes.api.storage import Storage
    from windtunnel_emulators.kubernetes.certificates import ClusterAuthority

_DISCOVERY, _KEYS = "/.well-known/openid-configuration", "/openid/v1/jwks"


class ClusterAccess:
    """``Access`` with a cluster's own keys."""

    def __init__(self, authority: ClusterAuthority, clock: Clock, *, issuer: str = ISSUER) -> None:
        self._authority = authority
        self._clock = clock
        self._tokens = AccountTokens(Signer(authority.service_account_key), issuer=issuer)
        static = {token: role_user(role) for role, token in authority.tokens.items()}
        self._authentication = Authentication(self._tokens, static, self.authorize)
        self._specials: dict[tuple[str, str, str], SpecialSubresource] = {}
        self._state: State | None = None
        self._authorizer: Authorizer | None = None
        self._chain: Chain | None = None

    async def start(self, storage: Storage, registry: Registry) -> None:
        """Roles and the rest of what a cluster has from its start are there afterwards."""
        state = State(storage, registry, self._clock)
        await bootstrap.bootstrap(state)
        roles = Roles(state)
        await roles.aggregate()
        nodes = NodeRules(state, bootstrap.node_rules())
        roles.start()
        nodes.start()
        allocation = ServiceAllocation(state)
        allocation.start()
        CertificateSigner(state, self._authority).start()
        self._state = state
        self._authorizer = Authorizer(roles, nodes)
        chain = Chain(state, Escalation(roles, self.authorize), allocation, self.authorize, ServiceEndpoints(state))
        chain.start()
        self._chain = chain
        specials = (
            *Reviews(state, self._authentication, roles, self.authorize, self._tokens.issuer).all(),
            *Bindings(state, chain).all(),
            Evictions(state, Deleting(storage, self, self._clock)).special(),
            TokenRequests(state, self._tokens).special(),
        )
        for special in specials:
            self._specials[(special.group, special.resource, special.subresource)] = special

    async def stop(self) -> None:
        """Follow nothing any more."""
        if self._state is not None:
            await self._state.close()

    def server(self) -> User:
        """The server itself."""
        return SERVER

    async def authenticate(self, headers: Mapping[str, str], peer: bytes | None) -> User:
        """See ``Access``."""
        return self._authentication.authenticate(headers, peer, self._started())

    def authorize(self, user: User, attributes: Attributes) -> Decision:
        """See ``Access``."""
        if self._authorizer is None:
            return Decision(allowed=MASTERS in user.groups)
        return self._authorizer.decide(user, attributes)

    async def mutate(self, admission: Admission) -> JsonObject:
        """See ``Access``."""
        whole = await self._admission().mutate(admission)
        if whole is None:
            raise ValueError("a deletion has no next state")
        return whole

    async def validate(self, admission: Admission) -> None:
        """See ``Access``."""
        await self._admission().validate(admission)

    async def admit(self, admission: Admission) -> JsonObject | None:
        """See ``Access``."""
        return await self._admission().admit(admission)

    def special(self, group: str, resource: str, subresource: str) -> SpecialSubresource | None:
        """See ``Access``."""
        return self._specials.get((group, resource, subresource))

    def part(
        self, group: str, resource: str, subresource: str
    ) -> Callable[[JsonObject, JsonObject], JsonObject] | None:
        """See ``Access``."""
        return PARTS.get((group, resource, subresource))

    def document(self, path: str) -> JsonObject | None:
        """See ``Access``."""
        if path == _KEYS:
            return self._tokens.signer.published()
        if path != _DISCOVERY:
            return None
        return {
            "issuer": self._tokens.issuer,
            "jwks_uri": f"{self._tokens.issuer}{_KEYS}",
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
        }

    def _started(self) -> State:
        if self._state is None:
            raise RuntimeError("access has not been started")
        return self._state

    def _admission(self) -> Chain:
        if self._chain is None:
            raise RuntimeError("access has not been started")
        return self._chain


def role_user(role: str) -> User:
    """The user of one of ``certificates.CLIENTS``: what its certificate says."""
    name, groups = CLIENTS[role]
    return users.named(name, groups)
