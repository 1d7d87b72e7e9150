import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

prompt, labels = "Review: I loved every minute of it.\nSentiment:", [" positive", " negative", " neutral"]
tokenizer = AutoTokenizer.from_pretrained("smollm2")
model = AutoModelForCausalLM.from_pretrained("smollm2")
begin = len(tokenizer(prompt).input_ids)


def logprob(label):
    ids = tokenizer(prompt + label, return_tensors="pt").input_ids
    with torch.inference_mode():
        logprobs = model(ids).logits.log_softmax(-1)
    return sum(logprobs[0, i - 1, ids[0, i]].item() for i in range(begin, ids.shape[1]))


print(max(labels, key=logprob))
