"""The networks that ship: small, safe, checked, and made by the notebooks."""

import hashlib
import os
import random
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from gan_helpers import pretrained
from tools import notebooks


def small(units=3, activation="relu"):
    return keras.Sequential([keras.Input((2,)), layers.Dense(units, activation=activation), layers.Dense(1)])


def test_everything_that_ships_loads_and_stays_under_15_megabytes():
    assert {"digit_classifier", *notebooks.SHIPPED} == set(pretrained.names())
    assert sum(path.stat().st_size for path in pretrained.FOLDER.glob("*.npz")) < 15e6
    for name in pretrained.names():
        networks = pretrained.load(name)
        networks.pop("history", None)
        for network in networks.values():
            assert all(np.isfinite(weight).all() for weight in network.get_weights())


def test_what_is_saved_comes_back(tmp_path, monkeypatch):
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path)
    network = small()
    pretrained.save("mine", {"generator": network}, {"loss": [1, 2]}, dtype=np.float32, folder=tmp_path)
    built = pretrained.load("mine")
    x = np.random.default_rng(0).standard_normal((5, 2))
    assert np.array_equal(built["generator"](x), network(x)) and built["history"]["loss"].tolist() == [1, 2]
    mine = small()
    assert pretrained.load("mine", generator=mine)["generator"] is mine
    assert np.array_equal(mine(x), network(x))


def test_whole_numbers_keep_weights_to_half_a_step(tmp_path, monkeypatch):
    """Of 127 steps up to the largest weight of each unit; and a unit without weights stays so."""
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path)
    network = small()
    weights = [np.float32([[0.1, -8, 0], [-3, 0.2, 0]]), np.float32([1 / 3, 2, 0]), *network.get_weights()[2:]]
    network.set_weights(weights)
    pretrained.save("mine", {"generator": network}, folder=tmp_path)
    found = pretrained.load("mine")["generator"].get_weights()
    assert (np.abs(found[0] - weights[0]) <= np.float32([3, 8, 0]) / 254 + 1e-6).all()
    assert np.allclose(found[1], weights[1], rtol=1e-3)


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """Saves networks as the file "mine" in an empty folder, from which `load` reads."""
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path)
    return lambda **networks: pretrained.save("mine", networks, dtype=np.float32, folder=tmp_path)


def chain(*parts, inputs=(8, 8, 4)):
    return keras.Sequential([keras.Input(inputs), *parts])


def branches(combine=layers.Add, swap=False, other=2):
    x = keras.Input((2,))
    a, b = layers.Dense(3)(x), layers.Dense(3)(layers.Rescaling(other)(x))
    return keras.Model(x, combine()([b, a] if swap else [a, b]))


ANOTHER = {
    "slope": (chain(layers.Dense(3), layers.LeakyReLU(0.2)), chain(layers.Dense(3), layers.LeakyReLU(0.9))),
    "slope inside": (
        chain(layers.Dense(3, activation=layers.LeakyReLU(0.1))),
        chain(layers.Dense(3, activation=layers.LeakyReLU(0.3))),
    ),
    "activation": (chain(layers.Dense(3, activation="relu")), chain(layers.Dense(3, activation="tanh"))),
    "leaky default": (chain(layers.Dense(3, activation="leaky_relu")), chain(layers.Dense(3), layers.LeakyReLU())),
    "no activation": (chain(layers.Dense(3, activation="relu")), chain(layers.Dense(3))),
    "units": (chain(layers.Dense(3)), chain(layers.Dense(4))),
    "strides": (chain(layers.Conv2D(2, 3, 2)), chain(layers.Conv2D(2, 3, 1))),
    "padding": (chain(layers.Conv2D(2, 3, padding="same")), chain(layers.Conv2D(2, 3))),
    "groups": (chain(layers.Conv2D(4, 1, groups=2)), chain(layers.Conv2D(4, 1, groups=4))),
    "dilation": (chain(layers.Conv2D(2, 3, dilation_rate=2)), chain(layers.Conv2D(2, 3))),
    "epsilon": (chain(layers.BatchNormalization(epsilon=0.1)), chain(layers.BatchNormalization())),
    "groups of a norm": (chain(layers.GroupNormalization(2)), chain(layers.GroupNormalization(4))),
    "interpolation": (chain(layers.UpSampling2D(interpolation="bilinear")), chain(layers.UpSampling2D())),
    "rate": (chain(layers.Dropout(0.2), layers.Dense(3)), chain(layers.Dropout(0.5), layers.Dense(3))),
    "shape": (chain(layers.Reshape((16, 4, 4)), layers.Dense(3)), chain(layers.Reshape((4, 16, 4)), layers.Dense(3))),
    "missing": (chain(layers.Dense(3), layers.ReLU()), chain(layers.Dense(3))),
    "nested": (
        chain(chain(layers.Dense(3), layers.LeakyReLU(0.2))),
        chain(chain(layers.Dense(3), layers.LeakyReLU(0.9))),
    ),
    "wrapped": (
        chain(layers.TimeDistributed(layers.Dense(3, activation="relu"))),
        chain(layers.TimeDistributed(layers.Dense(3, activation="tanh"))),
    ),
    "combination": (branches(), branches(layers.Subtract)),
    "order": (branches(layers.Subtract), branches(layers.Subtract, swap=True)),
    "branch": (branches(), branches(other=3)),
    "input": (chain(layers.GlobalAveragePooling2D()), chain(layers.GlobalAveragePooling2D(), inputs=(9, 9, 4))),
}


