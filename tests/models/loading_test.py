from __future__ import annotations

import re

import numpy as np
import pytest
import tensorflow as tf

from models import loading, preflight
from models.classifier import PeerGroup
from models.errors import InputError
from tests.models import nets

layers = tf.keras.layers


def _saved(model: tf.keras.Model, path) -> str:
    model.save(path)
    return str(path)


def _branches(init_seed: int, prefix: str = "") -> tf.keras.Model:
    tf.keras.utils.set_random_seed(init_seed)
    start = tf.keras.Input(nets.SHAPE)
    flat = layers.Flatten()(start)
    left, right = (layers.Dense(4, activation=kind, name=prefix + kind)(flat) for kind in ("relu", "tanh"))
    end = layers.Dense(nets.CLASSES, activation="softmax")(layers.Add()([left, right]))
    return tf.keras.Model(start, end)


class _Module(tf.Module):
    """Signatures of several shapes, to be saved."""

    spec = tf.TensorSpec([None, *nets.SHAPE], tf.float32)

    @tf.function(input_signature=[spec])
    def good(self, images):
        return tf.nn.softmax(tf.reduce_sum(images, axis=(1, 3))[:, : nets.CLASSES])

    @tf.function(input_signature=[spec])
    def two(self, images):
        return {"classes": self.good(images), "features": images}

    @tf.function(input_signature=[tf.TensorSpec([None, *nets.SHAPE], tf.uint8)])
    def bytes(self, images):
        return self.good(tf.cast(images, tf.float32))

    @tf.function(input_signature=[tf.TensorSpec([None, 30], tf.float32)])
    def flat(self, images):
        return self.good(tf.reshape(images, [-1, *nets.SHAPE]))


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> str:
    folder, module = str(tmp_path_factory.mktemp("exported") / "many"), _Module()
    names = ("good", "two", "bytes", "flat")
    tf.saved_model.save(module, folder, signatures={name: getattr(module, name) for name in names})
    return folder


def test_a_keras_file_answers_like_its_model(tmp_path):
    model = nets.seeded("cnn", 1)
    classifier = loading.load(_saved(model, tmp_path / "judge.keras"))
    assert (classifier.name, classifier.input_shape, classifier.num_classes) == ("judge", nets.SHAPE, nets.CLASSES)
    assert classifier.source == str(tmp_path / "judge.keras")
    images = tf.constant(nets.images(4) / 255.0, tf.float32)
    np.testing.assert_array_equal(classifier.predict(images), model(images))


def test_a_saved_model_answers_like_its_keras_model(tmp_path):
    model = nets.seeded("mlp-6", 1)
    model.export(tmp_path / "exported", verbose=False)
    classifiers = (loading.load(tmp_path / "exported"), loading.load(_saved(model, tmp_path / "saved.keras")))
    answers = PeerGroup(classifiers).probabilities(nets.images(9), 4)
    np.testing.assert_allclose(answers[0], answers[1], atol=1e-6)


def test_a_saved_model_is_loaded_by_its_signature(exported):
    classifier = loading.load(exported, signature="good", name="summing")
    assert (classifier.name, classifier.input_shape, classifier.num_classes) == ("summing", nets.SHAPE, nets.CLASSES)


class _Opaque(tf.Module):
    """A net whose last operation does not say how many answers it gives, as a function of JAX does not."""

    @tf.function(input_signature=[_Module.spec])
    def answer(self, images):
        answers = tf.nn.softmax(tf.reduce_sum(images, axis=(1, 3))[:, : nets.CLASSES])
        return tf.raw_ops.PlaceholderWithDefault(input=answers, shape=[None, nets.CLASSES])


def test_the_graph_knows_how_many_answers_a_saved_model_gives(tmp_path):
    module = _Opaque()
    tf.saved_model.save(module, str(tmp_path), signatures=module.answer)
    function = tf.function(loading.load(tmp_path).predict)
    for count in (7, None):
        images = tf.TensorSpec([count, *nets.SHAPE], tf.float32)
        assert function.get_concrete_function(images).output_shapes.as_list() == [count, nets.CLASSES]


