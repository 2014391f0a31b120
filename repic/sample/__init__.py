"""A generated photo world with exact ground truth, and the weights of the models trained on it.

`world.World` is the entry point. It builds on `identities` (the objects), `shapes` and `sprites`
(their pixels), `backgrounds`, `rendering` (one photo with exact boxes and masks), `expressions` and
`caption_templates` (true text), `composition` (the photos of a data set) and `hard_cases`
(evaluation only). `photo_files` writes photos and their index. `tools/sample_models` trains the
weights in `weights/`.
"""
