"""The tag of an image reference, as far as the default pull policy asks for it."""

from __future__ import annotations


def is_latest(reference: str) -> bool:
    """Whether a reference means the tag ``latest``: it says so, or names neither tag nor digest."""
    if "@" in reference:
        name = reference.partition("@")[0]
        return name.rpartition("/")[2].partition(":")[2] == "latest"
    tag = reference.rpartition("/")[2].partition(":")[2]
    return tag in ("", "latest")
