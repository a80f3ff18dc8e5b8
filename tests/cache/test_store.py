"""The folder of entries: what is damaged or foreign is never used, and it never grows beyond its limit."""

from __future__ import annotations

import errno
import multiprocessing
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tvm_re2na import cache
from tvm_re2na.cache import store as module
from tvm_re2na.cache.store import MAGIC, CacheStore, pack, unpack

KEY = {"kind": "test", "model": "1"}
PARTS = {"one": b"some bytes", "two": b"", "three": bytes(range(256))}
LIMIT = 2**20


def entry(folder: Path) -> Path:
    (path,) = folder.iterdir()
    return path


def ages(store: CacheStore, *keys: dict[str, str]) -> None:
    """Used in this order, a second apart, long ago."""
    for index, key in enumerate(keys):
        os.utime(store._path(key), (1000 + index, 1000 + index))


def test_what_was_put_is_found(tmp_path: Path) -> None:
    store = CacheStore(tmp_path / "not" / "there", LIMIT)
    assert store.get(KEY) is None
    store.put(KEY, PARTS)
    assert store.get(dict(reversed(KEY.items()))) == PARTS
    assert store.get({**KEY, "model": "2"}) is None
    assert store.folder.stat().st_mode & 0o777 == 0o700


def test_every_flipped_bit_and_every_shorter_file_is_noticed() -> None:
    whole = pack(KEY, PARTS)
    assert unpack(whole, KEY) == PARTS
    for index in range(len(whole)):
        flipped = bytearray(whole)
        flipped[index] ^= 1 << index % 8
        assert unpack(bytes(flipped), KEY) is None
        assert unpack(whole[:index], KEY) is None
    assert unpack(whole + b"\0", KEY) is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"somebody else's file",
        pack({**KEY, "model": "2"}, PARTS),  # another entry under this name
        pack({**KEY, "new": ""}, PARTS),
        pack(KEY, PARTS).replace(MAGIC, b"re2na cache 2\n"),
    ],
)
def test_what_is_foreign_is_made_anew(tmp_path: Path, content: bytes) -> None:
    store = CacheStore(tmp_path, LIMIT)
    store.put(KEY, PARTS)
    entry(tmp_path).write_bytes(content)
    assert store.get(KEY) is None
    store.put(KEY, PARTS)
    assert store.get(KEY) == PARTS


def test_a_whole_entry_with_a_strange_header(monkeypatch: pytest.MonkeyPatch) -> None:
    for text in ("[]", "{}", '{"key": 1}', "no JSON", '{"key": {"kind": "test", "model": "1"}, "parts": [1]}'):
        with monkeypatch.context() as patched:
            patched.setattr(module.json, "dumps", lambda *_, text=text: text)
            content = pack(KEY, PARTS)
        assert unpack(content, KEY) is None


def test_links_and_folders_are_no_entries(tmp_path: Path) -> None:
    store = CacheStore(tmp_path / "cache", LIMIT)
    store.put(KEY, PARTS)
    path = entry(store.folder)
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert store.get(KEY) is None
    path.unlink()
    path.mkdir()
    assert store.get(KEY) is None


def test_an_entry_of_another_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = CacheStore(tmp_path, LIMIT)
    store.put(KEY, PARTS)
    other = os.geteuid() + 1
    monkeypatch.setattr(module.os, "geteuid", lambda: other)
    assert store.get(KEY) is None


def test_what_was_not_used_for_longest_goes(tmp_path: Path) -> None:
    first, second, third = ({**KEY, "model": name} for name in "123")
    size = len(pack(first, PARTS))
    store = CacheStore(tmp_path, 2 * size)
    store.put(first, PARTS)
    store.put(second, PARTS)
    ages(store, first, second)
    assert store.get(first) == PARTS  # used now: the second is older
    store.put(third, PARTS)
    assert store.get(second) is None
    assert store.get(first) == store.get(third) == PARTS
    assert store.size() == (2, 2 * size)


def test_what_is_larger_than_the_limit_is_not_kept(tmp_path: Path) -> None:
    small, large = {**KEY, "model": "small"}, {**KEY, "model": "large"}
    store = CacheStore(tmp_path, len(pack(small, PARTS)))
    store.put(small, PARTS)
    store.put(large, {"one": bytes(LIMIT)})
    assert store.get(large) is None
    assert store.get(small) == PARTS


def test_a_disk_that_takes_nothing_costs_the_entry_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(module, "write_atomically", full)
        CacheStore(tmp_path, LIMIT).put(KEY, PARTS)
    with monkeypatch.context() as patched:
        patched.setattr(module.Path, "mkdir", full)
        CacheStore(tmp_path / "new", LIMIT).put(KEY, PARTS)
    assert not list(tmp_path.iterdir())


