"""The page on which a CSV is dropped: one file, which a browser lets run its own script and nothing else."""

import hashlib
import re
from base64 import b64encode
from pathlib import Path


def page() -> tuple[str, str]:
    """The page, and the Content-Security-Policy that allows its script, its style, and requests to this service."""
    html = Path(__file__).with_suffix(".html").read_text()
    hashes = {
        tag: b64encode(
            hashlib.sha256(re.findall(f"<{tag}>(.*?)</{tag}>", html, re.DOTALL)[0].encode()).digest()
        ).decode()
        for tag in ("script", "style")
    }
    allowed = "".join(f"{tag}-src 'sha256-{text}'; " for tag, text in hashes.items())
    return html, (
        f"default-src 'none'; {allowed}connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )
