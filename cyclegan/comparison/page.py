"""The page that shows runs side by side: one file for a browser, which needs neither a server nor a network."""

import base64
import html
import io
import pathlib
import re
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import PIL.Image

from cyclegan.comparison.runs import Run, differences, spreads, warnings
from cyclegan.config.files import as_yaml
from cyclegan.errors import UsageError
from cyclegan.evaluation.scores import Value
from cyclegan.evaluation.validation import METRICS
from cyclegan.runtime.atomic_files import write_atomically
from cyclegan.training.history import Entry

NUM_COLOURS = 8

CURVES = (*METRICS, "ab/SWD", "ba/SWD", "ab/cycle L1", "ba/cycle L1")
"""The scores whose curves are drawn, if a run has them."""

_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP = 420, 220, 48, 24, 8

_MARKER = b"<!-- cyclegan comparison -->"
_TEMPLATE = pathlib.Path(__file__).with_name("page.html")

Pictures = Mapping[str, Sequence[Sequence[np.ndarray]]]
"""For each direction rows of pictures, uint8 [height, width, 1 or 3]: an input, then what each run makes of it."""


def write_page(path: pathlib.Path, runs: Sequence[Run], pictures: Pictures) -> None:
    """Writes the page.

    Args:
        path: an .html file. One that is not a page of this kind is not replaced.
        runs: the runs, in the order in which they are shown.
        pictures: what the runs make of some images.

    Raises:
        UsageError: if the file exists and is something else.
        OSError: if it cannot be written.
    """
    refuse_foreign(path)
    sections = [
        _section("Runs", _table(["", *_names(runs)], _run_rows(runs))),
        _section("Spread over seeds, at the best step", _spread_table(runs)),
        _section("What differs", _difference_table(runs)),
        _section("Scores while training, by the step", _curves(runs)),
        *(_section(f"Test images, {direction}", _test_table(runs, direction)) for direction in ("ab", "ba")),
        *(_section(f"Translations, {direction}", _grid(runs, rows)) for direction, rows in pictures.items()),
    ]
    values = {
        "title": html.escape(f"{len(runs)} runs" if len(runs) > 1 else runs[0].name),
        "warnings": "".join(f'<p class="warning">{html.escape(each)}</p>' for each in warnings(runs)),
        "sections": "\n".join(section for section in sections if section),
    }
    page = re.sub(r"\{\{(\w+)\}\}", lambda match: values[match[1]], _TEMPLATE.read_text(encoding="utf-8"))
    write_atomically(path, page.encode("utf-8", "replace"))


def refuse_foreign(path: pathlib.Path) -> None:
    """Makes sure that a page may be written, before the work starts.

    Raises:
        UsageError: if the file exists and is not a page of this kind.
    """
    if path.exists() and (not path.is_file() or _MARKER not in path.read_bytes()[:200]):
        raise UsageError(f"{path} exists and is not a page of `cyclegan compare`. Choose another --output.")


def _section(title: str, content: str) -> str:
    return f"<h2>{html.escape(title)}</h2>\n{content}" if content else ""


def _table(head: Iterable[str], rows: Iterable[Sequence[str]]) -> str:
    """A table, all of whose cells are HTML."""
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    titles = "".join(f"<th>{title}</th>" for title in head)
    return f'<div class="scroll"><table><tr>{titles}</tr>{body}</table></div>' if body else ""


def _names(runs: Sequence[Run]) -> list[str]:
    """The names of the runs, each with its colour."""
    key = '<span class="key" style="--c:var(--c{})"></span>{}'
    return [key.format(number % NUM_COLOURS, html.escape(run.name)) for number, run in enumerate(runs)]


def _metrics(runs: Sequence[Run]) -> list[str]:
    return [name for name in METRICS if any(name in entry.values for run in runs for entry in run.entries)]


def _run_rows(runs: Sequence[Run]) -> Iterable[Sequence[str]]:
    """The scores while training: a row for each, and a column for each run."""
    yield "last scored step", *(str(run.entries[-1].step) if run.best else "not scored" for run in runs)
    if not any(run.best for run in runs):
        return
    yield "best step", *(str(run.best.step) if run.best else "-" for run in runs)
    yield "chosen by", *(run.config.evaluation.metric if run.best else "-" for run in runs)
    for name in _metrics(runs):
        yield f"{name}, best / last", *(_pair(name, run.best, run.entries[-1]) if run.best else "-" for run in runs)


def _pair(name: str, best: Entry, last: Entry) -> str:
    return " / ".join(f"{entry.values[name]:.3f}" if name in entry.values else "-" for entry in (best, last))


