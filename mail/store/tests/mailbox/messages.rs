use std::time::Duration;

use bytes::Bytes;
use model::ContentId;
use model::verbs::*;
use store::{Body, Limits};
use tokio::sync::mpsc;

use crate::fixture::*;

/// Bytes that no compressor shrinks, the same for the same seed.
pub fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let step = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..len).map(step).collect()
}

fn base64_lines(bytes: &[u8], eol: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(57) {
        for three in chunk.chunks(3) {
            let n = three.iter().fold(0_u32, |n, b| n << 8 | u32::from(*b)) << (8 * (3 - three.len()));
            for i in 0..4 {
                let digit = DIGITS[(n >> (18 - 6 * i)) as usize & 63] as char;
                text.push(if i > three.len() { '=' } else { digit });
            }
        }
        text.push_str(eol);
    }
    text
}

pub fn with_attachment(subject: &str, file: &[u8], eol: &str) -> Vec<u8> {
    let text = format!(
        "Subject: {subject}\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\npreamble\r\n--b\r\n\
         Content-Type: text/plain\r\n\r\nhello {subject}\r\n--b\r\nContent-Type: application/pdf; name=f.pdf\r\n\
         Content-Transfer-Encoding: base64\r\n\r\n{}\r\n--b--\r\nepilogue\r\n",
        base64_lines(file, eol)
    );
    text.into_bytes()
}

