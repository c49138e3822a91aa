//! One file per format, as this version writes it. A change that no longer opens one of them loses mail.
//!
//! `vectors/*.json` are written by `SEALPOST_WRITE_VECTORS=1 cargo test -p sealpost-crypto vectors`; a new format gets a new
//! file, the old one stays.

use std::collections::BTreeSet;
use std::path::PathBuf;

use data_encoding::{BASE64, HEXLOWER};
use jiff::Timestamp;
use model::verbs::Scope;
use model::{Address, BootId, DeliveryId, MailboxId, SessionId, ShardId, Term};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::random::Entropy;
use crate::sealing::Sealer;
use crate::{Argon2Cost, Dek, HandoverAad, HandoverKey, Keyset, NewKeyset, NewSlot, Secret, SlotKind};

const META: &[u8] = b"sender@example.net";
const DELIVERY: DeliveryId = DeliveryId([0x44; 16]);

fn entropy(of: &str) -> Entropy {
    Entropy::seeded(Zeroizing::new(crate::sha256(of.as_bytes())))
}

fn body() -> Vec<u8> {
    let line = b"Subject: a fixture\r\n\r\nAll work and no play makes Jack a dull boy.\r\n";
    line.iter().copied().cycle().take(150_000).collect()
}

fn keyset() -> Value {
    let mut entropy = entropy("keyset");
    let address: Address = "ann@example.org".parse().unwrap();
    let created: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
    let password = Secret::new("correct horse battery staple");
    let recovery = Secret::mint_with(&[], &mut entropy);
    let device = Secret::mint_with(&[], &mut entropy);
    let cost = Argon2Cost { memory_kib: 64, passes: 2, lanes: 1 };
    let new = NewKeyset { address: &address, password: &password, recovery: Some(&recovery), cost, created };
    let (mut keyset, dek) = Keyset::create_with(&new, &mut entropy).unwrap();
    let scopes = BTreeSet::from([Scope::Imap, Scope::Submission]);
    let slot = NewSlot { secret: &device, kind: SlotKind::AppPassword, scopes, created };
    keyset.add_slot_with(&dek, &slot, &mut entropy).unwrap();
    json!({
        "address": address,
        "password": *password.reveal(),
        "recovery": *recovery.reveal(),
        "appPassword": *device.reveal(),
        "dek": HEXLOWER.encode(dek.bytes()),
        "keyset": serde_json::from_slice::<Value>(&keyset.to_json()).unwrap(),
    })
}

fn sealed() -> Value {
    let stored = read("keyset-v1.json").unwrap_or_else(keyset);
    let keyset = Keyset::from_json(&serde_json::to_vec(&stored["keyset"]).unwrap()).unwrap();
    let public = keyset.sealing_public().unwrap();
    let mut sealer = Sealer::with_entropy(&public, DELIVERY, META, &mut entropy("sealed")).unwrap();
    sealer.push(&body()).unwrap();
    json!({
        "delivery": DELIVERY,
        "meta": BASE64.encode(META),
        "bodySha256": HEXLOWER.encode(&crate::sha256(&body())),
        "sealed": BASE64.encode(&sealer.finish().unwrap()),
    })
}

fn handover_aad() -> HandoverAad {
    HandoverAad {
        shard: ShardId(3),
        term: Term(9),
        boot: BootId([0x11; 16]),
        mailbox: MailboxId::from_random([0x22; 17]),
        session: SessionId([0x33; 16]),
        nonce: [0x55; 16],
    }
}

fn handover() -> Value {
    let mut entropy = entropy("handover");
    let seed: [u8; 32] = entropy.array();
    let dek = Dek::generate(&mut entropy);
    let public = HandoverKey::from_seed(&seed).unwrap().public();
    let sealed = public.seal_dek_with(&dek, &handover_aad(), &mut entropy).unwrap();
    json!({
        "seed": HEXLOWER.encode(&seed),
        "dek": HEXLOWER.encode(dek.bytes()),
        "mailbox": handover_aad().mailbox,
        "sealed": BASE64.encode(&sealed),
    })
}

fn minted() -> Value {
    let secrets = (0..3).map(|n| Secret::mint_with(&[], &mut entropy(&format!("minted {n}"))));
    json!({ "minted": secrets.map(|secret| secret.reveal().to_string()).collect::<Vec<_>>() })
}

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("vectors").join(name)
}

fn read(name: &str) -> Option<Value> {
    std::fs::read(path(name)).ok().map(|json| serde_json::from_slice(&json).unwrap())
}

/// The checked-in vector; written first where that is asked for.
fn vector(name: &str, make: fn() -> Value) -> Value {
    if std::env::var_os("SEALPOST_WRITE_VECTORS").is_some() {
        let mut json = serde_json::to_string_pretty(&make()).unwrap();
        json.push('\n');
        std::fs::write(path(name), json).unwrap();
    }
    read(name).unwrap()
}

fn bytes32(value: &Value) -> [u8; 32] {
    HEXLOWER.decode(value.as_str().unwrap().as_bytes()).unwrap().try_into().unwrap()
}

fn base64(value: &Value) -> Vec<u8> {
    BASE64.decode(value.as_str().unwrap().as_bytes()).unwrap()
}

#[test]
fn the_keyset_of_version_1_opens_with_all_its_secrets_and_is_written_alike() {
    let vector = vector("keyset-v1.json", keyset);
    let stored = Keyset::from_json(&serde_json::to_vec(&vector["keyset"]).unwrap()).unwrap();
    let dek = Dek::from_bytes(&bytes32(&vector["dek"]));
    for secret in ["password", "recovery", "appPassword"] {
        let unlocked = stored.unlock(&Secret::new(vector[secret].as_str().unwrap())).unwrap();
        assert!(unlocked.dek.is_same(&dek), "{secret}");
    }
    assert!(stored.matches_address(&vector["address"].as_str().unwrap().parse().unwrap()));
    assert_eq!(vector, keyset(), "the same seed must make the same file");
}

#[test]
fn the_sealed_message_of_version_1_opens() {
    let vector = vector("sealed-v1.json", sealed);
    let owner = read("keyset-v1.json").unwrap_or_else(keyset);
    let stored = Keyset::from_json(&serde_json::to_vec(&owner["keyset"]).unwrap()).unwrap();
    let key = stored.unwrap_sealing_key(&Dek::from_bytes(&bytes32(&owner["dek"]))).unwrap();
    let opened = crate::open(&key, DELIVERY, &base64(&vector["sealed"])).unwrap();
    assert_eq!(opened.meta, base64(&vector["meta"]));
    assert_eq!(crate::sha256(&opened.body), bytes32(&vector["bodySha256"]));
}

#[test]
fn the_hand_over_of_version_1_opens_and_is_made_alike() {
    let vector = vector("handover-v1.json", handover);
    let key = HandoverKey::from_seed(&bytes32(&vector["seed"])).unwrap();
    let dek = key.open_dek(&base64(&vector["sealed"]), &handover_aad()).unwrap();
    assert!(dek.is_same(&Dek::from_bytes(&bytes32(&vector["dek"]))));
    assert_eq!(vector, handover());
}

#[test]
fn minted_secrets_of_version_1_are_read_and_made_alike() {
    let vector = vector("minted-v1.json", minted);
    for text in vector["minted"].as_array().unwrap() {
        assert!(Secret::parse_minted(text.as_str().unwrap()).is_ok(), "{text}");
    }
    assert_eq!(vector, minted());
}
