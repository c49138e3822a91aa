use std::fs;
use std::path::Path;

use jiff::Timestamp;
use model::{FlagSet, SystemFlag};

use super::*;

const ALL: [Format; 3] = [Format::Maildir, Format::Mbox, Format::Eml];

/// Names of folders that a file system, a reader or a writer could stumble over.
const FOLDERS: [&str; 20] = [
    "INBOX",
    "INBOX/below",
    "cur",
    "new",
    "tmp",
    "Входящие/работа",
    "受信箱",
    "أرشيف",
    "😀",
    "a.b",
    "a.b/c.mbox",
    "back\\slash",
    "100%",
    "~home",
    "CON",
    "manifest.json",
    "0000000001.eml",
    ". .",
    "Work",
    "work",
];

fn message(n: u32, bytes: &[u8]) -> Message {
    Message {
        uid: Some(n),
        flags: FlagSet(u64::from(n) % 32),
        keywords: (0..n % 4).map(|k| format!("$Key{k}")).collect(),
        received: Some(Timestamp::from_second(1_714_557_600 + i64::from(n)).unwrap()),
        waiting: false,
        bytes: bytes.to_vec(),
    }
}

/// Bytes that quoting, headers of ours, or line ends could change.
fn odd() -> Vec<Message> {
    let mails: [&[u8]; 20] = [
        b"Subject: plain\r\n\r\ntext\r\n",
        b"Subject: no line end\r\n\r\ntext",
        b"Subject: bare\n\nline feeds\n",
        b"Subject: mixed\r\n\r\none\ntwo\rthree\r\n",
        b"Subject: from\r\n\r\nFrom here\r\n>From there\r\n>>From far\r\n> From no\r\nFrom",
        b"From the start\r\n\r\nbody\r\n",
        b"\r\nno header\r\n",
        b"no header at all",
        b"\n",
        b"Status: RO\r\nX-Status: F\r\nX-Keywords: theirs\r\nX-Sealpost-Size: 3\r\n\r\nold\r\n",
        b"Status: RO\nX-Sealpost-Size: 3\nSubject: a lie\n\nold\n",
        b"Subject: ends\r\n\r\nin empty lines\r\n\r\n\r\n\r\n",
        b"Subject: ends\n\nin an empty line and From \n\nFrom x\n\n",
        b"Subject: NUL\r\n\r\na\0b\r\n",
        b"Subject: \xff\xfe\r\n\r\n\x80\x81 not UTF-8\r\n",
        b"Subject: CR\r\rFrom me\r",
        b"content-length: 7\r\nX-Sealpost-Kept-Status: x\r\nX-Sealpost-Kept-x\r\nX-UID: 5\r\n folded\r\n\r\nStatus: R\r\n",
        b"Status: R",
        b"X-Sealpost-Kept-Status: R",
        b"\r\n\r\nFrom a\r\n\r\nFrom b\r\n",
    ];
    (1..).zip(mails).map(|(n, bytes)| message(n, bytes)).collect()
}

fn export(format: Format, root: &Path, folders: &[(Folder, Vec<Message>)], subscribed: &[&str]) -> Written {
    let mut writer = Writer::begin(format, root).unwrap();
    for (folder, messages) in folders {
        writer.folder(folder).unwrap();
        for message in messages {
            writer.message(message).unwrap();
        }
    }
    writer.finish(subscribed.iter().map(|name| (*name).to_owned()).collect()).unwrap()
}

fn import(format: Format, root: &Path) -> Vec<(Folder, Vec<Message>)> {
    let source = Source::open(format, root).unwrap();
    let read = |folder: &Folder| source.messages(&folder.name).unwrap().collect::<Result<_, _>>().unwrap();
    source.folders().iter().map(|folder| (folder.clone(), read(folder))).collect()
}

fn folder(name: &str) -> Folder {
    Folder { name: name.into(), uidvalidity: Some(7), uidnext: Some(100), ..Folder::default() }
}

/// In an order of keywords that formats need not keep.
fn comparable(mut messages: Vec<Message>) -> Vec<Message> {
    for message in &mut messages {
        message.keywords.sort();
    }
    messages
}

#[test]
fn odd_messages_come_back_byte_for_byte_with_flags_keywords_and_dates() {
    for format in ALL {
        let root = tempfile::tempdir().unwrap();
        let written = export(format, root.path(), &[(folder("INBOX"), odd())], &["INBOX"]);
        assert_eq!(written.messages, odd().len() as u64);
        let read = import(format, root.path());
        assert_eq!(read.len(), 1);
        for (came, went) in comparable(read[0].1.clone()).iter().zip(comparable(odd())) {
            assert_eq!(*came, went, "{format:?}");
        }
        assert_eq!(read[0].1.len(), odd().len());
    }
}

