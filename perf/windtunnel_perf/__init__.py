"""Measuring: an open-loop load generator, benchmarks side by side, and reports. Figures carry machine and versions."""
