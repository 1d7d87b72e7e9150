"""The names of a span's attributes: all that is taken from OpenTelemetry's conventions, and ours.

The conventions for generative AI are in development, so names will change. These are those of opentelemetry-python's
package opentelemetry-semantic-conventions 0.66b2, whose last schema is 1.44.0.
"""

from __future__ import annotations

SCHEMA_URL = "https://opentelemetry.io/schemas/1.44.0"

OPERATION = "gen_ai.operation.name"
COMPLETION = "text_completion"  # a value of it
PROVIDER = "gen_ai.provider.name"
MODEL = "gen_ai.request.model"
MAX_TOKENS = "gen_ai.request.max_tokens"
CHOICES = "gen_ai.request.choice.count"
SEED = "gen_ai.request.seed"
FINISH_REASONS = "gen_ai.response.finish_reasons"
INPUT_TOKENS = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
OUTPUT_MESSAGES = "gen_ai.output.messages"
ERROR_TYPE = "error.type"

RUN = "decodekit.run"  # as the column of a Parquet table: the digest of what the run starts from
SEED_TEXT = "decodekit.seed"  # seeds have 64 bits, and an attribute has a sign
LEVEL = "decodekit.level"
STEPS = "decodekit.steps"
RESUMED_AFTER = "decodekit.resumed_after_steps"
MEAN_SURPRISAL = "decodekit.surprisal.mean"  # nats, of the chosen tokens under the model
MEAN_ENTROPY = "decodekit.entropy.mean"  # nats, of the model's answers
MIN_MARGIN = "decodekit.margin.min"
UNDISCLOSED = "decodekit.undisclosed_steps"
ABANDONED = "decodekit.abandoned_branches"
PREDICT_SECONDS = "decodekit.predict.seconds"
CHAIN_SECONDS = "decodekit.chain.seconds"
