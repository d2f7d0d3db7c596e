"""The pages: their links lead somewhere, the files they name are there, and the code they show is the toys'."""

import argparse
import pathlib
import re

import pytest

from pipeline.commands import cli, run_commands

ROOT = pathlib.Path(__file__).parent.parent
PAGES = [page for part in ("*.md", "docs/**/*.md", "deploy/*.md", "tfds_builders/*/*.md") for page in ROOT.glob(part)]
TOYS = (ROOT / "tests/pipeline/kinds/toys.py").read_text()
OURS = re.compile(r"`((?:pipeline|models|tests|tfds_builders|configs|benchmarks)/[\w./{},]*[\w}])`")


def _name(page: pathlib.Path) -> str:
    return str(page.relative_to(ROOT))


def _anchors(page: pathlib.Path) -> set[str]:
    titles = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def _files(name: str) -> list[str]:
    """Returns the files of "folder/{one,other}.py"."""
    choices = re.search(r"\{(.*)\}", name)
    return [name.replace(choices[0], one) for one in choices[1].split(",")] if choices else [name]


@pytest.mark.parametrize("page", sorted(PAGES), ids=_name)
def test_a_page_links_to_and_names_what_is_there(page):
    text = page.read_text()
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        path, _, anchor = link.partition("#")
        if "://" in link:
            continue
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in _anchors(target), link
    named = [name for found in OURS.findall(text) for name in _files(found)]
    assert [name for name in named if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("page", sorted((ROOT / "docs/extending").glob("*.md")), ids=_name)
def test_the_code_of_a_seam_is_that_of_a_toy_that_works(page):
    known = TOYS + (ROOT / "models/zoo.py").read_text()
    assert [code for code in re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL) if code not in known] == []


def _commands() -> dict[str, str]:
    """Returns the help of every command."""
    parsers: dict[str, argparse.ArgumentParser] = {}
    for family in cli.FAMILIES:
        family.add(lambda name, call, about: parsers.setdefault(name, argparse.ArgumentParser()))
    return {name: parser.format_help() for name, parser in parsers.items()}


@pytest.mark.parametrize("page", sorted(PAGES), ids=_name)
def test_a_page_gives_commands_and_options_that_there_are(page):
    known = _commands()
    lines = page.read_text().replace("\\\n", " ")
    for command, rest in re.findall(r"^ {4}(?:\.venv/bin/)?peerpressure ([a-z]+)(.*)$", lines, re.MULTILINE):
        assert command in known
        told = set(re.findall(r"--\w+", rest))
        assert command in run_commands.ON_BEAM or told <= set(re.findall(r"--\w+", known[command]))
