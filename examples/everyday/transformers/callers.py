import asyncio

from transformers import pipeline

generate = pipeline("text-generation", "smollm2", return_full_text=False)
lock = asyncio.Lock()


async def complete(prompt):
    async with lock:
        return (await asyncio.to_thread(generate, prompt, max_new_tokens=8))[0]["generated_text"]


async def main():
    for text in await asyncio.gather(*(complete(f"{n} times two is") for n in range(20))):
        print(text)


asyncio.run(main())
