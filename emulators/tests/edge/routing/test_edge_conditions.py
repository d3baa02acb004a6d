"""Conditions of routes: what edge-hub's own tests (Azure/iotedge, ``Routing.Core.Test/query``) say of them, as lists.

Rows whose properties are null are left out: a bag has no nulls.
"""

from __future__ import annotations

import pytest

from windtunnel_emulators.edge.interface import Kind as MessageKind
from windtunnel_emulators.edge.interface import Message
from windtunnel_emulators.edge.routing.compiling import compile_condition
from windtunnel_emulators.edge.routing.errors import Fault
from windtunnel_emulators.edge.routing.facts import Facts
from windtunnel_emulators.edge.routing.parser import parse_condition
from windtunnel_emulators.edge.routing.values import UNDEFINED, Value
from windtunnel_emulators.iot.hub import bags
from windtunnel_emulators.iot.hub.identity import Who

PROPERTIES = {
    "key1": "value1",
    "key2": "3",
    "key3": "VALUE3",
    "$messageId": "mine",
    "$.mid": "four",
    "$.uid": "4",
    "$.to": "SYSVALUE3",
}
MESSAGE = Message(sender=Who("edge", "filter"), output="out", bag=bags.encode(PROPERTIES), enqueued=0.0)

WEATHER = b"""{"message": {"Weather": {
    "Temperature": 50, "FreezingTemperature": -50.4, "PreciseTemperature": 50.4, "Temperature_PropertyConflict": 50,
    "NullValue": null, "Time": "2017-03-09T00:00:00.000Z", "PrevTemperatures": [20, 30, 40],
    "IsEnabled": true, "IsDisabled": false,
    "Location": {"Street": "One Microsoft Way", "City": "Redmond", "State": "WA"},
    "HistoricalData": [{"Month": "Feb", "Temperature": 40}, {"Month": "Jan", "Temperature": 30}]}}}"""
W = "$body.message.Weather"
BODY = Message(
    sender=Who("edge", "filter"),
    bag=bags.encode(
        {
            "City": "Redmond",
            "$State": "WA",
            f"{W}.Temperature_PropertyConflict": "100",
            "$.ct": "application/json",
            "$.ce": "UTF-8",
        }
    ),
    body=WEATHER,
    enqueued=0.0,
)


def evaluate(condition: str, message: Message = MESSAGE, *, of_twins: bool = False) -> Value:
    return compile_condition(parse_condition(condition), of_twins=of_twins)(Facts(message))


