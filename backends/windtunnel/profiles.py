"""``Profile``: the settings for one backend, each with where it came from.

Precedence: flag, ``WINDTUNNEL_*``, project file (``windtunnel.toml`` here or in a folder above), user file, default.
Nothing reads the environment but ``load``, which is given it.

    profile_name = "azure-test"       # which one is used without --profile

    [profile.azure-test]
    backend = "azure"
    subscription = "..."
    resource_group = "models"

    [profile.azure-test.options]      # a third-party backend's own settings
    anything = 1
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, cast

from windtunnel.errors import NotConfigured
from windtunnel.settings import SETTINGS, Setting, Value, nearest, setting

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

DEFAULT_PROFILE = "local"
FILE = "windtunnel.toml"
_BUILT_IN = ("local", "azure")
_DEFAULTS: Mapping[str, Mapping[str, Value]] = {
    "": {"expires_hours": 24.0},
    "local": {
        "resource_group": "windtunnel",
        "location": "westeurope",
        "registry": "windtunnel",
        "storage": "windtunneldata",
        "iot_hub": "windtunnel",
        "port": 4580,
        "pace": "fast",
        "runtime": "process",
    },
}
"""By backend; ``""`` for all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """A value and where it was found."""

    value: Value
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Settings for one backend."""

    name: str
    backend: str
    values: Mapping[str, Origin] = field(default_factory=dict[str, Origin])
    options: Mapping[str, object] = field(default_factory=dict[str, object])
    """A third-party backend's own settings."""
    home: Path = Path()
    """The user's folder for data (XDG), where records are kept unless ``data_dir`` says otherwise."""
    state_home: Path = Path()
    """The user's folder for state (XDG), where the emulators live unless ``state_dir`` says otherwise."""

    def text(self, key: str) -> str | None:
        """A setting as text; None when it is not set."""
        found = self.values.get(_known(key))
        return None if found is None or found.value == "" else str(found.value)

    def number(self, key: str) -> float | None:
        """A setting as a number; None when it is not set."""
        found = self.values.get(_known(key))
        return None if found is None else float(found.value)

    def require(self, *keys: str) -> tuple[str, ...]:
        """Settings that must be there. Raises ``NotConfigured``, naming each that is not and every way to give it."""
        missing = [SETTINGS[key] for key in keys if self.text(key) is None]
        if missing:
            raise self._missing(missing)
        return tuple(self.text(key) or "" for key in keys)

    def _missing(self, missing: list[Setting]) -> NotConfigured:
        lines = [
            f"  {s.key} ({s.help}): {s.flag}, or {' or '.join((s.variable, *s.also))}, or `{s.key} = ...`"
            f" in [profile.{self.name}] of {FILE}"
            for s in missing
        ]
        count = "a setting" if len(missing) == 1 else f"{len(missing)} settings"
        names = ", ".join(s.key for s in missing)
        return NotConfigured(
            f"profile {self.name!r} (backend {self.backend!r}) lacks {count}: {names}",
            way_out="Give\n" + "\n".join(lines),
        )

    @property
    def state_dir(self) -> Path:
        """The emulators' folder."""
        given = self.text("state_dir")
        return Path(given).expanduser().absolute() if given else self.state_home / "windtunnel"

    @property
    def data_dir(self) -> Path:
        """The client's own records."""
        given = self.text("data_dir")
        return Path(given).expanduser().absolute() if given else self.home / "windtunnel"


def _known(key: str) -> str:
    if key not in SETTINGS:
        raise KeyError(key)
    return key


