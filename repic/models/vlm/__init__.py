"""Vision-language models: loading, generation, checkpoints, captioning backends."""
