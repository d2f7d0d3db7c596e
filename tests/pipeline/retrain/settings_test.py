from __future__ import annotations

import re

import pytest

from models.errors import InputError
from pipeline.kinds import registry
from pipeline.retrain import settings, subjects
from pipeline.retrain.mistakes import recipes
from pipeline.retrain.plain import Plain

MINED = '[seeds]\ndataset = "digits"\n[peers]\narchitectures = ["mlp-4", "mlp-8"]\n'
RECIPE = '[[recipe]]\nname = "a"\nkind = "plain"\n'
HEAD = 'mined = "mined.toml"\n'


def _load(folder, text: str) -> settings.Plan:
    (folder / "mined.toml").write_text(MINED)
    (folder / "my_plan.toml").write_text(text)
    return settings.load(str(folder / "my_plan.toml"), dict(registry.methods()), subjects.of)


def test_a_plan_has_its_recipes_in_order_and_the_mined_task_beside_it(tmp_path):
    more = '[[recipe]]\nname = "b.1"\nkind = "proposals"\ncandidates = 10\nkl = 4\n'
    plan = _load(tmp_path, HEAD + "[retrain]\nepochs = 2\n" + RECIPE + more)
    assert (plan.task, plan.mined.task, plan.retraining.epochs) == ("my_plan", "mined", 2)
    assert plan.recipes == {"a": Plain(), "b.1": recipes.Proposals(candidates=10, kl=4.0)}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (RECIPE, "mined is missing"),
        ('mined = "gone.toml"\n' + RECIPE, "cannot be read"),
        (HEAD, "there is no recipe"),
        (HEAD + RECIPE + RECIPE, "two recipes are named 'a'"),
        (HEAD + RECIPE + "[retrian]\n", "did you mean 'retrain'"),
        (HEAD + RECIPE + "[retrain]\nepoch = 3\n", "did you mean 'epochs'"),
        (HEAD + RECIPE + '[retrain]\nstart = "here"\n', "expected 'trained' or 'scratch'"),
        (HEAD + '[[recipe]]\nname = "a/b"\nkind = "plain"\n', "the name of"),
        (HEAD + '[[recipe]]\nname = "a"\nkind = "magic"\n', "expected 'plain' or 'proposals'"),
        (HEAD + '[[recipe]]\nname = "a"\nkind = "proposals"\nshare = 1.5\n', "expected a number from 0.001 to 1"),
        (HEAD + '[[recipe]]\nname = "a"\nkind = "proposals"\npick = "best"\n', "'worst' or 'by_loss'"),
        (HEAD + '[[recipe]]\nname = "a"\nkind = "plain"\nkl = 1\n', "unknown key 'kl'"),
        ("mined = [\n", "not valid TOML"),
    ],
)
def test_a_mistake_is_one_sentence_with_the_file(tmp_path, text, message):
    with pytest.raises(InputError, match=message) as raised:
        _load(tmp_path, text)
    assert re.search(r"(my_plan|gone)\.toml", str(raised.value)) and "\n" not in str(raised.value)


@pytest.mark.parametrize("method", ["scan", "genetic", "gradient_ascent"])
def test_moves_are_taught_where_mistakes_were_found_move_by_move(tmp_path, method):
    (tmp_path / "mined.toml").write_text(f'{MINED}[search]\nmethod = "{method}"\n')
    (tmp_path / "my_plan.toml").write_text(HEAD + RECIPE)
    with pytest.raises(InputError, match=f"my_plan.toml.* method '{method}', expected 'hillclimb'"):
        settings.load(str(tmp_path / "my_plan.toml"), dict(registry.methods()), subjects.of)
