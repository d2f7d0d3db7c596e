"""The workers' files: the container, and what `make flink` fetches."""

from __future__ import annotations

import pathlib
import re
import subprocess
import xml.etree.ElementTree

import pytest
from packaging.specifiers import SpecifierSet

from deploy.flink import demo

ROOT = pathlib.Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
_INSTRUCTION = re.compile(r"(ARG|FROM|COPY|RUN|ENTRYPOINT) (.+)")


def _instructions() -> list[tuple[str, str]]:
    lines = (DEPLOY / "Dockerfile").read_text().replace("\\\n", " ").splitlines()
    matches = [_INSTRUCTION.fullmatch(line) for line in lines if line and not line.startswith("#")]
    assert all(matches)
    return [(match[1], match[2]) for match in matches if match]


def test_the_image_copies_what_is_there():
    sources = [
        source
        for name, rest in _instructions()
        if name == "COPY" and not rest.startswith("--from")
        for source in rest.split()[:-1]
    ]
    assert {"setup.py", "models", "pipeline", "tfds_builders"} <= set(sources)
    assert all((ROOT / source).exists() for source in sources)


def test_the_image_has_a_beam_and_a_python_that_the_package_takes():
    versions = dict(rest.split("=") for name, rest in _instructions() if name == "ARG" and "=" in rest)
    setup = (ROOT / "setup.py").read_text()
    (taken,) = re.findall(r'"apache-beam([^"]+)"', setup)
    assert versions["BEAM"] in SpecifierSet(taken)
    assert f"Programming Language :: Python :: {versions['PYTHON']}" in setup


def test_what_fetches_the_cluster_is_well_formed_and_of_one_flink():
    fetch = DEPLOY / "flink" / "fetch"
    assert subprocess.run(["bash", "-n", fetch]).returncode == 0
    pom = xml.etree.ElementTree.parse(DEPLOY / "flink" / "pom.xml").getroot()
    space = {"m": "http://maven.apache.org/POM/4.0.0"}
    (runner,) = pom.findall("m:dependencies/m:dependency/m:artifactId", space)
    (cluster,) = re.findall(r"apache-flink-libraries==(\d+\.\d+)\.", fetch.read_text())
    assert runner.text == f"beam-runners-flink-{cluster}"


def test_datasets_that_differ_in_a_byte_or_are_not_there_fail_the_comparison(tmp_path):
    local, distributed = tmp_path / "local", tmp_path / "distributed"
    for folder in (local, distributed):
        (folder / "1.0.0").mkdir(parents=True)
        (folder / "1.0.0" / "shard").write_bytes(b"same")
    demo._compare(local, distributed)
    (distributed / "1.0.0" / "shard").write_bytes(b"samE")
    with pytest.raises(demo.Failed, match=r"differ in 1\.0\.0/shard"):
        demo._compare(local, distributed)
    with pytest.raises(demo.Failed, match="empty"):
        demo._compare(tmp_path / "none", tmp_path / "none")
