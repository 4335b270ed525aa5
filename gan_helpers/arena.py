"""The playground: a GAN in the plane that is trained, stopped, stepped and changed while you watch.

The game itself is in `game.py`. Here are its picture, its controls and what they say when something is wrong.
"""

import contextlib
from functools import partial
from operator import attrgetter

import ipywidgets
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.collections import LineCollection
from traitlets import TraitError

from gan_helpers import checks, plotting
from gan_helpers.game import D_STAGES, G_STAGES, GAMES, OPTIMIZERS, SETTINGS, Game, points_of
from gan_helpers.widgets import alert, labelled_button, one_at_a_time, page_script, styled

PLAYING = "playing" if ipywidgets.Play.class_traits().get("playing") else "_playing"  # ipywidgets 8 and 7
OWN = "points you place"
STAGES = "stage by stage"
NEW_GAME = ("data", "seed", "layers", "width")  # what begins anew when it changes: the other controls act at once


class Arena(ipywidgets.VBox):
    """A GAN in the plane to watch and to change: `Arena(make_gan, {"ring": data.ring(sigma=0.05)})`.

    Args:
        make_gan: function of (noise dimension, hidden layers, width) that returns a new `GAN` whose
            generator ends in, and whose discriminator takes, two numbers.
        data_sets: dict from name to a `data.GaussianMixture` or to points `(n, 2)`.
        seed: of the first networks, batches and noise.
        settings: values of controls to begin with, by name: data, noise, layers, width, loss,
            penalty, optimizer, d_rate, g_rate, d_steps, speed.

    Attributes:
        game: the `game.Game` that is shown; `gan`, `history` and `rounds` are its own.
        frames, captions: what was recorded; `widgets.player(arena.frames, arena.captions)` shows it.

    Raises:
        ValueError: data that are not points in the plane, or a setting that there is not.
    """

    FRAMES = 300  # kept at most: then every second one is dropped
    _active = None  # the arena that plays: there is one kernel, so there is one
    gan, history, rounds = (property(attrgetter(f"game.{name}")) for name in ("gan", "history", "rounds"))

    def __init__(self, make_gan, data_sets, seed=0, **settings):
        for name, x in data_sets.items():
            points_of(x, f"the data of {name!r}")
        self.make_gan, self.data_sets, self.game = make_gan, data_sets, None
        self.frames, self.captions = [], []
        self.own = np.zeros((0, 2), np.float32)
        self.controls = _controls([*data_sets, OWN])
        for name, value in {"seed": seed, **settings}.items():
            if name not in self.controls:
                raise ValueError(f"there is no control {name!r}, only {', '.join(self.controls)}.")
            _put(name, self.controls[name], value)
        super().__init__(self._build_widgets())
        self.add_class("gan-arena")
        self._pause_others()
        self._guarded(self.reset)()

    # --- what the buttons do

    @one_at_a_time
    def reset(self, *_):
        """New networks from the seed, and an empty history."""
        settings = {name: self.controls[name].value for name in SETTINGS}
        name = self.controls["data"].value
        self.game = Game(self.make_gan, self.data_sets.get(name), **settings)
        if name == OWN:
            self.game.x = self.own
        self.frames, self.captions, self._every = [], [], 1
        self.board = Board(self.game)
        self.show()
        self._move_scrub()

    @one_at_a_time
    def train(self, rounds=1, d=True, g=True):
        """Train for `rounds` rounds; without `d` or `g` only the other network moves."""
        self.game.train(rounds, d, g)

    @one_at_a_time
    def next_stage(self):
        """Do the next of the stages that make a round: five for each step of D, then five for G."""
        self.game.next_stage()

    @one_at_a_time
    def frame(self):
        """What one picture of playing does: a number of rounds, or the next stage."""
        if self.controls["speed"].value == STAGES:
            self.next_stage()
        else:
            self.train(self.controls["speed"].value)
        self.show()

    @one_at_a_time
    def show(self):
        """Measure, draw the frame, and keep it if "record" is on."""
        self.picture.value = self.board.draw(self.game)
        if not self.record.value or self.rounds % self._every:
            return
        self.frames.append(self.picture.value)
        self.captions.append(f"round {self.rounds:,}")
        if len(self.frames) > self.FRAMES:
            del self.frames[1::2], self.captions[1::2]
            self._every *= 2
        if not self.playing:  # a slider that moved with every frame would send its own echoes in between
            self._move_scrub()

    @one_at_a_time
    def add_points(self, x, y):
        """Place a small cloud of 25 real points at (x, y), and go over to the points you placed."""
        x, y, reach = checks.number("x", x), checks.number("y", y), self.game.reach
        if max(abs(x), abs(y)) > reach:
            between = f"{-reach:.1f} to {reach:.1f}"
            raise ValueError(f"({x:.2f}, {y:.2f}) lies outside of the arena: x and y reach from {between}.")
        cloud = np.random.default_rng(len(self.own)).normal((x, y), 0.03, (25, 2))
        self.own = np.concatenate([self.own, cloud.astype(np.float32)])
        if self.controls["data"].value == OWN:
            self.game.x = self.own
            self.show()
        else:
            self.controls["data"].value = OWN

    @one_at_a_time
    def remove_points(self, *_):
        """Take all placed points away."""
        self.own = np.zeros((0, 2), np.float32)
        if self.controls["data"].value == OWN:
            self.game.x = self.own
            self.pause()
            self.show()

    def pause(self):
        """Stop playing."""
        self.play.set_trait(PLAYING, False)

    @property
    def playing(self):
        return getattr(self.play, PLAYING)

    # --- widgets

    def _build_widgets(self):
        self._quiet = False  # while "look back" is moved by us
        self.play = ipywidgets.Play(min=0, max=10**9, show_repeat=False)
        interval = lambda speed: 1200 if speed == STAGES else 50  # noqa: E731  # milliseconds between two frames at least
        ipywidgets.dlink((self.controls["speed"], "value"), (self.play, "interval"), interval)
        self.play.observe(self._tick, names="value")
        self.play.observe(self._played, names=PLAYING)
        layout = {"max_width": "100%", "width": "max-content", "align_self": "flex-start"}
        self.picture = ipywidgets.Image(format="png", layout=layout)
        self.picture.add_class("gan-picture")
        self.picture._view_count = 0  # from now on the front end counts how often the picture is on a page
        self.picture.observe(lambda change: change["new"] or self.pause(), names="_view_count")
        self.problem = ipywidgets.HTML()
        self.record = ipywidgets.Checkbox(value=True, description="record", indent=False, layout={"width": "90px"})
        self.scrub = styled(ipywidgets.IntSlider(min=0, max=0, description="look back"), "380px", "80px")
        self.scrub.add_class("gan-scrub")
        self.scrub.observe(self._guarded(self._look_back), names="value")
        for name, control in self.controls.items():
            control.observe(self._guarded(partial(self._changed, name)), names="value")
        button = lambda text, action, width: labelled_button(text, self._guarded(action), width=width)  # noqa: E731
        steps = [
            button("step D", lambda _: self._once(g=False), "90px"),
            button("step G", lambda _: self._once(d=False), "90px"),
            button("step both", lambda _: self._once(), "90px"),
            button("next stage", lambda _: (self.next_stage(), self.show()), "90px"),
            button("reset", self.reset, "90px"),
        ]
        places = (ipywidgets.FloatText(step=0.1, description=name) for name in "xy")
        self.x_place, self.y_place = (styled(place, "110px", "20px") for place in places)
        place = button("place points", lambda _: self.add_points(self.x_place.value, self.y_place.value), None)
        remove = button("remove them", self.remove_points, None)
        self.click = ipywidgets.Text(layout={"display": "none"})
        self.click.add_class("gan-click")
        self.click.observe(self._guarded(self._clicked), names="value")
        row = lambda *children: ipywidgets.HBox(children, layout={"flex_flow": "row wrap"})  # noqa: E731
        return [
            row(self.play, *steps, self.controls["speed"], self.record, self.scrub),
            self.picture,
            self.problem,
            row(*(control for name, control in self.controls.items() if name != "speed")),
            row(ipywidgets.Label("Click into the arena, or:"), self.x_place, self.y_place, place, remove),
            row(self.click, page_script(PAGE)),
        ]

    def _guarded(self, action):
        """`action`, with any exception told under the picture instead of lost, and playing paused."""

        @one_at_a_time
        def run(*arguments):
            try:
                if self.game is None and action != self.reset:  # perhaps the networks can be made now
                    self.reset()
                action(*arguments)
                self.problem.value = ""
            except Exception as error:
                self.pause()
                self.problem.value = alert(str(error))

        return run

    @one_at_a_time
    def _tick(self, change):
        if self.playing:
            self._guarded(self.frame)()

    def _once(self, d=True, g=True):
        self.pause()
        self.train(1, d, g)
        self.show()

    @one_at_a_time
    def _played(self, change):
        if self.playing:
            self._pause_others()
        if not self._quiet:
            self._move_scrub()

    def _pause_others(self):
        """There is one kernel: the arena that starts, or appears, pauses the one that plays."""
        if Arena._active not in (None, self) and Arena._active.playing:
            Arena._active.pause()
            Arena._active.problem.value = "paused, because another arena plays"
        Arena._active = self

    def _changed(self, name, change):
        if name in NEW_GAME:
            self.reset()
        elif name == "speed":
            self.game.leave_stages()
        else:
            self.game.change(name, self.controls[name].value)
            if name == "noise":
                self.board = Board(self.game)
                self.show()

    def _look_back(self, change):
        # The slider as it is now: messages on two threads may come in another order than its moves.
        if self.frames and not self._quiet:
            self._quiet = True  # pausing would send the slider, which is being dragged, to its end
            self.pause()
            self._move_scrub(min(self.scrub.value, len(self.frames) - 1))
            self.picture.value = self.frames[self.scrub.value]

    def _move_scrub(self, place=None):
        """Put "look back" on a frame, None for the last, and its end on the last; both lag behind while playing."""
        self._quiet = True
        self.scrub.max = max(0, len(self.frames) - 1)
        self.scrub.value = self.scrub.max if place is None else place
        self._quiet = False

    def _clicked(self, change):
        """A click comes as "right, down" in shares of the picture, and a counter."""
        right, down = map(float, change["new"].split(",")[:2])
        self.add_points(*self.board.point(right, down))


