"""Constancy: the same phantoms through the whole chain, and does it still say the same?"""