@pytest.mark.parametrize(
    ("signature", "message"),
    [
        ("serving_default", "no signature 'serving_default' but these: bytes, flat, good, two;"),
        ("two", "has 1 inputs (images) and 2 outputs (classes, features)"),
        ("bytes", "takes uint8 images"),
        ("flat", "takes input of shape (None, 30), not (None, H, W, C)"),
    ],
)
def test_an_unfit_signature_is_told(exported, signature, message):
    with pytest.raises(InputError, match=re.escape(message)):
        loading.load(exported, signature=signature)


def test_the_digest_survives_saving_and_loading(tmp_path):
    for place, model in enumerate([nets.seeded("cnn", 1), _branches(1)]):
        before = loading.digest(model)
        first = loading.load(_saved(model, tmp_path / f"{place}.keras"))
        again = tf.keras.models.load_model(tmp_path / f"{place}.keras", compile=False)
        assert before == first.digest == loading.load(_saved(again, tmp_path / f"{place}b.keras")).digest


def test_the_digest_survives_compiling(tmp_path):
    model = nets.seeded("mlp-6", 1)
    before = loading.digest(model)
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(nets.images(4) / 255.0, np.zeros(4), epochs=0)
    assert loading.load(_saved(model, tmp_path / "net.keras")).digest == before


@pytest.mark.parametrize("build", [lambda: nets.seeded("cnn", 1), lambda: _branches(1)])
def test_the_digest_does_not_depend_on_the_counters_in_layer_names(build):
    assert loading.digest(build()) == loading.digest(build())


def test_the_digest_does_not_depend_on_given_layer_names():
    assert loading.digest(_branches(1)) == loading.digest(_branches(1, prefix="my_"))


def test_a_changed_weight_changes_the_digest():
    model = nets.seeded("mlp-6", 1)
    before, weights = loading.digest(model), model.get_weights()
    weights[0][0, 0] = np.nextafter(weights[0][0, 0], np.float32(2))
    model.set_weights(weights)
    assert loading.digest(model) != before


def test_another_activation_or_precision_changes_the_digest():
    nets_apart = [
        nets.sequential(layers.Flatten(), layers.Dense(nets.CLASSES, activation="softmax")),
        nets.sequential(layers.Flatten(), layers.Dense(nets.CLASSES, activation="sigmoid")),
        nets.sequential(layers.Flatten(), layers.Dense(nets.CLASSES, activation="softmax", dtype="mixed_float16")),
    ]
    assert len({loading.digest(model) for model in nets_apart}) == 3


def test_a_saved_model_digest_tells_weights_and_signatures_apart(tmp_path, exported):
    digests = set()
    for init_seed in (1, 2):
        nets.seeded("mlp-6", init_seed).export(tmp_path / str(init_seed), verbose=False)
        digests |= {loading.load(tmp_path / str(init_seed), signature=name).digest for name in ("serve", "serve")}
        digests.add(loading.load(tmp_path / str(init_seed)).digest)
    assert len(digests) == 4


def test_logits_are_detected_and_from_logits_mends_them(tmp_path):
    model = nets.sequential(layers.Flatten(), layers.Dense(nets.CLASSES))
    path = _saved(model, tmp_path / "raw.keras")
    with pytest.raises(InputError, match=r"'raw' gives logits .*set from_logits = true"):
        loading.load(path)
    classifier = loading.load(path, from_logits=True)
    images = tf.constant(nets.images(3) / 255.0, tf.float32)
    np.testing.assert_allclose(classifier.predict(images), tf.nn.softmax(model(images)), atol=1e-6)
    assert classifier.digest != loading.digest(model)


@pytest.mark.parametrize("span", [(-1.0, 1.0), (0.0, 255.0), (1.0, 0.0)])
def test_a_net_is_shown_images_in_its_own_range(tmp_path, span):
    low, high = span
    plain = nets.seeded("mlp-6", 1)
    model = nets.sequential(layers.Rescaling(1.0 / (high - low), -low / (high - low)), plain)
    path, images = _saved(model, tmp_path / "net.keras"), tf.constant(nets.images(5) / 255.0, tf.float32)
    classifier = loading.load(path, input_range=span)
    np.testing.assert_allclose(classifier.predict(images), plain(images), atol=1e-5)
    assert np.abs(loading.load(path).predict(images) - plain(images)).max() > 1e-3


