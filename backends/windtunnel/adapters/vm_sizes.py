"""How many vCPUs a VM size has, by its name."""

from __future__ import annotations

import re

# The names of the Dv2 and older families count sizes, not cores (Azure's "Sizes for virtual machines in Azure").
_BY_NAME = {
    "standard_a1_v2": 1,
    "standard_a2_v2": 2,
    "standard_a4_v2": 4,
    "standard_a8_v2": 8,
    "standard_d1": 1,
    "standard_d2": 2,
    "standard_d3": 4,
    "standard_d4": 8,
    "standard_d11": 2,
    "standard_d12": 4,
    "standard_d13": 8,
    "standard_d14": 16,
    "standard_d1_v2": 1,
    "standard_d2_v2": 2,
    "standard_d3_v2": 4,
    "standard_d4_v2": 8,
    "standard_d5_v2": 16,
    "standard_d11_v2": 2,
    "standard_d12_v2": 4,
    "standard_d13_v2": 8,
    "standard_d14_v2": 16,
    "standard_d15_v2": 20,
    "standard_ds1_v2": 1,
    "standard_ds2_v2": 2,
    "standard_ds3_v2": 4,
    "standard_ds4_v2": 8,
    "standard_ds5_v2": 16,
    "standard_ds11_v2": 2,
    "standard_ds12_v2": 4,
    "standard_ds13_v2": 8,
    "standard_ds14_v2": 16,
    "standard_ds15_v2": 20,
}
# Azure's naming convention since v3: [Family] + [Sub-family]* + [# of vCPUs] + [Constrained vCPUs]* + ...
_CONVENTION = re.compile(r"(?:standard|basic)_[a-z]+?(\d+)(?:-(\d+))?[a-z]*(?:_[a-z0-9]+)*", re.IGNORECASE)


def vcpus_of(size: str) -> int | None:
    """None for a name that does not tell."""
    known = _BY_NAME.get(size.lower())
    if known is not None:
        return known
    match = _CONVENTION.fullmatch(size)
    if match is None:
        return None
    return int(match.group(2) or match.group(1))
