"""The public names: documented, importable, and cheap."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import windtunnel
from windtunnel import errors

PACKAGE = Path(windtunnel.__file__).parent


def test_all_names_are_documented_and_exist() -> None:
    documented = re.findall(r"^    (.+?)  ", windtunnel.__doc__ or "", re.MULTILINE)
    words = {word for line in documented for word in re.findall(r"\w+", line)}
    assert set(windtunnel.__all__) == words
    for name in windtunnel.__all__:
        assert getattr(windtunnel, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'absent'"):
        windtunnel.absent  # type: ignore[attr-defined]  # noqa: B018  # that is the test


def test_every_error_is_in_the_tree_that_is_drawn() -> None:
    drawn = set(re.findall(r"^    [ |]*(?:\+-- )?(\w+)  ", errors.__doc__ or "", re.MULTILINE))
    classes = {name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, Exception)}
    assert drawn == classes


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = (
        "import sys, windtunnel, windtunnel.interface, windtunnel.session;"
        "heavy = {'azure', 'numpy', 'onnx', 'onnxruntime', 'typer', 'rich', 'requests', 'httpx'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "module",
    [
        ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
        for path in sorted(PACKAGE.rglob("*.py"))
        if path.name != "__main__.py"
    ],
)
def test_every_module_says_what_it_is_in_its_first_line(module: str) -> None:
    first = (import_module(module.removesuffix(".__init__")).__doc__ or "").splitlines()[0]
    assert len(first) > 15
    assert first.endswith((".", ":", "?"))
