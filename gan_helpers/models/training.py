"""How a model of the course is trained: what every `fit` shares, and no `train_step` needs to know.

The algorithms stand in the `train_step` of each family's own file. Here is the machinery around
them: checks of what the reader passes in, many steps in one compiled call, random numbers that
depend on nothing but the seed and the step, interrupts, losses that stop being numbers, and files.
"""

import inspect
import time
from numbers import Real

import keras
import numpy as np
import tensorflow as tf

from gan_helpers import checks
from gan_helpers.models.saving import SavedModel, argument_names

CALL_SECONDS = 0.25  # how long one compiled call may take: the wait before an interrupt is served
SNAPSHOT_SECONDS = 1.0  # how often the last good state is copied, in case a loss becomes NaN
XLA_STEPS_DENSE, XLA_STEPS_CONV = 5000, 1000  # on a GPU XLA compiles for 10 to 35 s, which shorter runs never win back
BATCH_HOOKS = ("on_train_batch_begin", "on_train_batch_end", "on_batch_begin", "on_batch_end")


def on_gpu():
    """True where TensorFlow computes on a GPU."""
    return bool(tf.config.list_logical_devices("GPU"))


def prefers_xla(networks, strategy, steps):
    """The one place that decides how training is compiled: True for XLA, False for graph mode.

    Measured on CPUs: XLA makes dense networks about 1.75 times faster than graph mode, and
    convolutions 6 to 7 times slower, since it does not use oneDNN's kernels; the length of the run
    does not count there, so that training in parts gives the bits of one run. Measured on a GPU:
    XLA is 5 to 27 times faster, but its first call takes 11 to 35 s, graph mode's 3 to 9; so XLA is
    for long runs. Several replicas exchange gradients in the middle of a step, which the loop inside
    one XLA call does not allow.
    """
    if strategy.num_replicas_in_sync > 1:
        return False
    # Convolutions are the layers that have a kernel with more axes than (inputs, outputs).
    dense = not any(len(weight.shape) > 2 for network in networks for weight in network.trainable_weights)
    if on_gpu():
        return steps >= (XLA_STEPS_DENSE if dense else XLA_STEPS_CONV)
    return dense


# --- what a network is, found out by trying it


def check_network(network, role):
    """Raise ValueError unless `network` is a Keras model in float32 that knows its input and output shapes."""
    if not (isinstance(network, keras.Model) and network.built and getattr(network, "inputs", None)):
        raise ValueError(f"the {role} must be a Sequential or functional Keras model that begins with keras.Input.")
    kinds = {layer.compute_dtype for layer in network._flatten_layers()}
    if not kinds <= {"float32", None}:
        raise ValueError(f"the {role} must compute in float32, not in {', '.join(sorted(map(str, kinds)))}.")


def output_range(network):
    """(low, high) that no output of `network` leaves, whatever its weights; (-inf, inf) if there is no such bound.

    Found out by trying, since a layer's name tells little (a sigmoid may hide in a Lambda, or stand before a
    Dropout): with weights thirty, and again three hundred times as large, what is not squashed grows with them.
    """
    rng, before = np.random.default_rng(0), network.get_weights()
    noise = [rng.standard_normal(weight.shape) for weight in before]
    shapes = [(16, *(side or 8 for side in part.shape[1:])) for part in network.inputs]
    inputs = [rng.standard_normal(shape).astype("float32") for shape in shapes]
    # What is trained, or would be if it were not frozen: not the statistics of a batch normalisation.
    learnt = {id(weight) for layer in network._flatten_layers() for weight in layer._trainable_variables}
    moves = [id(weight) in learnt for weight in network.weights]
    found = []
    try:
        for scale in (30, 300):
            network.set_weights([scale * w + v if m else w for w, v, m in zip(before, noise, moves, strict=True)])
            made = np.asarray(network(inputs if len(inputs) > 1 else inputs[0], training=False))
            found.append((made.min(), made.max()))
    finally:
        network.set_weights(before)
    (low, high), (lower, higher) = found
    if not np.abs([lower, higher]).max() <= 1.2 * np.abs([low, high]).max() + 1e-6:  # NaN fails this, too
        return -np.inf, np.inf
    return float(np.round(min(low, lower), 2)), float(np.round(max(high, higher), 2))


