"""The OCI distribution conformance suite against an emulated registry, over TLS and with credentials.

    python emulators/tests/wire/conformance/run.py [--version 1.1] [--folder DIR] [--suite-version latest]

Builds the suite with Go, starts the emulators with a state folder of their own, creates a registry through ARM, runs
the suite, prints its counts. Exit status: 0 when nothing failed, 1 otherwise, 2 when the suite cannot be built.
The suite's own report (report.html, junit.xml, results.yaml) is left in DIR, by default a temporary folder.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MODULE = "github.com/opencontainers/distribution-spec/conformance"
API = "2023-07-01"
_COUNT = re.compile(r"^\s+(Unknown|Disabled|Skip|Pass|FAIL|Error|Total)\.*:\s+(\d+)$", re.MULTILINE | re.IGNORECASE)
_READY_S = 30
_SUITE_S = 600


class CannotRun(Exception):
    """The suite cannot be built or the emulators do not start; the message says why."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--version", default="1.1", help="of the distribution specification: 1.0, 1.1 or dev")
    parser.add_argument("--suite-version", default="latest", help="of the suite, as go get takes it")
    parser.add_argument("--folder", type=Path, help="where the suite is built and its reports are written")
    given = parser.parse_args(arguments)
    folder: Path = given.folder or Path(tempfile.mkdtemp(prefix="oci-conformance-"))
    folder.mkdir(parents=True, exist_ok=True)
    try:
        suite = build(folder, given.suite_version)
        with tempfile.TemporaryDirectory(prefix="oci-state-") as state:
            return run(suite, folder, Path(state), given.version)
    except CannotRun as problem:
        print(f"conformance: {problem}", file=sys.stderr)
        return 2


def build(folder: Path, version: str) -> Path:
    """The suite's program, built into ``folder``; one that is there already is used again."""
    program = folder.resolve() / "conformance"
    if program.is_file():
        return program
    go = shutil.which("go")
    if go is None:
        raise CannotRun("the suite is a Go program; install Go 1.24 or newer and put it on PATH")
    environment = {**os.environ, "GOFLAGS": "-mod=mod -buildvcs=false"}
    steps = (["mod", "init", "conformance"], ["get", f"{MODULE}@{version}"], ["build", "-o", str(program), MODULE])
    for step in steps:
        if step[:2] == ["mod", "init"] and (folder / "go.mod").exists():
            continue
        done = subprocess.run([go, *step], cwd=folder, env=environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise CannotRun(f"go {' '.join(step)} failed: {done.stderr.strip()[-500:]}")
    return program


def run(suite: Path, folder: Path, state: Path, version: str) -> int:
    """Start the emulators, make a registry, run the suite, judge its counts."""
    ready_file = state / "ready-for-suite.json"
    log = (folder / "emulators.log").open("w")
    command = [sys.executable, "-m", "windtunnel_emulators", "--port", "0"]
    command += ["--state-dir", str(state / "state"), "--ready-file", str(ready_file)]
    emulators = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    try:
        ready = _ready(ready_file, emulators)
        server, user, password = create_registry(ready)
        environment = {
            **os.environ,
            "OCI_REGISTRY": server,
            "OCI_TLS": "enabled",
            "OCI_USERNAME": user,
            "OCI_PASSWORD": password,
            "OCI_VERSION": version,
            "OCI_RESULTS_DIR": str(folder.resolve() / "results"),
            "SSL_CERT_FILE": ready["environment"]["SSL_CERT_FILE"],
        }
        done = subprocess.run(
            [str(suite)], cwd=folder, env=environment, capture_output=True, text=True, timeout=_SUITE_S, check=False
        )
    finally:
        emulators.send_signal(signal.SIGTERM)
        emulators.wait(timeout=20)
        log.close()
    (folder / "output.txt").write_text(done.stdout + done.stderr, "utf-8")
    return judge(done.stdout, done.stderr, done.returncode, folder)


def judge(output: str, errors: str, status: int, folder: Path) -> int:
    """Print the counts; 1 when the suite failed anything, or counted nothing."""
    counts = {name.lower(): int(number) for name, number in _COUNT.findall(output)}
    if not counts.get("total"):
        print(output[-3000:], errors[-2000:], sep="\n")
        print("conformance: the suite counted no check", file=sys.stderr)
        return 1
    for name, number in counts.items():
        print(f"{name}: {number}")
    bad = counts.get("fail", 0) + counts.get("error", 0)
    if bad or status != 0:
        print("\n".join(line for line in output.splitlines() if "FAIL" in line or "Error" in line)[:6000])
        print(f"conformance: {bad} checks failed; the whole report is in {folder}", file=sys.stderr)
        print(f"{counts.get('pass', 0)} passed, {max(bad, 1)} failed")
        return 1
    print(f"{counts.get('pass', 0)} passed, 0 failed")
    return 0


def create_registry(ready: Mapping[str, Mapping[str, str]]) -> tuple[str, str, str]:
    """A registry with its admin user enabled; returns its server, user and password."""
    environment = ready["environment"]
    base = ready["endpoints"]["resourceManager"].rstrip("/")
    tls = ssl.create_default_context(cafile=environment["REQUESTS_CA_BUNDLE"])
    form = {
        "grant_type": "client_credentials",
        "client_id": environment["AZURE_CLIENT_ID"],
        "client_secret": environment["AZURE_CLIENT_SECRET"],
        "scope": f"{base}/.default",
    }
    url = f"{environment['AZURE_AUTHORITY_HOST']}/{environment['AZURE_TENANT_ID']}/oauth2/v2.0/token"
    with urllib.request.urlopen(url, urllib.parse.urlencode(form).encode(), context=tls) as answer:
        token: str = json.load(answer)["access_token"]

    def call(method: str, path: str, body: object) -> bytes:
        request = urllib.request.Request(
            f"{base}/subscriptions/{environment['AZURE_SUBSCRIPTION_ID']}/resourceGroups/oci{path}",
            json.dumps(body).encode(),
            {"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
            method=method,
        )
        with urllib.request.urlopen(request, context=tls) as answer:
            content: bytes = answer.read()
            return content

    registry = "/providers/Microsoft.ContainerRegistry/registries/ociconformance"
    call("PUT", "?api-version=2022-09-01", {"location": "westeurope"})
    wanted = {"location": "westeurope", "sku": {"name": "Standard"}, "properties": {"adminUserEnabled": True}}
    created = json.loads(call("PUT", f"{registry}?api-version={API}", wanted))
    credentials = json.loads(call("POST", f"{registry}/listCredentials?api-version={API}", {}))
    return created["properties"]["loginServer"], credentials["username"], credentials["passwords"][0]["value"]


def _ready(file: Path, emulators: subprocess.Popen[bytes]) -> dict[str, dict[str, str]]:
    end = time.monotonic() + _READY_S
    while not file.exists():
        if emulators.poll() is not None or time.monotonic() > end:
            raise CannotRun("the emulators did not start; emulators.log says why")
        time.sleep(0.05)
    ready: dict[str, dict[str, str]] = json.loads(file.read_text("utf-8"))
    return ready


if __name__ == "__main__":
    sys.exit(main())
