"""Ancestors of garbage images, bred again without a net: the images that the net saw when they were born."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from etils import epath

from models.errors import InputError
from pipeline import records
from pipeline.config.config import Peers, Run
from pipeline.config.recorded import Recorded
from pipeline.kinds.garbage import ancestor_images, islands, lineage, mining, pictures
from pipeline.kinds.garbage.methods import METHODS
from pipeline.search.evolution import elites
from pipeline.workdir.ledger import RunFolder
from tests.pipeline import nets

SMALL = {"population": 20, "generations": 30, "confidence": 0.99999}
RUN_SEED = 3

pytestmark = pytest.mark.slow


def _run(name, **changes):
    method = next(method for method in METHODS if method.name == name)
    cppn = {"max_hidden": 4} if name == "cppn" else {}
    section = method.choices("garbage")[0](**{**SMALL, **cppn, **changes})
    manifest = {"run_id": "one", "run_seed": RUN_SEED, "num_classes": 3, "class_names": ["a", "b", "c"]}
    return Recorded(manifest, method, {"garbage": section}, Run(run_seed=RUN_SEED), Peers())


@pytest.fixture(scope="module", params=["direct", "cppn"])
def mined(request, tmp_path_factory):
    """A run, its folder, and the champions of its island as examples."""
    run = _run(request.param)
    folder = RunFolder(epath.Path(tmp_path_factory.mktemp("run")))
    (folder.path / "lineages").mkdir()
    group = nets.group()
    task = mining.task_of(run.method, run.sections, run.run, group, (0, 1, 2), "digest", folder)
    rows = task.miner(group, None).mine(islands.Island(0, 1, 0)).to_pylist()
    return run, folder, [_example(row, group.digests[1]) for row in rows]


def _example(row, digest):
    return {
        "id": row["id"].encode() or b"none",
        "image": records.decode_png(row["image"]),
        "run": {"id": b"one"},
        "target_net": b"net-1",
        "target_digest": digest.encode(),
        "island": row["island"],
        "individual": row["individual"].encode(),
        "generation": row["generation"],
        "wrong_class": row["wrong_class"],
        "confidence": row["target_confidence"],
    }


def _seen(run, example):
    """Returns all images of the island by birth, as its net saw them."""
    search = run.method.build(run.sections, nets.SHAPE, 3)
    net = nets.group().classifiers[1].predict
    island = elites.Island(search, net, (0, 1, 2), SMALL["confidence"], SMALL["generations"], block=1)
    begin, advance = island.begin(), island.advance()
    key = islands.key(RUN_SEED, example["target_digest"].decode(), 0)
    state, _ = begin(key)
    broods = [search.first(key), state.carried.genomes]
    for generation in range(SMALL["generations"] - 1):
        state, _, _ = advance(key, state, tf.constant(generation))
        broods.append(state.carried.genomes)
    fields = [tf.nest.map_structure(lambda field: field.numpy(), brood) for brood in broods]
    return [
        search.image(tf.nest.map_structure(lambda field, at=at: field[at], brood))
        for brood in fields
        for at in range(search.population)
    ]


def test_ancestors_are_what_the_net_saw(mined):
    run, folder, examples = mined
    seen, island = _seen(run, examples[0]), ancestor_images.Island(examples[0], run)
    crossed = 0
    for example in examples:
        family = lineage.ancestors(folder, example, run)
        images = island.images(family, family, example)
        np.testing.assert_array_equal(images, np.stack([seen[one.birth] for one in family]))
        np.testing.assert_array_equal(images[-1], example["image"])
        crossed += sum(len(one.parents) == 2 for one in family)
        assert len(family) > 3
    assert (crossed > 0) == (run.method.name == "direct")


def test_another_image_than_the_stored_one_is_told(mined):
    run, folder, (example, *_) = mined
    tampered = {**example, "image": example["image"] ^ 1}
    family = lineage.ancestors(folder, example, run)
    with pytest.raises(InputError, match=r"bred again on this machine, do not lead to the stored image; use the kind"):
        ancestor_images.Island(tampered, run).images(family, family, tampered)
    assert pictures.strips([tampered], run, folder) == []


def test_a_report_has_strips_where_there_are_ancestors(mined, tmp_path):
    run, folder, examples = mined
    (drawn,) = pictures.strips(examples, run, folder)
    generations = [example["generation"] for example in examples]
    assert drawn.alt.index(f"generation {max(generations)}") <= drawn.alt.index(f"generation {min(generations)}")
    assert pictures.strips(examples, run, RunFolder(epath.Path(tmp_path))) == []
    other = dataclasses.replace(run, manifest={**run.manifest, "run_id": "another"})
    assert pictures.strips(examples, other, folder) == []
    assert pictures.strips(examples, _run("ascent"), folder) == []
