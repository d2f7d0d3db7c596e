from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from models.errors import InputError
from pipeline.kinds import registry
from pipeline.retrain import settings, subjects
from pipeline.retrain.garbage.recipes import GarbageClass, Uniform
from pipeline.retrain.garbage.subject import GARBAGE
from tests.pipeline import nets

MINED = '[seeds]\ndataset = "digits"\n[peers]\narchitectures = ["mlp-4"]\n[search]\nmethod = "direct"\n'
HEAD = 'mined = "mined.toml"\n'


def _load(folder, recipe: str, mined: str = MINED) -> settings.Plan:
    (folder / "mined.toml").write_text(mined)
    (folder / "my_plan.toml").write_text(f'{HEAD}[measure]\nislands = 2\n[[recipe]]\nname = "a"\n{recipe}')
    return settings.load(str(folder / "my_plan.toml"), dict(registry.methods()), subjects.of)


def test_a_task_that_mines_garbage_has_this_subjects_recipes_and_measures(tmp_path):
    plan = _load(tmp_path, 'kind = "uniform"\nevolved = 1\n[[recipe]]\nname = "b"\nkind = "garbage_class"\nevery = 3\n')
    assert plan.subject is GARBAGE and plan.measuring.islands == 2
    assert plan.recipes == {"a": Uniform(evolved=1.0), "b": GarbageClass(every=3)}


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ('kind = "uniform"\nevolved = 1.5\n', "evolved is 1.5, expected a number from 0 to 1"),
        ('kind = "uniform"\nevolved = -0.5\n', "evolved is -0.5, expected a number from 0 to 1"),
        ('kind = "uniform"\nnoise = "pink"\n', "expected 'static' or 'permuted'"),
        ('kind = "garbage_class"\nshare = 0.0\n', "share is 0.0, expected a number from 0.001 to 10"),
        ('kind = "garbage_class"\nevery = 0\n', r"\[recipe\] 'a': every is 0 and mined is false"),
        ('kind = "proposals"\n', "expected 'plain' or 'garbage_class' or 'uniform'"),
    ],
)
def test_a_mistake_is_one_sentence_with_the_file(tmp_path, recipe, message):
    with pytest.raises(InputError, match=message) as raised:
        _load(tmp_path, recipe)
    assert str(raised.value).startswith(str(tmp_path)) and "\n" not in str(raised.value)


def test_images_without_labels_are_nothing_to_retrain_on(tmp_path):
    mined = MINED.replace('"digits"', '"digits"\nlabeled = false')
    mined = mined.replace('architectures = ["mlp-4"]', 'files = ["a.keras"]')
    with pytest.raises(InputError, match="nets cannot be retrained without labels"):
        _load(tmp_path, 'kind = "plain"\n', mined)


@dataclasses.dataclass(frozen=True)
class _Dataset:
    images: list[np.ndarray]

    def examples(self) -> Any:
        return ({"image": image} for image in self.images)


def _read(*shapes: tuple[int, int, int]) -> np.ndarray:
    return GARBAGE.read(
        _Dataset([np.zeros(shape, np.uint8) for shape in shapes]), lambda image: False, nets.group(), 0, None
    )


def test_a_dataset_for_other_nets_or_an_empty_one_is_one_sentence():
    assert _read(nets.SHAPE, nets.SHAPE).shape == (2, *nets.SHAPE)
    with pytest.raises(InputError, match=r"an image of shape \(9, 8, 1\), and the nets take \(8, 8, 1\)"):
        _read(nets.SHAPE, (9, 8, 1))
    with pytest.raises(InputError, match="has no example"):
        _read()
