"""The game of the playground: its steps, stages and measures, without controls and pictures."""

import ast
import inspect

import keras
import numpy as np
import pytest
from keras import layers

from gan_helpers import data, game
from gan_helpers.game import Game, distances
from gan_helpers.models.gan import GAN

RING = data.ring(sigma=0.05)
PLACES = np.zeros((4, 2), np.float32)


def make_gan(noise, depth, width):
    hidden = lambda: [layers.Dense(width, activation="relu") for _ in range(depth)]  # noqa: E731
    generator = keras.Sequential([keras.Input((noise,)), *hidden(), layers.Dense(2)])
    return GAN(generator, keras.Sequential([keras.Input((2,)), *hidden(), layers.Dense(1)]))


def small(points=RING, **settings):
    return Game(make_gan, points, **{"width": 16, "layers": 1, **settings})


def weights(played):
    networks = played.gan.discriminator, played.gan.generator
    return [np.concatenate([w.ravel() for w in network.get_weights()]) for network in networks]


def moved(played, action):
    before = weights(played)
    action()
    return [not np.array_equal(a, b) for a, b in zip(before, weights(played), strict=True)]


# --- training


def test_each_network_moves_when_it_is_its_turn():
    played = small()
    assert moved(played, lambda: played.train(g=False)) == [True, False]
    assert np.isfinite(played.losses[0]) and np.isnan(played.losses[1])
    assert moved(played, lambda: played.train(d=False)) == [False, True]
    assert moved(played, lambda: played.train(3)) == [True, True]
    assert played.rounds == 5 and np.isfinite(played.losses).all()


def test_five_stages_each_and_only_the_last_moves():
    played = small()
    for d_steps in (1, 2):
        played.change("d_steps", d_steps)
        order = [moved(played, played.next_stage) for _ in range(5 * d_steps + 5)]
        d_step, g_step = 4 * [[False, False]] + [[True, False]], 4 * [[False, False]] + [[False, True]]
        assert order == d_steps * d_step + g_step
    assert played.rounds == 2 and played.turn == ("G", 4)
    played.next_stage()
    assert played.turn == ("D", 0) and set(played.marks) == {"batch"}


def test_what_the_stages_show():
    played = small()
    shown = []
    for _ in range(10):
        played.next_stage()
        shown.append((*played.turn, *sorted(played.marks)))
    assert shown == [
        ("D", 0, "batch"),
        ("D", 1, "batch", "fake", "noise"),
        ("D", 2, "batch", "fake", "noise", "says_fake", "says_real"),
        ("D", 3, "batch", "fake", "noise", "says_fake", "says_real", "wrong"),
        ("D", 4, "batch", "fake", "noise"),
        ("G", 0, "noise"),
        ("G", 1, "fake", "noise"),
        ("G", 2, "fake", "noise", "says_fake", "says_real"),
        ("G", 3, "arrows", "fake", "noise", "says_fake", "says_real"),
        ("G", 4, "fake", "moves", "noise"),
    ]
    before, after = played.marks["moves"][:, 0], played.marks["moves"][:, 1]
    assert np.array_equal(after, played.gan.generator(played.z_batch)) and not np.array_equal(before, after)
    played.train()  # playing on leaves no mark of slow motion behind
    assert played.stage is None and not played.marks


def test_slow_motion_uses_the_batch_it_shows():
    played = small()
    for _ in range(4):
        played.next_stage()
    copy = make_gan(2, 1, 16)
    for mine, other in ((copy.generator, played.gan.generator), (copy.discriminator, played.gan.discriminator)):
        mine.set_weights(other.get_weights())
    both = np.concatenate([played.x_batch, played.marks["fake"]])
    is_wrong = (copy.discriminator(both).numpy()[:, 0] > 0) != (np.arange(len(both)) < Game.BATCH)
    assert is_wrong.any() and np.array_equal(played.marks["wrong"], both[is_wrong])
    copy.compile(*(game.OPTIMIZERS["Adam, β₁ = 0"](1e-3) for _ in range(2)))
    copy.discriminator_step(played.x_batch, played.z_batch)
    played.next_stage()
    for mine, other in zip(copy.discriminator.get_weights(), played.gan.discriminator.get_weights(), strict=True):
        assert np.allclose(mine, other, atol=1e-6)


