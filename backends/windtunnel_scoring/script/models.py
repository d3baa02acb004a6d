"""``Model.get_model_path`` for scripts of 2018, which ask the Azure ML SDK where their model is.

In a container the SDK only looks it up on disk; so does this. ``AZUREML_MODEL_DIR`` is either the folder of the one
model, ``.../azureml-models/<name>/<version>``, or ``.../azureml-models`` when there are several.
"""

from __future__ import annotations

import os
from pathlib import Path


class Model:
    """The one thing of the SDK's class that works inside a container."""

    @staticmethod
    def get_model_path(model_name: str, version: int | None = None, _workspace: object = None) -> str:
        """The model's file, or its folder when it has several; the highest version when none is asked for.

        Raises ``FileNotFoundError``, naming what is there.
        """
        setting = os.environ.get("AZUREML_MODEL_DIR", "")
        if not setting:
            raise FileNotFoundError(f"model {model_name!r} cannot be looked up: AZUREML_MODEL_DIR is not set")
        root = Path(setting)
        if root.parent.name == model_name and version in (None, _number(root.name)):
            return str(_only_entry(root))
        versions = {_number(path.name): path for path in sorted((root / model_name).glob("*")) if path.is_dir()}
        known = sorted(number for number in versions if number is not None)
        wanted = known[-1] if version is None and known else version
        if wanted is None or wanted not in versions:
            asked = model_name if version is None else f"{model_name}:{version}"
            there = ", ".join(sorted(path.name for path in root.glob("*"))) or "nothing"
            raise FileNotFoundError(f"no model {asked!r} in {root}; there is: {there}")
        return str(_only_entry(versions[wanted]))


def _number(name: str) -> int | None:
    return int(name) if name.isascii() and name.isdigit() else None


def _only_entry(folder: Path) -> Path:
    entries = list(folder.iterdir())
    return entries[0] if len(entries) == 1 else folder
