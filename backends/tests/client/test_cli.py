"""The command line: what goes to stdout and what to stderr, exit codes, errors with a way out."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from windtunnel import registry
from windtunnel.cli import main
from windtunnel.errors import Conflict, QuotaExceeded
from windtunnel.interface import Endpoint, ServiceState

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    FakeBackend = Any
    Scoring = Any
    Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command in an empty home: exit code, stdout, stderr."""
    for name in ("WINDTUNNEL_STATE_DIR", "WINDTUNNEL_PROFILE", "AZURE_SUBSCRIPTION_ID", "AZURE_TENANT_ID"):
        monkeypatch.delenv(name, raising=False)
    for name in ("XDG_STATE_HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "200")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")

    def go(*arguments: str) -> tuple[int, str, str]:
        code = main(arguments)
        out, err = capsys.readouterr()
        return code, out, err

    return go


@pytest.fixture
def fake(backend: FakeBackend, monkeypatch: pytest.MonkeyPatch) -> FakeBackend:
    """The backend of every profile is one in memory."""

    class Kind(type(backend)):  # type: ignore[misc]  # a class of its own, so that connect gives this one
        @classmethod
        def connect(cls, profile: object, *, progress: object = None) -> FakeBackend:
            return backend

    monkeypatch.setattr(registry, "load", lambda _name: Kind)  # pyright: ignore[reportUnknownArgumentType, reportUnknownLambdaType]
    return backend


def test_the_version_costs_no_import() -> None:
    code = (
        "import sys; from windtunnel.cli import main; code = main(['--version']);"
        "assert code == 0 and not {'typer', 'rich', 'azure', 'numpy', 'windtunnel.cli.app'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "windtunnel 0.1.0\n"


def test_help_lists_every_command_and_imports_nothing_heavy(run: Run) -> None:
    code, out, err = run("--help")
    assert (code, err) == (0, "")
    for name in ("up", "down", "status", "reset", "logs", "env", "az", "targets", "deploy", "score", "list", "show",
                 "update", "keys", "delete", "check", "bench", "sweep", "config", "demo", "promote",
                 "fpga", "cluster", "scale"):  # fmt: skip
        assert f" {name} " in out
    code_text = (
        "import sys; import windtunnel.cli.app;"
        "print(sorted({'azure', 'numpy', 'onnx', 'onnxruntime', 'requests', 'httpx', 'packaging'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code_text], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "arguments",
    [
        ["no-such-command"],
        ["deploy"],
        ["show"],
        ["list", "--output", "xml"],
        ["deploy", "m.onnx", "--name", "svc", "--target", "moon"],
        ["bench", "svc", "--input", "-", "--rate", "0"],
    ],
)
def test_wrong_usage_is_2_and_says_so_on_stderr(run: Run, arguments: list[str]) -> None:
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert err


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["deploy", "m.onnx", "--name", "A"], "provided service name is invalid"),
        (["deploy", "m.onnx", "--name", "svc", "--cpu", "-1"], "cpu_cores must be positive"),
        (["deploy", "m.onnx", "--name", "svc", "--env", "x"], "not of the form KEY=VALUE"),
        (["deploy", "m.onnx", "--name", "svc", "--primary-key", "k" * 32], "give both"),
        (["deploy", "m.onnx", "--name", "svc", "--ssl-cname", "x"], "you must provide a SSL certificate"),
        (["deploy", "m.onnx", "--name", "svc", "--requirements", "r.txt"], "is for an --entry-script"),
        (["update", "svc"], "No parameters provided to update."),
        (["list", "--set", "x"], "not of the form key=value"),
        (["list", "--set", "loction=x"], "did you mean 'location'"),
        (["list", "--profile", "azure"], "lacks 4 settings: subscription, resource_group, location, registry"),
        (["keys", "regenerate", "svc", "--key", "third"], "Valid options are: Primary, Secondary"),
    ],
)
def test_values_that_break_a_rule_are_2_with_a_sentence(run: Run, arguments: list[str], what: str) -> None:
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert what in err
    assert "Traceback" not in err


def test_emulators_that_do_not_run_are_an_error_with_the_way_out(run: Run) -> None:
    for command in (["list"], ["show", "svc"], ["status"], ["env"], ["reset"], ["az", "--", "version"]):
        code, out, err = run(*command)
        assert (code, out) == (1, "")
        assert "the emulators are not running" in err
        assert "way out: Start them: windtunnel up" in err
    assert run("down")[0] == 0  # what was to be is


def test_a_backend_that_cannot_be_rehearsed_says_so(run: Run, fake: FakeBackend) -> None:
    code, _, err = run("deploy", "m.onnx", "--name", "svc", "--dry-run")
    assert code == 2
    assert "--dry-run is not known" in err
    assert fake.services == {}


