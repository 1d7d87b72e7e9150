"""Other engines' chains, in their own parameter names: ``Chain.preset("llama.cpp", temp=0.8, top_k=40)``.

One file for each engine. Each builds the chain from registered processors by name, so nothing here computes anything.
"""

from decodekit_presets.exllamav3 import ExLlamaV3
from decodekit_presets.koboldcpp import KoboldCpp
from decodekit_presets.llamacpp import LlamaCpp
from decodekit_presets.llamacpp_python import LlamaCppPython
from decodekit_presets.mlx_lm import MlxLm
from decodekit_presets.openai import OpenAI
from decodekit_presets.sglang import SGLang
from decodekit_presets.textgen_webui import TextGenerationWebUI
from decodekit_presets.tgi import TGI
from decodekit_presets.transformers import Transformers
from decodekit_presets.vllm import VLLM

__all__ = [
    "TGI",
    "VLLM",
    "ExLlamaV3",
    "KoboldCpp",
    "LlamaCpp",
    "LlamaCppPython",
    "MlxLm",
    "OpenAI",
    "SGLang",
    "TextGenerationWebUI",
    "Transformers",
]