def test_clearing_leaves_what_is_not_ours(tmp_path: Path) -> None:
    store = CacheStore(tmp_path, LIMIT)
    store.put(KEY, PARTS)
    left = tmp_path / f".{entry(tmp_path).name}.abc"  # by a process that was killed as it wrote
    left.write_bytes(b"12345")
    (tmp_path / "notes.txt").write_text("mine")
    assert store.clear() == (2, len(pack(KEY, PARTS)) + 5)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
    assert store.size() == (0, 0)


def _work(folder: Path, limit: int, worker: int) -> int:
    """Puts and gets what others put and get; returns how often it was there."""
    store, found = CacheStore(folder, limit), 0
    for index in range(150):
        key = {**KEY, "model": str((index * 7 + worker) % 9)}
        parts = store.get(key)
        expected = {"model": key["model"].encode() * 1000}
        assert parts in (None, expected)
        found += parts is not None
        store.put(key, expected)
    return found


def test_processes_at_once(tmp_path: Path) -> None:
    """Entries come and go under each other's hands: what is found is whole, and nobody fails."""
    limit = 5 * len(pack({**KEY, "model": "0"}, {"model": bytes(1000)}))
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        found = pool.starmap(_work, [(tmp_path, limit, worker) for worker in range(2)])
    assert sum(found) > 0
    files, size = CacheStore(tmp_path, limit).size()
    assert files > 0 and size <= 2 * limit


# ---- the user's


def test_where_the_folder_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("RE2NA_CACHE", raising=False)
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache.folder() == Path("/home/somebody/.cache/re2na")
    monkeypatch.setenv("XDG_CACHE_HOME", "not/absolute")
    assert cache.folder() == Path("/home/somebody/.cache/re2na")
    monkeypatch.setenv("XDG_CACHE_HOME", "/scratch")
    assert cache.folder() == Path("/scratch/re2na")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(cache.Path, "home", nobody)
    assert cache.folder() == Path(tempfile.gettempdir()) / f"re2na.{os.geteuid()}"
    monkeypatch.setenv("RE2NA_CACHE", "here")
    assert cache.folder() == Path.cwd() / "here"


def test_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    for text, number in (("", 2 * 2**30), ("0", 0), ("1000", 1000)):
        monkeypatch.setenv("RE2NA_CACHE_BYTES", text)
        assert cache.limit() == number
    for text in ("2G", "-1", "1.5"):
        monkeypatch.setenv("RE2NA_CACHE_BYTES", text)
        with pytest.raises(cache.CacheError, match=f"RE2NA_CACHE_BYTES = '{text}' is no number of bytes"):
            cache.limit()


def test_off(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache.current() == CacheStore(kept, 2 * 2**30)
    with cache.off():
        assert cache.current() is None
        with cache.off(when=False):
            assert cache.current() is None
    with cache.off(when=False):
        assert cache.current() is not None
    monkeypatch.setenv("RE2NA_CACHE_BYTES", "0")
    assert cache.current() is None


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o777])
def test_a_folder_that_others_can_write_to(kept: Path, caplog: pytest.LogCaptureFixture, mode: int) -> None:
    kept.mkdir()
    kept.chmod(mode)
    assert cache.current() is cache.current() is None
    (record,) = caplog.records  # told once
    assert record.getMessage() == (
        f"the cache is not used: {kept} can be written by others (mode {mode:o}): chmod go-w {kept}"
    )
    CacheStore(kept, LIMIT).put(KEY, PARTS)
    assert not list(kept.iterdir())
    kept.chmod(0o755)
    assert cache.current() is not None


def test_a_folder_of_another_user(
    kept: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept.mkdir()
    owner = os.geteuid()
    monkeypatch.setattr(module.os, "geteuid", lambda: owner + 1)
    assert cache.current() is None
    assert f"{kept} belongs to user {owner}, this is user {owner + 1}" in caplog.text


def test_a_file_where_the_folder_should_be(kept: Path, caplog: pytest.LogCaptureFixture) -> None:
    kept.write_text("")
    assert cache.current() is None
    assert f"{kept} is no folder" in caplog.text


def test_the_warning_is_one_line(kept: Path) -> None:
    kept.mkdir(mode=0o700)
    kept.chmod(0o777)
    code = "from tvm_re2na import cache\nassert cache.current() is cache.current() is None"
    told = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stderr
    assert told == f"the cache is not used: {kept} can be written by others (mode 777): chmod go-w {kept}\n"
