"""What each architecture takes beside its weights, and how much it computes: arithmetic from its configuration.

The figures follow the library's own forward passes step by step: at each step, what lies in memory then is added up.
"""