def test_the_usual_range_changes_no_bit_and_no_digest(tmp_path):
    path = _saved(nets.seeded("mlp-6", 1), tmp_path / "net.keras")
    usual, told = loading.load(path), loading.load(path, input_range=(0.0, 1.0), resize=True, expected_shape=nets.SHAPE)
    images = tf.constant(nets.images(5) / 255.0, tf.float32)
    np.testing.assert_array_equal(usual.predict(images), told.predict(images))
    assert usual.digest == told.digest == loading.digest(nets.seeded("mlp-6", 1))


MOMENTS = {"input_mean": (0.485, 0.456, 0.406), "input_std": (0.229, 0.224, 0.225)}


@pytest.mark.parametrize(
    "moments",
    [MOMENTS, {"input_mean": (0.5,), "input_std": (0.25,)}, {"input_mean": (0.5,), "input_std": (0.2, 0.3, 0.4)}],
)
def test_a_net_is_shown_images_less_their_mean_over_their_deviation(tmp_path, moments):
    model = _of_shape((*LARGER, 3))
    path = _saved(model, tmp_path / "net.keras")
    images = np.random.default_rng(0).random((5, *LARGER, 3)).astype(np.float32)
    shown = np.stack([(image - moments["input_mean"]) / moments["input_std"] for image in images])
    classifier = loading.load(path, **moments)
    np.testing.assert_allclose(classifier.predict(tf.constant(images)), model(shown), atol=1e-5)
    assert np.abs(loading.load(path).predict(tf.constant(images)) - model(shown)).max() > 1e-3


def test_grey_images_are_resized_and_made_colour_before_the_mean_of_each_channel_is_subtracted(tmp_path):
    model = _of_shape((*LARGER, 3))
    images = tf.constant(nets.images(5) / 255.0, tf.float32)
    classifier = loading.load(_saved(model, tmp_path / "net.keras"), **MOMENTS, resize=True, expected_shape=nets.SHAPE)
    shown = tf.image.grayscale_to_rgb(tf.image.resize(images, LARGER))
    expected = model((shown - MOMENTS["input_mean"]) / MOMENTS["input_std"])
    np.testing.assert_allclose(classifier.predict(images), expected, atol=1e-5)


@pytest.mark.parametrize("key", ["input_mean", "input_std"])
def test_as_many_numbers_as_a_net_has_channels_are_expected(tmp_path, key):
    path = _saved(nets.seeded("mlp-6", 1), tmp_path / "net.keras")
    wrong = {"input_mean": (0.5,), "input_std": (0.5,), key: (0.5, 0.5, 0.5)}
    with pytest.raises(InputError, match=f"takes images of 1 channels, and {key} has 3 numbers; give one"):
        loading.load(path, **wrong)


LARGER = (9, 12)


def _of_shape(shape):
    tf.keras.utils.set_random_seed(1)
    return tf.keras.Sequential(
        [tf.keras.Input(shape), layers.Flatten(), layers.Dense(nets.CLASSES, activation="softmax")]
    )


def test_images_are_brought_to_the_size_of_a_net(tmp_path):
    channels = nets.SHAPE[2]
    model = _of_shape((*LARGER, channels))
    path, images = _saved(model, tmp_path / "net.keras"), tf.constant(nets.images(5) / 255.0, tf.float32)
    classifier = loading.load(path, resize=True, expected_shape=nets.SHAPE)
    np.testing.assert_allclose(classifier.predict(images), model(tf.image.resize(images, LARGER)), atol=1e-6)
    assert classifier.input_shape == nets.SHAPE
    with pytest.raises(InputError, match="set resize = true"):
        loading.load(path, expected_shape=nets.SHAPE)


@pytest.mark.parametrize(("images_of", "net_of"), [(1, 3), (3, 1)])
def test_grey_is_repeated_for_a_net_of_colour_and_colour_is_shown_as_grey(tmp_path, images_of, net_of):
    shape = nets.SHAPE[:2]
    model = _of_shape((*shape, net_of))
    images = tf.constant(np.random.default_rng(0).random((5, *shape, images_of)), tf.float32)
    path = _saved(model, tmp_path / "net.keras")
    classifier = loading.load(path, resize=True, expected_shape=(*shape, images_of))
    shown = tf.image.rgb_to_grayscale(images) if net_of == 1 else tf.image.grayscale_to_rgb(images)
    np.testing.assert_allclose(classifier.predict(images), model(shown), atol=1e-3)


