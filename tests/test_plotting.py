import io

import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image

from gan_helpers import plotting


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def test_tile_puts_images_in_rows():
    images = np.zeros((3, 2, 2, 1))
    images[1] = 1
    sheet = plotting.tile(images, columns=2, gap=1)
    assert sheet.shape == (5, 5) and sheet.dtype == np.uint8
    assert (sheet[:2, :2] == 0).all() and (sheet[:2, 3:] == 255).all()
    assert (sheet[2] == 128).all() and (sheet[:2, 2] == 128).all()  # grey between them
    assert (sheet[3:, 3:] == 255).all()  # no fourth image: paper white


def test_tile_scales_and_keeps_colour():
    colour = np.zeros((1, 2, 2, 3))
    colour[..., 0] = 1.0
    sheet = plotting.tile(colour, gap=0, scale=3)
    assert sheet.shape == (6, 6, 3) and (sheet[..., 0] == 255).all() and (sheet[..., 1:] == 0).all()
    assert plotting.tile(np.zeros((2, 4, 5))).shape == (4, 11)
    for mask in (np.eye(4)[None] > 0, np.eye(4, dtype=np.uint8)[None]):
        assert np.array_equal(plotting.tile(mask), np.uint8(255 * np.eye(4)))


@pytest.mark.parametrize("shape", [(0, 28, 28, 1), (28, 28), (2, 28, 28, 2), (2, 784), (2, 1, 28, 28), (2, 28, 28, 4)])
def test_tile_refuses_other_shapes(shape):
    with pytest.raises(ValueError, match="images must have shape"):
        plotting.tile(np.zeros(shape))


@pytest.mark.parametrize("shape", [(32, 32, 3), (2, 2, 3), (28, 28, 1), (64, 48, 4)])
def test_one_image_is_no_row_of_strips(shape):
    for draw in (plotting.tile, plotting.png, plotting.image_grid):
        with pytest.raises(ValueError, match=r"one image of shape .* becomes a batch of one by x\[None\]"):
            draw(np.zeros(shape))
    if shape[2] < 4:
        assert plotting.tile(np.zeros(shape)[None]).shape[:2] == shape[:2]


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (np.arange(16, dtype=np.uint8).reshape(1, 4, 4), "divide 0-255 images by 255"),
        (np.arange(16).reshape(1, 4, 4, 1), "divide 0-255 images by 255"),
        (np.linspace(0, 255, 16).reshape(1, 4, 4), r"must lie in \[0, 1\], not in \[0, 255\]"),
        (np.linspace(-1, 1, 16).reshape(1, 4, 4), r"such as tanh makes, become \(x \+ 1\) / 2"),
        (np.linspace(0, 1.01, 16).reshape(1, 4, 4), r"must lie in \[0, 1\]"),
        (np.full((1, 2, 2), np.nan), "NaN"),
        (np.full((1, 2, 2), np.inf), "infinity"),
        (np.full((1, 2, 2), "black"), "images must be float"),
    ],
)
def test_nothing_is_clipped_in_silence(images, words):
    for draw in (plotting.tile, plotting.png, plotting.image_grid):
        with pytest.raises(ValueError, match=words):
            draw(images)
    assert not plt.get_fignums()  # nor is there an empty figure


def test_rounding_is_borne():
    assert (plotting.tile(np.full((1, 2, 2), 1.0000001)) == 255).all()
    assert (plotting.tile(np.full((1, 2, 2), np.float32(-1e-7))) == 0).all()


@pytest.mark.parametrize("setting", ["columns", "scale", "gap"])
@pytest.mark.parametrize("value", [-1, 1.5, "3", np.nan, True, [2], 0, None])
def test_tile_refuses_other_settings(setting, value):
    if setting == "gap" and not value:
        return  # no gap
    with pytest.raises(ValueError, match=f"{setting} must be a positive whole number"):
        plotting.tile(np.zeros((3, 2, 2)), **{setting: value})


def test_png_can_be_read_back():
    images = np.random.default_rng(0).random((4, 5, 5, 1))
    picture = np.asarray(Image.open(io.BytesIO(plotting.png(images, columns=2, scale=2))))
    assert np.array_equal(picture, plotting.tile(images, columns=2, scale=2))