TRUE = """
    3 = 3 | "3" = "3" | '3' = '3' | true = true | false = false | key2 = "3" | key2 = '3' | as_number(key2) = 3
    $userId = "4" | $userId = '4' | as_number($userId) = 4
    3 != 4 | "3" != "4" | '3' != '4' | true != false | false != true | as_number(key2) != 4
    3 <> 4 | "3" <> "4" | '3' <> '4' | true <> false | as_number(key2) <> 4
    true | not false | not (true and false) | true AND true | true and true | true OR true | true or false
    false or true | undefined or true | true or undefined | true or none = 'true' | none = 'true' or true
    (key1 ?? "hello") = "value1" | (none ?? "hello") = "hello" | (none ?? none ?? "hello") = "hello"
    (as_number(key2) ?? 12.34) = 3 | (as_number(key1) ?? 12.34) = 12.34 | (3 % 0 ?? 12.34) = 12.34
    (null and null) = null | (null and false) = null | (null and true) = null | null or true | (null or null) = null
    not null
    3 + 4 = 7 | (3 + as_number(key2)) = 6 | 3 - 4 = -1 | (3 - as_number(key2)) = 0 | 3 * 4 = 12
    (3 * as_number(key2)) = 9 | 3 / 4 = 0.75 | (3 / as_number(key2)) = 1 | 4 % 3 = 1 | (3 % as_number(key2)) = 0
    -1 < 0 | -(3 + 4) = -7 | 4 < 7 | 'a' < 'b' | 4 <= 7 | 7 <= 7 | 3 + 4 <= 7 | 'a' <= 'b' | 'a' <= 'a'
    8 > 7 | 'b' > 'a' | 7 >= 7 | 8 >= 7 | 3 + 4 >= 7 | 'a' >= 'a' | 'b' >= 'a'
    key1 = "value1" | KEY1 = "value1" | key1 = "value1" and key1 = "value1" | key1 = "value2" or key1 = "value1"
    $messageId = "mine" | {$messageId} = "four" | { $messageId } = "four" | $USERID = "4"
    as_number("3") = 3 | AS_NUMBER("3") = 3 | AS_NUMBER('10e10') = 10e10 | AS_NUMBER('10e1000') = 10e1000
    AS_NUMBER('10e1000') = 1/0 | AS_NUMBER('10000000000000000000000000') = 1e25 | as_number(key2) * 3 = 9
    as_number(as_number(4)) * 3 = 12 | as_number(' -1,234.5e1 ') = -12345 | as_number('(7)') = -7
    is_bool(true) | IS_BOOL(true) | is_bool(false)
    is_defined(key1) | is_defined(as_number("3")) | is_defined(null) | is_defined(10e1000) | is_null(null)
    IS_NULL(null) | is_number(12.34) | IS_NUMBER(12.34) | is_number(as_number(key2))
    is_string('not a number') | IS_STRING("not a number") | is_string(key1) | is_string('a' || 'b')
    concat('a', 'b', 'c', 'd') = 'abcd' | CONCAT('a', 'b') = 'ab' | concat('a', 'b') = concat('a', 'b')
    concat('a', key1, 'd') = 'avalue1d' | 'a' || 'b' || 'c' || 'd' = 'abcd' | 'a' || key1 || 'd' = 'avalue1d'
    length('HELLO') = 5 | LENGTH('') = 0 | length(key3) = 6 | lower('HELLO') = 'hello' | lower(key3) = 'value3'
    upper('HELLO') = 'HELLO' | UPPER('hello') = 'HELLO' | upper(key1) = 'VALUE1'
    substring('abc', 1) = 'bc' | substring('abc', 2) = 'c' | substring(key1, 1) = 'alue1' | substring('abc', 3) = ''
    substring('abc', 1, 1) = 'b' | substring('abc', 1, 0) = '' | SUBSTRING(key1, 1, 1) = 'a'
    substring('hello', 0, 5) = 'hello' | substring('start', 0, 4) = 'star' | substring('hello', 4, 1) = 'o'
    index_of('abcdef', 'cd') = 2 | index_of('abc', 'xz') = -1 | INDEX_OF(key1, 'val') = 0
    index_of('lue1value1', key1) = 4 | index_of('abc', key1) = -1
    starts_with('abc', 'ab') | STARTS_WITH(key1, 'val') | starts_with('value1value1', key1)
    ends_with('abc', 'bc') | ENDS_WITH(key1, 'e1') | contains('abc', 'ab') | CONTAINS(key1, 'val')
    abs(-12) = 12 | abs(12) = 12 | ABS(as_number(key2)) = 3 | is_defined(abs(3 / 0))
    exp(0) = 1 | abs(exp(1) - 2.718281) < 1e-6 | exp(4000) = 3/0 | is_defined(exp(3 / 0))
    power(2, 3) = 8 | POWER(3, 2) = 9 | POWER(10, 4000) = 3/0 | is_defined(power(3 / 0, 2)) | power(-10, 4001) = -3/0
    square(2) = 4 | SQUARE(3) = 9 | is_defined(square(3 / 0))
    ceiling(2) = 2 | ceiling(2.1) = 3 | ceiling(-2.1) = -2 | CEILING(-2) = -2 | is_defined(ceiling(3 / 0))
    floor(2) = 2 | floor(2.1) = 2 | floor(-2.1) = -3 | FLOOR(-2) = -2 | is_defined(floor(3 / 0))
    sign(0) = 0 | sign(2) = 1 | sign(-2.1) = -1 | sign(3 / 0) = 1 | sign(-3 / 0) = -1
    sqrt(4) = 2 | abs(sqrt(as_number(key2)) - 1.732050) < 1e-6 | is_defined(sqrt(3 / 0))
    0x1F = 31 | 0xFFFFFFFFFFFFFFFF = -1 | .5 = 0.5 | '\\u0041' = 'A' | 'it\\'s' = "it's" | key1 /* no */ = 'value1'
    $connectionDeviceId = 'edge' | $connectionModuleId = 'filter' | $outputName = 'out' | $to = 'SYSVALUE3'
    starts_with($enqueuedTime, '1970-01-01T00:00:00')
"""
FALSE = """
    3 = 4 | "3" = "4" | true = false | false = true | as_number(key2) = 4 | is_defined(none = "4")
    as_number($userId) = 3 | is_defined($none) | 3 != 3 | "3" != "3" | true != true | key2 != "3"
    3 <> 3 | key2 <> '3' | false | not true | true AND not true | true and false | false and false
    false or false | false and undefined | undefined and false | false and none = 'true' | none = 'true' and false
    null and null | null or false | null | is_defined(3 + as_number(none)) | is_defined(3 / as_number(key1))
    is_defined(3 % 0) | is_defined(-undefined) | 7 < 7 | 8 < 7 | 3 + 4 < 7 | 'b' < 'a' | 8 <= 7 | 4 > 7
    'a' > 'a' | 4 >= 7 | key1 = "value2" | is_bool(12.34) | is_bool('x') | is_bool(none) | is_bool(key1)
    is_defined(undefined) | is_defined(key4) | is_defined(undefined and true) | is_defined(as_number("apple"))
    is_null(12.34) | is_null('x') | is_null(true) | is_null(3 / 0) | is_null(as_number(key1)) | is_null(none)
    is_number('x') | is_number(true) | is_number(3 / 0) | is_number(as_number(key1)) | is_string(12.34)
    is_string(true) | is_string(none) | is_defined(concat('a', none, 'd')) | is_defined('a' || none || 'd')
    is_defined(length(none)) | is_defined(lower(none)) | is_defined(upper(none)) | SUBSTRING('abc', 3) = 'c'
    starts_with('abc', 'xz') | ends_with('abc', key1) | contains('abc', key1) | is_defined(abs(as_number(key1)))
    is_defined(power(2, 3 % 0)) | is_defined(sqrt(3 % 0)) | true <> true
"""
NEITHER = """
    3 | "a string" | 'a string' | as_number(none) = 3 | as_number($none) = 3 | none != "4" | none <> "4"
    undefined | undefined or false | false or undefined | undefined or undefined | true and undefined
    undefined and undefined | undefined < undefined | false or none = 'true' | none = 'true' or none2 = 'true'
    true and none = 'true' | not (none = 'true') | undefined ?? undefined | (none ?? none) = "value"
    3 < as_number(none) | 'a' < none | 'a' >= none | none = "value1" | as_number(key1) = 3
    as_number(none) * 3 = 9 | SUBSTRING('abc', 4) = 'c' | substring('abc', -1) = '' | substring('abc', 1 % 0) = ''
    substring(none, 1) = 'a' | substring('abc', 1, -2) = '' | substring('abc', 1, 1 % 0) = '' | index_of(none, '1') = 0
    starts_with(none, '1') | ends_with(none, '1') | contains(none, '1') | SQRT(-4) = -2 | key1 | $messageId
    substring('abc', 3, 0) = '' | power(-2, 0.5) = 1 | 0 / 0 = 0 | $key[0] | as_number('1 2') = 1 | as_number('') = 0
"""
REFUSED = """
    is_defined(3 + none) | is_defined(true + 3) | is_defined(3 + true) | is_defined(3 + undefined)
    is_defined('a' + 'b') | is_defined(undefined + undefined) | is_defined(3 - none) | is_defined('a' * 'b')
    is_defined(3 / undefined) | is_defined(3 % none) | is_defined(3 = none) | is_defined(3 != none)
    is_defined(3 <> none) | is_defined(3 > none) | is_defined(3 <= none.key1.key2) | key1 ?? "hello" = "value1"
    (key1 ?? 12.34) | (12.34 ?? key1) | (as_number(key2) ?? key1) | (key1 ?? null) | (null && key1) | (key1 ?? true)
    concat() = 'a' | concat('a') = 'a' | concat(3) = 'a' | concat('a', null) = 'a' | concat('a', undefined) = 'a'
    concat('a', true) = 'a' | 'a' || null = 'a' | 'a' || undefined = 'a' | 'a' || true = 'a'
    length(12.34) = 'h' | length(null) = 'h' | length(undefined) = 'v' | lower(12.34) = 'h' | upper(true) = 'v'
    substring() = 'h' | substring('hello') = 'h' | substring('hello', 'a') = 'h' | substring(null) = 'h'
    index_of() | index_of('hello') | index_of('hello', 'a', 'b') | index_of('hello', 12.34) | index_of(null, null)
    starts_with() | starts_with('hello', true) | ends_with('hello') | contains(undefined, 'hello') | contains(1, 2)
    is_defined(abs(null)) | is_defined(abs(undefined)) | is_defined(abs(key1)) | is_defined(abs(3, 4))
    is_defined(exp(true)) | is_defined(power(2, null)) | is_defined(power(2, key1)) | is_defined(power(2, 3, 4))
    is_defined(square(key1)) | is_defined(ceiling(3, 3)) | is_defined(floor(true)) | is_defined(sign(key1))
    is_defined(sqrt(undefined)) | test == true | true == test | none = " | none and true | undefined and "hello"
    none or true | - (key1) | is_defined(not key1) | is_defined() | is_null(1, 2) | nothing(1) | 3 $ 4
    $ sys1 = 'v' | (true | true) | length('a') ) | true true | a[0] = 'x' | {key1} = 'x' | {$a = 'x' | ; | 'a\\x' = 'y'
    not undefined | not key1 = 'x' | true @ true | power(2 3) = 8 | twin_change_includes(properties.reported.a) | not
"""


