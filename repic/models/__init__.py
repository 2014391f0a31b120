"""Models: encoder, detectors, ImageNet classifier, vision-language models, weights, devices."""
