"""What the environment says: defaults, values that cannot be used, and settings that do not go together."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from windtunnel_scoring import VERSION, limits
from windtunnel_scoring.errors import SettingError, StartError
from windtunnel_scoring.frontend.keys import NO_KEY, WRONG_KEY, Keys
from windtunnel_scoring.frontend.settings import FrontEndSettings
from windtunnel_scoring.settings import ServerSettings

KEYED = {"WINDTUNNEL_PRIMARY_KEY": "p"}


def test_the_defaults_are_the_documented_ones() -> None:
    settings = ServerSettings.from_environment({})
    assert settings == ServerSettings()
    assert (settings.address, settings.port, settings.health_port) == ("0.0.0.0", 5001, None)
    assert str(settings.app_root) == "/var/azureml-app"
    assert (settings.service_name, settings.service_version) == ("ML service", "1.0")
    assert (settings.scoring_timeout_ms, settings.worker_count) == (3_600_000, 1)


def test_everything_can_be_set() -> None:
    settings = ServerSettings.from_environment(
        {
            "WINDTUNNEL_ADDRESS": "127.0.0.9",
            "WINDTUNNEL_PORT": "0",
            "SEPERATE_HEALTH_ENDPOINT": "true",
            "HEALTH_PORT": "5999",
            "AZUREML_ENTRY_SCRIPT": "score.py",
            "AZUREML_MODEL_DIR": "/m",
            "SCORING_TIMEOUT_MS": "1500",
            "WINDTUNNEL_CPUS": "0.1",
            "WINDTUNNEL_CONCURRENCY": "7",
            "WINDTUNNEL_GRACE_S": "2.5",
            "WINDTUNNEL_LEGACY_ERRORS": "1",
            "SERVER_VERSION_LOG_RESPONSE_ENABLED": "False",
        }
    )
    assert (settings.address, settings.port, settings.health_port) == ("127.0.0.9", 0, 5999)
    assert (settings.entry_script, settings.model_directory) == ("score.py", Path("/m"))
    assert (settings.scoring_timeout_ms, settings.cpus, settings.concurrency, settings.grace_s) == (1500, 0.1, 7, 2.5)
    assert (settings.legacy_errors, settings.send_version) == (True, False)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("WINDTUNNEL_PORT", "http"),
        ("WINDTUNNEL_PORT", "65536"),
        ("WINDTUNNEL_PORT", "-1"),
        ("SCORING_TIMEOUT_MS", "0"),
        ("SCORING_TIMEOUT_MS", "1.5"),
        ("SCORING_TIMEOUT_MS", "9" * 30),
        ("SCORING_TIMEOUT_MS", "٣"),
        ("WORKER_COUNT", "0"),
        ("WINDTUNNEL_CPUS", "0"),
        ("WINDTUNNEL_CPUS", "nan"),
        ("WINDTUNNEL_CPUS", "inf"),
        ("WINDTUNNEL_LEGACY_ERRORS", "maybe"),
    ],
)
def test_a_value_that_cannot_be_used_is_named(variable: str, value: str) -> None:
    with pytest.raises(SettingError) as caught:
        ServerSettings.from_environment({variable: value})
    assert str(caught.value).startswith(f"{variable} is {value!r}: ")
    assert str(caught.value).endswith(" is needed")


def test_a_file_of_settings_is_overridden_by_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text(json.dumps({"SERVICE_NAME": "file", "SCORING_TIMEOUT_MS": 20, "WORKER_COUNT": "2", "AML_X": None}))
    settings = ServerSettings.from_environment({"AZUREML_CONFIG_FILE": str(file), "WORKER_COUNT": "3"})
    assert (settings.service_name, settings.scoring_timeout_ms, settings.worker_count) == ("file", 20, 3)
    for content in ("[1]", "{"):
        file.write_text(content)
        with pytest.raises(SettingError, match="AZUREML_CONFIG_FILE"):
            ServerSettings.from_environment({"AZUREML_CONFIG_FILE": str(file)})
    with pytest.raises(SettingError, match="cannot be read"):
        ServerSettings.from_environment({"AZUREML_CONFIG_FILE": str(tmp_path / "no.json")})


def test_what_has_no_effect_is_said() -> None:
    settings = ServerSettings.from_environment({"AML_APP_INSIGHTS_ENABLED": "true", "WORKER_PRELOAD": "false"})
    assert [sentence.split()[0] for sentence in settings.unsupported] == ["AML_APP_INSIGHTS_ENABLED"]


class TestFrontEnd:
    """The front end's own."""

    def test_ports_by_what_it_speaks(self) -> None:
        assert FrontEndSettings.from_environment(KEYED).port == 80
        tls = {**KEYED, "WINDTUNNEL_TLS_CERT": "c", "WINDTUNNEL_TLS_KEY": "k"}
        assert FrontEndSettings.from_environment(tls).port == 443

    def test_the_groups_address_is_where_the_container_is(self) -> None:
        alone = FrontEndSettings.from_environment(KEYED)
        assert (alone.address, alone.upstream_address) == ("0.0.0.0", "127.0.0.1")
        group = FrontEndSettings.from_environment({**KEYED, "WINDTUNNEL_ADDRESS": "127.4.5.6"})
        assert (group.address, group.upstream_address) == ("127.4.5.6", "127.4.5.6")

    @pytest.mark.parametrize("variables", [{}, {"WINDTUNNEL_PRIMARY_KEY": "", "WINDTUNNEL_SECONDARY_KEY": ""}])
    def test_missing_keys_do_not_open_the_service(self, variables: dict[str, str]) -> None:
        with pytest.raises(StartError, match="WINDTUNNEL_AUTH=none for a service that is open to everyone"):
            FrontEndSettings.from_environment(variables)
        assert not FrontEndSettings.from_environment({"WINDTUNNEL_AUTH": "none"}).authenticates

    def test_half_of_tls_is_refused(self) -> None:
        with pytest.raises(StartError, match="WINDTUNNEL_TLS_KEY is not set"):
            FrontEndSettings.from_environment({**KEYED, "WINDTUNNEL_TLS_CERT": "x"})
        with pytest.raises(StartError, match="WINDTUNNEL_TLS_CERT is not set"):
            FrontEndSettings.from_environment({**KEYED, "WINDTUNNEL_TLS_KEY": "x"})

    @pytest.mark.parametrize(
        ("variable", "value"), [("WINDTUNNEL_AUTH", "off"), ("WINDTUNNEL_RUN_FAILED_STATUS", "200")]
    )
    def test_words_that_are_none_of_those_allowed(self, variable: str, value: str) -> None:
        with pytest.raises(SettingError, match=f"{variable} is '{value}': one of"):
            FrontEndSettings.from_environment({**KEYED, variable: value})

    def test_secrets_are_not_shown(self) -> None:
        variables = {"WINDTUNNEL_PRIMARY_KEY": "s3cret1", "WINDTUNNEL_SECONDARY_KEY": "s3cret2"}
        variables |= {"WINDTUNNEL_TLS_CERT": "c", "WINDTUNNEL_TLS_KEY": "s3cret3"}
        assert "s3cret" not in repr(FrontEndSettings.from_environment(variables))


