"""The lending query (white paper, section 2.2): ask all lenders about one person, and show only the sum.

Every lender in turn raises the customers' points to its own secret exponent, so that making a point from an id takes the keys of
all lenders. The arbiter adds a key of its own, matches the points and adds up ciphertexts. One lender decrypts the sums, which are
still under the asker's masks.
"""