def check_logits(network, outputs=1):
    """Raise ValueError unless `network` ends in `outputs` numbers that nothing squashes; None allows any shape."""
    if outputs and network.output_shape[1:] != (outputs,):
        raise ValueError(f"{network.name} must give {outputs} logit per sample, not shape {network.output_shape[1:]}.")
    low, high = output_range(network)
    if np.isfinite(high):
        raise ValueError(
            f"{network.name} gives values in [{low:g}, {high:g}] only, but the losses want logits, which any number "
            "can be: leave its last activation out."
        )


def check_data(x, shape, limits):
    """Return `x` as float32, or raise ValueError: a finite array of `shape` within `limits`, (low, high)."""
    if isinstance(x, (tuple, list)) or not hasattr(x, "shape"):
        raise ValueError(
            f"the data must be one array of shape (n, {', '.join(map(str, shape))}), not a {type(x).__name__}: "
            "fit draws its batches itself, and labels belong to the models that take labels."
        )
    x, (low, high) = np.asarray(x), limits
    if x.shape[1:] != tuple(shape):
        raise ValueError(f"the data must have shape (n, {', '.join(map(str, shape))}), not {x.shape}.")
    if len(x) == 0:
        raise ValueError("there are no data: at least one row is needed.")
    if np.isfinite(high):
        return checks.within(x, low, high, "the data", ", the range of the network that makes them")
    return checks.finite(x).astype(np.float32, copy=False)


def check_loss(loss):
    """Raise ValueError unless `loss` makes two numbers, D's loss and G's, of the logits of two batches."""
    two = None
    try:
        two = [np.shape(part) for part in loss(tf.zeros((2, 1)), tf.zeros((2, 1)))] if callable(loss) else None
    except TypeError:
        pass  # it takes other arguments, or returns one number
    except Exception:  # what it reads may not be there yet: then the first step will tell
        return
    if two != [(), ()]:
        raise ValueError(
            "loss must be a function of the logits of a real and of a generated batch that returns two numbers, "
            f"D's loss and G's, such as those of gan_helpers.losses, not {getattr(loss, '__name__', loss)!r}."
        )


# --- small things that the families share


def rows(x):
    """How many rows a tensor has: a number where it is known before it runs, a tensor elsewhere."""
    return x.shape[0] or tf.shape(x)[0]


def averaged_copy(network, ema):
    """A copy of `network` for the moving average of its weights; the network itself if `ema` is None."""
    if ema is None:
        return network
    if not 0 < checks.number("ema", ema) < 1:
        raise ValueError(f"ema must lie between 0 and 1, such as 0.999, or be None, not {ema}.")
    copy = keras.models.clone_model(network)
    copy.set_weights(network.get_weights())
    return copy


def what_is_traced(model):
    """What a compiled function of a model keeps as it was: arguments, optimizers' settings, and which weights move."""
    names = [*argument_names(type(model), "__init__"), *argument_names(type(model), "compile")]
    for value in (getattr(model, name) for name in names):
        if isinstance(value, keras.Optimizer):
            config = value.get_config()
            rate = config.pop("learning_rate")
            yield id(value), str(config), str(rate) if isinstance(rate, dict) else ""
        else:
            yield value if isinstance(value, Real) else str(value) if isinstance(value, list) else id(value)
    yield tuple(id(weight) for network in model.networks for weight in network.trainable_variables)


