"""Profiles: precedence, origins, and refusals that name every way to give a setting."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from windtunnel import profiles
from windtunnel.errors import NotConfigured
from windtunnel.settings import FLAGS, SETTINGS, Kind

if TYPE_CHECKING:
    from pathlib import Path

    from windtunnel.profiles import Profile


def load(
    folder: Path,
    text: str = "",
    *,
    name: str | None = None,
    user: str = "",
    flags: dict[str, str] | None = None,
    environment: dict[str, str] | None = None,
) -> Profile:
    """A profile from a project's file and a user's."""
    project, home = folder / "project" / "deep", folder / "home"
    project.mkdir(parents=True, exist_ok=True)
    (home / ".config" / "windtunnel").mkdir(parents=True, exist_ok=True)
    (folder / "project" / "windtunnel.toml").write_text(text, "utf-8")
    (home / ".config" / "windtunnel" / "config.toml").write_text(user, "utf-8")
    return profiles.load(name, flags or {}, {"HOME": str(home), **(environment or {})}, project)


def test_without_anything_it_is_the_local_one(tmp_path: Path) -> None:
    profile = load(tmp_path)
    assert (profile.name, profile.backend) == ("local", "local")
    assert profile.text("location") == "westeurope"
    assert profile.values["location"].source == "default"
    assert profile.state_dir == tmp_path / "home" / ".local" / "state" / "windtunnel"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(present=st.sets(st.sampled_from(["flag", "variable", "project", "user"])))
def test_the_nearest_wins_and_says_where_it_is_from(tmp_path: Path, present: set[str]) -> None:
    def table(place: str) -> str:
        return f'[profile.azure]\nlocation = "{place}"\n' if place in present else ""

    profile = load(
        tmp_path,
        table("project"),
        name="azure",
        user=table("user"),
        flags={"location": "flag"} if "flag" in present else {},
        environment={"WINDTUNNEL_LOCATION": "variable"} if "variable" in present else {},
    )
    order = [place for place in ("flag", "variable", "project", "user") if place in present]
    assert profile.text("location") == (order[0] if order else None)
    if order:
        source = profile.values["location"].source
        where = {"flag": "--location", "variable": "WINDTUNNEL_LOCATION", "project": "windtunnel.toml"}
        assert where.get(order[0], "config.toml") in source


def test_azures_own_variables_come_after_ours(tmp_path: Path) -> None:
    both = {"AZURE_SUBSCRIPTION_ID": "theirs", "WINDTUNNEL_SUBSCRIPTION": "ours"}
    assert load(tmp_path, environment=both).text("subscription") == "ours"
    del both["WINDTUNNEL_SUBSCRIPTION"]
    assert load(tmp_path, environment=both).text("subscription") == "theirs"


def test_the_profile_may_be_chosen_by_flag_variable_or_file(tmp_path: Path) -> None:
    text = 'profile_name = "a"\n[profile.a]\nbackend = "azure"\n[profile.b]\nbackend = "azure"\n[profile.c]\n'
    assert load(tmp_path, text).name == "a"
    assert load(tmp_path, text, environment={"WINDTUNNEL_PROFILE": "b"}).name == "b"
    assert load(tmp_path, text, name="c", environment={"WINDTUNNEL_PROFILE": "b"}).name == "c"


def test_what_is_missing_is_named_with_every_way_to_give_it(tmp_path: Path) -> None:
    profile = load(tmp_path, name="azure", flags={"location": "westeurope"})
    with pytest.raises(NotConfigured) as missing:
        profile.require("subscription", "location", "registry")
    assert str(missing.value) == "profile 'azure' (backend 'azure') lacks 2 settings: subscription, registry"
    way_out = missing.value.way_out or ""
    for text in ("--subscription", "WINDTUNNEL_SUBSCRIPTION", "AZURE_SUBSCRIPTION_ID", "subscription = ...",
                 "[profile.azure]", "--registry", "WINDTUNNEL_REGISTRY"):  # fmt: skip
        assert text in way_out
    assert "location" not in way_out


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[profile.azure]\nsubscripton = 'x'\n", "unknown setting 'subscripton' .*did you mean 'subscription'"),
        ("[profile.azure]\nsubscription = 1\n", "subscription is 1 .*must be a text"),
        ("[profile.azure]\nexpires_hours = 'x'\n", "must be a number"),
        ("[profile.local]\nport = true\n[profile.azure]\nport = true\n", "must be a whole number"),
        ("[profiles.azure]\n", "unknown key 'profiles' .*did you mean 'profile'"),
        ("profile = 'azure'\n", r"\[profile\.NAME\] tables go there"),
        ("[profile]\nazure = 1\n", "must hold tables"),
        ("profile_name = 1\n", "must be text"),
        ("this is not toml", "is not TOML"),
        ("[profile.azure]\noptions = 1\n", "must be a table"),
    ],
)
def test_mistakes_in_a_file_are_errors_with_the_file(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(NotConfigured, match=message) as refused:
        load(tmp_path, text, name="azure")
    assert "windtunnel.toml" in str(refused.value)


def test_mistakes_in_flags_and_variables_are_errors(tmp_path: Path) -> None:
    with pytest.raises(NotConfigured, match=r"unknown setting 'loction'.*did you mean 'location'"):
        load(tmp_path, flags={"loction": "x"})
    with pytest.raises(NotConfigured, match=r"expires_hours is 'soon' .*must be a number"):
        load(tmp_path, environment={"WINDTUNNEL_EXPIRES_HOURS": "soon"})


def test_an_unknown_profile_is_an_error_with_the_nearest_name(tmp_path: Path) -> None:
    with pytest.raises(NotConfigured, match="no profile 'azrue'; did you mean 'azure'"):
        load(tmp_path, name="azrue")


def test_a_third_partys_options_are_passed_on_and_merged(tmp_path: Path) -> None:
    text = '[profile.acme]\nbackend = "acme"\n[profile.acme.options]\nspeed = 1\n'
    user = "[profile.acme.options]\nspeed = 2\ncolour = 'red'\n"
    assert load(tmp_path, text, name="acme", user=user).options == {"speed": 1, "colour": "red"}


def test_a_secret_cannot_be_a_setting() -> None:
    assert not [key for key in SETTINGS if "secret" in key or "password" in key or "key" in key]


@pytest.mark.parametrize("key", sorted(SETTINGS))
def test_every_setting_has_a_flag_a_variable_and_a_sentence(key: str) -> None:
    setting = SETTINGS[key]
    assert setting.variable == f"WINDTUNNEL_{key.upper()}"
    assert key in setting.flag.replace("-", "_")
    assert setting.help
    assert (key in FLAGS) == (not setting.flag.startswith("--set"))


@given(st.text(max_size=20))
def test_any_text_is_a_value_or_an_error_that_names_the_setting(text: str) -> None:
    for key in ("port", "expires_hours", "location"):
        try:
            value = SETTINGS[key].parse(text, "--x")
        except NotConfigured as error:
            assert key in str(error)  # noqa: PT017  # either outcome is right
        else:
            assert SETTINGS[key].kind is not Kind.WHOLE or isinstance(value, int)


def test_relative_xdg_folders_are_ignored(tmp_path: Path) -> None:
    profile = load(tmp_path, environment={"XDG_STATE_HOME": "relative", "XDG_DATA_HOME": str(tmp_path / "data")})
    assert profile.state_dir == tmp_path / "home" / ".local" / "state" / "windtunnel"
    assert profile.data_dir == tmp_path / "data" / "windtunnel"
