"""How a model of the course is trained: what every `fit` shares, and no `train_step` needs to know.

The algorithms stand in the `train_step` of each family's own file. Here is the machinery around
them: checks of what the reader passes in, many steps in one compiled call, random numbers that
depend on nothing but the seed and the step, interrupts, and losses that stop being numbers.
"""

import time
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

CALL_SECONDS = 0.25  # how long one compiled call may take: the wait before an interrupt is served
SNAPSHOT_SECONDS = 1.0  # how often the last good state is copied, in case a loss becomes NaN


def prefers_xla(networks, strategy):
    """The one place that decides how training is compiled: True for XLA, False for graph mode.

    Measured on CPUs: XLA makes dense networks about 1.75 times faster than graph mode, and
    convolutions 6 to 7 times slower, since it does not use oneDNN's kernels. Keras' own "auto"
    means graph mode on every CPU and XLA on a GPU; for GPUs we follow it. Several replicas exchange
    gradients in the middle of a step, which the loop inside one XLA call does not allow.
    """
    if strategy.num_replicas_in_sync > 1:
        return False
    if tf.config.list_logical_devices("GPU"):
        return True
    # Convolutions are the layers that have a kernel with more axes than (inputs, outputs).
    return not any(len(weight.shape) > 2 for network in networks for weight in network.trainable_weights)


def check_network(network, role):
    """Raise ValueError unless `network` is a Keras model that knows its input and output shapes."""
    if not (isinstance(network, keras.Model) and network.built and getattr(network, "inputs", None)):
        raise ValueError(f"the {role} must be a Sequential or functional Keras model that begins with keras.Input.")


def last_activation(network):
    """Name of the activation that ends `network`, past layers that only change the shape."""
    for layer in reversed(network.layers):
        if isinstance(layer, keras.Model):
            return last_activation(layer)
        activation = getattr(layer, "activation", None)
        if activation is not None:
            return getattr(activation, "__name__", type(activation).__name__).lower()
        if not isinstance(layer, (keras.layers.Reshape, keras.layers.Flatten)):
            return type(layer).__name__.lower()
    return "linear"


def check_logits(network, outputs=1):
    """Raise ValueError unless `network` ends in `outputs` numbers without a squashing function."""
    if network.output_shape[1:] != (outputs,):
        raise ValueError(f"{network.name} must give {outputs} logit per sample, not shape {network.output_shape[1:]}.")
    name = last_activation(network)
    if name in ("sigmoid", "hard_sigmoid", "softmax", "tanh"):
        raise ValueError(f"{network.name} ends in a {name}, but the losses want logits: leave its last activation out.")


def check_data(x, shape, activation):
    """Return `x` as float32, or raise ValueError: it must be finite, of `shape`, in the activation's range."""
    x = np.asarray(x)
    if x.shape[1:] != tuple(shape):
        raise ValueError(f"the data must have shape (n, {', '.join(map(str, shape))}), not {x.shape}.")
    low, high = {"sigmoid": (0, 1), "tanh": (-1, 1)}.get(activation, (-np.inf, np.inf))
    if np.isfinite(high) and not np.issubdtype(x.dtype, np.floating):
        raise ValueError(f"the data must be float in [{low}, {high}], not {x.dtype}: divide 0-255 images by 255.")
    x = x.astype(np.float32, copy=False)
    if len(x) == 0:
        raise ValueError("there are no data: at least one row is needed.")
    smallest, largest = x.min(), x.max()  # both are NaN if anything is
    if not np.isfinite(smallest + largest):
        raise ValueError("the data contain NaN or infinity: every value must be a finite number.")
    if smallest < low or largest > high:
        raise ValueError(
            f"the data must lie in [{low}, {high}], the range of the generator's {activation}, "
            f"not in [{smallest:g}, {largest:g}]."
        )
    return x


def check_count(name, value):
    """Raise ValueError unless `value` is a positive whole number; the sentence calls it `name`."""
    if value is None or int(value) != value or value < 1:
        raise ValueError(f"{name} must be a positive whole number, not {value}.")


def check_separate(optimizer, other):
    """Raise ValueError if two players share one optimizer."""
    if optimizer is other:
        raise ValueError("the players need two separate optimizers, because each remembers its own slopes.")


def check_codes(codes, dim, name="codes"):
    """Return codes as float32, or raise ValueError: finite numbers `(n, dim)`; the sentence calls them `name`."""
    codes = np.asarray(codes, np.float32)
    if codes.ndim != 2 or codes.shape[1] != dim or not np.isfinite(codes).all():
        raise ValueError(f"{name} must be finite numbers of shape (n, {dim}), not {codes.shape}.")
    return codes


