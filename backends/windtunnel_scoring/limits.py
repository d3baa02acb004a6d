"""How much processor time this container has: its setting, its control group, or the machine."""

from __future__ import annotations

import math
import os
from pathlib import Path


def processors(setting: float | None, *, root: Path = Path("/sys/fs/cgroup")) -> float:
    """``WINDTUNNEL_CPUS`` when set, else the control group's quota (version 2, then 1), else what we may run on."""
    if setting is not None:
        return setting
    usable = float(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    quota = _quota(root)
    return min(quota, usable) if quota is not None else usable


def threads(cpus: float) -> int:
    """Whole threads for a limit: what it can keep busy, at least one."""
    return max(1, math.floor(cpus))


def _quota(root: Path) -> float | None:
    words = _read(root / "cpu.max").split()
    if len(words) != 2:
        words = [_read(root / "cpu" / "cpu.cfs_quota_us").strip(), _read(root / "cpu" / "cpu.cfs_period_us").strip()]
    quota, period = words
    if not (quota.isdigit() and period.isdigit()) or int(period) == 0:
        return None  # "max", -1, or no such file: no limit
    return int(quota) / int(period)


def _read(path: Path) -> str:
    try:
        return path.read_text("ascii")
    except OSError:
        return ""
