//! From a command line to a command. Pure: what the line says, not whether it may be said now.

use crate::path::{self, Path};
use crate::reply::{Reply, bad_argument};

/// A command and its arguments, well formed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Command {
    /// HELO and EHLO; only the latter may use extensions.
    Hello { name: String, extended: bool },
    /// MAIL FROM
    Mail { from: Path, params: MailParams },
    /// RCPT TO; DSN parameters are checked and forgotten (RFC 3461 is not announced).
    Rcpt { to: Path },
    /// DATA
    Data,
    /// BDAT (RFC 3030 section 2)
    Bdat { size: u64, last: bool },
    /// RSET
    Rset,
    /// NOOP
    Noop,
    /// QUIT
    Quit,
    /// STARTTLS (RFC 3207)
    StartTls,
    /// VRFY
    Vrfy,
    /// EXPN
    Expn,
    /// HELP
    Help,
    /// AUTH (RFC 4954)
    Auth,
}

/// What MAIL may add.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct MailParams {
    /// SIZE (RFC 1870), in octets.
    pub size: Option<u64>,
    /// SMTPUTF8 (RFC 6531).
    pub utf8: bool,
}

/// Reads a line without its CRLF.
pub(crate) fn command(line: &[u8]) -> Result<Command, Reply> {
    let unprintable = line.iter().any(|b| b.is_ascii_control() && *b != b'\t');
    let Some(text) = std::str::from_utf8(line).ok().filter(|_| !unprintable) else {
        // The octets that follow a BDAT belong to it, whatever is wrong with the line.
        let reply = Reply::new(500, "5.5.2", "Unusable characters in a command");
        return Err(if line.get(..4).is_some_and(|v| v.eq_ignore_ascii_case(b"BDAT")) {
            reply.closing()
        } else {
            reply
        });
    };
    let (verb, args) = text.split_once([' ', '\t']).unwrap_or((text, ""));
    let args = args.trim_matches([' ', '\t']);
    match verb.to_ascii_uppercase().as_str() {
        "EHLO" => hello(args, true),
        "HELO" => hello(args, false),
        "MAIL" => mail(args),
        "RCPT" => rcpt(args),
        "DATA" => bare(args, Command::Data),
        "BDAT" => bdat(args),
        "RSET" => bare(args, Command::Rset),
        "NOOP" => Ok(Command::Noop),
        "QUIT" => bare(args, Command::Quit),
        "STARTTLS" => bare(args, Command::StartTls),
        "VRFY" if !args.is_empty() => Ok(Command::Vrfy),
        "VRFY" => Err(bad_argument("VRFY needs a name")),
        "EXPN" => Ok(Command::Expn),
        "HELP" => Ok(Command::Help),
        "AUTH" => Ok(Command::Auth),
        _ => Err(Reply::new(500, "5.5.2", "Command not recognised")),
    }
}

fn bare(args: &str, command: Command) -> Result<Command, Reply> {
    if args.is_empty() { Ok(command) } else { Err(bad_argument("This command takes no argument")) }
}

/// The name goes into `Received`: a host name or an address literal, and nothing that could end a token there.
fn hello(args: &str, extended: bool) -> Result<Command, Reply> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b".-_:[]".contains(&b);
    if args.is_empty() || args.len() > 255 || !args.bytes().all(plain) {
        return Err(bad_argument("Give your host name or address literal"));
    }
    Ok(Command::Hello { name: args.to_owned(), extended })
}

/// What follows `FROM:` or `TO:`; a blank after the colon is common enough to be let pass.
fn after_keyword<'a>(args: &'a str, keyword: &str) -> Option<&'a str> {
    let head = args.get(..keyword.len()).filter(|head| head.eq_ignore_ascii_case(keyword))?;
    Some(args[head.len()..].trim_start_matches(' '))
}

fn unknown_parameter() -> Reply {
    Reply::new(555, "5.5.4", "Parameter not recognised")
}

