"""Prints the most frequent words of a text: ``wordcount.py [URL]``.

``NumWords`` is how many are printed, ``MinLength`` how many letters they must have at least.
"""

from __future__ import annotations

import os
import re
import sys
import urllib.request
from collections import Counter
from pathlib import Path


def read(arguments: list[str]) -> str:
    """The text at the URL; without one, the speech that lies beside this file."""
    if not arguments:
        return (Path(__file__).parent / "speech.txt").read_text("utf-8")
    url = arguments[0]
    if not url.startswith(("http://", "https://")):
        sys.exit(f"{url!r} is not an http or https address")
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:  # noqa: S310  # checked above
            page = answer.read().decode("utf-8", "replace")
    except OSError as problem:
        sys.exit(f"cannot read {url}: {problem}")
    return re.sub(r"<[^>]*>", " ", page)


def number(name: str, default: int) -> int:
    """A whole number from the environment."""
    text = os.environ.get(name, "").strip()
    if not text:
        return default
    if not text.isdigit():
        sys.exit(f"{name} must be a whole number, not {text!r}")
    return int(text)


def main() -> None:
    most, shortest = number("NumWords", 10), number("MinLength", 0)
    words = re.findall(r"[a-z]+(?:'[a-z]+)*", read(sys.argv[1:]).lower())
    print(Counter(word for word in words if len(word) >= shortest).most_common(most))


if __name__ == "__main__":
    main()
