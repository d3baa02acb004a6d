"""The last word of a session, sizes, and splicing."""

from __future__ import annotations

import asyncio
import socket

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from windtunnel_emulators.kubernetes.streams.channels import last_word, size_of
from windtunnel_emulators.kubernetes.streams.processes import SUCCESS, ended_with, failed
from windtunnel_emulators.kubernetes.streams.splice import splice
from windtunnel_emulators.kubernetes.streams.websocket import accept_key, choose


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def test_exit_codes_are_told_as_causes() -> None:
    status = msgspec.json.decode(last_word("v4.channel.k8s.io", ended_with(("sh", "-c", "exit 3"), 3)))
    assert status["reason"] == "NonZeroExitCode"
    assert status["details"]["causes"] == [{"reason": "ExitCode", "message": "3"}]
    assert ended_with(("true",), 0) == SUCCESS
    assert last_word("channel.k8s.io", SUCCESS) == b""
    assert last_word("channel.k8s.io", failed("no")) == b"Internal error occurred: no"


@given(st.binary(max_size=60))
def test_no_message_of_a_size_fails(data: bytes) -> None:
    size = size_of(data)
    assert size is None or min(size) > 0


def test_a_size_is_rows_and_columns() -> None:
    assert size_of(b'{"Width":80,"Height":24}') == (24, 80)
    assert size_of(b'{"Width":0,"Height":24}') is None


def test_the_client_s_first_known_protocol_is_chosen() -> None:
    assert choose(["v9", "v4", "v5"], ("v5", "v4")) == "v4"
    assert choose(["v9"], ("v5",)) is None


def test_the_key_is_accepted_as_the_rfc_shows() -> None:
    # RFC 6455, 1.3.
    assert accept_key(b"dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


async def test_spliced_connections_pass_data_and_ends() -> None:
    loop = asyncio.get_running_loop()
    ours, client = socket.socketpair()
    theirs, server = socket.socketpair()
    one, _ = await loop.create_connection(asyncio.Protocol, sock=ours)
    other, _ = await loop.create_connection(asyncio.Protocol, sock=theirs)
    splicing = asyncio.create_task(splice(one, b"first ", other, b"early "))
    to_server, to_client = b"x" * 3_000_000, b"y" * 3_000_000
    client_reader, client_writer = await asyncio.open_connection(sock=client)
    server_reader, server_writer = await asyncio.open_connection(sock=server)
    client_writer.write(to_server)
    client_writer.write_eof()
    server_writer.write(to_client)
    server_writer.write_eof()
    async with asyncio.timeout(20):
        at_server, at_client = await asyncio.gather(server_reader.read(), client_reader.read())
        assert at_server == b"first " + to_server
        assert at_client == b"early " + to_client
        client_writer.close()
        server_writer.close()
        await splicing
