"""Uploads: any division into chunks gives the same blob, and a chunk counts whole or not at all."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from windtunnel_emulators.asgi import ClientGone
from windtunnel_emulators.clock import ManualClock
from windtunnel_emulators.registry.content import Content
from windtunnel_emulators.registry.errors import RegistryError
from windtunnel_emulators.registry.uploads import LIFETIME_S, Uploads
from windtunnel_emulators.store import Store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.registry.conftest import Oci

R = "/registries/one"


async def pieces(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def broken(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part
    raise ClientGone


@given(
    chunks=st.lists(st.lists(st.binary(min_size=1, max_size=20), max_size=3), max_size=5),
    algorithm=st.sampled_from(["sha256", "sha512"]),
    forgotten=st.sets(st.integers(0, 4)),
)
@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_any_division_into_chunks_gives_the_same_blob(
    content: Content, chunks: list[list[bytes]], algorithm: str, forgotten: set[int]
) -> None:
    uploads = Uploads(content)
    upload = uploads.start(R, "hello")
    for number, chunk in enumerate(chunks):
        if number in forgotten:  # another process goes on, which knows only what is on disk
            uploads = Uploads(content)
        upload = uploads.get(R, "hello", upload.id)
        upload = await uploads.append(upload, pieces(*chunk))
    whole = b"".join(part for chunk in chunks for part in chunk)
    digest = f"{algorithm}:{hashlib.new(algorithm, whole).hexdigest()}"
    kept = await uploads.finish(upload, digest)
    assert kept.size == len(whole)
    path = content.blob_path(digest)
    assert path is not None
    assert path.read_bytes() == whole
    assert content.has(R, "hello", digest)
    with pytest.raises(RegistryError, match="unknown"):
        uploads.get(R, "hello", upload.id)


async def test_a_chunk_that_breaks_off_does_not_count(content: Content, oci: Oci) -> None:
    uploads = Uploads(content)
    upload = await uploads.append(uploads.start(R, "hello"), pieces(b"first "))
    with pytest.raises(ClientGone):
        await uploads.append(upload, broken(b"lost lost lost"))
    assert uploads.get(R, "hello", upload.id).size == 6
    upload = await uploads.append(upload, pieces(b"second"))
    await uploads.finish(upload, oci.sha256(b"first second"))


async def test_what_broke_off_at_the_end_is_cut_away(content: Content, oci: Oci) -> None:
    uploads = Uploads(content)
    upload = await uploads.append(uploads.start(R, "hello"), pieces(b"all"))
    with pytest.raises(ClientGone):
        await uploads.append(upload, broken(b"more"))
    kept = await uploads.finish(upload, oci.sha256(b"all"))
    assert kept.size == 3


async def test_a_chunk_of_another_length_than_it_says_is_refused(content: Content) -> None:
    uploads = Uploads(content)
    upload = uploads.start(R, "hello")
    with pytest.raises(RegistryError, match="has 3 bytes, its headers say 5"):
        await uploads.append(upload, pieces(b"abc"), length=5)
    assert uploads.get(R, "hello", upload.id).size == 0


async def test_a_wrong_digest_ends_the_upload(content: Content, oci: Oci) -> None:
    uploads = Uploads(content)
    upload = await uploads.append(uploads.start(R, "hello"), pieces(b"abc"))
    with pytest.raises(RegistryError, match="did not match"):
        await uploads.finish(upload, oci.sha256(b"other"))
    with pytest.raises(RegistryError, match="unknown"):
        uploads.get(R, "hello", upload.id)
    assert list((content.folder / "uploads").iterdir()) == []


async def test_two_requests_do_not_write_to_one_upload(content: Content) -> None:
    uploads = Uploads(content)
    upload = uploads.start(R, "hello")

    async def meddling() -> AsyncIterator[bytes]:
        yield b"a"
        with pytest.raises(RegistryError) as refused:
            await uploads.append(upload, pieces(b"b"))
        assert refused.value.status == 409
        yield b"c"

    changed = await uploads.append(upload, meddling())
    assert changed.size == 2
    with pytest.raises(RegistryError, match="has written"):
        await uploads.append(upload, pieces(b"stale"))


async def test_a_blob_over_the_limit_is_refused_as_soon_as_it_is(content: Content) -> None:
    uploads = Uploads(content, largest=10)
    upload = uploads.start(R, "hello")
    taken: list[int] = []

    async def endless() -> AsyncIterator[bytes]:
        for number in range(1000):
            taken.append(number)
            yield b"x" * 4

    with pytest.raises(RegistryError) as refused:
        await uploads.append(upload, endless())
    assert refused.value.status == 413
    assert len(taken) == 3
    with pytest.raises(RegistryError, match="larger"):
        await uploads.append(upload, pieces(b""), length=11)


async def test_an_upload_belongs_to_its_repository(content: Content) -> None:
    uploads = Uploads(content)
    upload = uploads.start(R, "hello")
    for registry, repository, id in ((R, "other", upload.id), ("/registries/two", "hello", upload.id)):
        with pytest.raises(RegistryError, match="unknown"):
            uploads.get(registry, repository, id)
    with pytest.raises(RegistryError, match="unknown"):
        uploads.get(R, "hello", "../../store.sqlite")


async def test_what_nobody_finishes_is_removed_after_a_day(tmp_path: Path) -> None:
    clock = ManualClock()
    content = Content(Store(None), tmp_path, clock=clock)
    uploads = Uploads(content)
    old = uploads.start(R, "hello")
    await clock.advance(LIFETIME_S / 2)
    young = uploads.start(R, "hello")
    (tmp_path / "uploads" / "of-nobody").write_bytes(b"x")
    await clock.advance(LIFETIME_S / 2 + 1)
    uploads.expire()
    assert [path.name for path in (tmp_path / "uploads").iterdir()] == [young.id]
    with pytest.raises(RegistryError, match="unknown"):
        uploads.get(R, "hello", old.id)
