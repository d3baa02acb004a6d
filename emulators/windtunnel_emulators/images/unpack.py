"""Images on disk for the process runtime: each unpacked once, whole or not at all, and nothing outside its folder.

The layers are put together in memory first (``tree.py``); then directories and files are written while there is no
link on disk that could lead anywhere, and links last, rewritten so that none leaves the root. Owners, set-user-ID
bits and extended attributes are dropped, devices refused.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from windtunnel_emulators.images.archive import Kind, Limits, entries, plain
from windtunnel_emulators.images.errors import ArchiveError
from windtunnel_emulators.images.slices import never
from windtunnel_emulators.images.tree import Tree

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

_DRAFT = ".draft-"


def materialise(
    digest: str,
    layers: Sequence[Path],
    folder: Path,
    *,
    limits: Limits | None = None,
    stop: Callable[[], bool] = never,
) -> Path:
    """The root folder of the image whose manifest has this digest; ``layers`` are its files, lowest first.

    Blocks, from milliseconds to the time it takes to write the image; any number of threads and processes may ask for
    the same one. Raises ``ArchiveError``, and then leaves nothing behind.
    """
    root = root_of(digest, folder)
    if root.is_dir():
        return root
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=_DRAFT, dir=folder) as name:
        draft = Path(name)
        tree = read_layers(layers, draft, limits or Limits(), stop=stop)
        write_tree(tree, draft / "root", stop=stop)
        # Whoever else unpacked it meanwhile has made the same, and it may be in use.
        with suppress(FileExistsError):
            _rename(draft / "root", root)
    return root


def root_of(digest: str, folder: Path) -> Path:
    """Where ``materialise`` puts an image, whether or not it is there."""
    return folder / digest.replace(":", "-")


def sweep(folder: Path, keep: Collection[str]) -> int:
    """Remove the images whose digest is not to be kept, and what killed processes left; returns how many images.

    Only while nothing is being unpacked.
    """
    kept = {root_of(digest, folder).name for digest in keep}
    removed = 0
    for entry in sorted(folder.iterdir()) if folder.is_dir() else []:
        if entry.name not in kept:
            shutil.rmtree(entry)
            removed += not entry.name.startswith(_DRAFT)
    return removed


def read_layers(
    layers: Sequence[Path],
    scratch: Path,
    limits: Limits,
    *,
    base: Tree | None = None,
    stop: Callable[[], bool] = never,
) -> Tree:
    """The file system that the layers make, upon ``base``; what has to be decompressed goes to ``scratch``.

    It is needed there as long as the tree is. Raises ``ArchiveError``.
    """
    tree = Tree() if base is None else base
    left = limits
    for number, layer in enumerate(layers):
        try:
            tar = plain(layer, scratch / f"layer-{number}.tar", left, stop=stop)
            found = list(entries(tar, left))
            tree.apply_layer(found)
        except ArchiveError as error:
            raise ArchiveError(f"layer {number + 1} of {len(layers)}: {error}") from error
        left = Limits(
            entries=left.entries - len(found),
            size=left.size - sum(entry.content.size for entry in found if entry.content),
            names=left.names - sum(len(entry.path) for entry in found),
        )
    return tree


def write_tree(tree: Tree, root: Path, *, stop: Callable[[], bool] = never) -> None:
    """Write a file system below ``root``, which must not be there yet. Raises ``ArchiveError``."""
    root.mkdir()
    links: list[tuple[str, str]] = []
    for path, node in tree.walk():
        place = root / path
        if stop():
            raise ArchiveError("unpacking was stopped")
        try:
            if node.kind is Kind.DIRECTORY:
                place.mkdir()
                place.chmod(node.mode & 0o1777 | 0o700)
            elif node.content is not None:
                with place.open("xb") as target:
                    node.content.copy(target.write, stop=stop)
                place.chmod(node.mode & 0o777 | 0o400)
            elif node.target is not None:
                links.append((path, node.target))
        except FileExistsError as error:
            raise ArchiveError(
                f"{path!r} and another path are one and the same on this machine, which does not tell capitals apart"
            ) from error
    for path, meant in links:
        (root / path).symlink_to(_inside(tree, path, meant))


def _inside(tree: Tree, path: str, target: str) -> str:
    """A relative target that means on this machine what ``target`` means in the container.

    A target with ``..`` at its start only, and no more of them than there are real directories above the link, cannot
    leave the root: what follows are names and other links like it. Any other is replaced by where it leads.
    """
    parts = [part for part in target.split("/") if part not in {"", "."}]
    depth = path.count("/")
    up = 0
    while parts[up : up + 1] == [".."]:
        up += 1
    if ".." not in parts[up:]:
        if target.startswith("/"):
            return "/".join([*([".."] * depth), *parts[up:]]) or "."
        if up <= depth:
            return "/".join(parts) or "."
    return "/".join([*([".."] * depth), *tree.resolve(path).split("/")]).rstrip("/") or "."


def _rename(source: Path, target: Path) -> None:
    """Rename a folder; raises ``FileExistsError`` when there is one already, whichever way the system puts it."""
    try:
        source.rename(target)
    except OSError as error:
        if target.is_dir():
            raise FileExistsError(os.fspath(target)) from error
        raise