@pytest.mark.parametrize("kind", ANOTHER)
def test_another_architecture_is_refused_in_one_sentence_and_stays_as_it_was(mine, kind):
    saved, other = ANOTHER[kind]
    mine(first=small(), second=saved)
    first = small()
    before = [*first.get_weights(), *other.get_weights()]
    with pytest.raises(ValueError, match=r"fit another second: part \d+ should be .*, and is .*\.") as error:
        pretrained.load("mine", first=first, second=other)
    assert all(map(np.array_equal, before, [*first.get_weights(), *other.get_weights()]))
    assert len(str(error.value)) < 400 and "\n" not in str(error.value)
    assert pretrained.load("mine", second=keras.models.clone_model(saved))  # with other names of layers, it fits


def test_the_difference_is_named(mine):
    mine(critic=chain(layers.Dense(3), layers.LeakyReLU(0.2)))
    words = r"part 3 should be LeakyReLU\(negative_slope=0.2\), and is LeakyReLU\(negative_slope=0.9\)"
    with pytest.raises(ValueError, match=words):
        pretrained.load("mine", critic=chain(layers.Dense(3), layers.LeakyReLU(0.9)))
    with pytest.raises(ValueError, match=r"part 3 should be LeakyReLU.*, and is missing"):
        pretrained.load("mine", critic=chain(layers.Dense(3)))
    with pytest.raises(ValueError, match="hold no generator, only critic"):
        pretrained.load("mine", generator=small())
    with pytest.raises(ValueError, match="the critic must be a Sequential or functional Keras model"):
        pretrained.load("mine", critic=lambda x: x)


SAME = [
    (chain(layers.Dense(3, activation="relu")), chain(layers.Dense(3), layers.ReLU())),
    (chain(layers.Dense(3, activation=layers.ReLU())), chain(layers.Dense(3), layers.Activation("relu"))),
    (chain(layers.Conv2D(3, 3, activation="leaky_relu")), chain(layers.Conv2D(3, (3, 3)), layers.LeakyReLU(0.2))),
    (chain(layers.Dense(3, activation=layers.LeakyReLU(0.2))), chain(layers.Dense(3, activation="leaky_relu"))),
    (chain(layers.Dense(3, activation="tanh")), chain(layers.Dense(3), layers.Activation("tanh"))),
    (
        chain(layers.Dense(3, kernel_initializer="zeros", kernel_regularizer="l2", trainable=False)),
        chain(layers.Dense(3)),
    ),
    (branches(), branches()),
]


@pytest.mark.parametrize(("saved", "other"), SAME)
def test_other_ways_to_write_an_architecture_are_the_same(mine, saved, other):
    mine(critic=saved)
    pretrained.load("mine", critic=other)
    x = np.random.default_rng(0).standard_normal((3, *saved.input_shape[1:])).astype("float32")
    assert np.allclose(saved(x), other(x), atol=1e-6)


def test_what_is_stored_names_no_default(mine):
    for name in pretrained.names():
        text = " ".join(str(v) for k, v in pretrained.arrays_of(name).items() if k.endswith("/architecture"))
        for word in ("renorm", "initializer", "DTypePolicy", "dilation", "trainable", "keras.src"):
            assert word not in text, name


def test_comparing_architectures_draws_no_random_number():
    pair = [chain(layers.Dense(3), layers.Dropout(0.5)) for _ in range(2)]
    pretrained._defaults.cache_clear()
    state = random.getstate()
    assert pretrained._difference(*pair, "critic") == ""
    assert random.getstate() == state


def copy_all(folder):
    for file in pretrained.FOLDER.iterdir():
        if file.is_file():
            shutil.copy(file, folder)


