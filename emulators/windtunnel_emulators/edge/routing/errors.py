"""What can be wrong with a route.

EdgeProblem
+-- RouteError         a route of a deployment; the message names it
Fault                  inside this package: a text, and where in it; ``RouteTable`` makes a ``RouteError`` of it
"""

from __future__ import annotations

from windtunnel_emulators.edge.interface import EdgeProblem


class RouteError(EdgeProblem):
    """A route that cannot be used. Its message begins as edge-hub's does."""

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(f"Error parsing route {name} - {problem}")
        self.name = name


class Fault(Exception):
    """What is wrong at one place of a route's text."""

    def __init__(self, position: int, problem: str) -> None:
        super().__init__(f"character {position + 1}: {problem}")
        self.position = position
