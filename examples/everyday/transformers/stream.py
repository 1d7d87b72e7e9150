from transformers import TextStreamer, pipeline

generate = pipeline("text-generation", "smollm2")
streamer = TextStreamer(generate.tokenizer, skip_prompt=True, skip_special_tokens=True)
generate([{"role": "user", "content": "What is rain?"}], streamer=streamer, max_new_tokens=32)
