# SPDX-License-Identifier: BSD-3-Clause
"""Tables of formulas, drawn as text, Markdown or LaTeX."""

from __future__ import annotations

from textwrap import fill
from typing import NamedTuple

from .formulas import Formula, escaped

TEXT_WIDTH = 100


class Table(NamedTuple):
    """A table before it is drawn: a formula is set as one, a string as words."""

    title: str
    header: tuple[str, ...]
    rows: list[tuple[Formula | str, ...]]


class Document(NamedTuple):
    """What every format draws: the tables between words, which hold formulas between dollars."""

    introduction: Formula
    tables: list[Table]
    notes: list[Formula]


def _as_text(document: Document) -> str:
    parts = [fill(document.introduction.text, TEXT_WIDTH)]
    for table in document.tables:
        cells = [table.header, *([_text(cell) for cell in row] for row in table.rows)]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in cells
        ]
        parts.append("\n".join([table.title, "-" * len(table.title), *lines]))
    parts.append(
        "\n".join(
            fill(f"- {note.text}", TEXT_WIDTH, subsequent_indent="  ") for note in document.notes
        )
    )
    return "\n\n".join(parts) + "\n"


def _as_markdown(document: Document) -> str:
    parts = [document.introduction.text]
    for table in document.tables:
        rows = [table.header, ["---"] * len(table.header)]
        for row in table.rows:
            # A bar ends a cell even inside a code span, unless it is escaped.
            rows.append(
                [
                    cell if isinstance(cell, str) else f"`{cell.text}`".replace("|", r"\|")
                    for cell in row
                ]
            )
        parts.append(f"### {table.title}")
        parts.append("\n".join(f"| {' | '.join(row)} |" for row in rows))
    parts.append("\n".join(f"- {note.text}" for note in document.notes))
    return "\n\n".join(parts) + "\n"


def _as_latex(document: Document) -> str:
    parts = [r"% needs \usepackage{amsmath}", document.introduction.latex]
    for table in document.tables:
        rows = [
            " & ".join(
                escaped(cell) if isinstance(cell, str) else f"${cell.latex}$" for cell in row
            )
            for row in (table.header, *table.rows)
        ]
        columns = "l" * len(table.header)
        parts.append(
            "\n".join(
                [
                    rf"\paragraph{{{table.title}}}\mbox{{}}\par\nopagebreak\noindent",
                    rf"{{\renewcommand{{\arraystretch}}{{2.6}}\begin{{tabular}}{{{columns}}}",
                    rf"{rows[0]} \\ \hline",
                    *(rf"{row} \\" for row in rows[1:]),
                    r"\end{tabular}}",
                ]
            )
        )
    items = [rf"\item {note.latex}" for note in document.notes]
    parts.append("\n".join([r"\begin{itemize}", *items, r"\end{itemize}"]))
    return "\n\n".join(parts) + "\n"


def _text(cell: Formula | str) -> str:
    return cell if isinstance(cell, str) else cell.text


RENDERERS = {"text": _as_text, "markdown": _as_markdown, "latex": _as_latex}
