//! Folder names of every script, and more folders than anybody has.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::watch::Watch;
use super::{answer, victim};
use crate::harness::Options;
use crate::harness::imap::{Client, Line};

/// Names that are kept as they are.
const NAMES: [&str; 52] = [
    "Plain",
    "Entwürfe",
    "Éléments envoyés",
    "Łódź",
    "Škoda",
    "İstanbul ıi",
    "Straße",
    "Ελληνικά",
    "Кириллица",
    "Հայերեն",
    "עברית",
    "العربية",
    "فارسی‌نویسی",
    "اردو",
    "हिन्दी",
    "বাংলা",
    "ਪੰਜਾਬੀ",
    "ગુજરાતી",
    "தமிழ்",
    "తెలుగు",
    "ಕನ್ನಡ",
    "മലയാളം",
    "සිංහල",
    "ไทย",
    "ລາວ",
    "བོད་ཡིག",
    "မြန်မာ",
    "ქართული",
    "አማርኛ",
    "ខ្មែរ",
    "ᠮᠣᠩᠭᠣᠯ",
    "日本語",
    "中文繁體",
    "한국어",
    "🦭📬",
    "👩‍👩‍👧‍👦",
    "𐎀𐎁𐎂",
    "𠜎𠜱",
    "cafe\u{301}",
    "caf\u{e9}",
    "a&b",
    "&",
    "&-",
    "&AOk-",
    "\"quoted\"",
    "back\\slash",
    "{5}",
    "{5+}",
    "(paren) ]",
    " blanks  ",
    "tilde~`!@#$^;:'<>,.?|=+_",
    "\u{202e}rtl\u{feff}\u{2028}",
];

/// Modified UTF-7 (RFC 3501 section 5.1.3), written here once more so that the test does not believe the server.
fn utf7(name: &str) -> String {
    let mut out = String::new();
    let mut wide = Vec::new();
    for c in name.chars().chain(['\0']) {
        if !(' '..='~').contains(&c) && c != '\0' {
            wide.extend(c.encode_utf16(&mut [0; 2]).iter().flat_map(|unit| unit.to_be_bytes()));
            continue;
        }
        if !wide.is_empty() {
            let base64 = data_encoding::BASE64_NOPAD.encode(&std::mem::take(&mut wide));
            out += &format!("&{}-", base64.replace('/', ","));
        }
        match c {
            '\0' => {}
            '&' => out += "&-",
            c => out.push(c),
        }
    }
    out
}

/// The command with the name as a literal.
fn with_name(client: &mut Client, before: &str, name: &[u8], after: &str) -> Vec<Line> {
    let head = format!("n {before} {{{}+}}\r\n", name.len());
    client.send(&[head.as_bytes(), name, after.as_bytes(), b"\r\n"].concat());
    client.finish("n")
}

/// The names of LIST or LSUB responses, as on the wire.
fn names(lines: &[Line]) -> BTreeSet<String> {
    let rows = lines.iter().filter(|line| line.text.starts_with("* L"));
    rows.map(|line| {
        let (_, name) = line.text.split_once(" \"/\" ").unwrap();
        match name.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
            Some(quoted) => quoted.replace("\\\"", "\"").replace("\\\\", "\\"),
            None if !line.literals.is_empty() => String::from_utf8(line.literals[0].clone()).unwrap(),
            None => name.to_owned(),
        }
    })
    .collect()
}

#[test]
fn folder_names_of_every_script_are_kept_as_they_are() {
    let mut server = Options::bench().start();
    let mut client = victim(&server);
    let before = names(&client.ok("LIST \"\" *"));
    let subscribed = names(&client.ok("LSUB \"\" *"));
    let long = "ü".repeat(100);
    for name in NAMES.iter().copied().chain([long.as_str()]) {
        let raw = utf7(name);
        let said = with_name(&mut client, "CREATE", raw.as_bytes(), "");
        assert!(answer(&said).starts_with("OK"), "{name:?}: {said:?}");
        let said = with_name(&mut client, "CREATE", raw.as_bytes(), "");
        assert!(answer(&said).starts_with("NO [ALREADYEXISTS]"), "{name:?}: {said:?}");
        for (before, after) in [("SUBSCRIBE", ""), ("STATUS", " (MESSAGES)"), ("SELECT", "")] {
            let said = with_name(&mut client, before, raw.as_bytes(), after);
            assert!(answer(&said).starts_with("OK"), "{before} {name:?}: {said:?}");
        }
    }
    let mut expected: BTreeSet<String> = NAMES.iter().map(|name| utf7(name)).collect();
    expected.insert(utf7(&long));
    let now = names(&client.ok("LSUB \"\" *"));
    assert_eq!(now.difference(&subscribed).cloned().collect::<BTreeSet<_>>(), expected);
    expected.extend(before.clone());
    assert_eq!(names(&client.ok("LIST \"\" *")), expected);
    drop(client);
    server.restart();
    let mut client = victim(&server);
    assert_eq!(names(&client.ok("LIST \"\" *")), expected, "after a restart");
    for name in NAMES.iter().copied().chain([long.as_str()]) {
        let said = with_name(&mut client, "DELETE", utf7(name).as_bytes(), "");
        assert!(answer(&said).starts_with("OK"), "{name:?}: {said:?}");
    }
    assert_eq!(names(&client.ok("LIST \"\" *")), before);
}

#[test]
fn what_is_no_folder_name_is_refused_with_a_reason() {
    let server = Options::bench().start();
    let watch = Watch::begin(&server);
    let mut client = victim(&server);
    let before = names(&client.ok("LIST \"\" *"));
    let long = utf7(&"ü".repeat(501));
    let deep = vec!["d"; 100].join("/");
    let wrong: [&[u8]; 22] = [
        b"",
        b"/",
        b"//",
        b"/a",
        b"a//b",
        b"a\tb",
        b"a\r\nb",
        b"\x7f",
        b"\0",
        "ü".as_bytes(),
        b"\xff\xfe",
        b"&",
        b"a&b",
        b"&AAA-",
        b"&2AA-",
        b"&AOk",
        b"&!!-",
        b"&AAo-",
        b"&AIU-",
        b"inbox",
        long.as_bytes(),
        deep.as_bytes(),
    ];
    for name in wrong {
        let said = with_name(&mut client, "CREATE", name, "");
        let said = answer(&said);
        assert!(said.len() > 8 && (said.starts_with("NO") || said.starts_with("BAD")), "{name:?}: {said}");
    }
    assert_eq!(names(&client.ok("LIST \"\" *")), before);
    watch.end();
}

#[test]
fn patterns_that_could_be_matched_in_many_ways_are_matched_fast() {
    let server = Options::bench().start();
    let watch = Watch::begin(&server);
    let mut client = victim(&server);
    let name = "a".repeat(900);
    for n in 0..20 {
        client.ok(&format!("CREATE {name}{n}"));
    }
    let begun = Instant::now();
    for pattern in ["*a".repeat(450), "%a".repeat(450), "*%".repeat(450), "a*".repeat(450)] {
        let lines = client.run(&format!("LIST \"\" \"{pattern}b\""));
        assert!(names(&lines).is_empty());
        client.run(&format!("LSUB \"\" \"{pattern}b\""));
    }
    for (count, expected) in [(16, "OK"), (4000, "BAD")] {
        let patterns = vec!["\"*a*a*a*a*b\""; count].join(" ");
        let said = client.run(&format!("LIST \"\" ({patterns})"));
        assert!(answer(&said).starts_with(expected), "{said:?}");
    }
    println!("took {:?}", begun.elapsed());
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    watch.end();
}

/// Makes folders 32 at a time: a name of 32 levels makes all those above it.
fn make(client: &mut Client, count: usize, width: usize) {
    let levels = vec!["x".repeat(width); 31].join("/");
    let mut sender = client.sender();
    let sending = std::thread::spawn(move || {
        let all: Vec<String> = (0..count).map(|n| format!("f{n} CREATE \"top{n}/{levels}\"\r\n")).collect();
        std::io::Write::write_all(&mut sender, all.concat().as_bytes()).unwrap();
    });
    for n in 0..count {
        let said = client.finish(&format!("f{n}"));
        let full = answer(&said).starts_with("NO [LIMIT]");
        assert!(answer(&said).starts_with("OK") || (full && n > 300), "{n}: {said:?}");
    }
    sending.join().unwrap();
}

fn tens_of_thousands(count: usize, width: usize) {
    let server = Options::bench().start();
    let watch = Watch::begin(&server);
    let mut client = victim(&server);
    let begun = Instant::now();
    make(&mut client, count, width);
    println!("created: {:?}", begun.elapsed());
    let there = names(&client.ok("LIST \"\" *"));
    assert!((9_900..=10_000).contains(&there.len()), "{}", there.len());
    println!("listed: {:?}", begun.elapsed());
    let with_status = client.ok("LIST \"\" * RETURN (STATUS (MESSAGES UNSEEN UIDNEXT UIDVALIDITY SIZE HIGHESTMODSEQ))");
    assert!(with_status.iter().filter(|line| line.text.starts_with("* STATUS")).count() >= 9_900);
    println!("with STATUS: {:?}", begun.elapsed());
    let top = names(&client.ok("LIST \"\" %"));
    assert!(top.len() > 300 && top.iter().all(|name| !name.contains('/')));
    client.ok("RENAME top0 renamed");
    assert!(names(&client.ok("LIST \"\" renamed/*")).len() == 31);
    client.ok("SELECT INBOX");
    watch.end();
}

#[test]
fn ten_thousand_folders_are_listed_and_there_is_a_limit() {
    tens_of_thousands(330, 4);
}

#[test]
#[ignore = "takes a while: 100,000 folders, most of which are refused, with the longest names there can be"]
fn a_hundred_thousand_folders_are_refused_with_a_reason() {
    tens_of_thousands(3125, 30);
}
