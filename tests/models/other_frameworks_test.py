"""Nets from JAX and PyTorch, brought here by the code that docs/other_frameworks.md gives."""

from __future__ import annotations

import importlib.util
import os
import pathlib
import re
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import tensorflow as tf

from models import kernels, loading, preflight
from models.errors import InputError
from tests.models import nets

PAGE = (pathlib.Path(__file__).parents[2] / "docs/other_frameworks.md").read_text()
# What `write` wrote of the page's module with PyTorch 2.15, after sixty steps of training.
STORED = pathlib.Path(__file__).parent / "torch_net.npz"
STEPS, RATE = 3, 0.1


def _needs(library: str) -> pytest.MarkDecorator:
    """Marks what runs in a process of its own, so that the library is not imported in this one."""
    missing = importlib.util.find_spec(library) is None
    return pytest.mark.skipif(missing, reason=f"{library} is not installed, which this test runs the page's code with")


def _code(title: str) -> list[str]:
    """Returns the blocks of Python below a title of the page."""
    section = re.split(r"^## ", PAGE.split(f"\n## {title}\n")[1], flags=re.MULTILINE)[0]
    return re.findall(r"```python\n(.*?)```", section, re.DOTALL)


def _run(folder: pathlib.Path, code: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2", "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ended.returncode == 0, ended.stderr


def _arrays(path: pathlib.Path) -> dict[str, np.ndarray]:
    with np.load(path) as stored:
        return dict(stored)


# A net of a batch, the same of one image, one that normalises by its batch, and what JAX says of the first.
_JAX_NETS = f"""
import jax
import jax.numpy as jnp
import numpy as np

SHAPE, CLASSES, LABEL = {nets.SHAPE}, {nets.CLASSES}, 1
generator = np.random.default_rng(3)


def normal(*shape):
    return (0.5 * generator.normal(size=shape)).astype(np.float32)


params = {{"kernel": normal(3, 3, SHAPE[2], 4), "bias": normal(4), "weights": normal(SHAPE[0] * SHAPE[1] * 4, CLASSES)}}


def convolved(images):
    layout = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(images, params["kernel"], (1, 1), "SAME", dimension_numbers=layout)


def top(values):
    return jax.nn.softmax(values.reshape(values.shape[0], -1) @ params["weights"])


def net(images):
    return top(jax.nn.gelu(convolved(images) + params["bias"]))


def of_its_batch(images):
    values = convolved(images)
    return top((values - values.mean(axis=0)) / (values.std(axis=0) + 1e-3))


save(net, SHAPE, "net")
save(jax.vmap(lambda image: net(image[None])[0]), SHAPE, "one_image")
save(of_its_batch, SHAPE, "of_its_batch")

images = generator.random((9, *SHAPE)).astype(np.float32)
likelihood = jax.grad(lambda changed: jnp.log(net(changed)[:, LABEL]).sum())
climbed = images
for _ in range({STEPS}):
    climbed = climbed + {RATE} * likelihood(climbed)
np.savez("said.npz", images=images, answers=net(images), gradient=likelihood(images), climbed=climbed)
"""


@pytest.fixture(scope="module")
def from_jax(tmp_path_factory) -> pathlib.Path:
    """A folder of SavedModels that the page's `save` made of JAX functions, and of what the functions say."""
    folder, (save,) = tmp_path_factory.mktemp("from_jax"), _code("JAX")
    _run(folder, save + _JAX_NETS + save.replace("gradients=True", "gradients=False") + 'save(net, SHAPE, "forward")')
    return folder


@pytest.fixture(scope="module")
def said(from_jax) -> dict[str, np.ndarray]:
    """What JAX says: `images`, `answers`, the `gradient`, and the images `climbed` along it."""
    return _arrays(from_jax / "said.npz")


@_needs("jax")
@pytest.mark.parametrize("name", ["net", "one_image", "forward"])
def test_a_saved_model_from_jax_answers_as_its_function(from_jax, said, name):
    classifier = loading.load(from_jax / name)
    assert (classifier.input_shape, classifier.num_classes) == (nets.SHAPE, nets.CLASSES)
    for choice in (kernels.XLA, kernels.TENSORFLOW):
        answers = kernels.compiled(classifier.predict, choice)(tf.constant(said["images"]))
        np.testing.assert_allclose(answers, said["answers"], atol=1e-5)


@_needs("jax")
@pytest.mark.parametrize("name", ["net", "one_image"])
def test_a_saved_model_from_jax_passes_the_checks(from_jax, name):
    classifier = loading.load(from_jax / name)
    answers = preflight.check_on(preflight.Asked(classifier), nets.images(40).astype(np.float32) / 255.0)
    assert answers.shape == (40, nets.CLASSES)
    preflight.check_varies(classifier)
    preflight.check_gradient(classifier)


@_needs("jax")
@pytest.mark.parametrize("name", ["net", "one_image"])
def test_the_gradient_of_a_saved_model_from_jax_is_jaxs_also_in_a_compiled_loop(from_jax, said, name):
    classifier = loading.load(from_jax / name)

    def gradient(images: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(images)
            likelihood = tf.math.log(classifier.predict(images)[:, 1])
        return tape.gradient(likelihood, images)

    def climb(images: tf.Tensor) -> tf.Tensor:
        step = lambda place, changed: (place + 1, changed + RATE * gradient(changed))  # noqa: E731
        return tf.while_loop(lambda place, _: place < STEPS, step, (0, images))[1]

    images = tf.constant(said["images"])
    for function, wanted in ((gradient, said["gradient"]), (climb, said["climbed"])):
        found = kernels.compiled(function, classifier.kernels)(images)
        np.testing.assert_allclose(found, wanted, atol=1e-5)
    assert np.abs(said["gradient"]).max() > 0.1


@_needs("jax")
def test_a_saved_model_from_jax_without_its_gradient_answers_but_cannot_be_attacked(from_jax):
    classifier = loading.load(from_jax / "forward")
    preflight.check_varies(classifier)
    with pytest.raises(InputError, match="SavedModel exported with its gradients"):
        preflight.check_gradient(classifier)


@_needs("jax")
def test_a_net_from_jax_that_normalises_by_its_batch_is_refused(from_jax):
    classifier = loading.load(from_jax / "of_its_batch")
    with pytest.raises(InputError, match="does not answer each image by itself"):
        preflight.check_on(preflight.Asked(classifier), nets.images(40).astype(np.float32) / 255.0)


_FIT = """
import numpy as np

generator = np.random.default_rng(3)
images, labels = generator.random((64, 28, 28, 1)), generator.integers(0, 10, 64)
model.compile("adam", "sparse_categorical_crossentropy")
model.fit(images, labels, epochs=2, verbose=0)
np.savez("said.npz", images=images, answers=model.predict(images, verbose=0), backend=keras.backend.backend())
"""


@pytest.mark.parametrize("backend", [pytest.param(name, marks=_needs(name)) for name in ("jax", "torch")])
def test_a_keras_net_of_another_backend_answers_here_as_there(tmp_path, backend):
    (code,) = _code("Keras 3 with another backend")
    code, places = re.subn(r"# \.\.\. model\.compile.*\n", lambda _: _FIT, code)
    assert places == 1
    _run(tmp_path, code.replace('"jax"', f'"{backend}"'))
    said, classifier = _arrays(tmp_path / "said.npz"), loading.load(tmp_path / "net.keras")
    assert said["backend"] == backend
    answers = classifier.predict(tf.constant(said["images"], tf.float32))
    np.testing.assert_allclose(answers, said["answers"], atol=1e-5)
    preflight.check_gradient(classifier)


def _fill(folder: pathlib.Path, monkeypatch, **changes: str) -> None:
    """Runs the page's code that builds PyTorch's layers in Keras, on the file `net.npz` of a folder."""
    code = _code("PyTorch")[1]
    for old, new in changes.items():
        assert code.count(old) == 1
        code = code.replace(old, new)
    monkeypatch.chdir(folder)
    exec(code, {})


def _stored(folder: pathlib.Path) -> pathlib.Path:
    (folder / "net.npz").write_bytes(STORED.read_bytes())
    return folder


def _require_pytorchs_answers(folder: pathlib.Path) -> None:
    said, classifier = _arrays(folder / "net.npz"), loading.load(folder / "net.keras", from_logits=True)
    images = tf.constant(said["images"].transpose(0, 2, 3, 1))
    np.testing.assert_allclose(classifier.predict(images), tf.nn.softmax(said["answers"]), atol=1e-5)
    preflight.check_on(preflight.Asked(classifier), images.numpy())
    preflight.check_gradient(classifier)


def test_weights_of_pytorch_give_the_same_answers_in_keras(tmp_path, monkeypatch):
    _fill(_stored(tmp_path), monkeypatch)
    _require_pytorchs_answers(tmp_path)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("        layers.Permute((3, 1, 2)),\n", ""),
        ("epsilon=1e-5, ", ""),
        ("strides=2, ", 'strides=2, padding="same", '),
        ("(2, 3, 1, 0)", "(3, 2, 1, 0)"),
    ],
    ids=["order", "epsilon", "padding", "axes"],
)
def test_layers_that_are_not_pytorchs_are_told_by_the_comparison(tmp_path, monkeypatch, old, new):
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        _fill(_stored(tmp_path), monkeypatch, **{old: new})


# So many steps that the moments of the batch normalisation are those of the images.
_TORCH_NET = """
from torch import nn

torch.manual_seed(3)
net = {module}
optimizer = torch.optim.SGD(net.parameters(), 0.1)
for _ in range(60):
    images = torch.rand(32, 1, 16, 16)
    optimizer.zero_grad()
    nn.functional.cross_entropy(net(images), torch.randint(0, 10, (32,))).backward()
    optimizer.step()
write(net, torch.rand(8, 1, 16, 16), "net.npz")
"""


@_needs("torch")
def test_a_module_of_pytorch_gives_the_same_answers_in_keras(tmp_path, monkeypatch):
    module = textwrap.dedent(re.search(r"\n( {4}nn\.Sequential\(.*?\n {4}\))\n", PAGE, re.DOTALL)[1])
    _run(tmp_path, _code("PyTorch")[0] + _TORCH_NET.format(module=module))
    _fill(tmp_path, monkeypatch)
    _require_pytorchs_answers(tmp_path)
