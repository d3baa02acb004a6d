"""Content: what is kept, what is swept, and a model of it that never disagrees."""

from __future__ import annotations

import hashlib
import json
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from windtunnel_emulators.clock import ManualClock
from windtunnel_emulators.registry.blobs import GRACE_S
from windtunnel_emulators.registry.content import Content
from windtunnel_emulators.registry.errors import RegistryError
from windtunnel_emulators.registry.manifests import DOCKER_IMAGE, LARGEST, OCI_IMAGE, OCI_INDEX
from windtunnel_emulators.store import Store

if TYPE_CHECKING:
    from tests.registry.conftest import Oci

R = "/registries/one"
CONFIG = b'{"architecture": "arm64", "os": "linux"}'


def fill(content: Content, repository: str, *blobs: bytes, registry: str = R) -> None:
    for blob in blobs:
        content.link(registry, repository, content.add_blob(blob).digest)


def test_a_manifest_is_found_by_tag_and_digest_byte_by_byte(content: Content, oci: Oci) -> None:
    fill(content, "hello", CONFIG, b"layer")
    body = oci.image(CONFIG, b"layer") + b"\n"
    digest = content.put_manifest(R, "hello", "v1", OCI_IMAGE, body)
    assert digest == oci.sha256(body)
    for reference in ("v1", digest):
        found = content.manifest(R, "hello", reference)
        assert found is not None
        assert (found.body, found.digest, found.media_type) == (body, digest, OCI_IMAGE)
    assert content.manifest(R, "hello", "v2") is None
    assert content.manifest("/registries/other", "hello", "v1") is None


def test_a_manifest_needs_its_blobs_in_its_own_repository(content: Content, oci: Oci) -> None:
    fill(content, "elsewhere", CONFIG, b"layer")
    fill(content, "hello", CONFIG)
    with pytest.raises(RegistryError) as refused:
        content.put_manifest(R, "hello", "v1", OCI_IMAGE, oci.image(CONFIG, b"layer"))
    assert (refused.value.status, refused.value.code) == (404, "MANIFEST_BLOB_UNKNOWN")
    assert oci.sha256(b"layer") in refused.value.message
    assert content.tags(R, "hello") == []


def test_an_index_needs_its_manifests(content: Content, oci: Oci) -> None:
    fill(content, "hello", CONFIG)
    child = oci.image(CONFIG)
    index = json.dumps({"schemaVersion": 2, "manifests": [oci.descriptor(child, OCI_IMAGE)]}).encode()
    with pytest.raises(RegistryError, match="references a manifest"):
        content.put_manifest(R, "hello", "all", OCI_INDEX, index)
    content.put_manifest(R, "hello", None, OCI_IMAGE, child)
    content.put_manifest(R, "hello", "all", OCI_INDEX, index)
    assert content.tags(R, "hello") == ["all"]


def test_foreign_layers_need_not_be_there(content: Content, oci: Oci) -> None:
    fill(content, "windows", CONFIG)
    foreign = oci.descriptor(b"base", "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip")
    body = json.loads(oci.image(CONFIG)) | {"mediaType": DOCKER_IMAGE, "layers": [foreign]}
    content.put_manifest(R, "windows", "v1", DOCKER_IMAGE, json.dumps(body).encode())


def test_a_digest_that_is_not_the_manifests_is_refused(content: Content, oci: Oci) -> None:
    fill(content, "hello", CONFIG)
    with pytest.raises(RegistryError, match="did not match"):
        content.put_manifest(R, "hello", oci.sha256(b"other"), OCI_IMAGE, oci.image(CONFIG))


def test_a_manifest_over_four_megabytes_is_refused(content: Content, oci: Oci) -> None:
    fill(content, "hello", CONFIG)
    body = oci.image(CONFIG, annotations={"filler": "x" * LARGEST})
    with pytest.raises(RegistryError) as refused:
        content.put_manifest(R, "hello", "v1", OCI_IMAGE, body)
    assert (refused.value.status, refused.value.code) == (413, "SIZE_INVALID")


def test_deleting_a_manifest_takes_its_tags_and_the_empty_repository(content: Content, oci: Oci) -> None:
    fill(content, "hello", CONFIG)
    digest = content.put_manifest(R, "hello", "v1", OCI_IMAGE, oci.image(CONFIG))
    content.put_manifest(R, "hello", "v2", OCI_IMAGE, oci.image(CONFIG))
    content.delete_tag(R, "hello", "v1")
    assert content.tags(R, "hello") == ["v2"]
    content.delete_manifest(R, "hello", digest)
    assert content.tags(R, "hello") == []
    assert content.manifest(R, "hello", digest) is None
    assert content.usage(R) == 0
    with pytest.raises(RegistryError, match="not found"):
        content.delete_manifest(R, "hello", digest)