def test_moving_figure_follows_its_artists_and_leaves_the_rest():
    figure, ax = plt.subplots()
    (line,) = ax.plot([0, 1], [0, 1])
    ax.set_title("first")
    moving = plotting.MovingFigure(figure, [line, ax.title])
    assert not plt.get_fignums()  # pyplot would show it a second time at the end of the cell
    first = moving.png()
    line.set_ydata([1, 0])
    second = moving.png()
    line.set_ydata([0, 1])
    assert first != second and moving.png() == first
    whole = np.asarray(figure.canvas.buffer_rgba())[..., :3].astype(int)
    packed = np.asarray(Image.open(io.BytesIO(first)).convert("RGB")).astype(int)
    assert packed.shape == whole.shape and np.abs(packed - whole).mean() < 3  # of 256 levels
    ax.set_xlim(0, 5)
    moving.refresh()
    assert moving.png() != first


def test_moving_figure_keeps_the_colours_of_belief():
    """Of its 256 colours enough are set aside for what is not on the figure at first."""
    figure, ax = plt.subplots()
    image = ax.imshow(np.full((1, 50), 0.5), cmap=plotting.BELIEF, vmin=0, vmax=1, aspect="auto")
    moving = plotting.MovingFigure(figure, [image])
    image.set_data(np.linspace(0, 1, 50)[None])
    packed = np.asarray(Image.open(io.BytesIO(moving.png())).convert("RGB")).astype(int)
    exact = np.asarray(figure.canvas.buffer_rgba())[..., :3].astype(int)
    # Half a step of the palette and Pillow's rounding, of 256 levels.
    assert np.abs(packed - exact).max() <= 12 and (packed[0, 0] == 255).all()


def test_real_and_generated_look_different_in_grey_and_belief_runs_between():
    assert np.allclose(plotting.BELIEF(1.0)[:3], plt.matplotlib.colors.to_rgb(plotting.REAL), atol=0.01)
    assert np.allclose(plotting.BELIEF(0.0)[:3], plt.matplotlib.colors.to_rgb(plotting.FAKE), atol=0.01)
    assert min(plotting.BELIEF(0.5)[:3]) > 0.98


def test_image_grid():
    ax = plotting.image_grid(np.zeros((4, 28, 28, 1)), columns=2, title="real", colour=plotting.REAL)
    assert ax.get_title() == "real" and len(ax.images) == 1 and not ax.get_xticks().size


def test_loss_curves():
    ax = plotting.loss_curves([1, 2], {"discriminator": [1.0, 0.5], "generator": [0.5, 1.0]})
    assert [line.get_label() for line in ax.lines] == ["discriminator", "generator"]
    assert ax.lines[1].get_ydata().tolist() == [0.5, 1.0]
    assert ax.get_xlabel() and ax.get_ylabel()


def test_densities():
    x = np.linspace(0, 1, 5)
    ax = plotting.densities(x, real=x, fake=1 - x, belief=x)
    assert len(ax.lines) == 2 and ax.get_ylim()[0] == 0
    assert len(ax.figure.axes) == 2 and ax.figure.axes[1].get_ylim() == (0, 1)


def test_belief_map_asks_at_the_right_points():
    ax = plotting.belief_map(lambda points: points[:, 0], extent=(0, 1, -2, 2), resolution=5)
    values = ax.images[0].get_array()
    assert np.allclose(values, np.tile(np.linspace(0, 1, 5), (5, 1)))


def test_belief_is_a_probability():
    for draw in (
        lambda values: plotting.belief_map(lambda points: values, extent=(0, 1, 0, 1), resolution=2),
        lambda values: plotting.densities(np.arange(4), belief=values),
    ):
        with pytest.raises(ValueError, match="a logit becomes a belief by sigmoid"):
            draw(np.array([0.1, -0.2, 3.0, 0.5]))
        assert not plt.get_fignums()
        draw(np.array([0.1, 0.2, 1.0, 0.5]))
        plt.close("all")
    plotting.densities(np.arange(2), belief=[np.nan, 0.5])  # 0 / 0, where there are no points


def test_points_can_be_told_apart_without_colour():
    ax = plotting.points(np.zeros((3, 2)), np.ones((2, 2)))
    real, fake = (collection.get_paths()[0] for collection in ax.collections)
    assert not np.array_equal(real.vertices.shape, fake.vertices.shape)


