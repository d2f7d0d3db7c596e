"""`peerpressure retrain` end to end, on the tiny task's mistakes."""

from __future__ import annotations

import json
import pathlib
import shutil
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from models import loading
from pipeline import mappings
from pipeline.kinds.mistakes.kind import MISTAKES
from pipeline.retrain.mistakes.subject import OnMistakes
from tests.pipeline.conftest import Outcome, Work, call, write_config

pytestmark = pytest.mark.slow

PLAN = """
task = "again"
mined = "tiny.toml"
[retrain]
net = "mlp-8"
epochs = 2
batch_size = 32
seeds = 2
[measure]
images = "test[:50%]"
draws = 2
worst_of = 3
grid_images = 4
searched_images = 16
more_images = 8
judge = "mlp-16"
judge_epochs = 1
"""
NOTHING = '[[recipe]]\nname = "nothing"\nkind = "plain"\n'
RECIPES = (
    NOTHING
    + '[[recipe]]\nname = "mistakes"\nkind = "mistakes"\n'
    + '[[recipe]]\nname = "mixed"\nkind = "proposals"\ncandidates = 3\nmined = 0.5\nkl = 1.0\n'
)


def _retrain(work: Work, folder: pathlib.Path, *more: str, plan: str = PLAN + RECIPES, **mined: Any) -> Outcome:
    write_config(folder / "tiny.toml", **mined)
    (folder / "plan.toml").write_text(plan)
    return call("retrain", "--config", folder / "plan.toml", "--workdir", work.path, *more)


def _records(work: Work) -> dict[str, dict]:
    found = sorted((work.path / "retrained" / "again").glob("*/seed-*/retrained.json"))
    return {
        f"{path.parent.parent.name.rpartition('-')[0]}/{path.parent.name}": json.loads(path.read_text())
        for path in found
    }


def _folders(work: Work) -> list[pathlib.Path]:
    return sorted((work.path / "retrained" / "again").glob("*-????????"))


@pytest.fixture(scope="module")
def retrained(finished, tmp_path_factory) -> tuple[Work, Outcome]:
    """A workdir in which the plan was carried out. Not to be changed."""
    folder = tmp_path_factory.mktemp("retrained")
    work = finished.copy(folder / "work", ran=True)
    outcome = _retrain(work, folder)
    assert outcome.code == 0, outcome
    return work, outcome


def test_every_recipe_has_a_net_and_a_record_for_each_seed_and_the_results_stand_beside_each_other(retrained):
    work, outcome = retrained
    assert set(_records(work)) == {
        f"{name}/seed-{seed}" for name in ("nothing", "mistakes", "mixed") for seed in (0, 1)
    }
    assert "peerpressure: status=done nets=6 required=0 failed=0" in outcome.out
    folder = work.path / "retrained" / "again"
    assert (folder / "summary.csv").read_text().splitlines()[2].startswith("mistakes,")
    assert "order of recipes by '4x candidates' and by '1x candidates': " in outcome.out
    assert "no p is that low with [retrain] seeds = 2: it takes 7" in outcome.out
    assert json.loads((folder / "summary.json").read_text())["mixed"]["seeds"] == 2
    assert (folder / "front.png").read_bytes().startswith(b"\x89PNG")


def test_a_record_tells_where_its_net_comes_from(retrained):
    work, _ = retrained
    for name, record in _records(work).items():
        path = next((work.path / "retrained" / "again").glob(f"{name.split('/')[0]}-*/{name.split('/')[1]}/net.keras"))
        net = loading.load(str(path), name="net")
        parent = loading.load(work.nets()[1], name="parent")
        assert record["digest"] == net.digest != parent.digest == record["parent"]["digest"]
        assert record["seed"] == int(name[-1])
        used = f"{MISTAKES.name}/tiny:1.0.0"
        assert record.get("dataset") == (None if name.startswith("nothing") else used)
    seeds = {record["digest"] for record in _records(work).values()}
    assert len(seeds) == 6  # no two nets are the same


