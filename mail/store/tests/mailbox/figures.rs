//! What things cost; run by hand in a release build: `cargo test --release -p sealpost-store figures -- --ignored --nocapture`.

use std::fmt::Write;
use std::time::Instant;

use model::verbs::*;

use crate::fixture::*;

const MESSAGES: u32 = 2000;

/// About 10 KB of text that compresses like mail does.
fn mail(n: u32) -> String {
    let mut text =
        format!("From: a{n}@example.org\r\nTo: b@example.org\r\nSubject: number {n}\r\nMessage-ID: <{n}@x>\r\n\r\n");
    let mut word = n;
    while text.len() < 10_500 {
        word = word.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        write!(text, "{:x} and then ", word >> 12).unwrap();
        if word.is_multiple_of(5) {
            text.push_str("\r\n");
        }
    }
    text
}

async fn timed<T>(what: &str, work: impl Future<Output = T>) -> T {
    let began = Instant::now();
    let result = work.await;
    println!("{what}: {:.2} ms", began.elapsed().as_secs_f64() * 1e3);
    result
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "prints figures, asserts nothing"]
async fn figures() {
    let f = fixture().await;
    let s = f.session(1);
    let first = s.append("INBOX", mail(0)).await.unwrap();
    assert_eq!(first.uid.0, 1);
    timed("20 single appends", async {
        for n in 1..=20 {
            s.append("INBOX", mail(n)).await.unwrap();
        }
    })
    .await;
    timed("the rest, 16 in flight", async {
        let mut flying = std::collections::VecDeque::new();
        for n in 21..MESSAGES {
            let (append, body) = s.appending("INBOX", &[], mail(n));
            flying.push_back(tokio::spawn(s.mailbox.append(s.id, append, body)));
            if flying.len() == 16 {
                flying.pop_front().unwrap().await.unwrap().unwrap();
            }
        }
        for append in flying {
            append.await.unwrap().unwrap();
        }
    })
    .await;
    let selected = timed("select", s.select("INBOX")).await;
    let view = view(&selected);
    for _ in 0..2 {
        timed("fetch flags", s.fetch(fetching(&view, Vec::new()))).await;
        let items = FetchItems { envelope: true, size: true, internal_date: true, ..FetchItems::default() };
        timed("fetch envelopes", s.fetch(Fetch { items, ..fetching(&view, Vec::new()) })).await;
        timed("fetch bodies", s.fetch(fetching(&view, vec![section(&[], Part::All)]))).await;
    }
    timed("sync, nothing new", s.sync(&view)).await;
    timed("store 1:*", s.store(&view, "1:2000", StoreMode::Add, &["\\Seen"])).await;
    timed("single store", s.store(&view, "7", StoreMode::Add, &["\\Flagged"])).await;
    timed("copy 1:*", s.copy(&view, "1:2000", "Archive", false)).await.unwrap();
    timed("search header", s.search(&view, SearchKey::Header("subject".into(), "number 77".into()))).await;
    timed("search body", s.search(&view, SearchKey::Body("zebra".into()))).await;
    s.store(&view, "1:1000", StoreMode::Add, &["\\Deleted"]).await;
    timed("expunge 1000", s.expunge(&view, None)).await;
}
