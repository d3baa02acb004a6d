"""What may be wrong with a query: one error, with its place."""

from __future__ import annotations


class QueryError(Exception):
    """A query that cannot be read. ``position`` counts characters from 1."""

    def __init__(self, message: str, position: int) -> None:
        super().__init__(f"{message} (at position {position})")
        self.message = message
        self.position = position
