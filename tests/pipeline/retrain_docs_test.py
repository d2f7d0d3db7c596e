"""The code in docs/retrain.md, which uses nothing of this project."""

from __future__ import annotations

import pathlib
import re

import numpy as np
import pytest
import tensorflow as tf

from tests.pipeline.conftest import DATASET

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "retrain.md"
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)


@pytest.mark.slow
@pytest.mark.parametrize(("code", "lines"), zip(BLOCKS, (20, 40), strict=True), ids=["mixed", "pairs"])
def test_the_code_of_the_page_retrains_a_net(finished, tmp_path, monkeypatch, code, lines):
    assert len([line for line in code.splitlines() if line.strip()]) < lines
    assert "pipeline" not in code and "models." not in code.replace("keras.models.", "")
    monkeypatch.chdir(tmp_path)
    before = tf.keras.models.load_model(finished.nets()[1], compile=False)
    before.save("my_net.keras")
    changed = code.replace("runs/datasets", str(finished.datasets)).replace("high_value_mistakes/digits", DATASET)
    exec(compile(changed.replace('split="train"', 'split="test"'), str(PAGE), "exec"), {"__name__": "page"})
    after = tf.keras.models.load_model("retrained.keras", compile=False)
    assert not np.array_equal(before.get_weights()[0], after.get_weights()[0])
    assert all(np.isfinite(weights).all() for weights in after.get_weights())
