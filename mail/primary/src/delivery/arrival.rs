//! A message as it arrived, and the names it has: per recipient a delivery id and, with a Message-ID, a fingerprint.
//!
//! * Delivery id: HMAC(shard key, txid, mailbox, RCPT). An internal retry of the MX has the same one.
//! * Fingerprint: HMAC(shard key, MAIL FROM, RCPT, SHA-256 of the bytes before our trace headers). A resend by the
//!   outside sender has the same one.

use bytes::Bytes;
use crypto::Canonical;
use jiff::Timestamp;
use model::verbs::{Envelope, Recipient};
use model::{DeliveryId, TxId};

/// One message for some mailboxes of this shard.
pub struct Arrival {
    /// See `model::verbs::Deliver`.
    pub txid: TxId,
    /// See `model::verbs::Deliver`.
    pub envelope: Envelope,
    /// The bytes before our trace headers.
    pub body: Bytes,
    /// When this shard had all of it.
    pub accepted: Timestamp,
    digest: [u8; 32],
    has_message_id: bool,
}

impl Arrival {
    /// Hashes the message. Takes a while for a large one.
    pub fn new(txid: TxId, envelope: Envelope, body: Bytes, accepted: Timestamp) -> Self {
        let digest = crypto::sha256(&body);
        let has_message_id = has_message_id(&body);
        Self { txid, envelope, body, accepted, digest, has_message_id }
    }

    /// Names what one recipient is to get.
    pub fn delivery_id(&self, shard_key: &[u8; 32], to: &Recipient) -> DeliveryId {
        let name = Canonical::new("sealpost/delivery-id/v1")
            .bytes(&self.txid.0)
            .bytes(to.mailbox.as_str().as_bytes())
            .bytes(to.rcpt_to.as_bytes());
        let code = crypto::hmac_sha256(shard_key, name.as_bytes());
        let mut id = [0; 16];
        id.copy_from_slice(&code[..16]);
        DeliveryId(id)
    }

    /// Tells a resend from another message; none without a Message-ID, because such mail may well repeat.
    pub fn fingerprint(&self, shard_key: &[u8; 32], to: &Recipient) -> Option<[u8; 32]> {
        let name = Canonical::new("sealpost/fingerprint/v1")
            .bytes(self.envelope.mail_from.as_bytes())
            .bytes(to.rcpt_to.as_bytes())
            .bytes(&self.digest);
        self.has_message_id.then(|| crypto::hmac_sha256(shard_key, name.as_bytes()))
    }
}

/// True where the header has a Message-ID field.
fn has_message_id(message: &[u8]) -> bool {
    const NAME: &[u8] = b"message-id";
    for line in message.split(|byte| *byte == b'\n') {
        if line.is_empty() || line == b"\r" {
            return false;
        }
        if line.len() > NAME.len() && line[..NAME.len()].eq_ignore_ascii_case(NAME) {
            let rest = line[NAME.len()..].iter().find(|byte| !matches!(byte, b' ' | b'\t'));
            if rest == Some(&b':') {
                return true;
            }
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use model::MailboxId;

    use super::*;

    fn arrival(txid: u8, body: &'static [u8]) -> Arrival {
        let envelope = Envelope {
            mail_from: "a@example.org".into(),
            helo: "h".into(),
            peer: [127, 0, 0, 1].into(),
            received: Timestamp::UNIX_EPOCH,
        };
        Arrival::new(TxId([txid; 16]), envelope, Bytes::from_static(body), Timestamp::UNIX_EPOCH)
    }

    fn to(rcpt: &str) -> Recipient {
        Recipient { mailbox: MailboxId::from_random([1; 17]), rcpt_to: rcpt.into(), trace: Bytes::new() }
    }

    #[test]
    fn a_message_id_counts_only_in_the_header() {
        assert!(has_message_id(b"Subject: x\r\nMESSAGE-ID : <a@b>\r\n\r\nbody"));
        assert!(has_message_id(b"Message-ID:<a@b>\n"));
        assert!(!has_message_id(b"Subject: x\r\n\r\nMessage-ID: <a@b>\r\n"));
        assert!(!has_message_id(b"X-Message-ID: <a@b>\r\nMessage-ID-Old: x\r\n\r\n"));
        assert!(!has_message_id(b""));
    }

    #[test]
    fn a_resend_has_the_fingerprint_but_not_the_id_of_the_first() {
        let (first, resend) = (arrival(1, b"Message-ID: <a>\r\n\r\nx"), arrival(2, b"Message-ID: <a>\r\n\r\nx"));
        let key = [7; 32];
        assert_eq!(first.fingerprint(&key, &to("r")), resend.fingerprint(&key, &to("r")));
        assert_ne!(first.delivery_id(&key, &to("r")), resend.delivery_id(&key, &to("r")));
        assert_eq!(first.delivery_id(&key, &to("r")), arrival(1, b"y").delivery_id(&key, &to("r")));
        assert_ne!(first.fingerprint(&key, &to("r")), first.fingerprint(&key, &to("s")));
        assert_ne!(first.fingerprint(&key, &to("r")), first.fingerprint(&[8; 32], &to("r")));
        assert_eq!(arrival(1, b"\r\nx").fingerprint(&key, &to("r")), None);
    }
}
