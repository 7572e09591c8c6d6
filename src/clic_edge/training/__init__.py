"""How a package's network learns: from labelled volumes to a new package that nobody signed yet.

The only place with torch and MONAI beside their runtimes: the extra ``monai`` installs them.
"""
