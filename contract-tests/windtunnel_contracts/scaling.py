"""Replicas: set by hand, following the load, and what is answered when there are too few. Rows 9 and 11."""

from __future__ import annotations

import json
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from windtunnel.aks_options import AksOptions
from windtunnel.interface import Capability
from windtunnel.session import client_of

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

    from windtunnel.scoring_client import Answer
    from windtunnel_contracts.digits import Digits
    from windtunnel_contracts.place import Place, Service

MOST = 4
CLIENTS = 8
_SLOW = "import time\n\n\ndef init():\n    pass\n\n\ndef run(data):\n    time.sleep(0.2)\n    return 'done'\n"


@pytest.mark.requires(Capability.PREDICT, Capability.HTTP, Capability.SCRIPT)
class ScalingContract:
    """A service has as many replicas as it should, and says so when they are too few."""

    @pytest.mark.requires(Capability.SCALE)
    def test_replicas_are_set_by_hand_and_go_again(self, place: Place, digits: Digits) -> None:
        with place.shared(digits.model, aks=AksOptions(num_replicas=1)) as service:
            name = service.deployment.name
            for replicas in (3, 1):
                place.backend.scale(place.target, name, replicas).result(place.patience_s)
                place.wait_for(name, lambda d, n=replicas: d.replicas == n)  # type: ignore[misc]  # the loop's own
                assert service.ask(digits.request(1)).status == 200

    @pytest.mark.requires(Capability.SCALE)
    def test_a_request_that_waits_too_long_for_a_replica_is_told_so(
        self, place: Place, digits: Digits, tmp_path: Path
    ) -> None:
        options = AksOptions(num_replicas=1, max_request_wait_time=100)
        with _slow(place, digits, tmp_path, options) as service, _Load(service) as load:
            load.until(lambda: {200, 503} <= set(load.statuses))
            assert set(load.statuses) == {200, 503}
            assert load.last[503].text(200) == f"Too many requests for service {service.deployment.name} (overloaded)"

    @pytest.mark.requires(Capability.SCALE)
    def test_a_prediction_that_takes_too_long_is_ended(self, place: Place, digits: Digits, tmp_path: Path) -> None:
        with _slow(place, digits, tmp_path, AksOptions(num_replicas=1, scoring_timeout_ms=50)) as service:
            assert service.request("POST", "/score", content=b"{}").status_code == 504

    @pytest.mark.requires(Capability.AUTOSCALE)
    def test_replicas_follow_the_load_between_their_bounds(self, place: Place, digits: Digits, tmp_path: Path) -> None:
        options = AksOptions(
            autoscale_enabled=True,
            autoscale_min_replicas=1,
            autoscale_max_replicas=MOST,
            max_request_wait_time=60_000,
        )
        with _slow(place, digits, tmp_path, options) as service:
            name = service.deployment.name
            assert service.deployment.replicas == 1
            with _Load(service) as load:
                place.wait_for(name, lambda d: d.replicas == MOST)
                seen = len(load.statuses)
                load.until(lambda: len(load.statuses) >= seen + MOST * CLIENTS)
                assert place.backend.get(place.target, name).replicas == MOST
            assert set(load.statuses) == {200}
            # The load is over: after the quiet minute there is one again.
            place.wait_for(name, lambda d: d.replicas == 1)

    @pytest.mark.requires(Capability.SCALE, Capability.UPDATE)
    def test_no_request_fails_while_a_service_is_replaced(self, place: Place, digits: Digits, tmp_path: Path) -> None:
        options = AksOptions(num_replicas=2, max_request_wait_time=60_000)
        with place.shared(digits.model, script=_script(tmp_path, "old"), aks=options) as service:
            name = service.deployment.name
            with _Load(service, clients=2) as load:
                load.until(lambda: b'"old"' in load.bodies)
                place.replace_script(name, _script(tmp_path, "new"))
                load.until(lambda: b'"new"' in load.bodies)
                place.wait(name)
            assert set(load.statuses) == {200}, f"{len(load.statuses)} requests"
            assert load.bodies == {b'"old"', b'"new"'}


@contextmanager
def _slow(place: Place, digits: Digits, folder: Path, options: AksOptions) -> Generator[Service]:
    script = folder / "score.py"
    script.write_text(_SLOW, "utf-8")
    with place.shared(digits.model, script=script, aks=options) as service:
        yield service


def _script(folder: Path, word: str) -> Path:
    path = folder / word / "score.py"
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"def init():\n    pass\n\n\ndef run(data):\n    return {word!r}\n", "utf-8")
    return path


class _Load:
    """Clients that ask one after the other without a pause, as long as the block lasts."""

    def __init__(self, service: Service, *, clients: int = CLIENTS) -> None:
        self.statuses: list[int] = []
        self.bodies: set[bytes] = set()
        self.last: dict[int, Answer] = {}
        self._patience_s = service.place.patience_s
        self._endpoint = service.place.backend.endpoint(service.place.target, service.deployment.name)
        self._over = threading.Event()
        self._problems: list[BaseException] = []
        self._threads = [threading.Thread(target=self._ask, name=f"client {n}") for n in range(clients)]

    def _ask(self) -> None:
        client = client_of(self._endpoint)
        try:
            while not self._over.is_set():
                answer = client.score(json.dumps({"data": [[1]]}).encode())
                self.last[answer.status] = answer
                self.bodies.add(answer.body)
                self.statuses.append(answer.status)
        except BaseException as problem:  # shown where the block ends
            self._problems.append(problem)
        finally:
            client.close()

    def until(self, condition: Callable[[], bool]) -> None:
        """Go on until it holds."""
        end = time.monotonic() + self._patience_s
        while not condition() and not self._problems:
            assert time.monotonic() < end, f"not within {self._patience_s:g} s; so far {len(self.statuses)} answers"
            time.sleep(0.02)

    def __enter__(self) -> _Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(self._patience_s)
        if kind is None and self._problems:
            raise self._problems[0]
