"""Where a model looks: what an answer loses when parts of the face are hidden.

`occlusion` hides and reads, `faces` does so for the faces of a photo and gives an `explanation` of each, and `draw`
makes pictures of them. `mien.Recognizer.explain` is the way in.
"""
