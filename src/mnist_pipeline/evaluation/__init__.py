"""Evaluate a classifier on the test set.

::

    result = evaluate(load_classifier(path), load_dataset(test), calibration_bins=15)
    result.metrics["accuracy"]

- ``evaluate``: predictions and metrics, and the files that hold them.
- ``metrics``: accuracy with its 95 % interval, log loss, F1 of each class, calibration.
- ``figure_samples``: the test images that figures show.
"""
