from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from models import devices, divergence, training
from models.errors import InputError
from models.examples import Held
from models.recipe import Training
from tests.models import nets

IMAGES = nets.images(64)
EXAMPLES = Held(IMAGES, np.arange(64) % nets.CLASSES)


@pytest.mark.parametrize("architecture", ["mlp-6", "cnn-4-4-8"])
def test_a_training_that_diverges_is_stopped_in_one_sentence_and_leaves_no_file(tmp_path, architecture):
    settings = Training(50, 8, learning_rate=1e38, optimizer="sgd", momentum=0.9, checkpoint_every=1)
    path = tmp_path / "net.keras"
    sentence = r"^The training diverged in epoch \d+: .*; lower learning_rate = 1e\+38 or momentum = 0.9\.$"
    with pytest.raises(InputError, match=sentence):
        training.cached(
            path, lambda: training.train(architecture, 1, settings, EXAMPLES, nets.CLASSES, "cpu", path=path)
        )
    assert not path.exists()
    kept = training.files.checkpoint_of(path)
    if kept.exists():  # of the epochs before: every weight is a number
        with np.load(kept) as archive:
            assert all(np.isfinite(archive[name]).all() for name in archive.files)


def test_a_training_by_any_loss_is_stopped_too():
    model = nets.seeded("mlp-6", 1)
    batches = tf.data.Dataset.from_tensors((IMAGES / np.float32(255.0)).astype(np.float32)).repeat()

    def loss(net, images, step):
        return tf.reduce_mean(net(images)) / tf.cast(step < 3, tf.float32)

    reached: list[int] = []
    with pytest.raises(InputError, match=r"^The training diverged in epoch 2: .*; lower learning_rate = 0.01\.$"):
        training.fit(model, batches, loss, 2, 5, 0.01, devices.strategy("cpu"), after_epoch=reached.append)
    assert reached == [1], "what comes after an epoch sees no net that diverged"


def test_the_loss_of_an_epoch_and_the_weights_after_it_have_to_be_numbers():
    model = nets.seeded("mlp-6", 1)
    watch = divergence.Watch(learning_rate=0.5, momentum=0.0)
    watch.set_model(model)
    watch.on_epoch_end(0, {"loss": 0.25})
    with pytest.raises(InputError, match=r"epoch 1: its loss is nan; lower learning_rate = 0.5\.$"):
        watch.on_epoch_end(0, {"loss": float("nan")})
    model.set_weights([np.full_like(weight, np.inf) for weight in model.get_weights()])
    with pytest.raises(InputError, match=r"epoch 3: some of its weights are .* lower learning_rate = 0.5\.$"):
        watch.on_epoch_end(2, {"loss": 0.25})
