"""Faults put into a small store, one at a time: `python -m tests.torture` prints what was lost.

Trials run in processes forked from one that has the imports and models, and one thread.
"""

import os
import sys

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
sys.dont_write_bytecode = True
