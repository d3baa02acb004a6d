from __future__ import annotations

from textwrap import dedent

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from windtunnel_emulators.images import instructions as i
from windtunnel_emulators.images.dockerfile import LARGEST, parse
from windtunnel_emulators.images.errors import DockerfileError
from windtunnel_emulators.images.instructions import Dockerfile, Exec, Instruction, Shell


def only(text: str) -> Instruction:
    """The instruction after the FROM."""
    _, instruction = parse(f"FROM scratch\n{text}").instructions
    return instruction


def test_a_whole_file() -> None:
    text = dedent("""\
        # syntax=docker/dockerfile:1
        ARG PYTHON=3.11

        FROM python:${PYTHON}-slim AS Runtime
        # What the server needs.
        COPY --chown=0:0 requirements.txt \\
             # a comment in between

             model.onnx /app/
        RUN pip install --no-cache-dir \\
            -r /app/requirements.txt
        ENV A=1 B="two words" \\
            C='three'
        CMD ["python", "-m", "windtunnel_scoring"]
        """)
    parsed = parse(text)
    assert parsed.instructions == (
        i.Arg(items=(("PYTHON", "3.11"),)),
        i.From(image="python:${PYTHON}-slim", alias="runtime"),
        i.Copy(sources=("requirements.txt", "model.onnx"), destination="/app/", chown="0:0"),
        i.Run(command=Shell("pip install --no-cache-dir     -r /app/requirements.txt")),
        i.Env(items=(("A", "1"), ("B", '"two words"'), ("C", "'three'"))),
        i.Cmd(command=Exec(("python", "-m", "windtunnel_scoring"))),
    )
    assert [one.line for one in parsed.instructions] == [2, 4, 6, 10, 12, 14]
    assert parsed.instructions[3].source == "RUN pip install --no-cache-dir     -r /app/requirements.txt"


@pytest.mark.parametrize(
    ("text", "instruction"),
    [
        ("ENV a b  c", i.Env(items=(("a", "b  c"),))),
        ("ENV a=", i.Env(items=(("a", ""),))),
        ("env a=b\\ c d=e", i.Env(items=(("a", "b\\ c"), ("d", "e")))),
        ('LABEL "a b"=c', i.Label(items=(('"a b"', "c"),))),
        ("ARG a b=1", i.Arg(items=(("a", None), ("b", "1")))),
        ("COPY a b/ /c/", i.Copy(sources=("a", "b/"), destination="/c/")),
        ('COPY ["a b", "/c"]', i.Copy(sources=("a b",), destination="/c")),
        ("COPY --link --from=x --chmod=755 a b", i.Copy(sources=("a",), destination="b", stage="x", chmod="755")),
        ("ADD [a b", i.Add(sources=("[a",), destination="b")),
        ('RUN ["pip", "install"]', i.Run(command=Exec(("pip", "install")))),
        ("RUN [ 1 -eq 1 ] && true", i.Run(command=Shell("[ 1 -eq 1 ] && true"))),
        ("RUN --mount=type=cache,target=/c pip x", i.Run(command=Shell("pip x"), mounts=("type=cache,target=/c",))),
        ("CMD python app.py", i.Cmd(command=Shell("python app.py"))),
        ("CMD", i.Cmd(command=Shell(""))),
        ('CMD ["a"] b', i.Cmd(command=Exec(("a",)))),
        ("ENTRYPOINT []", i.Entrypoint(command=Exec(()))),
        ("EXPOSE 80 443/tcp", i.Expose(ports=("80", "443/tcp"))),
        ("VOLUME /a /b", i.Volume(paths=("/a", "/b"))),
        ('VOLUME ["/a b"]', i.Volume(paths=("/a b",))),
        ("WORKDIR /a b", i.Workdir(path="/a b")),
        ("USER 1000:1000", i.User(name="1000:1000")),
        ("STOPSIGNAL SIGINT", i.StopSignal(signal="SIGINT")),
        ("MAINTAINER Ann <a@x>", i.Maintainer(name="Ann <a@x>")),
        ("HEALTHCHECK NONE", i.HealthCheck(command=None)),
        (
            "HEALTHCHECK --interval=1m30s --retries=3 CMD curl x",
            i.HealthCheck(command=Shell("curl x"), options=(("interval", "1m30s"), ("retries", "3"))),
        ),
        ("CMD echo a\\\\\n", i.Cmd(command=Shell("echo a\\\\"))),
        ("CMD echo \\", i.Cmd(command=Shell("echo"))),
        ("CMD a \\   \n  b", i.Cmd(command=Shell("a   b"))),
        ("CMD a\r\n", i.Cmd(command=Shell("a"))),
    ],
)
def test_each_form_of_an_instruction(text: str, instruction: Instruction) -> None:
    assert only(text) == instruction


