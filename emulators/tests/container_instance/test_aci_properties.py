"""Generated bodies: what is valid is echoed as it was sent, what is damaged is refused and leaves everything alone."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from windtunnel_emulators.providers.container_instance.bodies import GroupBody
from windtunnel_emulators.providers.container_instance.capabilities import ceiling
from windtunnel_emulators.providers.container_instance.reading import read
from windtunnel_emulators.providers.container_instance.stored import load, load_secrets, store
from windtunnel_emulators.providers.container_instance.validation import check_body

if TYPE_CHECKING:
    from tests.container_instance.conftest import Emulators
    from windtunnel_emulators.jsontypes import Json

names = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True)
texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
ports = st.integers(1, 65535)
METHODS = ["GET", "PUT", "POST", "PATCH", "DELETE", "HEAD", "OPTIONS"]
WORDS = ["start", "stop", "restart", "containers", "main", "logs", "exec", "attach", "x", "é", "%2e"]
_GIT = {"repository": "https://localhost:1/a/b.git", "directory": "x"}
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


@st.composite
def variables(draw: st.DrawFn) -> list[dict[str, Any]]:
    keys = draw(st.lists(st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True), max_size=3, unique=True))
    return [{"name": key, draw(st.sampled_from(["value", "secureValue"])): draw(texts)} for key in keys]


@st.composite
def probes(draw: st.DrawFn) -> dict[str, Any]:
    kinds: list[dict[str, Any]] = [
        {"exec": {"command": ["true", ""]}},
        {"httpGet": {"port": 80, "path": "/x", "scheme": "http", "httpHeaders": [{"name": "A", "value": "b"}]}},
    ]
    probe = dict(draw(st.sampled_from(kinds)))
    for field in ("periodSeconds", "timeoutSeconds", "failureThreshold"):
        if draw(st.booleans()):
            probe[field] = draw(st.integers(1, 100))
    return probe


@st.composite
def bodies(draw: st.DrawFn, *, git: bool = True) -> dict[str, Any]:
    """Whole valid bodies; without ``git``, none that takes long to start."""
    kinds: list[dict[str, Any]] = [{"emptyDir": {}}, {"secret": {"a": "YQ=="}}, *([{"gitRepo": _GIT}] if git else [])]
    own = draw(st.lists(names, min_size=1, max_size=4, unique=True))
    used = draw(st.lists(ports, min_size=1, max_size=6, unique=True))
    volumes = [
        {"name": name, **draw(st.sampled_from(kinds))} for name in draw(st.lists(names, max_size=3, unique=True))
    ]
    mounts = [{"name": volume["name"], "mountPath": f"/m/{n}"} for n, volume in enumerate(volumes)]
    containers: list[Any] = []
    for number, name in enumerate(own):
        properties: dict[str, Any] = {
            "image": draw(st.sampled_from(["run", "registry.example.com/a/b:1", "nginx@sha256:" + "a" * 64])),
            "resources": {
                "requests": {
                    "cpu": draw(st.integers(1, 400)) / 100,
                    "memoryInGB": draw(st.integers(1, 160)) / 10,
                }
            },
            "environmentVariables": draw(variables()),
            "ports": [{"port": port, "protocol": "TCP"} for port in used] if number == 0 else [],
        }
        if draw(st.booleans()):
            properties["command"] = ["serve", draw(texts)]
        if draw(st.booleans()) and mounts:
            properties["volumeMounts"] = mounts
        if draw(st.booleans()):
            properties["livenessProbe"] = draw(probes())
        containers.append({"name": name, "properties": properties})
    group: dict[str, Any] = {
        "osType": "Linux",
        "restartPolicy": draw(st.sampled_from(["Always", "OnFailure", "Never"])),
        "containers": containers,
    }
    if volumes:
        group["volumes"] = volumes
    if draw(st.booleans()):
        exposed = draw(st.lists(st.sampled_from(used), min_size=1, max_size=5, unique=True))
        group["ipAddress"] = {"type": "Public", "ports": [{"port": port, "protocol": "TCP"} for port in exposed]}
    body: dict[str, Any] = {"location": "westus", "properties": group}
    if draw(st.booleans()):
        body["zones"] = ["1"]
    return body


@st.composite
def damaged(draw: st.DrawFn) -> dict[str, Any]:
    """A valid body with one value, at any depth, replaced by another one or taken away."""
    body: dict[str, Any] = copy.deepcopy(draw(bodies(git=False)))
    places = _places(body["properties"])
    place, key = places[draw(st.integers(0, len(places) - 1))]
    if draw(st.booleans()):
        place[key] = draw(json_values)
    else:
        del place[key]
    return body


def _places(value: Json) -> list[tuple[Any, str | int]]:
    """Every field and item, at any depth."""
    entries: list[tuple[str | int, Json]] = []
    if isinstance(value, dict):
        entries = [*value.items()]
    elif isinstance(value, list):
        entries = [*enumerate(value)]
    return [place for key, inner in entries for place in ((value, key), *_places(inner))]


@given(bodies())
def test_a_valid_body_is_kept_as_it_was_sent(body: dict[str, Any]) -> None:
    properties = check_body("g", read(copy.deepcopy(body), GroupBody), ceiling(None))
    kept, secrets = store(properties)
    for field, value in _without_secrets(body["properties"]).items():
        _is_within(value, kept[field])
    loaded = load_secrets(secrets)
    for container in body["properties"]["containers"]:
        secure = {v["name"]: v["secureValue"] for v in _secure(container)}
        assert loaded.environment.get(container["name"], {}) == secure
    assert store(load(kept))[0] == kept


@given(damaged())
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
async def test_a_damaged_body_is_refused_and_leaves_everything_alone(
    emulators: Emulators, body: dict[str, Any]
) -> None:
    before = emulators.store.rows("SELECT key, document FROM resources")
    reply = await emulators.put("damaged", body)
    assert reply.status < 500 or reply.status == 501, reply.body
    if reply.status >= 400:
        assert reply.code
        assert reply.message
        assert emulators.store.rows("SELECT key, document FROM resources") == before
        return
    assert reply.status == 201
    await emulators.settled()
    assert (await emulators.delete("damaged")).status == 200
    await emulators.settled()


@given(json_values)
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_any_json_is_no_group(emulators: Emulators, value: Any) -> None:
    reply = await emulators.put("any", {"location": "westus", "properties": value})
    assert reply.status == 400
    assert (await emulators.get("any")).status == 404


@given(st.sampled_from(METHODS), st.lists(st.sampled_from(WORDS), max_size=4), json_values)
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_any_path_and_body_get_an_answer(emulators: Emulators, method: str, words: list[str], value: Any) -> None:
    reply = await emulators.request(method, f"{emulators.path('any')}/{'/'.join(words)}", value)
    assert 200 <= reply.status < 500


def _secure(container: dict[str, Any]) -> list[dict[str, Any]]:
    return [v for v in container["properties"]["environmentVariables"] if "secureValue" in v]


def _without_secrets(properties: dict[str, Any]) -> dict[str, Any]:
    shown = copy.deepcopy(properties)
    for container in shown["containers"]:
        for variable in container["properties"]["environmentVariables"]:
            variable.pop("secureValue", None)
    for volume in shown.get("volumes", ()):
        if "secret" in volume:
            volume["secret"] = {}
    return shown


def _is_within(sent: Json, kept: Any) -> None:
    """Everything that was sent is kept; more may be."""
    if isinstance(sent, dict):
        for key, value in sent.items():
            _is_within(value, kept[key])
    elif isinstance(sent, list):
        for mine, theirs in zip(sent, kept, strict=True):
            _is_within(mine, theirs)
    else:
        assert sent == kept
