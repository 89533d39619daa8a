"""The picture: one bar for each target, as long as the share of it that was reached, with a line where it is met.

Written by hand: a library for one kind of bar would be the largest dependency of the bench, which runs with what a node
needs and nothing else.
"""

from collections.abc import Sequence
from xml.etree import ElementTree as ET

from msgspec import Struct

from loadtest.bench.targets import Verdict, number

LABELS, SCALE, VALUES = 560, 220, 210  # pixels: names of the loads, one whole target, figures at the right
MOST = 2.0  # targets; a longer bar is cut, and its figure says how much it is
LINE, BAR, TOP, FOOT = 26, 16, 66, 34
MET, NOT_MET, INK, PALE = "#2f7d5b", "#b8502f", "#22252a", "#d8dbe0"
FONT = "system-ui, -apple-system, 'Segoe UI', sans-serif"


class Bar(Struct, frozen=True):
    """A target of a load."""

    title: str
    verdict: Verdict


def svg(bars: Sequence[Bar], measured_on: str) -> bytes:
    """An SVG 1.1 document; ``measured_on`` is its subtitle."""
    width, height = LABELS + int(SCALE * MOST) + VALUES, TOP + LINE * len(bars) + FOOT
    root = ET.Element(
        "svg",
        {
            "xmlns": "http://www.w3.org/2000/svg",
            "width": str(width),
            "height": str(height),
            "viewBox": f"0 0 {width} {height}",
            "font-family": FONT,
            "font-size": "13",
        },
    )
    _rect(root, 0, 0, width, height, "#ffffff")
    _text(root, 16, 26, "One node on one core, against its targets", size=17)
    _text(root, 16, 46, measured_on, size=12)
    for place, bar in enumerate(bars):
        _draw(root, bar, TOP + LINE * place)
    for share, label in ((0.0, "0"), (1.0, "target"), (MOST, f"{MOST:g} times")):
        x, bottom = LABELS + share * SCALE, TOP + LINE * len(bars)
        line = {"x1": str(x), "x2": str(x), "y1": str(TOP - 4), "y2": str(bottom + 2)}
        ET.SubElement(root, "line", line | {"stroke": INK if share == 1.0 else PALE, "stroke-width": "1"})
        _text(root, x, bottom + 18, label, size=12, anchor="middle")
    document: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return document


def _draw(root: ET.Element, bar: Bar, top: float) -> None:
    verdict = bar.verdict
    color = MET if verdict.met else NOT_MET
    length = min(max(verdict.reached, 0.0), MOST) * SCALE
    middle = top + BAR - 3.5
    _text(root, LABELS - 10, middle, f"{bar.title}: {verdict.target.label}", anchor="end")
    _rect(root, LABELS, top, length, BAR, color)
    sign = "<" if verdict.target.below else "≥"
    figures = f"{number(verdict.found)}  ({sign} {number(verdict.target.bound)})"
    _text(root, LABELS + MOST * SCALE + 12, middle, figures)


def _rect(root: ET.Element, x: float, y: float, width: float, height: float, color: str) -> None:
    place = {"x": f"{x:g}", "y": f"{y:g}", "width": f"{width:.1f}", "height": f"{height:g}", "fill": color}
    ET.SubElement(root, "rect", place)


def _text(root: ET.Element, x: float, y: float, text: str, *, size: int = 13, anchor: str = "start") -> None:
    place = {"x": f"{x:g}", "y": f"{y:g}", "font-size": str(size), "text-anchor": anchor, "fill": INK}
    ET.SubElement(root, "text", place).text = text
