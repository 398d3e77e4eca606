"""URLs of Redis: one server, Sentinels, a Cluster; and the lanes of a Cluster."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from redis.crc import key_slot

from contract.redis_place import Place, is_several, read_place, redis_url
from contract.streams import LANES, ONE, lane_of, streams


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("redis+sentinel://a:26379,b/records", Place("sentinel", (("a", 26379), ("b", 26379)), False, None, None, "records")),
        ("rediss+sentinel://u:p%40ss@10.0.0.7:1/records/3?ssl_ca_certs=%2Fca.pem&sentinel_password=s",
         Place("sentinel", (("10.0.0.7", 1),), True, "u", "p@ss", "records", 3, "/ca.pem", "s")),
        ("redis+cluster://:p@[::1]:7000,[fd00::1]", Place("cluster", (("::1", 7000), ("fd00::1", 6379)), False, None, "p")),
        ("redis+cluster://a/0", Place("cluster", (("a", 6379),), False, None, None)),
    ],
)  # fmt: skip
def test_a_place_is_read(url: str, place: Place) -> None:
    assert is_several(url)
    assert read_place(url) == place
    assert redis_url(SecretStr(url)) is not None


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("redis+sentinel://a:26379", "the primary's name"),
        ("redis+sentinel://a/records/x", "no number"),
        ("redis+cluster://a/1", "no database but 0"),
        ("redis+cluster://a:0", "a port"),
        ("redis+cluster://a:65536", "a port"),
        ("redis+cluster://a,,b", "host name"),
        ("redis+cluster://", "host name"),
        ("redis+clster://a", "begins with"),
        ("http+cluster://a", "begins with"),
        (f"redis+cluster://{','.join(['host-1.example'] * 700)}", "characters"),
        ("redis+cluster://a?db=1", "and nothing else"),
        ("redis+cluster://:ab?cdSECRET=ef@h", "and nothing else"),
    ],
)
def test_what_is_no_place_is_refused_with_what_is_wrong(url: str, says: str) -> None:
    with pytest.raises(ValueError, match=says) as refused:
        redis_url(SecretStr(url))
    assert "SECRET" not in str(refused.value)


@given(
    st.text(max_size=60).map(lambda text: f"redis+cluster://{text}")
    | st.text(max_size=60)
)
def test_any_text_is_a_place_or_is_refused(text: str) -> None:
    try:
        place = read_place(text)
    except ValueError:
        return
    assert place.hosts


def test_lanes_lie_evenly_over_the_slots() -> None:
    slots = [key_slot(lane.records.encode()) for lane in LANES]
    assert sorted(slot * 16 // 16384 for slot in slots) == list(range(16))
    for lane in LANES:
        names = lane.records, lane.sent, lane.probe
        assert len({key_slot(name.encode()) for name in names}) == 1
    assert len({name for lane in LANES for name in lane[:2]}) == 32


@pytest.mark.parametrize(
    ("shards", "proxies"), [(2, 2), (3, 4), (4, 4), (5, 9), (6, 10), (8, 14)]
)
def test_few_proxies_lie_on_different_shards(shards: int, proxies: int) -> None:
    assert streams(cluster=False) == (ONE,)
    assert {lane_of(turn) for turn in range(16)} == set(streams(cluster=True))
    for begun in range(16):
        lanes = [lane_of(begun + turn) for turn in range(proxies)]
        slots = [key_slot(lane.records.encode()) for lane in lanes]
        assert {slot * shards // 16384 for slot in slots} == set(range(shards)), begun
