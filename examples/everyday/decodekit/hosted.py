import decodekit

with decodekit.open("https://api.openai.com/v1", model="gpt-4.1-mini", api_key_env="OPENAI_API_KEY") as session:
    print(session.generate(decodekit.messages("What is rain?", system="Answer in one sentence."), max_tokens=32).text)
