import asyncio

from vllm import AsyncEngineArgs, AsyncLLMEngine, SamplingParams


async def complete(engine, prompt):
    async for output in engine.generate(prompt, SamplingParams(max_tokens=8), request_id=prompt):
        text = output.outputs[0].text
    return text


async def main():
    engine = AsyncLLMEngine.from_engine_args(AsyncEngineArgs("smollm2"))
    for text in await asyncio.gather(*(complete(engine, f"{n} times two is") for n in range(20))):
        print(text)


asyncio.run(main())
