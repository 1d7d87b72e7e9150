import asyncio

from litellm import atext_completion

server = {"model": "hosted_vllm/smollm2", "api_base": "http://127.0.0.1:8000/v1"}


async def main():
    calls = [atext_completion(f"{n} times two is", max_tokens=8, **server) for n in range(20)]
    for answer in await asyncio.gather(*calls):
        print(answer.choices[0].text)


asyncio.run(main())
