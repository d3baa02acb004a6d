"""What collection is told by its environment: Azure ML's variables, and a few of ours.

Azure ML's: ``AML_MODEL_DC_STORAGE_ENABLED`` (``true`` turns it on), ``AML_MODEL_DC_STORAGE`` (where to: a connection
string of Azure storage; here also a folder, as a path or a ``file:`` URL), ``AML_MODEL_DC_DEBUG`` (to stdout),
``AML_MODEL_DC_BOUNDARY`` (``hour``: a file per hour, else per day), ``SERVICE_NAME``, ``AML_APP_ROOT`` (where
``model_config_map.json`` is), ``AZUREML_MODEL_DIR``.

Ours: ``WINDTUNNEL_DC_WORKSPACE`` (``<subscription>/<group>/<workspace>``, when there is no such map),
``WINDTUNNEL_DC_FILES`` (``data``: every file is ``data.csv``, as documented; ``package``: ``inputs.csv`` and so on, as
azureml-monitoring's own documentation says), ``WINDTUNNEL_DC_QUEUE`` (collections that may wait to be written),
``WINDTUNNEL_DC_FLUSH_S``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from windtunnel_scoring.environment import Environment

if TYPE_CHECKING:
    from collections.abc import Mapping

NOWHERE = "default/default/default"


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionSettings:
    """The settings of this process, checked. The connection string is left out of its ``repr``."""

    enabled: bool = False
    storage: str = field(default="", repr=False)
    debug: bool = False
    hourly: bool = False
    service_name: str = ""
    app_root: Path = Path("/var/azureml-app")
    model_directory: str = ""
    workspace: str = NOWHERE
    package_files: bool = False
    queue: int = 1000
    flush_s: float = 5.0

    @classmethod
    def from_environment(cls, variables: Mapping[str, str]) -> CollectionSettings:
        """Raises ``SettingError``."""
        environment = Environment(variables)
        default = cls()
        return cls(
            enabled=environment.text("AML_MODEL_DC_STORAGE_ENABLED").lower() == "true",
            storage=environment.text("AML_MODEL_DC_STORAGE"),
            debug=environment.text("AML_MODEL_DC_DEBUG").lower() == "true",
            hourly=environment.text("AML_MODEL_DC_BOUNDARY") == "hour",
            service_name=environment.text("SERVICE_NAME"),
            app_root=Path(environment.text("AML_APP_ROOT", str(default.app_root))),
            model_directory=environment.text("AZUREML_MODEL_DIR"),
            workspace=environment.text("WINDTUNNEL_DC_WORKSPACE", NOWHERE),
            package_files=environment.choice("WINDTUNNEL_DC_FILES", "data", ("data", "package")) == "package",
            queue=environment.whole("WINDTUNNEL_DC_QUEUE", default.queue, least=1),
            flush_s=environment.decimal("WINDTUNNEL_DC_FLUSH_S", default.flush_s) or default.flush_s,
        )

    @property
    def folder(self) -> Path | None:
        """The folder to write to, when the storage is one."""
        if self.storage.startswith("file:"):
            return Path(unquote(urlsplit(self.storage).path))
        return Path(self.storage) if self.storage.startswith("/") else None
