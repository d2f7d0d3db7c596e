from __future__ import annotations

import hashlib
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from models import kernels, loading
from models.classifier import PeerGroup
from models.kernels import TENSORFLOW, XLA
from tests.models import nets

_CNN, _MLP = "cnn-2-3-4", "mlp-4"
_THREADS = """
import sys
import numpy as np
import tensorflow as tf
tf.config.threading.set_intra_op_parallelism_threads(int(sys.argv[1]))
from tests.models import kernels_test
print(kernels_test.digest_of_answers_and_slopes())
"""


def _layers(*middle: tf.keras.layers.Layer) -> tf.keras.Model:
    return nets.sequential(*middle, tf.keras.layers.Flatten(), tf.keras.layers.Dense(3, activation="softmax"))


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (tf.keras.layers.Conv2D(2, 3), TENSORFLOW),
        (tf.keras.layers.DepthwiseConv2D(3), TENSORFLOW),
        (tf.keras.layers.SeparableConv2D(2, 3), TENSORFLOW),
        (tf.keras.layers.Conv2DTranspose(2, 3), TENSORFLOW),
        (tf.keras.layers.MaxPooling2D(2), XLA),
        (tf.keras.layers.Rescaling(2.0), XLA),
    ],
)
def test_a_net_with_a_convolution_has_tensorflows_kernels_on_a_cpu(layer, expected):
    assert kernels.fastest(_layers(layer), nets.SHAPE) == expected


def test_a_convolution_within_a_saved_model_is_seen(tmp_path):
    _layers(tf.keras.layers.Conv2D(2, 3)).export(tmp_path / "net", verbose=False)
    assert loading.load(tmp_path / "net").kernels == TENSORFLOW


def test_a_loaded_net_says_which_kernels_it_has(tmp_path):
    for name, expected in ((_CNN, TENSORFLOW), (_MLP, XLA)):
        nets.seeded(name, 1).save(tmp_path / f"{name}.keras")
        assert loading.load(tmp_path / f"{name}.keras").kernels == expected


@pytest.mark.parametrize("given", [(XLA,), (XLA, XLA), (TENSORFLOW,), (XLA, TENSORFLOW)])
def test_a_function_is_compiled_as_a_whole_where_all_nets_have_xlas_kernels(given):
    compiled = kernels.compiled(lambda values: values + 1.0, *given)
    text = compiled.get_concrete_function(tf.TensorSpec([2])).function_def.attr["_XlaMustCompile"].b
    assert text == (TENSORFLOW not in given)


def _group() -> PeerGroup:
    made = [(_CNN, 1, TENSORFLOW), (_MLP, 2, XLA), (_CNN, 3, TENSORFLOW)]
    built = [(nets.seeded(name, seed), kept) for name, seed, kept in made]
    named = [nets.classifier(net, f"net-{place}", kernels=kept) for place, (net, kept) in enumerate(built)]
    return PeerGroup(tuple(named))


def test_nets_with_other_kernels_than_their_peers_say_what_they_say_alone():
    group, images = _group(), nets.images(20)
    together = group.probabilities(images, 8)
    for place, net in enumerate(group.classifiers):
        np.testing.assert_array_equal(PeerGroup((net,)).probabilities(images, 8)[0], together[place])


def digest_of_answers_and_slopes() -> str:
    """What a convolutional net says of some images, and its gradients there, bit for bit."""
    net, images = nets.seeded("cnn-8-8-16", 1), tf.constant(nets.images(64) / 255.0, tf.float32)

    def slope(images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(images)
            answers = net(images, training=False)
            first = answers[:, 0]
        return answers, tape.gradient(first, images)

    found = kernels.compiled(slope, TENSORFLOW)(images)
    return hashlib.sha256(b"".join(part.numpy().tobytes() for part in found)).hexdigest()


@pytest.mark.slow
def test_the_number_of_threads_changes_no_bit():
    command = [sys.executable, "-c", _THREADS]
    how = {"capture_output": True, "text": True, "check": True, "cwd": pathlib.Path(__file__).parents[2]}
    said = {subprocess.run([*command, count], **how).stdout for count in "14"}
    assert said == {digest_of_answers_and_slopes() + "\n"}
