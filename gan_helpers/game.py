"""The game of the playground: a GAN in the plane that is trained round by round, network by network or stage by stage.

It knows no control, no picture and no model class: a function of the notebook builds the GAN, and the game calls its
`compile`, `discriminator_step` and `generator_step`, the same that `fit` repeats. `arena.Arena` shows it.
"""

import keras
import numpy as np
import tensorflow as tf
from scipy.stats import entropy, norm

from gan_helpers import checks, losses
from gan_helpers.data import GaussianMixture
from gan_helpers.metrics import mode_coverage

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
SETTINGS = {
    "seed": 0, "noise": 2, "layers": 2, "width": 64, "loss": "non-saturating", "penalty": 0.0,
    "optimizer": "Adam, β₁ = 0", "d_rate": 1e-3, "g_rate": 1e-3, "d_steps": 1,
}  # fmt: skip


class Game:
    """One run of a GAN in the plane: `Game(make_gan, data.ring(sigma=0.05), loss="hinge").train(100)`.

    Args:
        make_gan: function of (noise dimension, hidden layers, width) that returns a new `GAN` whose generator ends
            in, and whose discriminator takes, two numbers.
        data: a `data.GaussianMixture`, or points `(n, 2)`, or None for a plane without points; `x` may be set later.
        settings: any of SETTINGS. `penalty` is gamma of R1 and R2.

    Attributes:
        gan: the model at this moment.
        x: float32 `(n, 2)`, the real points; `reach` is half the side of the square that is looked at.
        rounds: how many were trained; a round is `d_steps` steps of D, then one of G.
        losses: those of D and G at their last steps, NaN before.
        history: dict of lists, one entry for each look: round, d_loss, g_loss, kl, js.
        modes: what `metrics.mode_coverage` said at the last look, None if the data are no mixture.
        stage, marks: number of the last stage, None between rounds; what it shows, arrays by name.

    Raises:
        ValueError: data that are no points in the plane, or settings that there are not.
    """

    POINTS, BATCH = 1000, 128  # of G that are measured; of one step
    CURVE = 1000  # looks that are kept at most: then every second one is dropped

    def __init__(self, make_gan, data=None, **settings):
        self.make_gan, self.settings = make_gan, _checked(settings)
        self.mixture = data if isinstance(data, GaussianMixture) else None
        self.x = np.zeros((0, 2), np.float32) if data is None else points_of(data)
        self.reach = 1.5 if data is None else 1.3 * float(np.abs(self.x).max()) or 1.5
        self.history = {key: [] for key in ("round", "d_loss", "g_loss", "kl", "js")}
        self.rounds, self.losses, self.modes = 0, (np.nan, np.nan), None
        self._new_networks()

    def change(self, name, value):
        """Go on with another setting: with other noise D meets a new G. Data, seed, layers, width need a new game."""
        if name in ("seed", "layers", "width"):
            raise ValueError(f"another {name} makes another game: begin a new one.")
        self.settings = _checked({**self.settings, name: value})
        if name == "noise":
            known = self.gan.discriminator.get_weights()
            self._new_networks()
            self.gan.discriminator.set_weights(known)
        elif name in ("d_rate", "g_rate"):
            optimizer = self.gan.d_optimizer if name == "d_rate" else self.gan.g_optimizer
            optimizer.learning_rate = self.settings[name]
        elif name == "d_steps":
            self.leave_stages()  # another number of stages makes a round
        else:
            self._new_training()

    def train(self, rounds=1, d=True, g=True):
        """Train for `rounds` rounds; without `d` or `g` only the other network moves."""
        self._need_data()
        self.leave_stages()
        d_loss, g_loss = self.losses
        for _ in range(checks.count("rounds", rounds)):
            x, z = self._batch(), self._noise()
            for _ in range(self.settings["d_steps"] if d else 0):
                d_loss = self._step_d(x, z)
                x, z = self._batch(), self._noise()
            if g:
                g_loss = self._step_g(x, z)
            self.rounds += 1
        self.losses = float(d_loss), float(g_loss)

    @property
    def turn(self):
        """Whose step the present stage is part of, "D" or "G", and which part, 0 to 4."""
        d_stages = len(D_STAGES) * self.settings["d_steps"]
        return "D" if self.stage < d_stages else "G", self.stage % len(D_STAGES)

    def next_stage(self):
        """Do the next of the stages that make a round: five for each step of D, then five for G."""
        self._need_data()
        stages = len(D_STAGES) * self.settings["d_steps"] + len(G_STAGES)
        self.stage = 0 if self.stage is None else (self.stage + 1) % stages
        whose, part = self.turn
        is_d = whose == "D"
        if part == 0:
            self.x_batch, self.z_batch = self._batch(), self._noise()
            self.marks = {"batch": self.x_batch} if is_d else {"noise": self.z_batch}
        elif part == 1:
            self.marks["noise"] = self.z_batch
            self.marks["fake"] = self.gan.generator(self.z_batch).numpy()
        elif part == 2:
            both = np.concatenate([self.x_batch, self.marks["fake"]]) if is_d else self.marks["fake"]
            says_real = self.gan.discriminator(both).numpy()[:, 0] > 0
            self.marks.update(says_real=both[says_real], says_fake=both[~says_real])
            self._wrong = both[says_real != (np.arange(len(both)) < self.BATCH)]
        elif part == 3:
            self.marks |= {"wrong": self._wrong} if is_d else {"arrows": True}
        else:
            for name in ("wrong", "arrows", "says_real", "says_fake"):
                self.marks.pop(name, None)
            if is_d:
                self.losses = float(self._step_d(self.x_batch, self.z_batch)), self.losses[1]
            else:
                before = self.marks["fake"]
                self.losses = self.losses[0], float(self._step_g(self.x_batch, self.z_batch))
                after = self.gan.generator(self.z_batch).numpy()
                self.marks.update(fake=after, moves=np.stack([before, after], axis=1))
                self.rounds += 1

    def leave_stages(self):
        """End slow motion; what was begun of a round is dropped."""
        self.stage, self.marks = None, {}

    def look(self, places):
        """Measure, and return what a picture shows of the networks.

        Args:
            places: float32 `(m, 2)`, where to ask for D's belief.

        Returns:
            float32 arrays: generated points `(POINTS, 2)`; what G makes of lines that cut the noise into cells of
            equal probability, `(lines, t, 2)`; D's belief `(m,)`; for the first `BATCH / 2` generated points the
            direction in which their own loss falls, `(BATCH / 2, 2)`.

        Raises:
            FloatingPointError: a network became NaN or infinite.
        """
        x = self._batch() if len(self.x) else np.zeros((self.BATCH, 2), np.float32)
        z_lines, z_cloud = self.z_lines.reshape(-1, self.gan.latent_dim), self.z_cloud
        if self.stage is not None:  # the codes of the batch stand in for as many of the cloud
            z_cloud = np.concatenate([self.z_batch, z_cloud[self.BATCH :]])
        fake, lines, belief, slope = (t.numpy() for t in self._look(z_cloud, z_lines, places, x))
        if not (np.isfinite(fake).all() and np.isfinite(belief).all()):
            raise FloatingPointError("a network became NaN or infinite: choose smaller learning rates and press reset.")
        self.modes = mode_coverage(fake, self.mixture) if self.mixture is not None else None
        now = (self.rounds, *self.losses, *distances(self.x, fake, self.reach))
        for values, value in zip(self.history.values(), now, strict=True):
            values.append(value)
            if len(values) > self.CURVE:
                del values[1:-1:2]
        return fake, lines.reshape(*self.z_lines.shape[:2], 2), belief[:, 0], slope

    def _new_networks(self):
        seed = self.settings["seed"] % 2**32  # what NumPy takes
        keras.utils.set_random_seed(seed)
        self.rng = np.random.default_rng(seed)
        self.gan = self.make_gan(*(self.settings[name] for name in ("noise", "layers", "width")))
        self._new_training()
        self._new_noise_plane()

    def _new_training(self):
        make, gamma = OPTIMIZERS[self.settings["optimizer"]], self.settings["penalty"]
        optimizers = make(self.settings["d_rate"]), make(self.settings["g_rate"])
        self.gan.compile(*optimizers, loss=GAMES[self.settings["loss"]], r1=gamma, r2=gamma)
        self._step_d = tf.function(self.gan.discriminator_step)
        self._step_g = tf.function(self.gan.generator_step)
        self._look = tf.function(self._view)
        self.leave_stages()

    def _new_noise_plane(self):
        """Fixed codes to look at: a cloud, and lines that cut the noise into cells of equal probability."""
        rng, dim = np.random.default_rng(0), self.gan.latent_dim
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
        """All that a look needs of the networks, in one compiled call."""
        fake = self.gan.generator(z_cloud)
        some = fake[: self.BATCH // 2]
        with tf.GradientTape() as tape:
            tape.watch(some)
            real = self.gan.discriminator(x_batch[: self.BATCH // 2])
            _, g_loss = self.gan.loss(real, self.gan.discriminator(some))
        slope = -tape.gradient(g_loss, some) * len(some)  # of each point's own loss
        return fake, self.gan.generator(z_lines), tf.sigmoid(self.gan.discriminator(places)), slope


def distances(real, fake, reach, cells=20):
    """KL(real || fake) and the Jensen-Shannon divergence, in nats, of two clouds `(n, 2)`.

    Both are counted in `cells` by `cells` cells of the square from -reach to reach. Half a point is added to each
    cell, since a logarithm does not bear empty ones.
    """
    edges = np.linspace(-reach, reach, cells + 1)
    p, q = (np.histogram2d(*cloud.T, bins=edges)[0].ravel() + 0.5 for cloud in (real, fake))
    p, q = p / p.sum(), q / q.sum()
    middle = (p + q) / 2
    return entropy(p, q), (entropy(p, middle) + entropy(q, middle)) / 2


def points_of(data, name="the data"):
    """Points of a data set, float32 `(n, 2)`: those given, or 10,000 of a mixture. ValueError if they are none."""
    points = data.sample(10_000, seed=0) if isinstance(data, GaussianMixture) else data
    return checks.points(points, name).astype(np.float32)


def _checked(settings):
    """All settings, those given in the place of the usual ones; ValueError if one cannot be."""
    if unknown := settings.keys() - SETTINGS.keys():
        raise ValueError(f"there is no setting {min(unknown)!r}, only {', '.join(SETTINGS)}.")
    settings = {**SETTINGS, **settings}
    for name, choices in (("loss", GAMES), ("optimizer", OPTIMIZERS)):
        if settings[name] not in list(choices):
            raise ValueError(f"{name} must be one of {', '.join(choices)}, not {settings[name]!r}.")
    checked = {"seed": checks.seed(settings["seed"])}
    checked |= {name: checks.count(name, settings[name]) for name in ("noise", "layers", "width", "d_steps")}
    checked |= {name: checks.number(name, settings[name], low=0) for name in ("penalty", "d_rate", "g_rate")}
    return {**settings, **checked}
