"""A scripted session, run against a cluster, as a transcript in which names, times, versions and addresses are alike.

    python transcript.py KUBECONFIG [--only TEXT]     prints it, for a look
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
STEP_LIMIT_S = 120.0
UNTIL_LIMIT_S = 90.0
_PAUSE_S = 0.2
_ALIKE = (
    (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "<uid>"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z?", "<time>"),
    (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)? [+-]\d{4}( UTC)?", "<time>"),
    (r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d \w{3} \d{4} \d\d:\d\d:\d\d [+-]\d{4}", "<time>"),
    (r"resourceVersion: \"\d+\"", 'resourceVersion: "<version>"'),
    (r"\b(\d+h)?(\d+m)?\d+(\.\d+)?s( ago)?(?= |$|\)|\n)", "<age>"),
    (r"\b\d+m(?= *$)", "<age>"),
    (r"\(x\d+ over <age>\)", ""),
    (r"<age> \(<age>\)", "<age>"),
    (r"/tmp/(LIVE|MERGED)-\d+", r"/tmp/\1-<n>"),
    (r"\bweb-[0-9a-f]{6,10}-[0-9a-z]{5}\b", "web-<hash>-<id>"),
    (r"\bweb-[0-9a-z]{6,10}-[0-9a-z]{5}\b", "web-<hash>-<id>"),
    (r"\bweb-[0-9a-z]{6,10}\b", "web-<hash>"),
    (r"pod-template-hash=[0-9a-z]+", "pod-template-hash=<hash>"),
    (r"\b(count|py)-[0-9a-z]{5}\b", r"\1-<id>"),
    (r"\b\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}\b", "<address>"),
    (r"aks-[a-z0-9]+-\d+-vmss[0-9a-z]{6}", "<node>"),
    (r"\b\d+m +\d+Mi\b", "<cpu> <memory>"),
    (r"[ \t]+\n", "\n"),
    (r"(?<=\S) {2,}", "  "),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One command line and what it answered."""

    run: str
    code: int
    output: str

    def __str__(self) -> str:
        return f"$ {self.run}\n{self.output}" + (f"[{self.code}]\n" if self.code else "")


class Unfinished(Exception):
    """What a step waits for did not come about; the message has the end of what it said."""


def kubectl_session(kubeconfig: Path, kubectl: Path, only: str = "") -> list[Step]:
    """The steps of kubectl.toml that contain ``only``. A step whose ``until`` never holds is answered as such."""
    steps = tomllib.loads((HERE / "kubectl.toml").read_text("utf-8"))["step"]
    with tempfile.TemporaryDirectory(prefix="windtunnel-session-") as folder:
        work = Path(folder) / "work"
        shutil.copytree(HERE, work, ignore=shutil.ignore_patterns("__pycache__", "chart"))
        shutil.copy(kubeconfig, Path(folder) / "kubeconfig")
        environment = {
            **os.environ,
            "HOME": folder,
            "KUBECONFIG": str(Path(folder) / "kubeconfig"),
            "PATH": f"{kubectl.parent}:{os.environ['PATH']}",
        }
        return [_step(step, work, environment) for step in steps if only in step["run"]]


def _step(step: dict[str, str], work: Path, environment: dict[str, str]) -> Step:
    run, waits_for = step["run"], step.get("until")
    end = time.monotonic() + UNTIL_LIMIT_S
    while waits_for is not None:
        code, said = _shell(waits_for, work, environment)
        if code == 0:
            break
        if time.monotonic() > end:
            return Step(run=run, code=-1, output=f"waited in vain for: {waits_for}\n{alike(said)}")
        time.sleep(_PAUSE_S)
    code, said = _shell(run, work, environment)
    lines = alike(said).splitlines()
    if "only" in step:
        lines = [line for line in lines if re.search(step["only"], line)]
    if step.get("sorted"):
        lines = sorted(lines)
    return Step(run=run, code=code, output="".join(f"{line}\n" for line in lines))


def _shell(line: str, work: Path, environment: dict[str, str]) -> tuple[int, str]:
    try:
        done = subprocess.run(
            ["bash", "-c", line],
            cwd=work,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=STEP_LIMIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        return -1, f"not over after {STEP_LIMIT_S:g} s: {(late.stdout or b'').decode('utf-8', 'replace')}"
    return done.returncode, done.stdout.decode("utf-8", "replace")


def alike(text: str) -> str:
    """The text, with what differs from one run to the next replaced."""
    for pattern, replacement in _ALIKE:
        text = re.sub(pattern, replacement, text, flags=re.MULTILINE)
    return text


def python_session(kubeconfig: Path) -> list[Step]:
    """The lines of python_client.py, one step each by their first word."""
    with tempfile.TemporaryDirectory(prefix="windtunnel-session-") as folder:
        environment = {**os.environ, "HOME": folder, "KUBECONFIG": str(kubeconfig)}
        done = subprocess.run(
            [sys.executable, "-W", "ignore", str(HERE / "python_client.py")],
            env=environment,
            capture_output=True,
            text=True,
            timeout=STEP_LIMIT_S * 2,
            check=False,
        )
    lines = alike(done.stdout).splitlines()
    steps = [Step(run=f"python: {line.partition(' ')[0]}", code=0, output=f"{line}\n") for line in lines]
    if done.returncode != 0:
        steps.append(Step(run="python: end", code=done.returncode, output=done.stderr[-3000:]))
    return steps


if __name__ == "__main__":
    only = sys.argv[sys.argv.index("--only") + 1] if "--only" in sys.argv else ""
    found = shutil.which("kubectl")
    if found is None:
        sys.exit("kubectl is not on PATH")
    for done in [*kubectl_session(Path(sys.argv[1]), Path(found), only), *([] if only else python_session(Path(sys.argv[1])))]:
        print(done)
