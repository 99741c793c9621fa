"""Files and bodies that are meant to do harm, for `scripts/make_hostile.py`."""