def test_the_same_seed_gives_the_same_run_and_another_another():
    runs = []
    for seed in (3, 3, 4):
        played = small(seed=seed)
        first = np.concatenate(weights(played))
        played.train(20)
        played.look(PLACES)
        runs.append((first, np.concatenate(weights(played)), played.history))
    assert np.array_equal(runs[0][1], runs[1][1]) and runs[0][2] == runs[1][2]
    assert not np.array_equal(runs[0][0], runs[2][0]) and not np.array_equal(runs[0][1], runs[2][1])


def test_settings_that_change_while_it_is_played():
    played = small()
    played.train(20)
    known, step = weights(played)[0], played._step_d
    played.change("d_rate", 1e-2)
    played.change("g_rate", 1e-4)
    assert float(played.gan.d_optimizer.learning_rate) == pytest.approx(1e-2)
    assert float(played.gan.g_optimizer.learning_rate) == pytest.approx(1e-4)
    assert played._step_d is step  # nothing is compiled anew
    played.change("noise", 8)
    assert played.gan.latent_dim == 8 and np.array_equal(weights(played)[0], known)
    played.change("penalty", 0.1)
    assert played.gan.r1 == played.gan.r2 == 0.1 and np.array_equal(weights(played)[0], known)
    played.change("optimizer", "gradient descent")
    assert isinstance(played.gan.d_optimizer, keras.optimizers.SGD)
    assert float(played.gan.d_optimizer.learning_rate) == pytest.approx(1e-2)
    assert moved(played, played.train) == [True, True]
    with pytest.raises(ValueError, match="another seed makes another game"):
        played.change("seed", 1)


def test_a_rate_of_zero_moves_nothing():
    played = small()
    played.train()
    played.change("d_rate", 0.0)
    assert moved(played, played.train) == [False, True]


# --- measures


def test_distances_computed_by_hand():
    """Two by two cells, and half a point more in each of them."""
    real = np.array([[-0.5, -0.5], [-0.5, -0.4], [0.5, 0.5]])  # 2, 0, 0, 1 points
    fake = np.array([[0.5, -0.5]])  # 0, 0, 1, 0 points; one outside is not counted
    kl, js = distances(real, np.concatenate([fake, [[7.0, 0.0]]]), reach=1, cells=2)
    # p = (2.5, .5, .5, 1.5) / 5 and q = (.5, .5, 1.5, .5) / 3, so m = (p + q) / 2 = (1/3, 2/15, 3/10, 7/30).
    by_hand = 0.5 * np.log(3) + 0.1 * np.log(0.6) + 0.1 * np.log(0.2) + 0.3 * np.log(1.8)
    assert kl == pytest.approx(by_hand)
    to_p = 0.5 * np.log(3 / 2) + 0.1 * np.log(3 / 4) + 0.1 * np.log(1 / 3) + 0.3 * np.log(9 / 7)
    to_q = np.log(1 / 2) / 6 + np.log(5 / 4) / 6 + np.log(5 / 3) / 2 + np.log(5 / 7) / 6
    assert js == pytest.approx((to_p + to_q) / 2)


def test_distances_of_what_agrees_and_of_what_does_not_meet():
    points = np.random.default_rng(0).uniform(-1, 1, (100_000, 2))
    assert distances(points, points, 1.0) == (0, 0)
    left, right = (np.tile([[x, 0.0]], (10**7, 1)) for x in (-0.5, 0.5))
    kl, js = distances(left, right, 1.0, cells=2)
    assert js == pytest.approx(np.log(2), abs=1e-5) and kl == pytest.approx(np.log(2e7 + 1), abs=1e-3)


