"""A generated photo world whose every fact is known: the project's default data, and its ruler.

`world.World` is the front door. Under it, from the ground up: `identities` (which objects exist),
`shapes` and `sprites` (how they look), `backgrounds`, `scene` (one photo of some of them, with
exact boxes and masks), `expressions` and `captions` (what is true to say of it), `compose` (which
objects share a photo in a whole data set) and `hard` (what no training ever sees). `files` writes
photos and their index, `sheet` draws what a person looks at.

`models` are a detector and an encoder that know this world. `lessons`, `crops` and `words` are what
they learned from, `train` (`train_yolo`, `train_clip`) how, `exam` asks what they can do.
"""
