"""The llama.cpp adapter: a GGUF model on this machine, through llama-cpp-python's C API.

decodekit.adapter("llamacpp", model="smollm2")
"""

from __future__ import annotations

try:
    import llama_cpp as _llama_cpp  # noqa: F401 - imported only to explain how to install it
except ImportError as error:
    raise ImportError(
        f"the llamacpp adapter needs llama-cpp-python: pip install 'decodekit[llamacpp]' ({error})"
    ) from error

from decodekit_llamacpp.adapter import LlamaCppAdapter
from decodekit_llamacpp.gguf_tokenizer import read_vocabulary

__all__ = ["LlamaCppAdapter", "read_vocabulary"]
