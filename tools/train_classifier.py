"""Train the digit classifier that `gan_helpers.metrics` ships, and write its weights.

    python tools/train_classifier.py

Takes a few minutes on two cores and prints the accuracy on the 10,000 test images. The weights
are stored as float16: the file is half as large, and the accuracy is measured after rounding.
"""

import keras
import numpy as np

from gan_helpers import data, metrics, pretrained

EPOCHS, BATCH = 12, 128

keras.utils.set_random_seed(0)
x, y = data.mnist()
classifier = metrics.build_classifier()
steps = EPOCHS * -(-len(x) // BATCH)
classifier.compile(
    keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(1e-3, steps)),
    keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    metrics=["accuracy"],
)
classifier.fit(x, y, batch_size=BATCH, epochs=EPOCHS, verbose=2)

rounded = [w.astype(np.float16) for w in classifier.get_weights()]
classifier.set_weights(rounded)
_, accuracy = classifier.evaluate(*data.mnist(split="test"), batch_size=500, verbose=0)
print(f"test accuracy after rounding: {accuracy:.4f}")

pretrained.save("digit_classifier", {"classifier": classifier}, dtype=np.float16)
