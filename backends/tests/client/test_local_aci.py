"""From one model file to predictions, through the command line, at emulators that really run."""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from cli_shell import Shell
from windtunnel import profiles, registry
from windtunnel.errors import DeploymentFailed, NotFound, Unsupported
from windtunnel.interface import Backend, Capability, ServiceState
from windtunnel.model import Model
from windtunnel.session import Session, wait_until_healthy
from windtunnel.spec import Change, Script, Spec, Target, Tls

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from windtunnel.jsontypes import Json

LIMIT_S = 120.0
ONE: Json = {"data": [[1.0, 0.0, 0.0, 0.0]]}
# The weights of the model are 0 to 11, row by row.
ONES_ANSWER = [[0.0, 1.0, 2.0]]


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """Emulators of this module's own, on free ports."""
    shell = Shell(tmp_path_factory.mktemp("local") / "state")
    shell.run("up", "--port", "0")
    yield shell
    shell.run("down")


@pytest.fixture
def local(shell: Shell) -> Iterator[Backend]:
    """The backend as a library."""
    profile = profiles.load("local", {}, shell.environment, shell.state.parent)
    with registry.load("local").connect(profile) as backend:
        yield backend


def test_a_service_from_deploy_to_delete(shell: Shell, model_file: Path, tmp_path: Path) -> None:
    service = shell.json("deploy", str(model_file), "--name", "flow", "--tag", "team=wind")
    assert (service["state"], service["authEnabled"], service["tags"]) == ("Healthy", False, {"team": "wind"})
    assert service["modelDigest"] == Model.read(model_file).sha256

    (tmp_path / "one.json").write_text(json.dumps(ONE), "utf-8")
    assert json.loads(shell.run("score", "flow", "--input", str(tmp_path / "one.json"))[0]) == ONES_ANSWER
    np.save(tmp_path / "one.npy", np.array([[1, 0, 0, 0]], np.float32))
    assert json.loads(shell.run("score", "flow", "--input", str(tmp_path / "one.npy"))[0]) == ONES_ANSWER
    assert json.loads(shell.run("score", "flow", "--input", "-", stdin=json.dumps(ONE).encode())[0]) == ONES_ANSWER
    assert "Response Code: 400" in shell.run("score", "flow", "--input", "-", stdin=b'{"data": [[1]]}', code=1)[1]

    _, err = shell.run("deploy", str(model_file), "--name", "flow", code=1)
    assert "Service flow with the same name already exists" in err
    assert [s["name"] for s in shell.json("list") if s["name"] == "flow"] == ["flow"]
    assert "POST /score 200" in shell.run("logs", "flow")[0]
    assert len(shell.run("logs", "flow", "--tail", "1")[0].splitlines()) == 1
    assert shell.json("update", "flow", "--tag", "team=sea")["tags"] == {"team": "sea"}
    assert "CPU and memory" in shell.run("update", "flow", "--cpu", "2", code=1)[1]

    report = shell.json("bench", "flow", "-i", str(tmp_path / "one.json"), "--rate", "20", "--duration", "0.5")
    assert (report["answered"], report["errors"]) == (10, {})

    assert shell.run("delete", "flow")[1].endswith("deleted service flow\n")
    assert "No service with name flow found to delete." in shell.run("delete", "flow")[1]
    assert "Webservice with name flow not found" in shell.run("show", "flow", code=1)[1]


def test_keys_are_asked_for_and_regenerated(shell: Shell, model_file: Path) -> None:
    deployed = shell.json("deploy", str(model_file), "--name", "guarded", "--auth")
    before = shell.json("keys", "show", "guarded")
    assert json.loads(shell.run("score", "guarded", "--input", "-", stdin=json.dumps(ONE).encode())[0]) == ONES_ANSWER
    shell.run("keys", "regenerate", "guarded", "--key", "Primary")
    after = shell.json("keys", "show", "guarded")
    assert after["primaryKey"] != before["primaryKey"]
    assert after["secondaryKey"] == before["secondaryKey"]
    assert json.loads(shell.run("score", "guarded", "--input", "-", stdin=json.dumps(ONE).encode())[0]) == ONES_ANSWER
    # No key is in anything that ARM or the log tells.
    seen = shell.run("show", "guarded", "-o", "json")[0] + shell.run("logs")[0] + shell.run("logs", "guarded")[0]
    assert not [key for key in (*before.values(), *after.values()) if key in seen]
    assert deployed["scoringUri"] == shell.json("show", "guarded")["scoringUri"]
    shell.run("delete", "guarded")


def test_a_script_that_fails_at_the_start_is_reported_with_its_own_words(
    local: Backend, model_file: Path, tmp_path: Path
) -> None:
    (tmp_path / "score.py").write_text("def init():\n    raise RuntimeError('no such wing')\ndef run(x): return x\n")
    spec = Spec(name="broken", model=model_file, script=Script(entry=tmp_path / "score.py"))
    with Session(local, Target.ACI) as session:
        with pytest.raises(DeploymentFailed, match="current service state: Failed") as failed:
            session.deploy(spec)
        assert "no such wing" in failed.value.log
        assert local.get(Target.ACI, "broken").state is ServiceState.FAILED
        (tmp_path / "score.py").write_text("def init(): pass\ndef run(x): return 'mended'\n")
        local.update(Target.ACI, "broken", Change(script=spec.script)).result(LIMIT_S)
        wait_until_healthy(local, Target.ACI, "broken", timeout_s=LIMIT_S)
        assert session.predict("broken", {}) == "mended"


