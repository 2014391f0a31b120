"""Evaluation of models: suites, retrieval, captions, metrics with intervals and tests.

Heavy libraries are imported where they are used.
"""