def load(
    name: str | None,
    flags: Mapping[str, str],
    environment: Mapping[str, str],
    folder: Path,
) -> Profile:
    """The profile ``name`` (default: ``WINDTUNNEL_PROFILE``, the files' ``profile_name``, ``local``).

    Raises ``NotConfigured`` for an unknown profile or key, a value of the wrong kind, and a file that is not TOML.
    """
    user = _home(environment, "XDG_CONFIG_HOME", ".config") / "windtunnel" / "config.toml"
    project = next((f for f in (d / FILE for d in (folder, *folder.parents)) if f.is_file()), None)
    files = [_File.read(f) for f in (project, user) if f is not None and f.is_file()]
    chosen = name or environment.get("WINDTUNNEL_PROFILE") or next((f.chosen for f in files if f.chosen), None)
    chosen = chosen or DEFAULT_PROFILE
    tables = [(f.path, f.profiles[chosen]) for f in files if chosen in f.profiles]

    values: dict[str, Origin] = {}
    for key, text in flags.items():
        known = setting(key, "flag")
        values[key] = Origin(value=known.parse(text, known.flag), source=known.flag)
    for key, known in SETTINGS.items():
        for variable in (known.variable, *known.also):
            if key not in values and environment.get(variable):
                values[key] = Origin(value=known.parse(environment[variable], variable), source=variable)
    options: dict[str, object] = {}
    for path, table in tables:
        for key, value in table.items():
            if key == "options":
                if not isinstance(value, dict):
                    raise NotConfigured(f"options is {value!r} ({path}); it must be a table")
                options = {**cast("dict[str, object]", value), **options}
            elif key not in values:
                values[key] = Origin(value=setting(key, str(path)).check(value, str(path)), source=str(path))
            else:
                setting(key, str(path)).check(value, str(path))
    backend = str(values["backend"].value) if "backend" in values else chosen
    if not tables and "backend" not in values and chosen not in _BUILT_IN:
        # A backend that somebody installed needs no table; the registry refuses a name that nobody has.
        from windtunnel.registry import installed

        known_names = {*_BUILT_IN, *(p for f in files for p in f.profiles), *installed()}
        if chosen not in known_names:
            raise NotConfigured(
                f"there is no profile {chosen!r}{nearest(chosen, known_names)}",
                way_out=f"Add a table [profile.{chosen}] to {FILE}.",
            )
    for default_of in (backend, ""):
        for key, value in _DEFAULTS.get(default_of, {}).items():
            values.setdefault(key, Origin(value=value, source="default"))
    return Profile(
        name=chosen,
        backend=backend,
        values=values,
        options=options,
        home=_home(environment, "XDG_DATA_HOME", ".local/share"),
        state_home=_home(environment, "XDG_STATE_HOME", ".local/state"),
    )


def names(environment: Mapping[str, str], folder: Path) -> Iterator[tuple[str, str]]:
    """The profiles that files define, each with its file."""
    user = _home(environment, "XDG_CONFIG_HOME", ".config") / "windtunnel" / "config.toml"
    project = next((f for f in (d / FILE for d in (folder, *folder.parents)) if f.is_file()), None)
    for path in (project, user):
        if path is not None and path.is_file():
            yield from ((name, str(path)) for name in _File.read(path).profiles)


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    """One configuration file."""

    path: Path
    chosen: str | None
    profiles: Mapping[str, Mapping[str, object]]

    @classmethod
    def read(cls, path: Path) -> _File:
        try:
            content: dict[str, object] = tomllib.loads(path.read_text("utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise NotConfigured(f"{path} is not TOML: {error}") from error
        chosen = content.pop("profile_name", None) if "profile_name" in content else None
        profiles = content.pop("profile", {})
        if isinstance(profiles, str):
            raise NotConfigured(
                f"profile is {profiles!r} ({path}); [profile.NAME] tables go there",
                way_out="Write profile_name = ... to choose the profile that is used without --profile.",
            )
        if content:
            key = next(iter(content))
            raise NotConfigured(f"unknown key {key!r} ({path}){nearest(key, ('profile', 'profile_name'))}")
        if not isinstance(profiles, dict) or not all(
            isinstance(table, dict) for table in cast("dict[str, object]", profiles).values()
        ):
            raise NotConfigured(f"profile ({path}) must hold tables, as in [profile.azure-test]")
        if chosen is not None and not isinstance(chosen, str):
            raise NotConfigured(f"profile_name is {chosen!r} ({path}); it must be text")
        return cls(path=path, chosen=chosen, profiles=cast("dict[str, dict[str, object]]", profiles))


def _home(environment: Mapping[str, str], variable: str, below: str) -> Path:
    """A folder of the XDG base directory specification; it wants relative values ignored."""
    given = environment.get(variable, "")
    if given and Path(given).is_absolute():
        return Path(given)
    home = environment.get("HOME")
    return (Path(home) if home else Path.home()) / below
