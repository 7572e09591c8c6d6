"""Numbers about numbers: is the model still doing what it did?"""
