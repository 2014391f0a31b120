"""Captions measured: files of them, the paper's metric, the strict one, intervals and tests.

Nothing here is imported by a build or a training; heavy libraries are imported where they are used.
"""