def test_each_way_to_show_images_is_a_net_of_its_own(tmp_path):
    path, (height, width) = _saved(_of_shape((*LARGER, 1)), tmp_path / "net.keras"), nets.SHAPE[:2]
    ways = [
        {"resize": True, "expected_shape": (height, width, 1)},
        {"resize": True, "expected_shape": (height + 1, width, 1)},
        {"resize": True, "expected_shape": (height, width, 3)},
        {"resize": True, "expected_shape": (height, width, 1), "input_range": (-1.0, 1.0)},
        {"input_range": (-1.0, 1.0)},
        {"input_mean": (0.5,), "input_std": (0.5,)},
        {"input_mean": (0.5,), "input_std": (0.25,)},
        {"input_mean": (0.25,), "input_std": (0.5,)},
        {},
    ]
    assert len({loading.load(path, **way).digest for way in ways}) == len(ways)


def test_other_channels_than_grey_and_colour_are_not_made_of_each_other(tmp_path):
    path = _saved(_of_shape((*LARGER, 4)), tmp_path / "net.keras")
    with pytest.raises(InputError, match="only grey and colour are made of each other"):
        loading.load(path, resize=True, expected_shape=(*LARGER, 3))


def test_probabilities_are_not_taken_for_logits(tmp_path):
    with pytest.raises(InputError, match="'net' gives probabilities where logits are expected"):
        loading.load(_saved(nets.seeded("mlp-6", 1), tmp_path / "net.keras"), from_logits=True)


def test_a_net_of_nan_weights_is_refused(tmp_path):
    model = nets.seeded("mlp-6", 1)
    model.set_weights([np.full_like(weight, np.nan) for weight in model.get_weights()])
    with pytest.raises(InputError, match="'net' gives 3 of 3 values that are not finite on a black image"):
        loading.load(_saved(model, tmp_path / "net.keras"))


def test_a_lambda_layer_is_refused(tmp_path):
    model = nets.sequential(layers.Lambda(lambda images: images), layers.Flatten(), layers.Dense(3, "softmax"))
    with pytest.raises(InputError, match=r"'net' .* holds a Lambda, which runs code"):
        loading.load(_saved(model, tmp_path / "net.keras"))


@pytest.mark.filterwarnings("ignore:The object being serialized includes a `lambda`")
def test_a_lambda_activation_is_refused(tmp_path):
    model = nets.sequential(layers.Flatten(), layers.Dense(3, activation=lambda values: values))
    with pytest.raises(InputError, match=r"'net' .* has parts that Keras .* cannot rebuild, such as a function"):
        loading.load(_saved(model, tmp_path / "net.keras"))


@pytest.mark.filterwarnings("ignore:The object being serialized includes a `lambda`")
def test_what_a_net_was_trained_with_does_not_matter(tmp_path):
    model = nets.seeded("mlp-6", 1)
    model.compile("adam", loss=lambda wanted, given: tf.reduce_sum(given))
    assert loading.load(_saved(model, tmp_path / "net.keras")).digest == loading.digest(model)


def test_a_class_that_is_not_kerass_own_is_refused(tmp_path):
    class Mine(tf.keras.layers.Layer):
        def call(self, images):
            return images

    model = nets.sequential(Mine(), layers.Flatten(), layers.Dense(3, "softmax"))
    with pytest.raises(InputError, match=r"'net' .* holds 'Mine', which is not one of Keras's own"):
        loading.load(_saved(model, tmp_path / "net.keras"))


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(InputError, match=r"'net': there is nothing at .*net.keras"):
        loading.load(tmp_path / "net.keras")


