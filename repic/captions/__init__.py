"""Reading a caption: tokens, mentions, polarity, claims and facts."""
