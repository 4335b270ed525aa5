"""The networks that ship: small, safe, checked, and made by the notebooks."""

import shutil

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


def test_another_architecture_is_refused_and_stays_as_it_was(tmp_path, monkeypatch):
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path)
    pretrained.save("mine", {"generator": small()}, folder=tmp_path)
    for other in (small(units=4), small(activation="tanh")):
        before = other.get_weights()
        with pytest.raises(ValueError, match=r"fit a generator with the layers .*Dense relu .*but this one has"):
            pretrained.load("mine", generator=other)
        assert all(map(np.array_equal, before, other.get_weights()))
    with pytest.raises(ValueError, match="hold no critic, only generator"):
        pretrained.load("mine", critic=small())


def test_strides_belong_to_the_architecture(tmp_path, monkeypatch):
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path)
    conv = lambda strides: keras.Sequential([keras.Input((8, 8, 1)), layers.Conv2D(2, 3, strides)])  # noqa: E731
    pretrained.save("mine", {"critic": conv(2)}, folder=tmp_path)
    with pytest.raises(ValueError, match="fit a critic"):
        pretrained.load("mine", critic=conv(1))


def test_damaged_or_missing_files(tmp_path, monkeypatch):
    for file in pretrained.FOLDER.iterdir():
        if file.is_file():
            shutil.copy(file, tmp_path)
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path)
    path = tmp_path / "digit_classifier.npz"
    content = bytearray(path.read_bytes())
    content[1000] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"digit_classifier\.npz is damaged.*reinstall"):
        pretrained.load("digit_classifier")
    with pytest.raises(
        FileNotFoundError, match=r"no weights named 'nothing' ship with the course, only .*05_gan_mnist"
    ):
        pretrained.load("nothing")
