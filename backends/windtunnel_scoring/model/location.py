"""Which file is the model: the one ``.onnx`` under ``AZUREML_MODEL_DIR``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_scoring.errors import ModelError

if TYPE_CHECKING:
    from pathlib import Path

_SHOWN = 20


def find(setting: Path | None) -> Path:
    """The model's file; raises ``ModelError``, naming what was found instead."""
    if setting is None:
        raise ModelError(
            "there is nothing to serve: set AZUREML_ENTRY_SCRIPT to a script, or AZUREML_MODEL_DIR to a folder"
            " with one .onnx file"
        )
    if setting.is_file():
        return setting
    if not setting.is_dir():
        raise ModelError(f"AZUREML_MODEL_DIR is {str(setting)!r}, and there is no such file or folder")
    files = sorted(path for path in setting.rglob("*") if path.is_file())
    models = [path for path in files if path.suffix.lower() == ".onnx"]
    if len(models) == 1:
        return models[0]
    if models:
        raise ModelError(
            f"AZUREML_MODEL_DIR {setting} holds {len(models)} .onnx files: {_names(setting, models)}."
            " Without a script exactly one can be served; give one, or a script that chooses"
        )
    there = _names(setting, files) if files else "nothing"
    raise ModelError(f"AZUREML_MODEL_DIR {setting} holds no .onnx file; there is: {there}")


def _names(folder: Path, paths: list[Path]) -> str:
    names = [str(path.relative_to(folder)) for path in paths]
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
