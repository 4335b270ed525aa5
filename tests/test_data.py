import doctest
import re
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage
from scipy.integrate import quad
from scipy.stats import multivariate_normal

from gan_helpers import data


def test_mnist_is_complete_and_scaled():
    x, y = data.mnist()
    assert x.shape == (60000, 28, 28, 1) and x.dtype == np.float32 and y.shape == (60000,)
    assert x.min() == 0 and x.max() == 1
    assert x.mean() == pytest.approx(0.13066, abs=1e-5) and x.std() == pytest.approx(0.30811, abs=1e-5)
    assert np.bincount(y).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]


def test_mnist_arrays_have_the_published_hashes():
    import hashlib

    arrays = data.read_arrays(data.MNIST_FILE, data.MNIST_SHA256)
    published = {
        "x_train": "741c988805d008ac6e4c904b69001ba184c24b2c540a4ef403f4c71b676cf757",
        "y_train": "1feba77c54802fa5339a11837ea4b2866434b83314ec45192930f1df69120c13",
        "x_test": "6d87418db22cc8025d05968bec9bd5c3932904b23485740db143a061a2c9d161",
        "y_test": "ddeff807876a9661a1110d45c266c86239a3a1b7d37da0c3716a7a683c852ff5",
    }
    assert {name: hashlib.sha256(a.tobytes()).hexdigest() for name, a in arrays.items()} == published


def test_mnist_subsets_and_shapes():
    x, y = data.mnist(2)
    assert len(x) == 5958 and set(y) == {2}
    x, y = data.mnist([3, 7], split="test", flat=True)
    assert x.shape == (1010 + 1028, 784) and set(y) == {3, 7}
    image, _ = data.mnist(2, "test")
    row, _ = data.mnist(2, "test", flat=True)
    assert np.array_equal(image.reshape(-1, 784), row)


def test_readers_may_write_into_what_they_get():
    x, y = data.mnist(2, "test")
    x[:] = 0
    y[:] = 0
    assert data.mnist(2, "test")[0].max() == 1 and set(data.mnist(2, "test")[1]) == {2}


@pytest.mark.parametrize(
    "digits", [10, -1, [2, 11], 2.5, [], "two", "3", [None], [None, 1], [[1, 2], [3]], np.nan, True, {2: 3.5}.values()]
)
def test_digits_outside_0_to_9_are_refused(digits):
    with pytest.raises(ValueError, match="whole numbers from 0 to 9"):
        data.mnist(digits)


@pytest.mark.parametrize("digits", [3, 3.0, np.int64(3), np.array([3, 3]), {3}, range(3, 4)])
def test_digits_may_be_given_in_many_ways(digits):
    assert set(data.mnist(digits, "test")[1]) == {3}


@pytest.mark.parametrize("split", ["validation", None, ["test"]])
def test_unknown_split_is_refused(split):
    with pytest.raises(ValueError, match='"train" or "test"'):
        data.mnist(split=split)


def test_missing_file_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr(data, "MNIST_FILE", tmp_path / "mnist.npz")
    with pytest.raises(FileNotFoundError, match=r"mnist.npz is missing .* reinstall"):
        data.mnist(2)


@pytest.mark.parametrize("damage", ["cut", "flip", "text"])
def test_damaged_file_says_so(monkeypatch, tmp_path, damage):
    content = bytearray(data.MNIST_FILE.read_bytes())
    if damage == "flip":
        content[5_000_000] ^= 1
    damaged = {"cut": content[:1000], "flip": content, "text": b"no such page"}[damage]
    path = tmp_path / "mnist.npz"
    path.write_bytes(damaged)
    monkeypatch.setattr(data, "MNIST_FILE", path)
    with pytest.raises(ValueError, match=r"mnist.npz is damaged.*reinstall"):
        data.mnist(2)


@pytest.mark.clock
def test_loading_is_quick_and_does_not_import_tensorflow():
    code = (
        "import time, sys; from gan_helpers import data, plotting; start = time.perf_counter();"
        "data.mnist(); print(time.perf_counter() - start, 'tensorflow' in sys.modules, 'keras' in sys.modules)"
    )
    seconds, tensorflow, keras = subprocess.check_output([sys.executable, "-c", code], text=True).split()
    assert (tensorflow, keras) == ("False", "False")
    assert float(seconds) < 1


