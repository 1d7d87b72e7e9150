"""The surprisal of every token of a text: all its prefixes in one call, one forward pass for a local model."""

import decodekit

adapter = decodekit.adapter("llamacpp", model="smollm2")
ids = adapter.tokenizer.encode("The sun rises in the east and sets in the moon.")
prefixes = [decodekit.Prefix(ids[:i]) for i in range(1, len(ids))]
for token, dist in zip(ids[1:], adapter.predict(prefixes), strict=True):
    text = adapter.tokenizer.token_bytes(token).decode(errors="replace")
    print(f"{text:>10}  {dist.surprisal(token):6.2f} nats  (entropy {dist.entropy:.2f})")
adapter.close()
