use std::cell::Cell;
use std::collections::BTreeSet;

use ed25519_dalek::SigningKey;
use jiff::Timestamp;
use model::verbs::Scope;
use model::{Address, SlotId};
use serde_json::Value;

use super::format::{Blob, Wrap};
use super::recovery::{self, RecoveryWrap};
use super::*;
use crate::random::Entropy;
use crate::{CryptoError, Dek, Secret, seal};

thread_local! {
    static ARGON2_RUNS: Cell<u32> = const { Cell::new(0) };
}

/// Called by every run of Argon2id.
pub(super) fn count_argon2_run() {
    ARGON2_RUNS.with(|runs| runs.set(runs.get() + 1));
}

/// The runs of Argon2id while `work` runs.
fn argon2_runs(work: impl FnOnce()) -> u32 {
    let before = ARGON2_RUNS.get();
    work();
    ARGON2_RUNS.get() - before
}

fn address() -> Address {
    "ann@example.org".parse().unwrap()
}

fn now() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

fn make(password: &Secret, recovery: Option<&Secret>) -> (Keyset, Dek) {
    let cost = Argon2Cost::CHEAPEST;
    Keyset::create(&NewKeyset { address: &address(), password, recovery, cost, created: now() }).unwrap()
}

fn app_password(secret: &Secret) -> NewSlot<'_> {
    NewSlot { secret, kind: SlotKind::AppPassword, scopes: BTreeSet::from([Scope::Imap]), created: now() }
}

#[test]
fn password_app_password_and_recovery_key_open_the_same_mailbox() {
    let (password, recovery, device) = (Secret::new("hunter2"), Secret::mint(&[]), Secret::mint(&[]));
    let (mut keyset, dek) = make(&password, Some(&recovery));
    let app = keyset.add_slot(&dek, &app_password(&device)).unwrap();
    let keyset = Keyset::from_json(&keyset.to_json()).unwrap();

    let expected = [(&password, SlotKind::Password), (&recovery, SlotKind::Recovery), (&device, SlotKind::AppPassword)];
    for (secret, kind) in expected {
        let unlocked = keyset.unlock(secret).unwrap();
        assert!(unlocked.dek.is_same(&dek));
        assert_eq!((unlocked.kind, unlocked.keys_version), (kind, 2));
    }
    let by_device = keyset.unlock(&device).unwrap();
    assert_eq!((by_device.slot, by_device.scopes), (app, BTreeSet::from([Scope::Imap])));
    assert_eq!(keyset.unlock(&recovery).unwrap().scopes, BTreeSet::from([Scope::Owner]));
}

#[test]
fn wrong_secrets_open_nothing() {
    let (keyset, _) = make(&Secret::new("hunter2"), Some(&Secret::mint(&[])));
    for secret in [Secret::new("hunter3"), Secret::new(""), Secret::new("Hunter2"), Secret::mint(&[])] {
        assert!(matches!(keyset.unlock(&secret), Err(CryptoError::WrongSecret)));
        assert!(matches!(keyset.verify_only(&secret), Err(CryptoError::WrongSecret)));
    }
}

#[test]
fn a_login_runs_argon2_once_for_what_people_choose_and_never_for_what_we_mint() {
    let (minted, phrase) = (Secret::mint(&[]), Secret::new("a phrase"));
    let (mut chosen, dek) = make(&Secret::new("hunter2"), Some(&phrase));
    for _ in 0..3 {
        let secret = Secret::mint(&chosen.tags());
        chosen.add_slot(&dek, &app_password(&secret)).unwrap();
    }
    chosen.add_slot(&dek, &app_password(&minted)).unwrap();
    let (only_minted, _) = make(&minted, None);
    let fake = fake_keyset(&[1; 32], &address(), Argon2Cost::CHEAPEST).unwrap();

    assert_eq!(argon2_runs(|| assert!(chosen.unlock(&minted).is_ok())), 0);
    assert_eq!(argon2_runs(|| assert!(only_minted.unlock(&minted).is_ok())), 0);
    assert_eq!(argon2_runs(|| assert!(chosen.unlock(&Secret::new("hunter2")).is_ok())), 1);
    assert_eq!(argon2_runs(|| assert!(chosen.unlock(&phrase).is_ok())), 1);
    for keyset in [&chosen, &only_minted, &fake] {
        assert_eq!(argon2_runs(|| assert!(keyset.unlock(&Secret::new("wrong")).is_err())), 1);
        assert_eq!(argon2_runs(|| assert!(keyset.unlock(&Secret::mint(&[])).is_err())), 0);
    }
}

