"""Performance runs against peers and limits; not tests."""
