"""Audit the data: what is probably wrong with it, by row. It reports and changes nothing.

- ``audit``: all checks, one after the other.
- ``findings``: what they find, as lines of a CSV and as warnings.
- ``labels``: suspected label errors, by confident learning.
- ``features``: coarse images, and exact distances between them.
- ``images``: identical and nearly identical images, contradictory labels, outliers.
- ``distribution``: small classes, drift between training and test set, dependence on the order of rows.
"""