class AdversarialModel(SavedModel):
    """A `keras.Model` whose `fit` runs its `train_step` for a number of steps, fast and repeatably.

    A subclass sets `self.networks` (the list of its networks), says in `players` which optimizer moves
    which of them, names its losses in `loss_names`, checks data in `check_data` and defines
    `train_step(data)`, which ends in `end_step` and returns a dict of these losses. So that it can be
    saved, it keeps every argument of its constructor and of `compile` in an attribute of the same name.

    Args:
        seed: int; fixes the batches and the noise of training. (The networks' first weights
            depend on `keras.utils.set_random_seed` before they are built.)

    Raises:
        ValueError: Keras is set to another backend than TensorFlow, another precision than float32, or
            channels first.
    """

    def __init__(self, seed=0, **kwargs):
        for wanted, found in (
            ("tensorflow", keras.backend.backend()),
            ("float32", keras.config.floatx()),
            ("float32", keras.config.dtype_policy().name),
            ("channels_last", keras.config.image_data_format()),
        ):
            if wanted != found:
                raise ValueError(f"the models of the course need Keras set to {wanted}, not to {found}.")
        super().__init__(**kwargs)
        self.seed = checks.seed(seed)
        self.networks = []
        # Steps trained so far. A weight, so that it is saved and training goes on where it was.
        self.step = self.add_weight(name="step", shape=(), dtype="int64", initializer="zeros", trainable=False)
        self._draws = 0  # random draws so far within one step
        self._runs = {}

    def compile(self, optimizer, **arguments):
        """What every `compile` shares: `keep`, and Keras' own with the one optimizer that callbacks find."""
        self.keep(**arguments)
        super().compile(optimizer=optimizer)

    def keep(self, **arguments):
        """Check arguments of `compile`, then keep them in attributes of their names. Raises ValueError."""
        players = [name for name in self.players() if name in arguments]
        for name in players:
            others = [arguments.get(other, getattr(self, other, None)) for other in self.players() if other != name]
            self._check_player(name, arguments[name], others)
        for name, value in arguments.items():
            if name == "loss":
                check_loss(value)
            elif name == "d_steps":
                arguments[name] = checks.count(name, value)
            elif isinstance(value, (Real, str)):
                arguments[name] = checks.number(name, value, low=0)
        for name, value in arguments.items():
            setattr(self, name, value)
        for name in players:
            arguments[name].build(self._weights_of(name))

    def _weights_of(self, player):
        return [weight for network in self.players()[player] for weight in network.trainable_variables]

    def _check_player(self, name, optimizer, others):
        if not isinstance(optimizer, keras.Optimizer):
            raise ValueError(
                f"{name} must be a Keras optimizer, such as keras.optimizers.Adam(1e-3), not {optimizer!r}."
            )
        if any(optimizer is other for other in others):
            raise ValueError("the players need separate optimizers, because each remembers its own gradients.")
        self._check_that_it_can_learn(name)
        known = {id(weight) for weight in optimizer._trainable_variables} if optimizer.built else None
        if known is not None and not {id(weight) for weight in self._weights_of(name)} <= known:
            raise ValueError(f"{name} belongs to other networks already: give each model new optimizers.")

    def _check_that_it_can_learn(self, player):
        for network in self.players()[player]:
            if not network.trainable_variables:
                raise ValueError(
                    f"{network.name} has no weight that {player} could move, so it would not learn anything: was its "
                    "trainable set to False? Leave it True; a step moves the weights of one player only."
                )

    # --- what a train_step uses

    def draw_seed(self):
        """A new seed for `tf.random.stateless_*`: depends on seed, step, replica and order of calls only."""
        self._draws += 1
        replica = tf.cast(tf.distribute.get_replica_context().replica_id_in_sync_group, tf.int64)
        replicas = self.distribute_strategy.num_replicas_in_sync
        stream = tf.constant(self.seed * 1000 + self._draws, tf.int64)
        return tf.stack([stream, tf.convert_to_tensor(self.step) * replicas + replica])

    def minimise(self, loss, tape, optimizer, *networks):
        """One step of `optimizer` down the gradient of `loss` in the weights of the networks."""
        weights = [weight for network in networks for weight in network.trainable_variables]
        gradients = tape.gradient(loss, weights)
        replicas = self.distribute_strategy.num_replicas_in_sync
        if replicas > 1:  # Keras adds the replicas' gradients up; their mean is that of the whole batch
            gradients = [gradient / replicas for gradient in gradients]
        optimizer.apply(gradients, weights)

    def end_step(self):
        """The end of every step: the averaged networks move a little towards the present ones, and the step counts."""
        if self.ema is not None:
            # Early on the average looks back over a tenth of the training so far, not over the
            # untrained weights it began with.
            t = tf.cast(self.step.value, tf.float32)
            decay = tf.minimum(self.ema, (1 + t) / (10 + t))
            for average, network in self.averages():
                for old, new in zip(average.weights, network.weights, strict=True):
                    old.assign(decay * old + (1 - decay) * new)
        self.step.assign(self.step + 1)
        self._draws = 0

    def draw_batch(self, data, n):
        """`n` rows at random, with replacement: the same rows of each array, if there are several."""
        count = min(len(part) for part in tf.nest.flatten(data))
        index = tf.random.stateless_uniform([n], self.draw_seed(), maxval=count, dtype=tf.int64)
        return tf.nest.map_structure(lambda part: tf.gather(part, index), data)

    @property
    def batches_per_step(self):
        """How many batches one `train_step` takes: one for each step of the discriminator in it."""
        return getattr(self, "d_steps", 1)

    # --- the loop

    def fit(self, x, steps, batch_size=100, steps_per_epoch=100, callbacks=None, jit_compile=None):
        """Train for `steps` more steps. Call it again to go on: 100 + 100 steps equal 200.

        Args:
            x: the data, a finite float array whose rows fit the networks, or a tuple of arrays
                with equally many rows, if the `train_step` of the model takes such a tuple.
            steps: how many times `train_step` runs.
            batch_size: rows of `x` in one step, drawn at random with replacement. Under
                `tf.distribute` the replicas share them.
            steps_per_epoch: how many steps make what Keras calls an epoch: the losses in the
                history are means over that many, and `on_epoch_end` is called as often.
            callbacks: Keras callbacks, a list. One with hooks for batches has them called after every
                step, which is slower.
            jit_compile: True compiles with XLA, False does not, None chooses by device, kind of network
                and number of steps (see `prefers_xla`). Layers that XLA cannot compile, such as random
                rotations, run without it.

        Returns:
            A `keras.callbacks.History`: `.history["step"]` and one entry for each loss.
            An interrupt (the kernel's stop button, Ctrl-C) returns it too: what was learned is kept.

        Raises:
            ValueError: data that do not fit, sizes that are not positive, a batch larger than the data,
                a network without trainable weights, a callback that would reach one player only.
            FloatingPointError: a loss or a weight became NaN or infinite; the model is set back to
                its last good state, at most a second or one compiled call earlier.
        """
        if not self.compiled:
            raise ValueError("call compile() before fit(): the model has no optimizers yet.")
        steps, batch_size = checks.count("steps", steps), checks.count("batch_size", batch_size)
        steps_per_epoch = checks.count("steps_per_epoch", steps_per_epoch)
        for player in self.players():
            self._check_that_it_can_learn(player)
        if isinstance(x, (tf.data.Dataset, keras.utils.PyDataset)) or inspect.isgenerator(x):
            raise ValueError(f"the data must be NumPy arrays, not a {type(x).__name__}: fit draws its batches itself.")
        x = tf.nest.map_structure(tf.constant, self.check_data(x))
        count = min(len(part) for part in tf.nest.flatten(x))
        if count < batch_size:
            raise ValueError(f"batch_size {batch_size} is larger than the data: there are only {count} rows.")
        replicas = self.distribute_strategy.num_replicas_in_sync
        if batch_size % replicas:
            raise ValueError(f"batch_size {batch_size} must be a multiple of the {replicas} replicas that share it.")
        callbacks = check_callbacks(callbacks)
        for player in self.players():
            announce_ended_schedule(player, getattr(self, player))

        history, epochs = keras.callbacks.History(), -(-steps // steps_per_epoch)
        calls = keras.callbacks.CallbackList(
            [history, *callbacks], model=self, epochs=epochs, steps=steps_per_epoch, total_steps=steps, verbose=1
        )
        self.stop_training, start, finished = False, int(self.step.numpy()), False
        try:
            calls.on_train_begin()
            self._run_epochs(x, start, steps, batch_size, steps_per_epoch, calls, jit_compile)
            finished = True
        except KeyboardInterrupt:
            done = int(self.step.numpy()) - start
            print(f"Stopped after {done:,} of {steps:,} steps. What was learned is kept: fit goes on from here.")
        finally:
            for callback in calls.callbacks:
                # At its end of training a BackupAndRestore deletes the copy that an unfinished training needs.
                if finished or not isinstance(callback, keras.callbacks.BackupAndRestore):
                    callback.on_train_end()
        return history

    def _run_epochs(self, data, start, steps, batch_size, steps_per_epoch, calls, jit_compile):
        zero = tf.zeros(len(self.loss_names))
        run = self._compiled_run(data, batch_size, steps, jit_compile)
        self._take_snapshot()
        every_step = any(wants_every_step(callback) for callback in calls.callbacks)
        # A BackupAndRestore may have gone back to where an earlier run was cut off.
        size, done, logs = 1, max(0, int(self.step.numpy()) - start), {}
        while done < steps and not self.stop_training:
            epoch, sums, epoch_start = done // steps_per_epoch, zero, done
            epoch_end = min((epoch + 1) * steps_per_epoch, steps)
            calls.on_epoch_begin(epoch)
            while done < epoch_end and not self.stop_training:
                n = 1 if every_step else min(size, epoch_end - done)
                calls.on_train_batch_begin(done % steps_per_epoch)
                clock = time.perf_counter()
                sums, finite = run(data, tf.constant(n), sums)
                if not finite:
                    self._restore_snapshot(start + done, n)
                size = max(1, min(2 * size, int(n * CALL_SECONDS / (time.perf_counter() - clock))))
                done += n
                logs = dict(zip(self.loss_names, (sums / (done - epoch_start)).numpy().tolist(), strict=True))
                if time.monotonic() > self._snapshot_due:
                    self._take_snapshot()
                calls.on_train_batch_end((done - 1) % steps_per_epoch, logs)
            if done > epoch_start:
                calls.on_epoch_end(epoch, {"step": start + done, **logs})

    def uses_xla(self, steps, jit_compile=None):
        """Whether a run of `steps` steps is compiled with XLA: what `jit_compile` says, or else `prefers_xla`."""
        return prefers_xla(self.networks, self.distribute_strategy, steps) if jit_compile is None else bool(jit_compile)

    def _compiled_run(self, data, batch_size, steps, jit_compile):
        """A compiled function of (data, n, sums): n steps; returns the sums with the losses added, and a check
        that all is finite. The sums come in and go out so that they do not depend on how steps fall into calls.
        It is made anew when anything has changed that a compiled function keeps as it was."""
        jit = self.uses_xla(steps, jit_compile)
        key = (batch_size, jit, *what_is_traced(self))
        if key not in self._runs:
            self._runs[key] = self._new_run(batch_size, jit)
        try:  # no step: compiles, so that the first call can be timed
            self._runs[key](data, tf.constant(0), tf.zeros(len(self.loss_names)))
        except (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError):
            if not jit:
                raise
            self._runs[key] = self._new_run(batch_size, jit=False)  # a layer that XLA does not know
            self._runs[key](data, tf.constant(0), tf.zeros(len(self.loss_names)))
        return self._runs[key]

    def _new_run(self, batch_size, jit):
        strategy = self.distribute_strategy
        share = batch_size // strategy.num_replicas_in_sync

        def step(data):
            self._draws = 0
            found = self.train_step(self.draw_batch(data, share * self.batches_per_step))
            return tf.stack([found[name] for name in self.loss_names])

        def one_step(data):
            if strategy.num_replicas_in_sync == 1:
                return step(data)
            return strategy.reduce(tf.distribute.ReduceOp.MEAN, strategy.run(step, args=(data,)), axis=None)

        @tf.function(jit_compile=jit)
        def run(data, n, sums):
            i = tf.constant(0)
            while i < n:  # not tf.range(n): under XLA that would compile anew for each n
                sums += one_step(data)
                i += 1
            weights = [w.value for network in self.networks for w in network.trainable_variables]
            health = tf.reduce_sum(sums) + tf.add_n([tf.reduce_sum(w) for w in weights])
            return sums, tf.math.is_finite(health)

        return run

    # --- what Keras' other methods would not do

    def evaluate(self, *args, **kwargs):
        """Not defined: the losses of a game do not measure samples. Raises ValueError."""
        raise ValueError(
            "the losses of two players do not tell how good samples are: measure with gan_helpers.metrics."
        )

    def export(self, *args, **kwargs):
        """Not defined: what is exported is a network. Raises ValueError."""
        raise ValueError(f"export a network of the model: {type(self).__name__.lower()}.networks[0].export(folder).")

    def _take_snapshot(self):
        self._snapshot = self._copy_state()
        self._snapshot_due = time.monotonic() + SNAPSHOT_SECONDS

    def _restore_snapshot(self, step, n):
        self._put_back(self._snapshot)
        raise FloatingPointError(
            f"a loss or a weight became NaN or infinite between steps {step} and {step + n}; the model is back at "
            f"step {int(self.step.numpy())}. A smaller learning rate or a penalty on D's gradient usually helps."
        )


# --- callbacks and schedules


def check_callbacks(callbacks):
    """Return Keras callbacks as a list, or raise ValueError for what is none, or would reach one player only."""
    callbacks = list(callbacks) if isinstance(callbacks, (list, tuple)) else [callbacks] if callbacks else []
    for callback in callbacks:
        kind = type(callback).__name__
        if not isinstance(callback, keras.callbacks.Callback):
            raise ValueError(f"callbacks must be Keras callbacks, not {kind}.")
        if isinstance(callback, (keras.callbacks.LearningRateScheduler, keras.callbacks.ReduceLROnPlateau)):
            raise ValueError(
                f"{kind} would change the learning rate of one player only: give each optimizer a schedule, such as "
                "keras.optimizers.schedules.CosineDecay."
            )
    return callbacks


def wants_every_step(callback):
    """True for a callback with hooks for batches, unless it says by `per_step` or `save_freq` that it can wait."""
    if not getattr(callback, "per_step", True) or getattr(callback, "save_freq", None) == "epoch":
        return False
    return any(getattr(type(callback), hook) is not getattr(keras.callbacks.Callback, hook) for hook in BATCH_HOOKS)


def announce_ended_schedule(player, optimizer):
    """Say so if the learning rate of a player has come to the end of its schedule."""
    schedule = optimizer._learning_rate
    length = getattr(schedule, "decay_steps", None)
    ends = isinstance(schedule, (keras.optimizers.schedules.CosineDecay, keras.optimizers.schedules.PolynomialDecay))
    if ends and int(optimizer.iterations) >= length + (getattr(schedule, "warmup_steps", 0) or 0):
        rate = float(schedule(optimizer.iterations))
        print(
            f"The learning rate of {player} has come to the end of its schedule of {length:,} steps, at {rate:.2g}"
            + (": nothing will move. Compile again with new optimizers to go on." if rate == 0 else ".")
        )
