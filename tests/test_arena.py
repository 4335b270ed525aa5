"""The playground without a browser: what its controls do, and what it says when something is wrong."""

import inspect
import io
import re
import threading
import time

import numpy as np
import pytest
from PIL import Image

from gan_helpers import arena, data, widgets
from tests.test_game import make_gan, moved, weights

DATA = {"ring": data.ring(sigma=0.05), "moons": data.moons(500, seed=0)}


@pytest.fixture
def place():
    settings = {"width": 16, "layers": 1}
    place = arena.Arena(make_gan, DATA, **settings)
    assert place.problem.value == ""
    return place


def button(place, text):
    buttons = [w for row in place.children if hasattr(row, "children") for w in row.children]
    return next(b for b in buttons if getattr(b, "description", "") == text and hasattr(b, "click"))


def test_buttons_move_the_network_they_name(place):
    assert moved(place, button(place, "step D").click) == [True, False]
    assert moved(place, button(place, "step G").click) == [False, True]
    assert moved(place, button(place, "step both").click) == [True, True]
    assert place.rounds == 3 and place.problem.value == ""


def test_next_stage_is_drawn_and_playing_on_ends_it(place):
    for _ in range(10):
        button(place, "next stage").click()
    assert place.rounds == 1 and place.problem.value == ""
    text = place.board.parts["text"].get_text()
    assert "step of G" in text and "▶ 5 G's weights move" in text and len(place.board.parts["moves"].get_segments())
    place.frame()
    assert place.game.stage is None and not place.board.parts["moves"].get_segments()


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


def test_another_noise_dimension_keeps_what_d_knows_and_is_drawn(place):
    place.train(20)
    known, picture = weights(place)[0], place.picture.value
    place.controls["noise"].value = 8
    assert place.gan.latent_dim == 8 and np.array_equal(weights(place)[0], known) and place.picture.value != picture


def test_points_of_the_reader(place):
    place.x_place.value, place.y_place.value = 0.5, -0.5
    button(place, "place points").click()
    assert place.controls["data"].value == arena.OWN and place.game.x.shape == (25, 2)
    assert np.allclose(place.game.x.mean(axis=0), (0.5, -0.5), atol=0.05)
    place.frame()
    assert place.problem.value == "" and place.game.modes is None
    button(place, "remove them").click()
    assert len(place.game.x) == 0
    button(place, "step both").click()
    assert "no real points yet" in place.problem.value


def test_a_click_into_and_outside_of_the_axes(place):
    corner = place.board.ax.transData.transform((0.7, -0.2)) / place.board.figure.figure.bbox.size
    place.click.value = f"{corner[0]},{1 - corner[1]},1"
    assert place.problem.value == "" and np.allclose(place.own.mean(axis=0), (0.7, -0.2), atol=0.05)
    place.click.value = "0.95,0.5,2"
    assert "lies outside of the arena" in place.problem.value and len(place.own) == 25
    for wrong in ((np.nan, 0), (0, np.inf), ("0", 0), (None, 0)):
        with pytest.raises(ValueError, match="must be a finite number"):
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
    place.FRAMES = 8
    for _ in range(60):
        place.train(1)
        place.show()
    assert len(place.frames) <= 8 and len(place.captions) == len(place.frames) and place.captions[0] == "round 0"


def assert_slider_and_picture_agree(place):
    assert place.problem.value == "" and not place.playing
    assert place.scrub.max == max(0, len(place.frames) - 1) and place.picture.value == place.frames[place.scrub.value]


def test_look_back_while_playing(place):
    """Playing stops, and the slider stays where it was dragged to."""
    for _ in range(4):
        place.frame()
    place.play.set_trait(arena.PLAYING, True)
    for _ in range(3):
        place.play.value += 1
    place.scrub.value = 2
    assert place.scrub.value == 2 and len(place.frames) == 8
    assert_slider_and_picture_agree(place)


