"""What runs in a process of its own, because it may run code that came with a model.

`launch` takes rights away and becomes the program; `wire` is how it is asked. The other modules are
programs: torch and MONAI are imported there and nowhere else.
"""
