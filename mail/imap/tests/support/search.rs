//! SEARCH by looking at every message.

use model::verbs::SearchKey;
use model::{Keywords, SystemFlag, Uid, UidSet};

use super::state::Message;

pub fn matches(m: &Message, key: &SearchKey, recent: &UidSet, keywords: &Keywords) -> bool {
    let again = |key: &SearchKey| matches(m, key, recent, keywords);
    let text = String::from_utf8_lossy(&m.data).to_lowercase();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let day = jiff::tz::Offset::UTC.to_datetime(jiff::Timestamp::from_second(m.date).unwrap()).date();
    match key {
        SearchKey::All => true,
        SearchKey::And(keys) => keys.iter().all(again),
        SearchKey::Or(a, b) => again(a) || again(b),
        SearchKey::Not(key) => !again(key),
        SearchKey::Uids(uids) => uids.contains(Uid(m.uid)),
        SearchKey::Flag(name) => {
            let bit = SystemFlag::from_name(name).map(SystemFlag::bit).or_else(|| keywords.bit(name));
            bit.is_some_and(|bit| m.flags & bit != 0)
        }
        SearchKey::Recent => recent.contains(Uid(m.uid)),
        SearchKey::Larger(n) => m.data.len() as u64 > *n,
        SearchKey::Smaller(n) => (m.data.len() as u64) < *n,
        SearchKey::Before(date) => day < *date,
        SearchKey::On(date) => day == *date,
        SearchKey::Since(date) => day >= *date,
        SearchKey::Header(name, value) => {
            let name = format!("{}:", name.to_lowercase());
            head.lines().any(|line| line.strip_prefix(&name).is_some_and(|v| v.contains(&value.to_lowercase())))
        }
        SearchKey::Body(value) => body.contains(&value.to_lowercase()),
        SearchKey::Text(value) => text.contains(&value.to_lowercase()),
        SearchKey::ModSeq(n) => m.modseq >= n.0,
        _ => false,
    }
}