def test_a_retrained_net_is_a_net_to_recheck_with(retrained):
    work, _ = retrained
    path = next((work.path / "retrained" / "again").glob("mistakes-*/seed-0/net.keras"))
    outcome = call("recheck", work.dataset, "--workdir", work.path, "--peers", f"mlp-8={path}")
    assert outcome.code == 0, outcome


def test_what_is_there_is_not_made_again_and_what_is_missing_comes_out_the_same(retrained, tmp_path):
    made, first = retrained
    work = made.copy(tmp_path / "work", ran=True)
    before = _records(work)
    shutil.rmtree(next((work.path / "retrained" / "again").glob("mixed-*/seed-1")))
    next((work.path / "retrained" / "again").glob("mistakes-*/seed-0/retrained.json")).unlink()
    kept = next((work.path / "retrained" / "again").glob("nothing-*/seed-0/net.keras"))
    written = kept.stat().st_mtime_ns
    again = _retrain(work, tmp_path)
    assert again.code == 0 and _records(work) == before
    assert kept.stat().st_mtime_ns == written
    assert again.out.split("peerpressure:")[0] == first.out.split("peerpressure:")[0]


def test_a_process_that_can_compile_no_more_ends_in_one_sentence_and_another_goes_on(retrained, tmp_path, monkeypatch):
    made, _ = retrained
    work = made.copy(tmp_path / "work", ran=True)
    monkeypatch.setattr(mappings, "counted", lambda: (60_000, 65_530))
    assert _retrain(work, tmp_path).code == 0  # all is there
    missing = next((work.path / "retrained" / "again").glob("mixed-*/seed-1"))
    shutil.rmtree(missing)
    ended = _retrain(work, tmp_path)
    assert ended.code == 4 and ended.err.count("\n") == 1 and "memory mappings" in ended.err
    assert not missing.exists() and len(_records(work)) == 5


def test_what_changes_a_result_makes_other_nets_and_what_does_not_makes_none(retrained, tmp_path):
    made, _ = retrained
    work = made.copy(tmp_path / "work", ran=True)
    strong = sorted(work.path.glob("nets/strong-*"))
    same = PLAN.replace("seeds = 2", "seeds = 1").replace('net = "mlp-8"', 'net = "mlp-8"\ndataset_version = "1.0.0"')
    assert _retrain(work, tmp_path, plan=same + RECIPES).code == 0
    assert len(_folders(work)) == 3 and sorted(work.path.glob("nets/strong-*")) == strong
    other = same.replace("batch_size = 32", "batch_size = 64") + NOTHING
    assert _retrain(work, tmp_path, plan=other).code == 0
    assert len(_folders(work)) == 4 and len(list(work.path.glob("nets/strong-*"))) == 2
    patient = {"search": {"patience": 31}}
    assert _retrain(work, tmp_path, plan=same + NOTHING, **patient).code == 0
    assert len(_folders(work)) == 5


def test_a_record_of_other_measures_is_made_again(retrained, tmp_path, monkeypatch):
    """As an older version left it: without the newest measure."""
    made, _ = retrained
    work = made.copy(tmp_path / "work", ran=True)
    older = OnMistakes().measures
    with monkeypatch.context() as patch:
        patch.setattr(OnMistakes, "measures", older._replace(names=older.names[:-1]))
        plan = PLAN.replace("seeds = 2", "seeds = 1") + NOTHING
        assert _retrain(work, tmp_path, plan=plan).code == 0
    known = {folder.name for folder in _folders(made)}
    (old,) = (folder for folder in _folders(work) if folder.name not in known)
    record = json.loads((old / "seed-0" / "retrained.json").read_text())
    del record["measured"][older.names[-1]]
    (old / "seed-0" / "retrained.json").write_text(json.dumps(record))
    outcome = _retrain(work, tmp_path, plan=plan)
    assert outcome.code == 0 and older.further[-1].shown[older.names[-1]] in outcome.out


