"""The fields that packets are made of, read one after the other; whatever is not as specified is malformed."""

from __future__ import annotations

from windtunnel_emulators.iot.mqtt.errors import MalformedPacket


class Fields:
    """The body of one packet."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._at = 0

    @property
    def left(self) -> int:
        """Bytes that are not read yet."""
        return len(self._body) - self._at

    def byte(self) -> int:
        return self._take(1)[0]

    def number(self) -> int:
        """Two bytes."""
        return int.from_bytes(self._take(2), "big")

    def packet_id(self) -> int:
        """A number that is not 0."""
        found = self.number()
        if not found:
            raise MalformedPacket("a packet identifier of 0")
        return found

    def binary(self) -> bytes:
        """Up to 65,535 bytes with their length before them."""
        return self._take(self.number())

    def text(self) -> str:
        """UTF-8 without surrogates and without U+0000 (section 1.5.3)."""
        try:
            found = self.binary().decode("utf-8")
        except UnicodeDecodeError as problem:
            raise MalformedPacket("a string that is not UTF-8") from problem
        if "\0" in found:
            raise MalformedPacket("a string with U+0000 in it")
        return found

    def topic_filter(self) -> str:
        """Text with wildcards only where they may be (section 4.7.1)."""
        found = self.text()
        levels = found.split("/")
        lonely = all(level in ("+", "#") or not ("+" in level or "#" in level) for level in levels)
        if not found or not lonely or "#" in levels[:-1]:
            raise MalformedPacket(f"{found[:100]!r}, which is no topic filter")
        return found

    def end(self) -> None:
        """Raises ``MalformedPacket`` when anything is left."""
        if self.left:
            raise MalformedPacket(f"a packet with {self.left} bytes behind its end")

    def _take(self, count: int) -> bytes:
        end = self._at + count
        found = self._body[self._at : end]
        if len(found) < count:
            raise MalformedPacket("a packet that ends before its fields do")
        self._at = end
        return found