def test_die():
    die = data.Die()
    assert die.sample(60000, seed=0).tolist() == die.sample(60000, seed=0).tolist()
    share = np.bincount(die.sample(60000, seed=0), minlength=7)[1:] / 60000
    assert np.allclose(share, [1 / 6, 1 / 6, 1 / 6, 0, 1 / 6, 2 / 6], atol=0.01) and share[3] == 0
    assert np.allclose(np.exp(die.log_density([1, 4, 6, 7])), [1 / 6, 0, 1 / 3, 0])


@pytest.mark.parametrize("p", [(0.5, 0.6), (-0.5, 1.5), (np.nan, 1.0), 1.0, (), "half", None, [[0.5, 0.5]]])
def test_die_refuses_what_is_no_distribution(p):
    with pytest.raises(ValueError, match="non-negative and sum to 1"):
        data.Die(p)


def test_mixture_density_is_exact():
    mixture = data.GaussianMixture([-1, 2], sigma=[0.3, 1.0], weights=[0.3, 0.7])
    total, _ = quad(lambda t: np.exp(mixture.log_density([t])), -10, 12, points=[-1, 2])
    assert total == pytest.approx(1, abs=1e-6)
    plane = data.GaussianMixture([[0, 0], [3, 1]], sigma=0.5, weights=[0.25, 0.75])
    at = np.array([[0.1, 0.2], [2.0, 1.0]])
    parts = [multivariate_normal(m, 0.25 * np.eye(2)).pdf(at) for m in plane.means]
    assert np.allclose(np.exp(plane.log_density(at)), 0.25 * parts[0] + 0.75 * parts[1])


def test_mixture_samples_follow_the_density():
    mixture = data.GaussianMixture([-1, 2], sigma=[0.3, 1.0], weights=[0.3, 0.7])
    x = mixture.sample(100_000, seed=0)
    assert x.shape == (100_000, 1) and x.dtype == np.float32
    assert x.mean() == pytest.approx(1.1, abs=0.02)
    assert x.var() == pytest.approx(0.3 * (0.09 + 1) + 0.7 * (1 + 4) - 1.1**2, rel=0.02)


def test_mixture_errors():
    with pytest.raises(ValueError, match="sigma must be positive"):
        data.GaussianMixture([0.0], sigma=0)
    with pytest.raises(ValueError, match="weights must be 2"):
        data.GaussianMixture([0.0, 1.0], weights=[0.5, 0.6])
    with pytest.raises(ValueError, match="2 coordinates"):
        data.ring().log_density(np.zeros((3, 3)))


def test_ring_and_grid_are_those_of_the_papers():
    ring, grid = data.ring(), data.grid()
    assert ring.means.shape == (8, 2) and np.allclose(np.linalg.norm(ring.means, axis=1), 1)
    assert grid.means.shape == (25, 2) and set(grid.means.ravel()) == {-4, -2, 0, 2, 4}
    for target in (ring, grid):
        x = target.sample(20_000, seed=0)
        distance = np.linalg.norm(x[:, None] - target.means, axis=2)
        assert np.mean(distance.min(axis=1) < 3 * target.sigma[0]) == pytest.approx(0.9889, abs=0.003)
        assert np.allclose(np.bincount(distance.argmin(axis=1)) / 20_000, target.weights, atol=0.01)


@pytest.mark.parametrize("cloud", [data.moons, data.spiral])
def test_clouds_are_repeatable(cloud):
    x = cloud(500, seed=3)
    assert x.shape == (500, 2) and x.dtype == np.float32 and np.isfinite(x).all()
    assert np.array_equal(x, cloud(500, seed=3)) and not np.array_equal(x, cloud(500, seed=4))


def test_spiral_lies_on_its_arm():
    x = data.spiral(1000, turns=2, noise=0, seed=0)
    radius, angle = np.linalg.norm(x, axis=1), np.arctan2(x[:, 1], x[:, 0])
    assert np.allclose(np.cos(4 * np.pi * radius - angle), 1, atol=1e-5)


@pytest.mark.clock
def test_second_read_comes_from_memory():
    data.mnist(2)
    start = time.perf_counter()
    data.mnist(2)
    assert time.perf_counter() - start < 0.3


