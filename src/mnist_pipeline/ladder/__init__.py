"""The ladder: improvements one after the other, each run with several seeds and tested against the one below.

- ``spec``: experiments.yaml as typed objects: rungs and presets.
- ``results``: metrics/ladder_runs.csv, what each run gave, and of which code, packages and data.
- ``adoption``: keep them after a change of code that gives the same bits.
- ``analysis``: what each rung is worth. ``claims``: the tutorial's claims, tested.
- ``report``: the table as CSV, Markdown and text. ``figures``: the ladder, seed by seed.
"""
