import asyncio

import llm


async def main():
    model = llm.get_async_model("smollm2-chat")
    calls = [model.prompt(f"What is {n} times two?", max_tokens=8).text() for n in range(20)]
    for text in await asyncio.gather(*calls):
        print(text)


asyncio.run(main())
