"""A party's own tables: where they come from, their ids, and their encoding into columns of numbers."""
