"""Proof that the scorers can fail: planted-bad outputs they must catch, equivalent good ones they must let through."""
