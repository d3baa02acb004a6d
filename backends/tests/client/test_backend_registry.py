"""Backends by name: listed without importing, loaded with help, clashes refused."""

from __future__ import annotations

import importlib
import importlib.util
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from windtunnel import registry
from windtunnel.adapters.clients import Clients
from windtunnel.clouds import Cloud
from windtunnel.errors import MissingExtra, NotConfigured, NotFound
from windtunnel.interface import Backend

if TYPE_CHECKING:
    from pathlib import Path

ACME = """
from windtunnel.interface import Backend, Offer
from windtunnel.spec import Target

class Acme(Backend):
    name = "acme"
    offers = {Target.ACI: Offer()}
    @classmethod
    def connect(cls, profile, *, progress=None): return cls()
    def deploy(self, spec): raise NotImplementedError
    def update(self, target, name, change): raise NotImplementedError
    def get(self, target, name): raise NotImplementedError
    def list_services(self, target): return []
    def delete(self, target, name): raise NotImplementedError
    def logs(self, target, name, *, tail=5000): raise NotImplementedError
    def endpoint(self, target, name): raise NotImplementedError
    def keys(self, target, name): raise NotImplementedError
    def regenerate_key(self, target, name, which, value=None): raise NotImplementedError
    def close(self): pass

class Incomplete(Backend):
    name = "incomplete"

class NoBackend:
    pass
"""


@pytest.fixture
def distribution(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the path with an installed distribution; its entry points are written by ``register``."""
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    importlib.invalidate_caches()
    return tmp_path


def register(folder: Path, module: str, entries: str, *, name: str = "acme") -> None:
    (folder / f"{module}.py").write_text(ACME, "utf-8")
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", "utf-8")
    (info / "entry_points.txt").write_text(f"[windtunnel.backends]\n{entries}\n", "utf-8")


def test_the_built_in_ones_are_there() -> None:
    assert {"local", "azure"} <= set(registry.installed())
    assert registry.load("local").name == "local"
    assert registry.load("azure").name == "azure"


def test_listing_imports_no_backend() -> None:
    code = (
        "import sys; from windtunnel import registry; registry.installed();"
        "print([m for m in sys.modules if m.startswith(('azure', 'windtunnel.adapters', 'windtunnel.emulated'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_third_partys_backend_is_found_and_loaded(distribution: Path) -> None:
    register(distribution, "acme_one", "acme = acme_one:Acme")
    assert registry.installed()["acme"] == "acme_one:Acme"
    loaded = registry.load("acme")
    assert issubclass(loaded, Backend)
    assert loaded.name == "acme"


def test_an_unknown_name_is_refused_with_what_there_is() -> None:
    with pytest.raises(NotFound, match="no backend 'lcal'; installed: azure, local; did you mean 'local'"):
        registry.load("lcal")


def test_a_clash_of_names_is_refused_with_both(distribution: Path) -> None:
    register(distribution, "acme_two", "local = acme_two:Acme")
    with pytest.raises(NotConfigured, match=r"two backends are called 'local': windtunnel\.emulated.* and acme_two"):
        registry.installed()


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("acme_three:NoBackend", "is not a subclass"),
        ("acme_three:Incomplete", r"does not implement: close, connect, delete, deploy"),
        ("acme_three:Absent", "cannot be imported"),
        ("acme_three_absent:Acme", "cannot be imported: No module named"),
    ],
)
def test_what_is_no_backend_is_refused_with_the_place(distribution: Path, entry: str, message: str) -> None:
    register(distribution, "acme_three", f"acme = {entry}")
    with pytest.raises(NotConfigured, match=message) as refused:
        registry.load("acme")
    assert entry in str(refused.value)


def test_missing_sdks_name_the_extra_to_install_before_anything_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec

    def without(name: str, package: str | None = None) -> object:
        if name == "azure.mgmt.containerinstance":
            raise ModuleNotFoundError(name)
        return find(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", without)
    with pytest.raises(MissingExtra, match=r"'azure\.mgmt\.containerinstance', which is not installed") as missing:
        Clients(Cloud.azure(), "s")
    assert "pip install 'windtunnel[azure]'" in (missing.value.way_out or "")


def test_a_missing_package_names_the_extra_to_install(distribution: Path) -> None:
    register(distribution, "acme_four", "acme = acme_four:Acme")
    (distribution / "acme_four.py").write_text("import azure.absent_for_tests\n", "utf-8")
    with pytest.raises(MissingExtra) as missing:
        registry.load("acme")
    assert "pip install 'windtunnel[azure]'" in (missing.value.way_out or "")
