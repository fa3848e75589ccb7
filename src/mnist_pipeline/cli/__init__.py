"""The ``mnist`` command, a module for each of its commands: parse, ask another room, print.

Stages never import it. ``main`` lists the commands; each module has ``DESCRIPTION``, ``add_arguments`` and ``run``.
"""
