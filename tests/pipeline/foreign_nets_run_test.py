"""Nets as others have them (another range of pixels, another size, colour), mined and checked like any other."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from tests.pipeline import conftest

layers = tf.keras.layers
PEERS = {  # two ways to say the same
    "mistakes": {"input_range": [-1.0, 1.0], "resize": True},
    "pairs": {"input_mean": [0.5], "input_std": [0.5, 0.5, 0.5], "resize": True},
}
SEARCH = {"mistakes": {"peer_confidence": 0.0, "target_confidence": 0.0}, "pairs": conftest.PGD | {"targets": "all"}}


@pytest.fixture(scope="module")
def foreign(finished, tmp_path_factory):
    """Three nets that take colour images of 14 x 20 pixels from -1 to 1, trained for a moment on digits."""
    folder = tmp_path_factory.mktemp("foreign")
    split = tfds.load("digits", data_dir=finished.datasets, split="train", batch_size=-1)
    images, labels = (np.asarray(split[name]) for name in ("image", "label"))
    shown = tf.image.grayscale_to_rgb(tf.image.resize(images / 255.0, (14, 20))) * 2.0 - 1.0
    for number in range(3):
        tf.keras.utils.set_random_seed(number)
        model = tf.keras.Sequential(
            [
                tf.keras.Input((14, 20, 3)),
                layers.Flatten(),
                layers.Dense(6 + 4 * number, activation="tanh"),
                layers.Dense(10, activation="softmax"),
            ]
        )
        model.compile("adam", "sparse_categorical_crossentropy")
        model.fit(shown, labels, epochs=12, verbose=0)
        model.save(folder / f"net-{number}.keras")
    return folder


def _answers(foreign, images):
    """Asks the nets with plain Keras."""
    shown = tf.image.grayscale_to_rgb(tf.image.resize(images / 255.0, (14, 20))) * 2.0 - 1.0
    return np.stack([tf.keras.models.load_model(foreign / f"net-{n}.keras")(shown).numpy() for n in range(3)])


@pytest.mark.slow
@pytest.mark.parametrize("kind", SEARCH)
def test_nets_of_another_range_and_size_are_mined_and_checked(foreign, finished, tmp_path, kind):
    files = [str(foreign / f"net-{number}.keras") for number in range(3)]
    attack = {"attack": conftest.ATTACK} if kind == "pairs" else {}
    task = conftest.write_config(
        tmp_path / "task.toml", peers={"files": files, **PEERS[kind]}, search=SEARCH[kind], training=None, **attack
    )
    work = ("--workdir", finished.copy(tmp_path / "work", ran=False).path)
    outcome = conftest.call("run", "--config", task, *work)
    assert outcome.code == 0, outcome
    name = conftest.DATASET if kind == "mistakes" else conftest.PAIRS
    loaded = list(tfds.as_numpy(tfds.load(name, data_dir=tmp_path / "work" / "datasets", split="test")))
    stored = np.stack([example["probabilities_after"] for example in loaded], axis=1)
    images = np.stack([example["image"] for example in loaded])
    np.testing.assert_allclose(stored, _answers(foreign, images), atol=1e-4)
    targets = [int(example["target_net"].decode()[-1]) for example in loaded]
    wrong = stored[targets, np.arange(len(loaded))].argmax(axis=-1)
    assert (wrong == [example["wrong_class"] for example in loaded]).all() and len(loaded) > 20
    assert (wrong != [example["label"] for example in loaded]).all()
    assert conftest.call("verify", name, *work).code == 0
    assert conftest.call("replay", name, loaded[0]["id"].decode(), *work).code == 0
    rechecked = conftest.call("recheck", name, "--peers", f"net-1={files[2]}", *work)
    assert rechecked.code == 0, rechecked
