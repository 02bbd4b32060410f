//! CEL, the Common Expression Language (<https://cel.dev>): lexer, parser with full-node spans, type checker against the model.
