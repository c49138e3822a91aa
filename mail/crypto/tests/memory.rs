//! After waiting mail was sealed and opened, no word of it is left in the process. Compression contexts are C memory, which
//! the Rust allocator does not see. A process of its own: it reads all its memory.

#![allow(clippy::unwrap_used, reason = "a test ends where something fails")]

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;

use jiff::Timestamp;
use model::DeliveryId;
use sealpost_crypto::{Argon2Cost, Keyset, NewKeyset, Secret, open, seal, sha256};

#[global_allocator]
static ALLOCATOR: sys::ZeroOnFree = sys::ZeroOnFree;

/// Written reversed in the executable, so that finding it means that a row was found, not this constant.
const NEEDLE_REVERSED: &[u8] = b"rebmun-elcaro-rednevals-dellepsenu";

/// Occurrences of the needle in all writable memory of this process. Compares without ever building the needle.
fn occurrences() -> usize {
    let mut maps = String::new();
    File::open("/proc/self/maps").unwrap().read_to_string(&mut maps).unwrap();
    let memory = File::open("/proc/self/mem").unwrap();
    let mut found = 0;
    for line in maps.lines().filter(|line| line.contains(" rw")) {
        let (from, to) = line.split_whitespace().next().unwrap().split_once('-').unwrap();
        let (from, to) = (u64::from_str_radix(from, 16).unwrap(), u64::from_str_radix(to, 16).unwrap());
        found += scan(&memory, from, to);
    }
    found
}

fn scan(memory: &File, from: u64, to: u64) -> usize {
    let len = NEEDLE_REVERSED.len();
    let mut tail: Vec<u8> = Vec::new();
    let mut at = from;
    let mut found = 0;
    while at < to {
        let mut page = [0_u8; 4096];
        if memory.read_exact_at(&mut page, at).is_err() {
            break;
        }
        // Reverse and mask at once, so that no copy made by this function reads as the needle.
        let mut window: Vec<u8> = page.iter().map(|b| b ^ 0x55).collect();
        page.fill(0);
        std::hint::black_box(&mut page);
        let mut joined = std::mem::take(&mut tail);
        joined.append(&mut window);
        found += joined
            .windows(len)
            .filter(|w| w.iter().zip(NEEDLE_REVERSED.iter().rev()).all(|(a, b)| *a == b ^ 0x55))
            .count();
        tail = joined.split_off(joined.len().saturating_sub(len - 1));
        at += 4096;
    }
    found
}

fn needle() -> String {
    NEEDLE_REVERSED.iter().rev().map(|b| char::from(*b)).collect()
}

/// A message in which the needle comes often, between bytes that do not compress.
fn message() -> Vec<u8> {
    let mut text = Vec::new();
    for n in 0..5_000_u32 {
        let noise = sha256(&n.to_le_bytes());
        text.extend_from_slice(&noise[..6]);
        text.extend_from_slice(needle().as_bytes());
        text.extend_from_slice(&noise[6..]);
    }
    text
}

#[test]
#[cfg(target_env = "gnu")]
fn mail_that_was_sealed_and_opened_leaves_no_words_in_memory() {
    assert!(sys::process::overwrite_freed_c_memory());
    let (address, password) = ("ann@example.org".parse().unwrap(), Secret::mint(&[]));
    let (cost, created) = (Argon2Cost::CHEAPEST, Timestamp::UNIX_EPOCH);
    let new = NewKeyset { address: &address, password: &password, recovery: None, cost, created };
    let (keyset, dek) = Keyset::create(&new).unwrap();
    let delivery = DeliveryId([1; 16]);

    let sealed = seal(&keyset.sealing_public().unwrap(), delivery, b"", &message()).unwrap();
    assert_eq!(occurrences(), 0, "after sealing");
    let opened = open(&keyset.unwrap_sealing_key(&dek).unwrap(), delivery, &sealed).unwrap();
    assert!(occurrences() >= 5_000, "the scan must find what is there");
    drop(opened);
    assert_eq!(occurrences(), 0, "after opening");
}
