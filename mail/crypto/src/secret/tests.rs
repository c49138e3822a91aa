use super::*;

#[test]
fn a_minted_secret_is_read_back_however_it_is_typed() {
    let minted = Secret::mint(&[]);
    let shown = minted.reveal();
    assert_eq!(shown.len(), LENGTH + 6, "{}", *shown);
    assert_eq!(shown.split('-').map(str::len).collect::<Vec<_>>(), [3, 5, 5, 5, 5, 5, 5]);
    let spaced = format!(" {} ", shown.replace('-', " "));
    for typed in [shown.to_uppercase(), shown.replace('-', ""), spaced, shown.replace('0', "O").replace('1', "l")] {
        let read = Secret::new(&typed);
        assert!(read.is_minted(), "{typed}");
        assert_eq!(read.bytes(), minted.bytes());
        assert_eq!(read.tag(), minted.tag());
    }
}

#[test]
fn a_mistyped_key_is_told_from_another_form() {
    let shown = Secret::mint(&[]).reveal();
    let mut refused = 0;
    for at in 0..shown.len() {
        let mut typed = shown.as_bytes().to_vec();
        if typed[at] == b'-' {
            continue;
        }
        typed[at] = if typed[at] == b'x' { b'y' } else { b'x' };
        let typed = String::from_utf8(typed).unwrap();
        refused += usize::from(Secret::parse_minted(&typed).err() == Some(SecretError::Check));
    }
    // One in 1,024 mistakes slips through; then the slot refuses it.
    assert!(refused >= LENGTH - 1, "{refused} of {LENGTH}");
    for typed in ["", "hunter2", "k7m-x2v9q", &format!("{}0", *shown), &shown.replacen(char::is_alphanumeric, "!", 1)] {
        assert_eq!(Secret::parse_minted(typed).err(), Some(SecretError::Form), "{typed}");
    }
}

#[test]
fn a_chosen_secret_is_kept_as_typed() {
    let typed = "Correct Horse-Battery \u{fc}";
    let secret = Secret::new(typed);
    assert!(!secret.is_minted() && secret.tag().is_none());
    assert_eq!(secret.bytes(), typed.as_bytes());
    assert_eq!(secret.reveal().as_str(), typed);
}

#[test]
fn minted_secrets_differ_and_avoid_taken_tags() {
    let one = Secret::mint(&[]);
    let other = Secret::mint(&[one.tag().unwrap().to_owned()]);
    assert_ne!(one.tag(), other.tag());
    assert_ne!(one.bytes()[TAG..], other.bytes()[TAG..]);
    assert_eq!(format!("{one:?} {:?}", Secret::new("x")), "Secret(minted) Secret(chosen)");
}
