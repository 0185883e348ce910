from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class FromParty(_message.Message):
    __slots__ = ("round", "kind", "values", "join")
    ROUND_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    JOIN_FIELD_NUMBER: _ClassVar[int]
    round: int
    kind: str
    values: bytes
    join: Join
    def __init__(self, round: _Optional[int] = ..., kind: _Optional[str] = ..., values: _Optional[bytes] = ..., join: _Optional[_Union[Join, _Mapping]] = ...) -> None: ...

class Join(_message.Message):
    __slots__ = ("protocol", "token", "party", "columns")
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    PARTY_FIELD_NUMBER: _ClassVar[int]
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    protocol: int
    token: str
    party: str
    columns: str
    def __init__(self, protocol: _Optional[int] = ..., token: _Optional[str] = ..., party: _Optional[str] = ..., columns: _Optional[str] = ...) -> None: ...

class FromArbiter(_message.Message):
    __slots__ = ("round", "values", "held_seconds")
    ROUND_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    HELD_SECONDS_FIELD_NUMBER: _ClassVar[int]
    round: int
    values: bytes
    held_seconds: float
    def __init__(self, round: _Optional[int] = ..., values: _Optional[bytes] = ..., held_seconds: _Optional[float] = ...) -> None: ...