@pytest.mark.parametrize("kept", [0, 40, 0.5, 0.95])
def test_a_truncated_file_is_told_in_one_sentence(tmp_path, kept):
    path = tmp_path / "net.keras"
    content = _saved(nets.seeded("mlp-6", 1), path) and path.read_bytes()
    path.write_bytes(content[: int(kept * len(content)) if kept < 1 else kept])
    with pytest.raises(InputError, match=r"net.keras cannot be read as a .keras file") as caught:
        loading.load(path)
    assert "\n" not in str(caught.value)


def _damaged(content: bytes, seed: int) -> bytes:
    """Returns the content with one to eight bytes, anywhere or in the archive's directory at its end, made others."""
    generator = np.random.default_rng(seed)
    damaged = bytearray(content)
    start = content.index(b"PK\x01\x02") if seed % 2 else 0
    for place in generator.integers(start, len(content), generator.integers(1, 9)):
        damaged[place] ^= int(generator.integers(1, 256))
    return bytes(damaged)


def test_a_damaged_file_is_told_or_is_the_same_net(tmp_path):
    path = tmp_path / "net.keras"
    content = _saved(nets.seeded("mlp-6", 1), path) and path.read_bytes()
    digest = loading.load(path).digest
    told = 0
    for seed in range(60):
        path.write_bytes(_damaged(content, seed))
        try:  # a byte that says nothing, such as a date, may be any
            assert loading.load(path).digest == digest
        except InputError as error:
            assert re.search(r"net.keras cannot be read as a .keras file", str(error)) and "\n" not in str(error)
            told += 1
    assert told >= 30


@pytest.mark.parametrize(("offset", "value"), [(6, 120), (8, 1), (10, 99)], ids=["version", "encrypted", "compression"])
def test_an_archive_of_a_kind_that_cannot_be_read_is_told(tmp_path, offset, value):
    path = tmp_path / "net.keras"
    content = bytearray(_saved(nets.seeded("mlp-6", 1), path) and path.read_bytes())
    entry = content.index(b"PK\x01\x02")  # of the archive's directory
    while b"config.json" not in content[entry : entry + 60]:
        entry = content.index(b"PK\x01\x02", entry + 1)
    content[entry + offset] = value
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"net.keras cannot be read as a .keras file"):
        loading.load(path)


def test_a_folder_without_a_saved_model_is_told(tmp_path):
    with pytest.raises(InputError, match="cannot be read as a SavedModel"):
        loading.load(tmp_path)


def test_another_kind_of_file_is_told(tmp_path):
    (tmp_path / "net.onnx").write_bytes(b"onnx")
    with pytest.raises(InputError, match=r"neither a .keras file nor a SavedModel folder"):
        loading.load(tmp_path / "net.onnx")


def test_an_h5_file_is_refused_with_the_line_that_converts_it(tmp_path):
    model, old, new = nets.seeded("mlp-6", 1), tmp_path / "old net.h5", tmp_path / "old net.keras"
    model.save(old)
    with pytest.raises(InputError, match=r"neither a .keras file nor a SavedModel folder; convert it with: ") as caught:
        loading.load(old)
    line = re.search(r'python -c "(.*)"\.$', str(caught.value)).group(1)
    exec(line)
    assert loading.load(new).digest == loading.digest(model)


def test_a_file_of_weights_alone_is_refused_with_what_makes_a_net_of_it(tmp_path):
    nets.seeded("mlp-6", 1).save_weights(tmp_path / "net.weights.h5")
    with pytest.raises(InputError, match=r"build its model, call model.load_weights\('.*net\.weights\.h5'\), and save"):
        loading.load(tmp_path / "net.weights.h5")


def _without_input() -> tf.keras.Model:
    return tf.keras.Sequential([layers.Flatten(), layers.Dense(nets.CLASSES, "softmax")])


@pytest.mark.filterwarnings("ignore:You are saving a model that has not yet been built")
def test_a_model_that_never_saw_an_image_is_told_which_input_to_begin_with(tmp_path):
    path = _saved(_without_input(), tmp_path / "net.keras")
    with pytest.raises(InputError, match=r"begin it with a layer Input\(\(6, 5, 1\)\) and save it again"):
        loading.load(path, expected_shape=nets.SHAPE)
    with pytest.raises(InputError, match=r"begin it with a layer Input\(\(H, W, C\)\) and save it again"):
        loading.load(path)


