"""FROM an image of the registry itself: a stage that starts with its layers, files, configuration and packages."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec

from windtunnel_emulators.images import frozen
from windtunnel_emulators.images.bases import base_of
from windtunnel_emulators.images.errors import BaseError
from windtunnel_emulators.images.oci import Descriptor, read_config
from windtunnel_emulators.images.stage import Stage, StageLayer, base_tree
from windtunnel_emulators.images.threads import in_thread
from windtunnel_emulators.images.unpack import read_layers
from windtunnel_emulators.images.wheels import inspect
from windtunnel_emulators.jsontypes import Json, JsonObject, as_list, as_object, as_str

if TYPE_CHECKING:
    import threading
    from pathlib import Path

    from windtunnel_emulators.images.archive import Limits
    from windtunnel_emulators.images.reference import Reference
    from windtunnel_emulators.images.resolution import Pin
    from windtunnel_emulators.images.tree import Tree
    from windtunnel_emulators.registry.content import Content

_LARGEST_PACKAGES = 16 << 20


async def stage_from_parent(
    content: Content,
    registry: str,
    reference: Reference,
    *,
    name: str | None,
    time: int,
    scratch: Path,
    limits: Limits,
    stop: threading.Event,
) -> Stage:
    """``scratch`` is a new folder, needed as long as the stage is. Raises ``ImageProblem``s."""
    wanted = reference.digest or reference.with_default_tag().tag or ""
    manifest = content.manifest(registry, reference.path, wanted)
    if manifest is None:
        raise BaseError(f"the base image {reference.familiar} is not in this registry")
    document = as_object(msgspec.json.decode(manifest.body))
    base = base_of(document)
    descriptors = [_descriptor(layer) for layer in as_list(document.get("layers"))]
    files = [_file(content, layer.digest, reference) for layer in descriptors]
    config_file = _file(content, _descriptor(document.get("config")).digest, reference)
    config_document = as_object(msgspec.json.decode(config_file.read_bytes()))
    diff_ids = [as_str(one) for one in as_list(as_object(config_document.get("rootfs")).get("diff_ids"))]
    if len(diff_ids) != len(descriptors):
        raise BaseError(
            f"the configuration of the base image {reference.familiar} names other layers than its manifest"
        )
    scratch.mkdir()
    tree = await in_thread(stop, read_layers, files, scratch, limits, base=base_tree(base), stop=stop.is_set)
    return Stage(
        name=name,
        base=base,
        time=time,
        tree=tree,
        config=read_config(config_document),
        layers=[
            StageLayer(descriptor=descriptor, diff_id=diff_id)
            for descriptor, diff_id in zip(descriptors, diff_ids, strict=True)
        ],
        history=[as_object(entry) for entry in as_list(config_document.get("history"))],
        pins=await in_thread(stop, _pins, tree, scratch),
    )


def _file(content: Content, digest: str, reference: Reference) -> Path:
    path = content.blob_path(digest)
    if path is None:
        raise BaseError(f"the base image {reference.familiar} has a part that its registry does not keep: {digest}")
    return path


def _descriptor(value: Json) -> Descriptor:
    fields: JsonObject = as_object(value)
    size = fields.get("size")
    return Descriptor(
        digest=as_str(fields.get("digest")),
        size=size if isinstance(size, int) else 0,
        media_type=as_str(fields.get("mediaType")),
    )


def _pins(tree: Tree, scratch: Path) -> tuple[Pin, ...]:
    """The packages that the image has, its wheels copied to ``scratch``."""
    node = tree.get(frozen.PACKAGES)
    if node is None or node.content is None:
        return ()
    folder = scratch / "wheels"
    folder.mkdir()
    for name in tree.names(frozen.WHEELS):
        wheel = tree.get(f"{frozen.WHEELS}/{name}")
        if wheel is not None and wheel.content is not None:
            with (folder / name).open("xb") as target:
                wheel.content.copy(target.write)
    pins = frozen.decode(node.content.read(_LARGEST_PACKAGES), folder)
    return tuple(replace(pin, wheel=inspect(pin.wheel.file)) if pin.wheel else pin for pin in pins)