#[test]
fn a_password_change_keeps_slot_key_and_other_slots() {
    let (old, new, device) = (Secret::new("old"), Secret::new("new"), Secret::mint(&[]));
    let (mut keyset, dek) = make(&old, None);
    keyset.add_slot(&dek, &app_password(&device)).unwrap();
    let slot = keyset.unlock(&old).unwrap().slot;
    let sealing = keyset.sealing_public().unwrap();

    let before = keyset.version();
    keyset.change_password(&dek, slot, &new, now()).unwrap();
    let changed = keyset.slot(slot).unwrap();
    assert!(!changed.is_unchanged_since(before) && changed.is_unchanged_since(keyset.version()));
    let unlocked = keyset.unlock(&new).unwrap();
    assert!(unlocked.dek.is_same(&dek) && unlocked.slot == slot && unlocked.keys_version == 3);
    assert!(unlocked.scopes.contains(&Scope::Owner));
    assert!(matches!(keyset.unlock(&old), Err(CryptoError::WrongSecret)));
    assert!(keyset.unlock(&device).is_ok());
    assert_eq!(keyset.sealing_public().unwrap(), sealing);
    let minted = Secret::mint(&keyset.tags());
    keyset.change_password(&dek, slot, &minted, now()).unwrap();
    assert_eq!(keyset.unlock(&minted).unwrap().slot, slot);
}

#[test]
fn slots_are_added_only_with_the_key_and_removed_without() {
    let (password, device) = (Secret::new("hunter2"), Secret::mint(&[]));
    let (mut keyset, dek) = make(&password, None);
    let stranger = Dek::from_bytes(&[0; 32]);
    assert!(matches!(keyset.add_slot(&stranger, &app_password(&device)), Err(CryptoError::Tampered(_))));
    let owner_slot = keyset.slots()[0].id();
    assert!(keyset.change_password(&stranger, owner_slot, &device, now()).is_err());
    assert_eq!(keyset.version(), 1, "a refused change is none");

    let app = keyset.add_slot(&dek, &app_password(&device)).unwrap();
    keyset.remove_slot(app).unwrap();
    assert!(matches!(keyset.unlock(&device), Err(CryptoError::WrongSecret)));
    assert!(keyset.unlock(&password).is_ok());
    assert_eq!(keyset.version(), 3);
    assert!(matches!(keyset.remove_slot(app), Err(CryptoError::NoSuchSlot)));
    assert!(keyset.remove_slot(owner_slot).is_err(), "the last way in stays");
}

#[test]
fn what_a_slot_may_hold_is_limited() {
    let (mut keyset, dek) = make(&Secret::new("hunter2"), None);
    let (chosen, third) = (Secret::new("second"), Secret::new("third"));
    let slot = |secret, kind| NewSlot { secret, kind, scopes: BTreeSet::new(), created: now() };
    assert!(keyset.add_slot(&dek, &slot(&chosen, SlotKind::AppPassword)).is_err(), "app passwords are minted");
    assert!(keyset.add_slot(&dek, &slot(&chosen, SlotKind::Password)).is_err(), "one chosen password");
    keyset.add_slot(&dek, &slot(&chosen, SlotKind::Recovery)).unwrap();
    assert!(keyset.add_slot(&dek, &slot(&third, SlotKind::Recovery)).is_err(), "one chosen phrase");
    let minted = Secret::mint(&[]);
    keyset.add_slot(&dek, &slot(&minted, SlotKind::Recovery)).unwrap();
    assert!(keyset.add_slot(&dek, &slot(&minted, SlotKind::AppPassword)).is_err(), "tags are unique");
    let owner = keyset.slots()[0].id();
    assert!(keyset.change_password(&dek, owner, &Secret::new(""), now()).is_err(), "an empty password");
    assert_eq!(keyset.version(), 3);
}

