"""The page of a reproduced experiment: Markdown with its pictures as small PNGs, JSON for programs, and an index."""

from __future__ import annotations

import dataclasses
import io
from typing import Any

from etils import epath
from PIL import Image

from pipeline import formats
from pipeline.report.page import Picture
from pipeline.report.tables import Table
from pipeline.reproduce import papers
from pipeline.reproduce.experiment import Claim, Experiment, Findings
from pipeline.workdir import ledger

_LARGEST = 100_000  # bytes of a picture
_COLORS = 64
SMALL_NOTE = " It has other, fewer data than the paper: what holds of them says little of its claims."
VERDICTS = {True: "held", False: "did not hold", None: "cannot be told"}


@dataclasses.dataclass(frozen=True)
class Made:
    """How findings came about.

    Attributes:
      form: full or small.
      command: the command line.
      code: version and commit of the code.
      seconds: how long it took, without what was in the workdir already.
      device: where, in words.
    """

    form: str
    command: str
    code: str
    seconds: float
    device: str


def write(folder: epath.Path, experiment: Experiment, findings: Findings, made: Made) -> epath.Path:
    """Writes NAME.md with its pictures and NAME.json into a folder, and the folder's index anew; returns the page."""
    folder.mkdir(parents=True, exist_ok=True)
    name = experiment.name
    for picture in findings.pictures:
        ledger.write_whole(folder / _file(name, picture), small_png(picture))
    ledger.write_json(folder / f"{name}.json", _told(experiment, findings, made))
    page = folder / f"{name}.md"
    ledger.write_whole(page, markdown(experiment, findings, made).encode())
    ledger.write_whole(folder / "README.md", _index(folder).encode())
    return page


def markdown(experiment: Experiment, findings: Findings, made: Made) -> str:
    """Returns the page as Markdown."""
    head = f"# {experiment.title}\n\n    {made.command}\n\nPaper: {experiment.paper}."
    took = f"{_minutes(made.seconds)} on {made.device}, but for what was in the workdir already"
    how = f"The {made.form} form. {took}; code {made.code}."
    claims = [["claim", "here", "what was found"], *map(_claim, findings.claims)]
    how += SMALL_NOTE * (made.form == papers.SMALL)
    parts = [head, how, "## Claims", _table(claims), *findings.notes]
    for picture in findings.pictures:
        parts += [f"## {picture.title}", f"![{picture.alt}]({_file(experiment.name, picture)})"]
    for table in findings.tables:
        parts += [f"## {table.title}"] * bool(table.title) + [_table(table.cells, table.left), table.note]
    return "\n\n".join(filter(None, parts)) + "\n"


def _claim(claim: Claim) -> list[str]:
    return [claim.text, VERDICTS[claim.held], claim.found]


def _table(cells: Any, left: int = 3) -> str:
    heads, *rows = [[cell.replace("|", "\\|") or " " for cell in row] for row in cells]
    marks = ["---" if place < left else "---:" for place in range(len(heads))]
    return "\n".join(f"| {' | '.join(row)} |" for row in [heads, marks, *rows])


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} seconds" if seconds < 90 else f"{seconds / 60:.0f} minutes"


def _file(name: str, picture: Picture) -> str:
    return f"{name}-{picture.name}.png"


def small_png(picture: Picture) -> bytes:
    """Returns a picture as PNG of at most 100,000 bytes: of fewer colours and, where that is not enough, smaller."""
    stream = io.BytesIO()
    picture.draw(stream)
    image = Image.open(stream).convert("RGB")
    while True:
        small = io.BytesIO()
        image.quantize(_COLORS).save(small, "PNG", optimize=True)
        if small.tell() <= _LARGEST:
            return small.getvalue()
        image = image.resize((image.width * 4 // 5, image.height * 4 // 5), Image.Resampling.LANCZOS)


def _told(experiment: Experiment, findings: Findings, made: Made) -> dict[str, Any]:
    return {
        "format": formats.FORMAT,
        "name": experiment.name,
        "title": experiment.title,
        "paper": experiment.paper,
        **dataclasses.asdict(made),
        "settings": dataclasses.asdict(experiment),  # type: ignore[call-overload]
        "claims": [dataclasses.asdict(claim) for claim in findings.claims],
        "notes": list(findings.notes),
        "tables": [_records(table) for table in findings.tables],
    }


def _records(table: Table) -> dict[str, Any]:
    return {"title": table.title, "note": table.note, "rows": table.records()}


def _index(folder: epath.Path) -> str:
    """Returns the index of all pages of a folder."""
    pages = [page for path in sorted(folder.glob("*.json")) if (page := ledger.read_json(path))]
    rows = [["experiment", "paper", "form", "time", "claims", "held"]]
    for page in pages:
        held = [claim["held"] for claim in page["claims"]]
        name = f"[{page['title']}]({page['name']}.md)"
        rows.append(
            [name, page["paper"], page["form"], _minutes(page["seconds"]), str(len(held)), str(held.count(True))]
        )
    text = "Each page has the paper's figures beside ours, from a run of the command that it names."
    return f"# The papers' experiments\n\n{text}\n\n{_table(rows, 4)}\n"