def test_data_is_on_stdout_and_the_rest_on_stderr(run: Run, fake: FakeBackend) -> None:
    fake.states = [ServiceState.TRANSITIONING, ServiceState.HEALTHY]
    code, out, err = run("deploy", "m.onnx", "--name", "svc", "--tag", "a=1", "-o", "json")
    assert (code, err) == (0, "")
    service = json.loads(out)
    assert (service["name"], service["state"], service["tags"]) == ("svc", "Healthy", {"a": "1"})
    code, out, _ = run("list")
    assert out.splitlines()[0].split() == ["NAME", "TARGET", "STATE", "SCORING", "URI", "AUTH", "MODEL", "EXPIRES"]
    assert out.splitlines()[1].split()[:3] == ["svc", "aci", "Healthy"]
    assert json.loads(run("list", "-o", "json")[1])[0]["name"] == "svc"
    assert "Healthy" in run("show", "svc")[1]
    assert run("logs", "svc")[1] == "the log\n"
    code, out, err = run("delete", "svc")
    assert (code, out, err) == (0, "", "deleted service svc\n")
    assert run("delete", "svc")[2] == "No service with name svc found to delete.\n"
    assert json.loads(run("list", "-o", "json")[1]) == []


def test_azures_code_and_request_id_are_shown(run: Run, fake: FakeBackend) -> None:
    fake.fail = QuotaExceeded("no more", code="ContainerGroupQuotaReached", request_id="r-1", way_out="Ask for more.")
    code, out, err = run("deploy", "m.onnx", "--name", "svc")
    assert (code, out) == (1, "")
    assert err == (
        "error: no more\n  Azure's code: ContainerGroupQuotaReached, request id: r-1\nway out: Ask for more.\n"
    )


def test_a_failed_service_brings_the_end_of_its_log(run: Run, fake: FakeBackend) -> None:
    fake.states = [ServiceState.FAILED]
    fake.log = "line 1\nRuntimeError: no such wing"
    code, out, err = run("deploy", "m.onnx", "--name", "svc")
    assert (code, out) == (1, "")
    assert "  | RuntimeError: no such wing" in err


def test_a_defect_of_ours_has_no_traceback_unless_asked_for(
    run: Run, fake: FakeBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fake, "get", None)
    code, _, err = run("show", "svc")
    assert code == 1
    assert err.startswith("error: unexpected TypeError: ")
    assert "Traceback" not in err
    monkeypatch.setenv("WINDTUNNEL_DEBUG", "1")
    assert "Traceback" in run("show", "svc")[2]


def test_update_sends_what_was_given_only(run: Run, fake: FakeBackend) -> None:
    run("deploy", "m.onnx", "--name", "svc")
    assert run("update", "svc", "--tag", "a=1", "--no-auth")[0] == 0
    (change,) = fake.changes
    assert (change.tags, change.auth_enabled, change.model, change.environment) == ({"a": "1"}, False, None, None)


def test_keys_are_printed_only_when_asked_for(run: Run, fake: FakeBackend) -> None:
    run("deploy", "m.onnx", "--name", "svc")
    assert json.loads(run("keys", "show", "svc", "-o", "json")[1]) == {"primaryKey": "p" * 32, "secondaryKey": "s" * 32}
    code, out, err = run("keys", "regenerate", "svc", "--key", "secondary")
    assert (code, out) == (0, "")
    assert "sss" not in err


@pytest.mark.parametrize(
    ("arguments", "value"),
    [
        (["delete", "svc"], {"name": "svc", "deleted": True}),
        (["delete", "gone"], {"name": "gone", "deleted": False}),
        (["keys", "regenerate", "svc", "--key", "secondary"], {"name": "svc", "regenerated": "secondary"}),
        (["logs", "svc"], {"lines": ["one", "two"]}),
    ],
)
def test_programs_get_json_from_commands_without_data_too(
    run: Run, fake: FakeBackend, arguments: list[str], value: object
) -> None:
    run("deploy", "m.onnx", "--name", "svc")
    fake.log = "one\ntwo\n"
    code, out, _ = run(*arguments, "-o", "json")
    assert (code, json.loads(out)) == (0, value)


def test_down_says_in_json_whether_anything_ran(run: Run, tmp_path: Path) -> None:
    code, out, err = run("down", "--state-dir", str(tmp_path / "st"), "-o", "json")
    assert (code, json.loads(out)) == (0, {"stopped": False, "stateDir": str(tmp_path / "st")})
    assert "were not running" in err


