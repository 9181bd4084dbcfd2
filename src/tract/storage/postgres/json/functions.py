"""The SQL functions that conditions on generation configs call.

Configs stay the JSON text that was stored: `jsonb` would change numbers and refuse texts. These
functions accept any text that the type `json` does, so that no config makes a query fail. They find
each other whatever the `search_path`, as when a dump is restored. PostgreSQL inlines those that
consist of one RETURN, unless they are STRICT; in PL/pgSQL the others take a tenth of the time.
"""

from __future__ import annotations

import re

__all__ = ["FUNCTIONS", "readable"]

_ESCAPE = r"(?<!\\)((?:\\\\)*)\\"
"""A backslash that begins an escape, and in a group the escaped backslashes before it."""
_NUL = re.compile(_ESCAPE + "u000([01])")


def _rewritten(text: str, *rewrites: tuple[str, str]) -> str:
    for escape, instead in rewrites:
        text = f"regexp_replace({text}, '{_ESCAPE}{escape}', '\\1{instead}', 'g')"
    return text


_READABLE = _rewritten(
    "config::text",
    ("u0001", r"\\u0001\\u0002"),
    ("u0000", r"\\u0001\\u0001"),
    (r"(u[dD][89abAB]..)\\(u[dD][c-fC-F]..)", r"\\P\2\3"),  # pairs, out of the way of the next
    ("u([dD][89a-fA-F]..)", r"\\u0001\\u0003\2"),
    ("P(u....)(u....)", r"\\\2\\\3"),
)

FUNCTIONS: tuple[str, ...] = (
    rf"""
CREATE OR REPLACE FUNCTION tract_config(config json) RETURNS json
IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN strpos(config::text, '\u') = 0 THEN config ELSE {_READABLE}::json END
""",
    r"""
CREATE OR REPLACE FUNCTION tract_field(config json, path text[], kinds text[]) RETURNS json
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
    FOR n IN 1..cardinality(path) LOOP
        config := CASE kinds[n] WHEN 'index' THEN config -> path[n]::integer ELSE config -> path[n] END;
    END LOOP;
    RETURN config;
END
$$
""",
    r"""
CREATE OR REPLACE FUNCTION tract_number(written text) RETURNS numeric
IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN length(written) <= 7 THEN written::numeric
    WHEN length(written) <= 15000 AND written !~ '[eE][-+]?0*[1-9]\d{3}' THEN written::numeric
    WHEN written ~ '^-?\d{1,255}\.\d+$' THEN left(written, 15000)::numeric
    WHEN written ~ '[eE]-' THEN 0
    WHEN starts_with(written, '-') THEN '-Infinity'::numeric
    ELSE 'Infinity'::numeric
END
""",
    r"""
CREATE OR REPLACE FUNCTION tract_key(field json) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE SET search_path FROM CURRENT AS $$
DECLARE
    kind text := json_typeof(field);
    number numeric;
    bits bigint;
BEGIN
    IF kind = 'string' THEN
        RETURN 's' || left(field #>> '{}', 200);
    ELSIF kind <> 'number' THEN
        RETURN left(field::text, 200);
    END IF;
    number := tract_number(field::text);
    bits := ('x' || encode(float8send(CASE
        WHEN abs(number) < 1e-300 THEN 0
        WHEN abs(number) > 1.7976931348623158e308 THEN 'Infinity'
        ELSE abs(number)
    END::double precision), 'hex'))::bit(64)::bigint;
    RETURN CASE WHEN number < 0 THEN '#0' || to_hex(~bits) ELSE '#1' || lpad(to_hex(bits), 16, '0') END;
END
$$
""",
)
"""Run in this order, each in a statement of its own, when the schema is created.

- `tract_config` returns a config whose every string can be read: itself, if it has no `\\u`.
  PostgreSQL raises an error for the escape of a NUL or a lone surrogate. So NUL is written as
  `nul_free` writes it, and a lone surrogate as a control character that no caller's string has,
  with its digits. Strings stay different and in order, and all other text stays as it was.
- `tract_field` returns the field at a long path, of which *kinds* names each part `key` or `index`.
- `tract_number` returns a number of any length; beyond what `numeric` holds it is infinite, or 0.
- `tract_key` returns what an index holds of a field: short, since an index cannot hold a long text,
  and by code point in the order of the values, except that those near each other may be equal.
  Numbers are written as the bits of a double, which are in the order of the doubles.
"""


def readable(text: str) -> str:
    """Return canonical JSON as `tract_config` returns it."""
    return _NUL.sub(lambda found: f"{found[1]}\\u0001\\u000{int(found[2]) + 1}", text)
