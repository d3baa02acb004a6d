"""The hub's own twin, ``$edgeHub``: the routes that it is told to have, and what it tells of itself.

Desired properties that cannot be read leave what was there before, and the report says so. The last ones that could are
kept, for a start without the cloud. Reports are patches with what has changed.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import msgspec

from windtunnel_emulators.edge.hub.merging import difference
from windtunnel_emulators.edge.hub.twin_cache import EMPTY
from windtunnel_emulators.edge.routing.errors import RouteError
from windtunnel_emulators.edge.routing.table import RouteTable
from windtunnel_emulators.iot.hub.errors import HubError
from windtunnel_emulators.iot.manifests.errors import HubFormatProblem
from windtunnel_emulators.iot.manifests.reading import parse_hub

if TYPE_CHECKING:
    from windtunnel_emulators.edge.hub.intake import Intake
    from windtunnel_emulators.edge.hub.presence import Presence
    from windtunnel_emulators.edge.hub.reports import Reports
    from windtunnel_emulators.edge.hub.twin_cache import TwinCache
    from windtunnel_emulators.iot.hub.identity import Who
    from windtunnel_emulators.jsontypes import JsonObject
    from windtunnel_emulators.store import Store

_KEPT = "desired"
_LONGEST = 1000
_decode = msgspec.json.Decoder(dict[str, object]).decode
_log = logging.getLogger(__name__)


class Administration:
    """What ``$edgeHub`` is told, and what it reports."""

    def __init__(
        self,
        own: Who,
        *,
        store: Store,
        cache: TwinCache,
        reports: Reports,
        presence: Presence,
        intake: Intake,
    ) -> None:
        self._own = own
        self._store = store
        self._cache = cache
        self._reports = reports
        self._presence = presence
        self._intake = intake
        self._status: JsonObject = {}
        """``lastDesiredVersion`` and ``lastDesiredStatus``; empty while nothing was ever desired."""
        self._dirty = False

    @property
    def version(self) -> int | None:
        """The version of the desired properties that were looked at last."""
        found = self._status.get("lastDesiredVersion")
        return found if isinstance(found, int) else None

    def load(self) -> None:
        """At the start: what was last told and could be read, and what was last reported."""
        twin = self._cache.get(self._own) or EMPTY
        self._presence.load(twin.local.get("clients"))
        row = self._store.row("SELECT document FROM edge_kept WHERE name = ?", (_KEPT,))
        if row is not None and isinstance(row[0], bytes):
            desired: JsonObject = _decode(row[0])  # type: ignore[assignment]  # an object of JSON, of any values
            problem = self._route(desired)
            if problem is not None:
                _log.error("the routes that this device had cannot be read any more: %s", problem)
        self.changed()

    def changed(self) -> None:
        """Take the desired properties as they are known now; safe to repeat."""
        twin = self._cache.get(self._own) or EMPTY
        if not twin.desired or twin.desired_version == self.version:
            return
        desired: JsonObject = {**twin.desired, "$version": twin.desired_version}
        problem = self._route(desired)
        if problem is None:
            document = msgspec.json.encode(desired)
            self._store.execute("INSERT OR REPLACE INTO edge_kept VALUES (?, ?)", (_KEPT, document))
        else:
            _log.error("desired properties of '%s' are not taken, and what was there stays: %s", self._own, problem)
        self._status = {
            "lastDesiredVersion": twin.desired_version,
            "lastDesiredStatus": {"code": 200 if problem is None else 400, "description": problem or ""},
        }
        self._dirty = True

    def arrived(self, who: Who) -> None:
        """A client has connected."""
        self._presence.arrived(who)
        self._dirty = True

    def left(self, who: Who) -> None:
        """A client is gone."""
        self._presence.left(who)
        self._dirty = True

    def flush(self) -> None:
        """Report what has changed; about once a second."""
        if not self._dirty:
            return
        self._dirty = False
        wanted: JsonObject = {"schemaVersion": "1.0", "version": {}, **self._status, "clients": self._presence.shown()}
        local = (self._cache.get(self._own) or EMPTY).local
        patch = {name: value for name, value in difference(local, wanted).items() if name in wanted}
        if not patch:
            return
        try:
            self._reports.add(self._own, patch)
        except HubError as problem:
            _log.warning("what '%s' has to report is more than a twin holds: %s", self._own, problem)

    def _route(self, desired: JsonObject) -> str | None:
        """Have the routes of desired properties, or say why not."""
        try:
            deployment = parse_hub(desired)
        except HubFormatProblem as problem:
            return problem.description[:_LONGEST]
        try:
            self._intake.router = RouteTable.parse(deployment.routes, deployment.ttl)
        except RouteError as problem:
            return HubFormatProblem(str(problem)).description[:_LONGEST]
        return None
