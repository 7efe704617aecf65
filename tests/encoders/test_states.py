"""States on disk: computed once, shared by nobody else, and never by opening a run."""

import errno
import logging
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

pytest.importorskip("transformers")

from rationalizers.batch import Packed
from rationalizers.build import build
from rationalizers.encoders import Encoder, GRUEncoder
from rationalizers.encoders import pretrained as module
from rationalizers.encoders.states import StateCache, cache_root, content_keys, in_batches, separate
from rationalizers.segment import lengths, offsets
from tests.encoders.tiny_transformers import VOCABULARY, WIDTH, architecture, saved


def texts(sizes=(5, 0, 2, 9, 9), seed=0):
    units = torch.randint(5, VOCABULARY, (sum(sizes),), generator=torch.Generator().manual_seed(seed))
    return Packed(units=units, ptr=offsets(torch.tensor(sizes)))


SPLITS = [[texts(seed=1), texts((4, 4), seed=2)], [texts((6,), seed=3)], [texts((6,), seed=3)]]
DOCUMENTS = 4 + 2 + 1


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("bert")
    saved(place)
    return place


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("RATIONALIZERS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def encoder(folder, **changes):
    described = {
        "_target_": "rationalizers.encoders.PretrainedEncoder",
        "pretrained": str(folder),
        "architecture": architecture("bert"),
        "vocabulary": VOCABULARY,
        "mask_id": 4,
        "frozen": True,
        "max_length": 20,
        **changes,
    }
    model = build(described, Encoder).eval()
    model.initialize(())
    return model


@pytest.fixture
def model(folder):
    return encoder(folder)


def files(root):
    return sorted(path for path in root.rglob("*") if path.is_file())


@pytest.fixture
def passes(monkeypatch):
    """How many examples went through a transformer."""
    seen = []
    original = module.windows

    def counting(batch, **arguments):
        seen.append(int((lengths(batch.ptr) > 0).sum()))
        return original(batch, **arguments)

    monkeypatch.setattr(module, "windows", counting)
    return seen


def test_nothing_is_written_by_an_encoder_that_was_not_prepared(model, root):
    model.states(texts())
    model.train().states(texts())
    assert not root.exists()


def test_what_is_prepared_is_computed_once_and_the_same(model, root, folder, passes, caplog):
    before = [model.states(batch) for split in SPLITS for batch in split]
    passes.clear()
    with caplog.at_level(logging.INFO):
        model.prepare(SPLITS)
    assert sum(passes) == len(files(root)) == DOCUMENTS
    assert (model.prepared["documents"], model.prepared["encoded"]) == (DOCUMENTS, DOCUMENTS)
    assert model.prepared["bytes"] == sum(path.stat().st_size for path in files(root))
    assert model.prepared["seconds"] > 0
    assert f"states of {DOCUMENTS} documents are in {root}" in caplog.text
    after = [model.states(batch) for split in SPLITS for batch in split]
    assert sum(passes) == DOCUMENTS
    for ours, theirs in zip(after, before, strict=True):
        torch.testing.assert_close(ours, theirs, atol=2e-3, rtol=1e-3)
        assert ours.dtype == torch.float32
    twin = encoder(folder)
    twin.prepare(SPLITS)
    assert sum(passes) == DOCUMENTS
    assert (twin.prepared["documents"], twin.prepared["encoded"], twin.prepared["bytes"]) == (DOCUMENTS, 0, 0)
    assert twin.states(SPLITS[0][0]).equal(after[0])


def test_files_say_what_they_are(model, root):
    batch = texts((5,))
    model.prepare([[batch]])
    (file,) = files(root)
    (key,) = content_keys(batch)
    assert file.relative_to(root).parts[0] == "states"
    assert file.parts[-2:] == (key[:2], f"{key}.safetensors")
    assert load_file(file)["states"].shape == (5, WIDTH)
    assert load_file(file)["states"].dtype == torch.float16


def test_progress_is_reported(model, monkeypatch, caplog):
    monkeypatch.setattr(module, "SECONDS_BETWEEN_REPORTS", -1.0)
    monkeypatch.setattr(module, "PLACES", 1)
    with caplog.at_level(logging.INFO):
        model.prepare(SPLITS)
    assert f"encoded 3 of {DOCUMENTS} documents, 0 s" in caplog.text


def test_what_was_not_prepared_is_computed_and_kept(model, root, passes):
    model.prepare([])
    batch = texts((3, 7, 3, 0))
    twice = Packed.collate([batch, batch])
    h = model.states(twice)
    assert h.shape == (26, WIDTH)
    assert h[:13].equal(h[13:])
    assert sum(passes) == len(files(root)) == 3
    assert model.states(batch).equal(h[:13])
    assert sum(passes) == 3
    assert model.states(texts((0, 0))).shape == (0, WIDTH)
    torch.testing.assert_close(h[:13], model.encode(model.embed(batch), batch), atol=2e-3, rtol=1e-3)


def test_dropout_acts_on_states_from_the_cache(folder):
    model = encoder(folder, dropout=0.5).train()
    model.prepare(SPLITS)
    batch = SPLITS[0][0]
    assert 0.3 < (model.states(batch) == 0).float().mean() < 0.7
    assert not model.states(batch).equal(model.states(batch))
    assert model.eval().states(batch).equal(model.states(batch))


@pytest.mark.parametrize("damage", ["cut", "empty", "other size", "other kind", "other name"])
def test_a_broken_file_is_computed_again(model, root, damage, caplog):
    batch = texts((5,))
    model.prepare([[batch]])
    whole = model.states(batch)
    (file,) = files(root)
    content = file.read_bytes()
    if damage in ("cut", "empty"):
        file.write_bytes(content[:-7] if damage == "cut" else b"")
    else:
        name = "other" if damage == "other name" else "states"
        shape = (4, WIDTH) if damage == "other size" else (5, WIDTH)
        save_file({name: torch.zeros(shape, dtype=torch.float32 if damage == "other kind" else torch.float16)}, file)
    assert model.states(batch).equal(whole)
    assert str(file) in caplog.text
    assert "computed again" in caplog.text
    assert file.read_bytes() == content
    assert files(root) == [file]


def test_encoders_share_only_with_their_equals(folder, tmp_path, root):
    saved(tmp_path / "other", seed=1)
    quiet = {**architecture("bert"), "layer_norm_eps": 1e-3}
    several = [
        encoder(folder),
        encoder(tmp_path / "other"),
        encoder(folder, max_length=19),
        encoder(folder, architecture=quiet),
    ]
    for count, each in enumerate(several, 1):
        each.prepare([[texts((5,))]])
        assert len(files(root)) == count
    encoder(folder, dropout=0.3, mask_id=7).prepare([[texts((5,))]])
    assert len(files(root)) == len(several)


def test_content_is_units_positions_and_fixed_flags():
    batch = texts((5, 0, 2))
    several = [
        batch,
        replace(batch, units=batch.units.flip(0)),
        replace(batch, position=batch.position + 1),
        replace(batch, fixed=~batch.fixed),
        replace(batch, ptr=torch.tensor([0, 4, 4, 7])),
    ]
    keys = [content_keys(each) for each in several]
    assert len({key[0] for key in keys}) == len(several)
    assert content_keys(Packed.collate([texts((9,), seed=5), batch]))[1:] == keys[0]


def test_a_gru_or_a_tuned_encoder_prepares_nothing(folder, root):
    class Untouched:
        def __iter__(self):
            raise AssertionError("the batches were read")

    tuned = encoder(folder, frozen=False)
    for each in (tuned, GRUEncoder(vocabulary=9, mask_id=1)):
        each.prepare([Untouched()])
        assert each.prepared == {}
    assert tuned.states(texts()).requires_grad
    assert not root.exists()


def test_batches_hold_what_fits_the_longest_first():
    examples = separate(texts((5, 0, 2, 9, 9)))
    assert [len(keys) for keys, _ in in_batches(examples, places=18)] == [2, 2]
    assert [lengths(batch.ptr).tolist() for _, batch in in_batches(examples, places=1)] == [[9], [9], [5], [2]]


# Where it lies --------------------------------------------------------------------------------------------------------


def test_the_folder_is_that_of_the_environment_or_the_users(monkeypatch, tmp_path):
    assert cache_root() == tmp_path / "cache"
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RATIONALIZERS_CACHE", "~/elsewhere")
    assert cache_root() == tmp_path / "elsewhere"
    monkeypatch.delenv("RATIONALIZERS_CACHE")
    pytest.importorskip("pooch")
    assert cache_root().name == "rationalizers"


def test_an_unwritable_folder_is_named_with_a_remedy(model, root):
    root.write_text("a file where the folder should be")
    with pytest.raises(OSError, match=f"cannot write to the cache of states {root}.* set RATIONALIZERS_CACHE"):
        model.prepare(SPLITS)


def test_a_full_disk_leaves_no_half_a_file(root, monkeypatch):
    cache = StateCache("key", width=2)

    def full(self, content):
        with open(self, "wb") as file:
            file.write(content[:5])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match=r"No space left on device.*make room, or set RATIONALIZERS_CACHE") as caught:
        cache.write("abc", torch.zeros(3, 2))
    assert caught.value.errno == errno.ENOSPC
    assert files(root) == []
