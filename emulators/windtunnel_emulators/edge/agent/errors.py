"""Problems of the agent that more than one of its parts raises.

EdgeProblem
+-- BadRequest   a direct method that cannot be carried out as it was asked for: 400
"""

from __future__ import annotations

from windtunnel_emulators.edge.interface import EdgeProblem


class BadRequest(EdgeProblem):
    """The message says what is wrong with the request."""