fn mail(args: &str) -> Result<Command, Reply> {
    let text = after_keyword(args, "FROM:").ok_or_else(|| bad_argument("Syntax: MAIL FROM:<address>"))?;
    let wrong = || Reply::new(501, "5.1.7", "Bad sender address syntax");
    let (from, rest) = path::path(text).ok_or_else(wrong)?;
    if matches!(from, Path::Postmaster(_)) {
        return Err(wrong());
    }
    let mut params = MailParams::default();
    let mut seen = Vec::new();
    for (key, value) in path::params(rest).ok_or_else(|| bad_argument("Malformed parameter"))? {
        if seen.contains(&key) {
            return Err(bad_argument("Parameter given twice"));
        }
        mail_param(&key, value, &mut params)?;
        seen.push(key);
    }
    Ok(Command::Mail { from, params })
}

fn mail_param(key: &str, value: Option<&str>, params: &mut MailParams) -> Result<(), Reply> {
    match (key, value) {
        ("SIZE", Some(size)) => {
            let digits = size.len() <= 20 && size.bytes().all(|b| b.is_ascii_digit());
            // Twenty digits may exceed 64 bits: too big all the same.
            let size = digits.then(|| size.parse().unwrap_or(u64::MAX));
            params.size = Some(size.ok_or_else(|| bad_argument("SIZE must be a number"))?);
        }
        ("BODY", Some(body)) if ["7BIT", "8BITMIME"].iter().any(|b| body.eq_ignore_ascii_case(b)) => {}
        ("SMTPUTF8", None) => params.utf8 = true,
        ("RET", Some(ret)) if ["FULL", "HDRS"].iter().any(|r| ret.eq_ignore_ascii_case(r)) => {}
        ("ENVID", Some(id)) if path::is_xtext(id, 100) => {}
        ("SIZE" | "BODY" | "SMTPUTF8" | "RET" | "ENVID", _) => return Err(bad_argument("Bad parameter value")),
        _ => return Err(unknown_parameter()),
    }
    Ok(())
}

fn rcpt(args: &str) -> Result<Command, Reply> {
    let text = after_keyword(args, "TO:").ok_or_else(|| bad_argument("Syntax: RCPT TO:<address>"))?;
    let wrong = || Reply::new(501, "5.1.3", "Bad recipient address syntax");
    let (to, rest) = path::path(text).ok_or_else(wrong)?;
    if to == Path::Null {
        return Err(wrong());
    }
    let mut seen = Vec::new();
    for (key, value) in path::params(rest).ok_or_else(|| bad_argument("Malformed parameter"))? {
        let good = match (key.as_str(), value) {
            ("NOTIFY", Some(list)) => is_notify(list),
            ("ORCPT", Some(address)) => is_orcpt(address),
            ("NOTIFY" | "ORCPT", None) => false,
            _ => return Err(unknown_parameter()),
        };
        if !good || seen.contains(&key) {
            return Err(bad_argument("Bad parameter value"));
        }
        seen.push(key);
    }
    Ok(Command::Rcpt { to })
}

/// `NEVER`, or a list of the others (RFC 3461 section 4.1).
fn is_notify(list: &str) -> bool {
    let one = |word: &str| ["SUCCESS", "FAILURE", "DELAY"].iter().any(|w| word.eq_ignore_ascii_case(w));
    list.eq_ignore_ascii_case("NEVER") || list.split(',').all(one)
}

/// `type;address` (RFC 3461 section 4.2; RFC 6533 section 3 for `utf-8`).
fn is_orcpt(text: &str) -> bool {
    let Some((kind, address)) = text.split_once(';') else { return false };
    let utf8 = kind.eq_ignore_ascii_case("utf-8") && text.len() <= 500;
    !kind.is_empty() && !address.is_empty() && (utf8 || path::is_xtext(address, 500))
}

/// A chunk whose size cannot be read cannot be skipped either: what follows must not be taken for commands.
fn bdat(args: &str) -> Result<Command, Reply> {
    let wrong = || bad_argument("Syntax: BDAT size [LAST]").closing();
    let (size, last) = args.split_once(' ').map_or((args, ""), |(size, last)| (size, last.trim_start_matches(' ')));
    let last = match last {
        "" => false,
        word if word.eq_ignore_ascii_case("LAST") => true,
        _ => return Err(wrong()),
    };
    let digits = (1..=20).contains(&size.len()) && size.bytes().all(|b| b.is_ascii_digit());
    let size = size.parse().ok().filter(|_| digits).ok_or_else(wrong)?;
    Ok(Command::Bdat { size, last })
}

#[cfg(test)]
mod tests;