def test_a_model_that_took_the_size_of_its_first_batch_is_told_which_input_to_begin_with(tmp_path):
    model = _without_input()
    model(np.zeros((2, *nets.SHAPE), np.float32))
    with pytest.raises(InputError, match=r"takes batches of exactly 2, .* Input\(\(6, 5, 1\)\)") as caught:
        loading.load(_saved(model, tmp_path / "net.keras"))
    assert "(2, 6, 5, 1)" not in str(caught.value)


@pytest.mark.parametrize("precision", ["float64", "float16"])
def test_a_net_of_another_precision_answers_in_float32(tmp_path, precision):
    model = nets.sequential(layers.Flatten(), layers.Dense(nets.CLASSES, "softmax", dtype=precision))
    images = tf.constant(nets.images(4) / 255.0, tf.float32)
    answers = loading.load(_saved(model, tmp_path / "net.keras")).predict(images)
    assert answers.dtype == tf.float32
    np.testing.assert_allclose(answers, tf.cast(model(images), tf.float32), atol=1e-3)


class _Training(tf.Module):
    """A net exported as it is in training: it normalises by its batch, and leaves out nothing."""

    def __init__(self, phase: bool):
        super().__init__()
        self._phase = phase
        self._net = nets.sequential(
            layers.BatchNormalization(), layers.Flatten(), layers.Dropout(0.0), layers.Dense(nets.CLASSES, "softmax")
        )

    @tf.function(input_signature=[tf.TensorSpec([None, *nets.SHAPE], tf.float32)])
    def answer(self, images):
        return self._net(images, training=self._phase)


def test_a_net_exported_in_training_phase_is_refused_on_images_and_one_in_inference_is_not(tmp_path):
    seeds = nets.images(40).astype(np.float32) / 255.0
    for phase in (True, False):
        module = _Training(phase)
        tf.saved_model.save(module, str(tmp_path / str(phase)), signatures=module.answer)
    preflight.check_on(preflight.Asked(loading.load(tmp_path / "False")), seeds)
    with pytest.raises(InputError, match=r"'True' (does not answer each image by itself|is not deterministic)"):
        preflight.check_on(preflight.Asked(loading.load(tmp_path / "True")), seeds)


def test_a_keras_file_is_asked_in_inference_phase(tmp_path):
    model = nets.sequential(
        layers.BatchNormalization(), layers.Flatten(), layers.Dropout(0.5), layers.Dense(nets.CLASSES, "softmax")
    )
    seeds = nets.images(40).astype(np.float32) / 255.0
    answers = preflight.check_on(preflight.Asked(loading.load(_saved(model, tmp_path / "net.keras"))), seeds)
    np.testing.assert_allclose(answers, model(seeds, training=False), atol=1e-6)


def test_an_open_input_shape_is_settled_by_the_seed_images(tmp_path):
    model = tf.keras.Sequential(
        [tf.keras.Input((None, None, 1)), layers.GlobalAveragePooling2D(), layers.Dense(3, "softmax")]
    )
    path = _saved(model, tmp_path / "net.keras")
    with pytest.raises(InputError, match=r"leaves its input shape \(None, None, 1\) open"):
        loading.load(path)
    assert loading.load(path, expected_shape=(4, 9, 1)).input_shape == (4, 9, 1)
    with pytest.raises(InputError, match=r"takes images of shape \(4, 9, 1\) and the seed images have \(4, 9, 3\)"):
        loading.load(path, expected_shape=(4, 9, 3))


def test_an_answer_that_is_not_a_row_of_classes_is_refused(tmp_path):
    model = nets.sequential(layers.Conv2D(3, 3, padding="same", activation="softmax"))
    with pytest.raises(InputError, match=r"answers 3 images with shape \(3, 6, 5, 3\), not \(3, K\)"):
        loading.load(_saved(model, tmp_path / "net.keras"))


def test_two_inputs_are_refused(tmp_path):
    first, second = tf.keras.Input(nets.SHAPE), tf.keras.Input(nets.SHAPE)
    model = tf.keras.Model([first, second], layers.Flatten()(layers.Add()([first, second])))
    with pytest.raises(InputError, match="has 2 inputs and 1 outputs"):
        loading.load(_saved(model, tmp_path / "net.keras"))
