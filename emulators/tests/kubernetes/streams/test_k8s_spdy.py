"""SPDY/3.1: frames survive any cut, and what is none ends the connection instead of hanging it."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windtunnel_emulators.kubernetes.streams.connection import SpdyConnection
from windtunnel_emulators.kubernetes.streams.spdy import (
    Data,
    Decoder,
    Encoder,
    GoAway,
    HeadersFrame,
    Ping,
    RstStream,
    Settings,
    SpdyError,
    SynReply,
    SynStream,
    WindowUpdate,
)

if TYPE_CHECKING:
    from windtunnel_emulators.kubernetes.streams.spdy import Frame

LIMIT_S = 20

_numbers = st.integers(1, 2**31 - 1)
_headers = st.dictionaries(
    st.text(
        st.characters(codec="ascii", min_codepoint=33, exclude_characters="ABCDEFGHIJKLMNOPQRSTUVWXYZ"), max_size=20
    ),
    st.text(max_size=40),
    max_size=5,
)
_frames = st.one_of(
    st.builds(
        SynStream,
        stream=_numbers,
        headers=_headers,
        fin=st.booleans(),
        associated=st.integers(0, 2**31 - 1),
        priority=st.integers(0, 7),
        unidirectional=st.booleans(),
    ),
    st.builds(SynReply, stream=_numbers, headers=_headers, fin=st.booleans()),
    st.builds(HeadersFrame, stream=_numbers, headers=_headers, fin=st.booleans()),
    st.builds(RstStream, stream=_numbers, status=_numbers),
    st.builds(Ping, id=_numbers),
    st.builds(GoAway, last_stream=_numbers, status=_numbers),
    st.builds(WindowUpdate, stream=_numbers, delta=_numbers),
    st.builds(Data, stream=_numbers, data=st.binary(max_size=300), fin=st.booleans()),
    st.just(Settings()),
)


@given(st.lists(_frames, max_size=8), st.lists(st.integers(1, 40), min_size=1, max_size=20))
def test_frames_survive_any_cut(frames: list[Frame], cuts: list[int]) -> None:
    encoder, decoder = Encoder(), Decoder()
    wire = b"".join(encoder.encode(frame) for frame in frames)
    found: list[Frame] = []
    turn = 0
    while wire:
        size = cuts[turn % len(cuts)]
        turn += 1
        piece, wire = wire[:size], wire[size:]
        found += decoder.feed(piece)
    assert found == frames


@given(st.binary(max_size=400))
def test_what_is_no_frame_is_refused_or_waited_for(junk: bytes) -> None:
    decoder = Decoder()
    try:
        decoder.feed(junk)
    except SpdyError:
        return


@given(st.lists(_frames, min_size=1, max_size=4), st.data())
def test_a_flipped_bit_is_never_more_than_an_error(frames: list[Frame], data: st.DataObject) -> None:
    encoder, decoder = Encoder(), Decoder()
    wire = bytearray(b"".join(encoder.encode(frame) for frame in frames))
    wire[data.draw(st.integers(0, len(wire) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    try:
        decoder.feed(bytes(wire))
    except SpdyError:
        return


def test_the_dictionary_is_the_protocol_s() -> None:
    import zlib

    from windtunnel_emulators.kubernetes.streams.dictionary import DICTIONARY

    # The Adler-32 that zlib writes into every SPDY/3 header stream as the dictionary's id.
    assert (len(DICTIONARY), zlib.adler32(DICTIONARY)) == (1423, 0xE3C6A7C2)


def test_a_header_block_that_inflates_without_end_is_refused() -> None:
    import struct
    import zlib

    from windtunnel_emulators.kubernetes.streams.dictionary import DICTIONARY

    deflate = zlib.compressobj(wbits=15, zdict=DICTIONARY)
    block = deflate.compress(bytes(64 * 1024 * 1024)) + deflate.flush(zlib.Z_SYNC_FLUSH)
    body = struct.pack(">I", 1) + block
    frame = struct.pack(">HHI", 0x8003, 2, len(body)) + body
    with pytest.raises(SpdyError, match="too long"):
        Decoder().feed(frame)


class Wire:
    """A link whose other end is the test's."""

    def __init__(self) -> None:
        self.sent = bytearray()
        self._coming: asyncio.Queue[bytes] = asyncio.Queue()
        self.closed = False

    def give(self, data: bytes) -> None:
        self._coming.put_nowait(data)

    async def read(self) -> bytes:
        return await self._coming.get()

    async def write(self, data: bytes) -> None:
        self.sent += data

    async def close(self) -> None:
        self.closed = True


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_streams_are_accepted_read_and_answered() -> None:
    wire, client = Wire(), Encoder()
    connection = SpdyConnection(wire)
    running = asyncio.create_task(connection.run())
    wire.give(client.encode(SynStream(stream=1, headers={"streamtype": "stdin"})))
    wire.give(client.encode(Data(stream=1, data=b"typed")) + client.encode(Data(stream=1, fin=True)))
    async with asyncio.timeout(LIMIT_S):
        stream = await connection.accept()
        assert stream is not None
        assert stream.headers["streamtype"] == "stdin"
        assert await stream.read() == b"typed"
        assert await stream.read() == b""
        await stream.write(b"answer")
        await stream.close()
        wire.give(client.encode(Ping(id=3)))
        wire.give(b"")
        await running
        assert await connection.accept() is None
    assert Decoder().feed(bytes(wire.sent)) == [
        SynReply(stream=1),
        Data(stream=1, data=b"answer"),
        Data(stream=1, fin=True),
        Ping(id=3),
    ]


async def test_nonsense_ends_a_connection_and_its_streams() -> None:
    wire, client = Wire(), Encoder()
    connection = SpdyConnection(wire)
    running = asyncio.create_task(connection.run())
    wire.give(client.encode(SynStream(stream=1)))
    async with asyncio.timeout(LIMIT_S):
        stream = await connection.accept()
        assert stream is not None
        wire.give(b"\xff" + os.urandom(64))
        await running
        assert await stream.read() == b""
        with pytest.raises(ConnectionError):
            await stream.write(b"late")


async def test_a_stream_number_is_used_once() -> None:
    wire, client = Wire(), Encoder()
    connection = SpdyConnection(wire)
    wire.give(client.encode(SynStream(stream=3)) + client.encode(SynStream(stream=1)))
    async with asyncio.timeout(LIMIT_S):
        await connection.run()
    *_, last = Decoder().feed(bytes(wire.sent))
    assert isinstance(last, GoAway)
