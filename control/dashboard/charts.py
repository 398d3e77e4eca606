"""Charts as SVG, drawn here from numbers alone. A table with the same numbers stands below each (templates/ui.html)."""

from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup

# Of charts, and of their axes, in their own units.
WIDE, NARROW, HEIGHT, FOOT, SIDE = 1200, 420, 170, 18, 40
STATUSES = ("BLOCK", "REDACT", "FLAG", "ALLOW")


class Column(NamedTuple):
    """One step of time: its label, counts by status, and the address to look closer."""

    label: str
    counts: Sequence[int]
    href: str = ""


class Limit(NamedTuple):
    """A threshold that is drawn in."""

    value: float
    label: str


def bars(columns: Sequence[Column], title: str) -> Markup:
    """Stacked bars, in the order of STATUSES from the bottom up; each leads to its step."""
    top = _round_up(max((sum(one.counts) for one in columns), default=0))
    step = (WIDE - SIDE) / max(1, len(columns))
    drawn = [_column(one, SIDE + number * step, step, top) for number, one in enumerate(columns)]  # fmt: skip
    labels = _labels([one.label for one in columns], step)
    return _chart(title, [*_scale(top, 1, WIDE), *drawn, *labels], WIDE, "group")


def line(
    values: Sequence[float | None],
    labels: Sequence[str],
    title: str,
    limits: Sequence[Limit] = (),
    factor: float = 1,
) -> Markup:
    """A line over time with its thresholds; where there is no value, it has a gap. Labels of the scale are multiplied by a factor."""
    known = [one for one in values if one is not None]
    top = _round_up(max([*known, *(one.value for one in limits)], default=0))
    step = (NARROW - SIDE) / max(1, len(values))
    runs: list[list[str]] = [[]]
    for number, value in enumerate(values):
        if value is None:
            runs.append([])
        else:
            runs[-1].append(f"{SIDE + (number + 0.5) * step:.1f},{_height(value, top):.1f}")  # fmt: skip
    drawn = [_run(points) for points in runs if points]
    drawn += [
        Markup('<line class="limit" x1="{}" x2="{}" y1="{}" y2="{}"/><text class="limit" x="{}" y="{}" text-anchor="end">{}</text>').format(
            SIDE, NARROW, _at(one.value, top), _at(one.value, top), NARROW, f"{_height(one.value, top) - 3:.1f}", one.label
        )
        for one in limits
    ]  # fmt: skip
    parts = [*_scale(top, factor, NARROW), *drawn, *_labels(labels, step)]
    return _chart(title, parts, NARROW)


def meter(share: float, title: str) -> Markup:
    """A small bar of how much of something is used."""
    filled = max(0.0, min(1.0, share))
    kind = "full" if share >= 1 else "near" if share >= 0.8 else "fine"
    return Markup(
        '<svg class="meter {}" viewBox="0 0 100 6" preserveAspectRatio="none" role="img" aria-label="{}">'
        '<rect width="100" height="6" rx="3"/><rect class="filled" width="{}" height="6" rx="3"/></svg>'
    ).format(kind, title, f"{filled * 100:.1f}")


def _column(one: Column, x: float, step: float, top: float) -> Markup:
    drawn, below = Markup(""), 0
    for status, count in zip(STATUSES, one.counts, strict=True):
        if count:
            upper, lower = _height(below + count, top), _height(below, top)
            drawn += Markup('<rect class="{}" x="{}" y="{}" width="{}" height="{}"/>').format(
                status, f"{x + step * 0.1:.1f}", f"{upper:.1f}", f"{step * 0.8:.1f}", f"{max(lower - upper, 0.75):.1f}"
            )  # fmt: skip
            below += count
    said = f"{one.label}: " + ", ".join(f"{status} {count}" for status, count in zip(STATUSES, one.counts, strict=True))  # fmt: skip
    whole = Markup('<rect class="whole" x="{}" y="0" width="{}" height="{}"/>').format(
        f"{x:.1f}", f"{step:.1f}", HEIGHT - FOOT
    )
    group = Markup("<g><title>{}</title>{}{}</g>").format(said, whole, drawn)
    if not one.href:
        return group
    return Markup('<a href="{}" aria-label="{}">{}</a>').format(one.href, said, group)


def _run(points: Sequence[str]) -> Markup:
    if len(points) == 1:
        x, y = points[0].split(",")
        return Markup('<circle class="run" cx="{}" cy="{}" r="1.5"/>').format(x, y)
    return Markup('<polyline class="run" points="{}"/>').format(" ".join(points))


def _scale(top: float, factor: float, width: int) -> list[Markup]:
    return [
        Markup('<line class="grid" x1="{}" x2="{}" y1="{}" y2="{}"/><text x="{}" y="{}" text-anchor="end">{}</text>').format(
            SIDE, width, _at(value, top), _at(value, top), SIDE - 6, f"{_height(value, top) + 4:.1f}", _short(value * factor)
        )
        for value in (0, top / 2, top)
    ]  # fmt: skip


def _labels(labels: Sequence[str], step: float) -> list[Markup]:
    every = max(1, len(labels) // 6)
    return [
        Markup('<text x="{}" y="{}" text-anchor="middle">{}</text>').format(
            f"{SIDE + (number + 0.5) * step:.1f}", HEIGHT - 3, label
        )
        for number, label in enumerate(labels)
        if number % every == every // 2
    ]


def _chart(
    title: str, parts: Sequence[Markup], width: int, role: str = "img"
) -> Markup:
    return Markup(
        '<svg class="chart {}" viewBox="0 0 {} {}" role="{}" aria-label="{}" direction="ltr">{}</svg>'
    ).format(
        "broad" if width == WIDE else "",
        width,
        HEIGHT,
        role,
        title,
        Markup("").join(parts),
    )


def _height(value: float, top: float) -> float:
    room = HEIGHT - FOOT - 12
    return 12 + room * (1 - value / top) if top else 12 + room


def _at(value: float, top: float) -> str:
    return f"{_height(value, top):.1f}"


def _round_up(value: float) -> float:
    """The end of the scale: the next of 1, 2, 5 times a power of ten."""
    if value <= 0:
        return 1
    size = 10.0 ** (len(f"{int(value)}") - 1) if value >= 1 else 0.0001
    while True:
        for one in (1, 2, 5):
            if one * size >= value:
                return one * size
        size *= 10


def _short(value: float) -> str:
    if value >= 1_000_000:
        return f"{value / 1_000_000:g}M"
    if value >= 10_000:
        return f"{value / 1_000:g}k"
    return f"{value:g}" if value >= 10 or value == int(value) else f"{value:.3g}"
