"""Images: fetching by URI, decoding and checks, boxes, perceptual hash, cache."""