@pytest.mark.parametrize("domain", [data.neon, data.paper])
def test_image_domains_keep_digit_and_colour(domain):
    ink, _ = data.mnist(split="test")
    images = domain(ink[:6], [0, 1 / 3, 2 / 3, 0, 1 / 3, 2 / 3])
    assert images.shape == (6, 28, 28, 3) and images.dtype == np.float32
    assert images.min() >= 0 and images.max() <= 1
    ground = domain(np.zeros_like(ink[:1]), [0.0])
    change = np.abs(images - ground).sum(axis=-1)
    for i in range(6):
        marked = change[i] > 0.5
        colour = images[i][marked].mean(axis=0) - images[i][marked].min(axis=-1).mean()
        assert colour.argmax() == i % 3  # red, green, blue
        assert change[i][ink[i, ..., 0] == 0].mean() < change[i][ndimage.binary_dilation(ink[i, ..., 0] > 0)].mean()


@pytest.mark.parametrize("domain", [data.neon, data.paper])
def test_image_domains_say_what_they_want(domain):
    ink = np.zeros((2, 28, 28, 1))
    for hue in ([0.5], [0.5, 1.5], [0.5, np.nan], ["red", "blue"], 0.5, None):
        with pytest.raises(ValueError, match=r"hues? (must be|contain)"):
            domain(ink, hue)
    for wrong in (ink[0], ink + 2, ink * np.nan, ink.repeat(3, axis=-1), ink[:0], "ink", (255 * ink).astype("uint8")):
        with pytest.raises(ValueError, match=r"ink (must|contain)"):
            domain(wrong, [0.5, 0.5])


@pytest.mark.parametrize("domain", [data.neon, data.paper])
def test_image_domains_forgive_rounding(domain):
    ink, _ = data.mnist(split="test")
    images = domain(ink[:2], [0.0, 1.0])
    np.testing.assert_allclose(domain(ink[:2] * (1 + 1e-7), [-1e-9, 1 + 1e-7]), images, atol=1e-6)


@pytest.mark.parametrize(
    "make",
    [
        *(lambda n=n: data.moons(n) for n in (0, -1, 2.5, "many", None, np.nan)),
        *(lambda n=n: data.spiral(n) for n in (0, -1, "many", True)),
        *(lambda n=n: data.ring().sample(n) for n in (0, -1, 1.5)),
        *(lambda n=n: data.Die().sample(n) for n in (0, -1)),
        *(lambda v=v: data.ring(modes=v) for v in (0, -1, 1.5, "8")),
        *(lambda v=v: data.ring(sigma=v) for v in (np.nan, 0, -1, "small", None, [0.1, 0.2])),
        *(lambda v=v: data.ring(radius=v) for v in (np.inf, "far")),
        *(lambda v=v: data.grid(side=v) for v in (0, 2.5)),
        lambda: data.grid(step=np.nan),
        lambda: data.moons(5, noise=-1),
        lambda: data.spiral(5, noise=np.nan),
        lambda: data.spiral(5, turns="two"),
        *(lambda v=v: data.GaussianMixture(v) for v in ([], [np.nan], "ab", None, np.zeros((2, 2, 2)), [[], []])),
        *(lambda v=v: data.GaussianMixture([0.0, 1.0], weights=v) for v in ("ab", [np.nan, 1], [1.0], 0.5)),
    ],
)
def test_toys_say_what_they_want(make):
    with pytest.raises(ValueError, match=r"must be|must have|contain NaN"):
        make()


def test_whole_floats_count():
    assert len(data.moons(10.0)) == len(data.spiral(np.int64(10))) == len(data.ring().sample(10.0)) == 10


LEFT, RIGHT = np.array([200, 40, 40]), np.array([40, 40, 200])


