"""The vault with any values in any JSON: what is sealed comes back, and no spelling of a secret is left."""

import base64
import json
import shlex
from urllib.parse import quote, quote_plus

from hypothesis import assume, given
from hypothesis import strategies as st

from kyanite.secrets import _MARKER, Vault

KEY = "q1W+e2/r3T4y5U6i7O8p9A0sdfGHJKLzxcv+bnm/QWERTYuiop1234567890asdfghjklZXCVBNMqwe+rt/yuiop=="


def spellings(secret):
    """How a value may be written by programs that know nothing of vaults; each hides the whole value."""
    data = secret.encode("utf-8", "surrogatepass")
    written = {
        secret,
        base64.b64encode(data).decode(),
        base64.urlsafe_b64encode(data).decode(),
        base64.b64encode(data).decode().rstrip("="),
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        quote(secret, safe="", errors="surrogatepass"),
        quote(secret, errors="surrogatepass"),
        quote_plus(secret, errors="surrogatepass"),
        shlex.quote(secret).removeprefix("'").removesuffix("'"),
    }
    lines = {line.strip() for line in secret.splitlines()}
    return written | {line for line in lines if len(line) >= 6}


def stored(text):
    """Sealed text without its markers, whose letters are no news to anybody."""
    return _MARKER.sub("\0", text)


secret_texts = st.one_of(
    st.text(min_size=6, max_size=40),
    st.text(alphabet="ab'\"\\+/= %&\n\tü🙂", min_size=6, max_size=60),
    st.text(alphabet=st.characters(categories=("Cs", "Ll")), min_size=6, max_size=12),
    st.integers(6, 4096).map(lambda size: (KEY * 50)[:size]),
    st.lists(st.text(alphabet="abcdef'\" ", min_size=6, max_size=20), min_size=2, max_size=4).map("\n".join),
)


@st.composite
def cases(draw):
    secrets = draw(st.lists(secret_texts, min_size=1, max_size=3, unique=True))
    forms = sorted({form for secret in secrets for form in spellings(secret)})
    form = st.integers(0, len(forms) - 1).map(lambda number: forms[number])  # a short repr: forms may be long
    part = st.one_of(st.text(max_size=8), form)
    text = st.lists(part, max_size=4).map("".join)
    value = st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(-9999, 9999), text),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
        max_leaves=8,
    )
    return secrets, forms, draw(value)


def texts_of(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from texts_of(item)
    elif isinstance(value, list):
        for item in value:
            yield from texts_of(item)


@given(cases())
def test_sealing_hides_every_spelling_and_opening_gives_the_value_back(case):
    secrets, forms, value = case
    vault = Vault()
    vault.register({str(number): secret for number, secret in enumerate(secrets)})
    sealed = vault.seal_json(value)
    sealed.encode()
    assert vault.open_json(sealed) == value
    for text in texts_of(json.loads(sealed)):
        assert not [form for form in forms if form in stored(text)]
    assert vault.seal_json(json.loads(sealed)) == sealed


@given(cases())
def test_masking_shows_no_spelling(case):
    secrets, forms, value = case
    assume(not any(form in "***" or set(form) <= {"*"} for form in forms))
    vault = Vault()
    vault.register({str(number): secret for number, secret in enumerate(secrets)})
    for text in texts_of(vault.mask_json(value)):
        pieces = text.split("***")
        assert not [form for form in forms for piece in pieces if form in piece]
    assert vault.masked_json(vault.seal_json(value)) == vault.mask_json(value)


@given(st.binary(max_size=5), st.text(min_size=6, max_size=30).filter(str.isalnum), st.binary(max_size=5))
def test_a_value_inside_a_longer_base64_text_is_found(before, secret, after):
    vault = Vault()
    vault.put("password", secret)
    text = base64.b64encode(before + secret.encode() + after).decode()
    sealed = vault.seal(text)
    assert sealed != text
    assert vault.open(sealed) == text