@pytest.mark.parametrize(
    ("text", "line", "why"),
    [
        ("", 0, "no FROM"),
        ("# only a comment", 0, "no FROM"),
        ("ARG A=1", 0, "no FROM"),
        ("ARG A\nRUN x\nFROM y", 2, "only ARG may stand before"),
        ("FROM", 1, "FROM needs an argument"),
        ("FROM a b", 1, "FROM takes one image"),
        ("FROM a AS 1x", 1, "the stage name '1x'"),
        ("FROM a\n\nFETCH x", 3, "unknown instruction: FETCH"),
        ('FROM a\nSHELL ["x"]', 2, "SHELL is not supported without Docker; start the emulators with --runtime docker"),
        (
            "FROM a\nONBUILD RUN x",
            2,
            "ONBUILD is not supported without Docker; start the emulators with --runtime docker",
        ),
        ("FROM a\nRUN <<EOF\necho\nEOF", 2, "here-document"),
        ("FROM a\nCOPY <<-'EOF' /x", 2, "here-document"),
        ("FROM a\nCOPY a", 2, "takes at least two arguments"),
        ("FROM a\nCOPY []", 2, "takes at least two arguments"),
        ('FROM a\nCOPY ["", "b"]', 2, "empty path"),
        ("FROM a\nCOPY --parents a b", 2, "--parents is not supported"),
        ("FROM a\nCOPY --chown= a b", 2, "needs a value for its flag --chown"),
        ("FROM a\nCOPY --chown=1 --chown=2 a b", 2, "--chown twice"),
        ("FROM a\nRUN --network=none x", 2, "--network is not supported"),
        ("FROM a\nRUN --mount=type=cache", 2, "needs a command"),
        ('FROM a\nCMD ["a", 1]', 2, "something else than strings"),
        ("FROM a\nENV a", 2, "needs a value for a"),
        ("FROM a\nENV a=1 b", 2, "'b', which has no '='"),
        ("FROM a\nENV =1", 2, "no name before its '='"),
        ("FROM a\nARG =1", 2, "no name before its '='"),
        ("FROM a\nHEALTHCHECK x", 2, "NONE, or CMD"),
        ("FROM a\nHEALTHCHECK --interval=5 CMD x", 2, "not a duration"),
        ("FROM a\nHEALTHCHECK --retries=x CMD x", 2, "not a number"),
        ("# escape=x\nFROM a", 1, "neither"),
        ("# escape=`\n# escape=`\nFROM a", 2, "given twice"),
        ("# syntax=acme/frontend\nFROM a", 1, "another language"),
        ("x" * (LARGEST + 1), 0, "at most"),
        ("FROM a\n" * 6000, 5001, "more than 5,000 instructions"),
    ],
)
def test_a_mistake_is_a_sentence_with_its_line(text: str, line: int, why: str) -> None:
    with pytest.raises(DockerfileError) as error:
        parse(text)
    assert why in str(error.value)
    assert error.value.line == line
    assert str(error.value).startswith(f"Dockerfile line {line}: " if line else "Dockerfile: ")


def test_the_escape_character_may_be_a_backtick() -> None:
    parsed = parse("# escape=`\nFROM scratch\nCOPY a`\n b c:\\d\\\n")
    assert parsed.instructions[1] == i.Copy(sources=("a", "b"), destination="c:\\d\\")
    assert parsed.escape == "`"


def test_a_directive_after_anything_else_is_a_comment() -> None:
    assert parse("\n# escape=`\nFROM scratch").escape == "\\"
    assert parse("# note\n# escape=`\nFROM scratch").escape == "\\"


