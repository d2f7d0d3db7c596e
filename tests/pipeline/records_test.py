from __future__ import annotations

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from etils import epath
from PIL import Image

from pipeline import formats, records
from pipeline.kinds import registry
from pipeline.kinds.mistakes.kind import MISTAKES
from tests.pipeline import nets

OUTCOMES = [records.SKIPPED, records.FOUND, records.EXHAUSTED, records.FOUND, records.DROPPED]


def _columns() -> dict:
    count = len(OUTCOMES)
    found = [outcome == records.FOUND for outcome in OUTCOMES]
    return {
        "seed_id": [f"seed-{row}" for row in range(count)],
        "outcome": list(OUTCOMES),
        "moves": list(range(count)),
        "id": [f"id-{row}" if kept else None for row, kept in enumerate(found)],
        "image": [records.encode_png(nets.images(1)[0]) if kept else None for kept in found],
        "parameters": [np.arange(row + 2) / 3 if kept else None for row, kept in enumerate(found)],
    }


@pytest.mark.parametrize("shape", [(8, 8, 1), (9, 7, 3), (1, 1, 1), (1, 5, 3)])
def test_a_png_decodes_to_the_image_that_was_encoded(shape):
    for image in nets.images(3, shape):
        decoded = records.decode_png(records.encode_png(image))
        assert decoded.dtype == np.uint8 and decoded.shape == shape
        np.testing.assert_array_equal(decoded, image)


def test_equal_images_encode_to_equal_bytes():
    image = nets.images(1)[0]
    assert records.encode_png(image) == records.encode_png(image.copy())
    strided = np.repeat(image, 2, axis=0)[::2]
    assert records.encode_png(strided) == records.encode_png(image)


@pytest.mark.parametrize("format", ["BMP", "GIF"])
def test_what_is_no_png_is_not_decoded(format):
    stream = io.BytesIO()
    Image.fromarray(nets.images(1)[0, ..., 0]).save(stream, format)
    with pytest.raises(OSError):
        records.decode_png(stream.getvalue())


def test_a_digest_does_not_depend_on_the_order_of_keys():
    one = records.digest({"a": 1, "b": {"c": [1, 2], "d": None}})
    assert one == records.digest({"b": {"d": None, "c": [1, 2]}, "a": 1})
    assert len(one) == 64 and set(one) <= set("0123456789abcdef")


@pytest.mark.parametrize("other", [{"a": 2}, {"b": 1}, {"a": "1"}, {"a": [1]}, {"a": 1.5}, {}, [["a", 1]]])
def test_another_value_has_another_digest(other):
    assert records.digest(other) != records.digest({"a": 1})


def test_an_example_id_changes_with_everything_that_determines_the_example():
    arguments = ["config", 3, "seed-1", "target"]
    first = records.example_id(*arguments)
    assert len(first) == 32 and first == records.example_id(*arguments)
    others = [[*arguments[:place], change, *arguments[place + 1 :]] for place, change in enumerate(["c", 4, "s", "t"])]
    assert len({first, *(records.example_id(*other) for other in others)}) == 5


def test_a_seed_image_is_its_id_and_its_pixels():
    image = np.arange(12, dtype=np.uint8).reshape(3, 4, 1)
    assert records.made_from("a", image) == records.made_from("a", image[::-1].copy()[::-1])
    assert len({records.made_from("a", image), records.made_from("b", image), records.made_from("a", image[::-1])}) == 3


def test_a_chunk_has_every_column_and_null_where_nothing_is_given():
    table = records.chunk_table(MISTAKES.schema(), _columns(), len(OUTCOMES))
    assert table.schema == MISTAKES.schema() and table.num_rows == len(OUTCOMES)
    assert table["grade"].null_count == len(OUTCOMES)


def test_a_chunk_says_its_format(chunk):
    assert pq.read_schema(chunk).metadata[b"format"] == str(formats.FORMAT).encode()


@pytest.mark.parametrize("kind", registry.KINDS, ids=lambda kind: kind.name)
def test_a_chunk_of_every_kind_has_the_columns_of_a_trial_first(kind):
    assert kind.schema().names[: len(records.TRIAL_FIELDS)] == records.TRIALS_SCHEMA.names


def test_a_chunk_of_no_rows_is_a_chunk():
    table = records.chunk_table(MISTAKES.schema(), {}, 0)
    assert table.schema == MISTAKES.schema() and table.num_rows == 0


def test_equal_tables_give_equal_bytes():
    count = len(OUTCOMES)
    one, other = (
        records.chunk_table(MISTAKES.schema(), _columns(), count),
        records.chunk_table(MISTAKES.schema(), _columns(), count),
    )
    assert records.table_bytes(one) == records.table_bytes(other)
    pieces = pa.concat_tables([one[:2], one[2:]]).combine_chunks()
    assert records.table_bytes(pieces) == records.table_bytes(one)


def test_another_table_gives_other_bytes():
    columns = {**_columns(), "moves": [9] * len(OUTCOMES)}
    one, other = (records.chunk_table(MISTAKES.schema(), given, len(OUTCOMES)) for given in (_columns(), columns))
    assert records.table_bytes(one) != records.table_bytes(other)


@pytest.fixture
def chunk(tmp_path) -> epath.Path:
    path = epath.Path(tmp_path) / "000000.parquet"
    path.write_bytes(records.table_bytes(records.chunk_table(MISTAKES.schema(), _columns(), len(OUTCOMES))))
    return path


def test_a_table_is_read_as_it_was_written(chunk):
    assert records.read_table(chunk).equals(records.chunk_table(MISTAKES.schema(), _columns(), len(OUTCOMES)))


def test_only_the_columns_asked_for_are_read(chunk):
    table = records.read_table(chunk, records.TRIALS_SCHEMA.names)
    assert table.schema == records.TRIALS_SCHEMA and table.num_rows == len(OUTCOMES)


def test_of_a_large_table_little_more_is_read_than_the_columns_asked_for(tmp_path, monkeypatch):
    noise = np.random.default_rng(0).integers(0, 256, (4, 1 << 20), np.uint8)
    table = pa.table({"reason": ["a", "b", "c", "d"], "image": [row.tobytes() for row in noise]})
    path, counted = epath.Path(tmp_path) / "large.parquet", []
    path.write_bytes(records.table_bytes(table))
    read = records._ForArrow.read
    monkeypatch.setattr(records._ForArrow, "read", lambda *given: counted.append(read(*given)) or counted[-1])
    assert records.read_table(path, ["reason"]).equals(table.select(["reason"]))
    assert 0 < sum(map(len, counted)) < 1 << 18
    assert records.read_table(path).equals(table)


def test_columns_come_in_the_order_asked_for(chunk):
    for columns in (["outcome", "seed_id"], ["seed_id", "outcome"]):
        assert records.read_table(chunk, columns).column_names == columns


def test_examples_are_the_found_rows_in_their_order(chunk):
    examples = list(records.read_examples(chunk))
    assert [example["id"] for example in examples] == ["id-1", "id-3"]
    assert set(examples[0]) == set(MISTAKES.schema().names)
    np.testing.assert_array_equal(records.decode_png(examples[1]["image"]), nets.images(1)[0])
    assert examples[1]["parameters"] == (np.arange(5) / 3).tolist()


def test_a_chunk_without_a_find_gives_no_examples(tmp_path):
    path = epath.Path(tmp_path) / "000000.parquet"
    columns = {"outcome": [records.EXHAUSTED, None]}
    path.write_bytes(records.table_bytes(records.chunk_table(MISTAKES.schema(), columns, 2)))
    assert list(records.read_examples(path)) == []