def two_colours(wide=40, tall=24):
    """Red on the left, blue on the right."""
    picture = np.empty((tall, wide, 3), np.uint8)
    picture[:, : wide // 2], picture[:, wide // 2 :] = LEFT, RIGHT
    return Image.fromarray(picture)


def colours_of(square):
    """What stands on the left and on the right of a square, from 0 to 255."""
    side = square.shape[1]
    return 255 * square[:, : side // 3].mean(axis=(0, 1)), 255 * square[:, -(side // 3) :].mean(axis=(0, 1))


@pytest.mark.parametrize(
    "suffix", ["png", "PNG", "jpg", "JPEG", "jfif", "webp", "gif", "tif", "tiff", "bmp", "ppm", "ico"]
)
def test_pictures_of_any_format(tmp_path, suffix):
    two_colours(24).save(tmp_path / f"photo.{suffix}", **({"quality": 100} if suffix.lower()[0] in "jw" else {}))
    images = data.load_folder(tmp_path, 12)
    assert images.shape == (1, 12, 12, 3) and images.dtype == np.float32 and 0 <= images.min() <= images.max() <= 1
    for found, wanted in zip(colours_of(images[0]), (LEFT, RIGHT), strict=True):
        np.testing.assert_allclose(found, wanted, atol=12)


@pytest.mark.parametrize("mode", ["P", "CMYK", "YCbCr", "RGBA", "RGB"])
def test_pictures_of_any_colour_space(tmp_path, mode):
    two_colours().convert(mode).save(tmp_path / ("photo.tif" if mode in ("CMYK", "YCbCr") else "photo.png"))
    for found, wanted in zip(colours_of(data.load_folder(tmp_path, 12)[0]), (LEFT, RIGHT), strict=True):
        np.testing.assert_allclose(found, wanted, atol=8)


@pytest.mark.parametrize(
    ("grey", "name"),
    [
        (np.array([100, 40_000], np.uint16), "a.png"),
        (np.array([10, 200], np.uint16), "a.png"),  # a very dark one stays dark
        (np.array([100, 40_000], np.uint16), "a.tif"),
        (np.array([100, 40_000], np.int32), "a.tif"),
        (np.array([0.1, 0.7], np.float32), "a.tif"),
        (np.array([10, 200], np.float32), "a.tif"),
        (np.array([10, 200], np.uint8), "a.png"),
        (np.array([False, True]), "a.png"),
    ],
)
def test_grey_keeps_its_shades(tmp_path, grey, name):
    Image.fromarray(np.tile(np.repeat(grey, 6), (12, 1))).save(tmp_path / name)
    full = {"u2": 65535, "i4": 65535, "u1": 255, "b1": 1, "f4": 1 if grey.max() < 1 else 255}[grey.dtype.str[1:]]
    image = data.load_folder(tmp_path, 12)[0]
    np.testing.assert_allclose([image[:, 0].mean(), image[:, -1].mean()], grey.astype(float) / full, atol=0.003)


def test_transparent_becomes_white(tmp_path):
    clear = two_colours().convert("RGBA")
    clear.putalpha(Image.fromarray(np.repeat(np.uint8([[0, 255]]), 20, axis=1).repeat(24, axis=0)))
    clear.save(tmp_path / "a.png")
    clear.save(tmp_path / "b.webp", lossless=True)
    clear.convert("LA").save(tmp_path / "c.png")
    palette = two_colours().quantize(8)
    palette.save(tmp_path / "d.png", transparency=palette.getpixel((0, 0)))
    palette.save(tmp_path / "e.gif", transparency=palette.getpixel((0, 0)))
    for image in data.load_folder(tmp_path, 12):
        left, right = colours_of(image)
        np.testing.assert_allclose(left, 255, atol=2)
        assert right.min() < 80


@pytest.mark.parametrize("turn", range(1, 9))
def test_photographs_stand_as_the_camera_was_held(tmp_path, turn):
    upright, exif = two_colours(24), Image.Exif()
    back = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # what undoes the turn that this tag asks for
    exif[0x0112] = turn
    stored = upright if turn == 1 else upright.transpose(Image.Transpose(back[turn]))
    stored.save(tmp_path / "a.jpg", quality=100, exif=exif)
    left, right = colours_of(data.load_folder(tmp_path, 12)[0])
    assert left[0] > 150 > right[0] and right[2] > 150 > left[2]


def test_folders_in_folders_and_files_that_are_no_pictures(tmp_path):
    for name in ("b.png", "a/c.JPG", "a/deeper/d.webp", ".hidden/e.png", "._f.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        two_colours().save(tmp_path / name)
    for name in ("readme.txt", ".DS_Store", "Thumbs.db", "a/labels.csv", "paper.pdf", "noname"):
        (tmp_path / name).write_bytes(b"no picture")
    (tmp_path / "folder.png").mkdir()
    assert data.load_folder(str(tmp_path), 8).shape == (3, 8, 8, 3)


def test_squares_are_cut_from_the_middle(tmp_path):
    stripes = np.zeros((10, 30, 3), np.uint8)
    stripes[:, 10:20] = 255
    Image.fromarray(stripes).save(tmp_path / "wide.png")
    Image.fromarray(stripes.swapaxes(0, 1)).save(tmp_path / "tall.png")
    assert (data.load_folder(tmp_path, 10) == 1).all()


def test_a_folder_without_pictures_says_so(tmp_path):
    for wrong in (tmp_path / "nowhere", None, 3):
        with pytest.raises(FileNotFoundError, match="there is no folder"):
            data.load_folder(wrong, 8)
    (tmp_path / "notes.txt").write_text("no picture", encoding="utf-8")
    with pytest.raises(ValueError, match="there is no picture in"):
        data.load_folder(tmp_path, 8)
    for side in (0, -1, 1.5, None, "8"):
        with pytest.raises(ValueError, match="side must be a positive whole number"):
            data.load_folder(tmp_path, side)


@pytest.mark.parametrize("damage", ["cut", "text", "empty", "flipped", "heic", "float"])
def test_a_picture_that_cannot_be_read_is_named(tmp_path, damage):
    for name in ("fine.jpg", "worn.jpg", "worn.png"):
        two_colours(400, 300).save(tmp_path / name)
    worn = tmp_path / ("worn.png" if damage == "flipped" else "worn.jpg")
    content = bytearray(worn.read_bytes())
    if damage == "heic":
        worn = worn.with_suffix(".HEIC")
    if damage == "float":
        worn = worn.with_suffix(".tif")
        Image.fromarray(np.full((8, 8), np.nan, np.float32)).save(worn)
    else:
        content[60:90] = bytes(30) if damage == "flipped" else content[60:90]
        damaged = {"cut": content[: len(content) // 2], "text": b"no picture", "empty": b"", "heic": b"ftypheic"}
        worn.write_bytes(damaged.get(damage, content))
    with pytest.raises(ValueError, match=f"{worn.name} cannot be read"):
        data.load_folder(tmp_path, 8)


def test_examples_in_the_docstrings():
    assert doctest.testmod(data).attempted > 5 and doctest.testmod(data).failed == 0


def test_emoji_are_pairs_and_may_be_written_into():
    sizes = {}
    for part in data.PARTS:
        ink, colour, names = data.emoji(part)
        sizes[part] = len(ink)
        assert ink.shape == (len(ink), 32, 32, 1) and colour.shape == (len(ink), 32, 32, 3)
        assert ink.dtype == colour.dtype == np.float32 and len(set(names)) == len(ink)
        assert min(ink.min(), colour.min()) == 0 and max(ink.max(), colour.max()) == 1
        edges = [ndimage.gaussian_gradient_magnitude(x.mean(axis=3), (0.01, 1, 1)) for x in (ink, colour)]
        alike = np.corrcoef(*(x.reshape(len(x), -1) for x in edges))[: len(ink), len(ink) :]
        assert np.mean(np.diag(alike)[:, None] >= alike) > 0.98  # of one thing, not of any two
        ink[:] = colour[:] = 0
    assert sizes == {"train": 1244, "validation": 150, "test": 200}
    assert data.emoji("test")[1].max() == 1


def stem(name):
    """The name of an emoji without man, woman or person, directions, colours and times."""
    name = re.sub(r"^(man|woman|person|mans|womans|mx|mrs|old|older)-|-facing-right$", "", name)
    name = re.sub(r"(left|right|up|down)(wards)?(?=-|$)|^\w+-(oclock|thirty)$", "", name)
    return re.sub(r"^(black|white|blue|light-blue|brown|green|grey|orange|pink|purple|red|yellow)-", "", name)


def test_no_emoji_has_a_near_double_in_another_part():
    parts = {part: data.emoji(part) for part in data.PARTS}

    def standard(images):
        rows = ndimage.gaussian_filter(1 - images[..., 0], (0, 1, 1)).reshape(len(images), -1)
        rows = rows - rows.mean(axis=1, keepdims=True)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    for one, other in (("train", "test"), ("validation", "test"), ("train", "validation")):
        rows = standard(parts[one][0])
        assert max((rows @ standard(i).T).max() for i in (parts[other][0], parts[other][0][:, :, ::-1])) < 0.9001
        assert not set(map(stem, parts[one][2])) & set(map(stem, parts[other][2]))


@pytest.mark.parametrize("part", ["valid", None, ["test"], 0])
def test_unknown_part_of_the_emoji_is_refused(part):
    with pytest.raises(ValueError, match='"train", "validation" or "test"'):
        data.emoji(part)


def test_emoji_travel_with_their_licence():
    text = (data.EMOJI_FILE.parents[1] / "LICENSE-EMOJI").read_text(encoding="utf-8")
    assert "Copyright (c) Microsoft Corporation" in text and "Permission is hereby granted, free of charge" in text
