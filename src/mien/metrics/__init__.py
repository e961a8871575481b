"""Figures of merit, as plain arithmetic on arrays: what training watches and evaluation reports.

`classification` (accuracy, balanced accuracy, F1, intervals), `calibration` (expected calibration error, fits),
`paired` (two models on the same rows), `runs` (several seeds), `detection` (average precision, recall at few false
finds, landmark error).
"""
