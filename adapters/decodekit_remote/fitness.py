"""What a connected server is known to do and not to do, as verdicts. Nothing is asked."""

from __future__ import annotations

from collections.abc import Iterator

from decodekit.errors import DecodekitError
from decodekit.model.fitness import Fitness
from decodekit.model.prefix import Prefix
from decodekit_remote.server import Server
from decodekit_remote.text_checks import TextChecks
from decodekit_remote.vocabulary import HashedVocabulary, KnownVocabulary, Vocabulary

__all__ = ["fitness_of"]

_HELLO = [{"role": "user", "content": "Hello"}]
_IDS = "a dialect that takes and gives ids, such as llama_server or vllm"


def fitness_of(server: Server, checks: TextChecks, *, drawn: bool, talks: bool) -> Iterator[Fitness]:
    """The verdicts on prompts, conversations, lists, values, continuing and the end of a text.

    Args:
        server: the server.
        checks: what was checked of its texts.
        drawn: whether it draws.
        talks: whether its chat route draws answers to conversations.

    Where the server draws, its answer is one text, it says where that ends, and no list is needed.
    """
    capabilities = server.capabilities
    if capabilities.draws_only:
        remedy = "" if drawn else "leave the draw to the provider"
        yield Fitness("lists", "cannot", f"this API {capabilities.draws_only}", remedy)
        return
    if capabilities.conversations:
        yield _continuing(server, checks)
    elif server.vocabulary is not None:
        yield _conversations(server, server.vocabulary, talks)
    if not drawn:
        yield _prompts(server, checks)
        yield _lists(server)
        yield _end_of_text(server)
    if capabilities.stage != "raw":
        how = "already processed" if capabilities.stage == "processed" else "not known to be the model's own"
        yield Fitness("values", "works but", f"they are {how}", "a server that gives raw logprobs")
    else:
        yield Fitness("values", "works", "the model's own")


def _conversations(server: Server, vocabulary: Vocabulary, talks: bool) -> Fitness:
    what, elsewhere = "conversations", "dialect = 'openai_chat', where the server has it"
    if isinstance(vocabulary, KnownVocabulary):
        try:
            ids = vocabulary.tokenizer.encode_messages(_HELLO)
            if vocabulary.ids_at_server(Prefix(ids)) == ids:
                return Fitness(what, "works", "sent as text, with the markup of the model's chat template")
            why = "the server makes other tokens of the text of one"
        except DecodekitError as error:
            why = str(error)
        return Fitness(what, "cannot", why, elsewhere)
    if talks:
        why = "the server's chat route draws the answers; a chain has to be one that it can apply"
        return Fitness(what, "works but", why, "name the model's tokenizer with tokenizer=, and decodekit draws")
    return Fitness(what, "cannot", "this dialect takes text, and no chat template is known", elsewhere)


def _prompts(server: Server, checks: TextChecks) -> Fitness:
    if server.vocabulary is None:
        return Fitness("prompts", "works", "sent as token ids")
    if not isinstance(server.vocabulary, HashedVocabulary):
        return Fitness("prompts", "works but", "sent as text, which is checked with the tokenizer before", _IDS)
    if checks.counts.known and checks.counts.trusted is not None:
        why = "sent as text; the server may tokenise the answer so far differently, which its counts of tokens show"
        return Fitness("prompts", "works but", why, "name the model's tokenizer with tokenizer=")
    why = "sent as text, which may be tokenised differently without being noticed"
    return Fitness("prompts", "works but", why, "name the model's tokenizer with tokenizer=")


def _lists(server: Server) -> Fitness:
    if server.capabilities.whole_vocabulary:
        return Fitness("lists", "works", "of the whole vocabulary")
    if server.leaves_out:
        known = isinstance(server.vocabulary, KnownVocabulary)
        how = "told apart by further questions, or left out" if known else "taken as one"
        switch = "same_text = 'error' allows only what is proved"
        return Fitness("lists", "works but", f"tokens with equal texts are {how}, which each step records", switch)
    remedy = "a chain that begins with top_k or min_p, or on_undisclosed = 'truncate'"
    return Fitness(
        "lists", "works but", f"{server.capabilities.most_top} tokens at most; a chain may need more", remedy
    )


def _continuing(server: Server, checks: TextChecks) -> Fitness:
    if server.capabilities.prefill == "no":
        remedy = "prefill='last_message', 'continue_final_message' or 'prefix', if the server has it"
        return Fitness("continuing an answer", "cannot", "the server is not known to do it", remedy)
    if checks.prefill_proved is False:
        return Fitness("continuing an answer", "cannot", "prefill is ignored by this server", "sampler = 'provider'")
    if checks.prefill_proved is None:
        return Fitness("continuing an answer", "works but", "it was not tried", "probe = true")
    return Fitness("continuing an answer", "works", "tried on a few tokens")


def _end_of_text(server: Server) -> Fitness:
    capabilities, what = server.capabilities, "end of text"
    if server.tokenizer is None or not server.tokenizer.eos_ids:
        why = "no token is known to be it, so only stop texts and max_tokens end an answer"
        return Fitness(what, "works but", why, "name the model's tokenizer with tokenizer=")
    if server.vocabulary is None or capabilities.bytes_out:
        return Fitness(what, "works", "a token of the lists")
    if capabilities.biases and isinstance(server.vocabulary, KnownVocabulary):
        return Fitness(what, "works", "the server is asked which of the tokens without a text it is")
    if server.vocabulary.assumes:
        return Fitness(
            what, "works but", "an empty text in a list is taken as it", "name the tokenizer with tokenizer="
        )
    return Fitness(what, "works but", "it cannot be told apart from other tokens whose text is empty", _IDS)
