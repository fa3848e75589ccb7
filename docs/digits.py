"""Write the 8 × 8 digits that scikit-learn brings along as a CSV: an example of a data set of one's own."""

import sys
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

digits = load_digits()
pixels = np.rint(digits.data * (255 / 16)).astype(int)  # of 0-16 there, of 0-255 in a CSV
path = Path(sys.argv[1] if len(sys.argv) > 1 else "data/own/digits.csv")
np.savetxt(path, np.column_stack([digits.target, pixels]), fmt="%d", delimiter=",")
print(f"{len(pixels)} rows are in {path}")
