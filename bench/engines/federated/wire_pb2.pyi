from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class FromParty(_message.Message):
    __slots__ = ("number", "kind", "body", "join")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    JOIN_FIELD_NUMBER: _ClassVar[int]
    number: int
    kind: str
    body: bytes
    join: Join
    def __init__(self, number: _Optional[int] = ..., kind: _Optional[str] = ..., body: _Optional[bytes] = ..., join: _Optional[_Union[Join, _Mapping]] = ...) -> None: ...

class Join(_message.Message):
    __slots__ = ("protocol", "token", "party", "columns", "privacy")
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    PARTY_FIELD_NUMBER: _ClassVar[int]
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    PRIVACY_FIELD_NUMBER: _ClassVar[int]
    protocol: int
    token: str
    party: str
    columns: str
    privacy: str
    def __init__(self, protocol: _Optional[int] = ..., token: _Optional[str] = ..., party: _Optional[str] = ..., columns: _Optional[str] = ..., privacy: _Optional[str] = ...) -> None: ...

class FromArbiter(_message.Message):
    __slots__ = ("number", "body", "held_seconds")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    HELD_SECONDS_FIELD_NUMBER: _ClassVar[int]
    number: int
    body: bytes
    held_seconds: float
    def __init__(self, number: _Optional[int] = ..., body: _Optional[bytes] = ..., held_seconds: _Optional[float] = ...) -> None: ...

class ByParty(_message.Message):
    __slots__ = ("values",)
    class ValuesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: bytes
        def __init__(self, key: _Optional[str] = ..., value: _Optional[bytes] = ...) -> None: ...
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.ScalarMap[str, bytes]
    def __init__(self, values: _Optional[_Mapping[str, bytes]] = ...) -> None: ...

class MaskKeys(_message.Message):
    __slots__ = ("public_key", "shares")
    class SharesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: bytes
        def __init__(self, key: _Optional[str] = ..., value: _Optional[bytes] = ...) -> None: ...
    PUBLIC_KEY_FIELD_NUMBER: _ClassVar[int]
    SHARES_FIELD_NUMBER: _ClassVar[int]
    public_key: bytes
    shares: _containers.ScalarMap[str, bytes]
    def __init__(self, public_key: _Optional[bytes] = ..., shares: _Optional[_Mapping[str, bytes]] = ...) -> None: ...

class OthersKeys(_message.Message):
    __slots__ = ("public_keys", "shares")
    class PublicKeysEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: bytes
        def __init__(self, key: _Optional[str] = ..., value: _Optional[bytes] = ...) -> None: ...
    class SharesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: bytes
        def __init__(self, key: _Optional[str] = ..., value: _Optional[bytes] = ...) -> None: ...
    PUBLIC_KEYS_FIELD_NUMBER: _ClassVar[int]
    SHARES_FIELD_NUMBER: _ClassVar[int]
    public_keys: _containers.ScalarMap[str, bytes]
    shares: _containers.ScalarMap[str, bytes]
    def __init__(self, public_keys: _Optional[_Mapping[str, bytes]] = ..., shares: _Optional[_Mapping[str, bytes]] = ...) -> None: ...

class Survivors(_message.Message):
    __slots__ = ("parties",)
    PARTIES_FIELD_NUMBER: _ClassVar[int]
    parties: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, parties: _Optional[_Iterable[str]] = ...) -> None: ...

class Unmask(_message.Message):
    __slots__ = ("seed_shares", "key_shares", "next")
    class SeedSharesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: bytes
        def __init__(self, key: _Optional[str] = ..., value: _Optional[bytes] = ...) -> None: ...
    class KeySharesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: bytes
        def __init__(self, key: _Optional[str] = ..., value: _Optional[bytes] = ...) -> None: ...
    SEED_SHARES_FIELD_NUMBER: _ClassVar[int]
    KEY_SHARES_FIELD_NUMBER: _ClassVar[int]
    NEXT_FIELD_NUMBER: _ClassVar[int]
    seed_shares: _containers.ScalarMap[str, bytes]
    key_shares: _containers.ScalarMap[str, bytes]
    next: MaskKeys
    def __init__(self, seed_shares: _Optional[_Mapping[str, bytes]] = ..., key_shares: _Optional[_Mapping[str, bytes]] = ..., next: _Optional[_Union[MaskKeys, _Mapping]] = ...) -> None: ...

class UnmaskedSum(_message.Message):
    __slots__ = ("total", "next")
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    NEXT_FIELD_NUMBER: _ClassVar[int]
    total: bytes
    next: OthersKeys
    def __init__(self, total: _Optional[bytes] = ..., next: _Optional[_Union[OthersKeys, _Mapping]] = ...) -> None: ...

class PaillierKeys(_message.Message):
    __slots__ = ("n", "private_keys")
    class PrivateKeysEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: bytes
        def __init__(self, key: _Optional[str] = ..., value: _Optional[bytes] = ...) -> None: ...
    N_FIELD_NUMBER: _ClassVar[int]
    PRIVATE_KEYS_FIELD_NUMBER: _ClassVar[int]
    n: bytes
    private_keys: _containers.ScalarMap[str, bytes]
    def __init__(self, n: _Optional[bytes] = ..., private_keys: _Optional[_Mapping[str, bytes]] = ...) -> None: ...

class PaillierSum(_message.Message):
    __slots__ = ("key", "ciphertexts", "added")
    KEY_FIELD_NUMBER: _ClassVar[int]
    CIPHERTEXTS_FIELD_NUMBER: _ClassVar[int]
    ADDED_FIELD_NUMBER: _ClassVar[int]
    key: bytes
    ciphertexts: bytes
    added: int
    def __init__(self, key: _Optional[bytes] = ..., ciphertexts: _Optional[bytes] = ..., added: _Optional[int] = ...) -> None: ...

class EncryptedModel(_message.Message):
    __slots__ = ("key", "ciphertexts", "fraction_bits", "loss")
    KEY_FIELD_NUMBER: _ClassVar[int]
    CIPHERTEXTS_FIELD_NUMBER: _ClassVar[int]
    FRACTION_BITS_FIELD_NUMBER: _ClassVar[int]
    LOSS_FIELD_NUMBER: _ClassVar[int]
    key: bytes
    ciphertexts: bytes
    fraction_bits: int
    loss: float
    def __init__(self, key: _Optional[bytes] = ..., ciphertexts: _Optional[bytes] = ..., fraction_bits: _Optional[int] = ..., loss: _Optional[float] = ...) -> None: ...