def rows(table: str) -> list[str]:
    """The cells of a table; the bar between them has blanks around it, and no operator looks so."""
    return [cell.strip() for line in table.strip().splitlines() for cell in line.strip().split(" | ")]


@pytest.mark.parametrize("condition", rows(TRUE))
def test_what_holds(condition: str) -> None:
    assert evaluate(condition) is True


@pytest.mark.parametrize("condition", rows(FALSE))
def test_what_does_not_hold(condition: str) -> None:
    assert evaluate(condition) is False


@pytest.mark.parametrize("condition", ["", "  ", *rows(NEITHER)])
def test_what_is_undefined(condition: str) -> None:
    assert evaluate(condition) is UNDEFINED


@pytest.mark.parametrize("condition", rows(REFUSED))
def test_what_is_refused(condition: str) -> None:
    with pytest.raises(Fault, match=r"^character \d+: "):
        evaluate(condition)


def test_parts_of_texts_are_never_a_crash() -> None:
    for start in range(-10, 11):
        evaluate(f"substring('hello', {start}) = 'he'")
        for length in range(-10, 11):
            evaluate(f"substring('hello', {start}, {length}) = 'he'")


OF_BODIES = f"""
    50 >= {W}.Temperature | $BODY.message.Weather.Temperature >= 50 | $bODy.message.Weather.Temperature <= 50
    {W}.Temperature = 50 | {W}.Temperature != 60 | {W}.Temperature <> 500 | {W}.Temperature = 40 + 10
    {W}.Temperature >= {W}.PrevTemperatures[0] | {W}.Temperature >= {W}.PrevTemperatures[0] + {W}.PrevTemperatures[1]
    {W}.PrevTemperatures[0] + {W}.PrevTemperatures[1]= 50 | {W}.PrevTemperatures[1] * {W}.PrevTemperatures[2] = 1200
    {W}.PrevTemperatures[1] / {W}.PrevTemperatures[0] = 1.5 | {W}.HistoricalData[0].Month = 'Feb'
    {W}.HistoricalData[0].Temperature - 10 = {W}.HistoricalData[1].Temperature
    {W}.Temperature <> '100' | {W}.Location.City = City | {W}.Location.State = $State
    {W}.Location.State <> {W}.Location.City | {W}.IsEnabled | {W}.IsEnabled = true | {W}.IsDisabled = false
    {W}.IsDisabled <> true | NOT {W}.IsDisabled | {W}.InvalidKey <> '100' | {W}.IsEnabled AND {W}.IsEnabled
    {W}.IsEnabled OR {W}.IsDisabled | {W}.IsDisabled OR NOT({W}.IsDisabled)
    {W}.Temperature_PropertyConflict = '100' | as_number({W}.Temperature_PropertyConflict) = 100
    {{{W}.Temperature_PropertyConflict}} <> 100 | {W}.NullValue = null | $body.message.Temperature = null
    {W}.Temperature != null | {W}.Location.State <> null | {W}.InvalidProperty = null
    NOT ({W}.InvalidProperty != null) | abs({W}.FreezingTemperature) = 50.4
    ceiling(as_number({W}.PreciseTemperature)) = 51
    concat({W}.Location.Street, ', ', {W}.Location.City, ', ', {W}.Location.State) = 'One Microsoft Way, Redmond, WA'
    {W}.Location.City || '!' = 'Redmond!' | contains({W}.Location.Street, 'Microsoft')
    exp(({W}.Temperature - 49)) < ({W}.Temperature - 47) | index_of({W}.Location.Street, 'Way') > 6
    is_defined({W}.Location.Street) | is_null({W}.NullValue) | is_string({W}.Location.Street)
    length({W}.Location.State) = 2 | lower({W}.Location.State) = 'wa' | power({W}.Temperature, 2) = 2500.0
    power({W}.Temperature, length({W}.Location.State)) = square({W}.Temperature) | sign({W}.FreezingTemperature) = -1
    substring({W}.Location.Street, length({W}.Location.Street) - 3) = 'Way'
    substring({W}.Location.Street, 4, length('Microsoft')) = 'Microsoft'
    upper({W}.Location.Street) = 'ONE MICROSOFT WAY' | is_number({W}.Temperature) | is_bool({W}.IsEnabled)
    {W}.Location.Street > 100 | {W}.InvalidKey > 100 | {W}.IsEnabled < 0 | ({W}.Time ?? 7) = 7
"""
NOT_OF_BODIES = f"""
    10 >= {W}.Temperature | {W}.Temperature < 50 | {W}.Temperature = '50' | {W}.Temperature != 50
    {W}.Temperature <> 40 + 10 | {W}.Temperature <= {W}.PrevTemperatures[0]
    {W}.PrevTemperatures[1] / {W}.PrevTemperatures[0] = 3/3 | {W}.Location.City != City | {W}.Location.State = City
    is_string({W}.Temperature) | is_null({W}.Temperature) | {W}.IsEnabled AND {W}.IsDisabled | is_number({W}.Time)
"""
UNDEFINED_OF_BODIES = f"""
    $body | {W}.HistoricalData[0].Temperature.InvalidKey | $City <> {W}.InvalidKey | {W}.Time <> '100'
    {W} <> null | {W}.Temperature | {W}.Location.City + 1 = 2 | {W}.IsEnabled AND undefined | NOT {W}.Temperature
    {W}.PrevTemperatures = null | {W}.Temperature AND {W}.IsEnabled
"""
REFUSED_OF_BODIES = f"""
    $body.properties[] | $body.properties[1:2] | $body;@ | $body.properties,reported | $body. = 1 | $body.a..b = 1
    $body.a[0][1] = 1 | -{W}.Temperature = 1 OR -({W}.Temperature) = 1 | {W}.Temperature % 2 = 0
    true AND {W}.IsEnabled | {W}.IsEnabled AND null | {W}.Temperature = undefined
"""


