"""How an image made by Windtunnel looks inside: paths, port and commands. The paths are Azure ML's."""

from __future__ import annotations

APP_ROOT = "/var/azureml-app"
MODELS = f"{APP_ROOT}/azureml-models"
MODEL_VERSION = "1"
SCORING_PORT = 5001
SCORING_COMMAND = ("python", "-m", "windtunnel_scoring")
BRAINWAVE_PORT = 50051
BRAINWAVE_COMMAND = ("python", "-m", "windtunnel_emulators.brainwave.service")
FRONTEND_COMMAND = ("python", "-m", "windtunnel_scoring.frontend")
