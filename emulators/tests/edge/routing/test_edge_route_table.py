"""Routes: their form, what they match, where they lead, and what is said of a wrong one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from windtunnel_emulators.edge.interface import DEFAULT_PRIORITY, Kind, Message, Target
from windtunnel_emulators.edge.routing import RouteError, RouteTable
from windtunnel_emulators.iot.hub.identity import Who

if TYPE_CHECKING:
    from windtunnel_emulators.jsontypes import Json


def sent(module: str = "", output: str | None = None, bag: str = "", kind: Kind = Kind.TELEMETRY) -> Message:
    return Message(sender=Who("edge", module), output=output, bag=bag, kind=kind, enqueued=1.0)


OUT = sent("m", "out")
PLAIN = sent("m")
LEAF = sent()
TWIN = sent("m", kind=Kind.TWIN_CHANGE)


@pytest.mark.parametrize(
    ("path", "matched"),
    [
        ("/*", {"out", "plain", "leaf", "twin"}),
        ("/messages/*", {"out", "plain", "leaf"}),
        ("/messages", {"out", "plain", "leaf"}),
        ("/MESSAGES/Modules/M/Outputs/OUT", {"out"}),
        ("/messages/modules/*", {"out", "plain"}),
        ("/messages/modules/m/*", {"out", "plain"}),
        ("/messages/modules/m", {"out", "plain"}),
        ("/messages/modules/m/outputs/*", {"out"}),
        ("/messages/modules/m/outputs/out", {"out"}),
        ("/messages/modules/m/outputs/out/*", {"out"}),
        ("/messages/modules/m/outputs/ou", set[str]()),
        ("/messages/modules/m/outputs/ou*", set[str]()),
        ("/messages/modules/*/outputs/out", set[str]()),
        ("/message", set[str]()),
        ("/twinChangeNotifications", {"twin"}),
        ("/twinchangenotifications/*", {"twin"}),
        ("/ messages / *", {"out", "plain", "leaf"}),
        ("/messages/modules/m/outputs/out*", {"out"}),
    ],
)
def test_a_source_is_a_prefix_of_whole_items(path: str, matched: set[str]) -> None:
    table = RouteTable.parse({"r": f"FROM {path} INTO $upstream"})
    messages = {"out": OUT, "plain": PLAIN, "leaf": LEAF, "twin": TWIN}
    assert {name for name, message in messages.items() if table.targets(message)} == matched


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("FROM /* INTO $upstream", "$upstream"),
        ("select * from /messages/* into $UPSTREAM", "$upstream"),
        ('FROM /* INTO BrokeredEndpoint("/modules/alertLogic/inputs/in1")', "alertLogic/in1"),
        ("FROM /* INTO brokeredendpoint('modules/alertLogic/inputs/in1/')", "alertLogic/in1"),
        ('FROM /* INTO BrokeredEndpoint ( "/a/m/b/i" )', "m/i"),
        ("FROM /* WHERE true INTO $upstream", "$upstream"),
        ("FROM /messages/* WHERE is_defined(a) and $contentType='x' INTO $upstream", "$upstream"),
        (' FROM\t/messages/*\nWHERE\ta = "INTO $upstream"\r\nINTO $upstream ', "$upstream"),
    ],
)
def test_forms_of_a_route(text: str, endpoint: str) -> None:
    assert RouteTable.parse({"r": text}).endpoints() == {endpoint}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "character 1: the route is empty"),
        ("INTO $upstream", "character 1: expected FROM"),
        ("SELECT a FROM /* INTO $upstream", "character 8: expected * after SELECT"),
        ("FROM INTO $upstream", "character 6: expected a path that begins with '/'"),
        ("FROM messages/* INTO $upstream", "character 6: expected a path"),
        ("FROM /messages/ INTO $upstream", "character 17: expected a name or *"),
        ("FROM //messages INTO $upstream", "character 7: expected a name or *"),
        ("FROM /modules/3/x INTO $upstream", "character 15: expected a name or *"),
        ("FROM /* WHERE INTO $upstream", "character 15: expected a value, found 'INTO'"),
        ("FROM /* WHER a INTO $upstream", "character 9: expected WHERE or INTO, found 'WHER'"),
        ("FROM /* WHERE a b INTO $upstream", "character 17: expected an operator or INTO, found 'b'"),
        ("FROM /* WHERE a = 3 INTO $upstream", "character 17: operator = takes"),
        ("FROM /* WHERE (a = 'x' INTO $upstream", "character 15: missing closing ')'"),
        ("FROM /* WHERE a = 'x') INTO $upstream", "character 22: expected an operator or INTO"),
        ('FROM /* WHERE a = "x INTO $upstream', "has no end"),
        ("FROM /*", "character 8: expected WHERE or INTO, found the end"),
        ("FROM /* INTO", "character 13: expected $upstream or"),
        ("FROM /* INTO $cloud", "character 14: there is no endpoint '$cloud'"),
        ("FROM /* INTO upstream", "there is no kind of endpoint 'upstream'"),
        ("FROM /* INTO BrokeredEndpoint", "expected '(' after BrokeredEndpoint, found the end"),
        ("FROM /* INTO BrokeredEndpoint(x)", "expected a text in quotes"),
        ('FROM /* INTO BrokeredEndpoint("/modules/mod1")', "is not of the form /modules/MODULE/inputs/INPUT"),
        ('FROM /* INTO BrokeredEndpoint("mod1, in1")', "is not of the form"),
        ('FROM /* INTO BrokeredEndpoint("/modules///a/inputs/i")', "is not of the form"),
        ('FROM /* INTO BrokeredEndpoint("//modules/a/inputs/i")', "is not of the form"),
        ('FROM /* INTO BrokeredEndpoint("/modules/a/inputs/i//")', "is not of the form"),
        ("FROM /* INTO $upstream;", "character 23: invalid symbol ';'"),
        ("FROM /* INTO $upstream)", "character 23: unmatched closing ')'"),
        ("FROM /* WHERE twin_change_includes(tags.a) INTO $upstream", "FROM /twinChangeNotifications"),
        ("FROM /* WHERE " + "(" * 60 + "true" + ")" * 60 + " INTO $upstream", "more than 50 levels"),
        ("FROM /* WHERE " + "1 + " * 300 + "1 = 2 INTO $upstream", "more than 200 levels"),
        ("FROM /* WHERE " + "not " * 60 + "true INTO $upstream", "more than 50 levels"),
    ],
)
def test_what_is_said_of_a_wrong_route(text: str, said: str) -> None:
    with pytest.raises(RouteError) as caught:
        RouteTable.parse({"good": "FROM /* INTO $upstream", "bad one": text})
    assert str(caught.value).startswith("Error parsing route bad one - ")
    assert said in str(caught.value)
    assert caught.value.name == "bad one"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "is no text"),
        (7, "is no text"),
        ({}, "is no text"),
        ({"route": 1}, "is no text"),
        ({"route": "FROM /* INTO $upstream", "priority": 10}, "its priority is 10; it must be an integer from 0 to 9"),
        ({"route": "FROM /* INTO $upstream", "priority": -1}, "its priority is -1"),
        ({"route": "FROM /* INTO $upstream", "priority": "1"}, "its priority is '1'"),
        ({"route": "FROM /* INTO $upstream", "priority": True}, "its priority is True"),
        ({"route": "FROM /* INTO $upstream", "timeToLiveSecs": -1}, "its timeToLiveSecs is -1"),
        ({"route": "FROM /* INTO $upstream", "timeToLiveSecs": 1.5}, "its timeToLiveSecs is 1.5"),
        ({"route": "FROM /* INTO $upstream", "timeToLiveSecs": False}, "its timeToLiveSecs is False"),
    ],
)
def test_what_is_said_of_a_wrong_value(value: Json, said: str) -> None:
    with pytest.raises(RouteError, match=r"^Error parsing route r - ") as caught:
        RouteTable.parse({"r": value})
    assert said in str(caught.value)


def test_one_copy_per_endpoint_of_the_smallest_priority_with_its_time_to_live() -> None:
    table = RouteTable.parse(
        {
            "late": {"route": "FROM /* INTO $upstream", "priority": 7, "timeToLiveSecs": 70},
            "first": {"route": "FROM /messages/* INTO $upstream", "priority": 3, "timeToLiveSecs": 30},
            "as good": {"route": "FROM /messages/* INTO $upstream", "priority": 3, "timeToLiveSecs": 31},
            "not this": {"route": "FROM /messages/* WHERE false INTO $upstream", "priority": 0},
            "plain": "FROM /messages/* INTO BrokeredEndpoint('/modules/x/inputs/a')",
            "other": {"route": "FROM /messages/* INTO BrokeredEndpoint('/modules/x/inputs/b')", "timeToLiveSecs": 0},
        },
        default_ttl=7200,
    )
    assert table.targets(OUT) == (
        Target(endpoint="$upstream", priority=3, ttl=30),
        Target(endpoint="x/a", priority=DEFAULT_PRIORITY, ttl=7200),
        Target(endpoint="x/b", priority=DEFAULT_PRIORITY, ttl=7200),
    )
    assert table.targets(TWIN) == (Target(endpoint="$upstream", priority=7, ttl=70),)
    assert table.endpoints() == {"$upstream", "x/a", "x/b"}


@pytest.mark.parametrize("default", [None, -1.0])
def test_no_time_to_live_is_no_limit(default: float | None) -> None:
    table = RouteTable.parse({"r": "FROM /* INTO $upstream"}, default)
    assert table.targets(OUT)[0].ttl is None


def test_undefined_is_not_matched() -> None:
    table = RouteTable.parse(
        {
            "a": "FROM /* WHERE alert = 'yes' INTO $upstream",
            "b": "FROM /* WHERE NOT (alert = 'yes') INTO BrokeredEndpoint('/modules/x/inputs/b')",
        }
    )
    assert table.targets(sent(bag="other=1")) == ()
    assert [target.endpoint for target in table.targets(sent(bag="alert=yes"))] == ["$upstream"]
    assert [target.endpoint for target in table.targets(sent(bag="alert=no"))] == ["x/b"]


def test_no_routes_lead_nowhere() -> None:
    assert RouteTable.parse({}).targets(OUT) == ()
    assert RouteTable.parse({}).endpoints() == frozenset()


def test_a_chain_of_many_terms_is_possible() -> None:
    terms = " OR ".join(f"device = 'd{number}'" for number in range(150))
    table = RouteTable.parse({"r": f"FROM /* WHERE {terms} INTO $upstream"})
    assert table.targets(sent(bag="device=d149"))
    assert not table.targets(sent(bag="device=d150"))