def test_saving_changes_its_own_line_of_the_checksums_only(tmp_path, monkeypatch):
    copy_all(tmp_path)
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path)
    (tmp_path / "10_bigan.npz").write_bytes(b"damaged")
    (tmp_path / "foreign.npz").write_bytes(b"foreign")
    before = (tmp_path / "SHA256").read_text(encoding="utf-8").splitlines()
    pretrained.save("05_gan_mnist", {"generator": small()}, folder=tmp_path)
    after = (tmp_path / "SHA256").read_text(encoding="utf-8").splitlines()
    assert [line.split()[1] for line in before] == [line.split()[1] for line in after]
    assert [new.split()[1] for old, new in zip(before, after, strict=True) if old != new] == ["05_gan_mnist.npz"]
    pretrained.load("05_gan_mnist")
    with pytest.raises(ValueError, match="damaged"):
        pretrained.load("10_bigan")
    with pytest.raises(FileNotFoundError, match=r"checksum of foreign\.npz is missing"):
        pretrained.load("foreign")


@pytest.mark.parametrize("fails", ["write", "replace"])
def test_a_failed_save_leaves_the_old_file(mine, tmp_path, monkeypatch, fails):
    mine(critic=small())
    files = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(*((Path, "write_bytes") if fails == "write" else (os, "replace")), full)
    with pytest.raises(OSError, match="No space"):
        mine(critic=small(units=4))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == files


@pytest.mark.parametrize("dtype", ["float8", float, np.float64, "int16", None, 8, keras.layers])
def test_other_dtypes_are_refused(tmp_path, dtype):
    with pytest.raises(ValueError, match="dtype must be one of float32, float16, int8, not"):
        pretrained.save("mine", {"critic": small()}, dtype=dtype, folder=tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("dtype", [np.int8, "int8", np.dtype("int8"), "float16", np.float32])
def test_dtypes_by_any_name(tmp_path, dtype):
    pretrained.save("mine", {"critic": small()}, dtype=dtype, folder=tmp_path)


def test_what_cannot_come_back_is_not_saved(tmp_path):
    broken = small()
    broken.set_weights([weight * np.nan for weight in broken.get_weights()])
    own = chain(layers.Lambda(lambda x: x + 1))
    for network, words in (
        (broken, "NaN"),
        (own, "cannot build"),
        (keras.Sequential([layers.Dense(1)]), "begins with"),
    ):
        with pytest.raises(ValueError, match=words):
            pretrained.save("mine", {"critic": network}, folder=tmp_path)
    assert not list(tmp_path.iterdir())


def bless(folder, name):
    """What a reader does who trusts a file: its checksum, by hand."""
    line = f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n"
    (folder / "SHA256").write_text(line, encoding="utf-8")


@pytest.mark.parametrize("kind", ["flipped", "cut", "empty", "text", "other arrays", "no weights", "other weights"])
def test_damaged_cut_and_foreign_files_are_named(mine, tmp_path, kind):
    mine(critic=small())
    path = tmp_path / "mine.npz"
    content, arrays = path.read_bytes(), dict(np.load(path))
    if kind == "flipped":
        path.write_bytes(content[:300] + bytes([content[300] ^ 1]) + content[301:])
    elif kind in ("cut", "empty", "text"):
        path.write_bytes({"cut": content[:500], "empty": b"", "text": b"hello"}[kind])
        if kind != "cut":
            bless(tmp_path, "mine.npz")
    else:
        if kind == "other arrays":
            arrays = {"x": np.zeros(3)}
        elif kind == "no weights":
            arrays.pop("critic/0")
        else:
            arrays["critic/0"] = np.zeros((7, 7))
        np.savez(path, **arrays)
        bless(tmp_path, "mine.npz")
    other = small()
    before = other.get_weights()
    for networks in ({}, {"critic": other}):
        with pytest.raises(ValueError, match=r"mine\.npz is damaged") as error:
            pretrained.load("mine", **networks)
        assert "\n" not in str(error.value) and len(str(error.value)) < 400
    assert all(map(np.array_equal, before, other.get_weights()))


def test_missing_checksums_and_unknown_names(tmp_path, monkeypatch):
    copy_all(tmp_path)
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path)
    (tmp_path / "SHA256").write_text("not a line\n\n", encoding="utf-8")
    words = r"checksum of digit_classifier\.npz is missing from .*SHA256: reinstall"
    with pytest.raises(FileNotFoundError, match=words):
        pretrained.load("digit_classifier")
    (tmp_path / "SHA256").unlink()
    with pytest.raises(FileNotFoundError, match=words):
        pretrained.load("digit_classifier")
    for name in ("nothing", "../05_gan_mnist", 5):
        with pytest.raises(FileNotFoundError, match=r"no weights named .* ship with the course, only .*05_gan_mnist"):
            pretrained.load(name)
