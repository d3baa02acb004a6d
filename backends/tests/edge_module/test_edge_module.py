"""A module takes messages in, scores them in order, and sends what came of them; a method answers by itself."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

import pytest

from windtunnel_scoring.edge_module.settings import EdgeSettings, on_edge
from windtunnel_scoring.errors import SettingError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.edge_module.conftest import MemoryClient, Modules

ECHO = """
import json
def init(): pass
def run(data):
    value = json.loads(data)
    if value.get("fail"):
        raise ValueError("no")
    return [json.dumps({**value, "anomaly": value["n"] > 2})]
"""
QUICK = EdgeSettings(retry_s=0.01, retry_most_s=0.02)


def test_each_element_of_the_answer_is_one_message(modules: Modules) -> None:
    script = "def init(): pass\ndef run(data): return ['{\"a\": 1}', {'b': 2}, 3]\n"
    with modules.of_script(script) as running:
        running.message("{}", correlation_id="c-1", message_id="m-1")
        assert running.bodies(3) == ['{"a": 1}', '{"b": 2}', "3"]
        for message in running.client.sent:
            assert message.custom_properties == {"AzureMLResponse": "OK"}
            assert message.correlation_id == "c-1"
            assert (message.content_type, message.content_encoding) == ("application/json", "utf-8")
        assert len({message.message_id for message in running.client.sent}) == 3


def test_a_message_without_correlation_id_is_answered_with_its_id(modules: Modules) -> None:
    with modules.of_script(ECHO) as running:
        running.message('{"n": 1}', message_id="m-7")
        running.bodies(1)
        assert running.client.sent[0].correlation_id == "m-7"


@pytest.mark.parametrize("answer", ["None", "[]", "{}", "''"])
def test_an_answer_of_nothing_sends_nothing(modules: Modules, answer: str) -> None:
    script = f"def init(): pass\ndef run(data): return {answer} if data == 'nothing' else data\n"
    with modules.of_script(script) as running:
        running.message("nothing")
        running.message("something")
        assert running.bodies(1) == ["something"]


def test_a_failure_sends_no_message_and_is_logged(
    modules: Modules, until: Callable[[Callable[[], object]], object]
) -> None:
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("windtunnel").addHandler(handler)
    try:
        with modules.of_script(ECHO) as running:
            running.message('{"n": 1, "fail": true}')
            running.message('{"n": 2}')
            assert json.loads(running.bodies(1)[0])["n"] == 2
            until(lambda: any("could not be scored: 500" in line for line in lines))
    finally:
        logging.getLogger("windtunnel").removeHandler(handler)


def test_a_failure_is_a_message_where_that_was_asked_for(modules: Modules) -> None:
    settings = EdgeSettings(reports_errors=True)
    with modules.of_script(ECHO, settings=settings) as running:
        running.message('{"n": 1, "fail": true}', correlation_id="c")
        (body,) = running.bodies(1)
        assert list(json.loads(body)) == ["message"]
        (message,) = running.client.sent
        assert message.custom_properties == {"AzureMLResponse": "Error"}
        assert message.correlation_id == "c"


def test_messages_are_scored_and_sent_in_order_whatever_sending_does(modules: Modules) -> None:
    client_trouble = [ConnectionError("lost"), TimeoutError("late"), ConnectionError("again")]
    with modules.of_script(ECHO) as running:
        running.client.troubles.extend(client_trouble)
        for n in range(50):
            running.message(json.dumps({"n": n}))
        assert [json.loads(body)["n"] for body in running.bodies(50)] == list(range(50))


def test_an_answer_that_is_too_large_is_dropped_alone(modules: Modules) -> None:
    with modules.of_script(ECHO) as running:
        running.client.troubles.append(ValueError("Size of message exceeds 256 KB"))
        running.message('{"n": 1}')
        running.message('{"n": 2}')
        assert json.loads(running.bodies(1)[0])["n"] == 2


def test_other_inputs_are_not_read(modules: Modules) -> None:
    with modules.of_script(ECHO) as running:
        running.message('{"n": 1}', input_name="control")
        running.message('{"n": 2}')
        assert json.loads(running.bodies(1)[0])["n"] == 2


def test_more_messages_than_may_wait_are_left_in_the_hub(
    modules: Modules, until: Callable[[Callable[[], object]], object]
) -> None:
    settings = EdgeSettings(inbox=10, outbox=2, retry_s=0.01, retry_most_s=0.02)
    with modules.of_script(ECHO, settings=settings) as running:
        running.client.gate.clear()
        sent = 0
        while running.offer(json.dumps({"n": sent})):
            sent += 1
            assert sent < 10_000, "it never unsubscribed"
        running.client.gate.set()
        until(lambda: running.client.on_message_received)
        running.message(json.dumps({"n": sent}))
        assert [json.loads(body)["n"] for body in running.bodies(sent + 1)] == list(range(sent + 1))
    assert running.client.subscriptions == [True, False, True, False]


def test_a_method_answers_although_no_message_can_be_sent(modules: Modules) -> None:
    settings = EdgeSettings(outbox=1)
    with modules.of_script(ECHO, settings=settings) as running:
        running.client.gate.clear()
        for n in range(5):
            running.message(json.dumps({"n": n}))
        answer = running.call({"n": 3})
        assert (answer.status, answer.payload) == (200, ['{"n": 3, "anomaly": true}'])
        assert running.client.sent == []


@pytest.mark.parametrize(
    ("payload", "status"), [({"n": 1, "fail": True}, 500), ("not json", 500), ({"n": 1}, 200), ('{"n": 1}', 200)]
)
def test_a_method_has_the_statuses_of_the_scoring_server(modules: Modules, payload: object, status: int) -> None:
    with modules.of_script(ECHO) as running:
        assert running.call(payload).status == status  # type: ignore[arg-type]


def test_an_unknown_method_is_refused(modules: Modules) -> None:
    with modules.of_script(ECHO) as running:
        answer = running.call(None, name="reboot")
        assert (answer.status, answer.payload) == (
            404,
            {"message": "there is no direct method 'reboot': this module has 'score'"},
        )


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        ("float('nan')", "the answer holds NaN, which a direct method cannot carry"),
        ("'x' * 140000", "the answer has 140002 bytes; a direct method carries 131072 at most"),
    ],
)
def test_what_a_method_cannot_carry_is_said(modules: Modules, answer: str, sentence: str) -> None:
    with modules.of_script(f"def init(): pass\ndef run(data): return {answer}\n") as running:
        found = running.call({})
        assert (found.status, found.payload) == (500, {"message": sentence})


def test_what_came_in_before_the_end_is_done(modules: Modules) -> None:
    script = "import time\ndef init(): pass\ndef run(data):\n    time.sleep(0.01)\n    return data\n"
    with modules.of_script(script) as running:
        for n in range(20):
            running.message(str(n))
        running.module.stop()
    assert running.outcome == [True]
    assert [message.data for message in running.client.sent] == [str(n) for n in range(20)]
    assert running.client.shut


def test_a_grace_that_is_over_ends_it(modules: Modules) -> None:
    settings = EdgeSettings(grace_s=0.05)
    with modules.of_script(ECHO, settings=settings) as running:
        running.client.gate.clear()
        running.message('{"n": 1}')
        running.module.stop()
        while not running.outcome:
            pass
    assert running.outcome == [False]


def test_it_tries_until_the_hub_is_there(modules: Modules, memory_client: MemoryClient) -> None:
    memory_client.refusals.extend([ConnectionError("refused"), ConnectionError("refused")])
    with modules.of_script(ECHO, memory_client) as running:
        running.message('{"n": 1}')
        running.bodies(1)
    assert memory_client.connects == 3


async def test_a_client_that_gave_up_is_connected_again(modules: Modules, memory_client: MemoryClient) -> None:
    with modules.of_script(ECHO, memory_client, QUICK) as running:
        memory_client.refusals.append(PermissionError("not authorized"))
        memory_client.connected = False
        await memory_client.changed()
        running.until(lambda: memory_client.connected)
    assert memory_client.connects == 3


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, False),
        ({"IOTEDGE_MODULEID": "m"}, False),
        ({"IOTEDGE_MODULEID": "m", "IOTEDGE_WORKLOADURI": "unix:///w.sock"}, True),
        ({"EdgeHubConnectionString": "HostName=h"}, True),
    ],
)
def test_the_environment_tells_whether_it_is_a_module(variables: dict[str, str], expected: bool) -> None:
    assert on_edge(variables) is expected


def test_settings_are_checked() -> None:
    found = EdgeSettings.from_environment({"WINDTUNNEL_EDGE_ERRORS": "true", "WINDTUNNEL_EDGE_INBOX": "5"})
    assert (found.reports_errors, found.inbox, found.grace_s) == (True, 5, 8.0)
    with pytest.raises(SettingError, match="WINDTUNNEL_EDGE_OUTBOX is '0'"):
        EdgeSettings.from_environment({"WINDTUNNEL_EDGE_OUTBOX": "0"})
