use jiff::civil::date;
use model::UidSet;
use model::verbs::*;

use crate::fixture::*;
use crate::messages::{noise, with_attachment};

fn mails() -> Vec<Vec<u8>> {
    let head = |n: u32, from: &str, subject: &str| {
        format!(
            "From: {from}\r\nTo: team@example.org\r\nSubject: {subject}\r\nDate: {} May 2024 23:30:00 -0500\r\n",
            n + 1
        )
    };
    let plain = |n, from, subject, body: &str| format!("{}\r\n{body}", head(n, from, subject)).into_bytes();
    vec![
        plain(0, "Ann <ann@example.org>", "Quarterly report", "Numbers are UP.\r\n"),
        plain(1, "Bob <bob@example.org>", "=?utf-8?q?Gr=C3=BC=C3=9Fe?=", "report enclosed\r\n"),
        format!(
            "{}Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\nw4RwZmVsIHVuZCBCaXJuZW4=\r\n",
            head(2, "Ann <ann@example.org>", "fruit")
        )
        .into_bytes(),
        with_attachment("numbers", &noise(4, 50_000), "\r\n"),
        format!(
            "{}Content-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nSch=F6ne Gr=FC=DFe\r\n",
            head(4, "Carl", "plain")
        )
        .into_bytes(),
        b"Subject: \r\n\r\n".to_vec(),
    ]
}

/// Header and body.
type Folded = (String, Vec<String>);

async fn filled() -> (Fixture, Session, View) {
    let f = fixture().await;
    let s = f.session(1);
    for mail in mails() {
        s.append("INBOX", mail).await.unwrap();
    }
    let view = view(&s.select("INBOX").await);
    s.store(&view, "2", StoreMode::Add, &["\\Seen", "Work"]).await;
    (f, s, view)
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_find_what_they_say() {
    let (_f, s, view) = filled().await;
    let header = |name: &str, text: &str| SearchKey::Header(name.into(), text.into());
    let not = |key| SearchKey::Not(Box::new(key));
    let cases = [
        (SearchKey::All, "1:6"),
        (SearchKey::And(vec![]), "1:6"),
        (SearchKey::Flag("\\seen".into()), "2"),
        (SearchKey::Flag("work".into()), "2"),
        (not(SearchKey::Flag("unknown".into())), "1:6"),
        (SearchKey::Uids(uids("2:3,9")), "2:3"),
        (SearchKey::Larger(10_000), "4"),
        (SearchKey::Smaller(20), "6"),
        (SearchKey::On(date(2024, 5, 6)), "1:6"),
        (SearchKey::Before(date(2024, 5, 6)), ""),
        (SearchKey::Since(date(2024, 5, 7)), ""),
        (SearchKey::SentOn(date(2024, 5, 2)), "2"),
        (SearchKey::SentBefore(date(2024, 5, 2)), "1"),
        (SearchKey::SentSince(date(2024, 5, 2)), "2:3,5"),
        (SearchKey::Older(3600), "1:6"),
        (SearchKey::Younger(3600), ""),
        (header("from", "ANN"), "1,3"),
        (header("subject", "grüße"), "2"),
        (header("subject", "GRÜß"), "2"),
        (header("subject", ""), "1:6"),
        (header("from", ""), "1:3,5"),
        (SearchKey::Body("äpfel".into()), "3"),
        (SearchKey::Body("schöne grüße".into()), "5"),
        (SearchKey::Body("hello NUMB".into()), "4"),
        (SearchKey::Body("report".into()), "2"),
        (SearchKey::Text("report".into()), "1:2"),
        (SearchKey::Text("numbers".into()), "1,4"),
        (SearchKey::And(vec![SearchKey::Text("report".into()), not(header("from", "bob"))]), "1"),
        (SearchKey::Or(Box::new(SearchKey::Body("birnen".into())), Box::new(header("from", "bob"))), "2:3"),
        (SearchKey::ModSeq(view.since), "2,6"),
    ];
    for (key, expected) in cases {
        assert_eq!(s.search(&view, key.clone()).await, uids(expected), "{key:?}");
    }
    let recent = Search { view, key: SearchKey::Recent, recent: uids("3:4") };
    let answer = s.ask(Request::Search(recent)).await.unwrap();
    assert!(matches!(answer, Answer::Found(found) if found.uids == uids("3:4") && found.modseq.0 > 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn search_agrees_with_reading_every_message() {
    let (_f, s, view) = filled().await;
    let texts: Vec<Folded> = mails()
        .iter()
        .map(|raw| {
            let skeleton = mime::parse(raw);
            let body: Vec<_> = mime::search_text(raw, &skeleton).map(|piece| mime::fold(&piece)).collect();
            (mime::fold(&mime::header_text(raw, &skeleton)), body)
        })
        .collect();
    for needle in ["e", "report", "up.", "äpf", "ß", "team@example.org", "application/pdf", "\r\n", "zebra", "text"] {
        let key = mime::fold(needle);
        let hits = |is: &dyn Fn(&Folded) -> bool| {
            (1..).zip(&texts).filter(|(_, text)| is(text)).map(|(uid, _)| model::Uid(uid)).collect::<UidSet>()
        };
        let in_body = |text: &Folded| text.1.iter().any(|piece| piece.contains(&key));
        assert_eq!(s.search(&view, SearchKey::Body(needle.into())).await, hits(&in_body), "BODY {needle}");
        let anywhere = |text: &Folded| text.0.contains(&key) || in_body(text);
        assert_eq!(s.search(&view, SearchKey::Text(needle.into())).await, hits(&anywhere), "TEXT {needle}");
    }
}