def test_look_back_while_playing_after_frames_were_dropped(place):
    place.FRAMES = 9
    for _ in range(8):
        place.frame()
    place.play.set_trait(arena.PLAYING, True)
    while len(place.frames) >= 8:
        place.play.value += 1
    place.scrub.value = 7  # there were so many when playing began
    assert place.scrub.value == place.scrub.max == len(place.frames) - 1
    assert_slider_and_picture_agree(place)


def test_look_back_after_a_reset_with_recording_off(place):
    for _ in range(3):
        place.frame()
    place.record.value = False
    button(place, "reset").click()
    assert place.scrub.max == 0 and place.frames == []
    picture = place.picture.value
    place.scrub.max = 3  # a front end that does not yet know of it
    place.scrub.value = 2
    assert place.problem.value == "" and place.picture.value == picture
    place.record.value = True
    place.frame()
    assert_slider_and_picture_agree(place)


def test_look_back_told_late(place):
    """Of two moves on two threads the first may be served last: what counts is where the slider stands."""
    for _ in range(5):
        place.frame()
    place.scrub.value = 1
    place.scrub.value = 3
    place._look_back({"new": 1})
    assert place.scrub.value == 3
    assert_slider_and_picture_agree(place)


def test_arena_and_other_pictures_draw_one_after_the_other(place, monkeypatch):
    """They may share a network or a figure, and matplotlib bears no two threads."""
    drawing, go_on, drawn = threading.Event(), threading.Event(), []
    panel = widgets.live_picture(lambda a: drawn.append(a) or b"", a=(0, 9, 0))
    monkeypatch.setattr(place, "show", lambda: (drawing.set(), go_on.wait(10)))
    step = threading.Thread(target=button(place, "step both").click)
    move = threading.Thread(target=panel.children[0].children[0].set_trait, args=("value", 5))
    step.start()
    assert drawing.wait(10)
    move.start()
    move.join(0.2)
    assert drawn == [0]
    go_on.set()
    step.join(10)
    move.join(10)
    assert drawn == [0, 5]


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
    with pytest.raises(ValueError, match=r"the data of 'mine' (must be points of shape|contain NaN)"):
        arena.Arena(make_gan, {"mine": points})


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("speeed", 1, "there is no control 'speeed', only data, seed"),
        ("seed", "0", "seed must be a number from 0 to 1e+06, not '0'"),
        ("seed", -1, "seed must be a number from 0"),
        ("seed", True, "seed must be a number from 0"),
        ("layers", 9, "layers must be a number from 1 to 4, not 9"),
        ("d_rate", 5, "d_rate must be a number from 1e-05 to 0.1, not 5"),
        ("d_rate", np.nan, "d_rate must be a number"),
        ("width", 65, "width must be one of 4, 8, 16"),
        ("loss", "hinges", "loss must be one of minimax, "),
        ("data", "rings", "data must be one of ring, moons, points you place"),
        ("noise", None, "noise must be one of 1, 2"),
    ],
)
def test_settings_that_there_are_not(name, value, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        arena.Arena(make_gan, DATA, **{name: value})


def test_networks_that_do_not_fit_are_told():
    faults = ["my network is not ready"]

    def sometimes(*sizes):
        if faults:
            raise ValueError(faults[0])
        return make_gan(*sizes)

    place = arena.Arena(sometimes, DATA, width=8)
    assert "my network is not ready" in place.problem.value
    button(place, "step both").click()
    place.controls["d_rate"].value = 1e-2
    assert "my network is not ready" in place.problem.value
    faults.clear()
    button(place, "step both").click()
    assert place.problem.value == "" and place.rounds == 1


def test_no_class_does_everything():
    for kind in (arena.Arena, arena.Board):
        assert sum(inspect.isfunction(value) for value in vars(kind).values()) <= 20


@pytest.mark.clock
def test_ten_frames_a_second_are_possible(slowness):
    """The kernel's part of a frame of ten rounds, with the notebook's first networks, on a usual laptop."""
    place = arena.Arena(make_gan, DATA)
    place.frame()
    seconds = []
    for _ in range(20):
        start = time.perf_counter()
        place.frame()
        seconds.append(time.perf_counter() - start)
    assert np.median(seconds) < 0.1 * max(1, slowness())
