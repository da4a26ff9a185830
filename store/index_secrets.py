"""Finds keys and tokens in a text: whatever holds one is indexed for its owner only, however it was shared.

Texts are as long as learners make them, so every pattern takes time in proportion to their length: what may be long
begins at one place only.
"""

import re

_SECRETS = re.compile(
    r"""
      -----BEGIN\ (?:[A-Z]+\ )*PRIVATE\ KEY-----
    | \b(?:AKIA|ASIA)[0-9A-Z]{16}\b                              # cloud access keys
    | \bgh[pousr]_[A-Za-z0-9]{30,}\b | \bgithub_pat_\w{40,}\b
    | \bsk-(?:proj-|ant-)?[A-Za-z0-9_-]{20,}
    | \bxox[abprs]-[A-Za-z0-9-]{10,}
    | \bAIza[0-9A-Za-z_-]{35}\b
    | (?<![\w-])(?=[\w-]*?eyJ[\w-]{10})[\w-]++\.eyJ[\w-]{10,}\.[\w-]{10,}  # signed web tokens
    | [a-z0-9+]://[^\s/:@"']+:[^\s/@"']{3,}@                     # a password inside a URL
    | (?i:\b(?:password|passwd|secret|api_?key|access_?token|auth_?token|contraseña)\b["']?\s*[:=]\s*
        ["'][^"'\s]{8,}["'])
    """,
    re.VERBOSE,
)


def has_secret(text: str) -> bool:
    """Tell whether the text seems to hold something that opens a door."""
    return _SECRETS.search(text) is not None
