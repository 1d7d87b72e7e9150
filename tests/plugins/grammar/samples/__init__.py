"""Two hundred schemas of the kinds that applications have, each with documents that are valid and that are not."""

from tests.plugins.grammar.samples.built import BUILT
from tests.plugins.grammar.samples.fields import FIELDS
from tests.plugins.grammar.samples.refused import REFUSED
from tests.plugins.grammar.samples.sample import Sample
from tests.plugins.grammar.samples.types import TYPES
from tests.plugins.grammar.samples.written import WRITTEN

__all__ = ["REFUSED", "SAMPLES", "Sample"]

SAMPLES = [*FIELDS, *BUILT, *WRITTEN, *TYPES]
