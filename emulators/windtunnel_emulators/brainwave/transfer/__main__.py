"""Prints the document."""

from __future__ import annotations

from windtunnel_emulators.brainwave.transfer.document import transfer_document

if __name__ == "__main__":
    print(transfer_document(), end="")
