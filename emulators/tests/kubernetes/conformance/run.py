"""Kubernetes' own conformance tests against an emulated cluster, one process and one time limit each.

    python emulators/tests/kubernetes/conformance/run.py --list FILE --bin DIR [--engine embedded] [--match REGEX]
        [--into docs/kubernetes-conformance.md]

DIR holds e2e.test and kubectl; FILE names the tests, one a line. Each test has to pass or to be named in
exceptions.toml with its reason; one that is named and passes is a failure too, so that the list cannot rot. Exit
status: 0 when that holds and at least LEAST of all tests passed.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "helpers"))
from launching import cluster_of, launched

HERE = Path(__file__).parent
LEAST = 0.6
BEGIN, END = "<!-- conformance table: made by run.py -->", "<!-- end of conformance table -->"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One test."""

    name: str
    passed: bool
    seconds: float
    why: str


def run_one(name: str, kubeconfig: Path, programs: Path, limit_s: int) -> Result:
    """Run one test by its full name."""
    focus = re.sub(r"([\[\]().*+?{}|^$\\])", r"\\\1", name) + "$"
    command = [
        str(programs / "e2e.test"),
        f"--kubeconfig={kubeconfig}",
        f"--kubectl-path={programs / 'kubectl'}",
        "--provider=skeleton",
        "--allowed-not-ready-nodes=-1",
        "--minStartupPods=0",
        "--disable-log-dump",
        "--ginkgo.no-color",
        f"--ginkgo.timeout={limit_s}s",
        f"--ginkgo.focus={focus}",
    ]
    began = time.monotonic()
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit_s + 20, check=False)
        passed = "1 Passed | 0 Failed" in done.stdout
        found = re.findall(r"\[(?:FAILED|TIMEDOUT|PANICKED)\] (.*)", done.stdout)
        why = "" if passed else (found[0] if found else done.stdout[-300:])
    except subprocess.TimeoutExpired:
        passed, why = False, f"no end within {limit_s} s"
    return Result(name=name, passed=passed, seconds=time.monotonic() - began, why=why.strip())


def table(results: list[Result], reasons: dict[str, str]) -> str:
    """Markdown: how many of each area passed, and why the others did not."""
    lines = ["| Area | Passed | Of |", "| --- | --- | --- |"]
    areas = sorted({r.name.partition("]")[0].lstrip("[") for r in results})
    for area in areas:
        mine = [r for r in results if r.name.startswith(f"[{area}]")]
        lines.append(f"| {area} | {sum(r.passed for r in mine)} | {len(mine)} |")
    lines.append(f"| all | {sum(r.passed for r in results)} | {len(results)} |")
    failed = [r for r in results if not r.passed]
    if failed:
        lines += ["", "| Not passed | Reason |", "| --- | --- |"]
        lines += [f"| {r.name.replace('|', '/')} | {reasons.get(r.name, 'not explained')} |" for r in failed]
    return "\n".join(lines)


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--list", type=Path, required=True)
    parser.add_argument("--bin", type=Path, required=True)
    parser.add_argument("--engine", default="embedded")
    parser.add_argument("--match", default="")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--into", type=Path)
    given = parser.parse_args()
    names = [n for n in given.list.read_text("utf-8").splitlines() if n and not n.startswith("#")]
    names = [n for n in names if re.search(given.match, n)]
    if not names:
        parser.error("no test of that name in the list")
    exceptions = tomllib.loads((HERE / "exceptions.toml").read_text("utf-8")).get("exception", [])
    reasons = {e["test"]: e["reason"] for e in exceptions}
    with (
        tempfile.TemporaryDirectory(prefix="windtunnel-conformance-") as folder,
        launched(Path(folder), engine=given.engine) as emulators,
        ThreadPoolExecutor(given.jobs) as pool,
    ):
        run = partial(
            run_one,
            kubeconfig=cluster_of(emulators, Path(folder), nodes=1),
            programs=given.bin,
            limit_s=given.seconds,
        )
        results = list(pool.map(run, names))
    passed = sum(r.passed for r in results)
    unexplained = [r for r in results if not r.passed and r.name not in reasons]
    stale = [r for r in results if r.passed and r.name in reasons]
    for result in unexplained:
        print(f"FAILED {result.name} | {result.why}")
    for result in stale:
        print(f"PASSED although exceptions.toml names it: {result.name}")
    share = passed / len(results)
    print(f"{passed} of {len(results)} passed ({share:.0%}); {len(unexplained)} failed without a reason")
    if given.into is not None:
        before, begin, rest = given.into.read_text("utf-8").partition(BEGIN)
        _, end, after = rest.partition(END)
        if not (begin and end):
            parser.error(f"{given.into} lacks the lines {BEGIN!r} and {END!r}")
        given.into.write_text(f"{before}{BEGIN}\n{table(results, reasons)}\n{END}{after}", "utf-8")
    return int(bool(unexplained) or bool(stale) or passed < LEAST * len(results))


if __name__ == "__main__":
    sys.exit(main())
