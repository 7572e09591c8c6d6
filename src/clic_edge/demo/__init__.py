"""The embedded demonstration: a study that anyone may look at, and a picture of what came back."""
