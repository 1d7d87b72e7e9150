import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("smollm2")
model = AutoModelForCausalLM.from_pretrained("smollm2")
with torch.inference_mode():
    logits = model(**tokenizer("The capital of France is", return_tensors="pt")).logits[0, -1]
top = logits.log_softmax(-1).topk(5)
for token, logprob in zip(top.indices, top.values, strict=True):
    print(tokenizer.decode(token), logprob.item())
