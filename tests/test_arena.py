"""The playground without a browser: what its controls do, and what it says when something is wrong."""

import io
import threading
import time

import keras
import numpy as np
import pytest
from keras import layers
from PIL import Image

from gan_helpers import arena, data, widgets
from gan_helpers.models.gan import GAN

DATA = {"ring": data.ring(sigma=0.05), "moons": data.moons(500, seed=0)}


def make_gan(noise, depth, width):
    hidden = lambda: [layers.Dense(width, activation="relu") for _ in range(depth)]  # noqa: E731
    generator = keras.Sequential([keras.Input((noise,)), *hidden(), layers.Dense(2)])
    return GAN(generator, keras.Sequential([keras.Input((2,)), *hidden(), layers.Dense(1)]))


@pytest.fixture
def place():
    settings = {"width": 16, "layers": 1}
    place = arena.Arena(make_gan, DATA, **settings)
    assert place.problem.value == ""
    return place


def weights(place):
    networks = place.gan.discriminator, place.gan.generator
    return [np.concatenate([w.ravel() for w in network.get_weights()]) for network in networks]


def moved(place, action):
    before = weights(place)
    action()
    return [not np.array_equal(a, b) for a, b in zip(before, weights(place), strict=True)]


def button(place, text):
    buttons = [w for row in place.children if hasattr(row, "children") for w in row.children]
    return next(b for b in buttons if getattr(b, "description", "") == text and hasattr(b, "click"))


def test_buttons_move_the_network_they_name(place):
    assert moved(place, button(place, "step D").click) == [True, False]
    assert moved(place, button(place, "step G").click) == [False, True]
    assert moved(place, button(place, "step both").click) == [True, True]
    assert place.rounds == 3 and place.problem.value == ""


def test_five_stages_each_and_only_the_last_moves(place):
    for d_steps in (1, 2):
        place.controls["d_steps"].value = d_steps
        place._stage = None
        order = [moved(place, button(place, "next stage").click) for _ in range(5 * d_steps + 5)]
        d_step, g_step = 4 * [[False, False]] + [[True, False]], 4 * [[False, False]] + [[False, True]]
        assert order == d_steps * d_step + g_step
    assert place.rounds == 2 and place.problem.value == ""
    text = place.parts["text"].get_text()
    assert "step of G" in text and "▶ 5 G's weights move" in text
    place.frame()  # playing on leaves no mark of slow motion behind
    assert not place._marks and not place.parts["moves"].get_segments()


def test_slow_motion_uses_the_batch_it_shows(place):
    for _ in range(4):
        place.next_stage()
    copy = make_gan(2, 1, 16)
    for mine, other in ((copy.generator, place.gan.generator), (copy.discriminator, place.gan.discriminator)):
        mine.set_weights(other.get_weights())
    copy.compile(*(arena.OPTIMIZERS["Adam, β₁ = 0"](1e-3) for _ in range(2)))
    copy.discriminator_step(place._x_batch, place._z_batch)
    place.next_stage()
    assert np.allclose(place.gan.discriminator.get_weights()[0], copy.discriminator.get_weights()[0], atol=1e-6)
    wrong = place._wrong  # found one stage before, with D as it was
    assert len(wrong) and all((wrong[:, None] == np.concatenate([place._x_batch, place._marks["fake"]])).all(-1).any(1))


def test_the_same_seed_gives_the_same_run():
    runs = []
    for _ in range(2):
        place = arena.Arena(make_gan, DATA, seed=3, width=16, layers=1)
        place.train(20)
        place.show()
        runs.append((place.picture.value, place.captions))
    assert runs[0] == runs[1]
    other = arena.Arena(make_gan, DATA, seed=4, width=16, layers=1)
    assert other.picture.value != place.frames[0]


def test_reset_begins_anew(place):
    first = place.picture.value
    place.train(5)
    place.show()
    assert place.picture.value != first and len(place.frames) == 2
    button(place, "reset").click()
    assert place.picture.value == first and len(place.frames) == 1 and place.rounds == 0


def test_every_control_works_while_it_trains(place):
    for name, value in {
        "data": "moons", "seed": 7, "noise": 1, "layers": 2, "width": 8, "loss": "relativistic", "penalty": 0.1,
        "optimizer": "gradient descent", "d_rate": 1e-2, "g_rate": 1e-4, "d_steps": 3, "speed": 1,
    }.items():  # fmt: skip
        place.controls[name].value = value
        place.frame()
        assert place.problem.value == "", name
    assert place.gan.latent_dim == 1 and len(place.gan.generator.layers) == 3
    assert float(place.gan.d_optimizer.learning_rate) == pytest.approx(1e-2)
    assert float(place.gan.g_optimizer.learning_rate) == pytest.approx(1e-4)
    assert place.gan.r1 == place.gan.r2 == 0.1


@pytest.mark.parametrize("loss", list(arena.GAMES))
@pytest.mark.parametrize("noise", [1, 2, 8])
def test_all_games_and_noises_draw(loss, noise):
    place = arena.Arena(make_gan, DATA, width=8, layers=1, loss=loss, noise=noise, penalty=0.1)
    place.frame()
    assert place.problem.value == "" and Image.open(io.BytesIO(place.picture.value)).size[0] > 1000


