"""Requests, traces and output as OpenTelemetry, by OpenTelemetry's own SDK and exporters.

Off unless a destination is set; then nothing of OpenTelemetry is imported.
"""
