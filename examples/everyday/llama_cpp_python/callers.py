import asyncio

from llama_cpp import Llama

llm = Llama("smollm2.gguf")
lock = asyncio.Lock()


async def complete(prompt):
    async with lock:
        return (await asyncio.to_thread(llm, prompt, max_tokens=8))["choices"][0]["text"]


async def main():
    for text in await asyncio.gather(*(complete(f"{n} times two is") for n in range(20))):
        print(text)


asyncio.run(main())