class TestScore:
    """A prediction, from a file or standard input."""

    @pytest.fixture(autouse=True)
    def endpoint(self, fake: FakeBackend, scoring: Scoring) -> None:
        fake.endpoints = [Endpoint(scoring_uri=scoring.uri, swagger_uri="")]

    def test_json_goes_as_it_is_and_the_answer_is_printed(self, run: Run, scoring: Scoring, tmp_path: Path) -> None:
        (tmp_path / "in.json").write_text('{"data":  [[1]]}', "utf-8")
        scoring.answers = [(200, b'[[0.5, "x"]]')]
        code, out, err = run("score", "svc", "--input", str(tmp_path / "in.json"))
        assert (code, json.loads(out), err) == (0, [[0.5, "x"]], "")
        assert scoring.asked[0][2] == b'{"data":  [[1]]}'

    def test_an_array_becomes_data(self, run: Run, scoring: Scoring, tmp_path: Path) -> None:
        np.save(tmp_path / "in.npy", np.array([[1.5, 2]], np.float32))
        assert run("score", "svc", "--input", str(tmp_path / "in.npy"))[0] == 0
        assert json.loads(scoring.asked[0][2]) == {"data": [[1.5, 2.0]]}

    @pytest.mark.parametrize(
        ("content", "what"),
        [(b"", "is empty"), (b"{", "neither JSON nor a .npy file"), (b"\x93NUMPY\x01", "not a readable .npy file")],
    )
    def test_what_cannot_be_read_is_not_sent(
        self, run: Run, scoring: Scoring, tmp_path: Path, content: bytes, what: str
    ) -> None:
        (tmp_path / "in").write_bytes(content)
        code, out, err = run("score", "svc", "--input", str(tmp_path / "in"))
        assert (code, out, scoring.asked) == (1, "", [])
        assert what in err

    def test_a_pickle_in_an_array_is_refused(self, run: Run, scoring: Scoring, tmp_path: Path) -> None:
        np.save(tmp_path / "in.npy", np.array([{"a": 1}], object), allow_pickle=True)
        code, _, err = run("score", "svc", "--input", str(tmp_path / "in.npy"))
        assert (code, scoring.asked) == (1, [])
        assert "allow_pickle" in err

    def test_a_bad_answer_is_1_with_its_body(self, run: Run, scoring: Scoring, tmp_path: Path) -> None:
        (tmp_path / "in.json").write_text("{}", "utf-8")
        scoring.answers = [(400, b'{"message": "no data"}')]
        code, out, err = run("score", "svc", "--input", str(tmp_path / "in.json"))
        assert (code, out) == (1, "")
        assert "Response Code: 400" in err
        assert "no data" in err

    def test_bench_measures_and_says_of_what(self, run: Run, fake: FakeBackend, tmp_path: Path) -> None:
        run("deploy", "m.onnx", "--name", "svc")
        (tmp_path / "in.json").write_text("{}", "utf-8")
        arguments = ["--input", str(tmp_path / "in.json"), "--rate", "50", "--duration", "0.2", "--warm-up", "0"]
        code, out, err = run("bench", "svc", *arguments, "-o", "json", "--result", str(tmp_path / "result.json"))
        report = json.loads(out)
        assert code == 0, err
        assert (report["source"], report["backend"], report["target"], report["service"]) == (
            "measured", "fake", "aci", "svc",
        )  # fmt: skip
        assert (report["requests"], report["answered"], report["errors"]) == (10, 10, {})
        assert set(report["latencyMs"]) == {"p50", "p90", "p99", "p99.9", "max", "mean"}
        assert report["machine"]["cores"] >= 1
        assert json.loads((tmp_path / "result.json").read_text("utf-8")) == report
        assert "p99.9 ms" in run("bench", "svc", *arguments)[1]

    def test_bench_refuses_a_request_that_is_not_answered(self, run: Run, scoring: Scoring, tmp_path: Path) -> None:
        run("deploy", "m.onnx", "--name", "svc")
        (tmp_path / "in.json").write_text("{}", "utf-8")
        scoring.answers = [(400, b"no data")]
        code, out, err = run("bench", "svc", "--input", str(tmp_path / "in.json"))
        assert (code, out) == (1, "")
        assert "answers this request with status 400: no data" in err


