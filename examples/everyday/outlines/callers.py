import asyncio

import outlines
from openai import AsyncOpenAI


async def main():
    model = outlines.from_vllm(AsyncOpenAI(base_url="http://127.0.0.1:8000/v1", api_key="none"), "smollm2")
    calls = [model(f"What is {n} times two?", max_tokens=8) for n in range(20)]
    for text in await asyncio.gather(*calls):
        print(text)


asyncio.run(main())
