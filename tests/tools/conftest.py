from tests.trained import tiny, trained, work

__all__ = ["tiny", "trained", "work"]