def test_referrers_are_there_before_their_subject(content: Content, oci: Oci) -> None:
    fill(content, "hello", CONFIG)
    subject = oci.image(CONFIG)
    signature = oci.image(
        CONFIG, subject=oci.descriptor(subject, OCI_IMAGE), artifactType="application/x.sig", annotations={"by": "me"}
    )
    digest = content.put_manifest(R, "hello", None, OCI_IMAGE, signature)
    (referrer,) = content.referrers(R, "hello", oci.sha256(subject))
    assert (referrer.digest, referrer.size) == (digest, len(signature))
    assert (referrer.artifact_type, referrer.annotations) == ("application/x.sig", {"by": "me"})
    assert content.referrers(R, "hello", digest) == []


def test_usage_counts_shared_blobs_once(content: Content, oci: Oci) -> None:
    fill(content, "a", CONFIG, b"shared")
    fill(content, "b", CONFIG, b"shared")
    body = oci.image(CONFIG, b"shared")
    for repository in ("a", "b"):
        content.put_manifest(R, repository, "v1", OCI_IMAGE, body)
    assert content.usage(R) == len(CONFIG) + len(b"shared") + len(body)


async def test_what_nobody_needs_is_swept_after_the_grace_time(tmp_path: Path, oci: Oci) -> None:
    clock = ManualClock()
    content = Content(Store(None), tmp_path, clock=clock)
    fill(content, "hello", CONFIG, b"needed", b"orphan")
    content.add_blob(b"never linked")
    content.put_manifest(R, "hello", "v1", OCI_IMAGE, oci.image(CONFIG, b"needed"))
    await clock.advance(GRACE_S - 1)
    content.blobs.sweep()
    assert content.has(R, "hello", oci.sha256(b"orphan"))
    await clock.advance(2)
    with content.blobs.writing():
        content.blobs.sweep()
        assert content.has(R, "hello", oci.sha256(b"orphan"))
    content.blobs.sweep()
    assert not content.has(R, "hello", oci.sha256(b"orphan"))
    assert content.blob_path(oci.sha256(b"never linked")) is None
    assert set(content.blobs.files.all()) == {oci.sha256(CONFIG), oci.sha256(b"needed")}


async def test_asking_for_a_blob_keeps_it_for_the_push_that_relies_on_it(tmp_path: Path, oci: Oci) -> None:
    clock = ManualClock()
    content = Content(Store(None), tmp_path, clock=clock)
    fill(content, "hello", b"layer")
    await clock.advance(GRACE_S / 2)
    assert content.blobs.find(R, "hello", oci.sha256(b"layer"), touch=True)
    await clock.advance(GRACE_S * 0.9)
    content.blobs.sweep()
    assert content.has(R, "hello", oci.sha256(b"layer"))


def test_a_start_removes_files_that_were_never_acknowledged(tmp_path: Path, oci: Oci) -> None:
    store = Store(None)
    content = Content(store, tmp_path)
    kept = content.add_blob(b"kept")
    content.link(R, "hello", kept.digest)
    content.blobs.files.keep_bytes(b"written, and the process ended before the store was")
    (tmp_path / "incoming").mkdir(exist_ok=True)
    (tmp_path / "incoming" / "draft").write_bytes(b"half")
    again = Content(store, tmp_path)
    again.blobs.reconcile()
    assert list(again.blobs.files.all()) == [kept.digest]
    assert not (tmp_path / "incoming").exists()
    path = again.blob_path(kept.digest)
    assert path is not None
    assert path.read_bytes() == b"kept"


def test_a_blob_whose_file_was_lost_is_written_again(content: Content, oci: Oci) -> None:
    path = content.blob_path(content.add_blob(b"layer").digest)
    assert path is not None
    path.unlink()
    content.add_blob(b"layer")
    assert path.read_bytes() == b"layer"


BLOBS = [b"{}", b"one", b"two", b"three"]
REPOSITORIES = st.sampled_from(["a", "b/c"])
TAGS = st.sampled_from(["latest", "v1", "v2"])
CHOSEN = st.sampled_from(BLOBS)


class HandClock:
    """Moved by hand; nobody sleeps by it."""

    def __init__(self) -> None:
        self.elapsed = 0.0

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.elapsed)

    def monotonic(self) -> float:
        return self.elapsed

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("nothing here waits")


