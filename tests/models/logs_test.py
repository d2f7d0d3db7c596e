from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from models import training
from models.examples import Held
from models.recipe import Training
from tests.models import nets


def test_each_epochs_loss_and_accuracy_are_written_for_tensorboard(tmp_path):
    images = nets.images(40)
    labels = images[:, 0, 0, 0].astype(np.int64) * nets.CLASSES // 256
    told: list[float] = []
    training.train(
        "mlp-6",
        1,
        Training(epochs=3, batch_size=10, tensorboard=True),
        Held(images, labels),
        nets.CLASSES,
        "cpu",
        progress=lambda step, steps, accuracy: told.append(accuracy),
        path=tmp_path / "net.keras",
    )
    (file,) = (tmp_path / "logs" / "net").iterdir()
    records = tf.data.TFRecordDataset(str(file)).as_numpy_iterator()
    events = [tf.compat.v1.Event.FromString(record) for record in records]
    figures = {(value.tag, event.step): value for event in events for value in event.summary.value}
    assert set(figures) == {(name, epoch) for name in ("loss", "accuracy") for epoch in (1, 2, 3)}
    for epoch in (1, 2, 3):
        written = figures["accuracy", epoch]
        assert tf.make_ndarray(written.tensor) == pytest.approx(told[4 * epoch - 1])
        assert written.metadata.plugin_data.plugin_name == "scalars"
