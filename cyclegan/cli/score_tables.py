"""Scores as tables on a terminal."""

from typing import TYPE_CHECKING

import rich.console
import rich.table

from cyclegan.errors import printable

if TYPE_CHECKING:
    from cyclegan.evaluation.protocol import Scores
    from cyclegan.evaluation.scores import Value


def show_scores(scores: "Scores", console: rich.console.Console) -> None:
    """Prints the scores of one direction: a row for each score, and a column for each set of images."""
    labels = list(dict.fromkeys(label for row in scores.distances.values() for label in row))
    target = scores.protocol.images["real test images"].partition(",")[0]
    title = f"{scores.title}, beside {target} of the target domain"
    console.print(printable(title), markup=False, highlight=False, soft_wrap=True)  # paths are not broken
    table = rich.table.Table("", *labels)
    numbers = num_images(scores)
    table.add_row("images", *(str(numbers[label]) for label in labels))
    for name, row in scores.distances.items():
        table.add_row(printable(name), *(_text(row[label]) if label in row else "" for label in labels))
    for name, value in scores.content.items():
        table.add_row(name, _text(value))
    console.print(table)


def num_images(scores: "Scores") -> dict[str, int]:
    """The number of images of each set."""
    return {label: int(images.partition(" ")[0]) for label, images in scores.protocol.images.items()}


def _text(value: "Value") -> str:
    """A score and, below it, its interval."""
    digits = 1 if abs(value.value) >= 10 else 3
    return f"{value.value:.{digits}f}\n{value.low:.{digits}f} to {value.high:.{digits}f}"
