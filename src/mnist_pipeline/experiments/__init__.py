"""Experiments: a ladder of improvements, each run with several seeds, and whether an improvement is real.

Nothing here knows what the pipeline computes: it reads settings, metrics and predictions that git and DVC keep.

- ``spec``: experiments.yaml as typed objects: rungs and presets.
- ``queue``: the runs of the ladder, through DVC's queue.
- ``results``: metrics/ladder_runs.csv, what each run gave. ``analysis``: what each rung is worth.
- ``significance``: paired tests. ``compare``: two runs side by side.
- ``report``: the table of the ladder, as CSV, Markdown and text. ``claims``: the tutorial's claims, tested.
- ``figures``: the ladder, and the test samples on which two runs differ.
"""
