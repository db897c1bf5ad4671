"""A party's permanent record: signed segments of entries, chained by hashes, and the blocks that the parties have signed."""
