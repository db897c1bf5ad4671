"""The lending query (white paper, section 2.2): ask every lender about one person, and expose nobody.

Lenders blind their customers around a ring into points that only all their keys together can make of an id; the arbiter matches
points under a key of its own and adds up ciphertexts; one lender decrypts what the asker has masked.
"""