def test_another_noise_dimension_keeps_what_d_knows(place):
    place.train(20)
    known = weights(place)[0]
    place.controls["noise"].value = 8
    assert place.gan.latent_dim == 8 and np.array_equal(weights(place)[0], known)


def test_learning_rate_zero_point_is_felt_without_compiling_anew(place):
    step = place._step_d
    place.controls["d_rate"].value = 1e-5
    assert place._step_d is step


def test_points_of_the_reader(place):
    place.x_place.value, place.y_place.value = 0.5, -0.5
    button(place, "place points").click()
    assert place.controls["data"].value == arena.OWN and place.x.shape == (25, 2)
    assert np.allclose(place.x.mean(axis=0), (0.5, -0.5), atol=0.05)
    place.frame()
    assert place.problem.value == "" and place.modes is None
    button(place, "remove them").click()
    assert len(place.x) == 0
    button(place, "step both").click()
    assert "no real points yet" in place.problem.value


def test_a_click_into_and_outside_of_the_axes(place):
    corner = place.ax.transData.transform((0.7, -0.2)) / place.figure.figure.bbox.size
    place.click.value = f"{corner[0]},{1 - corner[1]},1"
    assert place.problem.value == "" and np.allclose(place.own.mean(axis=0), (0.7, -0.2), atol=0.05)
    place.click.value = "0.95,0.5,2"
    assert "lies outside of the arena" in place.problem.value and len(place.own) == 25
    for wrong in ((np.nan, 0), (0, np.inf)):
        with pytest.raises(ValueError, match="lies outside of the arena"):
            place.add_points(*wrong)


def test_look_back_shows_what_was_recorded_and_can_be_switched_off(place):
    for _ in range(3):
        place.frame()
    last = place.picture.value
    place.scrub.value = 1
    assert place.picture.value == place.frames[1] != last
    place.record.value = False
    place.frame()
    assert len(place.frames) == 4 and place.captions[1] == "round 10"
    assert "figure" in widgets.player(place.frames, place.captions).data


def test_what_is_kept_is_bounded(place):
    place.FRAMES, place.CURVE = 8, 20
    for _ in range(60):
        place.train(1)
        place.show()
    assert len(place.frames) <= 8 and len(place.captions) == len(place.frames) and place.captions[0] == "round 0"
    assert all(len(values) <= 20 for values in place.history.values())
    assert place.history["round"][0] == 0 and place.history["round"][-1] == 60
    assert place.history["round"] == sorted(place.history["round"])


@pytest.mark.parametrize("role", ["generator", "discriminator"])
def test_nan_is_told_and_reset_helps(place, role):
    network = getattr(place.gan, role)
    network.set_weights([np.full_like(w, np.nan) for w in network.get_weights()])
    picture = place.picture.value
    button(place, "step both").click()
    assert "NaN or infinite" in place.problem.value and place.picture.value == picture
    button(place, "reset").click()
    assert place.problem.value == ""


def test_one_arena_plays_at_a_time(place):
    other = arena.Arena(make_gan, DATA, width=16, layers=1)
    place.play.playing = True
    other.play.playing = True
    assert other.playing and not place.playing and "another arena plays" in place.problem.value
    rounds = place.rounds
    place.play.value += 1  # a tick that was already on its way
    assert place.rounds == rounds
    other.play.value += 1
    assert other.rounds == 10
    arena.Arena(make_gan, DATA, width=16, layers=1)  # the cell is run again
    assert not other.playing


def test_arena_is_paused_after_its_frame_and_not_within(place, monkeypatch):
    """JupyterLab sends the messages of widgets to two threads."""
    other = arena.Arena(make_gan, DATA, width=16, layers=1)
    place.play.playing = True
    training, go_on = threading.Event(), threading.Event()
    monkeypatch.setattr(place, "train", lambda rounds: (training.set(), go_on.wait(10)))
    tick = threading.Thread(target=place.play.set_trait, args=("value", 1))
    press = threading.Thread(target=other.play.set_trait, args=("playing", True))
    tick.start()
    assert training.wait(10)
    press.start()
    press.join(0.2)
    assert place.playing
    go_on.set()
    tick.join(10)
    press.join(10)
    assert other.playing and not place.playing and "another arena plays" in place.problem.value


@pytest.mark.parametrize("points", [np.zeros((5, 3)), np.zeros((0, 2)), np.full((5, 2), np.nan)])
def test_data_that_are_no_points(points):
    with pytest.raises(ValueError, match="'mine' must be finite points of shape"):
        arena.Arena(make_gan, {"mine": points})


def test_unknown_setting():
    with pytest.raises(ValueError, match="there is no control 'speeed', only data, seed"):
        arena.Arena(make_gan, DATA, speeed=1)


def test_networks_that_do_not_fit_are_told():
    def wrong(noise, depth, width):
        raise ValueError("my network is not ready")

    assert "my network is not ready" in arena.Arena(wrong, DATA).problem.value


@pytest.mark.clock
def test_ten_frames_a_second_are_possible():
    """The kernel's part of a frame of ten rounds, with the networks that the notebook begins with."""
    place = arena.Arena(make_gan, DATA)
    place.frame()
    seconds = []
    for _ in range(20):
        start = time.perf_counter()
        place.frame()
        seconds.append(time.perf_counter() - start)
    assert np.median(seconds) < 0.1