#[test]
fn a_role_that_only_verifies_gets_nothing_to_unwrap() {
    let (password, device, recovery) = (Secret::new("hunter2"), Secret::mint(&[]), Secret::mint(&[]));
    let (mut keyset, dek) = make(&password, Some(&recovery));
    let app = keyset.add_slot(&dek, &app_password(&device)).unwrap();
    let stripped = Keyset::from_json(&keyset.strip_wraps().to_json()).unwrap();

    let verified = stripped.verify_only(&device).unwrap();
    assert_eq!((verified.slot, verified.keys_version), (app, 2));
    assert!(stripped.verify_only(&password).is_ok());
    assert!(matches!(stripped.verify_only(&Secret::new("wrong")), Err(CryptoError::WrongSecret)));
    assert!(matches!(stripped.unlock(&password), Err(CryptoError::Tampered(_))));
    let json: Value = serde_json::from_slice(&stripped.to_json()).unwrap();
    assert!(json["slots"].as_array().unwrap().iter().all(|slot| slot.get("wrap").is_none()));
}

#[test]
fn mail_is_sealed_before_anybody_logged_in_and_opened_after() {
    let password = Secret::new("hunter2");
    let (keyset, _) = make(&password, None);
    let delivery = model::DeliveryId([1; 16]);
    let sealed = seal(&keyset.sealing_public().unwrap(), delivery, b"meta", b"body").unwrap();
    let dek = keyset.unlock(&password).unwrap().dek;
    let key = keyset.unwrap_sealing_key(&dek).unwrap();
    assert_eq!(crate::open(&key, delivery, &sealed).unwrap().body, b"body");
    assert!(keyset.unwrap_sealing_key(&Dek::from_bytes(&[0; 32])).is_err());
}

#[test]
fn the_address_is_recognised_and_not_written() {
    let (keyset, _) = make(&Secret::new("hunter2"), None);
    assert!(keyset.matches_address(&address()));
    assert!(!keyset.matches_address(&"bob@example.org".parse().unwrap()));
    assert!(!String::from_utf8(keyset.to_json()).unwrap().contains("ann"));
}

#[test]
fn a_fake_is_always_the_same_looks_real_and_never_opens() {
    let fake = fake_keyset(&[1; 32], &address(), Argon2Cost::default()).unwrap();
    assert_eq!(fake.to_json(), fake_keyset(&[1; 32], &address(), Argon2Cost::default()).unwrap().to_json());
    assert_ne!(fake.keyset_id(), fake_keyset(&[2; 32], &address(), Argon2Cost::default()).unwrap().keyset_id());
    let bob = "bob@example.org".parse().unwrap();
    assert_ne!(fake.keyset_id(), fake_keyset(&[1; 32], &bob, Argon2Cost::default()).unwrap().keyset_id());
    assert!(fake.matches_address(&address()));

    let recovery = Secret::mint(&[]);
    let real = (fake.slots().len() == 2).then_some(&recovery);
    let cost = Argon2Cost::default();
    let new = NewKeyset { address: &address(), password: &Secret::mint(&[]), recovery: real, cost, created: now() };
    let (real, _) = Keyset::create(&new).unwrap();
    let shape = |keyset: &Keyset| {
        let mut leaves = Vec::new();
        walk(&serde_json::from_slice(&keyset.to_json()).unwrap(), &mut String::new(), &mut leaves);
        leaves.into_iter().map(|path| (path.clone(), leaf_length(keyset, &path))).collect::<Vec<_>>()
    };
    assert_eq!(shape(&fake), shape(&real));
}

/// Length of a string in the file; numbers and words have none.
fn leaf_length(keyset: &Keyset, path: &str) -> usize {
    let json: Value = serde_json::from_slice(&keyset.to_json()).unwrap();
    match json.pointer(path).unwrap() {
        Value::String(text) if !path.ends_with("created") => text.len(),
        _ => 0,
    }
}

#[test]
fn a_password_change_alters_nothing_but_its_slot() {
    let (mut keyset, dek) = make(&Secret::new("old"), Some(&Secret::mint(&[])));
    let before = keyset.clone();
    keyset.change_password(&dek, keyset.slots()[0].id(), &Secret::new("new"), now()).unwrap();
    assert_ne!(keyset.slots[0], before.slots[0]);
    keyset.slots[0] = before.slots[0].clone();
    assert_eq!(Keyset { version: 1, ..keyset }, before);
}