class TestDryRun:
    """What would be sent, with nothing sent."""

    SETTINGS = ("--profile", "azure", "--subscription", "s-1", "--resource-group", "models", "--location", "westeurope",
                "--registry", "acme12345", "--set", "owner=ada", "--set", "expires_hours=0")  # fmt: skip

    def test_live_azure_is_rehearsed_without_credentials_or_traces(
        self, run: Run, model_file: Path, tmp_path: Path
    ) -> None:
        code, out, err = run("deploy", str(model_file), "--name", "svc", "--dry-run", "-o", "json", *self.SETTINGS)
        assert code == 0, err
        calls = json.loads(out)
        below = "https://management.azure.com/subscriptions/s-1"
        registry_ = "/providers/Microsoft.ContainerRegistry/registries/acme12345"
        group = f"{below}/resourceGroups/models/providers/Microsoft.ContainerInstance/containerGroups/svc"
        paths = [(c["method"], c["url"].partition("?")[0]) for c in calls]
        assert paths == [
            ("GET", group),
            ("GET", f"{below}/resourcegroups/models"),
            ("PUT", f"{below}/resourcegroups/models"),
            ("GET", f"{below}/resourceGroups/models{registry_}"),
            ("PUT", f"{below}/resourceGroups/models{registry_}"),
            ("POST", f"{below}/resourceGroups/models{registry_}/listCredentials"),
            ("GET", "https://acme12345.azurecr.io/oauth2/token"),
            ("HEAD", paths[7][1]),
            ("POST", f"{below}/resourceGroups/models{registry_}/listBuildSourceUploadUrl"),
            ("PUT", "https://upload.invalid/context.tar.gz"),
            ("POST", f"{below}/resourceGroups/models{registry_}/scheduleRun"),
            ("POST", f"{below}/resourceGroups/models{registry_}/runs/run/listLogSasUrl"),
            ("GET", "https://upload.invalid/run.log"),
            ("PUT", group),
            ("GET", group),
        ]
        body = calls[13]["body"]
        assert body["properties"]["imageRegistryCredentials"][0]["password"] == "********"
        assert not (tmp_path / "home").exists() or not list((tmp_path / "home").rglob("*"))

    def test_secrets_are_masked(self, run: Run, model_file: Path) -> None:
        keys = ("--auth", "--primary-key", "p" * 32, "--secondary-key", "s" * 32)
        code, out, err = run("deploy", str(model_file), "--name", "svc", "--dry-run", *keys, *self.SETTINGS)
        assert code == 0, err
        assert "ppp" not in out + err
        assert '"secureValue": "********"' in out
        assert err.endswith("calls, none was made\n")

    def test_local_needs_no_emulators_for_it_and_starts_none(self, run: Run, model_file: Path, tmp_path: Path) -> None:
        code, out, err = run(
            "deploy", str(model_file), "--name", "svc", "--dry-run", "--state-dir", str(tmp_path / "s")
        )
        assert code == 0, err
        assert "PUT https://localhost:4580/subscriptions/" in out
        assert not (tmp_path / "s").exists()

    def test_a_model_that_is_refused_is_refused_here_too(self, run: Run, tmp_path: Path) -> None:
        (tmp_path / "x.onnx").write_bytes(b"x")
        code, out, err = run("deploy", str(tmp_path / "x.onnx"), "--name", "svc", "--dry-run", *self.SETTINGS)
        assert (code, out) == (1, "")
        assert "is not an ONNX model" in err


def test_targets_says_what_and_why_not(run: Run) -> None:
    code, out, err = run("targets", "-o", "json")
    assert (code, err) == (0, "")
    values = json.loads(out)
    scale = next(v for v in values if (v["backend"], v["target"], v["capability"]) == ("local", "aci", "scale"))
    assert (scale["offered"], scale["reason"]) == (False, "a container group has no replicas")
    assert all(v["offered"] or v["reason"] for v in values)
    assert {v["backend"] for v in json.loads(run("targets", "--backend", "azure", "-o", "json")[1])} == {"azure"}
    assert run("targets", "--backend", "nope")[0] == 1


def test_config_show_says_where_each_value_is_from(run: Run, tmp_path: Path) -> None:
    (tmp_path / "work" / "windtunnel.toml").write_text('[profile.azure]\nlocation = "northeurope"\n', "utf-8")
    code, out, _ = run("config", "show", "--profile", "azure", "--registry", "acme12345", "-o", "json")
    assert code == 0
    settings = json.loads(out)["settings"]
    assert settings["location"] == {
        "value": "northeurope",
        "source": str(tmp_path / "work" / "windtunnel.toml"),
    }
    assert settings["registry"] == {"value": "acme12345", "source": "--registry"}
    assert settings["subscription"]["source"] == "not set"
    assert "northeurope" in run("config", "show", "--profile", "azure")[1]


def test_sweep_and_promote_say_what_they_cannot(run: Run, fake: FakeBackend) -> None:
    code, out, err = run("sweep", "-o", "json")
    assert (code, json.loads(out)) == (0, [])
    assert err == "0 expired services were deleted\n"
    code, _, err = run("promote", "svc", "--to", "azure")
    assert code == 2
    assert "does not know what its services were deployed from" in err


def test_conflicts_are_1(run: Run, fake: FakeBackend) -> None:
    fake.fail = Conflict("still transitioning", way_out="Wait.")
    assert run("deploy", "m.onnx", "--name", "svc")[::2] == (1, "error: still transitioning\nway out: Wait.\n")
