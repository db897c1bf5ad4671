"""A party's permanent record: hash-chained, signed segments of entries, and the blocks that all parties have signed."""