class Board:
    """The picture of a `game.Game`: its figure with still parts, over which `draw` draws what moves."""

    HEAT = 40  # places per side where D is asked

    def __init__(self, game):
        figure = plt.Figure(figsize=(14, 6.2))
        panels = [["arena", "noise", "loss"], ["arena", "text", "distance"]]
        axes = figure.subplot_mosaic(panels, width_ratios=[2, 1.1, 1.15])
        self.ax, noise, text = axes["arena"], axes["noise"], axes["text"]
        parts, reach, side = {}, game.reach, np.linspace(-game.reach, game.reach, self.HEAT)
        self.ax.set(xlim=(-reach, reach), ylim=(-reach, reach), xlabel="$x_1$", ylabel="$x_2$", aspect="equal")
        self.places = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2).astype(np.float32)
        parts["heat"] = self.ax.imshow(
            np.full((self.HEAT, self.HEAT), 0.5), cmap=plotting.BELIEF.resampled(20), vmin=0, vmax=1, alpha=0.75,
            origin="lower", extent=(-reach, reach, -reach, reach), interpolation="bilinear",
        )  # fmt: skip
        mesh = {"colors": "black", "linewidths": 0.6, "alpha": 0.55}
        real, fake = ({"color": colour, "mec": "white", "mew": 0.5} for colour in (plotting.REAL, plotting.FAKE))
        parts["mesh"] = self.ax.add_collection(LineCollection([], **mesh))
        (parts["real"],) = self.ax.plot([], [], "o", ms=5, label="real", **real)
        (parts["fake"],) = self.ax.plot([], [], "X", ms=6, label="generated", **fake)
        nowhere = np.zeros((4, game.BATCH // 2))
        parts["arrows"] = self.ax.quiver(*nowhere, angles="xy", scale_units="xy", scale=1, width=0.003)
        parts["moves"] = self.ax.add_collection(LineCollection([], colors="black", linewidths=1.2))
        (parts["batch"],) = self.ax.plot([], [], "o", ms=8, mfc="none", mec="black", mew=0.9)
        (parts["says_real"],) = self.ax.plot([], [], "+", ms=7, color="black", mew=1)
        (parts["says_fake"],) = self.ax.plot([], [], "_", ms=7, color="black", mew=1)
        (parts["wrong"],) = self.ax.plot([], [], "s", ms=9, mfc="none", mec="black", mew=1.2)
        self.ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, fontsize=12, markerscale=1.5)
        noise.set(xlim=(-2.6, 2.6), ylim=(-2.6, 2.6), title="noise z", aspect="equal", xticks=[], yticks=[])
        noise.add_collection(LineCollection(_in_plane(game.z_lines), **mesh))
        (parts["noise"],) = noise.plot([], [], "X", ms=6, **fake)
        text.set_axis_off()
        parts["text"] = text.text(0, 1, "", va="top", fontsize=11.5, linespacing=1.35, transform=text.transAxes)
        for panel, unit, top, labels in (
            ("loss", "loss", 1.5, {"d_loss": "D", "g_loss": "G"}),
            ("distance", "nats", 3, {"kl": "KL(data || model)", "js": "Jensen-Shannon"}),
        ):
            looks = zip(labels.items(), (plotting.REAL, plotting.FAKE), ("-", "--"), strict=True)
            for (name, label), colour, style in looks:
                (parts[name],) = axes[panel].plot([], [], style, color=colour, label=label)
            axes[panel].set(xlim=(0, 128), xlabel="round", ylim=(0, top), ylabel=unit)
            axes[panel].legend(loc="upper right", fontsize=11)
        self.parts = parts
        self.figure = plotting.MovingFigure(figure, self.parts.values())

    def draw(self, game):
        """Look at the game; the picture as the bytes of a PNG file."""
        fake, lines, belief, slope = game.look(self.places)
        parts, marks, empty = self.parts, game.marks, np.zeros((0, 2))
        parts["heat"].set_data(belief.reshape(self.HEAT, self.HEAT))
        parts["mesh"].set_segments(lines)
        parts["real"].set_data(*game.x[:300].T)
        parts["fake"].set_data(*(fake[:300] if game.stage is None else marks.get("fake", empty)).T)
        length = np.linalg.norm(slope, axis=1, keepdims=True) * game.reach  # loss per half a width
        parts["arrows"].set_offsets(fake[: len(slope)])
        parts["arrows"].set_UVC(*(0.2 * game.reach**2 * slope / (1 + length)).T)
        parts["arrows"].set_visible(game.stage is None or "arrows" in marks)
        parts["moves"].set_segments(marks.get("moves", []))
        for name in ("batch", "says_real", "says_fake", "wrong"):
            parts[name].set_data(*marks.get(name, empty).T)
        parts["noise"].set_data(*_in_plane(marks.get("noise", empty)).T)
        parts["text"].set_text(_text(game))
        self._draw_curves(game.history)
        return self.figure.png()

    def _draw_curves(self, history):
        now = history["round"][-1]
        for names in (("d_loss", "g_loss"), ("kl", "js")):
            axes = self.parts[names[0]].axes
            for name in names:
                self.parts[name].set_data(history["round"], history[name])
            right, (low, high) = axes.get_xlim()[1], axes.get_ylim()
            last = [history[name][-1] for name in names if np.isfinite(history[name][-1])]
            if now > right:
                axes.set_xlim(0, 2 * now)
            if last and not low <= min(last) <= max(last) <= high:
                axes.set_ylim(min(low, 1.5 * min(last)), max(high, 1.5 * max(last)))
        if self.figure.figure.stale:  # since its limits are others: what moves is animated, which does not count
            self.figure.refresh()

    def point(self, right, down):
        """The point of the plane that lies at these shares of the picture's width and height."""
        size = self.figure.figure.bbox
        return self.ax.transData.inverted().transform((right * size.width, (1 - down) * size.height))


def _in_plane(codes):
    """The first two numbers of codes `(..., d)`; codes of one number lie on a line."""
    return np.concatenate([codes, np.zeros_like(codes)], axis=-1)[..., :2]


def _text(game):
    """What the panel in the middle says: counts and measures, or where in slow motion we are."""
    if game.stage is not None:
        whose, part = game.turn
        texts = D_STAGES if whose == "D" else G_STAGES
        stages = [f"{'▶' if i == part else '   '} {i + 1} {text}" for i, text in enumerate(texts)]
        return "\n".join([f"round {game.rounds + ('moves' not in game.marks):,}, step of {whose}", *stages])
    covered = ""
    if game.modes is not None:
        covered = f"modes {game.modes[0]} of {len(game.mixture.means)}\nhigh quality {game.modes[1]:.0%}\n"
    d_loss, g_loss = game.losses
    numbers = f"KL {game.history['kl'][-1]:.2f}   JS {game.history['js'][-1]:.2f} nats\n"
    losses_now = "" if np.isnan(d_loss + g_loss) else f"loss of D {d_loss:.2f}, of G {g_loss:.2f}"
    return f"round {game.rounds:,}\n{covered}{numbers}{losses_now}"


# What ipywidgets leave out: an Image has no click event, so its picture writes where it was clicked into the hidden
# text field; and the buttons of a Play show pictures only, so they get names.
PAGE = (
    "const box = this.closest('.gan-arena'), picture = box.querySelector('img.gan-picture');"
    "const text = box.querySelector('.gan-click input'); picture.alt = 'the arena'; picture.onclick = (event) => {"
    "const at = picture.getBoundingClientRect();"
    "text.value = [(event.clientX - at.left) / at.width, (event.clientY - at.top) / at.height, Date.now()].join();"
    "text.dispatchEvent(new Event('input', {bubbles: true})); };"
    "const names = {'fa-play': 'play or pause', 'fa-pause': 'pause', 'fa-stop': 'stop'};"
    "for (const [icon, name] of Object.entries(names)) box.querySelectorAll('.widget-play .' + icon).forEach("
    "(i) => { i.parentElement.title = name; i.parentElement.setAttribute('aria-label', name); });"
)


def _put(name, control, value):
    """Set a control to a value; ValueError where it would take another, as a slider does beyond its ends."""
    with contextlib.suppress(TraitError, TypeError, ValueError):
        control.value = value
    if value is None or isinstance(value, (bool, np.bool_)) or not np.array_equal(control.value, value):
        if hasattr(control, "options"):
            choices = f"one of {', '.join(map(str, control.options))}"
        else:
            ends = (control.base**end if hasattr(control, "base") else end for end in (control.min, control.max))
            choices = "a number from {:g} to {:g}".format(*ends)
        raise ValueError(f"{name} must be {choices}, not {value!r}.")


def _controls(data_names):
    choice, slider, steps = ipywidgets.Dropdown, ipywidgets.IntSlider, ipywidgets.SelectionSlider
    rate = {"base": 10, "min": -5, "max": -1, "step": 0.1, "readout_format": ".1e"}
    controls = {
        "data": choice(options=data_names, description="data"),
        "seed": ipywidgets.BoundedIntText(min=0, max=10**6, description="seed"),
        "noise": choice(options=[1, 2, 8, 32], description="noise dimension"),
        "layers": slider(min=1, max=4, description="hidden layers"),
        "width": steps(options=[4, 8, 16, 32, 64, 128], description="width"),
        "loss": choice(options=list(GAMES), description="loss"),
        "penalty": choice(options=[0.0, 0.01, 0.1, 1.0], description="R1 and R2, gamma"),
        "optimizer": choice(options=list(OPTIMIZERS), description="optimizer"),
        "d_rate": ipywidgets.FloatLogSlider(description="learning rate D", **rate),
        "g_rate": ipywidgets.FloatLogSlider(description="learning rate G", **rate),
        "d_steps": slider(min=1, max=5, description="D steps per G step"),
        "speed": steps(options=[STAGES, 1, 3, 10, 30, 100], value=10, description="rounds a frame"),
    }
    for name, value in SETTINGS.items():
        controls[name].value = value
    return {name: styled(control, "285px", "135px") for name, control in controls.items()}