@pytest.mark.parametrize("condition", rows(OF_BODIES))
def test_what_holds_of_a_body(condition: str) -> None:
    assert evaluate(condition, BODY) is True


@pytest.mark.parametrize("condition", rows(NOT_OF_BODIES))
def test_what_does_not_hold_of_a_body(condition: str) -> None:
    assert evaluate(condition, BODY) is False


@pytest.mark.parametrize("condition", rows(UNDEFINED_OF_BODIES))
def test_what_is_undefined_of_a_body(condition: str) -> None:
    assert evaluate(condition, BODY) is UNDEFINED


@pytest.mark.parametrize("condition", rows(REFUSED_OF_BODIES))
def test_what_is_refused_of_a_body(condition: str) -> None:
    with pytest.raises(Fault):
        evaluate(condition, BODY)


@pytest.mark.parametrize(
    ("bag", "body", "expected"),
    [
        ({"$.ct": "application/json", "$.ce": "utf-8"}, b'{"a": 1}', True),
        ({"$.ct": "Application/JSON", "$.ce": "UTF-8"}, b'\xef\xbb\xbf{"a": 1}', True),
        ({"$.ct": "application/json", "$.ce": "utf-16"}, '{"a": 1}'.encode("utf-16-le"), True),
        ({"$.ct": "application/json"}, b'{"a": 1}', UNDEFINED),
        ({"$.ce": "utf-8"}, b'{"a": 1}', UNDEFINED),
        ({"$.ct": "application/json; charset=utf-8", "$.ce": "utf-8"}, b'{"a": 1}', UNDEFINED),
        ({"$.ct": "text/plain", "$.ce": "utf-8"}, b'{"a": 1}', UNDEFINED),
        ({"$.ct": "application/json", "$.ce": "latin-1"}, b'{"a": 1}', UNDEFINED),
        ({"$.ct": "application/json", "$.ce": "utf-8"}, b"no JSON", UNDEFINED),
        ({"$.ct": "application/json", "$.ce": "utf-8"}, b"\xff\xfe", UNDEFINED),
        ({"$.ct": "application/json", "$.ce": "utf-8"}, b'[{"a": 1}]', UNDEFINED),
        ({"$.ct": "application/json", "$.ce": "utf-8"}, b"[" * 100_000, UNDEFINED),
        ({"$.ct": "application/json", "$.ce": "utf-8"}, b"", UNDEFINED),
        ({"$.ct": "application/json", "$.ce": "utf-8"}, b"{}", False),
    ],
)
def test_a_body_is_read_if_it_is_said_to_be_json(bag: dict[str, str], body: bytes, expected: Value) -> None:
    message = Message(sender=Who("d"), bag=bags.encode(bag), body=body, enqueued=0.0)
    assert evaluate("$body.a = 1", message) is expected


