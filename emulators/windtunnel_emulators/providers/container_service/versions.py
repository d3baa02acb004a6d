"""The releases of Kubernetes: what can be had, what a name stands for, and what may follow what."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

from windtunnel_emulators.arm.errors import ArmError

if TYPE_CHECKING:
    from windtunnel_emulators.jsontypes import Json, JsonObject


@dataclass(frozen=True, slots=True)
class Versions:
    """Minor releases, oldest first, with their patch releases, oldest first."""

    minors: dict[str, tuple[str, ...]]
    default: str

    @classmethod
    def only(cls, offered: tuple[str, ...]) -> Versions:
        """Those that an engine has."""
        minors: dict[str, tuple[str, ...]] = {}
        for version in sorted(offered, key=_numbers):
            minors[minor(version)] = (*minors.get(minor(version), ()), version)
        return cls(minors, next(reversed(minors)))

    def resolve(self, asked: str) -> str:
        """The patch release that ``1.33`` or ``1.33.5`` or nothing stands for. Raises ``ArmError`` 400."""
        wanted = asked or self.default
        found = self.minors.get(wanted)
        if found is not None:
            return found[-1]
        if any(wanted in patches for patches in self.minors.values()):
            return wanted
        raise ArmError(
            400,
            "K8sVersionNotSupported",
            f"Version {asked} is not supported in this region. Please use [az aks get-versions] command to get the"
            " supported version list in this region. For more information, please check"
            " https://aka.ms/supported-version-list",
            target="properties.kubernetesVersion",
        )

    def upgrades(self, current: str) -> tuple[str, ...]:
        """Later patches of the same minor release, and all of the next one."""
        names = list(self.minors)
        here = minor(current)
        later = [v for v in self.minors.get(here, ()) if _numbers(v) > _numbers(current)]
        following = f"1.{_numbers(current)[1] + 1}"
        return tuple(later) + (self.minors[following] if following in names else ())

    def check_upgrade(self, current: str, wanted: str) -> None:
        """Raises ``ArmError`` 400 for a way back and for more than one minor release at a time."""
        if wanted == current or wanted in self.upgrades(current):
            return
        what = "Downgrading" if _numbers(wanted) < _numbers(current) else "Upgrading"
        available = ", ".join(self.upgrades(current)) or "none"
        raise ArmError(
            400,
            "OperationNotAllowed",
            f"{what} Kubernetes version {current} to {wanted} is not allowed. Available upgrades: [{available}]."
            " Please see https://aka.ms/aks-supported-k8s-ver for version details.",
            target="properties.kubernetesVersion",
        )

    def listing(self) -> JsonObject:
        """The answer to ``kubernetesVersions``."""
        values: list[Json] = []
        for name in reversed(self.minors):
            value: JsonObject = {
                "version": name,
                "capabilities": {"supportPlan": ["KubernetesOfficial", "AKSLongTermSupport"]},
                "patchVersions": {v: {"upgrades": list(self.upgrades(v))} for v in self.minors[name]},
            }
            if name == self.default:
                value["isDefault"] = True
            values.append(value)
        return {"values": values}

    def orchestrators(self) -> list[Json]:
        """The older form of the same."""
        return [
            {
                "orchestratorType": "Kubernetes",
                "orchestratorVersion": version,
                **({"default": True} if version == self.resolve("") else {}),
                "upgrades": [
                    {"orchestratorType": "Kubernetes", "orchestratorVersion": later} for later in self.upgrades(version)
                ],
            }
            for patches in self.minors.values()
            for version in patches
        ]


@cache
def published() -> Versions:
    """The data file."""
    text = resources.files(__package__ or "").joinpath("versions.toml").read_text("utf-8")
    data = tomllib.loads(text)
    minors = {str(name): tuple(str(v) for v in patches) for name, patches in data["minors"].items()}
    return Versions(minors, str(data["default"]))


def minor(version: str) -> str:
    """``1.33`` of ``1.33.5``."""
    return ".".join(version.split(".")[:2])


def older(version: str, other: str) -> bool:
    """Whether a release came before another."""
    return _numbers(version) < _numbers(other)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("-")[0].split("."))
