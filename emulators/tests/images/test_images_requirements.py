from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from windtunnel_emulators.images.errors import EnvironmentError_
from windtunnel_emulators.images.requirements import Wanted, WheelPath, read_arguments


@dataclass
class Files:
    texts: dict[str, str] = field(default_factory=dict[str, str])
    folders: tuple[str, ...] = ()

    def read_text(self, path: str) -> str:
        try:
            return self.texts[path]
        except KeyError as error:
            raise EnvironmentError_(f"no such file: {path}") from error

    def exists(self, path: str) -> bool:
        return path in self.texts or path in self.folders


def read(*words: str, files: Files | None = None, **variables: str) -> Wanted:
    return read_arguments(words, "/app", files or Files(), variables)


def test_requirements_options_and_wheels_of_a_command_line() -> None:
    wanted = read(
        *("--no-cache-dir", "-qq", "numpy==2.4.6", "uvicorn[standard]>=0.32", "-U", "--progress-bar", "off"),
        *("/tmp/x-1-py3-none-any.whl", "wheels/y-1-py3-none-any.whl[fast,more]", "--index-url=https://pypi.example"),
        *("-f", "wheels", "--find-links", "https://files.example", "--pre", "--no-deps", "--no-index"),
    )
    assert wanted == Wanted(
        requirements=("numpy==2.4.6", "uvicorn[standard]>=0.32"),
        wheels=(
            WheelPath(path="/tmp/x-1-py3-none-any.whl"),
            WheelPath(path="/app/wheels/y-1-py3-none-any.whl", extras=("fast", "more")),
        ),
        folders=("/app/wheels",),
        index=False,
        dependencies=False,
        options=("--index-url", "https://pypi.example", "--find-links", "https://files.example", "--pre"),
    )


def test_a_requirements_file() -> None:
    text = """\ufeff# what the model needs
    numpy==2.4.6  # exactly
    pandas>=2,<3; python_version >= "3.11"
    scipy==1.17.1 \\
        --hash=sha256:aa \\
        --hash=sha256:bb
    --extra-index-url https://one.example --find-links ./near
    -r more/other.txt
    -c limits.txt
    private @ https://files.example/private-1.0.zip
    local @ file:///opt/my%20wheels/local-1-py3-none-any.whl
    fast[cpu] @ file:///opt/fast-1-py3-none-any.whl
    ./wheels/near-1-py3-none-any.whl
    ${NAMED}==1
    ${UNSET}
    """
    files = Files(
        {
            "/app/conf/requirements.txt": text,
            "/app/conf/more/other.txt": "click\n-r ../last.txt\n",
            "/app/conf/last.txt": "h11",
            "/app/conf/limits.txt": "h11<1\nclick==8.1 --hash=sha256:cc\n",
        },
        folders=("/app/conf/near",),
    )
    wanted = read("-rconf/requirements.txt", files=files, NAMED="polars")
    assert wanted == Wanted(
        requirements=(
            "numpy==2.4.6",
            'pandas>=2,<3; python_version >= "3.11"',
            "scipy==1.17.1 --hash=sha256:aa --hash=sha256:bb",
            "click",
            "h11",
            "private @ https://files.example/private-1.0.zip",
            "polars==1",
            "${UNSET}",
        ),
        wheels=(
            WheelPath(path="/opt/my wheels/local-1-py3-none-any.whl"),
            WheelPath(path="/opt/fast-1-py3-none-any.whl", extras=("cpu",)),
            WheelPath(path="/app/wheels/near-1-py3-none-any.whl"),
        ),
        constraints=("h11<1", "click==8.1"),
        folders=("/app/conf/near",),
        options=("--extra-index-url", "https://one.example"),
    )


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ((), "names no package"),
        (("--no-cache-dir",), "names no package"),
        (("-r",), "--requirement without its value"),
        (("-r", "missing.txt"), "no such file: /app/missing.txt"),
        (("-e", "."), "--editable is not supported without Docker"),
        (("--target", "/x", "a"), "--target is not supported without Docker"),
        (("--prefix=/x", "a"), "--prefix is not supported without Docker"),
        (("--user", "a"), "--user is not supported without Docker"),
        (("--surprise", "a"), "--surprise is not supported without Docker"),
        ((".",), "build a wheel of it"),
        (("/src/project",), "build a wheel of it"),
        (("project-1.0.tar.gz",), "build a wheel of it"),
        (("-r", "circle.txt"), "more than 10 deep"),
        (("-r", "quote.txt"), "No closing quotation"),
    ],
)
def test_what_cannot_be_installed_is_refused_with_the_reason(words: tuple[str, ...], why: str) -> None:
    files = Files({"/app/circle.txt": "-r circle.txt", "/app/quote.txt": "--index-url 'x"})
    with pytest.raises(EnvironmentError_) as error:
        read(*words, files=files)
    assert why in str(error.value)


WORDS = st.sampled_from(
    ["-r", "f.txt", "-c", "-U", "--", "-", "a==1", "x.whl", "x.whl[y", "@", "file:///x.whl", "[", "-qv"]
)


@settings(deadline=None)
@given(st.lists(WORDS | st.text(max_size=8), max_size=6), st.text("-rcf \n\\#'\"${}.whl@[]=a/:", max_size=60))
def test_any_arguments_and_any_file_are_read_or_refused(words: list[str], text: str) -> None:
    try:
        wanted = read(*words, files=Files({"/app/f.txt": text}))
    except EnvironmentError_:
        return
    assert wanted.requirements or wanted.wheels
