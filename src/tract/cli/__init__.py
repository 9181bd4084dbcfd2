"""The command `tract`: a look into stores, and their upkeep, from a terminal.

It needs the extra `asynctract[cli]`. The documentation has a page on it.
"""
