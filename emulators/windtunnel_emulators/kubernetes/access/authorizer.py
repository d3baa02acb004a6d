"""Whether a user may: the masters everything, nodes what theirs is, everybody what their roles allow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.kubernetes.access import users
from windtunnel_emulators.kubernetes.access.interface import MASTERS, Decision

if TYPE_CHECKING:
    from windtunnel_emulators.kubernetes.access.interface import Attributes, User
    from windtunnel_emulators.kubernetes.access.nodes import NodeRules
    from windtunnel_emulators.kubernetes.access.roles import Roles

_MASTER = Decision(allowed=True)


class Authorizer:
    """The authorizers of the real server in its order: masters, ``Node``, ``RBAC``."""

    def __init__(self, roles: Roles, nodes: NodeRules) -> None:
        self._roles = roles
        self._nodes = nodes

    def decide(self, user: User, asked: Attributes) -> Decision:
        """Answers in microseconds when it has been asked before."""
        if MASTERS in user.groups:
            return _MASTER
        reason = ""
        node = users.node_of(user)
        if node is not None:
            decision = self._nodes.decide(node, asked)
            if decision.allowed:
                return decision
            reason = decision.reason
        decision = self._roles.decide(user, asked)
        if decision.allowed or not reason:
            return decision
        return Decision(allowed=False, reason=f"{reason}\n{decision.reason}" if decision.reason else reason)
