"""Training a face detector: mosaics of photos in, a network with five landmarks out. Needs the extra ``train``.

The recipe's sections are in `mien.train.options.detector`. The order of the work is that of the files: `photos` (the
training photos and one convention for their boxes), `distractors` (drawn things that are no faces), `pixels` (light,
noise, blur), `crowd` (heads side by side, and things that hide faces), `mosaic` (one training image), `network`,
`assign` (which cells answer for which face), `loss`, `validate` (what chooses), `task` (all of it for the engine of
`mien.train`). `mien.export.detector` makes ONNX and a card of what comes out.
"""