def check_labels(labels, classes):
    """Return labels as int64, or raise ValueError: whole numbers `(n,)` from 0 to classes - 1."""
    labels = np.asarray(labels)
    if labels.ndim != 1 or len(labels) == 0 or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(
            f"labels must be integers of shape (n,), such as [7, 1], not {labels.dtype} of shape {labels.shape}; "
            "one-hot rows become integers by labels.argmax(axis=1)."
        )
    if labels.min() < 0 or labels.max() >= classes:
        raise ValueError(f"labels must lie between 0 and {classes - 1}, not between {labels.min()} and {labels.max()}.")
    return labels.astype(np.int64)


def numpy_generator(seed):
    """A NumPy generator for the numbers that a user draws; a seed of None takes one from NumPy's global generator."""
    return np.random.default_rng(np.random.randint(2**31) if seed is None else seed)


def count_rows(data):
    """How many rows an array has, or the shortest array of a tuple."""
    return min(len(part) for part in tf.nest.flatten(data))


def averaged_copy(network, ema):
    """A copy of `network` for the moving average of its weights; the network itself if `ema` is None."""
    if ema is None:
        return network
    if not 0 < ema < 1:
        raise ValueError(f"ema must lie between 0 and 1, such as 0.999, or be None, not {ema}.")
    copy = keras.models.clone_model(network)
    copy.set_weights(network.get_weights())
    return copy