def test_from_scratch_every_seed_has_weights_of_its_own(retrained, tmp_path):
    made, _ = retrained
    work = made.copy(tmp_path / "work", ran=True)
    before = set(_folders(work))
    scratch = PLAN.replace("epochs = 2", 'start = "scratch"\nepochs = 1')
    assert _retrain(work, tmp_path, plan=scratch + NOTHING).code == 0
    (new,) = set(_folders(work)) - before
    first, second = (tf.keras.models.load_model(new / f"seed-{seed}" / "net.keras", compile=False) for seed in (0, 1))
    parent = tf.keras.models.load_model(work.nets()[1], compile=False)
    kernels = [net.get_weights()[0] for net in (first, second, parent)]
    apart = [np.corrcoef(kernels[one].ravel(), kernels[other].ravel())[0, 1] for one, other in ((0, 1), (0, 2), (1, 2))]
    assert max(map(abs, apart)) < 0.2


def test_a_requirement_that_is_not_kept_is_exit_code_1(retrained, tmp_path):
    made, _ = retrained
    work = made.copy(tmp_path / "work", ran=True)
    outcome = _retrain(work, tmp_path, "--require", "mistakes:clean_error<101", "candidates>100000")
    assert outcome.code == 1
    assert [line.split(":")[0] for line in outcome.err.splitlines() if "required is" in line] == ["mistakes", "mixed"]


def test_no_measured_image_is_learned_from(finished, tmp_path):
    """All test images are measured on, and all mistakes are of test images: no mistake is left to learn from."""
    work = finished.copy(tmp_path / "work", ran=True)
    outcome = _retrain(work, tmp_path, plan=PLAN.replace("test[:50%]", "test") + RECIPES)
    assert outcome.code == 2 and "no example whose seed image may be learned from" in outcome.err
    outcome = _retrain(work, tmp_path, plan=PLAN.replace("test[:50%]", "train[:30]") + NOTHING)
    assert outcome.code == 2 and "nets have learned from all 30 of them" in outcome.err
    assert not (work.path / "retrained").exists()


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('net = "mlp-8"', 'net = "mlp-9"', "expected one of mlp-4, mlp-8, mlp-12"),
        ("seeds = 2", 'dataset_version = "7.0.0"', "was not found"),
        ('images = "test[:50%]"', 'images = "tset"', "[measure] images: 'tset' is no part"),
        ('judge = "mlp-16"', 'judge = "mpl-16"', "[measure] judge: There is no architecture 'mpl-16'"),
    ],
)
def test_a_mistake_is_one_sentence_and_nothing_is_written(finished, tmp_path, old, new, told):
    work = finished.copy(tmp_path / "work", ran=True)
    outcome = _retrain(work, tmp_path, plan=PLAN.replace(old, new) + RECIPES)
    assert outcome.code == 2 and told in outcome.err and outcome.err.count("peerpressure: error") == 1
    assert not (work.path / "retrained").exists()


@pytest.mark.parametrize(
    ("mined", "told"),
    [
        ({"search": {"method": "scan"}}, "mined has [search] method 'scan'"),
        (
            {"search": {"method": "pgd"}, "attack": {"eps": 0.1}},
            "[measure], where mined makes adversarial_pairs: unknown",
        ),
        (
            {
                "seeds": {"dataset": "digits", "labeled": False},
                "peers": {"files": ["a.keras", "b.keras"]},
                "search": {"class_from": "consensus"},
            },
            "nets cannot be retrained without labels",
        ),
        ({"peers": {"files": ["a.keras", "b.keras"], "from_logits": True}}, "save them with a softmax"),
        ({"peers": {"files": ["a.keras", "b.keras"], "resize": True}}, "nets that take another size or range"),
    ],
)
def test_a_task_that_gives_nothing_to_retrain_with_is_one_sentence(finished, tmp_path, mined, told):
    outcome = _retrain(finished, tmp_path, **mined)
    assert outcome.code == 2 and told in outcome.err and outcome.err.count("peerpressure: error") == 1


def test_measures_are_shares_of_the_images(retrained):
    work, _ = retrained
    for record in _records(work).values():
        measured = dict(record["measured"])
        for name, most in (("", 500), ("usual_", 500), ("patient_", 2000), ("restarts_", 500)):
            assert 0.0 <= measured.pop(f"{name}candidates") <= most
        assert all(0.0 <= value <= 100.0 for value in measured.values())