def _spread_table(runs: Sequence[Run]) -> str:
    rows = [
        (html.escape(", ".join(spread.names)), name, f"{spread.mean:.3f}", f"{spread.deviation:.3f}")
        for name in _metrics(runs)
        for spread in spreads(runs, name)
    ]
    return _table(("runs", "score", "mean", "standard deviation"), rows)


def _difference_table(runs: Sequence[Run]) -> str:
    found = differences(runs)
    rows = [(html.escape(key), *(html.escape(as_yaml(value)) for value in values)) for key, values in found.items()]
    return _table(("key", *_names(runs)), rows)


def _test_table(runs: Sequence[Run], direction: str) -> str:
    """The scores of `evaluate`, each with its interval: a row for each score, and a column for each bundle of a run."""
    scores = [(number, one) for number, run in enumerate(runs) for one in run.tested if one.direction == direction]
    values = [{name: row["translated"] for name, row in one.distances.items()} | one.content for _, one in scores]
    rows = [
        [html.escape(name), *(_interval(each[name]) if name in each else "-" for each in values)]
        for name in dict.fromkeys(name for each in values for name in each)
    ]
    bundles = [one.title.removeprefix(str(runs[number].folder)).strip("/ ") for number, one in scores]
    names = _names(runs)
    heads = [f"{names[n]}<small>{html.escape(one)}</small>" for (n, _), one in zip(scores, bundles, strict=True)]
    return _table(["", *heads], rows)


def _interval(score: Value) -> str:
    return f"{score.value:.3f}<small>{score.low:.3f} to {score.high:.3f}</small>"


def _curves(runs: Sequence[Run]) -> str:
    figures = []
    for name in CURVES:
        lines = {
            number: [(entry.step, entry.values[name]) for entry in run.entries if name in entry.values]
            for number, run in enumerate(runs)
        }
        if any(len(points) > 1 for points in lines.values()):
            figures.append(f"<figure><figcaption>{html.escape(name)}</figcaption>{_chart(lines)}</figure>")
    return f'<div class="curves">{"".join(figures)}</div>' if figures else ""


def _chart(lines: Mapping[int, Sequence[tuple[int, float]]]) -> str:
    """Curves as SVG. The vertical axis begins at 0, so that a small difference does not look large."""
    points = [point for line in lines.values() for point in line]
    last, low, high = max(x for x, _ in points), min(0.0, *(y for _, y in points)), max(y for _, y in points)
    high = high if high > low else low + 1

    def place(x: float, y: float) -> str:
        across = _LEFT + (_WIDTH - _LEFT - 8) * x / max(last, 1)
        return f"{across:.1f},{_HEIGHT - _BOTTOM - (_HEIGHT - _BOTTOM - _TOP) * (y - low) / (high - low):.1f}"

    parts = []
    for value in np.linspace(low, high, 4):
        x, y = place(0, value).split(",")
        parts.append(f'<line x1="{x}" x2="{_WIDTH - 8}" y1="{y}" y2="{y}"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{float(y) + 4:.1f}" text-anchor="end">{value:.3g}</text>')
    for step in (0, last // 2, last):
        x, _ = place(step, low).split(",")
        anchor = "end" if step == last else "middle"
        parts.append(f'<text x="{x}" y="{_HEIGHT - 6}" text-anchor="{anchor}">{step:,}</text>')
    for number, line in lines.items():
        style = f'style="--c:var(--c{number % NUM_COLOURS})"'
        if len(line) == 1:
            x, y = place(*line[0]).split(",")
            parts.append(f'<circle cx="{x}" cy="{y}" r="3" {style}/>')
        parts.append(f'<polyline points="{" ".join(place(*point) for point in line)}" {style}/>')
    return f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img">{"".join(parts)}</svg>'


def _grid(runs: Sequence[Run], rows: Sequence[Sequence[np.ndarray]]) -> str:
    """The inputs, and what each run makes of them, with the pictures inside of the page."""
    if not rows:
        return ""
    used = [next((f"bundle/{which}, step {step}" for which, step in run.bundles.items()), "") for run in runs]
    labels = [f"{name}<small>{bundle}</small>" for name, bundle in zip(_names(runs), used, strict=True)]
    cells = [f"<span>{label}</span>" for label in ("input", *labels)]
    for row in rows:
        for picture in row:
            buffer = io.BytesIO()
            PIL.Image.fromarray(picture[..., 0] if picture.shape[-1] == 1 else picture).save(buffer, "PNG")
            data = base64.b64encode(buffer.getvalue()).decode()
            cells.append(f'<img src="data:image/png;base64,{data}" alt="" loading="lazy">')
    columns = f"grid-template-columns: repeat({len(runs) + 1}, 128px)"
    return f'<div class="scroll"><div class="pictures" style="{columns}">{"".join(cells)}</div></div>'
