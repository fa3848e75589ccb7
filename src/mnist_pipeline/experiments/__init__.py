"""Compare runs: whether one group of runs is better than another, for other seeds and other samples.

::

    before = load_group(Path("."), "default-*", PREDICTIONS, {"actual": str, "predicted": str})
    after = load_group(Path("."), "deskew-*", PREDICTIONS, {"actual": str, "predicted": str})
    compare(before, after, SCORES["accuracy"]).verdict

Nothing here knows what the pipeline computes: it reads files of predictions that git and DVC keep.

- ``runs``: runs and groups of runs, by the names of experiments and revisions.
- ``scores``: per-sample scores: accuracy, log loss, Brier score, macro F1, any column.
- ``significance``: the two-way test over seeds and samples, families of tests, margins.
- ``planning``: how many seeds detect a difference; looks at more and more seeds.
- ``overview``: all experiments, what each changed, and their metrics. ``best``: which are within noise of the best.
  ``page``: their table as an HTML page.
- ``compare``: two groups side by side. ``figures``: the samples on which two runs differ.
"""