#[test]
fn folders_of_every_script_and_subscriptions_come_back() {
    for format in ALL {
        let root = tempfile::tempdir().unwrap();
        let folders: Vec<_> =
            (1..).zip(FOLDERS).map(|(n, name)| (folder(name), vec![message(n, name.as_bytes())])).collect();
        export(format, root.path(), &folders, &["INBOX", "a.b", "受信箱", "gone/away"]);
        let mut read = import(format, root.path());
        let mut names: Vec<_> = read.iter().map(|(folder, _)| folder.name.as_str()).collect();
        names.sort_unstable();
        let mut expected = FOLDERS.to_vec();
        expected.sort_unstable();
        assert_eq!(names, expected, "{format:?}");
        read.retain(|(folder, messages)| messages[0].bytes != folder.name.as_bytes());
        assert!(read.is_empty(), "{format:?}: {read:?}");
        let source = Source::open(format, root.path()).unwrap();
        assert_eq!(source.subscriptions(), ["INBOX", "a.b", "受信箱", "gone/away"]);
    }
}

#[test]
fn without_a_manifest_names_flags_and_dates_are_still_there() {
    for format in [Format::Maildir, Format::Mbox] {
        let root = tempfile::tempdir().unwrap();
        let mail = message(7, b"Subject: x\r\n\r\ny\r\n");
        let names = ["INBOX", "Входящие/работа", "a.b"];
        let folders: Vec<_> = names.iter().map(|name| (folder(name), vec![mail.clone()])).collect();
        export(format, root.path(), &folders, &["a.b"]);
        fs::remove_file(root.path().join("manifest.json")).unwrap();
        let read = import(format, root.path());
        for name in names {
            let (_, messages) = read.iter().find(|(folder, _)| folder.name == name).expect(name);
            assert_eq!(comparable(messages.clone()), comparable(vec![mail.clone()]), "{format:?}");
        }
    }
    let root = tempfile::tempdir().unwrap();
    export(Format::Maildir, root.path(), &[(folder("INBOX"), vec![])], &["a.b", "INBOX"]);
    fs::remove_file(root.path().join("manifest.json")).unwrap();
    assert_eq!(Source::open(Format::Maildir, root.path()).unwrap().subscriptions(), ["a.b", "INBOX"]);
}

#[test]
fn fifty_eight_keywords_survive_a_maildir_that_has_letters_for_twenty_six() {
    let root = tempfile::tempdir().unwrap();
    let keywords: Vec<String> = (0..58).map(|n| format!("key{n:02}")).collect();
    let mail = Message { keywords: keywords.clone(), ..message(1, b"x\r\n") };
    export(Format::Maildir, root.path(), &[(folder("INBOX"), vec![mail])], &[]);
    let read = import(Format::Maildir, root.path());
    assert_eq!(comparable(read[0].1.clone())[0].keywords, keywords);
    // Who takes a letter away in a mail program has taken the keyword away.
    let cur = root.path().join("cur");
    let file = fs::read_dir(&cur).unwrap().next().unwrap().unwrap().path();
    let other = file.to_str().unwrap().rsplit_once(":2,").unwrap().0.to_owned();
    fs::rename(&file, format!("{other}:2,Sb")).unwrap();
    let read = import(Format::Maildir, root.path());
    assert!(read[0].1[0].keywords.contains(&"key01".into()) && !read[0].1[0].keywords.contains(&"key00".into()));
    assert!(read[0].1[0].flags.has(SystemFlag::Seen));
}

#[test]
fn waiting_mail_is_new_in_a_maildir_and_marked_everywhere() {
    for format in ALL {
        let root = tempfile::tempdir().unwrap();
        let waiting =
            Message { waiting: true, flags: FlagSet(0), keywords: vec![], ..message(9, b"Subject: w\r\n\r\n") };
        let read_before = message(8, b"Subject: r\r\n\r\n");
        let written = export(format, root.path(), &[(folder("INBOX"), vec![read_before, waiting])], &[]);
        assert_eq!((written.messages, written.waiting), (2, 1));
        let read = import(format, root.path());
        assert_eq!(read[0].1.iter().map(|message| message.waiting).collect::<Vec<_>>(), [false, true], "{format:?}");
        if format == Format::Maildir {
            assert_eq!(fs::read_dir(root.path().join("new")).unwrap().count(), 1);
        }
        let manifest = fs::read_to_string(root.path().join("manifest.json")).unwrap();
        assert_eq!(manifest.matches("\"waiting\":true").count(), 1);
    }
}

#[test]
fn fifty_megabytes_in_one_line_come_back() {
    let mut bytes = b"Subject: large\r\n\r\n".to_vec();
    bytes.resize(50 << 20, b'x');
    for format in ALL {
        let root = tempfile::tempdir().unwrap();
        export(format, root.path(), &[(folder("INBOX"), vec![message(1, &bytes)])], &[]);
        let read = import(format, root.path());
        assert!(read[0].1[0].bytes == bytes, "{format:?}");
    }
}

