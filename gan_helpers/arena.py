"""The playground: a GAN in the plane that is trained, stopped, stepped and changed while you watch.

The arena knows no network and no model class: a function of the notebook builds the GAN, and the
arena calls its `compile`, `discriminator_step` and `generator_step`, the same that `fit` repeats.
"""

import html
import threading

import ipywidgets
import keras
import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf
from matplotlib.collections import LineCollection
from scipy.stats import entropy, norm

from gan_helpers import losses, plotting
from gan_helpers.data import GaussianMixture
from gan_helpers.metrics import mode_coverage
from gan_helpers.widgets import labelled_button, styled

D_STAGES = (
    "take a batch of real points",
    "draw noise z, let G make points of it",
    "D says real (+) or generated (-)",
    "its loss: squares are wrong",
    "D's weights move, so the map does",
)
G_STAGES = (
    "draw new noise z",
    "G makes points of it",
    "D says real (+) or generated (-)",
    "arrows: where D's belief grows",
    "G's weights move, so points do",
)
PLAYING = "playing" if ipywidgets.Play.class_traits().get("playing") else "_playing"  # ipywidgets 8 and 7
OWN = "points you place"
STAGES = "stage by stage"
OPTIMIZERS = {
    "Adam, β₁ = 0": lambda rate: keras.optimizers.Adam(rate, beta_1=0.0, beta_2=0.99),
    "Adam, β₁ = 0.5": lambda rate: keras.optimizers.Adam(rate, beta_1=0.5),
    "Adam, β₁ = 0.9": lambda rate: keras.optimizers.Adam(rate, beta_1=0.9),
    "gradient descent": lambda rate: keras.optimizers.SGD(rate),
}
GAMES = {
    "minimax": losses.minimax,
    "non-saturating": losses.non_saturating,
    "least squares": losses.least_squares,
    "hinge": losses.hinge,
    "Wasserstein": losses.wasserstein,
    "relativistic": losses.relativistic,
}
# What has to be made anew when a control changes. The others act by themselves.
NEW_NETWORKS = ("data", "seed", "layers", "width")
NEW_TRAINING = ("loss", "penalty", "optimizer")


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
        gan: the model at this moment.
        frames, captions: what was recorded; `widgets.player(arena.frames, arena.captions)` shows it.
        history: dict of lists: round, d_loss, g_loss, kl, js.

    Raises:
        ValueError: data that are not points in the plane, or a setting that there is not.
    """

    POINTS, BATCH, CELLS, HEAT = 1000, 128, 20, 40  # of G that are measured; of one step; per side
    FRAMES, CURVE = 300, 1000  # kept at most: then every second one is dropped
    _active = None  # the arena that plays: there is one kernel, so there is one
    _lock = threading.RLock()  # messages of the front end may come on two threads at once

    def __init__(self, make_gan, data_sets, seed=0, **settings):
        self.make_gan, self.data_sets = make_gan, {name: _points(name, x) for name, x in data_sets.items()}
        self.own = np.zeros((0, 2), np.float32)
        self.controls = _controls([*data_sets, OWN], seed)
        for name, value in settings.items():
            if name not in self.controls:
                raise ValueError(f"there is no control {name!r}, only {', '.join(self.controls)}.")
            self.controls[name].value = value
        self._build_widgets()
        super().__init__(self._rows)
        self.add_class("gan-arena")
        self._pause_others()
        self._guarded(self.reset)()

    # --- what the buttons do

    def reset(self, *_):
        """New networks from the seed, and an empty history."""
        name = self.controls["data"].value
        self.mixture, self.x = (None, self.own) if name == OWN else self.data_sets[name]
        self.reach = 1.5 if name == OWN else 1.3 * float(np.abs(self.x).max())
        self.history = {key: [] for key in ("round", "d_loss", "g_loss", "kl", "js")}
        self.frames, self.captions, self.rounds, self._every = [], [], 0, 1
        self._losses = (np.nan, np.nan)
        self._new_networks()
        self._draw_still_parts()
        self.show()

    def train(self, rounds=1, d=True, g=True):
        """Train for `rounds` rounds; without `d` or `g` only the other network moves."""
        self._need_data()
        self._stage, self._marks = None, {}
        d_loss, g_loss = self._losses
        for _ in range(rounds):
            x, z = self._batch(), self._noise()
            for _ in range(self.controls["d_steps"].value if d else 0):
                d_loss = self._step_d(x, z)
                x, z = self._batch(), self._noise()
            if g:
                g_loss = self._step_g(x, z)
            self.rounds += 1
        self._losses = float(d_loss), float(g_loss)

    def next_stage(self):
        """Do the next of the stages that make a round: five for each step of D, then five for G."""
        self._need_data()
        d_stages = len(D_STAGES) * self.controls["d_steps"].value
        stage = 0 if self._stage is None else (self._stage + 1) % (d_stages + len(G_STAGES))
        self._stage, is_d = stage, stage < d_stages
        part = stage % len(D_STAGES)
        if part == 0:
            self._x_batch, self._z_batch = self._batch(), self._noise()
            self._marks = {"batch": self._x_batch} if is_d else {"noise": self._z_batch}
        elif part == 1:
            self._marks["noise"] = self._z_batch
            self._marks["fake"] = self.gan.generator(self._z_batch).numpy()
        elif part == 2:
            both = np.concatenate([self._x_batch, self._marks["fake"]]) if is_d else self._marks["fake"]
            says_real = self.gan.discriminator(both).numpy()[:, 0] > 0
            self._marks.update(says_real=both[says_real], says_fake=both[~says_real])
            self._wrong = both[says_real != (np.arange(len(both)) < self.BATCH)]
        elif part == 3:
            self._marks |= {"wrong": self._wrong} if is_d else {"arrows": True}
        else:
            for name in ("wrong", "arrows", "says_real", "says_fake"):
                self._marks.pop(name, None)
            if is_d:
                self._losses = float(self._step_d(self._x_batch, self._z_batch)), self._losses[1]
            else:
                before = self._marks["fake"]
                self._losses = self._losses[0], float(self._step_g(self._x_batch, self._z_batch))
                after = self.gan.generator(self._z_batch).numpy()
                self._marks.update(fake=after, moves=np.stack([before, after], axis=1))
                self.rounds += 1

    def add_points(self, x, y):
        """Place a small cloud of 25 real points at (x, y), and go over to the points you placed."""
        if not (np.isfinite([x, y]).all() and max(abs(x), abs(y)) <= self.reach):
            reach = f"{-self.reach:.1f} to {self.reach:.1f}"
            raise ValueError(f"({x:.2f}, {y:.2f}) lies outside of the arena: x and y reach from {reach}.")
        cloud = np.random.default_rng(len(self.own)).normal((x, y), 0.03, (25, 2))
        self.own = np.concatenate([self.own, cloud.astype(np.float32)])
        if self.controls["data"].value == OWN:
            self.x = self.own
            self.show()
        else:
            self.controls["data"].value = OWN

    def remove_points(self, *_):
        """Take all placed points away."""
        self.own = np.zeros((0, 2), np.float32)
        if self.controls["data"].value == OWN:
            self.x = self.own
            self.pause()
            self.show()

    def pause(self):
        """Stop playing."""
        self.play.set_trait(PLAYING, False)

    @property
    def playing(self):
        return getattr(self.play, PLAYING)

    # --- training

    def _new_networks(self):
        value = {name: control.value for name, control in self.controls.items()}
        keras.utils.set_random_seed(value["seed"])
        self.rng = np.random.default_rng(value["seed"])
        self.gan = self.make_gan(value["noise"], value["layers"], value["width"])
        self._new_training()
        self._new_noise_plane()

    def _new_training(self):
        value = {name: control.value for name, control in self.controls.items()}
        rates = value["d_rate"], value["g_rate"]
        optimizers = [OPTIMIZERS[value["optimizer"]](rate) for rate in rates]
        gamma = value["penalty"]
        self.gan.compile(*optimizers, loss=GAMES[value["loss"]], r1=gamma, r2=gamma)
        self._step_d = tf.function(self.gan.discriminator_step)
        self._step_g = tf.function(self.gan.generator_step)
        self._look = tf.function(self._view)
        self._stage, self._marks = None, {}

    def _new_noise_plane(self):
        """Fixed codes to look at: a cloud, and lines that cut the noise into cells of equal probability."""
        rng, dim = np.random.default_rng(0), self.controls["noise"].value
        self.z_cloud = rng.standard_normal((self.POINTS, dim)).astype(np.float32)
        ticks, fine = norm.ppf(np.linspace(0.02, 0.98, 13)), norm.ppf(np.linspace(0.02, 0.98, 25))
        across = np.stack(np.meshgrid(ticks, fine, indexing="ij"), axis=-1)
        lines = np.concatenate([across, across[..., ::-1]]) if dim > 1 else across[:1, :, ::-1]
        self.z_lines = np.zeros((*lines.shape[:2], dim), np.float32)
        self.z_lines[..., : min(dim, 2)] = lines[..., : min(dim, 2)]  # other coordinates stay at 0

    def _need_data(self):
        if len(self.x) == 0:
            raise ValueError("there are no real points yet: click into the arena, or type x and y and press a key.")

    def _batch(self):
        return self.x[self.rng.integers(len(self.x), size=self.BATCH)]

    def _noise(self):
        return self.rng.standard_normal((self.BATCH, self.gan.latent_dim), dtype=np.float32)

    def _view(self, z_cloud, z_lines, places, x_batch):
        """All that a frame shows of the networks, in one compiled call."""
        fake = self.gan.generator(z_cloud)
        some = fake[: self.BATCH // 2]
        with tf.GradientTape() as tape:
            tape.watch(some)
            real = self.gan.discriminator(x_batch[: self.BATCH // 2])
            _, g_loss = self.gan.adversarial_loss(real, self.gan.discriminator(some))
        slope = -tape.gradient(g_loss, some) * len(some)  # of each point's own loss
        return fake, self.gan.generator(z_lines), tf.sigmoid(self.gan.discriminator(places)), slope

    # --- pictures

    def _draw_still_parts(self):
        """The figure with its axes; what moves is drawn over it."""
        figure, axes = plt.subplot_mosaic(
            [["arena", "noise", "loss"], ["arena", "text", "distance"]], figsize=(14, 6.2), width_ratios=[2, 1.1, 1.15]
        )
        self.ax = axes["arena"]
        reach = self.reach
        self.ax.set(xlim=(-reach, reach), ylim=(-reach, reach), xlabel="$x_1$", ylabel="$x_2$", aspect="equal")
        side = np.linspace(-reach, reach, self.HEAT)
        self.places = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2).astype(np.float32)
        heat = self.ax.imshow(
            np.full((self.HEAT, self.HEAT), 0.5), cmap=plotting.BELIEF.resampled(20), vmin=0, vmax=1, alpha=0.75,
            origin="lower", extent=(-reach, reach, -reach, reach), interpolation="bilinear",
        )  # fmt: skip
        mesh = self.ax.add_collection(LineCollection([], colors="black", linewidths=0.6, alpha=0.55))
        (real,) = self.ax.plot([], [], "o", ms=5, color=plotting.REAL, mec="white", mew=0.5, label="real")
        (fake,) = self.ax.plot([], [], "X", ms=6, color=plotting.FAKE, mec="white", mew=0.5, label="generated")
        arrows = self.ax.quiver(
            np.zeros(self.BATCH // 2), np.zeros(self.BATCH // 2), np.zeros(self.BATCH // 2), np.zeros(self.BATCH // 2),
            angles="xy", scale_units="xy", scale=1, width=0.003, color="black",
        )  # fmt: skip
        moves = self.ax.add_collection(LineCollection([], colors="black", linewidths=1.2))
        (batch,) = self.ax.plot([], [], "o", ms=8, mfc="none", mec="black", mew=0.9)
        (wrong,) = self.ax.plot([], [], "s", ms=9, mfc="none", mec="black", mew=1.2)
        (says_real,) = self.ax.plot([], [], "+", ms=7, color="black", mew=1)
        (says_fake,) = self.ax.plot([], [], "_", ms=7, color="black", mew=1)
        self.ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, fontsize=12, markerscale=1.5)
        axes["noise"].set(xlim=(-2.6, 2.6), ylim=(-2.6, 2.6), title="noise z", aspect="equal", xticks=[], yticks=[])
        plane = self.z_lines if self.gan.latent_dim > 1 else np.pad(self.z_lines, ((0, 0), (0, 0), (0, 1)))
        axes["noise"].add_collection(LineCollection(plane[..., :2], colors="black", linewidths=0.6, alpha=0.55))
        (noise,) = axes["noise"].plot([], [], "X", ms=6, color=plotting.FAKE, mec="white", mew=0.5)
        axes["text"].set_axis_off()
        text = axes["text"].text(0, 1, "", va="top", fontsize=11.5, linespacing=1.35, transform=axes["text"].transAxes)
        curves = {}
        for panel, names in (("loss", ("d_loss", "g_loss")), ("distance", ("kl", "js"))):
            for name, colour, style in zip(names, (plotting.REAL, plotting.FAKE), ("-", "--"), strict=True):
                label = {"d_loss": "D", "g_loss": "G", "kl": "KL(data || model)", "js": "Jensen-Shannon"}[name]
                (curves[name],) = axes[panel].plot([], [], style, color=colour, label=label)
            axes[panel].set(xlim=(0, 128), xlabel="round", ylim=(0, 1.5 if panel == "loss" else 3))
            axes[panel].set_ylabel("loss" if panel == "loss" else "nats")
            axes[panel].legend(loc="upper right", fontsize=11)
        self.parts = {"heat": heat, "mesh": mesh, "real": real, "fake": fake, "arrows": arrows, "moves": moves}
        self.parts |= {"batch": batch, "says_real": says_real, "says_fake": says_fake, "wrong": wrong}
        self.parts |= {"noise": noise, "text": text, **curves}
        self.figure = plotting.MovingFigure(figure, self.parts.values())

    def show(self):
        """Measure, draw the frame, and keep it if "record" is on."""
        x = self._batch() if len(self.x) else np.zeros((self.BATCH, 2), np.float32)
        z_lines = self.z_lines.reshape(-1, self.gan.latent_dim)
        # Stage by stage, the codes of the batch stand in for as many of the cloud.
        z_cloud, marks = self.z_cloud, self._marks
        if self._stage is not None:
            z_cloud = np.concatenate([self._z_batch, z_cloud[self.BATCH :]])
        fake, lines, belief, slope = (t.numpy() for t in self._look(z_cloud, z_lines, self.places, x))
        if not (np.isfinite(fake).all() and np.isfinite(belief).all()):
            raise FloatingPointError("a network became NaN or infinite: choose smaller learning rates and press reset.")
        self._measure(fake)
        parts, empty = self.parts, np.zeros((0, 2))
        parts["heat"].set_data(belief.reshape(self.HEAT, self.HEAT))
        parts["mesh"].set_segments(lines.reshape(*self.z_lines.shape[:2], 2))
        parts["real"].set_data(*self.x[:300].T)
        parts["fake"].set_data(*(fake[:300] if self._stage is None else marks.get("fake", empty)).T)
        some = fake[: len(slope)]
        length = np.linalg.norm(slope, axis=1, keepdims=True) * self.reach  # loss per half a width
        parts["arrows"].set_offsets(some)
        parts["arrows"].set_UVC(*(0.2 * self.reach**2 * slope / (1 + length)).T)
        parts["arrows"].set_visible(self._stage is None or "arrows" in marks)
        parts["moves"].set_segments(marks.get("moves", []))
        for name in ("batch", "says_real", "says_fake", "wrong"):
            parts[name].set_data(*marks.get(name, empty).T)
        codes = marks.get("noise", empty)
        parts["noise"].set_data(codes[:, 0], codes[:, 1] if codes.shape[1] > 1 else np.zeros(len(codes)))
        parts["text"].set_text(self._text())
        self._draw_curves()
        self.picture.value = self.figure.png()
        self._record()

    def _measure(self, fake):
        """KL and JS between data and samples, both counted in cells, and the modes that are covered."""
        edges = np.linspace(-self.reach, self.reach, self.CELLS + 1)
        # Half a point is added to each cell, since a logarithm does not bear empty ones.
        real, made = (np.histogram2d(*cloud.T, bins=edges)[0].ravel() + 0.5 for cloud in (self.x, fake))
        p, q = real / real.sum(), made / made.sum()
        middle = (p + q) / 2
        kl, js = entropy(p, q), (entropy(p, middle) + entropy(q, middle)) / 2
        self.modes = mode_coverage(fake, self.mixture) if self.mixture is not None else None
        now = (self.rounds, *self._losses, kl, js)
        for values, value in zip(self.history.values(), now, strict=True):
            values.append(value)
            if len(values) > self.CURVE:
                del values[1:-1:2]

    def _draw_curves(self):
        h, grown = self.history, False
        for names in (("d_loss", "g_loss"), ("kl", "js")):
            axes = self.parts[names[0]].axes
            for name in names:
                self.parts[name].set_data(h["round"], h[name])
            right, (low, high) = axes.get_xlim()[1], axes.get_ylim()
            now = [h[name][-1] for name in names if np.isfinite(h[name][-1])]
            if self.rounds > right:
                axes.set_xlim(0, 2 * self.rounds)
                grown = True
            if now and not low <= min(now) <= max(now) <= high:
                axes.set_ylim(min(low, 1.5 * min(now)), max(high, 1.5 * max(now)))
                grown = True
        if grown:
            self.figure.refresh()

    def _text(self):
        covered = ""
        if self.modes is not None:
            covered = f"modes {self.modes[0]} of {len(self.mixture.means)}\nhigh quality {self.modes[1]:.0%}\n"
        if self._stage is None:
            d_loss, g_loss = self._losses
            numbers = f"KL {self.history['kl'][-1]:.2f}   JS {self.history['js'][-1]:.2f} nats\n"
            losses_now = "" if np.isnan(d_loss + g_loss) else f"loss of D {d_loss:.2f}, of G {g_loss:.2f}"
            return f"round {self.rounds:,}\n{covered}{numbers}{losses_now}"
        is_d = self._stage < len(D_STAGES) * self.controls["d_steps"].value
        part = self._stage % len(D_STAGES)
        stages = [
            f"{'▶' if i == part else '   '} {i + 1} {text}" for i, text in enumerate(D_STAGES if is_d else G_STAGES)
        ]
        number = self.rounds + ("moves" not in self._marks)
        return "\n".join([f"round {number:,}, step of {'D' if is_d else 'G'}", *stages])

    def _record(self):
        if not self.record.value or self.rounds % self._every:
            return
        self.frames.append(self.picture.value)
        self.captions.append(f"round {self.rounds:,}")
        if len(self.frames) > self.FRAMES:
            del self.frames[1::2], self.captions[1::2]
            self._every *= 2
        if not self.playing:  # a slider that moved with every frame would send its own echoes in between
            self._move_scrub()

    def _move_scrub(self):
        self._quiet = True
        self.scrub.max = max(0, len(self.frames) - 1)
        self.scrub.value = self.scrub.max
        self._quiet = False

    # --- widgets

    def _build_widgets(self):
        self._quiet = False
        self.play = ipywidgets.Play(min=0, max=10**9, interval=self._interval(), show_repeat=False)
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
        for control in self.controls.values():
            control.observe(self._guarded(self._changed), names="value")
        steps = [
            labelled_button(text, self._guarded(action), width="90px")
            for text, action in (
                ("step D", lambda _: self._once(g=False)),
                ("step G", lambda _: self._once(d=False)),
                ("step both", lambda _: self._once()),
                ("next stage", lambda _: (self.next_stage(), self.show())),
                ("reset", self.reset),
            )
        ]
        self.x_place, self.y_place = (
            styled(ipywidgets.FloatText(value=0.0, step=0.1, description=name), "110px", "20px") for name in "xy"
        )
        place = labelled_button(
            "place points", self._guarded(lambda _: self.add_points(self.x_place.value, self.y_place.value))
        )
        remove = labelled_button("remove them", self._guarded(self.remove_points))
        self.click = ipywidgets.Text(layout={"display": "none"})
        self.click.add_class("gan-click")
        self.click.observe(self._guarded(self._clicked), names="value")
        row = lambda *children: ipywidgets.HBox(children, layout={"flex_flow": "row wrap"})  # noqa: E731
        self._rows = [
            row(self.play, *steps, self.controls["speed"], self.record, self.scrub),
            self.picture,
            self.problem,
            row(*(control for name, control in self.controls.items() if name != "speed")),
            row(ipywidgets.Label("Click into the arena, or:"), self.x_place, self.y_place, place, remove),
            row(self.click, ipywidgets.HTML(PAGE)),
        ]

    def _guarded(self, action):
        """`action`, with any exception told under the picture instead of lost, and playing paused."""

        def run(*arguments):
            with Arena._lock:
                try:
                    result = action(*arguments)
                    self.problem.value = ""
                    return result
                except Exception as error:
                    self.pause()
                    self.problem.value = f"<div role='alert'>⚠ {html.escape(str(error))}</div>"

        return run

    def _interval(self):
        return 1200 if self.controls["speed"].value == STAGES else 50  # milliseconds between two frames at least

    def _tick(self, change):
        with Arena._lock:
            if self.playing:
                self._guarded(self.frame)()

    def frame(self):
        """What one picture of playing does: a number of rounds, or the next stage."""
        if self.controls["speed"].value == STAGES:
            self.next_stage()
        else:
            self.train(self.controls["speed"].value)
        self.show()

    def _once(self, d=True, g=True):
        self.pause()
        self.train(1, d, g)
        self.show()

    def _played(self, change):
        with Arena._lock:
            if change["new"]:
                self._pause_others()
            else:
                self._move_scrub()

    def _pause_others(self):
        """There is one kernel: the arena that starts, or appears, pauses the one that plays."""
        if Arena._active not in (None, self) and Arena._active.playing:
            Arena._active.pause()
            Arena._active.problem.value = "paused, because another arena plays"
        Arena._active = self

    def _changed(self, change):
        name = next(name for name, control in self.controls.items() if control is change["owner"])
        if name in NEW_NETWORKS:
            self.reset()
        elif name == "noise":  # G is made anew; D keeps what it knows
            known = self.gan.discriminator.get_weights()
            self._new_networks()
            self.gan.discriminator.set_weights(known)
            self._draw_still_parts()
            self.show()
        elif name in NEW_TRAINING:
            self._new_training()
        elif name in ("d_rate", "g_rate"):
            optimizer = self.gan.d_optimizer if name == "d_rate" else self.gan.g_optimizer
            optimizer.learning_rate = change["new"]
        elif name == "speed":
            self.play.interval = self._interval()
            self._stage, self._marks = None, {}

    def _look_back(self, change):
        if not self._quiet:
            self.pause()
            self.picture.value = self.frames[change["new"]]

    def _clicked(self, change):
        """A click comes as "right, down" in shares of the picture, and a counter."""
        right, down = map(float, change["new"].split(",")[:2])
        size = self.figure.figure.bbox
        x, y = self.ax.transData.inverted().transform((right * size.width, (1 - down) * size.height))
        self.add_points(x, y)


# What ipywidgets leave out. An Image has no click event, so this tag, once it is on the page, makes the
# picture of its arena write where it was clicked into the hidden text field; and the buttons of a Play
# show pictures only, so they get names.
PAGE = (
    "<img alt='' style='display:none' src='data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAA=' onload=\""
    "setTimeout(() => { const box = this.closest('.gan-arena'), picture = box.querySelector('img.gan-picture');"
    "const text = box.querySelector('.gan-click input'); picture.alt = 'the arena'; picture.onclick = (event) => {"
    "const at = picture.getBoundingClientRect();"
    "text.value = [(event.clientX - at.left) / at.width, (event.clientY - at.top) / at.height, Date.now()].join();"
    "text.dispatchEvent(new Event('input', {bubbles: true})); };"
    "const names = {'fa-play': 'play or pause', 'fa-pause': 'pause', 'fa-stop': 'stop'};"
    "for (const [icon, name] of Object.entries(names)) box.querySelectorAll('.widget-play .' + icon).forEach("
    "(i) => { i.parentElement.title = name; i.parentElement.setAttribute('aria-label', name); }); }, 300)\">"
)


def _points(name, x):
    """A mixture, or None, and points `(n, 2)`; ValueError if they are none."""
    mixture = x if isinstance(x, GaussianMixture) else None
    x = np.asarray(mixture.sample(10_000, seed=0) if mixture else x, np.float32)
    if x.ndim != 2 or x.shape[1] != 2 or len(x) == 0 or not np.isfinite(x).all():
        raise ValueError(f"the data set {name!r} must be finite points of shape (n, 2), not {x.shape}.")
    return mixture, x


def _controls(data_names, seed):
    choice, slider = ipywidgets.Dropdown, ipywidgets.IntSlider
    rate = {"base": 10, "min": -5, "max": -1, "step": 0.1, "value": 1e-3, "readout_format": ".1e"}
    controls = {
        "data": choice(options=data_names, description="data"),
        "seed": ipywidgets.BoundedIntText(min=0, max=10**6, value=seed, description="seed"),
        "noise": choice(options=[1, 2, 8, 32], value=2, description="noise dimension"),
        "layers": slider(min=1, max=4, value=2, description="hidden layers"),
        "width": ipywidgets.SelectionSlider(options=[4, 8, 16, 32, 64, 128], value=64, description="width"),
        "loss": choice(options=list(GAMES), value="non-saturating", description="loss"),
        "penalty": choice(options=[0.0, 0.01, 0.1, 1.0], description="R1 and R2, gamma"),
        "optimizer": choice(options=list(OPTIMIZERS), description="optimizer"),
        "d_rate": ipywidgets.FloatLogSlider(description="learning rate D", **rate),
        "g_rate": ipywidgets.FloatLogSlider(description="learning rate G", **rate),
        "d_steps": slider(min=1, max=5, value=1, description="D steps per G step"),
        "speed": ipywidgets.SelectionSlider(
            options=[STAGES, 1, 3, 10, 30, 100], value=10, description="rounds a frame"
        ),
    }
    return {name: styled(control, "285px", "135px") for name, control in controls.items()}