@pytest.mark.parametrize(
    ("header", "refusal"),
    [
        (None, NO_KEY),
        (b"", NO_KEY),
        (b"Bearer", NO_KEY),
        (b"Bearer  ", NO_KEY),
        (b"Basic first", NO_KEY),
        (b"first", NO_KEY),
        (b"Bearer firs", WRONG_KEY),
        (b"Bearer firstt", WRONG_KEY),
        (b"Bearer FIRST", WRONG_KEY),
        (b"Bearer first second", WRONG_KEY),
        (b"Bearer \xff\xfe", WRONG_KEY),
        (b"Bearer first", None),
        (b"bearer  second ", None),
    ],
)
def test_either_key_opens_and_nothing_else(header: bytes | None, refusal: str | None) -> None:
    assert Keys("first", "second").refusal(header) == refusal


def test_an_empty_key_is_no_key() -> None:
    keys = Keys("", "second")
    assert keys.refusal(b"Bearer second") is None
    assert Keys("", "").refusal(b"Bearer x") == WRONG_KEY


class TestProcessors:
    """The container's share of the processors."""

    def test_the_setting_wins(self, tmp_path: Path) -> None:
        assert limits.processors(0.1, root=tmp_path) == 0.1

    @pytest.mark.parametrize(("quota", "cpus"), [("10000 100000", 0.1), ("100000 100000", 1.0)])
    def test_control_groups_of_version_2(self, tmp_path: Path, quota: str, cpus: float) -> None:
        (tmp_path / "cpu.max").write_text(quota + "\n")
        assert limits.processors(None, root=tmp_path) == cpus

    def test_control_groups_of_version_1(self, tmp_path: Path) -> None:
        (tmp_path / "cpu").mkdir()
        (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("50000\n")
        (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
        assert limits.processors(None, root=tmp_path) == 0.5

    @pytest.mark.parametrize("quota", ["max 100000", "-1 100000", "1 0", "", "what"])
    def test_no_quota_is_the_machine(self, tmp_path: Path, quota: str) -> None:
        (tmp_path / "cpu.max").write_text(quota)
        assert limits.processors(None, root=tmp_path) == limits.processors(None, root=tmp_path / "none") >= 1

    @pytest.mark.parametrize(("cpus", "threads"), [(0.1, 1), (1, 1), (1.9, 1), (4.0, 4)])
    def test_threads(self, cpus: float, threads: int) -> None:
        assert limits.threads(cpus) == threads


def test_the_version_is_the_distributions() -> None:
    project = Path(__file__).parents[3] / "pyproject.toml"
    if not project.exists():
        pytest.skip("the tests run without the project's sources")
    assert tomllib.loads(project.read_text("utf-8"))["project"]["version"] == VERSION
