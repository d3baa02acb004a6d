"""Clouds, and that nothing in an adapter knows which one it is given."""

from __future__ import annotations

from pathlib import Path

import pytest

import windtunnel
from windtunnel import profiles
from windtunnel.clouds import Cloud
from windtunnel.errors import NotConfigured

PACKAGE = Path(windtunnel.__file__).parent


def profile(**settings: str) -> profiles.Profile:
    return profiles.load("azure", settings, {"HOME": "/nonexistent"}, Path("/nonexistent"))


@pytest.mark.parametrize("path", sorted((PACKAGE / "adapters").rglob("*.py")), ids=lambda p: p.name)
def test_no_adapter_knows_of_emulators(path: Path) -> None:
    assert "emulat" not in path.read_text("utf-8").lower()


def test_public_azure_is_the_default() -> None:
    cloud = Cloud.from_profile(profile())
    assert cloud == Cloud.azure()
    assert cloud.scope == "https://management.azure.com/.default"
    assert cloud.instance_discovery
    assert cloud.environment_proxies


def test_another_cloud_is_a_matter_of_settings(tmp_path: Path) -> None:
    ca_file = tmp_path / "ca.pem"
    ca_file.write_text("x", "utf-8")
    cloud = Cloud.from_profile(
        profile(
            resource_manager="https://management.chinacloudapi.cn/",
            authority="https://login.chinacloudapi.cn",
            tenant="t",
            ca_file=str(ca_file),
        )
    )
    assert cloud.scope == "https://management.chinacloudapi.cn/.default"
    assert (cloud.tenant, cloud.ca_file) == ("t", ca_file)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"resource_manager": "http://localhost"}, "must start with https://"),
        ({"authority": "localhost:8443"}, "must start with https://"),
        ({"ca_file": "/nonexistent/ca.pem"}, "there is no such file"),
    ],
)
def test_endpoints_that_would_leak_a_token_are_refused(settings: dict[str, str], message: str) -> None:
    with pytest.raises(NotConfigured, match=message):
        Cloud.from_profile(profile(**settings))
