"""A scripted session, run against a cluster, as a transcript in which names, times, versions and addresses are alike.

    python transcript.py KUBECONFIG [--only TEXT]     prints it, for a look

A session is a file of lines. ``$ LINE`` is a step: bash runs it, and everything that it says is the answer. Before it
may stand ``until LINE`` (run again and again until it ends with 0: what a person would wait for), ``let NAME LINE`` (a
variable for the steps that follow), ``only PATTERN`` (keeps the lines that match) and ``sorted`` (the lines have no
order of their own).
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

HERE = Path(__file__).parents[1] / "kubernetes" / "sessions"
SCRIPTS = HERE / "scripts"
STEP_LIMIT_S = 120.0
UNTIL_LIMIT_S = 90.0
_PAUSE_S = 0.2
_LEFT_OUT = ("__pycache__", "scripts", "*.py", "*.toml")
_ALIKE = (
    (r"\^[@D]", ""),  # what script types at the end of its input, echoed or not as the shell has come up
    (r"\r", ""),
    (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "<uid>"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z?", "<time>"),
    (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)? [+-]\d{4}( UTC)?", "<time>"),
    (r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d \w{3} \d{4} \d\d:\d\d:\d\d [+-]\d{4}", "<time>"),
    (r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun) \w{3} +\d+ \d\d:\d\d:\d\d \d{4}", "<time>"),
    (r"\d\d/\w{3}/\d{4} \d\d:\d\d:\d\d", "<time>"),
    (r"\"?resourceVersion\"?: \"\d+\"", 'resourceVersion: "<version>"'),
    (r"(?<![-\w.])(\d+h)?(\d+m)?\d+(\.\d+)?s( ago)?(?= |$|\)|\n)", "<age>"),
    (r"^((?!.*: ).* {2,})\d+m(?= *$)", r"\1<age>"),
    (r"X509SHA256=[0-9a-f]{64}", "X509SHA256=<digest>"),
    (r"\d+(\.\d+)?m?s \(\d+(\.\d+)?m?s including waiting\)", "<age> (<age> including waiting)"),
    (r"(Resource Version|Machine ID|System UUID|Boot ID): +\S+", r"\1: <id>"),
    (r":3\d{4}/TCP", ":<port>/TCP"),
    (r"aks-agentpool-\d+-vmss\b", "<set>"),
    (r"\(x\d+ over <age>\)", ""),
    (r"<age> \(<age>\)", "<age>"),
    (r"/tmp/(LIVE|MERGED)-\d+", r"/tmp/\1-<n>"),
    (r"\b(web|gust)-[0-9a-z]{6,10}-[0-9a-z]{5}\b", r"\1-<hash>-<id>"),
    (r"\b(web|gust)-[0-9a-f]{6,10}\b", r"\1-<hash>"),
    (r"\b(web|gust)-[0-9bcdf-hj-np-tv-xz]{6,10}\b", r"\1-<hash>"),
    (r"pod-template-hash([=:] ?)[0-9a-z]+", r"pod-template-hash\1<hash>"),
    (r"\b(count|again|now|py|web|made)-[0-9a-z]{5}\b", r"\1-<id>"),
    (r"kube-api-access-[0-9a-z]{5}\b", "kube-api-access-<id>"),
    (r"\b\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}(:\d{5}\b)?", "<address>"),
    (r"\b[0-9a-z.-]*localhost:\d+|\blocalhost:\d+", "<server>"),
    (r"aks-[a-z0-9]+-\d+-vmss[0-9a-z]{6}", "<node>"),
    (r"\b(containerd|windtunnel|process)://[0-9a-z-]+", r"\1://<id>"),
    (r"\b\d+m +(\d+%|<percent>)? *\d+Mi\b", r"<cpu> \1 <memory>"),
    (r"[ \t]+\n", "\n"),
    (r"(?<=\S) {2,}", "  "),
    (r"-{5,}", "-----"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A step as it is written."""

    run: str
    until: str | None = None
    only: str | None = None
    sorted: bool = False
    let: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One command line and what it answered; a line that is there again has a number behind it."""

    run: str
    code: int
    output: str

    def __str__(self) -> str:
        return f"$ {self.run}\n{self.output}" + (f"[{self.code}]\n" if self.code else "")


def lines_of(script: Path) -> list[Line]:
    """The steps of a file. Raises ``ValueError`` for a line that is none of the above."""
    found: list[Line] = []
    line = Line(run="")
    for number, text in enumerate(script.read_text("utf-8").splitlines(), 1):
        word, _, rest = text.partition(" ")
        match word:
            case "" | "#":
                continue
            case "until":
                line = replace(line, until=rest)
            case "only":
                line = replace(line, only=rest)
            case "sorted":
                line = replace(line, sorted=True)
            case "let":
                name, _, command = rest.partition(" ")
                line = replace(line, let=(*line.let, (name, command)))
            case "$":
                found.append(replace(line, run=rest))
                line = Line(run="")
            case _:
                raise ValueError(f"{script.name}:{number}: {text!r} starts with no word of a session")
    return found


def shell_session(kubeconfig: Path, programs: Path, only: str = "") -> list[Step]:
    """The steps of all scripts that contain ``only``. A step whose ``until`` never holds is answered as such."""
    lines = [line for script in sorted(SCRIPTS.iterdir()) for line in lines_of(script) if only in line.run]
    with tempfile.TemporaryDirectory(prefix="windtunnel-session-") as folder:
        work = Path(folder) / "work"
        shutil.copytree(HERE, work, ignore=shutil.ignore_patterns(*_LEFT_OUT))
        for program in ("forward.py", "proxy.py"):
            shutil.copy(HERE / program, work)
        config = Path(folder) / "kubeconfig"
        shutil.copy(kubeconfig, config)
        _without_user(config, work / "anonymous.kubeconfig")
        environment = {
            **os.environ,
            "HOME": folder,
            "KUBECONFIG": str(config),
            "PATH": f"{programs}:{os.environ['PATH']}",
        }
        return _numbered(_step(line, work, environment) for line in lines)


def _without_user(config: Path, into: Path) -> None:
    document = yaml.safe_load(config.read_text("utf-8"))
    for user in document["users"]:
        user["user"] = {}
    into.write_text(yaml.safe_dump(document), "utf-8")


def _numbered(steps: Iterable[Step]) -> list[Step]:
    seen: dict[str, int] = {}
    found: list[Step] = []
    for step in steps:
        seen[step.run] = seen.get(step.run, 0) + 1
        found.append(step if seen[step.run] == 1 else replace(step, run=f"{step.run}  #{seen[step.run]}"))
    return found


def _step(line: Line, work: Path, environment: dict[str, str]) -> Step:
    for name, command in line.let:
        environment[name] = _shell(command, work, environment)[1].strip()
    end = time.monotonic() + UNTIL_LIMIT_S
    while line.until is not None:
        code, said = _shell(line.until, work, environment)
        if code == 0:
            break
        if time.monotonic() > end:
            return Step(run=line.run, code=-1, output=f"waited in vain for: {line.until}\n{alike(said)}")
        time.sleep(_PAUSE_S)
    code, said = _shell(line.run, work, environment)
    lines = alike(said).splitlines()
    if line.only is not None:
        lines = [each for each in lines if re.search(line.only, each)]
    if line.sorted:
        lines = sorted(lines)
    return Step(run=line.run, code=code, output="".join(f"{each}\n" for each in lines))


def _shell(line: str, work: Path, environment: Mapping[str, str]) -> tuple[int, str]:
    try:
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", line],
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
    steps = [
        Step(run=f"python: {line.partition(':')[0]}", code=0, output=f"{line}\n")
        for line in alike(done.stdout).splitlines()
    ]
    if done.returncode != 0:
        steps.append(Step(run="python: end", code=done.returncode, output=done.stderr[-3000:]))
    return _numbered(steps)


if __name__ == "__main__":
    wanted = sys.argv[sys.argv.index("--only") + 1] if "--only" in sys.argv else ""
    found_kubectl = shutil.which("kubectl")
    if found_kubectl is None:
        sys.exit("kubectl is not on PATH")
    session = shell_session(Path(sys.argv[1]), Path(found_kubectl).parent, wanted)
    for answered in [*session, *([] if wanted else python_session(Path(sys.argv[1])))]:
        print(answered)