#[test]
fn an_mbox_of_another_program_is_read_by_its_conventions() {
    let root = tempfile::tempdir().unwrap();
    let text = "From ann@example.org Wed May  1 10:00:00 2024\nSubject: one\nStatus: RO\nX-Status: AF\nX-Keywords: Work\n \
                Home\nX-UID: 4\n\nFrom the middle of nowhere\n>From quoted\n\nFrom me@x y Wed May  1 12:00:00 2024 +0200\n\
                Subject: two\n\nbody\n\n\nFrom - Wed May  1 10:00:00 2024\nSubject: three\n\nno end";
    fs::write(root.path().join("Archive.mbox"), text).unwrap();
    let read = import(Format::Mbox, &root.path().join("Archive.mbox"));
    assert_eq!(read[0].0.name, "Archive");
    let [one, two, three] = &read[0].1[..] else { panic!("{read:?}") };
    let text = |message: &Message| String::from_utf8(message.bytes.clone()).unwrap();
    assert_eq!(text(one), "Subject: one\r\n\r\nFrom the middle of nowhere\r\nFrom quoted\r\n");
    assert_eq!(
        one.flags,
        FlagSet::default().with(SystemFlag::Seen).with(SystemFlag::Answered).with(SystemFlag::Flagged)
    );
    assert_eq!(one.keywords, ["Work", "Home"]);
    assert_eq!(text(two), "Subject: two\r\n\r\nbody\r\n\r\n");
    assert_eq!((one.received, two.received), (three.received, three.received), "zones are read");
    assert_eq!(text(three), "Subject: three\r\n\r\nno end");
}

#[test]
fn a_maildir_of_another_program_gets_the_line_ends_of_mail() {
    let root = tempfile::tempdir().unwrap();
    for part in ["cur", "new", "tmp", ".Sent.2024/cur", ".Sent.2024/new"] {
        fs::create_dir_all(root.path().join(part)).unwrap();
    }
    fs::write(root.path().join("cur/1714557600.M1P2.host,S=20:2,FSa"), "Subject: x\n\nbody\n").unwrap();
    fs::write(root.path().join("dovecot-keywords"), "0 $Forwarded\n").unwrap();
    fs::write(root.path().join(".Sent.2024/new/2.M1P2.host"), "Subject: y\r\n\r\nbody\n").unwrap();
    fs::write(root.path().join("subscriptions"), "V\t2\n\nSent\t2024\n").unwrap();
    let read = import(Format::Maildir, root.path());
    let inbox = &read.iter().find(|(folder, _)| folder.name == "INBOX").unwrap().1[0];
    assert_eq!(inbox.bytes, b"Subject: x\r\n\r\nbody\r\n");
    assert_eq!(inbox.flags, FlagSet::default().with(SystemFlag::Flagged).with(SystemFlag::Seen));
    assert_eq!(inbox.keywords, ["$Forwarded"]);
    let sent = &read.iter().find(|(folder, _)| folder.name == "Sent/2024").unwrap().1[0];
    assert_eq!(sent.bytes, b"Subject: y\r\n\r\nbody\n", "line ends that are mixed stay");
    assert_eq!(Source::open(Format::Maildir, root.path()).unwrap().subscriptions(), ["Sent/2024"]);
}

#[test]
fn what_is_cut_off_is_an_error_and_what_was_edited_is_not() {
    let root = tempfile::tempdir().unwrap();
    export(Format::Mbox, root.path(), &[(folder("INBOX"), odd())], &[]);
    let file = root.path().join("INBOX.mbox");
    let whole = fs::read(&file).unwrap();
    fs::write(&file, &whole[..whole.len() - 20]).unwrap();
    let source = Source::open(Format::Mbox, root.path()).unwrap();
    let last = source.messages("INBOX").unwrap().last().unwrap();
    assert!(matches!(last, Err(InterchangeError::Malformed { .. })), "{last:?}");
    let edited = String::from_utf8_lossy(&whole).replace("Subject: plain\r\n", "Subject: plain\r\nLines: 1\r\n");
    fs::write(&file, edited.as_bytes()).unwrap();
    let first = Source::open(Format::Mbox, root.path()).unwrap().messages("INBOX").unwrap().next().unwrap().unwrap();
    assert_eq!(first.bytes, b"Subject: plain\r\nLines: 1\r\n\r\ntext\r\n");
    assert!(Source::open(Format::Maildir, root.path()).is_err());
    fs::write(root.path().join("x.mbox"), "no mbox\n").unwrap();
    let source = Source::open(Format::Mbox, root.path()).unwrap();
    assert!(source.messages("x").unwrap().next().unwrap().is_err());
}

#[test]
fn files_are_for_their_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    fn check(path: &Path) {
        for entry in fs::read_dir(path).unwrap().flatten() {
            let mode = entry.metadata().unwrap().permissions().mode() & 0o077;
            assert_eq!(mode, 0, "{}", entry.path().display());
            if entry.path().is_dir() {
                check(&entry.path());
            }
        }
    }
    for format in ALL {
        let root = tempfile::tempdir().unwrap();
        export(format, root.path(), &[(folder("INBOX"), odd()), (folder("a/b"), odd())], &["a/b"]);
        check(root.path());
    }
}