def test_numbers_of_any_size_are_numbers() -> None:
    body = b'{"a": ' + b"9" * 400 + b"}"
    message = Message(
        sender=Who("d"), bag=bags.encode({"$.ct": "application/json", "$.ce": "utf-8"}), body=body, enqueued=0.0
    )
    assert evaluate("$body.a = 1/0", message) in (True, UNDEFINED)
    assert evaluate("$body.a = 1", message) is not True


def test_only_a_leaf_device_has_no_module() -> None:
    leaf = Message(sender=Who("leaf"), bag="$.cmid=forged&$.cdid=forged", enqueued=0.0)
    assert evaluate("NOT IS_DEFINED($connectionModuleId)", leaf) is True
    assert evaluate("$connectionDeviceId = 'leaf'", leaf) is True
    assert evaluate("NOT IS_DEFINED($connectionModuleId)") is False


def test_texts_are_counted_in_sixteen_bits() -> None:
    assert evaluate("length('a😀b') = 4") is True
    assert evaluate("substring('a😀b', 3) = 'b'") is True
    assert evaluate("index_of('a😀b', 'b') = 3") is True


NOTIFICATION = b"""{"properties": {"reported": {"WeatherTwin": {"Temperature": 50,
    "Location": {"Street": "One Microsoft Way", "City": "Redmond"}}, "$version": 4}}}"""