fn samples() -> Vec<Vec<u8>> {
    let file = noise(7, 100_000);
    let mut broken = with_attachment("broken", &file, "\r\n");
    let at = broken.len() / 2;
    broken.insert(at, b' ');
    vec![
        b"Subject: plain\r\n\r\nbody\r\n".to_vec(),
        b"Subject: bare\n\nlf and \xff\xfe 8-bit \r alone".to_vec(),
        Vec::new(),
        b"\r\n".to_vec(),
        b"no header at all".to_vec(),
        with_attachment("one", &file, "\r\n"),
        with_attachment("two", &file, "\r\n"),
        with_attachment("lf", &file, "\n"),
        broken,
        format!("X: {}\r\n\r\nlong header", "y".repeat(200_000)).into_bytes(),
        [b"Subject: big\r\n\r\n".to_vec(), noise(9, 3_000_000).into_iter().map(|b| b | 1).collect()].concat(),
        format!("Subject: wordy\r\n\r\n{}", "the same line again and again\r\n".repeat(9000)).into_bytes(),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_byte_comes_back_whole_and_in_parts() {
    let f = fixture().await;
    let s = f.session(1);
    let samples = samples();
    for sample in &samples {
        s.append("INBOX", sample.clone()).await.unwrap();
    }
    let found = s.bodies("INBOX").await;
    assert_eq!(found.len(), samples.len());
    for (n, (found, sample)) in found.iter().zip(&samples).enumerate() {
        assert!(found == sample, "message {n}");
    }
    let view = view(&s.select("INBOX").await);
    for (first, most) in [(0, 10), (90, 70_000), (65_530, 20), (99_999, 300_000), (1_000_000, 500_000), (5_000_000, 9)]
    {
        let asked = Section { partial: Some((first, most)), ..section(&[], Part::All) };
        for (n, (_, part)) in s.sections(&view, asked).await.into_iter().enumerate() {
            let from = (first as usize).min(samples[n].len());
            let to = (first + most).min(samples[n].len() as u64) as usize;
            assert!(part.unwrap() == samples[n][from..to], "message {n} from {first}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sections_are_those_of_the_message() {
    let f = fixture().await;
    let s = f.session(1);
    let mail = with_attachment("parts", &noise(1, 60_000), "\r\n");
    s.append("INBOX", mail.clone()).await.unwrap();
    let view = view(&s.select("INBOX").await);
    let skeleton = mime::parse(&mail);
    let cases = [
        (section(&[], Part::Header), skeleton.locate(&[], mime::Section::Header)),
        (section(&[], Part::Text), skeleton.locate(&[], mime::Section::Text)),
        (section(&[1], Part::All), skeleton.locate(&[1], mime::Section::Body)),
        (section(&[2], Part::Mime), skeleton.locate(&[2], mime::Section::Mime)),
        (section(&[2], Part::All), skeleton.locate(&[2], mime::Section::Body)),
        (section(&[3], Part::All), None),
        (section(&[1], Part::Header), None),
    ];
    for (asked, range) in cases {
        let found = s.sections(&view, asked.clone()).await.remove(0).1;
        assert!(found == range.map(|range| mail[range].to_vec()), "{asked:?}");
    }
    let fields = Part::HeaderFields { names: vec!["subject".into(), "nothing".into()], not: false };
    assert_eq!(s.sections(&view, section(&[], fields)).await[0].1.as_deref(), Some(&b"Subject: parts\r\n\r\n"[..]));
}

#[tokio::test(flavor = "multi_thread")]
async fn equal_attachments_are_stored_once_and_go_with_the_last_message() {
    let limits = Limits { grave_rest: Duration::ZERO, ..patient() };
    let f = with_limits(limits, true).await;
    let s = f.session(1);
    let (file, other) = (noise(5, 90_000), noise(6, 90_000));
    for (n, file) in [&file, &file, &other, &file].into_iter().enumerate() {
        s.append("INBOX", with_attachment(&n.to_string(), file, "\r\n")).await.unwrap();
    }
    assert_eq!(f.sql("SELECT count(*) FROM att"), 2);
    assert_eq!(f.sql("SELECT sum(refs) FROM att"), 4);
    let inbox = view(&s.select("INBOX").await);
    let bodies = s.bodies("INBOX").await;
    s.copy(&inbox, "4", "Archive", false).await.unwrap();
    s.store(&inbox, "1:4", StoreMode::Add, &["\\Deleted"]).await;
    s.expunge(&inbox, None).await;
    eventually(async || f.sql("SELECT count(*) FROM grave") == 0).await;
    assert_eq!(f.sql("SELECT count(*) FROM att"), 1);
    assert_eq!(f.sql("SELECT sum(refs) FROM att"), 1);
    assert_eq!(f.sql("SELECT count(*) FROM mail"), 1);
    assert!(s.bodies("Archive").await == bodies[3..]);
    let archive = view(&s.select("Archive").await);
    s.store(&archive, "1", StoreMode::Add, &["\\Deleted"]).await;
    s.expunge(&archive, None).await;
    eventually(async || f.sql("SELECT count(*) FROM chunk") == 0).await;
    assert_eq!(
        f.sql("SELECT (SELECT count(*) FROM mail) + (SELECT count(*) FROM hdr) + (SELECT count(*) FROM att)"),
        0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn content_is_read_to_its_end_after_an_expunge() {
    let f = fixture().await;
    let s = f.session(1);
    let mail: Vec<u8> = [b"a: b\r\n\r\n".to_vec(), noise(2, 900_000).into_iter().map(|b| b | 1).collect()].concat();
    s.append("INBOX", mail.clone()).await.unwrap();
    let inbox = view(&s.select("INBOX").await);
    s.store(&inbox, "1", StoreMode::Add, &["\\Deleted"]).await;
    let (sink, mut events) = mpsc::channel(1);
    let (mailbox, id, fetch) = (s.mailbox.clone(), s.id, fetching(&inbox, vec![section(&[], Part::All)]));
    let running = tokio::spawn(async move { mailbox.fetch(id, fetch, sink).await });
    assert!(matches!(soon(events.recv()).await, Some(FetchEvent::Head { .. })));
    s.expunge(&inbox, None).await;
    let Some(FetchEvent::Rows(rows)) = soon(events.recv()).await else { panic!("rows") };
    assert_eq!(rows.sections, [SectionData::Large(mail.len() as u64)]);
    let Some(FetchEvent::Data(first)) = soon(events.recv()).await else { panic!("data") };
    drop(events);
    running.await.unwrap().unwrap();
    let (sink, mut events) = mpsc::channel(1);
    let asked = section(&[], Part::All);
    let resume = Resume { content: ContentId(rows.contents[0]), section: asked, offset: first.len() as u64 };
    let mailbox = s.mailbox.clone();
    let running = tokio::spawn(async move { mailbox.resume(resume, sink).await });
    let mut whole = first.to_vec();
    while let Some(event) = soon(events.recv()).await {
        let FetchEvent::Data(bytes) = event else { panic!("data only") };
        whole.extend_from_slice(&bytes);
    }
    running.await.unwrap().unwrap();
    assert!(whole == mail);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_comes_in_pieces_is_stored_only_if_all_of_it_comes() {
    let limits = Limits { message: 5_000_000, ..patient() };
    let f = with_limits(limits, false).await;
    let s = f.session(1);
    let mail = [b"a: b\r\n\r\n".to_vec(), vec![b'x'; 2_000_000]].concat();
    for (cut, fits) in [(0, true), (1, false)] {
        let (append, _) = s.appending("INBOX", &[], mail.clone());
        let (pieces, body) = mpsc::channel(2);
        let sent = mail[cut..].to_vec();
        tokio::spawn(async move {
            for piece in sent.chunks(100_000) {
                let _ = pieces.send(Bytes::copy_from_slice(piece)).await;
            }
        });
        let appended = soon(s.mailbox.append(s.id, append, Body::Stream(body))).await;
        assert_eq!(appended.is_ok(), fits);
    }
    assert!(s.bodies("INBOX").await == [mail.clone()]);
    assert_eq!(s.append("INBOX", "a: b\r\n\r\nx\0y").await.unwrap_err().code, Code::BadMessage);
    assert_eq!(s.append("INBOX", vec![b'x'; 6_000_000]).await.unwrap_err().code, Code::TooBig);
    assert_eq!(s.append("none", "x").await.unwrap_err().code, Code::TryCreate);
    // A large message without a folder leaves nothing behind.
    assert_eq!(
        s.append("none", with_attachment("x", &noise(3, 2_000_000), "\r\n")).await.unwrap_err().code,
        Code::TryCreate
    );
    assert_eq!(f.sql("SELECT count(*) FROM pending"), 0);
    assert_eq!(f.sql("SELECT count(*) FROM grave"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn several_messages_are_added_together_or_not_at_all() {
    let f = fixture().await;
    let s = f.session(1);
    let batch = || (0..3).map(|n| s.appending("INBOX", &[], format!("n: {n}\r\n\r\n"))).collect::<Vec<_>>();
    let appended = s.mailbox.append_many(s.id, batch()).await.unwrap();
    assert_eq!(appended.iter().map(|a| a.uid.0).collect::<Vec<_>>(), [1, 2, 3]);
    f.mailbox.set_policy(Some(40), false);
    assert_eq!(s.mailbox.append_many(s.id, batch()).await.unwrap_err().code, Code::OverQuota);
    assert_eq!(s.quota().await.messages, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn facts_come_as_they_were_rendered() {
    let f = fixture().await;
    let s = f.session(1);
    let mail =
        b"From: Ann <ann@example.org>\r\nSubject: hi\r\nDate: Mon, 6 May 2024 07:08:09 +0200\r\n\r\nsome  text\r\n";
    s.append("INBOX", &mail[..]).await.unwrap();
    let inbox = view(&s.select("INBOX").await);
    let items = FetchItems {
        internal_date: true,
        size: true,
        email_id: true,
        save_date: true,
        envelope: true,
        body: true,
        body_structure: true,
        preview: true,
    };
    let events = s.fetch(Fetch { items, uids: uids("1,5"), ..fetching(&inbox, Vec::new()) }).await;
    let [FetchEvent::Head { missing, .. }, FetchEvent::Rows(rows)] = &events[..] else { panic!("{events:?}") };
    assert_eq!(*missing, uids("5"));
    assert_eq!((rows.uids[0], rows.sizes[0]), (1, mail.len() as u64));
    assert_eq!(rows.internal_dates, [1_714_979_289]);
    let (skeleton, header) = (mime::parse(mail), &mail[..mail.len() - 12]);
    assert_eq!(rows.envelopes[0], mime::envelope(header));
    assert_eq!(rows.bodies[0], mime::body_structure(mail, &skeleton, false));
    assert_eq!(rows.body_structures[0], mime::body_structure(mail, &skeleton, true));
    assert_eq!((rows.previews[0].as_str(), rows.email_ids.len()), ("some text", 1));
    assert_eq!(s.search(&inbox, SearchKey::EmailId(rows.email_ids[0].clone())).await, uids("1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_shown_of_a_hostile_message_stays_small_and_its_bytes_stay() {
    let f = fixture().await;
    let s = f.session(1);
    let part = format!("--b\r\nContent-Description: {}\r\n\r\nx\r\n", "d".repeat(300));
    let parts = format!("Content-Type: multipart/mixed; boundary=b\r\n\r\n{}--b--\r\n", part.repeat(9000));
    let people = format!("From: {}\r\n\r\nx", "a,".repeat(100_000));
    s.append("INBOX", parts.clone()).await.unwrap();
    s.append("INBOX", people.clone()).await.unwrap();
    let view = view(&s.select("INBOX").await);
    let items = FetchItems { envelope: true, body: true, body_structure: true, ..FetchItems::default() };
    for event in s.fetch(Fetch { items, ..fetching(&view, Vec::new()) }).await {
        let FetchEvent::Rows(rows) = event else { continue };
        let shown = rows.envelopes.iter().chain(&rows.bodies).chain(&rows.body_structures);
        assert!(shown.map(Bytes::len).sum::<usize>() < 4 << 20);
        for structure in &rows.body_structures {
            assert!(structure.starts_with(b"(\"text\" \"plain\""), "{:?}", structure.get(..50));
        }
    }
    assert_eq!(s.bodies("INBOX").await, [parts.as_bytes(), people.as_bytes()]);
    // Its one part is all of it.
    let text = s.sections(&view, section(&[1], Part::All)).await.remove(0).1.unwrap();
    assert!(parts.ends_with(std::str::from_utf8(&text).unwrap()) && text.len() > 9000 * 300);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_sections_of_one_message_come_in_events_of_bounded_size() {
    let f = fixture().await;
    let s = f.session(1);
    let mail = format!("Subject: x\r\n\r\n{}", "y".repeat(200 << 10));
    s.append("INBOX", mail.clone()).await.unwrap();
    let view = view(&s.select("INBOX").await);
    let events = s.fetch(fetching(&view, vec![section(&[], Part::All); 30])).await;
    let mut octets = 0;
    for event in events {
        let size = match event {
            FetchEvent::Head { .. } => 0,
            FetchEvent::Data(bytes) => bytes.len(),
            FetchEvent::Rows(rows) => rows
                .sections
                .iter()
                .map(|data| if let SectionData::Inline(bytes) = data { bytes.len() } else { 0 })
                .sum(),
        };
        assert!(size < 1 << 20, "{size}");
        octets += size;
    }
    assert_eq!(octets, 30 * mail.len());
}
