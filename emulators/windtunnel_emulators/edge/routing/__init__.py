"""The route language of edge-hub: where messages on a device go."""

from windtunnel_emulators.edge.routing.errors import RouteError
from windtunnel_emulators.edge.routing.table import Route, RouteTable

__all__ = ["Route", "RouteError", "RouteTable"]
