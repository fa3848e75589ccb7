"""The figures of the pipeline: arrays and tables in, a matplotlib ``Figure`` out.

``save_figure(path, draw_loss(steps))`` writes a PNG whose bytes depend on the figure alone. ``style`` has the
colours, the fonts and ``save_figure``.
"""
