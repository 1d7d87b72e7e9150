import asyncio

import decodekit


async def main():
    async with decodekit.aopen("smollm2.gguf") as session:
        calls = [session.generate(f"{n} times two is", max_tokens=8) for n in range(20)]
        for result in await asyncio.gather(*calls):
            print(result.text)


asyncio.run(main())
