"""Reading a caption: tokens, mentions, negation, claims and facts."""
