"""Tombolo: organisations train one model together while their data stays home.

The packages of this name are the folders at the top of the repository; the links beside this file only tie them together. A wheel
holds them as ordinary folders.
"""
