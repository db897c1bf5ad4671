"""Pages and pictures for people. All are made from templates."""
