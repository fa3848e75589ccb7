"""Sweeps: settings of a space, tried on the validation set; the same trials and the same winner on any workers.

- ``spec``: sweep.yaml as typed objects, and the points of its space.
- ``search``: successive halving of the trials, and the confirmation of the winner with fresh seeds.
- ``report``: table, importance, figure, the best settings.
"""
