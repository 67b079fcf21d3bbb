"""The folder `.demo/`: what the demo keeps between two runs, and how others find its servers."""

import json
import os
import secrets
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent.parent


def home() -> Path:
    """Where data lives; SHOP_HOME moves it, as the demo's self-check does to leave no trace."""
    return Path(os.environ.get("SHOP_HOME") or BASE_DIR / ".demo")


def addresses() -> dict[str, str]:
    """The addresses of the demo's servers while they run, so `manage.py shell` finds them."""
    try:
        found = json.loads((home() / "servers.json").read_text())
    except (OSError, ValueError):
        return {}
    return {str(name): str(url) for name, url in found.items()}


def write_addresses(directory: Path, urls: dict[str, str]) -> Path:
    """Tell other commands where the servers are. Only the owner may read: a password is in it."""
    path = directory / "servers.json"
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_text(json.dumps(urls, indent=2))
    return path


def secret_key() -> str:
    """SECRET_KEY from the environment, else a random one that is made once and kept."""
    if key := os.environ.get("SECRET_KEY"):
        return key
    path = home() / "secret_key"
    try:
        return path.read_text()
    except FileNotFoundError:
        pass
    path.parent.mkdir(parents=True, exist_ok=True)
    key = secrets.token_urlsafe(50)
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(key)
    except FileExistsError:  # another worker was quicker: all must sign with the same key
        return path.read_text()
    return key
