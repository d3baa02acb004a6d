"""What a service does that is reached by messages: routes, what cannot be scored, a cloud that is gone, and neighbours.
Rows 3, 5, 8, 9 and 16.

The messages come from Microsoft's simulated temperature sensor, which locally a program of Windtunnel's stands in for.
"""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from windtunnel.edge_options import EdgeOptions
from windtunnel.interface import Capability
from windtunnel.jsontypes import as_object

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from windtunnel.interface import Event, EventReading
    from windtunnel_contracts.digits import Digits
    from windtunnel_contracts.place import Place, Service

SENSOR = "mcr.microsoft.com/azureiotedge-simulated-temperature-sensor:1.0"
_MET = 3


@pytest.mark.requires(Capability.MESSAGES, Capability.SCRIPT)
class EdgeContract:
    """A model between a sensor and the hub."""

    def test_messages_of_another_module_are_scored_and_the_answers_arrive(
        self, place: Place, digits: Digits, tmp_path: Path
    ) -> None:
        started = datetime.now(UTC)
        with place.shared(digits.model, script=_script(tmp_path), edge=_fed(place)) as service:
            name = service.deployment.name
            with place.backend.events(place.target, since=started) as reading:
                found = _answers(place, reading, name, lambda events: len(events) >= _MET)
            for number, event in enumerate(found, start=1):
                assert event.properties["AzureMLResponse"] == "OK"
                answer = json.loads(event.body)
                assert answer["answer"] == number
                assert answer["temperature"] > 0
                assert answer["made"] <= event.enqueued.timestamp() + 5

    def test_a_message_that_cannot_be_scored_gives_no_message_and_holds_up_no_other(
        self, place: Place, digits: Digits, tmp_path: Path
    ) -> None:
        started = datetime.now(UTC)
        script = _script(tmp_path, "if count % 2 == 0:\n        raise ValueError('no lift')")
        with place.shared(digits.model, script=script, edge=_fed(place)) as service:
            name = service.deployment.name
            with place.backend.events(place.target, since=started) as reading:
                found = _answers(place, reading, name, lambda events: len(events) >= _MET)
            assert [json.loads(event.body)["answer"] for event in found][:_MET] == [1, 3, 5]
            assert "no lift" in place.log_with(name, "no lift")
            assert place.backend.get(place.target, name).restarts == 0

    @pytest.mark.requires(Capability.OFFLINE)
    def test_without_its_cloud_a_device_goes_on_and_delivers_everything_in_order_later(
        self, place: Place, digits: Digits, tmp_path: Path
    ) -> None:
        started = datetime.now(UTC)
        with place.shared(digits.model, script=_script(tmp_path), edge=_fed(place)) as service:
            name = service.deployment.name
            link = place.backend.link(place.target, name)
            with place.backend.events(place.target, since=started) as reading:
                before = _answers(place, reading, name, lambda events: len(events) >= 1)
                link.cut()
                cut, on_their_way = time.time(), link.waiting()
                try:
                    # One of them may have been made in the moment of the cut.
                    place.wait_until(lambda: link.waiting() > on_their_way + _MET)
                finally:
                    restored = time.time()
                    link.restore()
                after = _answers(place, reading, name, lambda events: json.loads(events[-1].body)["made"] > restored)
            answers = [json.loads(event.body) for event in (*before, *after)]
            numbers = list(dict.fromkeys(answer["answer"] for answer in answers))  # at least once
            assert numbers == list(range(1, max(numbers) + 1))
            assert sum(cut < answer["made"] < restored for answer in answers) >= _MET

    def test_services_on_one_device_leave_each_other_alone(self, place: Place, digits: Digits) -> None:
        with place.shared(digits.model) as first:
            with place.shared(digits.model) as second:
                assert second.score(digits.request(2)) == first.score(digits.request(2))
            assert first.score(digits.request(1)) is not None
            assert place.backend.get(place.target, first.deployment.name).restarts == 0

    @pytest.fixture(scope="class")
    @classmethod
    def service(cls, place: Place, digits: Digits) -> Iterator[Service]:
        """The digits model; one for the whole class."""
        with place.shared(digits.model) as service:
            yield service

    @pytest.mark.parametrize(
        "body", [{"data": [[1]]}, {"data": 1}, {"wings": []}, b"no JSON"], ids=["width", "scalar", "name", "text"]
    )
    def test_input_that_does_not_fit_the_model_is_the_callers_fault(
        self, service: Service, body: dict[str, object] | bytes
    ) -> None:
        answer = service.ask(body)
        assert answer.status == 400
        assert "message" in as_object(answer.json())

    def test_calls_at_the_same_time_are_all_answered(self, service: Service, digits: Digits) -> None:
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(service.ask, [digits.request(8)] * 24))
        assert {answer.status for answer in answers} == {200}
        assert len({answer.body for answer in answers}) == 1


def _fed(place: Place) -> EdgeOptions:
    """A sensor of the service's own, four readings a second, and a route from it."""
    sensor = place.fresh_module()
    return EdgeOptions(
        source=f"{sensor}/temperatureOutput",
        modules={sensor: SENSOR},
        variables={sensor: {"MessageDelay": "00:00:00.25", "MessageCount": "-1"}},
    )


def _script(folder: Path, extra: str = "pass") -> Path:
    """Numbers the messages, and says when it saw them."""
    path = folder / "score.py"
    path.write_text(
        "import json, time\n\n\n"
        "def init():\n    global count\n    count = 0\n\n\n"
        "def run(raw):\n    global count\n    count += 1\n    reading = json.loads(raw)\n"
        f"    {extra}\n"
        "    return json.dumps({'answer': count, 'made': time.time(),"
        " 'temperature': reading['machine']['temperature']})\n",
        "utf-8",
    )
    return path


def _answers(place: Place, reading: EventReading, name: str, enough: Callable[[list[Event]], bool]) -> list[Event]:
    """What a service sends, until it is enough."""
    found: list[Event] = []
    for event in reading.events(limit_s=place.patience_s):
        if event.module == name:
            found.append(event)
            if enough(found):
                return found
    raise AssertionError(f"not enough of {name} within {place.patience_s:g} s: {found}")