class ContentMachine(RuleBasedStateMachine):
    """Pushes, deletes, waits and starts again; the model is dictionaries."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.clock = HandClock()
        self.store = Store(Path(self.folder.name) / "store.sqlite")
        self.content = Content(self.store, Path(self.folder.name) / "registry", clock=self.clock)
        self.links: dict[tuple[str, str], float] = {}
        self.manifests: dict[tuple[str, str], tuple[bytes, frozenset[str]]] = {}
        self.tags: dict[tuple[str, str], str] = {}

    @property
    def now(self) -> float:
        return self.clock.elapsed

    @rule(repository=REPOSITORIES, blob=CHOSEN)
    def push_blob(self, repository: str, blob: bytes) -> None:
        digest = self.content.add_blob(blob).digest
        self.content.link(R, repository, digest)
        self.links[repository, digest] = self.now

    @rule(repository=REPOSITORIES, layers=st.lists(CHOSEN, unique=True), tag=TAGS)
    def push_manifest(self, repository: str, layers: list[bytes], tag: str) -> None:
        parts = [{"mediaType": "t", "digest": _sha(b), "size": len(b)} for b in (b"{}", *layers)]
        body = json.dumps(
            {"schemaVersion": 2, "mediaType": OCI_IMAGE, "config": parts[0], "layers": parts[1:]}
        ).encode()
        needs = frozenset(_sha(blob) for blob in (b"{}", *layers))
        if all((repository, need) in self.links for need in needs):
            digest = self.content.put_manifest(R, repository, tag, OCI_IMAGE, body)
            self.manifests[repository, digest] = (body, needs)
            self.tags[repository, tag] = digest
        else:
            with pytest.raises(RegistryError) as refused:
                self.content.put_manifest(R, repository, tag, OCI_IMAGE, body)
            assert refused.value.code == "MANIFEST_BLOB_UNKNOWN"

    @rule(repository=REPOSITORIES, blob=CHOSEN)
    def delete_blob(self, repository: str, blob: bytes) -> None:
        digest = _sha(blob)
        if self.links.pop((repository, digest), None) is None:
            with pytest.raises(RegistryError):
                self.content.delete_blob(R, repository, digest)
        else:
            self.content.delete_blob(R, repository, digest)
            self.expire()

    @rule(repository=REPOSITORIES, tag=TAGS)
    def delete_tag(self, repository: str, tag: str) -> None:
        if self.tags.pop((repository, tag), None) is None:
            with pytest.raises(RegistryError):
                self.content.delete_tag(R, repository, tag)
        else:
            self.content.delete_tag(R, repository, tag)

    @precondition(lambda self: self.manifests)
    @rule(data=st.data())
    def delete_manifest(self, data: st.DataObject) -> None:
        repository, digest = data.draw(st.sampled_from(sorted(self.manifests)))
        self.content.delete_manifest(R, repository, digest)
        del self.manifests[repository, digest]
        self.tags = {k: v for k, v in self.tags.items() if (k[0], v) != (repository, digest)}
        self.expire()

    @rule(seconds=st.sampled_from([1.0, GRACE_S / 2, GRACE_S + 1]))
    def wait(self, seconds: float) -> None:
        self.clock.elapsed += seconds
        self.content.blobs.sweep()
        self.expire()

    @rule()
    def reopen(self) -> None:
        self.store.close()
        self.store = Store(Path(self.folder.name) / "store.sqlite")
        self.content = Content(self.store, Path(self.folder.name) / "registry", clock=self.clock)
        self.content.blobs.reconcile()
        self.expire()

    def expire(self) -> None:
        needed = {(repository, need) for (repository, _), (_, needs) in self.manifests.items() for need in needs}
        self.links = {
            link: touched for link, touched in self.links.items() if link in needed or touched >= self.now - GRACE_S
        }

    @invariant()
    def agrees(self) -> None:
        for repository in ("a", "b/c"):
            for blob in BLOBS:
                digest = _sha(blob)
                there = (repository, digest) in self.links
                assert self.content.has(R, repository, digest) == there
                if there:
                    path = self.content.blob_path(digest)
                    assert path is not None
                    assert path.read_bytes() == blob
            tags = sorted(tag for (name, tag) in self.tags if name == repository)
            assert self.content.tags(R, repository) == tags
        for (repository, digest), (body, _) in self.manifests.items():
            found = self.content.manifest(R, repository, digest)
            assert found is not None
            assert found.body == body
        for (repository, tag), digest in self.tags.items():
            assert self.content.resolve(R, repository, tag) == digest

    def teardown(self) -> None:
        self.store.close()
        self.folder.cleanup()


def _sha(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


TestContentMachine = ContentMachine.TestCase
TestContentMachine.settings = settings(max_examples=15, stateful_step_count=25, deadline=None)
