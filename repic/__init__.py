"""RePIC: a data engine for personalized vision-language models."""

__version__ = "0.1.0"
