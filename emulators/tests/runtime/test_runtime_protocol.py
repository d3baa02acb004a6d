"""Messages between emulators and keeper, however the stream is cut, with their files."""

from __future__ import annotations

import os
import socket
import threading

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from windtunnel_emulators.runtime.keeper import protocol
from windtunnel_emulators.runtime.keeper.protocol import Frames, Message, send

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


class Trickle:
    """A channel that hands out a stream in given pieces."""

    def __init__(self, data: bytes, sizes: list[int]) -> None:
        self.data = data
        self.sizes = sizes

    def recvmsg(self, most: int, space: int, flags: int) -> tuple[bytes, list[object], int, None]:
        size = self.sizes.pop() if self.sizes else most
        piece, self.data = self.data[:size], self.data[size:]
        return piece, [], 0, None


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    messages=st.lists(st.dictionaries(st.text(max_size=5), VALUES, max_size=3), max_size=5),
    sizes=st.lists(st.integers(1, 20), max_size=60),
)
def test_however_a_stream_is_cut_the_messages_are_the_same(messages: list[Message], sizes: list[int]) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        for message in messages:
            send(ours, {**message, "files": 0})
        ours.close()
        data = b"".join(iter(lambda: theirs.recv(65536), b""))
    channel, frames, got = Trickle(data, sizes), Frames(), list[Message]()
    while frames.receive(channel):  # type: ignore[arg-type]  # only its recvmsg is used
        got += [message for message, _ in frames.messages()]
    assert got == [{**message, "files": 0} for message in messages]


def test_files_come_with_their_message_and_are_not_inherited() -> None:
    ours, theirs = socket.socketpair()
    frames = Frames()
    with ours, theirs:
        for text in (b"first", b"second"):
            read, write = os.pipe()
            os.write(write, text)
            send(ours, {"id": text.decode(), "files": 1}, [read])
            os.close(read)
            os.close(write)
        send(ours, {"id": "third", "files": 0})
        got: list[tuple[str, list[int]]] = []
        while len(got) < 3:
            assert frames.receive(theirs)
            got += [(protocol.text(message["id"]), files) for message, files in frames.messages()]
    assert [(name, len(files)) for name, files in got] == [("first", 1), ("second", 1), ("third", 0)]
    for name, files in got[:2]:
        assert not os.get_inheritable(files[0])
        assert os.read(files[0], 10) == name.encode()
        os.close(files[0])


def test_a_message_larger_than_any_buffer_arrives() -> None:
    ours, theirs = socket.socketpair()
    frames = Frames()
    with ours, theirs:
        sender = threading.Thread(target=send, args=(ours, {"environment": {"BIG": "x" * 3_000_000}}))
        sender.start()
        got: list[Message] = []
        while not got:
            assert frames.receive(theirs)
            got += [message for message, _ in frames.messages()]
        sender.join()
    assert len(protocol.pairs(got[0]["environment"])["BIG"]) == 3_000_000