#[test]
fn files_that_ask_for_too_much_are_refused() {
    let (keyset, _) = make(&Secret::new("hunter2"), None);
    let with = |path: &str, value: Value| {
        let mut json: Value = serde_json::from_slice(&keyset.to_json()).unwrap();
        *json.pointer_mut(path).unwrap() = value;
        Keyset::from_json(&serde_json::to_vec(&json).unwrap())
    };
    for (path, value) in [("/argon2/m", 4_000_000), ("/argon2/t", 100), ("/argon2/p", 64)] {
        assert!(matches!(with(path, value.into()), Err(CryptoError::CostTooHigh { .. })), "{path}");
    }
    assert!(matches!(with("/format", 2.into()), Err(CryptoError::Format { found: 2, .. })));
    let mut many = keyset.clone();
    many.slots = vec![keyset.slots[0].clone(); 1_000];
    assert!(Keyset::from_json(&many.to_json()).is_err());
    for text in ["", "{}", "[]", "{\"format\":1}", "nonsense"] {
        assert!(Keyset::from_json(text.as_bytes()).is_err(), "{text}");
    }
}

/// Paths of all leaves of a JSON value, as JSON pointers.
fn walk(value: &Value, path: &mut String, leaves: &mut Vec<String>) {
    let mut inner = |key: String, value: &Value| {
        let length = path.len();
        path.push('/');
        path.push_str(&key);
        walk(value, path, leaves);
        path.truncate(length);
    };
    match value {
        Value::Object(fields) => fields.iter().for_each(|(key, value)| inner(key.clone(), value)),
        Value::Array(items) => items.iter().enumerate().for_each(|(at, value)| inner(at.to_string(), value)),
        _ => leaves.push(path.clone()),
    }
}

/// Another value of the same type: a damaged byte, another number, another word of the same vocabulary.
fn tampered(leaf: &Value) -> Value {
    match leaf {
        Value::Number(n) => (n.as_u64().unwrap() + 1).into(),
        Value::String(text) => match text.as_str() {
            "Password" | "Recovery" => "AppPassword".into(),
            "AppPassword" => "Password".into(),
            "Hkdf" => "Argon2id".into(),
            "Argon2id" => "Hkdf".into(),
            "Owner" => "Imap".into(),
            "Imap" | "Pop3" | "Submission" => "Owner".into(),
            time if time.ends_with('Z') => "2026-03-01T12:00:01Z".into(),
            tag if tag.len() == 3 => tag.chars().rev().collect::<String>().replace(tag, "zzz").into(),
            hex if hex.len() == 32 => format!("{}{}", &hex[..31], if hex.ends_with('0') { '1' } else { '0' }).into(),
            base64 => {
                let mut bytes = data_encoding::BASE64.decode(base64.as_bytes()).unwrap();
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
                data_encoding::BASE64.encode(&bytes).into()
            }
        },
        _ => panic!("no such leaf in a keyset"),
    }
}

#[test]
fn tampering_with_any_field_is_refused() {
    let (password, recovery, device) = (Secret::new("hunter2"), Secret::mint(&[]), Secret::mint(&[]));
    let (mut keyset, dek) = make(&password, Some(&recovery));
    keyset.add_slot(&dek, &app_password(&device)).unwrap();
    keyset.archive_signers = vec![Blob(vec![5; 32])];
    keyset.mac = keyset.mac_under(&dek).into();
    let json: Value = serde_json::from_slice(&keyset.to_json()).unwrap();
    let mut leaves = Vec::new();
    walk(&json, &mut String::new(), &mut leaves);
    assert!(leaves.len() > 40);

    // Not covered on purpose, see the table of the module; parameters of Argon2id only matter to chosen secrets.
    let free = |path: &str, secret: &Secret| {
        path == "/version"
            || path.starts_with("/addressTag")
            || (secret.is_minted() && ["/argon2/m", "/argon2/t", "/argon2/p"].contains(&path))
    };
    for (slot, secret) in [password, recovery, device].iter().enumerate() {
        let own = format!("/slots/{slot}/");
        let concerns = |path: &&String| !path.starts_with("/slots/") || path.starts_with(&own);
        for path in leaves.iter().filter(concerns).filter(|path| !free(path, secret)) {
            let mut json = json.clone();
            let leaf = json.pointer_mut(path).unwrap();
            *leaf = tampered(leaf);
            let opened =
                Keyset::from_json(&serde_json::to_vec(&json).unwrap()).and_then(|keyset| keyset.unlock(secret));
            assert!(opened.is_err(), "{path} with secret {slot}");
        }
    }
}

