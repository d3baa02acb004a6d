"""What the client remembers of a service."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windtunnel.errors import WindtunnelError
from windtunnel.interface import Keys
from windtunnel.records import Certificate, Record, Records, spec_from_json, spec_to_json
from windtunnel.spec import AciOptions, Script, Spec, Target

RECORD = Record(
    spec={"name": "svc"},
    context_digest="d",
    image="i",
    keys=Keys(primary="p" * 32, secondary="s" * 32),
    certificate=Certificate(certificate="c", key="k", cname="n"),
)


def records(folder: Path | None, *, group: str = "g") -> Records:
    return Records(folder, cloud="https://localhost:4580", subscription="s", group=group)


@pytest.mark.parametrize("on_disk", [True, False])
def test_what_is_saved_is_loaded_until_it_is_removed(tmp_path: Path, on_disk: bool) -> None:
    kept = records(tmp_path if on_disk else None)
    assert kept.load(Target.ACI, "svc") is None
    kept.save(Target.ACI, "svc", RECORD)
    assert kept.load(Target.ACI, "svc") == RECORD
    kept.remove(Target.ACI, "svc")
    kept.remove(Target.ACI, "svc")
    assert kept.load(Target.ACI, "svc") is None
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []


def test_groups_and_letter_case(tmp_path: Path) -> None:
    records(tmp_path).save(Target.ACI, "svc", RECORD)
    assert records(tmp_path, group="other").load(Target.ACI, "svc") is None
    assert records(tmp_path, group="G").load(Target.ACI, "svc") == RECORD


def test_only_the_owner_may_read_it(tmp_path: Path) -> None:
    records(tmp_path).save(Target.ACI, "svc", RECORD)
    (file,) = (p for p in tmp_path.rglob("*") if p.is_file())
    assert file.stat().st_mode & 0o077 == 0
    assert file.parent.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"spec": {}}', '{"spec":{},"contextDigest":"","image":"","keys":{"a":1}}']
)
def test_a_damaged_file_is_named(tmp_path: Path, content: str) -> None:
    kept = records(tmp_path)
    kept.save(Target.ACI, "svc", RECORD)
    (file,) = (p for p in tmp_path.rglob("*") if p.is_file())
    file.write_text(content, "utf-8")
    with pytest.raises(WindtunnelError, match="is damaged") as damaged:
        kept.load(Target.ACI, "svc")
    assert str(file) in str(damaged.value)


def test_secrets_are_not_shown() -> None:
    assert "ppp" not in repr(RECORD)
    assert "'k'" not in repr(RECORD)


texts = st.dictionaries(st.from_regex(r"[A-Z]{1,5}", fullmatch=True), st.text(max_size=5), max_size=3)


@given(
    name=st.from_regex(r"[a-z][a-z0-9]{2,10}", fullmatch=True),
    environment=texts,
    tags=texts,
    cpu=st.floats(min_value=0.1, max_value=4),
    port=st.one_of(st.none(), st.integers(min_value=1, max_value=65535)),
    with_script=st.booleans(),
)
def test_a_spec_comes_back_as_it_was(
    name: str, environment: dict[str, str], tags: dict[str, str], cpu: float, port: int | None, with_script: bool
) -> None:
    spec = Spec(
        name=name,
        model=Path("/models/m.onnx"),
        environment=environment,
        tags=tags,
        aci=AciOptions(cpu=cpu, port=port),
        script=Script(entry=Path("/s/score.py"), requirements=Path("/s/r.txt")) if with_script else None,
    )
    assert spec_from_json(json.loads(json.dumps(spec_to_json(spec)))) == spec