def test_tls_is_served_with_the_users_certificate(local: Backend, model_file: Path, tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "wings.example")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("wings.example")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (tmp_path / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (tmp_path / "key.pem").write_bytes(private)
    tls = Tls(certificate=tmp_path / "cert.pem", key=tmp_path / "key.pem", cname="wings.example")
    with Session(local, Target.ACI) as session:
        service = session.deploy(Spec(name="sealed", model=model_file, tls=tls, auth_enabled=True))
        assert service.scoring_uri == "https://wings.example:5443/score"
        assert session.predict("sealed", ONE) == ONES_ANSWER


def test_services_outlive_a_restart_of_the_emulators(shell: Shell, model_file: Path) -> None:
    shell.run("deploy", str(model_file), "--name", "lasting", "--auth")
    shell.run("down")
    shell.run("up", "--port", "0")
    profile = profiles.load("local", {}, shell.environment, shell.state.parent)
    with registry.load("local").connect(profile) as backend:
        wait_until_healthy(backend, Target.ACI, "lasting", timeout_s=LIMIT_S)
    assert json.loads(shell.run("score", "lasting", "--input", "-", stdin=json.dumps(ONE).encode())[0]) == ONES_ANSWER
    shell.run("delete", "lasting")


def test_a_reset_leaves_nothing_and_everything_works_again(model_file: Path, tmp_path: Path) -> None:
    shell = Shell(tmp_path / "state")
    shell.run("up", "--port", "0", "--ephemeral", "--ready-file", str(tmp_path / "ready.json"))
    try:
        assert json.loads((tmp_path / "ready.json").read_text("utf-8"))["environment"] == shell.json("env")
        shell.run("deploy", str(model_file), "--name", "fleeting", "--auth")
        shell.run("reset")
        assert shell.json("list") == []
        assert not (tmp_path / "state" / "client").exists()
        assert shell.json("deploy", str(model_file), "--name", "fleeting")["state"] == "Healthy"
    finally:
        shell.run("down")
    assert not (tmp_path / "ready.json").exists()


def test_a_service_is_promoted_from_the_same_files_to_the_same_image(
    shell: Shell, model_file: Path, tmp_path: Path
) -> None:
    there = tmp_path / "there"
    text = f'[profile.there]\nbackend = "local"\nstate_dir = "{there}"\nport = 0\n'
    (shell.state.parent / "windtunnel.toml").write_text(text, "utf-8")
    # Without this the variable, which is for the first profile, would win over the file for both.
    del shell.environment["WINDTUNNEL_STATE_DIR"]
    here = ("--state-dir", str(shell.state))
    try:
        first = shell.json("deploy", str(model_file), "--name", "rising", *here)
        second = shell.json("promote", "rising", "--to", "there", *here)
        assert first["image"].partition("/")[2] == second["image"].partition("/")[2]
        assert first["id"] != second["id"]
        shell.run("delete", "rising", *here)
        assert shell.json("show", "rising", "--profile", "there")["state"] == "Healthy"
    finally:
        shell.run("down", "--profile", "there")
        (shell.state.parent / "windtunnel.toml").unlink()
        shell.environment["WINDTUNNEL_STATE_DIR"] = str(shell.state)


def test_sweeping_removes_what_has_expired(shell: Shell, model_file: Path) -> None:
    shell.run("deploy", str(model_file), "--name", "brief", "--set", "expires_hours=0.000001")
    shell.run("deploy", str(model_file), "--name", "long", "--set", "expires_hours=0")
    assert [s["name"] for s in shell.json("sweep")] == ["brief"]
    assert "brief" not in [s["name"] for s in shell.json("list")]
    shell.run("delete", "long")


def test_what_is_withheld_is_refused_with_its_reason(local: Backend, model_file: Path) -> None:
    with pytest.raises(Unsupported) as refused:
        local.deploy(Spec(name="many", model=model_file, autoscale=True))
    assert refused.value.capability is Capability.AUTOSCALE
    with pytest.raises(Unsupported, match="a container group has no replicas"):
        local.scale(Target.ACI, "many", 2)
    with pytest.raises(NotFound, match="there is no IoT hub"):
        local.get(Target.IOT_EDGE, "many")


def test_the_environment_points_other_clients_at_the_emulators(shell: Shell) -> None:
    out, _ = shell.run("env")
    script = f'{out}\nprintf %s "$ARM_CLOUD_METADATA_URL"'
    printed = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout
    environment = shell.json("env")
    assert printed == environment["ARM_CLOUD_METADATA_URL"]
    assert {"AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET", "AZURE_SUBSCRIPTION_ID", "SSL_CERT_FILE",
            "AZURE_AUTHORITY_HOST", "REQUESTS_CA_BUNDLE", "WINDTUNNEL_STATE_DIR"} <= set(environment)  # fmt: skip
    status = shell.json("status")
    assert status["endpoints"]["resourceManager"].startswith("https://localhost:")
    assert status["runtime"]["name"] == "process"
    assert {"memory", "cpu", "filesystem"} <= set(status["runtime"]["limits"])
    assert "running already" in shell.run("up")[1]