#[test]
fn wraps_of_another_slot_or_mailbox_do_not_open() {
    let (one, other) = (Secret::new("hunter2"), Secret::new("hunter2"));
    let (mut keyset, _) = make(&one, None);
    let (foreign, _) = make(&other, None);
    keyset.slots[0].wrap.clone_from(&foreign.slots[0].wrap);
    assert!(keyset.unlock(&one).is_err());
    // A whole foreign slot with its salt: its secret is right, but the keyset is not its own.
    keyset.slots[0] = foreign.slots[0].clone();
    keyset.argon2 = foreign.argon2.clone();
    assert!(matches!(keyset.unlock(&other), Err(CryptoError::Tampered(_))));
}

#[test]
fn the_holder_of_the_file_cannot_seal_a_key_of_his_own_to_the_recovery_sheet() {
    let recovery_secret = Secret::mint(&[]);
    let (victim, _) = make(&Secret::new("hunter2"), Some(&recovery_secret));
    let (mut forged, own_dek) = make(&Secret::new("attacker"), None);
    forged.argon2 = victim.argon2.clone();
    let slot = victim.slots[1].clone();
    let Some(Wrap::Recovery(genuine)) = slot.wrap.clone() else { panic!("a recovery slot") };

    // All that he can make without the sheet: a seal to its public key, signed by his own lineage.
    let lineage =
        forged.open_under_dek(&own_dek, super::format::Under::Lineage, &forged.lineage.secret_wrapped).unwrap();
    let lineage = SigningKey::from_bytes(&lineage);
    let guess = forged.root(&Secret::mint(&[])).unwrap();
    let made = recovery::wrap(&slot, forged.keyset_id, &lineage, &guess, &own_dek, &mut Entropy::System).unwrap();
    let public = crate::hybrid::HybridPublic::from_bytes(&genuine.public.0).unwrap();
    let (sealed, signature) =
        recovery::seal_to(&slot, forged.keyset_id, &lineage, &public, &own_dek, &mut Entropy::System).unwrap();
    let mixed = RecoveryWrap { sealed: sealed.into(), signature: signature.into(), ..genuine.clone() };
    // With his own lineage key in the file, and with the one the sheet knows.
    let mut borrowed = forged.clone();
    borrowed.lineage.public = victim.lineage.public.clone();
    borrowed.mac = borrowed.mac_under(&own_dek).into();
    for keyset in [forged, borrowed] {
        for wrap in [&made, &mixed, &genuine] {
            let mut keyset = keyset.clone();
            keyset.slots.push(Slot { wrap: Some(Wrap::Recovery(wrap.clone())), ..slot.clone() });
            assert!(matches!(keyset.unlock(&recovery_secret), Err(CryptoError::Tampered(_))));
        }
    }
}

#[test]
fn slot_ids_are_found_and_differ() {
    let (mut keyset, dek) = make(&Secret::new("hunter2"), None);
    let mut seen = BTreeSet::from([keyset.slots()[0].id()]);
    for _ in 0..20 {
        let secret = Secret::mint(&keyset.tags());
        let id = keyset.add_slot(&dek, &app_password(&secret)).unwrap();
        assert!(seen.insert(id), "{id} twice");
        keyset.remove_slot(id).unwrap();
    }
    assert!(keyset.slot(SlotId(0)).is_none());
}

#[test]
fn nothing_secret_is_shown_by_debug() {
    let (keyset, dek) = make(&Secret::new("hunter2"), None);
    let unlocked = keyset.unlock(&Secret::new("hunter2")).unwrap();
    let shown = format!("{unlocked:?} {keyset:?} {:?}", keyset.unwrap_sealing_key(&dek).unwrap());
    assert!(!shown.contains("hunter2") && shown.contains("Dek(..)"));
    let bytes = format!("{:?}", dek.bytes());
    assert!(!shown.contains(bytes.trim_matches(['[', ']'])));
}