def change(body: bytes) -> Message:
    return Message(sender=Who("d"), kind=MessageKind.TWIN_CHANGE, body=body, enqueued=0.0)


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("twin_change_includes(properties.reported.WeatherTwin)", True),
        ("TWIN_CHANGE_INCLUDES(properties.reported.WeatherTwin)", True),
        ("Twin_Change_Includes(properties.reported.WeatherTwin.Temperature)", True),
        ("twin_change_includes(properties.reported.WeatherTwin.Location.City)", True),
        (
            "twin_change_includes(properties.reported.WeatherTwin.Location.City) AND"
            " twin_change_includes(properties.reported.WeatherTwin.Temperature) = true",
            True,
        ),
        ("Not(twin_change_includes(properties.reported.WeatherTwin.Temperature123))", True),
        ("twin_change_includes(properties.desired.WeatherTwin)", False),
        ("twin_change_includes(properties.reported.WeatherTwin.Other)", False),
        ("$messageType = 'twinChangeNotification'", True),
        ("$body.properties.reported.WeatherTwin.Temperature = 50", True),
    ],
)
def test_what_a_change_of_a_twin_includes(condition: str, expected: Value) -> None:
    assert evaluate(condition, change(NOTIFICATION), of_twins=True) is expected


def test_a_patch_alone_is_a_change_too() -> None:
    patch = change(b'{"a": {"b": null}}')
    assert evaluate("twin_change_includes(properties.reported.a.b)", patch, of_twins=True) is True
    assert evaluate("twin_change_includes(properties.reported.c)", patch, of_twins=True) is False


@pytest.mark.parametrize("body", [b"", b"random message", NOTIFICATION.decode().encode("utf-16")])
def test_a_change_that_cannot_be_read_is_undefined(body: bytes) -> None:
    assert evaluate("twin_change_includes(properties.reported.a)", change(body), of_twins=True) is UNDEFINED


@pytest.mark.parametrize(
    "argument",
    [
        "",
        "   ",
        "properties.",
        "123123",
        "properties.abcd123",
        "123abc",
        "properties.desired.twin,,,,,",
        "properties[0]",
        "properties.desired.twin[0].test1",
        "properties.desired.[123]",
        "properties.desired.a..b",
        "properties[123].props11, abc",
        "'properties.reported.a'",
    ],
)
def test_places_that_no_twin_has(argument: str) -> None:
    with pytest.raises(Fault):
        evaluate(f"twin_change_includes({argument})", of_twins=True)
