"""What the benchmarks say where their seed images are missing."""

import pytest

from benchmarks import mnist


def test_mnist_that_is_not_prepared_is_told_in_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setenv("PEERPRESSURE_SHARED_TFDS", str(tmp_path))
    with pytest.raises(SystemExit) as ended:
        mnist.seeds()
    told = str(ended.value)
    assert told.startswith(f"benchmarks: error: MNIST is not prepared in {tmp_path}; run `tfds build mnist`")
    assert "PEERPRESSURE_SHARED_TFDS" in told and "\n" not in told
