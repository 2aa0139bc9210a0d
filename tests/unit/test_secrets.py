"""The vault: what is sealed comes back, and no spelling of a secret is left in what is stored or shown."""

import base64
import stat
from types import MappingProxyType
from urllib.parse import quote

import pytest

from kyanite.errors import InvariantError, LimitError, StateError
from kyanite.secrets import Vault

KEY = "q1W+e2/r3T4y5U6i7O8p9A0sdfGHJKLzxcv+bnm/QWERTYuiop1234567890asdfghjklZXCVBNMqwe+rt/yuiop=="
PEM = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEF\nAASCBKcwggSjAgEAAoIBAQC7\n-----END PRIVATE KEY-----\n"


class TestMasking:
    @pytest.mark.parametrize(
        ("text", "masked"),
        [
            (
                "DefaultEndpointsProtocol=https;AccountKey=abc+/==;EndpointSuffix=x",
                "DefaultEndpointsProtocol=https;AccountKey=***;EndpointSuffix=x",
            ),
            ("https://a.b/c?sv=1&sig=abc%2B&se=2", "https://a.b/c?sv=1&sig=***&se=2"),
            (
                '{"url":"https://a.b/c?sv=1\\u0026sig=abc\\u0026se=2"}',
                '{"url":"https://a.b/c?sv=1\\u0026sig=***\\u0026se=2"}',
            ),
            ("SharedAccessSignature=sv=1&sig=2;x", "SharedAccessSignature=***;x"),
            ("authorization: Bearer abcdefghijklmnop.q", "authorization: Bearer ***"),
            ("SharedKey account:YWJjZGVmZ2hpamtsbW5vcHFyc3Q=", "SharedKey ***"),
            ("token eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0x.c2ln end", "token *** end"),
            (f"before {PEM}after", "before ***\nafter"),
            ("nothing to hide; signal=1", "nothing to hide; signal=1"),
        ],
    )
    def test_well_known_shapes_that_nobody_registered(self, text, masked):
        vault = Vault()
        assert vault.mask(text) == masked
        assert vault.mask_json({"a": [text]}) == {"a": [masked]}
        assert vault.mask(masked) == masked

    def test_a_line_of_a_key_is_a_secret_too(self):
        vault = Vault()
        vault.put("key", PEM)
        assert vault.mask("found AASCBKcwggSjAgEAAoIBAQC7 in the log") == "found *** in the log"

    @pytest.mark.parametrize(
        "spelling",
        [
            KEY.replace("+", "\\u002B"),
            quote(KEY, safe="").replace("%2B", "%2b").replace("%2F", "%2f").replace("%3D", "%3d"),
        ],
    )
    def test_how_dot_net_writes_a_key(self, spelling):
        vault = Vault()
        vault.put("key", KEY)
        assert vault.mask(f"<{spelling}>") == "<***>"

    def test_hostile_text_does_not_take_long(self):
        assert Vault().mask("-----BEGIN PRIVATE KEY-----" * 20_000).count("BEGIN") == 20_000


class TestSealing:
    def test_the_longest_value_wins(self):
        vault = Vault()
        vault.register({"short": "abcdef", "long": "abcdefghij"})
        assert vault.open(vault.seal("abcdefghij abcdef")) == "abcdefghij abcdef"
        assert vault.seal("abcdefghij").count("~secret:") == 1

    def test_a_text_shaped_like_a_marker_hides_nothing(self):
        vault = Vault()
        vault.put("password", "0123456789abcdef01234567")
        text = "~secret:0123456789abcdef01234567:raw~"
        assert "0123456789abcdef01234567" not in vault.seal(text)
        assert vault.open(vault.seal(text)) == text

    def test_a_marker_of_another_workspace_stays(self):
        mine, other = Vault(), Vault()
        mine.put("password", "my password")
        other.put("password", "other password")
        sealed = other.seal("the other password")
        assert mine.open(sealed) == sealed
        assert mine.mask(sealed) == "the ***"

    def test_a_replaced_value_still_opens_and_still_masks(self):
        vault = Vault()
        vault.put("password", "old password")
        sealed = vault.seal("use old password")
        vault.put("password", "new password")
        assert vault.get("password") == "new password"
        assert vault.open(sealed) == "use old password"
        assert vault.mask("old password and new password") == "*** and ***"

    def test_too_short_values_are_not_secrets(self):
        vault = Vault()
        assert not vault.put("pin", "12345")
        vault.register({"pin": "12345"})
        assert vault.get("pin") is None
        assert vault.put("pin", "123456")

    def test_mappings_and_tuples_are_json(self):
        vault = Vault()
        vault.put("password", "my password")
        value = MappingProxyType({"a": (1, "my password"), 5: MappingProxyType({})})
        assert "my password" not in vault.seal_json(value)
        assert vault.open_json(vault.seal_json(value)) == {"a": [1, "my password"], "5": {}}
        assert vault.mask_json(value) == {"a": [1, "***"], 5: {}}

    def test_what_is_not_json(self):
        with pytest.raises(InvariantError, match="bytes"):
            Vault().seal_json({"a": b"1"})
        deep = []
        for _ in range(10_000):
            deep = [deep]
        with pytest.raises(LimitError, match="deep"):
            Vault().seal_json(deep)


class TestFile:
    def test_it_is_private_and_read_back(self, tmp_path):
        path = tmp_path / "new" / "secrets.json"
        vault = Vault(path)
        assert vault.get("password") is None
        vault.put("password", "my password")
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert Vault(path).get("password") == "my password"
        assert Vault(path).open(vault.seal("my password")) == "my password"
        assert sorted(entry.name for entry in path.parent.iterdir()) == ["secrets.json", "secrets.lock"]

    def test_a_readable_file_is_made_private(self, tmp_path):
        path = tmp_path / "secrets.json"
        Vault(path).put("password", "my password")
        path.chmod(0o644)
        Vault(path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600

    def test_what_another_process_stores_is_known_at_once(self, tmp_path):
        first, second = Vault(tmp_path / "secrets.json"), Vault(tmp_path / "secrets.json")
        first.put("a", "first value")
        assert second.mask("first value") == "***"
        second.put("a", "value first")
        assert first.get("a") == "value first"
        assert first.mask("first value, value first") == "***, ***"

    def test_a_random_key_is_made_once(self, tmp_path):
        first, second = Vault(tmp_path / "secrets.json"), Vault(tmp_path / "secrets.json")
        key = first.get_or_create("key")
        assert len(base64.b64decode(key)) == 64
        assert second.get_or_create("key") == key
        assert first.get_or_create("other") != key

    def test_a_damaged_file_is_explained(self, tmp_path):
        path = tmp_path / "secrets.json"
        path.write_text("{", encoding="utf-8")
        with pytest.raises(StateError, match=r"cannot be read.*backup"):
            Vault(path)

    def test_a_place_that_cannot_be_written_is_explained(self, tmp_path):
        (tmp_path / "file").write_text("", encoding="utf-8")
        with pytest.raises(StateError, match="cannot be read"):
            Vault(tmp_path / "file" / "secrets.json")
        (tmp_path / "secrets.lock").mkdir()
        with pytest.raises(StateError, match="cannot be written"):
            Vault(tmp_path / "secrets.json").put("password", "my password")

    def test_nothing_is_printed(self, tmp_path):
        vault = Vault(tmp_path / "secrets.json")
        vault.put("password", "my password")
        assert "my password" not in repr(vault) + str(vault)
