"""The pytest plugin: options, the matrix of backends and targets, skips with reasons, fixtures, live dates.

Opt in with ``pytest_plugins = ["windtunnel_contracts.plugin"]``; it is no entry point, so it adds nothing to anybody
else's pytest. A name that is not installed, or a live backend without its settings, ends the run with an error.
"""

from __future__ import annotations

import datetime
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from windtunnel import registry
from windtunnel.errors import WindtunnelError
from windtunnel.spec import Target
from windtunnel_contracts.digits import Digits
from windtunnel_contracts.place import Place
from windtunnel_contracts.standing import Standing, Validations

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from windtunnel.interface import Backend

DEFAULT_BACKEND = "local"


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options of a run."""
    group = parser.getgroup("windtunnel")
    group.addoption("--backend", action="append", metavar="NAME", help="a backend to hold to the contract (repeatable)")
    group.addoption("--target", action="append", metavar="T", help="a target: aci, aks, iotedge, fpga (repeatable)")
    group.addoption("--profile", metavar="NAME", help="the settings to connect with; default: the backend's own name")
    group.addoption("--validated", metavar="FILE", type=Path, help="where the dates of live passes are kept")


def pytest_configure(config: pytest.Config) -> None:
    """Markers; and names that are not there end the run before anything is collected."""
    for line in (
        "requires(*capabilities): runs where the backend offers them all",
        "lacks(capability): runs where the backend withholds it",
        "offline_only(reason): cannot run against live Azure",
        "nothing_to_refuse: set by this plugin, on the refusal of what is offered",
    ):
        config.addinivalue_line("markers", line)
    known = registry.installed()
    for name in _backends(config):
        if name not in known:
            raise pytest.UsageError(f"no backend {name!r}; installed: {', '.join(known)}")
    for name in _options(config, "--target"):
        if name not in set(Target):
            raise pytest.UsageError(f"no target {name!r}; targets: {', '.join(Target)}")


def _options(config: pytest.Config, name: str) -> list[str]:
    return cast("list[str] | None", config.getoption(name)) or []


def _backends(config: pytest.Config) -> list[str]:
    return _options(config, "--backend") or [DEFAULT_BACKEND]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test for each backend and target; what does not apply is a skip with the backend's own reason."""
    if "place" not in metafunc.fixturenames:
        return
    targets = [Target(t) for t in _options(metafunc.config, "--target")] or list(Target)
    cases = [_case(metafunc, name, target) for name, target in product(_backends(metafunc.config), targets)]
    metafunc.parametrize("place", cases, indirect=True, scope="session")


def _load(name: str) -> type[Backend]:
    try:
        return registry.load(name)
    except WindtunnelError as error:
        raise pytest.UsageError(str(error)) from error


def _case(metafunc: pytest.Metafunc, name: str, target: Target) -> object:
    backend = _load(name)
    offer = backend.offers.get(target)
    needed = [c for mark in metafunc.definition.iter_markers("requires") for c in mark.args]
    lacking = [c for mark in metafunc.definition.iter_markers("lacks") for c in mark.args]
    if offer is None:
        why: str | None = "the backend does not serve this target"
    elif any(c in offer.can for c in lacking):
        return pytest.param((name, target), id=f"{name}-{target}", marks=pytest.mark.nothing_to_refuse)
    else:
        why = offer.why_not(needed)
    marks = [pytest.mark.skip(reason=f"{name}/{target}: {why}")] if why else []
    return pytest.param((name, target), id=f"{name}-{target}", marks=marks)


@pytest.fixture(scope="session")
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """A backend, connected, and a target of it."""
    name, target = cast("tuple[str, Target]", request.param)
    profile = cast("str | None", request.config.getoption("--profile")) or name
    try:
        found = Place.connect(name, target, profile=profile)
    except WindtunnelError as error:
        # A live run that was asked for is never skipped: without its settings nothing can be said, so the run ends.
        pytest.exit(f"backend {name!r}: {error}\n{error.way_out or ''}", returncode=pytest.ExitCode.USAGE_ERROR)
    with found:
        yield found


@pytest.fixture(scope="session")
def digits() -> Digits:
    """The model on real data that every target is asked about."""
    return Digits.load()


def test_name(item: pytest.Item) -> str:
    """The name of a contract test, apart from where it ran: ``deployment::DeploymentContract::test_x[Target]``."""
    function = cast("pytest.Function", item)
    owner = next((c for c in (function.cls or object).__mro__ if function.originalname in vars(c)), None)
    where = "" if owner is None else f"{owner.__module__.rpartition('.')[2]}::{owner.__name__}::"
    return f"{where}{function.originalname}"


test_name.__test__ = False  # type: ignore[attr-defined]  # the name begins with test_, and pytest collects plugins' users


def _validated(config: pytest.Config) -> Path | None:
    return cast("Path | None", config.getoption("--validated"))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Each contract test has exactly one standing; it and the test's sentence go into the JUnit file."""
    path = _validated(config)
    validations = Validations({}) if path is None else Validations.read(path)
    # What is offered cannot be refused: no gap, so no skip either.
    config.hook.pytest_deselected(items=[i for i in items if i.get_closest_marker("nothing_to_refuse")])
    items[:] = [i for i in items if not i.get_closest_marker("nothing_to_refuse")]
    for item in items:
        if "place" not in getattr(item, "fixturenames", ()):
            continue
        offline = item.get_closest_marker("offline_only")
        if offline is not None and not (offline.args and str(offline.args[0]).strip()):
            raise pytest.UsageError(f"{item.nodeid}: offline_only needs a reason")
        try:
            standing = validations.standing(test_name(item), offline_only=offline is not None)
        except ValueError as error:
            raise pytest.UsageError(str(error)) from error
        needed = sorted(str(c) for mark in item.iter_markers("requires") for c in mark.args)
        item.user_properties.append(("contract", test_name(item)))
        item.user_properties.append(("standing", standing.value))
        item.user_properties.append(("capabilities", " ".join(needed)))
        if standing is Standing.VALIDATED:
            item.user_properties.append(("validated", validations.dates[test_name(item)]))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A pass against the live backend is written down with its date."""
    report = yield
    place_ = cast("Place | None", getattr(item, "funcargs", {}).get("place"))
    path = _validated(item.config)
    if report.when == "call" and report.passed and place_ is not None and place_.live and path is not None:
        today = datetime.datetime.now(datetime.UTC).date().isoformat()
        Validations.read(path).with_pass(test_name(item), today).write(path)
    return report
