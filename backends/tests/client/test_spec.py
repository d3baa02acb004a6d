"""Specs and changes: checked when they are made, in Azure ML's words."""

from __future__ import annotations

from pathlib import Path

import pytest

from windtunnel.errors import InvalidSpec
from windtunnel.spec import AciOptions, Change, ChosenKeys, Spec, Target, Tls

MODEL = Path("model.onnx")


def test_the_defaults_are_azure_mls() -> None:
    spec = Spec(name="abc", model=MODEL)
    assert (spec.target, spec.authenticates, spec.tls, spec.aci.cpu, spec.aci.memory_gb) == (
        Target.ACI, False, None, 0.1, 0.5,
    )  # fmt: skip
    assert spec.effective_model_name == "model"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cpu": 0.0}, r"Invalid configuration, cpu_cores must be positive\."),
        ({"cpu": float("nan")}, r"Invalid configuration, cpu_cores must be positive\."),
        ({"memory_gb": -1.0}, r"Invalid configuration, memory_gb must be positive\."),
        ({"port": 0}, r"port must be an integer in range \[1, 65535\]"),
        ({"dns_name_label": "x"}, "DNS name label 'x' is invalid"),
    ],
)
def test_options_that_break_a_rule_are_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(InvalidSpec, match=message):
        AciOptions(**options)  # type: ignore[arg-type]


def test_tls_needs_a_name_and_files_that_are_there(tmp_path: Path) -> None:
    there = tmp_path / "cert.pem"
    there.write_text("x", "utf-8")
    with pytest.raises(InvalidSpec, match="you must provide a SSL certificate, key, and cname"):
        Tls(certificate=there, key=there, cname="")
    with pytest.raises(InvalidSpec, match="unable to find SSL cert pem file"):
        Tls(certificate=tmp_path / "no.pem", key=there, cname="a.example")
    with pytest.raises(InvalidSpec, match="unable to find SSL key pem file"):
        Tls(certificate=there, key=tmp_path / "no.pem", cname="a.example")


def test_keys_are_never_shown() -> None:
    keys = ChosenKeys(primary="p" * 20, secondary="s" * 20)
    assert "ppp" not in repr(keys)
    assert "ppp" not in repr(Spec(name="abc", model=MODEL, auth_enabled=True, keys=keys))


@pytest.mark.parametrize("key", ["short", "with blanks in it ..", "ü" * 20, "x" * 257])
def test_a_key_that_no_header_can_carry_is_refused_without_showing_it(key: str) -> None:
    with pytest.raises(InvalidSpec, match="primary_key is invalid") as refused:
        ChosenKeys(primary=key, secondary="s" * 20)
    assert key not in str(refused.value)


def test_keys_without_authentication_are_refused() -> None:
    keys = ChosenKeys(primary="p" * 20, secondary="s" * 20)
    with pytest.raises(InvalidSpec, match="auth_enabled is false"):
        Spec(name="abc", model=MODEL, keys=keys)


def test_equal_keys_are_refused() -> None:
    with pytest.raises(InvalidSpec, match="are the same"):
        ChosenKeys(primary="p" * 20, secondary="p" * 20)


@pytest.mark.parametrize("name", ["SERVICE_NAME", "WINDTUNNEL_PRIMARY_KEY", "AZUREML_MODEL_DIR"])
def test_variables_that_windtunnel_sets_are_reserved(name: str) -> None:
    with pytest.raises(InvalidSpec, match="reserved"):
        Spec(name="abc", model=MODEL, environment={name: "x"})


@pytest.mark.parametrize("name", ["1A", "A-B", "", "A" * 64])
def test_variables_that_aci_would_refuse_are_refused(name: str) -> None:
    with pytest.raises(InvalidSpec, match="environment variable name"):
        Spec(name="abc", model=MODEL, environment={name: "x"})


def test_own_tags_are_reserved_and_tags_are_counted() -> None:
    with pytest.raises(InvalidSpec, match="reserved"):
        Spec(name="abc", model=MODEL, tags={"windtunnel-owner": "me"})
    with pytest.raises(InvalidSpec, match="too many"):
        Spec(name="abc", model=MODEL, tags={f"t{i}": "" for i in range(41)})


def test_a_front_end_needs_room() -> None:
    with pytest.raises(InvalidSpec, match="too little"):
        Spec(name="abc", model=MODEL, auth_enabled=True, aci=AciOptions(memory_gb=0.1))


def test_an_empty_change_is_refused_and_a_change_of_tags_is_known() -> None:
    with pytest.raises(InvalidSpec, match=r"No parameters provided to update\."):
        Change()
    assert Change(tags={}).only_tags
    assert not Change(tags={}, auth_enabled=False).only_tags
