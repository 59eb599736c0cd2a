"""The record of checksums, and hashes of many files."""

import hashlib
import json
from pathlib import Path

import pytest

from eqvi.datasets.checksums import Checksum, add, fingerprint, lookup
from eqvi.errors import InputError
from eqvi.files import git_blob, sha256


def test_later_copies_are_compared_with_the_first(tmp_path: Path) -> None:
    record = tmp_path / "results" / "hashes.json"
    record.parent.mkdir()
    assert lookup("a", record) is None
    add({"b": Checksum("2" * 64, 2, "there"), "a": Checksum("1" * 64, 1, "here")}, record)
    first = record.read_text()
    add({"a": Checksum("1" * 64, 1, "elsewhere")}, record)
    assert record.read_text() == first
    assert list(json.loads(first)) == ["a", "b"]
    with pytest.raises(InputError, match=r"a from elsewhere has sha256 3333.*from here, has 1111") as error:
        add({"c": Checksum("4" * 64, 1, "x"), "a": Checksum("3" * 64, 1, "elsewhere")}, record)
    assert "\n" not in str(error.value)
    assert record.read_text() == first


@pytest.mark.parametrize("text", ["{", "[]", '{"a": {"sha256": "0"}}', '{"a": 1}'])
def test_a_damaged_record_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "hashes.json").write_text(text)
    with pytest.raises(InputError, match="no record of hashes"):
        lookup("a", tmp_path / "hashes.json")


def test_hashes_of_a_file_are_those_of_git_and_sha256sum(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"what is up, doc?")
    assert git_blob(tmp_path / "a") == "bd9dbf5aae1a3862dd1526723246b20206e5fc37"  # the example of Pro Git, 10.2
    assert sha256(tmp_path / "a") == hashlib.sha256(b"what is up, doc?").hexdigest()


def test_fingerprint_is_what_sha256sum_says() -> None:
    assert fingerprint([("a", "0" * 64)]) == hashlib.sha256(b"0" * 64 + b"  a\n").hexdigest()
