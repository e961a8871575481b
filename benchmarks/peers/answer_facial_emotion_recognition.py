"""The network of the package `facial-emotion-recognition` on the faces that `peers.py` wrote, preprocessed as there.

OTHER/bin/python benchmarks/peers/answer_facial_emotion_recognition.py OUT

Runs in an environment with that package and torch, without mien. It answers in FER2013's order.
"""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import torch

out = Path(sys.argv[1])
# Only its file of networks: the package itself opens a face detector and a camera's window library at import.
package = Path(next(iter(importlib.util.find_spec("facial_emotion_recognition").submodule_search_locations)))
spec = importlib.util.spec_from_file_location("networks", package / "networks.py")
networks = importlib.util.module_from_spec(spec)
spec.loader.exec_module(networks)
model = networks.NetworkV2(in_c=1, nl=32, out_f=7)
stored = torch.load(package / "model" / "model.pkl", map_location="cpu", weights_only=True)
model.load_state_dict(stored["network"])
model.eval()
faces = torch.from_numpy(np.fromfile(out / "faces.u8", np.uint8).reshape(-1, 1, 48, 48))
with torch.inference_mode():
    answers = torch.cat([model((part.float() / 255 - 0.5) / 0.5) for part in faces.split(256)])
answers.numpy().astype(np.float32).tofile(out / "facial-emotion-recognition.f32")
print(f"{len(answers):,} faces, {sum(p.numel() for p in model.parameters()):,} parameters, its own note: "
      f"accuracy {stored.get('accuracy')}")  # fmt: skip