def test_a_look_measures():
    played = small(data.grid(step=0.5, sigma=0.03))
    fake, lines, belief, slope = played.look(PLACES)
    assert fake.shape == (Game.POINTS, 2) and lines.shape == (26, 25, 2) and belief.shape == (4,)
    assert np.array_equal(fake, played.gan.generator(played.z_cloud))
    assert slope.shape == (Game.BATCH // 2, 2) and np.array_equal(belief, np.full(4, belief[0]))
    history = {name: values[-1] for name, values in played.history.items()}
    assert (history["kl"], history["js"]) == distances(played.x, fake, played.reach) and history["round"] == 0
    assert np.isnan(history["d_loss"]) and played.modes == game.mode_coverage(fake, played.mixture)
    played.train(3)
    played.look(PLACES)
    assert played.history["round"] == [0, 3] and played.history["g_loss"][-1] == played.losses[1]


def test_slope_is_that_of_each_points_own_loss():
    """v(x) = (1 - D(x)) times the slope of the logit; of a linear D the slope is its weight."""
    played = Game(lambda *_: make_gan(2, 0, 1), RING)
    fake, _, _, slope = played.look(PLACES)
    weight, bias = played.gan.discriminator.get_weights()
    logits = fake[: len(slope)] @ weight + bias
    assert np.allclose(slope, weight.T / (1 + np.exp(logits)), atol=1e-5)


def test_history_is_bounded():
    played = small()
    played.CURVE = 20
    for _ in range(60):
        played.train()
        played.look(PLACES)
    rounds = played.history["round"]
    assert all(len(values) == len(rounds) <= 20 for values in played.history.values())
    assert rounds[0] == 1 and rounds[-1] == 60 and rounds == sorted(rounds)


@pytest.mark.parametrize("role", ["generator", "discriminator"])
def test_nan_is_told(role):
    played = small()
    network = getattr(played.gan, role)
    network.set_weights([np.full_like(w, np.nan) for w in network.get_weights()])
    with pytest.raises(FloatingPointError, match="NaN or infinite"):
        played.look(PLACES)
    assert not played.history["round"]


# --- what it is given


def test_a_plane_without_points():
    played = small(None)
    played.look(PLACES)
    for action in (played.train, played.next_stage):
        with pytest.raises(ValueError, match="no real points yet"):
            action()
    played.x = np.ones((5, 2), np.float32)
    played.train()
    assert played.rounds == 1 and played.modes is None


@pytest.mark.parametrize(
    "points", [np.zeros((5, 3)), np.zeros((0, 2)), np.full((5, 2), np.nan), data.GaussianMixture([0.0, 1.0])]
)
def test_data_that_are_no_points(points):
    with pytest.raises(ValueError, match="the data "):
        small(points)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("seed", "0"), ("seed", 0.5), ("noise", 0), ("layers", 1.5), ("width", None), ("d_steps", 0), ("d_rate", -1),
        ("g_rate", np.nan), ("penalty", "much"), ("loss", "hinges"), ("optimizer", ["Adam"]), ("speeed", 1),
    ],
)  # fmt: skip
def test_settings_that_there_are_not(name, value):
    with pytest.raises(ValueError, match=name):
        small(**{name: value})
    if name not in ("seed", "layers", "width"):
        with pytest.raises(ValueError, match=name):
            small().change(name, value)


@pytest.mark.parametrize("rounds", [0, -1, 1.5, "3"])
def test_rounds_that_are_no_number(rounds):
    with pytest.raises(ValueError, match="rounds must be a positive whole number"):
        small().train(rounds)


def test_the_game_knows_neither_controls_nor_pictures():
    modules = {
        name.name if isinstance(node, ast.Import) else f"{node.module}.{name.name}"
        for node in ast.walk(ast.parse(inspect.getsource(game)))
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for name in node.names
    }
    assert not [name for name in modules if any(word in name for word in ("widget", "plot", "IPython", "models"))]
