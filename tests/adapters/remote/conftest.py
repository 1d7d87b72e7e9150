"""Without the extra ``remote`` there is nothing to test here."""

from importlib.util import find_spec

collect_ignore_glob = [] if find_spec("httpx") and find_spec("httpx_sse") and find_spec("tenacity") else ["test_*.py"]