class AdversarialModel(keras.Model):
    """A `keras.Model` whose `fit` runs its `train_step` for a number of steps, fast and repeatably.

    A subclass sets `self.networks` (the list of its networks), hands its optimizers to
    `set_optimizers` in `compile`, names its losses in `loss_names`, checks data in `check_data` and
    defines `train_step(x)`, which returns a dict of these losses. So that it can be saved, it names
    the arguments of its constructor and of `compile`, which it keeps in attributes of the same names
    (the loss in `adversarial_loss`).

    Args:
        seed: int; fixes the batches and the noise of training. (The networks' first weights
            depend on `keras.utils.set_random_seed` before they are built.)
    """

    network_names, setting_names = (), ("ema", "seed")  # arguments of the constructor: networks, and the rest
    games = None  # the module in which a saved model finds its loss by name
    object_names, number_names = (), ()  # arguments of `compile` beside the loss: optimizers and functions; numbers

    def __init__(self, seed=0, **kwargs):
        super().__init__(**kwargs)
        self.seed = seed
        self.networks, self.loss_optimizers = [], []
        # Steps trained so far. A weight, so that it is saved and training goes on where it was.
        self.step = self.add_weight(name="step", shape=(), dtype="int64", initializer="zeros", trainable=False)
        self.batches_per_step = 1  # more when one `train_step` holds several steps of a discriminator
        self._draws = 0  # random draws so far within one step
        self._runs = {}

    def set_optimizers(self, optimizers):
        """Called at the end of a subclass's `compile`: these are what training changes beside the networks."""
        self.loss_optimizers = optimizers
        self._runs = {}  # what was compiled before used other optimizers or losses

    # --- what a train_step uses

    def draw_seed(self):
        """A new seed for `tf.random.stateless_*`: depends on seed, step, replica and order of calls only."""
        self._draws += 1
        replica = tf.cast(tf.distribute.get_replica_context().replica_id_in_sync_group, tf.int64)
        replicas = self.distribute_strategy.num_replicas_in_sync
        stream = tf.constant(self.seed * 1000 + self._draws, tf.int64)
        return tf.stack([stream, tf.convert_to_tensor(self.step) * replicas + replica])

    def minimise(self, loss, tape, optimizer, *networks):
        """One step of `optimizer` down the slope of `loss` in the weights of the networks."""
        weights = [weight for network in networks for weight in network.trainable_variables]
        slopes = tape.gradient(loss, weights)
        replicas = self.distribute_strategy.num_replicas_in_sync
        if replicas > 1:  # Keras adds the replicas' slopes up; their mean is that of the whole batch
            slopes = [slope / replicas for slope in slopes]
        optimizer.apply(slopes, weights)

    def update_average(self):
        """Move the averaged networks, the pairs of `averages()`, a little towards the present ones."""
        if self.ema is None:
            return
        # Early on the average looks back over a tenth of the training so far, not over the
        # untrained weights it began with.
        t = tf.cast(self.step.value, tf.float32)
        decay = tf.minimum(self.ema, (1 + t) / (10 + t))
        for average, network in self.averages():
            for old, new in zip(average.weights, network.weights, strict=True):
                old.assign(decay * old + (1 - decay) * new)

    def draw_batch(self, data, n):
        """`n` rows at random, with replacement: the same rows of each array, if there are several."""
        rows = tf.random.stateless_uniform([n], self.draw_seed(), maxval=count_rows(data), dtype=tf.int64)
        return tf.nest.map_structure(lambda part: tf.gather(part, rows), data)

    # --- the loop

    def fit(self, x, steps, batch_size=100, steps_per_epoch=100, callbacks=None):
        """Train for `steps` more steps. Call it again to go on: 100 + 100 steps equal 200.

        Args:
            x: the data, a finite float array whose rows fit the networks, or a tuple of arrays
                with equally many rows, if the `train_step` of the model takes such a tuple.
            steps: how many times `train_step` runs.
            batch_size: rows of `x` in one step, drawn at random with replacement. Under
                `tf.distribute` the replicas share them.
            steps_per_epoch: how many steps make what Keras calls an epoch: the losses in the
                history are means over that many, and `on_epoch_end` is called as often.
            callbacks: Keras callbacks, a list.

        Returns:
            A `keras.callbacks.History`: `.history["step"]` and one entry for each loss.
            An interrupt (the kernel's stop button, Ctrl-C) returns it too: what was learned is kept.

        Raises:
            ValueError: data that do not fit, sizes that are not positive, a batch larger than the data.
            FloatingPointError: a loss or a weight became NaN or infinite; the model is set back to
                its last good state, at most a second or one compiled call earlier.
        """
        if not self.compiled:
            raise ValueError("call compile() before fit(): the model has no optimizers yet.")
        for name, value in (("steps", steps), ("batch_size", batch_size), ("steps_per_epoch", steps_per_epoch)):
            check_count(name, value)
        x = tf.nest.map_structure(tf.constant, self.check_data(x))
        if count_rows(x) < batch_size:
            raise ValueError(f"batch_size {batch_size} is larger than the data: there are only {count_rows(x)} rows.")
        replicas = self.distribute_strategy.num_replicas_in_sync
        if batch_size % replicas:
            raise ValueError(f"batch_size {batch_size} must be a multiple of the {replicas} replicas that share it.")

        epochs = -(-steps // steps_per_epoch)
        history = keras.callbacks.History()
        calls = keras.callbacks.CallbackList(
            [history, *(callbacks or [])], model=self, epochs=epochs, steps=steps_per_epoch, total_steps=steps
        )
        self.stop_training = False
        start = int(self.step.numpy())
        calls.on_train_begin()
        try:
            self._run_epochs(x, start, steps, batch_size, steps_per_epoch, calls)
        except KeyboardInterrupt:
            done = int(self.step.numpy()) - start
            print(f"Stopped after {done:,} of {steps:,} steps. What was learned is kept: fit goes on from here.")
        finally:
            calls.on_train_end()
        return history

    def _run_epochs(self, data, start, steps, batch_size, steps_per_epoch, calls):
        run = self._compiled_run(batch_size)
        zero = tf.zeros(len(self.loss_names))
        run(data, tf.constant(0), zero)  # no step: compiles, so that the first call can be timed
        self._take_snapshot()
        size, done = 1, 0
        while done < steps and not self.stop_training:
            epoch, sums, epoch_start = done // steps_per_epoch, zero, done
            epoch_end = min(epoch_start + steps_per_epoch, steps)
            calls.on_epoch_begin(epoch)
            while done < epoch_end and not self.stop_training:
                n = min(size, epoch_end - done)
                calls.on_train_batch_begin(done - epoch_start)
                clock = time.perf_counter()
                sums, finite = run(data, tf.constant(n), sums)
                if not finite:
                    self._restore_snapshot(start + done, n)
                size = max(1, min(2 * size, int(n * CALL_SECONDS / (time.perf_counter() - clock))))
                done += n
                logs = self._logs(sums / (done - epoch_start))
                if time.monotonic() > self._snapshot_due:
                    self._take_snapshot()
                calls.on_train_batch_end(done - epoch_start - 1, logs)
            calls.on_epoch_end(epoch, {"step": start + done, **logs})

    def _logs(self, losses):
        return dict(zip(self.loss_names, losses.numpy().tolist(), strict=True))

    def _one_step(self, data, batch_size):
        self._draws = 0
        found = self.train_step(self.draw_batch(data, batch_size * self.batches_per_step))
        self.step.assign(self.step + 1)
        return tf.stack([found[name] for name in self.loss_names])

    def _compiled_run(self, batch_size):
        """A compiled function of (data, n, sums): n steps; returns the sums with the losses added, and a check
        that all is finite. The sums come in and go out so that they do not depend on how steps fall into calls."""
        if batch_size in self._runs:
            return self._runs[batch_size]
        strategy = self.distribute_strategy
        share = batch_size // strategy.num_replicas_in_sync

        def one_step(data):
            if strategy.num_replicas_in_sync == 1:
                return self._one_step(data, share)
            losses = strategy.run(self._one_step, args=(data, share))
            return strategy.reduce(tf.distribute.ReduceOp.MEAN, losses, axis=None)

        @tf.function(jit_compile=prefers_xla(self.networks, strategy))
        def run(data, n, sums):
            i = tf.constant(0)
            while i < n:  # not tf.range(n): under XLA that would compile anew for each n
                sums += one_step(data)
                i += 1
            weights = [w.value for network in self.networks for w in network.trainable_variables]
            health = tf.reduce_sum(sums) + tf.add_n([tf.reduce_sum(w) for w in weights])
            return sums, tf.math.is_finite(health)

        self._runs[batch_size] = run
        return run

    # --- files

    def get_config(self):
        networks = {name: keras.saving.serialize_keras_object(getattr(self, name)) for name in self.network_names}
        return {**networks, **{name: getattr(self, name) for name in self.setting_names}, "name": self.name}

    @classmethod
    def from_config(cls, config):
        networks = {name: keras.saving.deserialize_keras_object(config[name]) for name in cls.network_names}
        return cls(**{**config, **networks})

    def get_compile_config(self):
        numbers = {name: np.asarray(getattr(self, name)).tolist() for name in self.number_names}
        objects = {name: keras.saving.serialize_keras_object(getattr(self, name)) for name in self.object_names}
        return {**numbers, **objects, "loss": self.adversarial_loss.__name__}

    def compile_from_config(self, config):
        objects = {name: keras.saving.deserialize_keras_object(config[name]) for name in self.object_names}
        self.compile(**{**config, **objects, "loss": getattr(self.games, config["loss"])})

    def save(self, filepath, **kwargs):
        """Save networks, optimizers and step to a `.keras` file; `keras.models.load_model` reads it.

        Raises OSError when the place cannot be written.
        """
        self._write(super().save, filepath, **kwargs)

    def save_weights(self, filepath, **kwargs):
        """Save the same without the architecture, to a `.weights.h5` file. Raises OSError."""
        self._write(super().save_weights, filepath, **kwargs)

    def _write(self, write, filepath, **kwargs):
        try:
            write(filepath, **kwargs)
        except OSError as error:
            raise OSError(f"{filepath} cannot be written ({error}); nothing is lost, choose another folder.") from error

    def load_weights(self, filepath, **kwargs):
        """Load what `save_weights` wrote. If that fails the model stays as it was.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the file is damaged, or holds the weights of another architecture.
        """
        if not Path(filepath).is_file():
            raise FileNotFoundError(f"there is no file {filepath}.")
        before = self._copy_state()
        try:
            super().load_weights(filepath, **kwargs)
        except (OSError, ValueError, KeyError) as error:
            self._put_back(before)
            reason = "is damaged" if isinstance(error, OSError) else "holds the weights of another architecture"
            raise ValueError(f"{filepath} {reason}; the model is unchanged.") from error

    def _state(self):
        return [*self.variables, *(v for optimizer in self.loss_optimizers for v in optimizer.variables)]

    def _copy_state(self):
        return [tf.identity(v.value) for v in self._state()]

    def _put_back(self, values):
        for variable, value in zip(self._state(), values, strict=True):
            variable.assign(value)

    def _take_snapshot(self):
        self._snapshot = self._copy_state()
        self._snapshot_due = time.monotonic() + SNAPSHOT_SECONDS

    def _restore_snapshot(self, step, n):
        self._put_back(self._snapshot)
        raise FloatingPointError(
            f"a loss or a weight became NaN or infinite between steps {step} and {step + n}; the model is back at "
            f"step {int(self.step.numpy())}. A smaller learning rate or a penalty on D's slope usually helps."
        )
