"""What people are shown: pages and pictures, all made from templates."""
