"""Write the 8 × 8 digits of scikit-learn as a CSV file: an example of a custom data set."""

import sys
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

digits = load_digits()
pixels = np.rint(digits.data * (255 / 16)).astype(int)  # from 0-16 to 0-255
path = Path(sys.argv[1] if len(sys.argv) > 1 else "data/own/digits.csv")
np.savetxt(path, np.column_stack([digits.target, pixels]), fmt="%d", delimiter=",")
print(f"{len(pixels)} rows are in {path}")