def test_points_that_would_not_be_seen():
    for wrong in (np.full((3, 2), np.nan), np.zeros((3, 3)), np.zeros((0, 2))):
        with pytest.raises(ValueError, match="points"):
            plotting.points(np.zeros((3, 2)), wrong)
    assert not plt.get_fignums()


def test_block_diagram():
    ax = plotting.block_diagram({"z": (0, 0, "noise"), "G": (1, 0, "G", plotting.FAKE)}, [("z", "G", "code")])
    assert [text.get_text() for text in ax.texts if text.get_text()] == ["noise", "G", "code"]
    with pytest.raises(ValueError, match="needs two of the blocks"):
        plotting.block_diagram({"z": (0, 0, "noise")}, [("z", "D")])


def test_style_is_legible_when_projected():
    with plt.rc_context():
        plotting.use_style()
        assert plt.rcParams["font.size"] >= 12 and plt.rcParams["figure.facecolor"] == "white"


@pytest.mark.parametrize("style", ["dark_background", "ggplot", "grayscale", "Solarize_Light2", "fivethirtyeight"])
def test_style_has_the_last_word(style):
    """A figure drawn after another style looks as one drawn after none."""

    def drawn():
        plotting.use_style()
        figure, ax = plt.subplots(figsize=(3, 2))
        ax.plot([0, 1], label="a line")
        ax.set(title="title", xlabel="x")
        ax.legend()
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png")
        plt.close(figure)
        return np.asarray(Image.open(buffer).convert("L"))

    with plt.rc_context():
        plt.rcdefaults()
        alone = drawn()
        plt.style.use(style)
        assert np.array_equal(drawn(), alone)
        assert alone.max() == 255 and np.median(alone) == 255 and alone.min() < 30  # dark on white


def test_number_grids_show_numbers_and_windows():
    hidden = np.array([[np.nan, 2.0], [3.0, np.nan]])
    axes = plotting.number_grids([np.eye(3), hidden], ["image", "output"], [(0, 1, 2, 2), None])
    assert [ax.get_title() for ax in axes] == ["image", "output"]
    assert [text.get_text() for text in axes[1].texts] == ["2", "3"]
    assert len(axes[0].texts) == 9
    frames = [patch for patch in axes[0].patches if patch.get_linewidth() == 3]
    assert frames[0].get_xy() == (0.5, -0.5) and frames[0].get_width() == 2 and not axes[1].patches
    plotting.number_grids([np.full((2, 2), np.nan)], ["empty"])


def test_latent_plane_names_each_class_in_the_middle_of_its_points():
    codes = np.concatenate([np.tile([[1.0, 0.0]], (9, 1)), np.tile([[0.0, -2.0]], (9, 1))])
    ax = plotting.latent_plane(codes, np.repeat([3, 7], 9))
    assert {text.get_text(): text.get_position() for text in ax.texts} == {"3": (1.0, 0.0), "7": (0.0, -2.0)}
    assert ax.get_xlim() == ax.get_ylim() == pytest.approx((-2.1, 2.1))
    assert not plotting.latent_plane(codes, reach=3, title="codes").texts
    plt.close("all")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"codes": np.zeros((5, 3))}, r"codes must be points of shape \(n, 2\)"),
        ({"codes": np.full((5, 2), np.nan)}, "codes contain NaN"),
        ({"labels": [0, 1]}, "2 labels for 5 codes"),
        ({"labels": [0, 1, 2, 3, 10]}, "labels must lie between 0 and 9"),
        ({"labels": np.eye(5)}, "labels must be integers"),
        ({"reach": 0}, "reach must be positive"),
        ({"reach": -1}, "reach must be positive"),
        ({"reach": "2"}, "reach must be a finite number"),
    ],
)
def test_latent_plane_refuses_others(arguments, words):
    with pytest.raises(ValueError, match=words):
        plotting.latent_plane(**{"codes": np.ones((5, 2)), **arguments})
    assert not plt.get_fignums()


def test_latent_plane_of_one_place():
    assert plotting.latent_plane(np.zeros((5, 2))).get_xlim() == (-1, 1)
