//! Trace headers of final delivery (RFC 5321 section 4.4), one block per recipient.

use std::net::IpAddr;

use bytes::Bytes;
use jiff::Timestamp;
use model::TxId;

/// What `Received` says about a transaction.
#[derive(Debug)]
pub(crate) struct Trace<'a> {
    /// The client's name, as checked by the command parser.
    pub helo: &'a str,
    pub peer: IpAddr,
    /// Our name.
    pub host: &'a str,
    pub extended: bool,
    pub secured: bool,
    pub utf8: bool,
    pub txid: TxId,
    pub time: Timestamp,
    /// MAIL FROM without brackets.
    pub mail_from: &'a str,
}

impl Trace<'_> {
    /// `Return-Path`, `Delivered-To`, `Received`.
    pub(crate) fn block(&self, rcpt_to: &str, delivered_to: &str) -> Bytes {
        let Self { helo, host, txid, mail_from, .. } = self;
        let peer = match self.peer {
            IpAddr::V4(ip) => format!("[{ip}]"),
            IpAddr::V6(ip) => format!("[IPv6:{ip}]"),
        };
        let date = self.time.strftime("%a, %d %b %Y %H:%M:%S +0000");
        let with = self.protocol();
        let block = format!(
            "Return-Path: <{mail_from}>\r\nDelivered-To: {delivered_to}\r\nReceived: from {helo} ({peer})\r\n\tby {host} \
             with {with} id {txid}\r\n\tfor <{rcpt_to}>;\r\n\t{date}\r\n"
        );
        block.into()
    }

    /// The registered names of RFC 3848 and RFC 6531 section 4.3.
    fn protocol(&self) -> &'static str {
        match (self.extended, self.utf8, self.secured) {
            (false, _, false) => "SMTP",
            (false, _, true) | (true, false, true) => "ESMTPS",
            (true, false, false) => "ESMTP",
            (true, true, false) => "UTF8SMTP",
            (true, true, true) => "UTF8SMTPS",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_block_names_client_server_transaction_and_recipient() {
        let trace = Trace {
            helo: "c.example",
            peer: "2001:db8::1".parse().unwrap(),
            host: "mx.example.org",
            extended: true,
            secured: true,
            utf8: false,
            txid: TxId([0xab; 16]),
            time: Timestamp::from_second(1_700_000_000).unwrap(),
            mail_from: "",
        };
        let block = trace.block("Team@example.org", "team@example.org");
        let want = "Return-Path: <>\r\nDelivered-To: team@example.org\r\n\
            Received: from c.example ([IPv6:2001:db8::1])\r\n\tby mx.example.org with ESMTPS \
            id abababababababababababababababab\r\n\tfor <Team@example.org>;\r\n\tTue, 14 Nov 2023 22:13:20 +0000\r\n";
        assert_eq!(block, want);
    }
}
