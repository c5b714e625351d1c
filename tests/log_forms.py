"""Logs of made-up clicks in the documented forms of ten public logs and exports."""

import datetime
import gzip
import json
import random

START = datetime.datetime(2019, 10, 1, tzinfo=datetime.UTC)
DAYS = 60


def clicks(seed=1, sessions=300):
    """Make clicks (session, user, time, item) of sessions over the days."""
    rng = random.Random(seed)
    rows = []
    for session in range(sessions):
        time = START + datetime.timedelta(days=DAYS * session / sessions)
        item = rng.randrange(20)
        for _ in range(rng.randint(2, 5)):
            rows.append((session, session % 40, time, 1000 + item))
            item = (item + rng.choice([1, 1, 2])) % 20
            time += datetime.timedelta(seconds=rng.randint(5, 60), milliseconds=rng.randrange(1000))
    return rows


def milliseconds(time):
    return (time - START) // datetime.timedelta(milliseconds=1) + int(START.timestamp()) * 1000


def _lines(*rows):
    return "".join(f"{row}\n" for row in rows)


def rees46(directory, rows):
    header = (
        "event_time,event_type,product_id,category_id,category_code,brand,price,user_id,"
        "user_session"
    )
    lines = [
        f"{time:%Y-%m-%d %H:%M:%S} UTC,{event},{item},2103807459595387724,,shiseido,35.79,{user},"
        f"72d76fde-8bb3-4e00-8c23-{session:012}"
        for session, user, time, item in rows
        for event in ("view", "cart")
    ]
    (directory / "2019-Oct.csv.gz").write_bytes(gzip.compress(_lines(header, *lines).encode()))
    return directory / "2019-*.csv.gz"


def otto(directory, rows):
    sessions = {}
    for session, _, time, item in rows:
        event = {"aid": item, "ts": milliseconds(time)}
        sessions.setdefault(session, []).append({**event, "type": "clicks"})
        sessions[session].append({**event, "type": "carts"})
    lines = (json.dumps({"session": key, "events": events}) for key, events in sessions.items())
    (directory / "otto-recsys-train.jsonl").write_text(_lines(*lines))
    return directory / "otto-recsys-train.jsonl"


def diginetica(directory, rows):
    lines = []
    for session, user, time, item in rows:
        midnight = time.replace(hour=0, minute=0, second=0, microsecond=0)
        passed = (time - midnight) // datetime.timedelta(milliseconds=1)
        lines.append(f"{session};{user if session % 3 else 'NA'};{item};{passed};{time:%Y-%m-%d}")
    header = "sessionId;userId;itemId;timeframe;eventdate"
    (directory / "train-item-views.csv").write_text(_lines(header, *lines))
    return directory / "train-item-views.csv"


def retailrocket(directory, rows):
    lines = [
        f"{milliseconds(time)},{user},{event},{item},{transaction}"
        for _, user, time, item in rows
        for event, transaction in (("view", ""), ("transaction", 4000))
    ]
    header = "timestamp,visitorid,event,itemid,transactionid"
    (directory / "events.csv").write_text(_lines(header, *lines))
    return directory / "events.csv"


def movielens(directory, rows):
    lines = [f"{user},{item},5.0,{milliseconds(time) // 1000}" for _, user, time, item in rows]
    (directory / "ratings.csv").write_text(_lines("userId,movieId,rating,timestamp", *lines))
    return directory / "ratings.csv"


def lastfm1k(directory, rows):
    lines = [
        f'user_{user:06}\t{time:%Y-%m-%dT%H:%M:%S}Z\tf1b1cf71-bd35\tThe "Artist"\t\tNo. {item}'
        for _, user, time, item in reversed(rows)
    ]
    name = "userid-timestamp-artid-artname-traid-traname.tsv"
    (directory / name).write_text(_lines(*lines))
    return directory / name


def globo(directory, rows):
    header = (
        "user_id,session_id,session_start,session_size,click_article_id,click_timestamp,"
        "click_environment,click_deviceGroup,click_os,click_country,click_region,"
        "click_referrer_type"
    )
    (directory / "clicks").mkdir()
    for hour in range(5):  # the last one is empty
        lines = [
            f"{user},{1506825423271737 + session},{milliseconds(time)},2,{item},"
            f"{milliseconds(time)},4,3,20,1,20,2"
            for session, user, time, item in rows
            if hour < 4 and session % 4 == hour
        ]
        (directory / "clicks" / f"clicks_hour_{hour:03}.csv").write_text(_lines(header, *lines))
    return directory / "clicks"


def yoochoose(directory, rows):
    lines = [
        f"{session},{time:%Y-%m-%dT%H:%M:%S}.{time.microsecond // 1000:03}Z,{item},0"
        for session, _, time, item in rows
    ]
    (directory / "yoochoose-clicks.dat").write_text(_lines(*lines))
    return directory / "yoochoose-clicks.dat"


def ga4(directory, rows):
    lines = []
    for session, user, time, item in rows:
        event = {
            "event_date": f"{time:%Y%m%d}",
            "event_timestamp": str(milliseconds(time) * 1000 + 593),
            "event_params": [{"key": "ga_session_id", "value": {"int_value": str(session)}}],
            "user_pseudo_id": f"{user}.4271112504",
            "device": {"category": "mobile", "language": None},
        }
        lines.append(json.dumps({**event, "event_name": "page_view", "items": []}))
        shown = [{"item_id": f"GGOE{item}", "item_name": "Mug", "price": 12.5}]
        lines.append(json.dumps({**event, "event_name": "view_item", "items": shown}))
    for part in range(2):
        half = lines[part * len(lines) // 2 : (part + 1) * len(lines) // 2]
        path = directory / f"events_2019100{part + 1}.json.gz"
        path.write_bytes(gzip.compress(_lines(*half).encode()))
    return directory / "events_*.json.gz"


def segment(directory, rows):
    lines = []
    for number, (_, user, time, item) in enumerate(rows):
        call = {
            "anonymousId": f"507f191e810c19729de860{user:02}",
            "context": {"library": {"name": "analytics.js", "version": "2.11.1"}},
            "messageId": f"ajs-{number}",
            "timestamp": f"{time:%Y-%m-%dT%H:%M:%S}.{time.microsecond // 1000:03}Z",
            "version": 2,
        }
        lines.append(json.dumps({**call, "type": "page", "properties": {"path": "/"}}))
        viewed = {"product_id": f"p{item}", "category": "Games", "price": 19}
        track = {**call, "type": "track", "event": "Product Viewed", "properties": viewed}
        lines.append(json.dumps(track))
    (directory / "segment-logs").mkdir()
    (directory / "segment-logs" / "1577836800000.gz").write_bytes(
        gzip.compress(_lines(*lines).encode())
    )
    return directory / "segment-logs"


# Each writes a log into a directory and returns what --input names, a path or a pattern.
FORMS = {
    form.__name__: form
    for form in (
        rees46,
        otto,
        diginetica,
        retailrocket,
        movielens,
        lastfm1k,
        globo,
        yoochoose,
        ga4,
        segment,
    )
}
