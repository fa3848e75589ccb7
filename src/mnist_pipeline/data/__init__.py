"""Labelled images: read strictly from CSV, kept as arrays, split and summarised.

- ``csv``: ``read_blocks(path, Schema(image_side=28, classes=10))`` yields checked rows, or raises one error that lists
  what is wrong by row and column.
- ``dataset``: ``Dataset`` (images, labels, classes), and the file that loads without parsing.
- ``split``: ``stratified_split``, for the validation set.
- ``summary``: class counts, duplicates, pixel statistics, in one pass and little memory.
"""
