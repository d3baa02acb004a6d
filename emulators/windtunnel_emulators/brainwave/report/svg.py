"""Writing SVG by hand: fixed size, elements in order, short numbers, so that the same data give the same bytes."""

from __future__ import annotations

from html import escape

INK, FAINT, PAPER = "#1b1f24", "#d0d7de", "#ffffff"
COLOURS = {
    "mvm": "#2f6fde",
    "mfu": "#d9822b",
    "dram": "#c23b4b",
    "latency": "#7d8590",
    "network": "#8a63d2",
    "cpu": "#4b9e5f",
    "pcie": "#b08800",
    "npu": "#2f6fde",
}
WORDS = {"mvm": "multiplier", "mfu": "multi-function units", "dram": "weights from DRAM", "latency": "dependent chains"}


class Drawing:
    """One picture."""

    def __init__(self, width: int, height: int, title: str) -> None:
        self._width, self._height, self._title = width, height, title
        self._parts: list[str] = []

    def line(
        self, x1: float, y1: float, x2: float, y2: float, *, colour: str = FAINT, width: float = 1, dash: str = ""
    ) -> None:
        """A straight line."""
        dashed = f' stroke-dasharray="{dash}"' if dash else ""
        self._parts.append(
            f'<line x1="{_n(x1)}" y1="{_n(y1)}" x2="{_n(x2)}" y2="{_n(y2)}" stroke="{colour}"'
            f' stroke-width="{_n(width)}"{dashed}/>'
        )

    def box(self, x: float, y: float, width: float, height: float, colour: str, tip: str) -> None:
        """A filled rectangle that says ``tip`` when pointed at."""
        self._parts.append(
            f'<rect x="{_n(x)}" y="{_n(y)}" width="{_n(max(width, 0.4))}" height="{_n(height)}" fill="{colour}">'
            f"<title>{escape(tip)}</title></rect>"
        )

    def dot(self, x: float, y: float, radius: float, colour: str, tip: str) -> None:
        """A circle that lets others shine through."""
        self._parts.append(
            f'<circle cx="{_n(x)}" cy="{_n(y)}" r="{_n(radius)}" fill="{colour}" fill-opacity="0.6"'
            f' stroke="{colour}"><title>{escape(tip)}</title></circle>'
        )

    def text(
        self, x: float, y: float, words: str, *, size: int = 12, anchor: str = "start", bold: bool = False
    ) -> None:
        """One line of words."""
        weight = ' font-weight="600"' if bold else ""
        self._parts.append(
            f'<text x="{_n(x)}" y="{_n(y)}" font-size="{size}" text-anchor="{anchor}" fill="{INK}"{weight}>'
            f"{escape(words)}</text>"
        )

    def legend(self, x: float, y: float, kinds: list[str]) -> None:
        """Coloured squares with words, in a row."""
        for kind in kinds:
            words = WORDS.get(kind, kind)
            self.box(x, y - 9, 10, 10, COLOURS[kind], words)
            self.text(x + 15, y, words)
            x += 36 + 7 * len(words)

    def __str__(self) -> str:
        """The file."""
        body = "\n".join(self._parts)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self._width} {self._height}" width="{self._width}"'
            f' height="{self._height}" font-family="system-ui, sans-serif">\n<title>{escape(self._title)}</title>\n'
            f'<rect width="{self._width}" height="{self._height}" fill="{PAPER}"/>\n{body}\n</svg>\n'
        )


def _n(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")