# Generated files. Pieces have no quotes, escapes or line ends of their own, so that any sequence of them is a word.
PLAIN = st.text(
    st.characters(exclude_categories=("Cs", "Cc", "Z"), exclude_characters="'\"\\`<[=#"), min_size=1, max_size=8
)
NAME = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,6}", fullmatch=True)
PIECE = PLAIN | NAME.map("${{{0}}}".format) | PLAIN.map("'{0} \\'".format) | PLAIN.map('"{0} b"'.format)
WORD = st.lists(PIECE, min_size=1, max_size=3).map("".join).filter(lambda word: not word.startswith("--"))
PATH = PLAIN.filter(lambda word: not word.startswith("--"))
SHELL = st.lists(WORD, min_size=1, max_size=4).map(" ".join).map(Shell)
COMMAND = SHELL | st.lists(st.text(), max_size=3).map(tuple).map(Exec)
PATHS = st.lists(PATH | st.text(min_size=1), min_size=1, max_size=3).map(tuple)
ITEMS = st.lists(st.tuples(NAME, st.just("") | WORD), min_size=1, max_size=3).map(tuple)
OLD_FORM = st.tuples(st.tuples(NAME, SHELL.map(lambda command: command.text)))
FLAG = st.none() | st.from_regex(r"[a-z0-9:,=/]{1,8}", fullmatch=True)
DURATION = st.from_regex(r"[1-9][0-9]?(ms|s|m|h)", fullmatch=True)
STAGE = st.builds(
    i.From, image=PATH, alias=st.none() | st.from_regex(r"[a-z][a-z0-9._-]{0,5}", fullmatch=True), platform=FLAG
)
ARG = st.builds(
    i.Arg, items=st.lists(st.tuples(NAME, st.none() | st.just("") | WORD), min_size=1, max_size=3).map(tuple)
)
INSTRUCTION = (
    STAGE
    | ARG
    | st.builds(i.Env, items=ITEMS | OLD_FORM)
    | st.builds(i.Label, items=ITEMS | OLD_FORM)
    | st.builds(i.Workdir, path=PATH)
    | st.builds(i.Copy, sources=PATHS, destination=PATH, chown=FLAG, chmod=FLAG, stage=FLAG)
    | st.builds(i.Add, sources=PATHS, destination=PATH, chown=FLAG, chmod=FLAG)
    | st.builds(i.Run, command=COMMAND, mounts=st.lists(FLAG.filter(bool), max_size=2).map(tuple))
    | st.builds(i.Cmd, command=COMMAND)
    | st.builds(i.Entrypoint, command=COMMAND)
    | st.builds(i.Expose, ports=st.lists(PATH, min_size=1, max_size=3).map(tuple))
    | st.builds(i.Volume, paths=PATHS)
    | st.builds(i.User, name=PATH)
    | st.builds(i.StopSignal, signal=PATH)
    | st.builds(i.Maintainer, name=SHELL.map(lambda command: command.text))
    | st.builds(i.HealthCheck, command=st.none())
    | st.builds(
        i.HealthCheck,
        command=COMMAND,
        options=st.tuples(st.tuples(st.just("interval"), DURATION), st.tuples(st.just("retries"), st.just("3")))
        | st.just(()),
    )
)


def make_file(arguments: list[Instruction], stage: Instruction, rest: list[Instruction], escape: str) -> Dockerfile:
    return Dockerfile(instructions=(*arguments, stage, *rest), escape=escape)


FILE = st.builds(
    make_file,
    st.lists(ARG, max_size=2),
    STAGE,
    st.lists(INSTRUCTION, max_size=8),
    st.sampled_from("\\`"),
)


@settings(deadline=None)
@example(make_file([], i.From(image="a"), [i.Volume(paths=("c:\\",)), i.User(name="u")], "\\"))
@example(make_file([], i.From(image="a"), [i.Volume(paths=("x", "y`"))], "`"))
@given(FILE)
def test_a_file_that_is_printed_parses_to_an_equal_one(file: Dockerfile) -> None:
    assert parse(file.text()) == file


NOISE = st.sampled_from(
    [
        *("FROM ", "ARG ", "ENV ", "COPY ", "RUN ", "CMD ", "LABEL ", "HEALTHCHECK ", "VOLUME ", "AS "),
        *("--from=", "--mount=", "# escape=", "<<EOF"),
        *"[]\"'\\`\n\r\t =$#<{},:a1é\ufeff\x00\u2028",
    ]
)


@settings(deadline=None)
@given(st.lists(NOISE, max_size=40).map("".join) | st.text(max_size=60))
def test_any_text_is_a_dockerfile_or_a_dockerfile_error(text: str) -> None:
    for candidate in (text, f"FROM a\n{text}"):
        try:
            parsed = parse(candidate)
        except DockerfileError:
            continue
        assert parsed.instructions


@settings(deadline=None)
@given(FILE, st.data())
def test_comments_and_empty_lines_between_instructions_change_nothing(file: Dockerfile, data: st.DataObject) -> None:
    lines: list[str] = []
    for line in file.text().split("\n"):
        lines.append(line)
        if not line.startswith("#") and data.draw(st.booleans()):
            lines.append(data.draw(st.sampled_from(["# a comment", "", "   ", "  # another"])))
    assert parse("\n".join(lines)) == file
