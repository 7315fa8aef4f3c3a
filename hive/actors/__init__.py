"""The actors, what they say to each other, and the drivers that carry their effects out."""
