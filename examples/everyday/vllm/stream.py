import asyncio

from vllm import AsyncEngineArgs, AsyncLLMEngine, SamplingParams
from vllm.sampling_params import RequestOutputKind


async def main():
    engine = AsyncLLMEngine.from_engine_args(AsyncEngineArgs("smollm2"))
    messages = [{"role": "user", "content": "What is rain?"}]
    prompt = engine.get_tokenizer().apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    settings = SamplingParams(output_kind=RequestOutputKind.DELTA, max_tokens=32)
    async for output in engine.generate(prompt, settings, request_id="rain"):
        print(output.outputs[0].text, end="", flush=True)


asyncio.run(main())
