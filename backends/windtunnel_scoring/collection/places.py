"""Where collected data goes, and whose it is.

``<subscription>/<group>/<workspace>/<service>/<model>/<version>/<designation>/<year>/<month>/<day>[/<hour>]/data.csv``
below the container ``modeldata``; subscription, group and workspace are in lower case.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from windtunnel_scoring.collection.settings import NOWHERE

if TYPE_CHECKING:
    from windtunnel_scoring.collection.settings import CollectionSettings
    from windtunnel_scoring.jsontypes import Json, JsonObject

CONTAINER: Final = "modeldata"
DAY: Final = 24 * 60
HOUR: Final = 60
_UNSAFE = re.compile(r"[^\w.\- {}()@+=]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A model as it is served."""

    workspace: str
    service: str
    model: str
    version: str
    storage_path: str = ""
    """Of the map; in place of what comes before the designation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A file, for the time of a boundary."""

    source: Source
    designation: str
    file: str

    def path(self, moment: datetime, boundary: int) -> str:
        """Below the container. Nothing in a name leads out of its folder."""
        source = self.source
        parts = [*source.workspace.split("/"), source.service, source.model, source.version]
        front = _clean_all(source.storage_path.strip("/").split("/")) if source.storage_path else _clean_all(parts)
        if front.startswith(f"{CONTAINER}/"):
            front = front.removeprefix(f"{CONTAINER}/")
        when = f"{moment:%Y/%m/%d/%H}" if boundary == HOUR else f"{moment:%Y/%m/%d}"
        return f"{front}/{_clean(self.designation)}/{when}/{_clean(self.file)}"


def find_source(settings: CollectionSettings, source: Source) -> Source:
    """What a user gave, with ``default`` replaced by what the container knows."""
    config = _config_map(settings.app_root / "model_config_map.json")
    models = _inner(_inner(config, "modelsInfo"), source.model)
    version = source.version
    if version == "default":
        numbers = sorted((name for name in models if name.isdigit()), key=int)
        version = numbers[-1] if numbers else _version_of(settings.model_directory, source.model)
    account = _inner(config, "accountContext")
    workspace = source.workspace
    if workspace == NOWHERE:
        names = [account.get(name) for name in ("subscriptionId", "resourceGroupName", "accountName")]
        known = all(isinstance(name, str) and name for name in names)
        workspace = "/".join(map(str, names)) if known else settings.workspace
    service = settings.service_name if source.service == "default" and settings.service_name else source.service
    path = _inner(models, version).get("dataCollectorStoragePath")
    return Source(
        workspace=workspace.lower(),
        service=service,
        model=source.model,
        version=version,
        storage_path=path.replace("{webservice_name}", service) if isinstance(path, str) else "",
    )


def moment_of(timestamp: str) -> datetime:
    """The time of a correlation; now, when it makes no sense."""
    try:
        moment = datetime.fromisoformat(timestamp)
    except ValueError:
        return datetime.now(UTC)
    return moment if moment.tzinfo is None else moment.astimezone(UTC)


def _version_of(directory: str, model: str) -> str:
    """From ``.../azureml-models/<name>/<version>``."""
    path = Path(directory)
    return path.name if directory and path.parent.name == model else "default"


def _config_map(path: Path) -> JsonObject:
    try:
        value: Json = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _inner(obj: JsonObject, name: str) -> JsonObject:
    value = obj.get(name)
    return value if isinstance(value, dict) else {}


def _clean_all(parts: list[str]) -> str:
    return "/".join(_clean(part) for part in parts if part)


def _clean(name: str) -> str:
    clean = _UNSAFE.sub("_", name)
    return "_" if clean in ("", ".", "..") else clean
